package web

// This file refuses requests that were meant for another host. A web page whose
// name was made to resolve to our address (DNS rebinding) could otherwise read
// everything through the browser of somebody who may.

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// wrongHost is the text of the refusal.
const wrongHost = "this host name is not ours; see --web.external-url"

// privateSuffixes are names that nobody can register: those of a cluster's services
// and of local networks (RFC 6762, and ICANN's reservation of .internal).
var privateSuffixes = []string{".svc", ".svc.cluster.local", ".local", ".internal"}

// hostChecked lets only requests through whose Host is the external URL's, an IP
// address, this machine's name, or a name that nobody else can own: a proxy may
// pass the one by which it knows us. Without an external URL our names
// are not known, and nothing is checked. Health checks are always answered.
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

// isPrivate reports whether a host is an address, or a name that an attacker
// cannot own: one without a dot, such as localhost, or with a private suffix.
func isPrivate(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || !strings.Contains(host, ".") ||
		slices.ContainsFunc(privateSuffixes, func(suffix string) bool { return strings.HasSuffix(host, suffix) })
}

// bareHost is a host in lower case without port, brackets and final dot.
func bareHost(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
