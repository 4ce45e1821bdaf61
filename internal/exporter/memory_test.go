package exporter

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"mailprobe/config"
	"mailprobe/mail"
)

// BenchmarkMemoryAtRest reports what a whole exporter holds for a connection
// that was probed 60 times, with histograms of both kinds, the page's history
// and both transcripts:
//
//	go test ./internal/exporter -run '^$' -bench MemoryAtRest -benchtime 1x
func BenchmarkMemoryAtRest(b *testing.B) {
	const connections, probes = 2000, 60
	for b.Loop() {
		before := liveHeap()
		loaded := &config.Config{}
		for i := range connections {
			loaded.Connections = append(loaded.Connections, restingConnection(i))
		}
		e, err := New(Options{Log: slog.New(slog.DiscardHandler),
			Load: func() (*config.Config, []config.Finding, error) { return loaded, nil, nil }})
		if err != nil {
			b.Fatal(err)
		}
		for i := range probes {
			for j, c := range loaded.Connections {
				e.report(restingOutcome(c, i, j))
			}
		}
		perConnection := (liveHeap() - before) / connections
		b.ReportMetric(float64(perConnection), "B/connection")
		b.ReportMetric(float64(perConnection)*1000/(1<<20), "MiB/1000-connections")
		runtime.KeepAlive(e)
		runtime.KeepAlive(loaded)
	}
}

// liveHeap is what is reachable.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func restingConnection(i int) *mail.Connection {
	return &mail.Connection{
		Name: fmt.Sprintf("customer-%05d-inbox", i), Protocol: mail.IMAP, Encryption: mail.ImplicitTLS,
		Host: fmt.Sprintf("mail%d.example.org", i), Username: fmt.Sprintf("inbox-%d@example.org", i), Auth: mail.AuthAuto,
		Interval: time.Minute, Timeout: 30 * time.Second, CheckMailbox: true, Mailbox: "INBOX",
		Labels: []mail.Label{{Name: "team", Value: "support"}},
	}
}

// restingDialogue is what a transcript keeps of a login to Dovecot.
var restingDialogue = []string{
	"TLS 1.3 TLS_AES_128_GCM_SHA256",
	"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN] Dovecot ready.",
	"T1 CAPABILITY",
	"* CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN",
	"T1 OK Pre-login capabilities listed, post-login capabilities have more.",
	"<redacted>", "OK CAPABILITY …", "T3 EXAMINE INBOX", "…", "* OK …", "…", "…", "* OK UIDVALIDITY …", "OK READ-ONLY …",
	"T4 LOGOUT", "* BYE …", "OK …",
}

// restingOutcome is a probe over TLS with login; one of ten fails.
func restingOutcome(c *mail.Connection, i, j int) mail.Outcome {
	start := time.Unix(1_700_000_000+int64(i*60), int64(j))
	o := mail.Outcome{
		Connection: c, Start: start, End: start.Add(time.Duration(40+i) * time.Millisecond),
		Port: 993, Address: "192.0.2.1:993",
		TLS: &mail.TLSFacts{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verified: true, Handshake: 9 * time.Millisecond,
			NotAfter: start.Add(24 * time.Hour), FingerprintSHA256: fmt.Sprintf("%064x", j),
			Chain: []mail.CertificateFacts{{Subject: "CN=" + c.Host, Issuer: "CN=Example CA", DNSNames: []string{c.Host},
				NotBefore: start, NotAfter: start.Add(24 * time.Hour), Key: x509.ECDSA, KeyBits: 256}}},
		Auth:    mail.AuthFacts{Mechanism: mail.AuthPlain, Sent: true, Accepted: true},
		Mailbox: mail.MailboxFacts{Tried: true, OK: true, Counted: true, Messages: uint64(i)},
	}
	for k, phase := range []mail.Phase{mail.PhaseResolve, mail.PhaseConnect, mail.PhaseTLS, mail.PhaseGreeting,
		mail.PhaseHello, mail.PhaseAuth, mail.PhaseMailbox, mail.PhaseQuit} {
		o.Phases = append(o.Phases, mail.PhaseTime{Phase: phase, Duration: time.Duration(k+i) * time.Millisecond})
	}
	for k, text := range restingDialogue {
		o.Transcript = append(o.Transcript, mail.Line{At: time.Duration(k) * time.Millisecond, From: mail.Server,
			Text: fmt.Sprintf("%s%d", text, i%10)})
	}
	if (i+j)%10 == 0 {
		o.Failure = &mail.Failure{Phase: mail.PhaseMailbox, Reason: mail.MailboxMissing, Text: "EXAMINE: rejected by server: NO"}
		o.Mailbox = mail.MailboxFacts{Tried: true}
	}
	return o
}
