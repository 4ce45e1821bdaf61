package prober_test

// How logins look to a real Dovecot and a real Postfix: every mechanism, and
// every way to a shared mailbox that they know.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/realserver"
	"mailprobe/mail"
)

// goodToken is the access token that the servers take for Alice.
const goodToken = "token-of-alice"

// withToken logs in with an access token instead of a password.
func withToken(token string) func(*mail.Connection) {
	return func(c *mail.Connection) {
		c.Password = mail.SecretSource{}
		c.Token = func(context.Context, bool) (mail.Secret, error) { return mail.NewSecret(token), nil }
	}
}

func TestRealServersEveryMechanism(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{})
	servers.dovecot.Tokens.Grant(goodToken, realserver.Alice)
	good, bad := withToken(goodToken), withToken("a-token-of-nobody")
	for _, test := range []struct {
		method     mail.AuthMethod
		good, bad  func(*mail.Connection) // credentials; good nil: the password
		wantReason mail.Reason            // of the bad ones
		only       mail.Protocol          // empty: all three
	}{
		{mail.AuthLogin, nil, wrongPassword, mail.AuthRejected, ""},
		{mail.AuthPlain, nil, wrongPassword, mail.AuthRejected, ""},
		{mail.AuthSASLLogin, nil, wrongPassword, mail.AuthRejected, ""},
		{mail.AuthCRAMMD5, nil, wrongPassword, mail.AuthRejected, ""},
		{mail.AuthSCRAMSHA1, nil, wrongPassword, mail.AuthRejected, ""},
		{mail.AuthSCRAMSHA256, nil, wrongPassword, mail.AuthRejected, ""},
		{mail.AuthXOAuth2, good, bad, mail.TokenRejected, ""},
		{mail.AuthOAuthBearer, good, bad, mail.TokenRejected, ""},
		{mail.AuthAPOP, nil, wrongPassword, mail.AuthRejected, mail.POP3},
	} {
		for _, p := range mail.Protocols() {
			if test.only != "" && test.only != p {
				continue
			}
			t.Run(string(test.method)+"_"+string(p), func(t *testing.T) {
				c := servers.connection(p, mail.ImplicitTLS)
				c.Auth = test.method
				if test.good != nil {
					test.good(c)
				}
				o := probe(t, c)
				wantUp(t, o)
				if o.Auth.Mechanism != test.method {
					t.Errorf("logged in by %q", o.Auth.Mechanism)
				}
				test.bad(c)
				wantDown(t, probe(t, c), mail.PhaseAuth, test.wantReason)
			})
		}
	}
}

func TestRealServersClientCertificates(t *testing.T) {
	t.Parallel()
	clients := mailtest.MustCA(mailtest.CAOptions{Name: "mailtest client CA"})
	dovecot := realserver.StartDovecot(t, realserver.Options{Clients: clients})
	servers := &real{ca: dovecot.CA, dovecot: dovecot, postfix: &realserver.Postfix{}}
	external := func(c *mail.Connection) {
		c.Auth, c.Password = mail.AuthExternal, mail.SecretSource{}
		c.TLS.Certificates = []tls.Certificate{clients.MustIssue(mailtest.CertOptions{
			CommonName: realserver.Alice, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})}
	}
	for _, p := range []mail.Protocol{mail.IMAP, mail.POP3} {
		for _, e := range []mail.Encryption{mail.StartTLS, mail.ImplicitTLS} {
			t.Run(string(p)+"_"+string(e), func(t *testing.T) {
				wantUp(t, probe(t, servers.connection(p, e, external)))
			})
		}
		t.Run(string(p)+"_without_certificate", func(t *testing.T) {
			c := servers.connection(p, mail.ImplicitTLS, external)
			c.TLS.Certificates = nil
			wantDown(t, probe(t, c), mail.PhaseAuth, mail.AuthRejected)
		})
	}
}

// sharing is one attempt to reach the shared mailbox.
type sharing struct {
	name       string
	protocol   mail.Protocol
	user       string
	access     mail.SharedAccess
	change     func(*mail.Connection)
	wantPhase  mail.Phase // empty: the probe comes to its end
	wantReason mail.Reason
}

