package metrics

// These tests put odd text of servers and of the configuration into the formats.

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"mailprobe/mail"
)

// Server text must not change the number of series: labels have values of closed lists.
func TestServerTextNeverBecomesALabel(t *testing.T) {
	c := inbox("a")
	m := collectorOf(mail.HistogramsBoth, c)
	reasons := []mail.Reason{mail.Closed, mail.Timeout, mail.AuthRejected, mail.ProtocolMalformed}
	random := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		raw := make([]byte, 1+random.IntN(40))
		for i := range raw {
			raw[i] = byte(random.IntN(256))
		}
		return string(raw)
	}
	hostile := func(reason mail.Reason) mail.Outcome {
		o := refused(c)
		o.End = o.Start.Add(time.Duration(random.Int64N(int64(time.Minute))))
		o.Failure = &mail.Failure{Phase: mail.PhaseAuth, Reason: reason, Text: text(), Hint: text()}
		facts := *o.TLS
		facts.FingerprintSHA256 = fmt.Sprintf("%064x", random.Uint64())
		facts.Handshake = time.Duration(random.Int64N(int64(time.Minute)))
		facts.Chain = []mail.CertificateFacts{{Subject: text(), Issuer: text(), DNSNames: []string{text()}}}
		o.TLS, o.Address = &facts, text()
		o.Mailbox = mail.MailboxFacts{Tried: true, Counted: true, Messages: random.Uint64()}
		o.Transcript = []mail.Line{{From: mail.Server, Text: text()}}
		return o
	}
	for _, reason := range reasons {
		m.Observe(hostile(reason))
	}
	want := seriesOf(t, m)
	for range 100_000 {
		m.Observe(hostile(reasons[random.IntN(len(reasons))]))
	}
	if got := seriesOf(t, m); got != want {
		t.Errorf("%d series after 100,000 hostile outcomes, want %d as after the first %d", got, want, len(reasons))
	}
	state, _ := m.connections.Get("a")
	if n := len(state.probeTimes.native); n > maxNativeBuckets {
		t.Errorf("%d native buckets, want at most %d", n, maxNativeBuckets)
	}
	if n := len(m.pool.sets); n > 40 {
		t.Errorf("%d shared label sets: one has a value that is not of a closed list", n)
	}
	if err := pedantic(m); err != nil {
		t.Error(err)
	}
}

func TestHostileConfigurationKeepsTheScrapeValid(t *testing.T) {
	c := inbox("\xff\xfe broken \"name\"\n",
		mail.Label{Name: "connection", Value: "stolen"}, mail.Label{Name: "le", Value: "1"},
		mail.Label{Name: "team", Value: "\x80"}, mail.Label{Name: "team", Value: "twice"},
		mail.Label{Name: "no name", Value: "x"}, mail.Label{Name: "", Value: "x"})
	m := collectorOf(mail.HistogramsBoth, c, inbox("other"), inbox("other"))
	m.Observe(refused(c))
	if err := pedantic(m); err != nil {
		t.Error(err)
	}
	for _, accept := range []string{acceptText, acceptOpenMetrics, acceptProtobuf} {
		parse(t, scrape(t, Handler(m, nil), accept))
	}
	if !model.LabelValue(ownLabels(c).at(0).value()).IsValid() {
		t.Error("label value is not valid")
	}
}
