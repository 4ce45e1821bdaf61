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
	"mailprobe/prober"
)

// goodToken is the access token that the servers take for Alice.
const goodToken = "token-of-alice"

// withToken logs in with an access token instead of a password.
func withToken(token string) func(*prober.Connection) {
	return func(c *prober.Connection) {
		c.Password = prober.SecretSource{}
		c.Token = func(context.Context, bool) (prober.Secret, error) { return prober.NewSecret(token), nil }
	}
}

func TestRealServersEveryMechanism(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{})
	servers.dovecot.Tokens.Grant(goodToken, realserver.Alice)
	good, bad := withToken(goodToken), withToken("a-token-of-nobody")
	for _, test := range []struct {
		method     prober.AuthMethod
		good, bad  func(*prober.Connection) // credentials; good nil: the password
		wantReason prober.Reason            // of the bad ones
		only       prober.Protocol          // empty: all three
	}{
		{prober.AuthLogin, nil, wrongPassword, prober.AuthRejected, ""},
		{prober.AuthPlain, nil, wrongPassword, prober.AuthRejected, ""},
		{prober.AuthSASLLogin, nil, wrongPassword, prober.AuthRejected, ""},
		{prober.AuthCRAMMD5, nil, wrongPassword, prober.AuthRejected, ""},
		{prober.AuthSCRAMSHA1, nil, wrongPassword, prober.AuthRejected, ""},
		{prober.AuthSCRAMSHA256, nil, wrongPassword, prober.AuthRejected, ""},
		{prober.AuthXOAuth2, good, bad, prober.TokenRejected, ""},
		{prober.AuthOAuthBearer, good, bad, prober.TokenRejected, ""},
		{prober.AuthAPOP, nil, wrongPassword, prober.AuthRejected, prober.POP3},
	} {
		for _, p := range []prober.Protocol{prober.IMAP, prober.POP3, prober.SMTP} {
			if test.only != "" && test.only != p {
				continue
			}
			t.Run(string(test.method)+"_"+string(p), func(t *testing.T) {
				c := servers.connection(p, prober.ImplicitTLS)
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
				wantDown(t, probe(t, c), prober.PhaseAuth, test.wantReason)
			})
		}
	}
}

func TestRealServersClientCertificates(t *testing.T) {
	t.Parallel()
	clients := mailtest.MustCA(mailtest.CAOptions{Name: "mailtest client CA"})
	dovecot := realserver.StartDovecot(t, realserver.Options{Clients: clients})
	servers := &real{ca: dovecot.CA, dovecot: dovecot, postfix: &realserver.Postfix{}}
	external := func(c *prober.Connection) {
		c.Auth, c.Password = prober.AuthExternal, prober.SecretSource{}
		c.TLS.Certificates = []tls.Certificate{clients.MustIssue(mailtest.CertOptions{
			CommonName: realserver.Alice, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})}
	}
	for _, p := range []prober.Protocol{prober.IMAP, prober.POP3} {
		for _, e := range []prober.Encryption{prober.StartTLS, prober.ImplicitTLS} {
			t.Run(string(p)+"_"+string(e), func(t *testing.T) {
				wantUp(t, probe(t, servers.connection(p, e, external)))
			})
		}
		t.Run(string(p)+"_without_certificate", func(t *testing.T) {
			c := servers.connection(p, prober.ImplicitTLS, external)
			c.TLS.Certificates = nil
			wantDown(t, probe(t, c), prober.PhaseAuth, prober.AuthRejected)
		})
	}
}

// sharing is one attempt to reach the shared mailbox.
type sharing struct {
	name       string
	protocol   prober.Protocol
	user       string
	access     prober.SharedAccess
	change     func(*prober.Connection)
	wantPhase  prober.Phase // empty: the probe comes to its end
	wantReason prober.Reason
}

// masterFormat is how Dovecot's master users name whom they log in as.
func masterFormat(c *prober.Connection) { c.LoginNameFormat = "{shared_mailbox}*{username}" }

// bySCRAM has an authzid of its own, in another frame than PLAIN's.
func bySCRAM(c *prober.Connection) { c.Auth = prober.AuthSCRAMSHA256 }

func TestRealServersSharedMailbox(t *testing.T) {
	t.Parallel()
	const imap, pop3, smtp = prober.IMAP, prober.POP3, prober.SMTP
	servers := startReal(t, realserver.Options{})
	for _, test := range []sharing{
		{"imap_master_user", imap, realserver.Bob, prober.SharedLoginName, masterFormat, "", ""},
		{"pop3_master_user", pop3, realserver.Bob, prober.SharedLoginName, masterFormat, "", ""},
		{"imap_no_master_user", imap, realserver.Alice, prober.SharedLoginName, masterFormat, prober.PhaseAuth, prober.AuthRejected},
		{"imap_authzid", imap, realserver.Bob, prober.SharedAuthzID, nil, "", ""},
		{"pop3_authzid", pop3, realserver.Bob, prober.SharedAuthzID, nil, "", ""},
		{"smtp_authzid", smtp, realserver.Bob, prober.SharedAuthzID, nil, "", ""},
		{"imap_authzid_by_scram", imap, realserver.Bob, prober.SharedAuthzID, bySCRAM, "", ""},
		{"imap_authzid_refused", imap, realserver.Alice, prober.SharedAuthzID, nil, prober.PhaseAuth, prober.AuthRejected},
		{"imap_folder", imap, realserver.Bob, prober.SharedFolder, nil, "", ""},
		{"imap_folder_without_a_right", imap, realserver.Alice, prober.SharedFolder, nil, prober.PhaseMailbox, prober.MailboxMissing},
		{"imap_folder_without_the_right_to_read", imap, realserver.Carol, prober.SharedFolder, nil, prober.PhaseMailbox, prober.MailboxDenied},
		{"smtp_sender", smtp, realserver.Bob, prober.SharedSender, nil, "", ""},
		{"smtp_sender_refused", smtp, realserver.Alice, prober.SharedSender, nil, prober.PhaseMailbox, prober.NotAuthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := servers.connection(test.protocol, prober.ImplicitTLS, as(test.user))
			c.SharedMailbox, c.SharedMailboxAccess = realserver.Helpdesk, test.access
			if test.protocol == smtp && test.access == prober.SharedAuthzID {
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
	shared := func(c *prober.Connection) {
		c.SharedMailbox, c.SharedMailboxAccess, c.Recipient = realserver.Helpdesk, prober.SharedSender, ""
	}
	o := probe(t, servers.connection(prober.SMTP, prober.StartTLS, as(realserver.Alice), shared))
	wantDown(t, o, prober.PhaseMailbox, prober.NotAuthorized)
	if !strings.Contains(o.Failure.Text, "MAIL") {
		t.Errorf("refused by %q, want MAIL", o.Failure.Text)
	}
	wantUp(t, probe(t, servers.connection(prober.SMTP, prober.StartTLS, as(realserver.Bob), shared)))
}
