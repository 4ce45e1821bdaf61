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
	"mailprobe/mail"
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
func (r *real) port(p mail.Protocol, e mail.Encryption) int {
	return map[mail.Protocol]map[mail.Encryption]int{
		mail.IMAP: {mail.NoEncryption: r.dovecot.IMAP, mail.StartTLS: r.dovecot.IMAP, mail.ImplicitTLS: r.dovecot.IMAPS},
		mail.POP3: {mail.NoEncryption: r.dovecot.POP3, mail.StartTLS: r.dovecot.POP3, mail.ImplicitTLS: r.dovecot.POP3S},
		mail.SMTP: {mail.NoEncryption: r.postfix.SMTP, mail.StartTLS: r.postfix.Submission, mail.ImplicitTLS: r.postfix.SMTPS},
	}[p][e]
}

// connection is what config would make for Alice.
func (r *real) connection(p mail.Protocol, e mail.Encryption, more ...func(*mail.Connection)) *mail.Connection {
	c := &mail.Connection{Name: "real", Protocol: p, Encryption: e,
		Host: realserver.Host, Port: r.port(p, e),
		Auth: mail.AuthAuto, CheckMailbox: true, Mailbox: "INBOX",
		Interval: time.Minute, Timeout: 20 * time.Second,
		Lockout: mail.LockoutNormal, HeldProbe: true, IPProtocol: mail.AnyIP}
	as(realserver.Alice)(c)
	if p == mail.SMTP {
		c.Sender, c.Recipient = realserver.Alice, realserver.Bob
	}
	if e != mail.NoEncryption {
		c.TLS = &tls.Config{RootCAs: r.ca.Pool(), ServerName: realserver.ServerName, MinVersion: tls.VersionTLS12}
	}
	for _, change := range more {
		change(c)
	}
	return c
}

// as logs in as a user, with the user's password.
func as(user string) func(*mail.Connection) {
	return func(c *mail.Connection) {
		c.Username = user
		c.Password = mail.InlineSecret(mail.NewSecret(realserver.Password(user)))
	}
}

// wrongPassword is one that no user has.
func wrongPassword(c *mail.Connection) {
	c.Password = mail.InlineSecret(mail.NewSecret("not-the-password"))
}

// probe runs one probe, and checks what holds for every outcome.
func probe(t *testing.T, c *mail.Connection) mail.Outcome {
	t.Helper()
	o := new(prober.Prober).Probe(t.Context(), c)
	if o.Goodbye != "" {
		t.Errorf("goodbye: %s\n%s", o.Goodbye, story(o))
	}
	if password, err := c.Password.Read(t.Context()); err == nil && strings.Contains(story(o), password.Reveal()) {
		t.Errorf("the password is in\n%s", story(o))
	}
	return o
}

// story shows an outcome in the message of a failed test.
func story(o mail.Outcome) string {
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
func wantUp(t *testing.T, o mail.Outcome) {
	t.Helper()
	if !o.Up() {
		t.Fatalf("not up: %s", story(o))
	}
}

// wantDown demands a probe that ended at a phase for a reason.
func wantDown(t *testing.T, o mail.Outcome, phase mail.Phase, reason mail.Reason) {
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
			for _, p := range mail.Protocols() {
				for _, e := range []mail.Encryption{mail.NoEncryption, mail.StartTLS, mail.ImplicitTLS} {
					t.Run(string(p)+"_"+string(e), func(t *testing.T) { servers.wantEverything(t, p, e) })
				}
			}
			wantCleanLogs(t, servers)
		})
	}
}

// wantEverything demands of one good probe all that it can learn.
func (r *real) wantEverything(t *testing.T, p mail.Protocol, e mail.Encryption) {
	t.Helper()
	o := probe(t, r.connection(p, e))
	wantUp(t, o)
	mechanism := mail.AuthPlain
	if e == mail.NoEncryption {
		mechanism = mail.AuthSCRAMSHA256
	}
	if !o.Auth.Accepted || o.Auth.Mechanism != mechanism || !o.Mailbox.OK {
		t.Errorf("login %+v with %s wanted, mailbox %+v", o.Auth, mechanism, o.Mailbox)
	}
	if counts := p != mail.SMTP; o.Mailbox.Counted != counts || counts && o.Mailbox.Messages != 1 {
		t.Errorf("mailbox %+v, want one message", o.Mailbox)
	}
	if e == mail.NoEncryption {
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
	protocol   mail.Protocol
	encryption mail.Encryption
	change     func(*real, *mail.Connection)
	wantPhase  mail.Phase
	wantReason mail.Reason
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
			if o.Auth.Sent != (test.wantReason == mail.AuthRejected || test.wantPhase == mail.PhaseMailbox) {
				t.Errorf("a credential was sent: %v\n%s", o.Auth.Sent, story(o))
			}
			if test.wantPhase == mail.PhaseTLS && strings.HasPrefix(string(test.wantReason), "cert_") {
				if o.TLS == nil || o.TLS.Verified || o.TLS.NotAfter.IsZero() || o.TLS.FingerprintSHA256 == "" {
					t.Errorf("certificate facts of a failed verification: %+v", o.TLS)
				}
			}
		})
	}
}

