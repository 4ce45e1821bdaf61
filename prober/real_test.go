package prober_test

// Probes of real servers: Debian's Dovecot and Postfix, private instances.

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/realserver"
	"mailprobe/prober"
)

// real is a Dovecot and a Postfix that asks it for passwords.
type real struct {
	ca      *mailtest.CA
	dovecot *realserver.Dovecot
	postfix *realserver.Postfix
}

// startReal runs both servers with the same kind of certificate and the same
// mind about passwords in clear.
func startReal(t *testing.T, options realserver.Options) *real {
	t.Helper()
	r := &real{dovecot: realserver.StartDovecot(t, options)}
	r.ca = r.dovecot.CA
	r.postfix = realserver.StartPostfix(t, realserver.PostfixOptions{Users: r.dovecot,
		Certificate: options.Certificate, NoTLS: options.NoTLS, PlaintextAuth: options.PlaintextAuth})
	return r
}

// port is where a server of the pair speaks a protocol. Without TLS, Postfix
// takes mail, and logins if it takes any, on its plain port.
func (r *real) port(p prober.Protocol, e prober.Encryption) int {
	return map[prober.Protocol]map[prober.Encryption]int{
		prober.IMAP: {prober.NoEncryption: r.dovecot.IMAP, prober.StartTLS: r.dovecot.IMAP, prober.ImplicitTLS: r.dovecot.IMAPS},
		prober.POP3: {prober.NoEncryption: r.dovecot.POP3, prober.StartTLS: r.dovecot.POP3, prober.ImplicitTLS: r.dovecot.POP3S},
		prober.SMTP: {prober.NoEncryption: r.postfix.SMTP, prober.StartTLS: r.postfix.Submission, prober.ImplicitTLS: r.postfix.SMTPS},
	}[p][e]
}

// connection is what config would make for Alice.
func (r *real) connection(p prober.Protocol, e prober.Encryption, more ...func(*prober.Connection)) *prober.Connection {
	c := &prober.Connection{Name: "real", Protocol: p, Encryption: e,
		Host: realserver.Host, Port: r.port(p, e),
		Auth: prober.AuthAuto, CheckMailbox: true, Mailbox: "INBOX",
		Interval: time.Minute, Timeout: 20 * time.Second,
		Lockout: prober.LockoutNormal, HeldProbe: true, IPProtocol: prober.AnyIP}
	as(realserver.Alice)(c)
	if p == prober.SMTP {
		c.Sender, c.Recipient = realserver.Alice, realserver.Bob
	}
	if e != prober.NoEncryption {
		c.TLS = &tls.Config{RootCAs: r.ca.Pool(), ServerName: realserver.ServerName, MinVersion: tls.VersionTLS12}
	}
	for _, change := range more {
		change(c)
	}
	return c
}

// as logs in as a user, with the user's password.
func as(user string) func(*prober.Connection) {
	return func(c *prober.Connection) {
		c.Username = user
		c.Password = prober.InlineSecret(prober.NewSecret(realserver.Password(user)))
	}
}

// wrongPassword is one that no user has.
func wrongPassword(c *prober.Connection) {
	c.Password = prober.InlineSecret(prober.NewSecret("not-the-password"))
}

// probe runs one probe, and checks what holds for every outcome.
func probe(t *testing.T, c *prober.Connection) prober.Outcome {
	t.Helper()
	o := new(prober.Prober).Probe(t.Context(), c)
	if o.Goodbye != "" {
		t.Errorf("goodbye: %s\n%s", o.Goodbye, story(o))
	}
	if password, err := c.Password.Read(); err == nil && strings.Contains(story(o), password.Reveal()) {
		t.Errorf("the password is in\n%s", story(o))
	}
	return o
}

// story shows an outcome to whoever has to mend it.
func story(o prober.Outcome) string {
	var b strings.Builder
	if f := o.Failure; f != nil {
		b.WriteString(string(f.Phase) + " " + string(f.Reason) + ": " + f.Text + " (" + f.Hint + ")\n")
	}
	for _, line := range o.Transcript {
		b.WriteString(string(rune(line.From)) + ": " + line.Text + "\n")
	}
	return b.String()
}

// wantUp demands a probe that reached its end.
func wantUp(t *testing.T, o prober.Outcome) {
	t.Helper()
	if !o.Up() {
		t.Fatalf("not up: %s", story(o))
	}
}

