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

// nameServerHost is the address of the name servers. On Host, the UDP socket by which
// subprocess.FreePort reserves a port would be in their way.
const nameServerHost = "127.0.0.4"

// Dnsmasq is a running private name server.
type Dnsmasq struct{ port int }

// StartDnsmasq runs a private dnsmasq until the test ends. Its names are in lines of its
// configuration, such as host-record=a.test,127.0.0.2; no other name below test exists.
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

// Resolver returns a resolver that asks this server only.
func (d *Dnsmasq) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(nameServerHost, strconv.Itoa(d.port)))
	}}
}
