package prober

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
	"mailprobe/pool"
)

// mailHost is the name that the cases of section A look up.
const mailHost = "mail.example"

// nameFault is a fault about names. Where it ends up, an honest server answers.
type nameFault struct {
	faultCase
	answer mailtest.DNSName // to mailHost
	others map[string]mailtest.DNSName
	also   mail.Reason // a second reason that will do
	dialed func(*testing.T, []netip.Addr)
}

// nameFaults is section A of the catalogue: what a name server can do.
func nameFaults() []nameFault {
	bad := func(number int, story string, fault mailtest.DNSFault, reason mail.Reason) nameFault {
		return nameFault{answer: mailtest.DNSName{Fault: fault}, faultCase: faultCase{
			numbers: []int{number}, story: story, phase: mail.PhaseResolve, reason: reason, change: hasty}}
	}
	found := func(number int, story string, answer mailtest.DNSName, fault faultCase) nameFault {
		fault.numbers, fault.story = []int{number}, story
		return nameFault{answer: answer, faultCase: fault}
	}
	either := func(fault nameFault) nameFault { fault.also = mail.DNSFailed; return fault }
	dead := loopbacks("127.0.0.2", "127.0.0.3")
	cases := []nameFault{
		bad(1, "the_name_does_not_exist", mailtest.DNSNXDomain, mail.DNSNotFound),
		bad(2, "the_name_has_no_address", mailtest.DNSNoData, mail.DNSNotFound),
		bad(2, "the_answer_is_empty_without_a_word", mailtest.DNSLame, mail.DNSNotFound),
		found(2, "the_name_has_no_address_of_the_family", mailtest.DNSName{Addresses: dead}, faultCase{
			change: func(c *mail.Connection) { c.IPProtocol = mail.IP6 }, phase: mail.PhaseResolve, reason: mail.DNSNotFound}),
		bad(3, "the_name_server_failed", mailtest.DNSServFail, mail.DNSFailed),
		bad(4, "the_name_server_refuses", mailtest.DNSRefused, mail.DNSFailed),
		bad(5, "the_name_server_is_silent", mailtest.DNSSilence, mail.DNSTimeout),
		either(bad(6, "the_answer_is_garbage", mailtest.DNSGarbage, mail.DNSTimeout)),
		either(bad(6, "the_answer_has_a_wrong_id", mailtest.DNSWrongID, mail.DNSTimeout)),
		either(bad(6, "the_answer_is_truncated_and_tcp_is_closed", mailtest.DNSTruncated, mail.DNSTimeout)),
		found(7, "two_thousand_addresses", mailtest.DNSName{Addresses: manyLoopbacks(2000)}, faultCase{
			phase: mail.PhaseConnect, reason: mail.ConnectRefused}),
		found(8, "the_first_addresses_are_dead", mailtest.DNSName{Addresses: append(dead, loopbacks("127.0.0.1")...)}, faultCase{}),
		found(9, "all_addresses_are_dead", mailtest.DNSName{Addresses: append(dead, loopbacks("127.0.0.4")...)}, faultCase{
			phase: mail.PhaseConnect, reason: mail.ConnectRefused, check: wantAllNamed("127.0.0.2", "127.0.0.3", "127.0.0.4")}),
		found(12, "the_name_leads_to_another_server_under_tls", mailtest.DNSName{Addresses: loopbacks("127.0.0.1")}, faultCase{
			encryptions: []mail.Encryption{mail.ImplicitTLS, mail.StartTLS}, phase: mail.PhaseTLS, reason: mail.CertName,
			change: func(c *mail.Connection) { c.TLS.ServerName = "imap.example" }}),
		found(12, "the_name_leads_to_another_server_in_clear", mailtest.DNSName{Addresses: loopbacks("127.0.0.1")}, faultCase{
			encryptions: []mail.Encryption{mail.NoEncryption}}),
		bad(13, "a_resolver_found_a_circle_of_names", mailtest.DNSServFail, mail.DNSFailed),
	}
	cases[10].dialed = wantAddresses(maxAddresses)
	circle := found(13, "a_circle_of_names_comes_through", mailtest.DNSName{CNAME: "other.example"}, faultCase{
		phase: mail.PhaseResolve, reason: mail.DNSNotFound, change: hasty})
	circle.others, circle.also = map[string]mailtest.DNSName{"other.example": {CNAME: mailHost}}, mail.DNSFailed
	return append(cases, circle)
}

// hasty gives a probe little time: less than a resolver takes by itself.
func hasty(c *mail.Connection) { c.Timeout = 400 * time.Millisecond }

func loopbacks(texts ...string) []netip.Addr {
	var addrs []netip.Addr
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs
}

// manyLoopbacks are addresses on which no server listens.
func manyLoopbacks(n int) []netip.Addr {
	addrs := make([]netip.Addr, n)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{127, 9, byte(i >> 8), byte(i)})
	}
	return addrs
}

func wantAddresses(n int) func(*testing.T, []netip.Addr) {
	return func(t *testing.T, addrs []netip.Addr) {
		if len(addrs) != n {
			t.Errorf("%d addresses are tried, want %d", len(addrs), n)
		}
	}
}

