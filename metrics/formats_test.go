package metrics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"mailprobe/mail"
)

// adaptor shows a Gatherer to a registry, which then checks everything that a
// Gatherer of our own has to get right without it.
type adaptor struct {
	gatherer prometheus.Gatherer
	own      []string // label names of every connection; nil: they differ, undescribed
}

func (a adaptor) Describe(descs chan<- *prometheus.Desc) {
	if a.own == nil {
		return
	}
	for _, f := range families {
		if !f.global {
			descs <- prometheus.NewDesc(f.name, f.help, slices.Concat(a.own, f.labels), nil)
		}
	}
}

func (a adaptor) Collect(metrics chan<- prometheus.Metric) {
	found, err := a.gatherer.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range found {
		if !slices.Contains(connectionFamilies(), family.GetName()) {
			continue
		}
		for _, m := range family.Metric {
			var names []string
			for _, pair := range m.Label {
				names = append(names, pair.GetName())
			}
			metrics <- finished{prometheus.NewDesc(family.GetName(), family.GetHelp(), names, nil), m}
		}
	}
}

type finished struct {
	desc   *prometheus.Desc
	metric *dto.Metric
}

func (f finished) Desc() *prometheus.Desc { return f.desc }
func (f finished) Write(m *dto.Metric) error {
	m.Label, m.Gauge, m.Counter, m.Histogram = f.metric.Label, f.metric.Gauge, f.metric.Counter, f.metric.Histogram
	return nil
}

// pedantic returns the objections of a pedantic registry. own are the label names of
// every connection; none: they differ.
func pedantic(g prometheus.Gatherer, own ...string) error {
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(adaptor{g, own}); err != nil {
		return err
	}
	_, err := registry.Gather()
	return err
}

// everything is a collector in which every metric has a series.
func everything(t testing.TB, kind mail.Histograms) *Collector {
	t.Helper()
	a, b := inbox("a", mail.Label{Name: "team", Value: "x"}), inbox("b", mail.Label{Name: "team", Value: "y"})
	m := NewCollector(Options{Histograms: kind, Pool: func() mail.PoolStats { return mail.PoolStats{Limit: 1} },
		HoldsUnkept: func() time.Time { return noon },
		RouteCounts: func(string) mail.RouteCounts { return mail.RouteCounts{InFlight: 1, Oldest: noon} }})
	m.SetRoutes(testRoutes())
	for _, o := range routeOutcomes() {
		m.ObserveRoute(o)
	}
	m.ConfigReloaded(true, noon)
	a.Watch, a.WatchMaxAge, a.WatchExpectEvery = mail.WatchUnread, 15*time.Minute, 24*time.Hour
	m.SetConnections([]*mail.Connection{b, a})
	m.Observe(watched(a))
	held := refused(b)
	held.Auth = mail.AuthFacts{Held: true, NextAttempt: noon.Add(time.Hour)}
	held.Goodbye = mail.Reset
	m.Observe(held)
	held.Phases, held.TLS, held.Port, held.Goodbye = nil, nil, 0, "" // the next login is withheld, and no server was contacted
	m.Observe(held)
	return m
}

func TestGatherPassesThePedanticRegistry(t *testing.T) {
	if err := pedantic(everything(t, mail.HistogramsBoth), "connection", "protocol", "team"); err != nil {
		t.Error(err)
	}
	c, d := inbox("with", mail.Label{Name: "a_first", Value: "1"}, mail.Label{Name: "z_last", Value: "2"}), inbox("without")
	m := collectorOf(mail.HistogramsBoth, c, d)
	m.Observe(refused(c))
	m.Observe(good(d))
	if err := pedantic(m); err != nil {
		t.Error(err)
	}
	if err := pedantic(One(good(c))); err != nil {
		t.Error(err)
	}
}

