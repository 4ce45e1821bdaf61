package prober

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"mailprobe/mail"
)

// The most frequent mistakes in the configuration, and the words that their hints contain.
func TestHints(t *testing.T) {
	header := func(text string) error {
		err := tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}
		copy(err.RecordHeader[:], text)
		return &handshakeError{err: err}
	}
	missing := &fault{reason: mail.StartTLSNotOffered, err: errors.New("not offered")}
	needsTLS := diagnosed(refusal{protocol: mail.IMAP, command: "LOGIN", reply: reply{status: "NO", code: "PRIVACYREQUIRED"}})
	wrong := diagnosed(refusal{protocol: mail.IMAP, command: "AUTHENTICATE", reply: reply{status: "NO", code: "AUTHENTICATIONFAILED"}})
	hashed := diagnosed(refusal{protocol: mail.IMAP, command: "AUTHENTICATE", reply: wrong.reply, login: loginFacts{hashed: true}})
	denied := diagnosed(refusal{protocol: mail.SMTP, command: "MAIL", reply: reply{status: "550"}})
	unknown := diagnosed(refusal{protocol: mail.SMTP, command: "RCPT", reply: reply{status: "550"}})
	noFolder := diagnosed(refusal{protocol: mail.IMAP, command: "EXAMINE", reply: reply{status: "NO", text: "Mailbox does not exist"}})
	noMechanism := &fault{reason: mail.AuthMechanism, err: errors.New("not offered")}
	tests := []struct {
		name       string
		connection mail.Connection
		phase      mail.Phase
		err        error
		wantReason mail.Reason
		want       string // empty: the reason's own advice is enough
	}{
		{"TLS to plain IMAP", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Port: 143}, mail.PhaseTLS, header("* OK "),
			mail.TLSPlaintext, "this port speaks plain IMAP: use starttls or none"},
		{"TLS to plain POP3", mail.Connection{Protocol: mail.POP3, Encryption: mail.ImplicitTLS, Port: 110}, mail.PhaseTLS, header("+OK x"),
			mail.TLSPlaintext, "this port speaks plain POP3: use starttls or none"},
		{"TLS to plain SMTP", mail.Connection{Protocol: mail.SMTP, Encryption: mail.ImplicitTLS, Port: 587}, mail.PhaseTLS, header("220 m"),
			mail.TLSPlaintext, "this port speaks plain SMTP: use starttls or none"},
		{"IMAP over TLS to plain SMTP", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Port: 25}, mail.PhaseTLS, header("220 m"),
			mail.TLSPlaintext, "speaks plain SMTP, not IMAP: use port 993"},
		{"TLS to HTTP", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Port: 80}, mail.PhaseTLS, header("HTTP/"),
			mail.TLSPlaintext, "speaks plain HTTP, not IMAP"},
		{"TLS to plain text nobody knows", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS}, mail.PhaseTLS, header("hello"), mail.TLSPlaintext, ""},
		{"clear text after STARTTLS", mail.Connection{Protocol: mail.SMTP, Encryption: mail.StartTLS}, mail.PhaseTLS, header("220 m"),
			mail.TLSPlaintext, "agreed to STARTTLS but went on in clear"},

		{"clear to a silent TLS port", mail.Connection{Protocol: mail.IMAP, Encryption: mail.NoEncryption, Port: 993}, mail.PhaseGreeting, os.ErrDeadlineExceeded,
			mail.Timeout, "Port 993 usually speaks TLS from the first byte"},
		{"STARTTLS to a TLS port that hangs up", mail.Connection{Protocol: mail.SMTP, Encryption: mail.StartTLS, Port: 465}, mail.PhaseGreeting, io.EOF,
			mail.Closed, "Port 465 usually speaks TLS from the first byte"},
		{"clear to a TLS port that resets", mail.Connection{Protocol: mail.POP3, Encryption: mail.NoEncryption, Port: 995}, mail.PhaseGreeting, syscall.ECONNRESET,
			mail.Reset, "Port 995 usually speaks TLS from the first byte"},
		{"silence on a port of its own", mail.Connection{Protocol: mail.IMAP, Encryption: mail.NoEncryption, Port: 10143}, mail.PhaseGreeting, os.ErrDeadlineExceeded,
			mail.Timeout, "If port 10143 speaks TLS from the first byte, use encryption ssl/tls"},
		{"silence on the right port", mail.Connection{Protocol: mail.IMAP, Encryption: mail.NoEncryption}, mail.PhaseGreeting, os.ErrDeadlineExceeded, mail.Timeout, ""},
		{"TLS to a silent port of its own", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Port: 10143}, mail.PhaseTLS, os.ErrDeadlineExceeded, mail.Timeout, ""},
		{"TLS and then the end", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS}, mail.PhaseGreeting, io.EOF,
			mail.Closed, "whose mail server is down"},
		{"TLS and then a reset", mail.Connection{Protocol: mail.SMTP, Encryption: mail.ImplicitTLS}, mail.PhaseGreeting, syscall.ECONNRESET,
			mail.Reset, "whose mail server is down"},
		{"silence after the greeting", mail.Connection{Protocol: mail.IMAP, Encryption: mail.NoEncryption, Port: 993}, mail.PhaseHello, os.ErrDeadlineExceeded, mail.Timeout, ""},
		{"TLS to a silent clear port", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Port: 143}, mail.PhaseTLS, os.ErrDeadlineExceeded,
			mail.Timeout, "Port 143 usually starts in clear text"},
		{"port 25 blocked", mail.Connection{Protocol: mail.SMTP, Encryption: mail.NoEncryption}, mail.PhaseConnect, os.ErrDeadlineExceeded,
			mail.ConnectTimeout, "587 (starttls) or 465 (ssl/tls)"},

		{"a method that auto chose is refused", mail.Connection{Protocol: mail.IMAP, Auth: mail.AuthAuto}, mail.PhaseAuth, hashed,
			mail.AuthRejected, "set `auth` to plain or login"},
		{"a password that was sent is refused", mail.Connection{Protocol: mail.IMAP, Auth: mail.AuthAuto}, mail.PhaseAuth, wrong, mail.AuthRejected, ""},
		{"a certificate is refused", mail.Connection{Protocol: mail.SMTP, Auth: mail.AuthExternal, SharedMailbox: "helpdesk", SharedMailboxAccess: mail.SharedAuthzID},
			mail.PhaseAuth, wrong, mail.AuthRejected, "how the server maps certificates to names"},
		{"acting for a shared mailbox is refused",
			mail.Connection{Protocol: mail.IMAP, SharedMailbox: "helpdesk", SharedMailboxAccess: mail.SharedAuthzID}, mail.PhaseAuth, wrong,
			mail.AuthRejected, "allow this user to act for the shared mailbox"},
		{"two names in one login are refused",
			mail.Connection{Protocol: mail.IMAP, SharedMailbox: "helpdesk", SharedMailboxAccess: mail.SharedLoginName}, mail.PhaseAuth, wrong,
			mail.AuthRejected, "compare shared_mailbox_access"},
		{"a folder has no part in the login",
			mail.Connection{Protocol: mail.IMAP, SharedMailbox: "helpdesk", SharedMailboxAccess: mail.SharedFolder}, mail.PhaseAuth, wrong, mail.AuthRejected, ""},
		{"a sender is refused", mail.Connection{Protocol: mail.SMTP, Encryption: mail.StartTLS}, mail.PhaseMailbox, denied,
			mail.MailboxDenied, "allow the user to send as this address"},
		{"a recipient is unknown", mail.Connection{Protocol: mail.SMTP, Encryption: mail.StartTLS}, mail.PhaseMailbox, unknown,
			mail.MailboxMissing, "check recipient"},
		{"STARTTLS missing on port 25", mail.Connection{Protocol: mail.SMTP, Encryption: mail.StartTLS, Port: 25}, mail.PhaseStartTLS, missing,
			mail.StartTLSNotOffered, "submission with STARTTLS is on port 587"},
		{"STARTTLS missing for submission", mail.Connection{Protocol: mail.SMTP, Encryption: mail.StartTLS}, mail.PhaseStartTLS, missing,
			mail.StartTLSNotOffered, "use ssl/tls on port 465"},
		{"STARTTLS stripped on the way", mail.Connection{Protocol: mail.SMTP, Encryption: mail.StartTLS}, mail.PhaseStartTLS, missing,
			mail.StartTLSNotOffered, "in the network path strips it"},
		{"TLS and then silence", mail.Connection{Protocol: mail.SMTP, Encryption: mail.ImplicitTLS}, mail.PhaseGreeting, os.ErrDeadlineExceeded,
			mail.Timeout, "a web server (HTTPS) waits"},
		{"STARTTLS and then the end", mail.Connection{Protocol: mail.SMTP, Encryption: mail.StartTLS}, mail.PhaseTLS, &handshakeError{err: io.EOF},
			mail.Closed, "a missing certificate or key"},
		{"a reset in the handshake", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS}, mail.PhaseTLS, &handshakeError{err: syscall.ECONNRESET},
			mail.Reset, "without a mail server behind it"},
		{"a folder with another name", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Mailbox: "Archive"}, mail.PhaseMailbox, noFolder,
			mail.MailboxMissing, "its prefix (such as INBOX.)"},
		{"no INBOX", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Mailbox: "inbox"}, mail.PhaseMailbox, noFolder, mail.MailboxMissing, ""},
		{"STARTTLS missing for IMAP", mail.Connection{Protocol: mail.IMAP, Encryption: mail.StartTLS}, mail.PhaseStartTLS, missing, mail.StartTLSNotOffered, ""},

		{"login refused without TLS", mail.Connection{Protocol: mail.IMAP, Encryption: mail.NoEncryption}, mail.PhaseAuth, needsTLS,
			mail.AuthNeedsTLS, "accepts logins only under TLS: use encryption starttls, or ssl/tls with port 993"},
		{"login refused without TLS although there is TLS", mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS}, mail.PhaseAuth, needsTLS,
			mail.AuthNeedsTLS, "a proxy in front"},
		{"mechanism missing in clear", mail.Connection{Protocol: mail.SMTP, Encryption: mail.NoEncryption}, mail.PhaseAuth, noMechanism,
			mail.AuthMechanism, "use encryption starttls"},
		{"mechanism missing under TLS", mail.Connection{Protocol: mail.SMTP, Encryption: mail.ImplicitTLS}, mail.PhaseAuth, noMechanism, mail.AuthMechanism, ""},
		{"a fault's own hint wins", mail.Connection{Protocol: mail.SMTP, Encryption: mail.NoEncryption}, mail.PhaseAuth,
			&fault{reason: mail.AuthMechanism, hint: "own", err: io.EOF}, mail.AuthMechanism, "own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := classify(test.phase, &test.connection, test.err)
			reason, hint := d.reason, d.hint
			if reason != test.wantReason || !strings.Contains(hint, test.want) || (test.want == "") != (hint == "") {
				t.Errorf("%q with hint %q, want %q with %q", reason, hint, test.wantReason, test.want)
			}
		})
	}
}

