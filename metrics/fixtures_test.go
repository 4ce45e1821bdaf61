package metrics

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"mailprobe/mail"
)

var update = flag.Bool("update", false, "write golden files and docs/metrics.md")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when the probes of the stories start.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// inbox is an IMAP connection over TLS with a login.
func inbox(name string, labels ...mail.Label) *mail.Connection {
	return &mail.Connection{
		Name: name, Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Host: "mail.example.org",
		Username: "user@example.org", Auth: mail.AuthAuto, CheckMailbox: true, Mailbox: "INBOX",
		SharedMailboxAccess: mail.SharedAuto, Interval: time.Minute, Timeout: 30 * time.Second,
		IPProtocol: mail.AnyIP, Labels: labels,
	}
}

const fingerprint = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// good is the outcome of a probe in which everything went well.
func good(c *mail.Connection) mail.Outcome {
	return mail.Outcome{
		Connection: c, Start: noon, End: noon.Add(83 * time.Millisecond), Port: c.EffectivePort(),
		Phases: []mail.PhaseTime{
			{Phase: mail.PhaseResolve, Duration: 2 * time.Millisecond},
			{Phase: mail.PhaseConnect, Duration: 11 * time.Millisecond},
			{Phase: mail.PhaseTLS, Duration: 24 * time.Millisecond},
			{Phase: mail.PhaseGreeting, Duration: time.Millisecond},
			{Phase: mail.PhaseHello, Duration: 11 * time.Millisecond},
			{Phase: mail.PhaseAuth, Duration: 12 * time.Millisecond},
			{Phase: mail.PhaseMailbox, Duration: 12 * time.Millisecond},
			{Phase: mail.PhaseQuit, Duration: 10 * time.Millisecond},
		},
		TLS: &mail.TLSFacts{
			Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verified: true, Handshake: 24 * time.Millisecond,
			NotAfter: noon.AddDate(0, 0, 60), NotBefore: noon.AddDate(0, 0, -30), FingerprintSHA256: fingerprint,
		},
		Auth:    mail.AuthFacts{Mechanism: mail.AuthPlain, Sent: true, Accepted: true},
		Mailbox: mail.MailboxFacts{Tried: true, OK: true, Counted: true, Messages: 17},
	}
}

// watched is the outcome of a good probe of a watched mailbox.
func watched(c *mail.Connection) mail.Outcome {
	o := good(c)
	o.Mailbox.Watch = &mail.WatchFacts{
		Unread: new(uint64(12)), Waiting: new(uint64(12)), Oldest: noon.Add(-190 * time.Minute), Newest: noon.Add(-4 * time.Minute),
		Size: new(uint64(81_920)), QuotaUsed: new(uint64(953 << 20)), QuotaLimit: new(uint64(1 << 30)), UIDNext: 18, UIDValidity: 7,
	}
	return o
}

// refused is the outcome of a login that the server rejected.
func refused(c *mail.Connection) mail.Outcome {
	o := good(c)
	o.Phases = slices.Concat(o.Phases[:6], o.Phases[7:])
	o.Failure = &mail.Failure{Phase: mail.PhaseAuth, Reason: mail.AuthRejected, Text: "NO [AUTHENTICATIONFAILED] wrong"}
	o.Auth = mail.AuthFacts{Mechanism: mail.AuthPlain, Sent: true, Rejected: true, HeldNext: true, NextAttempt: o.End.Add(35 * time.Minute)}
	o.Mailbox = mail.MailboxFacts{}
	return o
}

// later is the same outcome, of a probe that started d later.
func later(o mail.Outcome, d time.Duration) mail.Outcome {
	o.Start, o.End = o.Start.Add(d), o.End.Add(d)
	return o
}

// collectorOf is a collector that knows the connections.
func collectorOf(kind mail.Histograms, connections ...*mail.Connection) *Collector {
	c := NewCollector(Options{Histograms: kind})
	c.SetConnections(connections)
	return c
}

// connectionFamilies are the names of the metrics about connections.
func connectionFamilies() []string {
	var names []string
	for _, f := range families {
		if !f.global {
			names = append(names, f.name)
		}
	}
	return names
}

// golden compares the metrics about connections with testdata/name.prom.
func golden(t *testing.T, g prometheus.Gatherer, name string) {
	t.Helper()
	file := filepath.Join("testdata", name+".prom")
	g = prometheus.Gatherers{g} // sorts the series as the comparison wants them
	if *update {
		var text bytes.Buffer
		for _, family := range gather(t, g) {
			if slices.Contains(connectionFamilies(), family.GetName()) {
				if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(g, bytes.NewReader(want), connectionFamilies()...); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

func gather(t testing.TB, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	found, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// value finds the one series of a name that has all the labels, given as name,
// value, name, value. It reports false when there is none.
func value(t testing.TB, g prometheus.Gatherer, name string, labels ...string) (float64, bool) {
	t.Helper()
	for _, family := range gather(t, g) {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.Metric {
			if !hasLabels(m, labels) {
				continue
			}
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				return m.Counter.GetValue(), true
			case dto.MetricType_HISTOGRAM:
				return float64(m.Histogram.GetSampleCount()), true
			default:
				return m.Gauge.GetValue(), true
			}
		}
	}
	return 0, false
}

func hasLabels(m *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if !slices.ContainsFunc(m.Label, func(p *dto.LabelPair) bool {
			return p.GetName() == labels[i] && p.GetValue() == labels[i+1]
		}) {
			return false
		}
	}
	return true
}

// seriesOf counts the series about connections.
func seriesOf(t testing.TB, g prometheus.Gatherer) int {
	t.Helper()
	n := 0
	for _, family := range gather(t, g) {
		if slices.Contains(connectionFamilies(), family.GetName()) {
			n += len(family.Metric)
		}
	}
	return n
}