func TestGatherIsSortedAndLintFree(t *testing.T) {
	m := everything(t, mail.HistogramsBoth)
	var names []string
	for _, family := range gather(t, m) {
		names = append(names, family.GetName())
		for _, metric := range family.Metric {
			if !slices.IsSortedFunc(metric.Label, func(a, b *dto.LabelPair) int { return strings.Compare(*a.Name, *b.Name) }) {
				t.Errorf("%s: labels not sorted: %v", family.GetName(), metric.Label)
			}
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("families not sorted: %v", names)
	}
	problems, err := testutil.GatherAndLint(m)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	// prometheus.Gatherers repeats the registry's checks over everything.
	if _, err := (prometheus.Gatherers{m}).Gather(); err != nil {
		t.Error(err)
	}
}

// The table is what documentation, boards and rules are written from.
func TestTableIsWhatIsExposed(t *testing.T) {
	exposed := map[string]*dto.MetricFamily{}
	for _, family := range gather(t, everything(t, mail.HistogramsBoth)) {
		exposed[family.GetName()] = family
	}
	for _, doc := range Table() {
		family := exposed[doc.Name]
		if family == nil {
			t.Errorf("%s is in the table but never exposed", doc.Name)
			continue
		}
		if got := strings.ToLower(family.GetType().String()); got != doc.Type {
			t.Errorf("%s is a %s, the table says %s", doc.Name, got, doc.Type)
		}
		if doc.Name != families[buildInfo].name && family.GetHelp() != doc.Help { // its help is the library's
			t.Errorf("%s: help %q, the table says %q", doc.Name, family.GetHelp(), doc.Help)
		}
		var names []string
		for _, pair := range family.Metric[0].Label {
			if pair.GetName() != "team" {
				names = append(names, pair.GetName())
			}
		}
		slices.Sort(doc.Labels)
		if !slices.Equal(names, doc.Labels) {
			t.Errorf("%s has labels %v, the table says %v", doc.Name, names, doc.Labels)
		}
		delete(exposed, doc.Name)
	}
	for name := range exposed {
		if strings.HasPrefix(name, "mailprobe_") {
			t.Errorf("%s is exposed but not in the table", name)
		}
	}
}

// A connection's own label of such a name would make a scrape invalid.
func TestLabelsOfMetricsAreReserved(t *testing.T) {
	for _, f := range families {
		for _, label := range slices.Concat(connectionLabels, f.labels) {
			if !f.global && mail.ReservedLabel(label) == "" {
				t.Errorf("%s has the label %s, which mail.ReservedLabels does not list", f.name, label)
			}
		}
	}
}

func TestDocumentationIsTheTable(t *testing.T) {
	const file = "../docs/metrics.md"
	head := `# Metrics

Every metric about a connection carries the labels ` + "`connection` and `protocol`" + ` and the connection's own
` + "`labels`" + `. What is not known is absent, neither 0 nor NaN: a connection that was never probed has only its
` + "`_info`, `_interval_` and `_timeout_`" + ` series. Server text is never a label. The standard ` + "`go_` and `process_`" + `
metrics are exposed too. ` + "`/probe`" + ` shows the gauges of one connection; counters and histograms are on ` + "`/metrics`" + ` only.

While a login is withheld and no server is contacted, what the last probe learned about it (port, phases, TLS,
certificate) stays; such probes are counted by ` + "`mailprobe_probes_withheld_total`" + ` alone.

Durations of probes and TLS handshakes are histograms with classic and native buckets (` + "`metrics.histograms`" + `).
Classic buckets are few, ` + fmt.Sprintf("with the bounds %v for probes and %v for handshakes, in seconds", probeBounds, handshakeBounds) + `,
because each is a line per connection: they count quick, slow and very slow probes. For quantiles take the native ones (within 5 %), or without them the gauges, which every scrape reads:
` + "`quantile_over_time(0.95, mailprobe_last_probe_duration_seconds[1h])`" + `.
Prometheus gets native ones when it scrapes with protobuf and ` + "`scrape_native_histograms: true`" + `.

This page is generated by ` + "`make generate`" + `.

`
	const phases = `
## Phases

| ` + "`phase`" + ` | what its time covers |
|---|---|
`
	const clocks = `
None of them includes waiting for a place in the pool or for the turn of a login. A phase ends when the last byte of the answer
reached the kernel. On Linux the kernel says when that was, for all phases except ` + "`resolve`" + `, so the time in which this machine was
too busy to read it counts neither in these phases nor in the whole probe; on other systems it does.
`
	want := head + Markdown(Table()) + phases
	for _, phase := range mail.Phases() {
		want += fmt.Sprintf("| `%s` | %s |\n", phase, phase.Meaning())
	}
	want += clocks
	if *update {
		if err := os.MkdirAll("../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says: run make generate", file)
	}
}

const (
	acceptText        = "text/plain;version=0.0.4"
	acceptNewText     = "text/plain;version=1.0.0"
	acceptOpenMetrics = "application/openmetrics-text;version=1.0.0"
	acceptProtobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

func scrape(t testing.TB, h http.Handler, accept string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	response := serve(h, request)
	if response.Code != http.StatusOK {
		t.Fatalf("%s: status %d: %s", accept, response.Code, response.Body)
	}
	return response
}

func serve(h http.Handler, request *http.Request) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	h.ServeHTTP(response, request)
	return response
}

func TestAllFormatsHaveTheSameValues(t *testing.T) {
	handler := Handler(everything(t, mail.HistogramsBoth), nil)
	want := map[string]float64{ // by name and connection
		"mailprobe_up a": 1, "mailprobe_up b": 0, "mailprobe_probes_total a": 1,
		"mailprobe_last_probe_timestamp_seconds a": seconds(good(inbox("a")).End), "mailprobe_auth_held b": 1,
	}
	for _, accept := range []string{acceptText, acceptOpenMetrics, acceptProtobuf} {
		response := scrape(t, handler, accept)
		got := parse(t, response)
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %v, want %v", accept, key, got[key], value)
			}
		}
		mediaType, _, _ := strings.Cut(accept, ";")
		if contentType := response.Header().Get("Content-Type"); !strings.HasPrefix(contentType, mediaType) {
			t.Errorf("asked for %s, got %s", accept, contentType)
		}
		native := got["native"] > 0
		if wantNative := accept == acceptProtobuf; native != wantNative {
			t.Errorf("%s: native buckets %v, want %v", accept, native, wantNative)
		}
		if got["classic"] == 0 {
			t.Errorf("%s: no classic buckets", accept)
		}
	}
}