// masterFormat is how Dovecot's master users name whom they log in as.
func masterFormat(c *mail.Connection) { c.LoginNameFormat = "{shared_mailbox}*{username}" }

// bySCRAM has an authzid of its own, in another frame than PLAIN's.
func bySCRAM(c *mail.Connection) { c.Auth = mail.AuthSCRAMSHA256 }

func TestRealServersSharedMailbox(t *testing.T) {
	t.Parallel()
	const imap, pop3, smtp = mail.IMAP, mail.POP3, mail.SMTP
	servers := startReal(t, realserver.Options{})
	for _, test := range []sharing{
		{"imap_master_user", imap, realserver.Bob, mail.SharedLoginName, masterFormat, "", ""},
		{"pop3_master_user", pop3, realserver.Bob, mail.SharedLoginName, masterFormat, "", ""},
		{"imap_no_master_user", imap, realserver.Alice, mail.SharedLoginName, masterFormat, mail.PhaseAuth, mail.AuthRejected},
		{"imap_authzid", imap, realserver.Bob, mail.SharedAuthzID, nil, "", ""},
		{"pop3_authzid", pop3, realserver.Bob, mail.SharedAuthzID, nil, "", ""},
		{"smtp_authzid", smtp, realserver.Bob, mail.SharedAuthzID, nil, "", ""},
		{"imap_authzid_by_scram", imap, realserver.Bob, mail.SharedAuthzID, bySCRAM, "", ""},
		{"imap_authzid_refused", imap, realserver.Alice, mail.SharedAuthzID, nil, mail.PhaseAuth, mail.AuthRejected},
		{"imap_folder", imap, realserver.Bob, mail.SharedFolder, nil, "", ""},
		{"imap_folder_without_a_right", imap, realserver.Alice, mail.SharedFolder, nil, mail.PhaseMailbox, mail.MailboxMissing},
		{"imap_folder_without_the_right_to_read", imap, realserver.Carol, mail.SharedFolder, nil, mail.PhaseMailbox, mail.MailboxDenied},
		{"smtp_sender", smtp, realserver.Bob, mail.SharedSender, nil, "", ""},
		{"smtp_sender_refused", smtp, realserver.Alice, mail.SharedSender, nil, mail.PhaseMailbox, mail.NotAuthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := servers.connection(test.protocol, mail.ImplicitTLS, as(test.user))
			c.SharedMailbox, c.SharedMailboxAccess = realserver.Helpdesk, test.access
			if test.protocol == smtp && test.access == mail.SharedAuthzID {
				c.Sender = realserver.Helpdesk
			}
			if test.change != nil {
				test.change(c)
			}
			o := probe(t, c)
			if test.wantPhase != "" {
				wantDown(t, o, test.wantPhase, test.wantReason)
				return
			}
			wantUp(t, o)
			if test.protocol != smtp && (!o.Mailbox.Counted || o.Mailbox.Messages != realserver.HelpdeskMessages) {
				t.Errorf("%+v: not the shared mailbox", o.Mailbox)
			}
		})
	}
}

func TestRealServersJudgeSendersAtMail(t *testing.T) {
	t.Parallel()
	dovecot := realserver.StartDovecot(t, realserver.Options{})
	servers := &real{ca: dovecot.CA, dovecot: dovecot,
		postfix: realserver.StartPostfix(t, realserver.PostfixOptions{Users: dovecot, RejectAtMail: true})}
	shared := func(c *mail.Connection) {
		c.SharedMailbox, c.SharedMailboxAccess, c.Recipient = realserver.Helpdesk, mail.SharedSender, ""
	}
	o := probe(t, servers.connection(mail.SMTP, mail.StartTLS, as(realserver.Alice), shared))
	wantDown(t, o, mail.PhaseMailbox, mail.NotAuthorized)
	if !strings.Contains(o.Failure.Text, "MAIL") {
		t.Errorf("refused by %q, want MAIL", o.Failure.Text)
	}
	wantUp(t, probe(t, servers.connection(mail.SMTP, mail.StartTLS, as(realserver.Bob), shared)))
}