// wantAllNamed wants each address in what the log says.
func wantAllNamed(addrs ...string) func(*testing.T, faultRun) {
	return func(t *testing.T, run faultRun) {
		for _, addr := range addrs {
			if !strings.Contains(run.outcome.Failure.Text, addr) {
				t.Errorf("%s is not named in %q", addr, run.outcome.Failure.Text)
			}
		}
	}
}

func TestFaultsOfNames(t *testing.T) {
	fix := newFaultFixture(t)
	leaf := mailtest.Loopback()
	leaf.Names = append(leaf.Names, mailHost)
	fix.cert = fix.ca.MustIssue(leaf)
	for _, fault := range nameFaults() {
		fault.script = everyHonest()
		t.Run(faultName(&fault.faultCase), func(t *testing.T) {
			t.Parallel()
			for _, pair := range fault.pairs() {
				t.Run(string(pair.protocol)+"_"+string(pair.encryption), func(t *testing.T) {
					t.Parallel()
					fix.playName(t, fault, pair.protocol, pair.encryption)
				})
			}
		})
	}
}

// everyHonest is a whole conversation with a good server in clear; honest
// writes the rest of it before it.
func everyHonest() map[mail.Protocol]string {
	return map[mail.Protocol]string{mail.IMAP: "BYE imap", mail.POP3: "BYE pop3", mail.SMTP: "BYE smtp"}
}

// playName plays one fault for one pair.
func (fix *fixture) playName(t *testing.T, fault nameFault, p mail.Protocol, e mail.Encryption) {
	names := map[string]mailtest.DNSName{mailHost: fault.answer}
	for name, answer := range fault.others {
		names[name] = answer
	}
	dns, err := mailtest.StartDNS(names)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	fault.after = opened
	change := fault.change
	fault.change = func(c *mail.Connection) {
		c.Host, c.Timeout = mailHost, 20*time.Second
		if c.TLS != nil {
			c.TLS.ServerName = mailHost
		}
		if change != nil {
			change(c)
		}
	}
	run := fix.playOnLoopback(t, &fault.faultCase, p, e, func(_ *faultRun, prober *Prober) {
		prober.Resolver = resolverBy(redirected(dns.Addr))
		prober.dial = func(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, error) {
			if fault.dialed != nil {
				fault.dialed(t, addrs)
			}
			return new(schedulingDelay).connect(ctx, addrs, port)
		}
	})
	if f := run.outcome.Failure; f != nil && f.Reason == fault.also {
		fault.reason = fault.also
	}
	run.fault = &fault.faultCase
	run.judgeSocket(t)
}

