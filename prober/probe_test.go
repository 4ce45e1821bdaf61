package prober

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// fixture is what the tests of whole probes share.
type fixture struct {
	ca     *mailtest.CA
	cert   tls.Certificate
	curves []tls.CurveID // of connections; nil: Go's own, with ML-KEM
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	ca := mailtest.MustCA(mailtest.CAOptions{})
	return &fixture{ca: ca, cert: ca.MustIssue(mailtest.Loopback())}
}

// server starts an honest server with one user.
func (fix *fixture) server(t testing.TB, p mail.Protocol, e mail.Encryption, more ...func(*mailtest.Options)) *mailtest.Server {
	t.Helper()
	options := mailtest.Options{Protocol: string(p), Encryption: string(e), Certificate: fix.cert,
		Users: map[string]string{"alice": "wonder land"}, Messages: 3}
	for _, change := range more {
		change(&options)
	}
	server, err := mailtest.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// connection is what config would make for a server on loopback.
func (fix *fixture) connection(p mail.Protocol, e mail.Encryption, addr string, more ...func(*mail.Connection)) *mail.Connection {
	host, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.Atoi(port)
	c := &mail.Connection{Name: "test", Protocol: p, Encryption: e, Host: host, Port: number,
		Username: "alice", Password: mail.InlineSecret(mail.NewSecret("wonder land")), Auth: mail.AuthAuto,
		CheckMailbox: true, Mailbox: "INBOX", Interval: time.Minute, Timeout: 10 * time.Second,
		Lockout: mail.LockoutNormal, HeldProbe: true, IPProtocol: mail.AnyIP}
	if p == mail.SMTP {
		c.Sender = "alice@example.org"
	}
	if e != mail.NoEncryption {
		c.TLS = &tls.Config{RootCAs: fix.ca.Pool(), ServerName: host, MinVersion: tls.VersionTLS12, CurvePreferences: fix.curves}
	}
	for _, change := range more {
		change(c)
	}
	return c
}

// phaseDuration is the time spent in a phase; 0: it was not entered.
func phaseDuration(o *mail.Outcome, phase mail.Phase) time.Duration {
	for _, p := range o.Phases {
		if p.Phase == phase {
			return p.Duration
		}
	}
	return 0
}

// pairs calls f for each protocol and encryption.
func pairs(t *testing.T, f func(*testing.T, mail.Protocol, mail.Encryption)) {
	for _, p := range mail.Protocols() {
		for _, e := range []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS, mail.StartTLS} {
			t.Run(string(p)+"_"+string(e), func(t *testing.T) { f(t, p, e) })
		}
	}
}

// explain shows an outcome in a failure message.
func explain(o mail.Outcome) string {
	var b strings.Builder
	if f := o.Failure; f != nil {
		b.WriteString(string(f.Phase) + " " + string(f.Reason) + ": " + f.Text + "\n")
	}
	for _, line := range o.Transcript {
		b.WriteString(string(rune(line.From)) + ": " + line.Text + "\n")
	}
	return b.String()
}

func TestProbeReachesTheEndOfItsPlan(t *testing.T) {
	fix := newFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		server := fix.server(t, p, e)
		c := fix.connection(p, e, server.Addr)
		o := new(Prober).Probe(t.Context(), c)
		if !o.Up() || o.Goodbye != "" {
			t.Fatalf("not up, or goodbye %q:\n%s", o.Goodbye, explain(o))
		}
		if !o.Auth.Sent || !o.Auth.Accepted || !o.Mailbox.OK {
			t.Errorf("login %+v, mailbox %+v", o.Auth, o.Mailbox)
		}
		if want := p == mail.IMAP || p == mail.POP3; o.Mailbox.Counted != want || want && o.Mailbox.Messages != 3 {
			t.Errorf("counted %v %d messages, want 3 of IMAP and POP3", o.Mailbox.Counted, o.Mailbox.Messages)
		}
		if (o.TLS != nil) != (e != mail.NoEncryption) || o.TLS != nil && (!o.TLS.Verified || o.TLS.Handshake <= 0) {
			t.Errorf("TLS facts: %+v", o.TLS)
		}
		if o.Port != server.Port || o.Address != server.Addr {
			t.Errorf("port %d, address %s, want those of %s", o.Port, o.Address, server.Addr)
		}
		wantPhases(t, o, e)
		if n := len(server.Logins()); n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	})
}

