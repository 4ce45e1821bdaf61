package dashboards

import (
	"slices"
	"strings"
	"testing"

	"mailprobe/metrics"
)

// vocabulary is what an expression may name.
type vocabulary struct {
	labels  map[string][]string // by metric; those of recording rules included
	counter map[string]bool
}

// prometheusLabels are given to every series by Prometheus itself.
// The label mailprobe comes from /sd, the last line from the Prometheus operator.
var prometheusLabels = []string{"job", "instance", "mailprobe",
	"container", "endpoint", "namespace", "node", "pod", "service"}

// words is the vocabulary of the exporter's own table and of our recordings.
func words(t *testing.T) vocabulary {
	t.Helper()
	ofAlerts := append([]string{"alertname", "severity", "window", "scope", "connection", "protocol", "host", "route"}, prometheusLabels...)
	v := vocabulary{labels: map[string][]string{
		"up":               prometheusLabels,
		"ALERTS":           append([]string{"alertstate"}, ofAlerts...),
		"ALERTS_FOR_STATE": ofAlerts,
	}, counter: map[string]bool{}}
	for _, row := range metrics.Table() {
		labels := append(slices.Clone(row.Labels), prometheusLabels...)
		v.labels[row.Name] = labels
		v.counter[row.Name] = row.Type == "counter"
		if row.Type == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				v.labels[row.Name+suffix] = append(slices.Clone(labels), "le")
				v.counter[row.Name+suffix] = true
			}
		}
	}
	for _, r := range recordings(t) {
		labels := append([]string{"connection", "protocol", "phase", "reason", "meaning", "advice", "route", "leg"}, prometheusLabels...)
		v.labels[r] = labels
	}
	return v
}

// check fails the test where an expression names what does not exist.
func (v vocabulary) check(t *testing.T, where, expr string) {
	t.Helper()
	var known []string
	for _, r := range references(expr) {
		labels, ok := v.labels[r.metric]
		if !ok {
			t.Errorf("%s: %s is no metric of mailprobe and no recording rule", where, r.metric)
			continue
		}
		known = append(known, labels...)
		for label := range r.matchers {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: %s has no label %s", where, r.metric, label)
			}
		}
		if v.counter[r.metric] && !r.counted() {
			t.Errorf("%s: the counter %s is not in rate() or increase()", where, r.metric)
		}
		if !v.counter[r.metric] && r.counted() && !strings.HasSuffix(r.metric, "_seconds") { // native histograms
			t.Errorf("%s: the gauge %s is in rate() or increase()", where, r.metric)
		}
	}
	for _, label := range groupedLabels(expr) {
		if label == "place" && strings.Contains(expr, `label_replace(`) {
			continue // made there
		}
		if !slices.Contains(known, label) {
			t.Errorf("%s: none of its metrics has the label %s", where, label)
		}
	}
}

func TestVocabularyFindsWhatIsWrong(t *testing.T) {
	tests := []struct{ name, expr string }{
		{"a metric that does not exist", `mailprobe_upp{job="a"}`},
		{"a label that does not exist", `mailprobe_up{connectoin="a"}`},
		{"a grouping by a label that does not exist", `sum by (reason) (mailprobe_up)`},
		{"a bare counter", `mailprobe_probes_total`},
		{"a rate of a gauge", `rate(mailprobe_up[5m])`},
	}
	v := words(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !complains(func(probe *testing.T) { v.check(probe, "here", tt.expr) }) {
				t.Errorf("%s: passed", tt.expr)
			}
		})
	}
}

// complains runs a check on a test of its own and reports whether it failed.
func complains(check func(*testing.T)) bool {
	var inner testing.T
	done := make(chan struct{})
	go func() { defer close(done); check(&inner) }()
	<-done
	return inner.Failed()
}
