// Package outcometest has the connections and outcomes of which the tests of
// history, web and others tell their stories.
package outcometest

import (
	"crypto/x509"
	"strings"
	"time"

	"mailprobe/mail"
)

// Noon is the time on the wall of every story.
var Noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Secret is what every connection of the tests has as its password, and
// nothing may ever show.
const Secret = "hunter2-hunter2"

// Inbox is an IMAP connection over TLS with a login.
func Inbox(name string, labels ...mail.Label) *mail.Connection {
	return &mail.Connection{
		Name: name, Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Host: "mail.example.org",
		Username: "support@example.org", Password: mail.InlineSecret(mail.NewSecret(Secret)),
		Auth: mail.AuthAuto, CheckMailbox: true, Mailbox: "INBOX", SharedMailboxAccess: mail.SharedAuto,
		Interval: time.Minute, Timeout: 30 * time.Second, IPProtocol: mail.AnyIP, Labels: labels,
	}
}

// Good is the outcome of a probe that ended at the time given.
func Good(c *mail.Connection, end time.Time) mail.Outcome {
	ms := time.Millisecond
	return mail.Outcome{
		Connection: c, Start: end.Add(-83 * ms), End: end, Port: c.EffectivePort(), Address: "192.0.2.25:993",
		Phases: []mail.PhaseTime{
			{Phase: mail.PhaseResolve, Duration: 2 * ms}, {Phase: mail.PhaseConnect, Duration: 11 * ms},
			{Phase: mail.PhaseTLS, Duration: 24 * ms}, {Phase: mail.PhaseGreeting, Duration: ms},
			{Phase: mail.PhaseHello, Duration: 11 * ms}, {Phase: mail.PhaseAuth, Duration: 12 * ms},
			{Phase: mail.PhaseMailbox, Duration: 12 * ms}, {Phase: mail.PhaseQuit, Duration: 10 * ms},
		},
		TLS: &mail.TLSFacts{
			Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verified: true, Handshake: 24 * ms,
			NotAfter:          Noon.AddDate(0, 0, 60),
			FingerprintSHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			Chain: []mail.CertificateFacts{
				{Subject: "CN=" + c.Host, Issuer: "CN=R11,O=Let's Encrypt,C=US", DNSNames: []string{c.Host, "imap.example.org", "smtp.example.org"},
					NotBefore: Noon.AddDate(0, 0, -30), NotAfter: Noon.AddDate(0, 0, 60), Key: x509.ECDSA, KeyBits: 256},
				{Subject: "CN=R11,O=Let's Encrypt,C=US", Issuer: "CN=ISRG Root X1,O=Internet Security Research Group,C=US",
					NotBefore: Noon.AddDate(-2, 0, 0), NotAfter: Noon.AddDate(1, 0, 0), Key: x509.RSA, KeyBits: 2048},
			},
		},
		Auth:    mail.AuthFacts{Mechanism: mail.AuthPlain, Sent: true, Accepted: true},
		Mailbox: mail.MailboxFacts{Tried: true, OK: true, Counted: true, Messages: 17},
		Transcript: Dialogue("* TLS 1.3 TLS_AES_128_GCM_SHA256", "S * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN] Dovecot ready.",
			"C T1 CAPABILITY", "S * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN", "S T1 OK …",
			"C <redacted>", "S OK …", "C T3 EXAMINE INBOX", "S * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)", "S * 17 EXISTS",
			"S * 0 RECENT", "S * OK [UIDVALIDITY 1700000000] UIDs valid", "S * OK [UIDNEXT 18] Predicted next UID",
			"S T3 OK [READ-ONLY] Examine completed (0.001 + 0.000 secs).", "C T4 LOGOUT", "S * BYE Logging out", "S T4 OK Logout completed."),
	}
}

// Watched is an inbox whose fetcher marks messages as read.
func Watched(name string, labels ...mail.Label) *mail.Connection {
	c := Inbox(name, labels...)
	c.Watch, c.WatchMaxAge, c.WatchExpectEvery = mail.WatchUnread, 15*time.Minute, 24*time.Hour
	return c
}

// Stuck is the outcome of a good probe of a watched mailbox from which nothing was
// fetched for more than three hours.
func Stuck(c *mail.Connection, end time.Time) mail.Outcome {
	o := Good(c, end)
	o.Mailbox.Watch = &mail.WatchFacts{
		Unread: new(uint64(12)), Waiting: new(uint64(12)), Oldest: end.Add(-190 * time.Minute), Newest: end.Add(-4 * time.Minute),
		Size: new(uint64(81_920)), QuotaUsed: new(uint64(953 << 20)), QuotaLimit: new(uint64(1 << 30)),
		UIDNext: 18, UIDValidity: 1_700_000_000,
	}
	return o
}

// Refused is a failed outcome: the password is not accepted.
func Refused(c *mail.Connection, end time.Time) mail.Outcome {
	o := Good(c, end)
	o.Phases = append(o.Phases[:6:6], o.Phases[7])
	o.Failure = &mail.Failure{Phase: mail.PhaseAuth, Reason: mail.AuthRejected,
		Text: "auth: AUTHENTICATE: rejected by server: NO AUTHENTICATIONFAILED"}
	o.Auth = mail.AuthFacts{Mechanism: mail.AuthPlain, Sent: true, Rejected: true}
	o.Mailbox = mail.MailboxFacts{}
	o.Transcript = append(o.Transcript[:6:6], Dialogue("S NO AUTHENTICATIONFAILED …", "C T3 LOGOUT", "S * BYE …")...)
	return o
}

// Failed is a probe that ended early.
func Failed(c *mail.Connection, end time.Time, phase mail.Phase, reason mail.Reason, text string) mail.Outcome {
	o := mail.Outcome{Connection: c, Start: end.Add(-2 * time.Second), End: end,
		Failure: &mail.Failure{Phase: phase, Reason: reason, Text: text}}
	for _, p := range mail.Phases() {
		o.Phases = append(o.Phases, mail.PhaseTime{Phase: p, Duration: 3 * time.Millisecond})
		if p == phase {
			o.Phases[len(o.Phases)-1].Duration = 1900 * time.Millisecond
			break
		}
	}
	return o
}

// Dialogue writes lines whose first letter says who speaks.
func Dialogue(lines ...string) []mail.Line {
	var talk []mail.Line
	for i, line := range lines {
		side := mail.Side(line[0])
		talk = append(talk, mail.Line{At: time.Duration(14+5*i) * time.Millisecond, From: side, Text: strings.TrimSpace(line[1:])})
	}
	return talk
}