// wantPhases checks that the phases are those of the plan, in order, each with
// a time, and that together they are not longer than the probe.
func wantPhases(t *testing.T, o mail.Outcome, e mail.Encryption) {
	t.Helper()
	want := map[mail.Encryption][]mail.Phase{
		mail.NoEncryption: {mail.PhaseConnect, mail.PhaseGreeting, mail.PhaseHello, mail.PhaseAuth, mail.PhaseMailbox, mail.PhaseQuit},
		mail.ImplicitTLS:  {mail.PhaseConnect, mail.PhaseTLS, mail.PhaseGreeting, mail.PhaseHello, mail.PhaseAuth, mail.PhaseMailbox, mail.PhaseQuit},
		mail.StartTLS: {mail.PhaseConnect, mail.PhaseGreeting, mail.PhaseHello, mail.PhaseStartTLS, mail.PhaseTLS, mail.PhaseAuth,
			mail.PhaseMailbox, mail.PhaseQuit},
	}[e]
	var got []mail.Phase
	var sum time.Duration
	for _, p := range o.Phases {
		got = append(got, p.Phase)
		sum += p.Duration
		if p.Duration <= 0 {
			t.Errorf("phase %s took %v", p.Phase, p.Duration)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("phases %v, want %v", got, want)
	}
	if sum > o.Duration() {
		t.Errorf("phases took %v, the probe %v", sum, o.Duration())
	}
}

func TestProbeChangesNothing(t *testing.T) {
	fix := newFixture(t)
	want := map[mail.Protocol][]string{
		mail.IMAP: {"CAPABILITY", "AUTHENTICATE", "EXAMINE", "LOGOUT"},
		mail.POP3: {"CAPA", "AUTH", "STAT", "QUIT"},
		mail.SMTP: {"EHLO", "AUTH", "MAIL", "RSET", "QUIT"},
	}
	for p, verbs := range want {
		t.Run(string(p), func(t *testing.T) {
			server := fix.server(t, p, mail.ImplicitTLS)
			if o := new(Prober).Probe(t.Context(), fix.connection(p, mail.ImplicitTLS, server.Addr)); !o.Up() {
				t.Fatal(explain(o))
			}
			if got := server.Verbs(); !slices.Equal(got, verbs) {
				t.Errorf("the server saw %v, want %v", got, verbs)
			}
		})
	}
}

func TestProbeWithoutUserStopsBeforeTheLogin(t *testing.T) {
	fix := newFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		server := fix.server(t, p, e)
		o := new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr, func(c *mail.Connection) { c.Username, c.Sender = "", "" }))
		if !o.Up() || o.Auth.Known() || o.Mailbox.Tried || len(server.Logins()) != 0 {
			t.Errorf("up %v, login %+v, mailbox %+v\n%s", o.Up(), o.Auth, o.Mailbox, explain(o))
		}
	})
}

// Before STARTTLS no text of the server is shown. Our own text says what was missing in
// which answer.
func TestProbeSaysWhereSTARTTLSIsMissing(t *testing.T) {
	fix := newFixture(t)
	for protocol, want := range map[mail.Protocol]string{
		mail.IMAP: "starttls: CAPABILITY lists no STARTTLS", mail.POP3: "starttls: CAPA lists no STLS", mail.SMTP: "starttls: EHLO lists no STARTTLS",
	} {
		o := new(Prober).Probe(t.Context(), fix.connection(protocol, mail.StartTLS, fix.server(t, protocol, mail.NoEncryption).Addr))
		if o.Failure == nil || o.Failure.Text != want {
			t.Errorf("%s: want %q\n%s", protocol, want, explain(o))
		}
	}
}

// All faults of a certificate are reported; x509 alone reports only the first.
func TestProbeNamesEveryFaultOfACertificate(t *testing.T) {
	fix := newFixture(t)
	c := fix.connection(mail.IMAP, mail.ImplicitTLS, fix.server(t, mail.IMAP, mail.ImplicitTLS).Addr)
	c.TLS = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "other.example"}
	o := new(Prober).Probe(t.Context(), c)
	if f := o.Failure; f == nil || f.Reason != mail.CertUntrusted || !strings.HasPrefix(f.Text, "cert_untrusted, cert_name: tls: ") {
		t.Errorf("want both faults, the reason first\n%s", explain(o))
	}
}

func TestProbeWithAWrongPassword(t *testing.T) {
	fix := newFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		server := fix.server(t, p, e)
		o := new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr, func(c *mail.Connection) {
			c.Password = mail.InlineSecret(mail.NewSecret("looking glass"))
		}))
		wantFailure(t, o, mail.PhaseAuth, mail.AuthRejected)
		if !o.Auth.Sent || o.Auth.Accepted || !o.Auth.Rejected || len(server.Logins()) != 1 {
			t.Errorf("login %+v, %d at the server", o.Auth, len(server.Logins()))
		}
		if o.Goodbye != "" {
			t.Errorf("goodbye after a refusal: %s\n%s", o.Goodbye, explain(o))
		}
	})
}

// wantFailure checks where and why a probe ended.
func wantFailure(t *testing.T, o mail.Outcome, phase mail.Phase, reason mail.Reason) {
	t.Helper()
	if f := o.Failure; f == nil || f.Phase != phase || f.Reason != reason {
		t.Fatalf("want %s at %s, got\n%s", reason, phase, explain(o))
	}
	if o.Failure.Advice() == "" {
		t.Errorf("%s has no advice", reason)
	}
}

func TestProbeLogsInWithTheNativeCommand(t *testing.T) {
	fix := newFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		server := fix.server(t, p, e)
		o := new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr, func(c *mail.Connection) { c.Auth = mail.AuthLogin }))
		if !o.Up() || o.Auth.Mechanism != mail.AuthLogin {
			t.Fatalf("mechanism %q\n%s", o.Auth.Mechanism, explain(o))
		}
	})
}

func TestProbeIsStoppedInEveryPhase(t *testing.T) {
	fix := newFixture(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := fix.connection(mail.IMAP, mail.NoEncryption, silent.Addr().String(), func(c *mail.Connection) { c.Timeout = 200 * time.Millisecond })
	o := new(Prober).Probe(t.Context(), c)
	wantFailure(t, o, mail.PhaseGreeting, mail.Timeout)

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	c.Timeout = time.Minute
	o = new(Prober).Probe(ctx, c)
	wantFailure(t, o, mail.PhaseGreeting, mail.Timeout)
	if o.Duration() > 10*time.Second {
		t.Errorf("cancelled after 50ms, ended after %v", o.Duration())
	}
}
