package prober

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

// The commonest mistakes of the form, and the words that must show up.
func TestHints(t *testing.T) {
	header := func(text string) error {
		err := tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}
		copy(err.RecordHeader[:], text)
		return &handshakeError{err: err}
	}
	missing := &fault{reason: StartTLSNotOffered, err: errors.New("not offered")}
	needsTLS := &refusal{protocol: IMAP, command: "LOGIN", reply: reply{status: "NO", code: "PRIVACYREQUIRED"}}
	wrong := &refusal{protocol: IMAP, command: "AUTHENTICATE", reply: reply{status: "NO", code: "AUTHENTICATIONFAILED"}}
	hashed := &refusal{protocol: IMAP, command: "AUTHENTICATE", reply: wrong.reply, hashed: true}
	denied := &refusal{protocol: SMTP, command: "MAIL", reply: reply{status: "550"}}
	unknown := &refusal{protocol: SMTP, command: "RCPT", reply: reply{status: "550"}}
	noMechanism := &fault{reason: AuthMechanism, err: errors.New("not offered")}
	tests := []struct {
		name       string
		connection Connection
		phase      Phase
		err        error
		wantReason Reason
		want       string // empty: the reason's own advice is enough
	}{
		{"TLS to plain IMAP", Connection{Protocol: IMAP, Encryption: ImplicitTLS, Port: 143}, PhaseTLS, header("* OK "),
			TLSPlaintext, "this port speaks plain IMAP: use starttls or none"},
		{"TLS to plain POP3", Connection{Protocol: POP3, Encryption: ImplicitTLS, Port: 110}, PhaseTLS, header("+OK x"),
			TLSPlaintext, "this port speaks plain POP3: use starttls or none"},
		{"TLS to plain SMTP", Connection{Protocol: SMTP, Encryption: ImplicitTLS, Port: 587}, PhaseTLS, header("220 m"),
			TLSPlaintext, "this port speaks plain SMTP: use starttls or none"},
		{"IMAP over TLS to plain SMTP", Connection{Protocol: IMAP, Encryption: ImplicitTLS, Port: 25}, PhaseTLS, header("220 m"),
			TLSPlaintext, "speaks plain SMTP, not IMAP: use port 993"},
		{"TLS to HTTP", Connection{Protocol: IMAP, Encryption: ImplicitTLS, Port: 80}, PhaseTLS, header("HTTP/"),
			TLSPlaintext, "speaks plain HTTP, not IMAP"},
		{"TLS to plain text nobody knows", Connection{Protocol: IMAP, Encryption: ImplicitTLS}, PhaseTLS, header("hello"), TLSPlaintext, ""},
		{"clear text after STARTTLS", Connection{Protocol: SMTP, Encryption: StartTLS}, PhaseTLS, header("220 m"),
			TLSPlaintext, "agreed to STARTTLS but went on in clear"},

		{"clear to a silent TLS port", Connection{Protocol: IMAP, Encryption: NoEncryption, Port: 993}, PhaseGreeting, os.ErrDeadlineExceeded,
			Timeout, "Port 993 usually speaks TLS from the first byte"},
		{"STARTTLS to a TLS port that hangs up", Connection{Protocol: SMTP, Encryption: StartTLS, Port: 465}, PhaseGreeting, io.EOF,
			Closed, "Port 465 usually speaks TLS from the first byte"},
		{"clear to a TLS port that resets", Connection{Protocol: POP3, Encryption: NoEncryption, Port: 995}, PhaseGreeting, syscall.ECONNRESET,
			Reset, "Port 995 usually speaks TLS from the first byte"},
		{"silence on a port of its own", Connection{Protocol: IMAP, Encryption: NoEncryption, Port: 10143}, PhaseGreeting, os.ErrDeadlineExceeded,
			Timeout, "If port 10143 speaks TLS from the first byte, use encryption ssl/tls"},
		{"silence on the right port", Connection{Protocol: IMAP, Encryption: NoEncryption}, PhaseGreeting, os.ErrDeadlineExceeded, Timeout, ""},
		{"TLS to a silent port of its own", Connection{Protocol: IMAP, Encryption: ImplicitTLS, Port: 10143}, PhaseTLS, os.ErrDeadlineExceeded, Timeout, ""},
		{"TLS and then the end", Connection{Protocol: IMAP, Encryption: ImplicitTLS}, PhaseGreeting, io.EOF,
			Closed, "whose mail server is down"},
		{"TLS and then a reset", Connection{Protocol: SMTP, Encryption: ImplicitTLS}, PhaseGreeting, syscall.ECONNRESET,
			Reset, "whose mail server is down"},
		{"silence after the greeting", Connection{Protocol: IMAP, Encryption: NoEncryption, Port: 993}, PhaseHello, os.ErrDeadlineExceeded, Timeout, ""},
		{"TLS to a silent clear port", Connection{Protocol: IMAP, Encryption: ImplicitTLS, Port: 143}, PhaseTLS, os.ErrDeadlineExceeded,
			Timeout, "Port 143 usually starts in clear text"},
		{"port 25 blocked", Connection{Protocol: SMTP, Encryption: NoEncryption}, PhaseConnect, os.ErrDeadlineExceeded,
			ConnectTimeout, "587 (starttls) or 465 (ssl/tls)"},

		{"a method that auto chose is refused", Connection{Protocol: IMAP, Auth: AuthAuto}, PhaseAuth, hashed,
			AuthRejected, "set `auth` to plain or login"},
		{"a password that was sent is refused", Connection{Protocol: IMAP, Auth: AuthAuto}, PhaseAuth, wrong, AuthRejected, ""},
		{"a certificate is refused", Connection{Protocol: SMTP, Auth: AuthExternal, SharedMailbox: "helpdesk", SharedMailboxAccess: SharedAuthzID},
			PhaseAuth, wrong, AuthRejected, "how the server maps certificates to names"},
		{"acting for a shared mailbox is refused",
			Connection{Protocol: IMAP, SharedMailbox: "helpdesk", SharedMailboxAccess: SharedAuthzID}, PhaseAuth, wrong,
			AuthRejected, "allow this user to act for the shared mailbox"},
		{"two names in one login are refused",
			Connection{Protocol: IMAP, SharedMailbox: "helpdesk", SharedMailboxAccess: SharedLoginName}, PhaseAuth, wrong,
			AuthRejected, "compare shared_mailbox_access"},
		{"a folder has no part in the login",
			Connection{Protocol: IMAP, SharedMailbox: "helpdesk", SharedMailboxAccess: SharedFolder}, PhaseAuth, wrong, AuthRejected, ""},
		{"a sender is refused", Connection{Protocol: SMTP, Encryption: StartTLS}, PhaseMailbox, denied,
			MailboxDenied, "allow the user to send as this address"},
		{"a recipient is unknown", Connection{Protocol: SMTP, Encryption: StartTLS}, PhaseMailbox, unknown,
			MailboxMissing, "check recipient"},
		{"STARTTLS missing on port 25", Connection{Protocol: SMTP, Encryption: StartTLS, Port: 25}, PhaseStartTLS, missing,
			StartTLSNotOffered, "submission with STARTTLS is on port 587"},
		{"STARTTLS missing for submission", Connection{Protocol: SMTP, Encryption: StartTLS}, PhaseStartTLS, missing,
			StartTLSNotOffered, "use ssl/tls on port 465"},
		{"STARTTLS missing for IMAP", Connection{Protocol: IMAP, Encryption: StartTLS}, PhaseStartTLS, missing, StartTLSNotOffered, ""},

		{"login refused without TLS", Connection{Protocol: IMAP, Encryption: NoEncryption}, PhaseAuth, needsTLS,
			AuthNeedsTLS, "accepts logins only under TLS: use encryption starttls, or ssl/tls with port 993"},
		{"login refused without TLS although there is TLS", Connection{Protocol: IMAP, Encryption: ImplicitTLS}, PhaseAuth, needsTLS,
			AuthNeedsTLS, "a proxy in front"},
		{"mechanism missing in clear", Connection{Protocol: SMTP, Encryption: NoEncryption}, PhaseAuth, noMechanism,
			AuthMechanism, "use encryption starttls"},
		{"mechanism missing under TLS", Connection{Protocol: SMTP, Encryption: ImplicitTLS}, PhaseAuth, noMechanism, AuthMechanism, ""},
		{"a fault's own hint wins", Connection{Protocol: SMTP, Encryption: NoEncryption}, PhaseAuth,
			&fault{reason: AuthMechanism, hint: "own", err: io.EOF}, AuthMechanism, "own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reason, hint := classify(test.phase, &test.connection, test.err)
			if reason != test.wantReason || !strings.Contains(hint, test.want) || (test.want == "") != (hint == "") {
				t.Errorf("%q with hint %q, want %q with %q", reason, hint, test.wantReason, test.want)
			}
		})
	}
}