// wantDown demands a probe that ended at a phase for a reason.
func wantDown(t *testing.T, o prober.Outcome, phase prober.Phase, reason prober.Reason) {
	t.Helper()
	if f := o.Failure; f == nil || f.Phase != phase || f.Reason != reason {
		t.Fatalf("want %s at %s, got %s", reason, phase, story(o))
	}
}

// kinds are the certificates that real servers have.
var kinds = map[string]mailtest.CertOptions{
	"ecdsa": {},
	"rsa":   {RSABits: 2048},
}

func TestRealServersEveryPairWithLogin(t *testing.T) {
	t.Parallel()
	for kind, certificate := range kinds {
		t.Run(kind, func(t *testing.T) {
			servers := startReal(t, realserver.Options{Certificate: certificate, PlaintextAuth: true})
			for _, p := range []prober.Protocol{prober.IMAP, prober.POP3, prober.SMTP} {
				for _, e := range []prober.Encryption{prober.NoEncryption, prober.StartTLS, prober.ImplicitTLS} {
					t.Run(string(p)+"_"+string(e), func(t *testing.T) { servers.wantEverything(t, p, e) })
				}
			}
			wantCleanLogs(t, servers)
		})
	}
}

// wantEverything demands of one good probe all that it can learn.
func (r *real) wantEverything(t *testing.T, p prober.Protocol, e prober.Encryption) {
	t.Helper()
	o := probe(t, r.connection(p, e))
	wantUp(t, o)
	mechanism := prober.AuthPlain
	if e == prober.NoEncryption {
		mechanism = prober.AuthSCRAMSHA256
	}
	if !o.Auth.Accepted || o.Auth.Mechanism != mechanism || !o.Mailbox.OK {
		t.Errorf("login %+v with %s wanted, mailbox %+v", o.Auth, mechanism, o.Mailbox)
	}
	if counts := p != prober.SMTP; o.Mailbox.Counted != counts || counts && o.Mailbox.Messages != 1 {
		t.Errorf("mailbox %+v, want one message", o.Mailbox)
	}
	if e == prober.NoEncryption {
		if o.TLS != nil {
			t.Errorf("TLS facts without TLS: %+v", o.TLS)
		}
		return
	}
	if o.TLS == nil || !o.TLS.Verified || o.TLS.Version != "TLS 1.3" || o.TLS.Handshake <= 0 {
		t.Fatalf("TLS facts %+v", o.TLS)
	}
	if left := time.Until(o.TLS.NotAfter); left < time.Hour || left > 25*time.Hour {
		t.Errorf("certificate ends in %v, want about a day", left)
	}
}

// wantCleanLogs demands that the servers saw nothing odd: their ban lists count
// sessions that break off.
func wantCleanLogs(t *testing.T, r *real) {
	t.Helper()
	for _, log := range []string{r.dovecot.Log(), r.postfix.Log()} {
		for line := range strings.Lines(log) {
			for _, odd := range []string{"lost connection", "timeout after", "improper command", "Aborted login", "Connection closed", "no auth attempts", "warning:", "error"} {
				if strings.Contains(line, odd) {
					t.Errorf("a server complains: %s", line)
				}
			}
		}
	}
}

// broken is one way in which a connection of the form is wrong.
type broken struct {
	name       string
	protocol   prober.Protocol
	encryption prober.Encryption
	change     func(*real, *prober.Connection)
	wantPhase  prober.Phase
	wantReason prober.Reason
}

// run probes each broken connection.
func (r *real) run(t *testing.T, cases []broken) {
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c := r.connection(test.protocol, test.encryption)
			if test.change != nil {
				test.change(r, c)
			}
			o := probe(t, c)
			wantDown(t, o, test.wantPhase, test.wantReason)
			if o.Auth.Sent != (test.wantReason == prober.AuthRejected || test.wantPhase == prober.PhaseMailbox) {
				t.Errorf("a credential was sent: %v\n%s", o.Auth.Sent, story(o))
			}
			if test.wantPhase == prober.PhaseTLS && strings.HasPrefix(string(test.wantReason), "cert_") {
				if o.TLS == nil || o.TLS.Verified || o.TLS.NotAfter.IsZero() || o.TLS.FingerprintSHA256 == "" {
					t.Errorf("certificate facts of a failed verification: %+v", o.TLS)
				}
			}
		})
	}
}

func wrong(_ *real, c *prober.Connection) { wrongPassword(c) }

func stranger(_ *real, c *prober.Connection) {
	c.TLS.RootCAs = mailtest.MustCA(mailtest.CAOptions{Name: "somebody else"}).Pool()
}

