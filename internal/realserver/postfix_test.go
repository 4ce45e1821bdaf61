package realserver

import (
	"strings"
	"testing"

	"mailprobe/internal/mailtest"
)

// submit opens a session up to the end of EHLO under TLS.
func submit(t *testing.T, server *Postfix, implicit bool) *dialogue {
	t.Helper()
	port := server.Submission
	if implicit {
		port = server.SMTPS
	}
	d := dial(t, port, server.CA)
	if implicit {
		d.secure()
	}
	d.hear("220 ")
	if !implicit {
		d.say("EHLO client.example.test", "250 ")
		d.say("AUTH PLAIN "+plain(Alice), "530 5.7.0")
		d.say("STARTTLS", "220 ")
		d.secure()
	}
	if answer := d.say("EHLO client.example.test", "250 "); !strings.Contains(answer, "AUTH PLAIN") {
		t.Errorf("no AUTH in %q", answer)
	}
	return d
}

// plain is the SASL PLAIN message of a user.
func plain(user string) string { return encoded("\x00" + user + "\x00" + Password(user)) }

func TestPostfixTakesLogins(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name string
		leaf mailtest.CertOptions
	}{{"ecdsa", mailtest.CertOptions{}}, {"rsa", mailtest.CertOptions{RSABits: 2048}}} {
		t.Run(kind.name, func(t *testing.T) {
			users := StartDovecot(t, Options{})
			server := StartPostfix(t, PostfixOptions{Users: users, Certificate: kind.leaf})
			for _, implicit := range []bool{false, true} {
				d := submit(t, server, implicit)
				d.say("AUTH PLAIN "+encoded("\x00"+Alice+"\x00wrong"), "535 5.7.8")
				d.say("AUTH PLAIN "+plain(Alice), "235 2.7.0")
				d.say("MAIL FROM:<"+Alice+">", "250 ")
				d.say("RCPT TO:<"+Bob+">", "250 ")
				d.say("QUIT", "221 ")
			}
		})
	}
}

func TestPostfixPlainPort(t *testing.T) {
	t.Parallel()
	users := StartDovecot(t, Options{})
	server := StartPostfix(t, PostfixOptions{Users: users})
	d := dial(t, server.SMTP, server.CA)
	d.hear("220 ")
	answer := d.say("EHLO client.example.test", "250 ")
	if strings.Contains(answer, "AUTH") || !strings.Contains(answer, "STARTTLS") {
		t.Errorf("EHLO: %q, want STARTTLS and no AUTH", answer)
	}
	d.say("MAIL FROM:<"+Alice+">", "250 ")
	d.say("RCPT TO:<"+Bob+">", "250 ")
	d.say("RCPT TO:<somebody@example.org>", "554 5.7.1")
}

func TestPostfixPlainPortWithoutTLS(t *testing.T) {
	t.Parallel()
	users := StartDovecot(t, Options{})
	server := StartPostfix(t, PostfixOptions{Users: users, NoTLS: true, PlaintextAuth: true})
	d := dial(t, server.SMTP, server.CA)
	d.hear("220 ")
	if answer := d.say("EHLO client.example.test", "250 "); strings.Contains(answer, "STARTTLS") {
		t.Errorf("EHLO: %q offers STARTTLS", answer)
	}
	d.say("AUTH PLAIN "+plain(Alice), "235 ")
}

func TestPostfixWatchesSenders(t *testing.T) {
	t.Parallel()
	users := StartDovecot(t, Options{})
	t.Run("at_rcpt", func(t *testing.T) {
		server := StartPostfix(t, PostfixOptions{Users: users})
		alice := submit(t, server, true)
		alice.say("AUTH PLAIN "+plain(Alice), "235 ")
		alice.say("MAIL FROM:<"+Helpdesk+">", "250 ")
		alice.say("RCPT TO:<"+Bob+">", "553 5.7.1")
		bob := submit(t, server, true)
		bob.say("AUTH PLAIN "+plain(Bob), "235 ")
		bob.say("MAIL FROM:<"+Helpdesk+">", "250 ")
		bob.say("RCPT TO:<"+Alice+">", "250 ")
	})
	t.Run("at_mail", func(t *testing.T) {
		server := StartPostfix(t, PostfixOptions{Users: users, RejectAtMail: true})
		alice := submit(t, server, true)
		alice.say("AUTH PLAIN "+plain(Alice), "235 ")
		alice.say("MAIL FROM:<"+Helpdesk+">", "553 5.7.1")
		bob := submit(t, server, true)
		bob.say("AUTH PLAIN "+plain(Bob), "235 ")
		bob.say("MAIL FROM:<"+Helpdesk+">", "250 ")
	})
}