func wrong(_ *real, c *mail.Connection) { wrongPassword(c) }

func stranger(_ *real, c *mail.Connection) {
	c.TLS.RootCAs = mailtest.MustCA(mailtest.CAOptions{Name: "somebody else"}).Pool()
}

func otherName(_ *real, c *mail.Connection) { c.TLS.ServerName = "imap.example.test" }

// onPort dials the port of another pair.
func onPort(p mail.Protocol, e mail.Encryption) func(*real, *mail.Connection) {
	return func(r *real, c *mail.Connection) { c.Port, c.Timeout = r.port(p, e), 2*time.Second }
}

func TestRealServersBrokenConnections(t *testing.T) {
	t.Parallel()
	const imap, pop3, smtp = mail.IMAP, mail.POP3, mail.SMTP
	const none, starttls, implicit = mail.NoEncryption, mail.StartTLS, mail.ImplicitTLS
	startReal(t, realserver.Options{PlaintextAuth: true}).run(t, []broken{
		{"imap_wrong_password", imap, implicit, wrong, mail.PhaseAuth, mail.AuthRejected},
		{"pop3_wrong_password", pop3, starttls, wrong, mail.PhaseAuth, mail.AuthRejected},
		{"smtp_wrong_password", smtp, starttls, wrong, mail.PhaseAuth, mail.AuthRejected},
		{"imap_wrong_password_in_clear", imap, none, wrong, mail.PhaseAuth, mail.AuthRejected},
		{"pop3_wrong_password_in_clear", pop3, none, wrong, mail.PhaseAuth, mail.AuthRejected},
		{"smtp_wrong_password_in_clear", smtp, none, wrong, mail.PhaseAuth, mail.AuthRejected},
		{"imap_user_without_imap", imap, implicit, func(_ *real, c *mail.Connection) { as(realserver.NoIMAP)(c) }, mail.PhaseAuth, mail.AuthRejected},
		{"pop3_user_without_pop3", pop3, implicit, func(_ *real, c *mail.Connection) { as(realserver.NoPOP3)(c) }, mail.PhaseAuth, mail.AuthRejected},

		{"imap_unknown_ca", imap, implicit, stranger, mail.PhaseTLS, mail.CertUntrusted},
		{"pop3_unknown_ca", pop3, starttls, stranger, mail.PhaseTLS, mail.CertUntrusted},
		{"smtp_unknown_ca", smtp, starttls, stranger, mail.PhaseTLS, mail.CertUntrusted},
		{"imap_certificate_of_another_name", imap, starttls, otherName, mail.PhaseTLS, mail.CertName},
		{"pop3_certificate_of_another_name", pop3, implicit, otherName, mail.PhaseTLS, mail.CertName},
		{"smtp_certificate_of_another_name", smtp, implicit, otherName, mail.PhaseTLS, mail.CertName},

		{"imap_tls_to_a_plain_port", imap, implicit, onPort(imap, none), mail.PhaseTLS, mail.TLSPlaintext},
		{"pop3_tls_to_a_plain_port", pop3, implicit, onPort(pop3, none), mail.PhaseTLS, mail.TLSPlaintext},
		{"smtp_tls_to_a_plain_port", smtp, implicit, onPort(smtp, starttls), mail.PhaseTLS, mail.TLSPlaintext},
		{"imap_in_clear_to_a_tls_port", imap, none, onPort(imap, implicit), mail.PhaseGreeting, mail.Timeout},
		{"smtp_starttls_to_a_tls_port", smtp, starttls, onPort(smtp, implicit), mail.PhaseGreeting, mail.Timeout},
		{"imap_to_a_pop3_port", imap, none, onPort(pop3, none), mail.PhaseGreeting, mail.ProtocolMalformed},
		{"pop3_to_an_smtp_port", pop3, none, onPort(smtp, none), mail.PhaseGreeting, mail.ProtocolMalformed},
		{"smtp_to_an_imap_port", smtp, none, onPort(imap, none), mail.PhaseGreeting, mail.ProtocolMalformed},

		{"smtp_submission_without_starttls", smtp, none, onPort(smtp, starttls), mail.PhaseAuth, mail.AuthNeedsTLS},
		{"imap_mailbox_missing", imap, implicit, func(_ *real, c *mail.Connection) { c.Mailbox = "Missing" }, mail.PhaseMailbox, mail.MailboxMissing},
		{"smtp_sender_of_somebody_else", smtp, starttls, func(_ *real, c *mail.Connection) { c.Sender = realserver.Helpdesk }, mail.PhaseMailbox, mail.NotAuthorized},
		{"smtp_recipient_elsewhere", smtp, none, func(_ *real, c *mail.Connection) { c.Recipient = "somebody@example.org" }, mail.PhaseMailbox, mail.MailboxDenied},
		{"smtp_recipient_unknown", smtp, none, func(_ *real, c *mail.Connection) { c.Recipient = "nobody@example.test" }, mail.PhaseMailbox, mail.MailboxMissing},
	})
}

