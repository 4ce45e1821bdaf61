package web

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailprobe/mail"
	"mailprobe/metrics"
	"mailprobe/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the time on the wall of every story.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// secretWord is what every connection of the tests has as its password, and
// nothing may ever show.
const secretWord = "hunter2-hunter2"

func inbox(name string, labels ...mail.Label) *mail.Connection {
	return &mail.Connection{
		Name: name, Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Host: "mail.example.org",
		Username: "support@example.org", Password: mail.InlineSecret(mail.NewSecret(secretWord)),
		Auth: mail.AuthAuto, CheckMailbox: true, Mailbox: "INBOX", SharedMailboxAccess: mail.SharedAuto,
		Interval: time.Minute, Timeout: 30 * time.Second, IPProtocol: mail.AnyIP, Labels: labels,
	}
}

// good is the outcome of a probe that ended at the time given.
func good(c *mail.Connection, end time.Time) mail.Outcome {
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
			NotAfter:          noon.AddDate(0, 0, 60),
			FingerprintSHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			Chain: []mail.CertificateFacts{
				{Subject: "CN=" + c.Host, Issuer: "CN=R11,O=Let's Encrypt,C=US", DNSNames: []string{c.Host, "imap.example.org", "smtp.example.org"},
					NotBefore: noon.AddDate(0, 0, -30), NotAfter: noon.AddDate(0, 0, 60), Key: x509.ECDSA, KeyBits: 256},
				{Subject: "CN=R11,O=Let's Encrypt,C=US", Issuer: "CN=ISRG Root X1,O=Internet Security Research Group,C=US",
					NotBefore: noon.AddDate(-2, 0, 0), NotAfter: noon.AddDate(1, 0, 0), Key: x509.RSA, KeyBits: 2048},
			},
		},
		Auth:    mail.AuthFacts{Mechanism: mail.AuthPlain, Sent: true, Accepted: true},
		Mailbox: mail.MailboxFacts{Tried: true, OK: true, Counted: true, Messages: 17},
		Transcript: dialogue("* TLS 1.3 TLS_AES_128_GCM_SHA256", "S * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN] Dovecot ready.",
			"C T1 CAPABILITY", "S * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN", "S T1 OK …",
			"C <redacted>", "S OK …", "C T3 EXAMINE INBOX", "S * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)", "S * 17 EXISTS",
			"S * 0 RECENT", "S * OK [UIDVALIDITY 1700000000] UIDs valid", "S * OK [UIDNEXT 18] Predicted next UID",
			"S T3 OK [READ-ONLY] Examine completed (0.001 + 0.000 secs).", "C T4 LOGOUT", "S * BYE Logging out", "S T4 OK Logout completed."),
	}
}

// refused is a failed outcome: the password is not accepted.
func refused(c *mail.Connection, end time.Time) mail.Outcome {
	o := good(c, end)
	o.Phases = append(o.Phases[:6:6], o.Phases[7])
	o.Failure = &mail.Failure{Phase: mail.PhaseAuth, Reason: mail.AuthRejected,
		Text: "auth: AUTHENTICATE: rejected by server: NO AUTHENTICATIONFAILED"}
	o.Auth = mail.AuthFacts{Mechanism: mail.AuthPlain, Sent: true, Rejected: true}
	o.Mailbox = mail.MailboxFacts{}
	o.Transcript = append(o.Transcript[:6:6], dialogue("S NO AUTHENTICATIONFAILED …", "C T3 LOGOUT", "S * BYE …")...)
	return o
}

