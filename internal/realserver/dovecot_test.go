package realserver

import (
	"crypto/x509"
	"encoding/base64"
	"net"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
)

// encoded is SASL's form on the wire.
func encoded(message string) string { return base64.StdEncoding.EncodeToString([]byte(message)) }

func TestDovecotTakesLogins(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name string
		leaf mailtest.CertOptions
		want x509.PublicKeyAlgorithm
	}{
		{"ecdsa", mailtest.CertOptions{}, x509.ECDSA},
		{"rsa", mailtest.CertOptions{RSABits: 2048}, x509.RSA},
	} {
		t.Run(kind.name, func(t *testing.T) {
			server := StartDovecot(t, Options{Certificate: kind.leaf, PlaintextAuth: true})
			secure := func(d *dialogue) {
				if got := d.secure(); got != kind.want {
					t.Errorf("key of the certificate is %v, want %v", got, kind.want)
				}
			}
			t.Run("imap_none", func(t *testing.T) { imapLogin(dial(t, server.IMAP, server.CA), nil, false) })
			t.Run("imap_starttls", func(t *testing.T) { imapLogin(dial(t, server.IMAP, server.CA), secure, false) })
			t.Run("imap_tls", func(t *testing.T) { imapLogin(dial(t, server.IMAPS, server.CA), secure, true) })
			t.Run("pop3_none", func(t *testing.T) { pop3Login(dial(t, server.POP3, server.CA), nil, false) })
			t.Run("pop3_starttls", func(t *testing.T) { pop3Login(dial(t, server.POP3, server.CA), secure, false) })
			t.Run("pop3_tls", func(t *testing.T) { pop3Login(dial(t, server.POP3S, server.CA), secure, true) })
		})
	}
}

// imapLogin logs in with a wrong and then with the right password. secure is
// nil for a session in clear.
func imapLogin(d *dialogue, secure func(*dialogue), implicit bool) {
	d.t.Helper()
	if implicit {
		secure(d)
	}
	d.hear("* OK [CAPABILITY")
	if !implicit && secure != nil {
		d.say("a STARTTLS", "a OK")
		secure(d)
	}
	d.say("b LOGIN "+Alice+" wrong", "b NO [AUTHENTICATIONFAILED]")
	d.say("c LOGIN "+Alice+" "+Password(Alice), "c OK")
	if answer := d.say("d EXAMINE INBOX", "d OK"); !strings.Contains(answer, "* 1 EXISTS") {
		d.t.Errorf("EXAMINE: %q, want one message", answer)
	}
	d.say("e LOGOUT", "e OK")
}

// pop3Login is imapLogin for POP3.
func pop3Login(d *dialogue, secure func(*dialogue), implicit bool) {
	d.t.Helper()
	if implicit {
		secure(d)
	}
	d.hear("+OK")
	if !implicit && secure != nil {
		d.say("STLS", "+OK")
		secure(d)
	}
	d.say("USER "+Alice, "+OK")
	d.say("PASS wrong", "-ERR [AUTH]")
	d.say("USER "+Alice, "+OK")
	d.say("PASS "+Password(Alice), "+OK")
	d.say("STAT", "+OK 1 ")
	d.say("QUIT", "+OK")
}

func TestDovecotRefusesPasswordsInClear(t *testing.T) {
	t.Parallel()
	server := StartDovecot(t, Options{})
	imap := dial(t, server.IMAP, server.CA)
	imap.hear("LOGINDISABLED")
	imap.say("a LOGIN "+Alice+" "+Password(Alice), "a NO [PRIVACYREQUIRED]")
	pop3 := dial(t, server.POP3, server.CA)
	pop3.hear("+OK")
	pop3.say("USER "+Alice, "-ERR [AUTH]")
}

func TestDovecotWithoutTLSOffersNone(t *testing.T) {
	t.Parallel()
	server := StartDovecot(t, Options{NoTLS: true, PlaintextAuth: true})
	imap := dial(t, server.IMAP, server.CA)
	if greeting := imap.hear("* OK"); strings.Contains(greeting, "STARTTLS") {
		t.Errorf("greeting %q offers STARTTLS", greeting)
	}
	imap.say("a LOGIN "+Alice+" "+Password(Alice), "a OK")
}

