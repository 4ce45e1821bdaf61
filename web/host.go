package web

// This file refuses requests whose header Host names another host. Otherwise an
// attacker could let his own domain resolve to our address (DNS rebinding), and his
// page could read everything through the browser of a user who has access.

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// wrongHost is the answer to a refused request.
const wrongHost = "this host name is not ours; see --web.external-url"

// privateSuffixes are names that cannot be registered: those of a cluster's services
// and of local networks (RFC 6762, and ICANN's reservation of .internal).
var privateSuffixes = []string{".svc", ".svc.cluster.local", ".local", ".internal"}

// hostChecked passes only requests whose Host is that of the external URL, an IP
// address, this machine's name, or a name that cannot be registered: a proxy may send
// the internal name of this exporter. Without an external URL our names are unknown,
// and every request passes. Health checks always pass.
func (s *site) hostChecked(next http.Handler) http.Handler {
	if s.ExternalURL == nil {
		return next
	}
	ours := map[string]bool{bareHost(s.ExternalURL.Host): true}
	if name, err := os.Hostname(); err == nil {
		ours[bareHost(name)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := bareHost(r.Host)
		if !ours[host] && !isPrivate(host) && r.URL.Path != "/-/healthy" && r.URL.Path != "/-/ready" {
			refuse(w, http.StatusMisdirectedRequest, wrongHost)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isPrivate reports whether a host is an IP address or a name that an attacker cannot
// register: a name without a dot, such as localhost, or with a private suffix.
func isPrivate(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || !strings.Contains(host, ".") ||
		slices.ContainsFunc(privateSuffixes, func(suffix string) bool { return strings.HasSuffix(host, suffix) })
}

// bareHost returns a host in lower case, without port, brackets and final dot.
func bareHost(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
