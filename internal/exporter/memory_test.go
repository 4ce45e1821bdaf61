package exporter

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"mailprobe/config"
	"mailprobe/prober"
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

func restingConnection(i int) *prober.Connection {
	return &prober.Connection{
		Name: fmt.Sprintf("customer-%05d-inbox", i), Protocol: prober.IMAP, Encryption: prober.ImplicitTLS,
		Host: fmt.Sprintf("mail%d.example.org", i), Username: fmt.Sprintf("inbox-%d@example.org", i), Auth: prober.AuthAuto,
		Interval: time.Minute, Timeout: 30 * time.Second, CheckMailbox: true, Mailbox: "INBOX",
		Labels: []prober.Label{{Name: "team", Value: "support"}}, Source: "mailprobe.yml:12",
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
func restingOutcome(c *prober.Connection, i, j int) prober.Outcome {
	start := time.Unix(1_700_000_000+int64(i*60), int64(j))
	o := prober.Outcome{
		Connection: c, Start: start, End: start.Add(time.Duration(40+i) * time.Millisecond),
		Port: 993, Address: "192.0.2.1:993",
		TLS: &prober.TLSFacts{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verified: true, Handshake: 9 * time.Millisecond,
			NotAfter: start.Add(24 * time.Hour), FingerprintSHA256: fmt.Sprintf("%064x", j),
			Chain: []prober.CertificateFacts{{Subject: "CN=" + c.Host, Issuer: "CN=Example CA", DNSNames: []string{c.Host},
				NotBefore: start, NotAfter: start.Add(24 * time.Hour), Key: x509.ECDSA, KeyBits: 256}}},
		Auth:    prober.AuthFacts{Mechanism: prober.AuthPlain, Sent: true, Accepted: true},
		Mailbox: prober.MailboxFacts{Tried: true, OK: true, Counted: true, Messages: uint64(i)},
	}
	for k, phase := range []prober.Phase{prober.PhaseResolve, prober.PhaseConnect, prober.PhaseTLS, prober.PhaseGreeting,
		prober.PhaseHello, prober.PhaseAuth, prober.PhaseMailbox, prober.PhaseQuit} {
		o.Phases = append(o.Phases, prober.PhaseTime{Phase: phase, Duration: time.Duration(k+i) * time.Millisecond})
	}
	for k, text := range restingDialogue {
		o.Transcript = append(o.Transcript, prober.Line{At: time.Duration(k) * time.Millisecond, From: prober.Server,
			Text: fmt.Sprintf("%s%d", text, i%10)})
	}
	if (i+j)%10 == 0 {
		o.Failure = &prober.Failure{Phase: prober.PhaseMailbox, Reason: prober.MailboxMissing, Text: "EXAMINE: rejected by server: NO"}
		o.Mailbox = prober.MailboxFacts{Tried: true}
	}
	return o
}