func TestRealServersWithAnExpiredCertificate(t *testing.T) {
	t.Parallel()
	yesterday := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	servers := startReal(t, realserver.Options{Certificate: mailtest.CertOptions{
		NotBefore: yesterday.Add(-30 * 24 * time.Hour), NotAfter: yesterday}})
	for _, p := range mail.Protocols() {
		for _, e := range []mail.Encryption{mail.StartTLS, mail.ImplicitTLS} {
			t.Run(string(p)+"_"+string(e), func(t *testing.T) {
				o := probe(t, servers.connection(p, e))
				wantDown(t, o, mail.PhaseTLS, mail.CertExpired)
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
	onPlainPort := func(r *real, c *mail.Connection) { c.Port = r.port(c.Protocol, mail.NoEncryption) }
	servers.run(t, []broken{
		{"imap", mail.IMAP, mail.StartTLS, nil, mail.PhaseStartTLS, mail.StartTLSNotOffered},
		{"pop3", mail.POP3, mail.StartTLS, nil, mail.PhaseStartTLS, mail.StartTLSNotOffered},
		{"smtp", mail.SMTP, mail.StartTLS, onPlainPort, mail.PhaseStartTLS, mail.StartTLSNotOffered},
	})
	if log := servers.dovecot.Log(); strings.Contains(log, "Login:") || strings.Contains(log, "auth failed") {
		t.Errorf("somebody tried to log in:\n%s", log)
	}
}

func TestRealServersWantTLSForPasswords(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{Mechanisms: "plain login"})
	servers.run(t, []broken{
		{"imap", mail.IMAP, mail.NoEncryption, nil, mail.PhaseAuth, mail.AuthNeedsTLS},
		{"pop3", mail.POP3, mail.NoEncryption, nil, mail.PhaseAuth, mail.AuthNeedsTLS},
		{"smtp", mail.SMTP, mail.NoEncryption, nil, mail.PhaseAuth, mail.AuthNeedsTLS},
		{"imap_mechanism_not_offered", mail.IMAP, mail.ImplicitTLS,
			func(_ *real, c *mail.Connection) { c.Auth = mail.AuthCRAMMD5 }, mail.PhaseAuth, mail.AuthMechanism},
		{"smtp_mechanism_not_offered", mail.SMTP, mail.ImplicitTLS,
			func(_ *real, c *mail.Connection) { c.Auth = mail.AuthSCRAMSHA256 }, mail.PhaseAuth, mail.AuthMechanism},
	})
}

func TestRealPOP3LockIsFreed(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{})
	for range 5 {
		wantUp(t, probe(t, servers.connection(mail.POP3, mail.ImplicitTLS)))
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
	o := new(prober.Prober).Probe(t.Context(), servers.connection(mail.POP3, mail.ImplicitTLS))
	wantDown(t, o, mail.PhaseAuth, mail.MailboxInUse)
	if o.Auth.Rejected {
		t.Error("a locked maildrop counts as a refused login")
	}
}
