package realserver

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mailprobe/internal/subprocess"
)

// nameServerHost is where name servers listen: the UDP socket that keeps a port
// on Host for us would be in their way.
const nameServerHost = "127.0.0.4"

// Dnsmasq is a running private name server.
type Dnsmasq struct{ port int }

// StartDnsmasq runs a private dnsmasq until the test ends. It knows what the
// lines say in the language of its configuration, such as
// host-record=a.test,127.0.0.2, and nothing else below test.
func StartDnsmasq(t testing.TB, lines ...string) *Dnsmasq {
	t.Helper()
	Need(t, "dnsmasq")
	d, dir := &Dnsmasq{}, folder(t, "dm")
	logFile := filepath.Join(dir, "log")
	start(t, "dnsmasq", logFile, 1, func(ports []int) (*subprocess.Process, error) {
		d.port = ports[0]
		config := write(t, dir, "dnsmasq.conf", strings.Join(append([]string{"no-resolv", "no-hosts", "bind-interfaces", "listen-address=" + nameServerHost,
			"port=" + strconv.Itoa(d.port), "local=/test/", "log-queries", "log-facility=" + logFile, "pid-file=" + filepath.Join(dir, "pid")}, lines...), "\n")+"\n", 0o644)
		return run("/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file="+config, "--user=root")
	})
	return d
}

// Resolver asks this server alone.
func (d *Dnsmasq) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(nameServerHost, strconv.Itoa(d.port)))
	}}
}