func otherName(_ *real, c *prober.Connection) { c.TLS.ServerName = "imap.example.test" }

// onPort dials the port of another pair.
func onPort(p prober.Protocol, e prober.Encryption) func(*real, *prober.Connection) {
	return func(r *real, c *prober.Connection) { c.Port, c.Timeout = r.port(p, e), 2*time.Second }
}

func TestRealServersBrokenConnections(t *testing.T) {
	t.Parallel()
	const imap, pop3, smtp = prober.IMAP, prober.POP3, prober.SMTP
	const none, starttls, implicit = prober.NoEncryption, prober.StartTLS, prober.ImplicitTLS
	startReal(t, realserver.Options{PlaintextAuth: true}).run(t, []broken{
		{"imap_wrong_password", imap, implicit, wrong, prober.PhaseAuth, prober.AuthRejected},
		{"pop3_wrong_password", pop3, starttls, wrong, prober.PhaseAuth, prober.AuthRejected},
		{"smtp_wrong_password", smtp, starttls, wrong, prober.PhaseAuth, prober.AuthRejected},
		{"imap_wrong_password_in_clear", imap, none, wrong, prober.PhaseAuth, prober.AuthRejected},
		{"pop3_wrong_password_in_clear", pop3, none, wrong, prober.PhaseAuth, prober.AuthRejected},
		{"smtp_wrong_password_in_clear", smtp, none, wrong, prober.PhaseAuth, prober.AuthRejected},
		{"imap_user_without_imap", imap, implicit, func(_ *real, c *prober.Connection) { as(realserver.NoIMAP)(c) }, prober.PhaseAuth, prober.AuthRejected},
		{"pop3_user_without_pop3", pop3, implicit, func(_ *real, c *prober.Connection) { as(realserver.NoPOP3)(c) }, prober.PhaseAuth, prober.AuthRejected},

		{"imap_unknown_ca", imap, implicit, stranger, prober.PhaseTLS, prober.CertUntrusted},
		{"pop3_unknown_ca", pop3, starttls, stranger, prober.PhaseTLS, prober.CertUntrusted},
		{"smtp_unknown_ca", smtp, starttls, stranger, prober.PhaseTLS, prober.CertUntrusted},
		{"imap_certificate_of_another_name", imap, starttls, otherName, prober.PhaseTLS, prober.CertName},
		{"pop3_certificate_of_another_name", pop3, implicit, otherName, prober.PhaseTLS, prober.CertName},
		{"smtp_certificate_of_another_name", smtp, implicit, otherName, prober.PhaseTLS, prober.CertName},

		{"imap_tls_to_a_plain_port", imap, implicit, onPort(imap, none), prober.PhaseTLS, prober.TLSPlaintext},
		{"pop3_tls_to_a_plain_port", pop3, implicit, onPort(pop3, none), prober.PhaseTLS, prober.TLSPlaintext},
		{"smtp_tls_to_a_plain_port", smtp, implicit, onPort(smtp, starttls), prober.PhaseTLS, prober.TLSPlaintext},
		{"imap_in_clear_to_a_tls_port", imap, none, onPort(imap, implicit), prober.PhaseGreeting, prober.Timeout},
		{"smtp_starttls_to_a_tls_port", smtp, starttls, onPort(smtp, implicit), prober.PhaseGreeting, prober.Timeout},
		{"imap_to_a_pop3_port", imap, none, onPort(pop3, none), prober.PhaseGreeting, prober.ProtocolMalformed},
		{"pop3_to_an_smtp_port", pop3, none, onPort(smtp, none), prober.PhaseGreeting, prober.ProtocolMalformed},
		{"smtp_to_an_imap_port", smtp, none, onPort(imap, none), prober.PhaseGreeting, prober.ProtocolMalformed},

		{"smtp_submission_without_starttls", smtp, none, onPort(smtp, starttls), prober.PhaseAuth, prober.AuthNeedsTLS},
		{"imap_mailbox_missing", imap, implicit, func(_ *real, c *prober.Connection) { c.Mailbox = "Missing" }, prober.PhaseMailbox, prober.MailboxMissing},
		{"smtp_sender_of_somebody_else", smtp, starttls, func(_ *real, c *prober.Connection) { c.Sender = realserver.Helpdesk }, prober.PhaseMailbox, prober.NotAuthorized},
		{"smtp_recipient_elsewhere", smtp, none, func(_ *real, c *prober.Connection) { c.Recipient = "somebody@example.org" }, prober.PhaseMailbox, prober.MailboxDenied},
		{"smtp_recipient_unknown", smtp, none, func(_ *real, c *prober.Connection) { c.Recipient = "nobody@example.test" }, prober.PhaseMailbox, prober.MailboxMissing},
	})
}