// failed is a probe that ended early.
func failed(c *mail.Connection, end time.Time, phase mail.Phase, reason mail.Reason, text string) mail.Outcome {
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

// dialogue writes lines whose first letter says who speaks.
func dialogue(lines ...string) []mail.Line {
	var talk []mail.Line
	for i, line := range lines {
		side := mail.Side(line[0])
		talk = append(talk, mail.Line{At: time.Duration(14+5*i) * time.Millisecond, From: side, Text: strings.TrimSpace(line[1:])})
	}
	return talk
}

// stage is a site with what it stands on.
type stage struct {
	t       *testing.T
	history *History
	metrics *metrics.Collector
	options Options
}

// newStage makes a site at noon that knows the connections. A probe asked for
// is a good one.
func newStage(t *testing.T, connections ...*mail.Connection) *stage {
	s := &stage{t: t, history: NewHistory(), metrics: metrics.NewCollector(metrics.Options{})}
	s.history.SetConnections(connections)
	s.metrics.SetConnections(connections)
	s.options = Options{History: s.history, Metrics: s.metrics, Now: func() time.Time { return noon },
		Probe: func(_ context.Context, name string, _ time.Duration) (mail.Outcome, error) {
			m, ok := s.history.Recall(name)
			if !ok {
				return mail.Outcome{}, pool.ErrUnknownConnection
			}
			o := good(m.Connection, noon)
			s.observe(o)
			return o, nil
		}}
	return s
}

func (s *stage) observe(o mail.Outcome) {
	s.history.Observe(o)
	s.metrics.Observe(o)
}

func (s *stage) handler() http.Handler {
	h, err := New(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// get asks the site, with pairs of header names and values.
func (s *stage) get(target string, header ...string) *httptest.ResponseRecorder {
	return s.do(http.MethodGet, target, header...)
}

func (s *stage) do(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, r)
	return w
}

// fleet is a day in the life of a mail platform, for pictures.
func fleet() (connections []*mail.Connection, outcomes []mail.Outcome) {
	add := func(name, host string, p mail.Protocol, e mail.Encryption, last func(*mail.Connection, time.Time) mail.Outcome, down int) {
		c := inbox(name, mail.Label{Name: "team", Value: "support"})
		c.Host, c.Protocol, c.Encryption = host, p, e
		connections = append(connections, c)
		seed := len(name)
		for i := range 50 {
			end := noon.Add(time.Duration(i-50)*time.Minute + time.Duration(seed)*time.Second)
			o := good(c, end)
			stretch := 0.7 + 0.06*float64((i*seed*7)%11)
			for j := range o.Phases {
				o.Phases[j].Duration = time.Duration(float64(o.Phases[j].Duration) * stretch * (0.6 + 0.1*float64((seed+j)%9)))
			}
			o.Start = end.Add(-time.Duration(float64(83*time.Millisecond) * stretch))
			o.TLS.NotAfter = noon.AddDate(0, 0, 9+seed*seed%80)
			if last != nil && i >= 50-down {
				o = last(c, end)
			}
			outcomes = append(outcomes, o)
		}
	}
	ends := func(phase mail.Phase, reason mail.Reason, text string) func(*mail.Connection, time.Time) mail.Outcome {
		return func(c *mail.Connection, end time.Time) mail.Outcome { return failed(c, end, phase, reason, text) }
	}
	held := func(c *mail.Connection, end time.Time) mail.Outcome {
		o := refused(c, end)
		o.Auth = mail.AuthFacts{Held: true, NextAttempt: noon.Add(25 * time.Minute)}
		return o
	}
	add("support-inbox", "mail.example.org", mail.IMAP, mail.ImplicitTLS, nil, 0)
	add("support-outbound", "smtp.example.org", mail.SMTP, mail.StartTLS, nil, 0)
	add("billing-inbox", "mail.example.org", mail.IMAP, mail.ImplicitTLS, held, 12)
	add("legacy-pop", "pop.example.net", mail.POP3, mail.ImplicitTLS,
		ends(mail.PhaseConnect, mail.ConnectRefused, "connect: dial tcp 198.51.100.7:995: connect: connection refused"), 3)
	add("partner-relay", "relay.partner.example", mail.SMTP, mail.StartTLS,
		ends(mail.PhaseTLS, mail.CertExpired, "tls: x509: certificate has expired: current time 2026-11-23T11:57:00Z is after 2026-11-22T23:59:59Z"), 41)
	for i, name := range []string{"sales", "press", "jobs", "security-contact", "info", "abuse", "newsletter-bounces"} {
		add(name, fmt.Sprintf("mx%d.example.org", i%3+1), mail.IMAP, mail.ImplicitTLS, nil, 0)
	}
	c := inbox("fresh-one")
	connections = append(connections, c)
	return connections, outcomes
}
