package prober

// These tests run in a network namespace of their own: a process without any
// network but the one it makes, so that nothing outside can be touched. They
// need root and iproute2.

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"

	"mailprobe/mail"
)

// inNamespace, set in the environment, says that the process is in it already.
const inNamespace = "MAILPROBE_TEST_NAMESPACE"

// network is what each of these tests begins with. Packets to a neighbour on
// holes are sent to an address that no host has.
const network = `
ip link set lo up
ip link add holes type veth peer name nowhere
ip addr add 192.0.2.1/24 dev holes
ip -6 addr add 2001:db8::1/64 dev holes nodad
ip link set holes up
ip link set nowhere up
ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev holes nud permanent
ip -6 neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev holes nud permanent
ip route add unreachable 198.51.100.0/24
ip route add prohibit 203.0.113.0/24
`

// namespaced runs a test again in a namespace, and f there.
func namespaced(t *testing.T, more string, f func()) {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		if out, err := exec.Command("sh", "-ec", network+more).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		f()
		return
	}
	if probe := exec.Command("unshare", "-n", "sh", "-ec", "ip link add holes type veth peer name nowhere"); probe.Run() != nil {
		t.Skip("no network namespace can be made here: it takes root, unshare and ip")
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(os.Environ(), inNamespace+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := subprocess.RunFor(t, command)
	if err != nil || !strings.Contains(out, "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Faults 16 and 17: SYNs without an answer, and routers that reject them.
func TestFaultsOfRoutes(t *testing.T) {
	namespaced(t, "", func() {
		fix := newFaultFixture(t)
		for _, test := range []struct {
			number  int
			host    string
			timeout time.Duration
			want    mail.Reason
		}{
			{16, "192.0.2.9", 500 * time.Millisecond, mail.ConnectTimeout},
			{17, "198.51.100.1", time.Minute, mail.ConnectUnreachable},
			{17, "203.0.113.1", time.Minute, mail.ConnectUnreachable},
		} {
			c := fix.connection(mail.IMAP, mail.ImplicitTLS, test.host+":993", func(c *mail.Connection) { c.Timeout = test.timeout })
			o := new(Prober).Probe(t.Context(), c)
			wantFailure(t, o, mail.PhaseConnect, test.want)
		}
	})
}

// Fault 10: the IPv6 address of a name leads nowhere, the IPv4 one is fine.
func TestFaultIPv6BlackHole(t *testing.T) {
	namespaced(t, "", func() {
		fix := newFaultFixture(t)
		server, err := mailtest.StartScript(mailtest.MustScript(honest(mail.IMAP, mail.NoEncryption, atOnce, opened)+"BYE imap"),
			mailtest.ScriptOptions{Address: "192.0.2.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		dns, err := mailtest.StartDNS(map[string]mailtest.DNSName{mailHost: {Addresses: loopbacks("2001:db8::9", "192.0.2.1")}})
		if err != nil {
			t.Fatal(err)
		}
		defer dns.Close()
		var tried []netip.Addr
		prober := &Prober{Resolver: dns.Resolver(), dial: func(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, error) {
			tried = addrs
			return new(schedulingDelay).connect(ctx, addrs, port)
		}}
		c := fix.connection(mail.IMAP, mail.NoEncryption, server.Addr, func(c *mail.Connection) { c.Host, c.Timeout = mailHost, time.Minute })
		o := prober.Probe(t.Context(), c)
		took := phaseDuration(&o, mail.PhaseConnect)
		if !o.Up() || o.Address != server.Addr || len(tried) != 2 || !tried[0].Is6() {
			t.Fatalf("tried %v\n%s", tried, explain(o))
		}
		// 0.3 s is the head start of IPv6; the rest is for a busy machine, and less than
		// half of what the black hole would take.
		if took < fallbackDelay || took > c.Timeout/3 {
			t.Errorf("connecting took %v, want little more than %v", took, fallbackDelay)
		}
		c.IPProtocol, c.Timeout = mail.IP6, 500*time.Millisecond
		wantFailure(t, prober.Probe(t.Context(), c), mail.PhaseConnect, mail.ConnectTimeout)
	})
}

// Fault 30: one packet in five is lost, both ways.
func TestFaultLoss(t *testing.T) {
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("iptables is missing")
	}
	namespaced(t, "iptables -A INPUT -m statistic --mode random --probability 0.2 -j DROP", func() {
		fix := newFaultFixture(t)
		const probes = 20
		outcomes := make(chan mail.Outcome, probes)
		script := mailtest.MustScript(honest(mail.IMAP, mail.ImplicitTLS, atOnce, opened) + "BYE imap")
		server, err := mailtest.StartScript(script, mailtest.ScriptOptions{TLS: &tls.Config{Certificates: []tls.Certificate{fix.cert}}})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		for range probes {
			go func() {
				outcomes <- new(Prober).Probe(t.Context(), fix.connection(mail.IMAP, mail.ImplicitTLS, server.Addr, func(c *mail.Connection) { c.Timeout = 4 * time.Second }))
			}()
		}
		up := 0
		for range probes {
			switch o := <-outcomes; {
			case o.Up():
				up++
			case o.Failure.Reason != mail.Timeout && o.Failure.Reason != mail.ConnectTimeout:
				t.Error(explain(o))
			}
		}
		t.Logf("%d of %d probes were up", up, probes)
	})
}

// Fault 135: no local port is left.
func TestFaultPortsExhausted(t *testing.T) {
	namespaced(t, "echo 40000 40010 >/proc/sys/net/ipv4/ip_local_port_range", func() {
		fix := newFaultFixture(t)
		listener, err := net.Listen("tcp", "192.0.2.1:50000")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		// The kernel does not find the last free port at each try.
		var held []net.Conn
		for refused := 0; refused < 20; {
			conn, err := net.Dial("tcp", listener.Addr().String())
			switch {
			case errors.Is(err, syscall.EADDRNOTAVAIL):
				refused++
			case err != nil:
				t.Fatal(err)
			default:
				held = append(held, conn)
			}
		}
		c := fix.connection(mail.IMAP, mail.NoEncryption, listener.Addr().String(), func(c *mail.Connection) { c.Timeout = time.Minute })
		wantFailure(t, new(Prober).Probe(t.Context(), c), mail.PhaseConnect, mail.LocalResources)
		for _, conn := range held {
			_ = conn.(*net.TCPConn).SetLinger(0) // no TIME_WAIT
			_ = conn.Close()
		}
		c.Timeout = 2 * time.Second // there is no greeting
		wantFailure(t, new(Prober).Probe(t.Context(), c), mail.PhaseGreeting, mail.Timeout)
	})
}