func TestRealServersWithAnExpiredCertificate(t *testing.T) {
	t.Parallel()
	yesterday := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	servers := startReal(t, realserver.Options{Certificate: mailtest.CertOptions{
		NotBefore: yesterday.Add(-30 * 24 * time.Hour), NotAfter: yesterday}})
	for _, p := range []prober.Protocol{prober.IMAP, prober.POP3, prober.SMTP} {
		for _, e := range []prober.Encryption{prober.StartTLS, prober.ImplicitTLS} {
			t.Run(string(p)+"_"+string(e), func(t *testing.T) {
				o := probe(t, servers.connection(p, e))
				wantDown(t, o, prober.PhaseTLS, prober.CertExpired)
				if o.TLS == nil || !o.TLS.NotAfter.Equal(yesterday) || o.TLS.Verified {
					t.Errorf("TLS facts %+v, want an end at %v", o.TLS, yesterday)
				}
				if o.Auth.Sent {
					t.Error("a credential was sent")
				}
			})
		}
	}
}

func TestRealServersWithoutSTARTTLS(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{NoTLS: true, PlaintextAuth: true})
	onPlainPort := func(r *real, c *prober.Connection) { c.Port = r.port(c.Protocol, prober.NoEncryption) }
	servers.run(t, []broken{
		{"imap", prober.IMAP, prober.StartTLS, nil, prober.PhaseStartTLS, prober.StartTLSNotOffered},
		{"pop3", prober.POP3, prober.StartTLS, nil, prober.PhaseStartTLS, prober.StartTLSNotOffered},
		{"smtp", prober.SMTP, prober.StartTLS, onPlainPort, prober.PhaseStartTLS, prober.StartTLSNotOffered},
	})
	if log := servers.dovecot.Log(); strings.Contains(log, "Login:") || strings.Contains(log, "auth failed") {
		t.Errorf("somebody tried to log in:\n%s", log)
	}
}

func TestRealServersWantTLSForPasswords(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{Mechanisms: "plain login"})
	servers.run(t, []broken{
		{"imap", prober.IMAP, prober.NoEncryption, nil, prober.PhaseAuth, prober.AuthNeedsTLS},
		{"pop3", prober.POP3, prober.NoEncryption, nil, prober.PhaseAuth, prober.AuthNeedsTLS},
		{"smtp", prober.SMTP, prober.NoEncryption, nil, prober.PhaseAuth, prober.AuthNeedsTLS},
		{"imap_mechanism_not_offered", prober.IMAP, prober.ImplicitTLS,
			func(_ *real, c *prober.Connection) { c.Auth = prober.AuthCRAMMD5 }, prober.PhaseAuth, prober.AuthMechanism},
		{"smtp_mechanism_not_offered", prober.SMTP, prober.ImplicitTLS,
			func(_ *real, c *prober.Connection) { c.Auth = prober.AuthSCRAMSHA256 }, prober.PhaseAuth, prober.AuthMechanism},
	})
}

func TestRealPOP3LockIsFreed(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{})
	for range 5 {
		wantUp(t, probe(t, servers.connection(prober.POP3, prober.ImplicitTLS)))
	}
	if log := servers.dovecot.Log(); strings.Contains(log, "is locked") {
		t.Errorf("a maildrop stayed locked:\n%s", log)
	}
}

func TestRealPOP3MaildropInUse(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{PlaintextAuth: true})
	holder, err := net.Dial("tcp", net.JoinHostPort(realserver.Host, strconv.Itoa(servers.dovecot.POP3)))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	lines := bufio.NewScanner(holder)
	for _, line := range []string{"", "USER " + realserver.Alice, "PASS " + realserver.Password(realserver.Alice)} {
		if line != "" {
			fmt.Fprintf(holder, "%s\r\n", line)
		}
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "+OK") {
			t.Fatalf("%q was answered with %q", line, lines.Text())
		}
	}
	// Dovecot waits 10 s for the lock, says no, and hangs up before any QUIT.
	o := new(prober.Prober).Probe(t.Context(), servers.connection(prober.POP3, prober.ImplicitTLS))
	wantDown(t, o, prober.PhaseAuth, prober.MailboxInUse)
	if o.Auth.Rejected {
		t.Error("a locked maildrop counts as a refused login")
	}
}