// redirected dials one name server whatever resolv.conf says.
func redirected(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// Fault 5: nothing of a lookup is left when the probe has ended, although Go's
// resolver reads on for up to 5 s.
func TestSilentNameServerKeepsNoSocket(t *testing.T) {
	t.Parallel()
	dns, err := mailtest.StartDNS(map[string]mailtest.DNSName{mailHost: {Fault: mailtest.DNSSilence}})
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	closed := make(chan struct{}, 16)
	resolver := resolverBy(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := redirected(dns.Addr)(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &noticedConn{conn.(*net.UDPConn), closed}, nil
	})
	c := (&fixture{}).connection(mail.IMAP, mail.NoEncryption, "127.0.0.1:1", hasty, func(c *mail.Connection) { c.Host = mailHost })
	o := (&Prober{Resolver: resolver}).Probe(t.Context(), c)
	wantFailure(t, o, mail.PhaseResolve, mail.DNSTimeout)
	for range 2 { // A and AAAA
		select {
		case <-closed:
		case <-time.After(4 * time.Second):
			t.Fatal("the lookup's socket is still open")
		}
	}
}

// noticedConn tells when it is closed. It stays a net.PacketConn, by which the
// resolver knows UDP.
type noticedConn struct {
	*net.UDPConn
	closed chan<- struct{}
}

func (c *noticedConn) Close() error {
	c.closed <- struct{}{}
	return c.UDPConn.Close()
}

// Fault 11: nothing remembers an address from one probe to the next.
func TestProbeFollowsANameThatMoves(t *testing.T) {
	fix := newFaultFixture(t)
	script := mailtest.MustScript(honest(mail.IMAP, mail.NoEncryption, atOnce, opened) + "BYE imap")
	before, err := mailtest.StartScript(script, mailtest.ScriptOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	after, err := mailtest.StartScript(script, mailtest.ScriptOptions{Address: fmt.Sprintf("127.0.0.2:%d", before.Port)})
	if err != nil {
		t.Skipf("127.0.0.2 cannot be listened on: %v", err)
	}
	defer after.Close()
	dns, err := mailtest.StartDNS(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	prober := &Prober{Resolver: dns.Resolver()}
	c := fix.connection(mail.IMAP, mail.NoEncryption, before.Addr, func(c *mail.Connection) { c.Host = mailHost })
	for _, server := range []*mailtest.Scripted{before, after} {
		host, _, _ := net.SplitHostPort(server.Addr)
		dns.Set(mailHost, mailtest.DNSName{Addresses: loopbacks(host)})
		if o := prober.Probe(t.Context(), c); !o.Up() || o.Address != server.Addr {
			t.Errorf("probed %s, want %s\n%s", o.Address, server.Addr, explain(o))
		}
	}
}

// Fault 14: ten thousand lookups without an answer stay within the bound, and
// neighbours that need no lookup keep their schedule and their results.
func TestDeadNameServerDelaysNobody(t *testing.T) {
	t.Parallel()
	const names, neighbours, bound = 10_000, 100, 4096
	synctest.Test(t, func(t *testing.T) {
		var conns []*mail.Connection
		for i := range names {
			conns = append(conns, (&fixture{}).connection(mail.SMTP, mail.NoEncryption, "192.0.2.1:25", func(c *mail.Connection) {
				c.Name, c.Host, c.Timeout = fmt.Sprintf("dead-%d", i), fmt.Sprintf("mx%d.example", i), 10*time.Second
				c.Username, c.Interval = "", 10*time.Minute
			}))
		}
		for i := range neighbours {
			conns = append(conns, (&fixture{}).connection(mail.SMTP, mail.NoEncryption, fmt.Sprintf("192.0.2.%d:25", i+2), func(c *mail.Connection) {
				c.Name, c.Username, c.Sender, c.Recipient = fmt.Sprintf("good-%d", i), "", "", ""
			}))
		}
		watch := newNameWatch()
		prober := &Prober{Hostname: "probe.example.org", Resolver: resolverBy(silentNetwork), dial: watch.dial}
		pool := pool.New(pool.Options{MaxInFlight: bound, Probe: watch.counted(prober.Probe), Report: watch.report})
		pool.Set(conns)
		ctx, cancel := context.WithTimeout(t.Context(), 95*time.Second)
		defer cancel()
		if err := pool.Run(ctx); err != nil {
			t.Fatal(err)
		}
		watch.judge(t, names, neighbours, bound)
	})
}

// silentNetwork swallows questions, over a stream, in the bubble.
func silentNetwork(context.Context, string, string) (net.Conn, error) {
	ours, _ := mailtest.Pipe(0)
	return ours, nil
}

// nameWatch counts what the pool does, in the bubble of fault 14.
type nameWatch struct {
	lock          chan struct{} // a mutex that a bubble can wait on
	running, most int
	dead          map[mail.Reason]int
	good          map[string][]time.Time // starts, by connection
	failed        []mail.Outcome
}

func newNameWatch() *nameWatch {
	return &nameWatch{lock: make(chan struct{}, 1), dead: map[mail.Reason]int{}, good: map[string][]time.Time{}}
}

func (w *nameWatch) do(f func()) {
	w.lock <- struct{}{}
	f()
	<-w.lock
}

func (w *nameWatch) counted(probe func(context.Context, *mail.Connection) mail.Outcome) func(context.Context, *mail.Connection) mail.Outcome {
	return func(ctx context.Context, c *mail.Connection) mail.Outcome {
		w.do(func() { w.running++; w.most = max(w.most, w.running) })
		defer w.do(func() { w.running-- })
		return probe(ctx, c)
	}
}

// dial plays an honest server to the neighbours.
func (w *nameWatch) dial(context.Context, []netip.Addr, int) (net.Conn, error) {
	script := mailtest.MustScript("S: 220 mx ESMTP\nC: EHLO *\nS: 250 mx\nBYE smtp")
	conn, _ := mailtest.PipeTo(script, mailtest.ScriptOptions{})
	return conn, nil
}

func (w *nameWatch) report(o mail.Outcome) {
	w.do(func() {
		switch {
		case strings.HasPrefix(o.Connection.Name, "dead-"):
			w.dead[o.Failure.Reason]++
		case o.Up():
			w.good[o.Connection.Name] = append(w.good[o.Connection.Name], o.Start)
		default:
			w.failed = append(w.failed, o)
		}
	})
}

func (w *nameWatch) judge(t *testing.T, names, neighbours, bound int) {
	t.Helper()
	if w.most > bound || w.most < names/4 {
		t.Errorf("%d probes at once, want thousands and at most %d", w.most, bound)
	}
	if w.dead[mail.DNSTimeout] < names || len(w.dead) != 1 {
		t.Errorf("the dead names ended as %v, want each once as %s", w.dead, mail.DNSTimeout)
	}
	if len(w.good) != neighbours || len(w.failed) != 0 {
		t.Errorf("%d neighbours were up, %d outcomes were not, want %d and 0", len(w.good), len(w.failed), neighbours)
	}
	for name, starts := range w.good {
		for i := range len(starts) - 1 {
			if gap := starts[i+1].Sub(starts[i]); gap < 59400*time.Millisecond || gap > 60600*time.Millisecond {
				t.Errorf("%s was probed after %v, want a minute", name, gap)
			}
		}
	}
}