func TestGreetingHint(t *testing.T) {
	imap := &Connection{Protocol: IMAP, Encryption: ImplicitTLS}
	tests := []struct {
		name, first, want string
	}{
		{"SMTP", "220 mail.example.org ESMTP", "This port speaks SMTP, not IMAP: use port 993, or protocol smtp."},
		{"POP3", "+OK ready", "This port speaks POP3, not IMAP: use port 993, or protocol pop3."},
		{"FTP", "220 ProFTPD Server ready", "This port speaks FTP, not IMAP: use port 993."},
		{"IMAP", "* PREAUTH x", ""},
		{"IMAP goodbye", "* BYE x", ""},
		{"POP3 refusing", "-ERR x", "This port speaks POP3, not IMAP: use port 993, or protocol pop3."},
		{"SMTP leaving", "421 x", "This port speaks SMTP, not IMAP: use port 993, or protocol smtp."},
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
		pop3 := &Connection{Protocol: POP3, Encryption: StartTLS}
		if got, want := greetingHint(pop3, []byte(first)), "This port speaks IMAP, not POP3: use port 110, or protocol imap."; got != want {
			t.Errorf("%q: %q, want %q", first, got, want)
		}
	}
	if got := greetingHint(nil, []byte("220 x")); got != "" {
		t.Errorf("without a connection: %q", got)
	}
}