// parse reads an exposition back with the library's own parsers. OpenMetrics
// text is close enough to the older format to be read by its parser.
func parse(t testing.TB, response *httptest.ResponseRecorder) map[string]float64 {
	t.Helper()
	format := expfmt.ResponseFormat(response.Header())
	if openMetrics := strings.HasPrefix(response.Header().Get("Content-Type"), "application/openmetrics-text"); openMetrics {
		if !bytes.HasSuffix(response.Body.Bytes(), []byte("# EOF\n")) {
			t.Error("OpenMetrics does not end with # EOF")
		}
		format = expfmt.NewFormat(expfmt.TypeTextPlain)
		// In OpenMetrics, the Go collector's counter go_memstats_alloc_bytes_total has the
		// family name of the gauge go_memstats_alloc_bytes, which the old parser refuses.
		text := regexp.MustCompile(`(?m)^# (HELP|TYPE) go_.*\n`).ReplaceAll(response.Body.Bytes(), nil)
		response.Body = bytes.NewBuffer(text)
	}
	values := map[string]float64{}
	decoder := expfmt.NewDecoder(bufio.NewReader(response.Body), format)
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); errors.Is(err, io.EOF) {
			return values
		} else if err != nil {
			t.Fatal(err)
		}
		for _, m := range family.Metric {
			key := family.GetName()
			for _, pair := range m.Label {
				if pair.GetName() == "connection" {
					key += " " + pair.GetValue()
				}
			}
			values[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
			values["classic"] += float64(len(m.GetHistogram().GetBucket()))
			values["native"] += float64(len(m.GetHistogram().GetPositiveDelta()))
		}
	}
}

func TestHandlerCompressesOnlyWithGzipAndOnlyWhenAsked(t *testing.T) {
	handler := Handler(everything(t, mail.HistogramsBoth), nil)
	for accept, want := range map[string]string{"": "", "zstd": "", "gzip": "gzip", "zstd, gzip": "gzip"} {
		request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		request.Header.Set("Accept-Encoding", accept)
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		if got := response.Header().Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: answered with %q, want %q", accept, got, want)
		}
	}
}

// TestObserveGatherAndReloadAtOnce is for the race detector (-race).
func TestObserveGatherAndReloadAtOnce(t *testing.T) {
	const connections, rounds = 20, 30
	names := func(label string) []*mail.Connection {
		var list []*mail.Connection
		for i := range connections {
			list = append(list, inbox(fmt.Sprintf("c%02d", i), mail.Label{Name: "run", Value: label}))
		}
		return list
	}
	m := collectorOf(mail.HistogramsBoth, names("0")...)
	handler := Handler(m, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range rounds {
				for _, c := range names("x") {
					m.Observe(good(c))
					m.Observe(refused(c))
				}
			}
		})
	}
	for _, accept := range []string{acceptText, acceptOpenMetrics, acceptProtobuf, acceptProtobuf} {
		wg.Go(func() {
			for range rounds {
				scrape(t, handler, accept)
			}
		})
	}
	wg.Go(func() {
		for i := range rounds {
			m.SetConnections(names(fmt.Sprint(i)))
		}
	})
	wg.Wait()
	for i := range connections {
		if got, _ := value(t, m, "mailprobe_probes_total", "connection", fmt.Sprintf("c%02d", i)); got != 4*rounds*2 {
			t.Errorf("connection %d: %v probes counted, want %d", i, got, 4*rounds*2)
		}
	}
	if err := pedantic(m); err != nil {
		t.Error(err)
	}
}