func TestDovecotSharedMailboxes(t *testing.T) {
	t.Parallel()
	server := StartDovecot(t, Options{PlaintextAuth: true})
	login := func(t *testing.T, name, user, want string) *dialogue {
		t.Helper()
		d := dial(t, server.IMAP, server.CA)
		d.hear("* OK")
		d.say("a LOGIN "+name+" "+Password(user), want)
		return d
	}
	t.Run("bob_may_read_it", func(t *testing.T) {
		d := login(t, Bob, Bob, "a OK")
		if answer := d.say("b NAMESPACE", "b OK"); !strings.Contains(answer, `(("Shared/" "/"))`) {
			t.Errorf("no Other Users namespace in %q", answer)
		}
		d.say("c EXAMINE Shared/"+Helpdesk, "c OK [READ-ONLY]")
	})
	t.Run("carol_may_only_see_it", func(t *testing.T) {
		login(t, Carol, Carol, "a OK").say("c EXAMINE Shared/"+Helpdesk, "c NO [NOPERM]")
	})
	t.Run("alice_does_not_see_it", func(t *testing.T) {
		login(t, Alice, Alice, "a OK").say("c EXAMINE Shared/"+Helpdesk, "c NO Mailbox doesn't exist")
	})
	t.Run("bob_is_master", func(t *testing.T) {
		login(t, Helpdesk+"*"+Bob, Bob, "a OK").say("c EXAMINE INBOX", "c OK")
	})
	t.Run("alice_is_no_master", func(t *testing.T) {
		login(t, Helpdesk+"*"+Alice, Alice, "a NO [AUTHENTICATIONFAILED]")
	})
	t.Run("bob_by_authzid", func(t *testing.T) {
		d := dial(t, server.IMAP, server.CA)
		d.hear("* OK")
		d.say("a AUTHENTICATE PLAIN "+encoded(Helpdesk+"\x00"+Bob+"\x00"+Password(Bob)), "a OK")
		d.say("b EXAMINE INBOX", "b OK")
	})
}

func TestDovecotShutsUsersOut(t *testing.T) {
	t.Parallel()
	server := StartDovecot(t, Options{PlaintextAuth: true})
	imap := dial(t, server.IMAP, server.CA)
	imap.hear("* OK")
	imap.say("a LOGIN "+NoIMAP+" "+Password(NoIMAP), "a NO [AUTHENTICATIONFAILED]")
	imap.say("b LOGIN "+NoPOP3+" "+Password(NoPOP3), "b OK")
	pop3 := dial(t, server.POP3, server.CA)
	pop3.hear("+OK")
	pop3.say("USER "+NoPOP3, "+OK")
	pop3.say("PASS "+Password(NoPOP3), "-ERR [AUTH]")
}

func TestDovecotBelievesTokens(t *testing.T) {
	t.Parallel()
	server := StartDovecot(t, Options{PlaintextAuth: true})
	server.Tokens.Grant("good-token", Alice)
	xoauth2 := func(user, token string) string {
		return "a AUTHENTICATE XOAUTH2 " + encoded("user="+user+"\x01auth=Bearer "+token+"\x01\x01")
	}
	t.Run("granted", func(t *testing.T) {
		d := dial(t, server.IMAP, server.CA)
		d.hear("* OK")
		d.say(xoauth2(Alice, "good-token"), "a OK")
	})
	t.Run("of_another_user", func(t *testing.T) {
		d := dial(t, server.IMAP, server.CA)
		d.hear("* OK")
		d.say(xoauth2(Bob, "good-token"), "+ ")
		d.say("", "a NO")
	})
	t.Run("revoked", func(t *testing.T) {
		server.Tokens.Revoke("good-token")
		d := dial(t, server.IMAP, server.CA)
		d.hear("* OK")
		d.say(xoauth2(Alice, "good-token"), "+ ")
		d.say("", "a NO")
	})
}

func TestDovecotTakesClientCertificates(t *testing.T) {
	t.Parallel()
	clients := mailtest.MustCA(mailtest.CAOptions{Name: "mailtest client CA"})
	server := StartDovecot(t, Options{Clients: clients})
	d := dial(t, server.IMAPS, server.CA, clients.MustIssue(mailtest.CertOptions{
		CommonName: Alice, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}))
	d.secure()
	d.hear("AUTH=EXTERNAL")
	d.say("a AUTHENTICATE EXTERNAL "+encoded(Alice), "a OK")

	without := dial(t, server.IMAPS, server.CA)
	without.secure()
	without.hear("* OK")
	without.say("a AUTHENTICATE EXTERNAL "+encoded(Alice), "a NO")
	without.say("b LOGIN "+Alice+" "+Password(Alice), "b OK")
}

func TestDovecotEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var server *Dovecot
	t.Run("life", func(t *testing.T) { server = StartDovecot(t, Options{}) })
	if server == nil {
		t.Skip("not started")
	}
	// Login processes are told to end, and may outlive the master for a moment.
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address(server.IMAP), time.Second)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
	t.Errorf("port %d still answers after the test", server.IMAP)
}
