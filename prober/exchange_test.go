package prober

// The ways of Exchange with a shared mailbox, as they behave: both
// names in the protocol's own login command work, AUTHENTICATE PLAIN refuses
// them, and online it is a token of one user with the name of the other.

import (
	"crypto/tls"
	"testing"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// exchangeLogin is what each protocol's own command looks like on the wire: an
// IMAP quoted string doubles the backslash, POP3 has no quoting.
var exchangeLogin = map[mail.Protocol]struct{ hello, login, end string }{
	mail.IMAP: {
		hello: "S: * OK The Microsoft Exchange IMAP4 service is ready.\n" +
			"C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR\nS: {tag} OK CAPABILITY completed.",
		login: `C: {tag} LOGIN "alice@example.org\\helpdesk" "wonder land"` + "\nS: {tag} OK LOGIN completed.",
		end:   "C: {tag} EXAMINE INBOX\nS: * 7 EXISTS\nS: * FLAGS (\\Seen)\nS: {tag} OK [READ-ONLY] EXAMINE completed.\nBYE imap",
	},
	mail.POP3: {
		hello: "S: +OK The Microsoft Exchange POP3 service is ready.\nC: CAPA\nS: +OK\nS: TOP\nS: USER\nS: SASL PLAIN XOAUTH2\nS: .",
		login: `C: USER alice@example.org\helpdesk` + "\nS: +OK\nC: PASS wonder land\nS: +OK User successfully logged on.",
		end:   "C: STAT\nS: +OK 7 360\nBYE pop3",
	},
}

// exchange plays one conversation under TLS.
func (fix *fixture) exchange(t *testing.T, p mail.Protocol, script string, change func(*mail.Connection)) mail.Outcome {
	t.Helper()
	server, err := mailtest.StartScript(mailtest.MustScript("TLS\n"+exchangeLogin[p].hello+"\n"+script),
		mailtest.ScriptOptions{TLS: &tls.Config{Certificates: []tls.Certificate{fix.cert}}})
	if err != nil {
		t.Fatal(err)
	}
	c := fix.connection(p, mail.ImplicitTLS, server.Addr, func(c *mail.Connection) {
		c.Username, c.SharedMailbox, c.SharedMailboxAccess = "alice@example.org", "helpdesk", mail.SharedLoginName
		c.LoginNameFormat = `{username}\{shared_mailbox}`
		change(c)
	})
	o := new(Prober).Probe(t.Context(), c)
	if err := server.Close(); err != nil {
		t.Errorf("the client left the script: %v", err)
	}
	for _, session := range server.Sessions() {
		if session.Logins() != 1 {
			t.Errorf("%d logins in one probe: %q", session.Logins(), session.Lines)
		}
	}
	return o
}

func TestExchangeSharedMailboxByLoginName(t *testing.T) {
	fix := newFixture(t)
	for p, words := range exchangeLogin {
		for _, auth := range []mail.AuthMethod{mail.AuthAuto, mail.AuthLogin} {
			t.Run(string(p)+"_"+string(auth), func(t *testing.T) {
				o := fix.exchange(t, p, words.login+"\n"+words.end, func(c *mail.Connection) { c.Auth = auth })
				if !o.Up() || o.Auth.Mechanism != mail.AuthLogin || o.Mailbox.Messages != 7 {
					t.Errorf("by %q, mailbox %+v\n%s", o.Auth.Mechanism, o.Mailbox, explain(o))
				}
			})
		}
	}
}

// TestExchangeRefusesSharedNamesInPlain: who insists on PLAIN gets Exchange's
// refusal, and no second try by another mechanism.
func TestExchangeRefusesSharedNamesInPlain(t *testing.T) {
	fix := newFixture(t)
	scripts := map[mail.Protocol]string{
		mail.IMAP: "C: {tag} AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUub3JnXGhlbHBkZXNrAHdvbmRlciBsYW5k\nS: {tag} NO AUTHENTICATE failed.\nBYE imap",
		mail.POP3: "C: AUTH PLAIN\nS: + \nC: AGFsaWNlQGV4YW1wbGUub3JnXGhlbHBkZXNrAHdvbmRlciBsYW5k\nS: -ERR Authentication failure: unknown user name or bad password.\nBYE pop3",
	}
	for p, script := range scripts {
		t.Run(string(p), func(t *testing.T) {
			o := fix.exchange(t, p, script, func(c *mail.Connection) { c.Auth = mail.AuthPlain })
			if f := o.Failure; f == nil || f.Phase != mail.PhaseAuth || f.Class() != mail.Definitive || o.Auth.Mechanism != mail.AuthPlain {
				t.Errorf("by %q\n%s", o.Auth.Mechanism, explain(o))
			}
		})
	}
}

// TestExchangeAuthenticatedButNotConnected: Exchange says OK, also to a wrong
// password, and takes it back at the first command.
func TestExchangeAuthenticatedButNotConnected(t *testing.T) {
	fix := newFixture(t)
	script := exchangeLogin[mail.IMAP].login + "\nC: {tag} EXAMINE INBOX\nS: {tag} BAD User is authenticated but not connected.\nBYE imap"
	o := fix.exchange(t, mail.IMAP, script, func(*mail.Connection) {})
	wantFailure(t, o, mail.PhaseMailbox, mail.NotAuthorized)
	if !o.Auth.Sent || o.Auth.Accepted || o.Auth.Rejected || o.Failure.Class() != mail.Possible {
		t.Errorf("login %+v of class %c, want it sent and in doubt", o.Auth, o.Failure.Class())
	}
}
