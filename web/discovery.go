package web

// This file is the service discovery for Prometheus. It lists one target for each
// connection, with the connection's interval, and needs no relabelling. Of a request,
// only the header Host is repeated in the answer, because it is the address by which
// Prometheus reached this exporter. It must be a host with an optional port, and has no
// other use. The headers X-Forwarded-* and Forwarded are not read.

import (
	"bufio"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"mailprobe/mail"
)

// discoveryMargin is how much longer a scrape may take than the connection's timeout.
const discoveryMargin = time.Second

// targetGroup is an item of Prometheus's HTTP SD answer.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// serveDiscovery lists every connection. The label instance is the connection's name:
// several connections can have the same host and port, and two targets with the same
// labels would write the same series. The label mailprobe distinguishes two mailprobes
// that probe a connection of the same name.
func (s *site) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	scheme, host, prefix := "", r.Host, ""
	switch {
	case s.ExternalURL != nil:
		scheme, host, prefix = s.ExternalURL.Scheme, s.ExternalURL.Host, strings.TrimSuffix(s.ExternalURL.Path, "/")
	case !isHostPort(host):
		refuse(w, http.StatusBadRequest, "the Host header is not a host and port; see --web.external-url")
		return
	case r.TLS != nil:
		scheme = "https"
	}
	groups := func(yield func(any) bool) {
		for c := range s.History.Connections() {
			if !yield(newTargetGroup(c, scheme, host, prefix)) {
				return
			}
		}
	}
	s.sendList(w, r, listKey{"targets", scheme + " " + host}, func(out *bufio.Writer) bool {
		return s.answers.streamList(out, groups) && out.WriteByte('\n') == nil
	})
}

// newTargetGroup returns the target of one connection. If scheme is empty, Prometheus
// uses its own setting for this job.
func newTargetGroup(c *mail.Connection, scheme, host, prefix string) targetGroup {
	labels := map[string]string{
		"__metrics_path__":    prefix + "/probe",
		"__param_connection":  c.Name,
		"__scrape_interval__": promDuration(c.Interval),
		"__scrape_timeout__":  promDuration(scrapeTimeout(c)),
		"instance":            c.Name,
		"mailprobe":           host + prefix,
	}
	if scheme != "" {
		labels["__scheme__"] = scheme
	}
	return targetGroup{[]string{host}, labels}
}

// scrapeTimeout is never above the interval, which Prometheus refuses.
func scrapeTimeout(c *mail.Connection) time.Duration {
	return min(c.Interval, c.Timeout+discoveryMargin)
}

// promDuration writes a duration as Prometheus reads it.
func promDuration(d time.Duration) string {
	return model.Duration(max(d.Round(time.Millisecond), time.Millisecond)).String()
}

// hostName matches a DNS name or an IPv4 address. Underscores are not allowed by the
// RFCs, but some hosts have them.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$`)

// isHostPort reports whether a Host header is a plain host, with or without port.
func isHostPort(text string) bool {
	host := text
	if strings.Contains(strings.TrimLeft(text, "["), ":") && !strings.HasSuffix(text, "]") {
		name, port, err := net.SplitHostPort(text)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 {
			return false
		}
		host = name
		if strings.HasPrefix(text, "[") {
			host = "[" + name + "]"
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6() && addr.Zone() == ""
	}
	return hostName.MatchString(host)
}