// What the advice offers after a refusal before the password is something that was not tried.
func TestRefusedUnsentHint(t *testing.T) {
	offered := offer{sasl: map[string]bool{"LOGIN": true, "CRAM-MD5": true}}
	tests := []struct {
		name string
		c    mail.Connection
		want string
	}{
		{"auto has tried LOGIN", mail.Connection{Protocol: mail.SMTP, Auth: mail.AuthAuto}, "set `auth: cram-md5`."},
		{"LOGIN was configured", mail.Connection{Protocol: mail.SMTP, Auth: mail.AuthLogin}, "set `auth: cram-md5`, or let `auth: auto` choose."},
		{"SASL's LOGIN is not IMAP's", mail.Connection{Protocol: mail.IMAP, Auth: mail.AuthLogin}, "set `auth: cram-md5` or `auth: sasl-login`, or let `auth: auto` choose."},
	}
	for _, test := range tests {
		if got := refusedUnsentHint(&test.c, offered, []mail.AuthMethod{mail.AuthLogin}); !strings.HasSuffix(got, test.want) {
			t.Errorf("%s: %q, want %q at its end", test.name, got, test.want)
		}
	}
}

func TestGreetingHint(t *testing.T) {
	imap := &mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS}
	tests := []struct {
		name, first, want string
	}{
		{"SMTP", "220 mail.example.org ESMTP", "This port speaks SMTP, not IMAP: use port 993, or protocol smtp."},
		{"POP3", "+OK ready", "This port speaks POP3, not IMAP: use port 993, or protocol pop3."},
		{"FTP", "220 ProFTPD Server ready", "This port speaks FTP, not IMAP: use port 993."},
		{"IMAP", "* PREAUTH x", ""},
		{"IMAP goodbye", "* BYE x", ""},
		{"POP3 refusing", "-ERR x", "This port speaks POP3, not IMAP: use port 993, or protocol pop3."},
		{"SMTP leaving", "421 x", "The server refused the connection with 421, which is a reply of SMTP: it is busy, as SmarterMail then says on every port, or this is a port for SMTP (IMAP is usually on port 993)."},
		{"FileZilla", "220-FileZilla Server 1.5.1", "This port speaks FTP, not IMAP: use port 993."},
		{"page in capitals", "<HTML><HEAD>", "This port speaks HTTP, not IMAP: use port 993."},
		{"page in small letters", "<!doctype html>", "This port speaks HTTP, not IMAP: use port 993."},
		{"SMTP refusing", "554 x", "This port speaks SMTP, not IMAP: use port 993, or protocol smtp."},
		{"read-only news", "201 x", "This port speaks NNTP, not IMAP: use port 993."},
		{"page", "<!DOCTYPE html>", "This port speaks HTTP, not IMAP: use port 993."},
		{"bare page", "<html>", "This port speaks HTTP, not IMAP: use port 993."},
		{"ManageSieve again", "OK \"Dovecot ready.\"", "This port speaks ManageSieve, not IMAP: use port 993."},
		{"NNTP", "200 news.example.org ready", "This port speaks NNTP, not IMAP: use port 993."},
		{"SSH", "SSH-2.0-OpenSSH_9.6", "This port speaks SSH, not IMAP: use port 993."},
		{"HTTP", "HTTP/1.1 400 Bad Request", "This port speaks HTTP, not IMAP: use port 993."},
		{"ManageSieve", `"IMPLEMENTATION" "Dovecot Pigeonhole"`, "This port speaks ManageSieve, not IMAP: use port 993."},
		{"TLS alert", "\x15\x03\x01\x00\x02", "This port speaks TLS from the first byte: use encryption ssl/tls."},
		{"first byte of TLS", "\x16", "This port speaks TLS from the first byte: use encryption ssl/tls."},
		{"control byte that is no TLS", "\x15\x15", ""},
		{"its own protocol", "* OK ready", ""},
		{"nothing known", "hello", ""},
		{"nothing", "", ""},
	}
	for _, test := range tests {
		if got := greetingHint(imap, []byte(test.first)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	for _, first := range []string{"* OK x", "* PREAUTH x", "* BYE x"} {
		pop3 := &mail.Connection{Protocol: mail.POP3, Encryption: mail.StartTLS}
		if got, want := greetingHint(pop3, []byte(first)), "This port speaks IMAP, not POP3: use port 110, or protocol imap."; got != want {
			t.Errorf("%q: %q, want %q", first, got, want)
		}
	}
	if got := greetingHint(nil, []byte("220 x")); got != "" {
		t.Errorf("without a connection: %q", got)
	}
}
