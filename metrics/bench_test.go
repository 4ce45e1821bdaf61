package metrics

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mailprobe/internal/systest"
	"mailprobe/mail"
)

// maxBytes is what the metrics of one connection may take at rest, with both kinds of
// buckets: 2 of the 10 KiB a connection may cost in all.
const maxBytes = 2 << 10

// fleet returns a collector of many connections, each probed observations times.
func fleet(connections, observations int, kind mail.Histograms) *Collector {
	m := NewCollector(Options{Histograms: kind})
	var list []*mail.Connection
	for i := range connections {
		list = append(list, inbox(fmt.Sprintf("connection-%05d", i), mail.Label{Name: "team", Value: "support"}))
	}
	m.SetConnections(list)
	observe(m, observations)
	return m
}

// observe lets each connection be probed some times more.
func observe(m *Collector, times int) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, s := range m.connections.All() {
		o := good(s.current.definition)
		for range times {
			stretch := math.Exp(random.NormFloat64() * 0.4) // two thirds within 0.7 and 1.5 of the median
			stretched := func(d time.Duration) time.Duration { return time.Duration(stretch * float64(d)) }
			o.Start = o.Start.Add(time.Minute + time.Duration(random.Int64N(1e9)))
			o.End = o.Start.Add(stretched(83 * time.Millisecond))
			facts := *o.TLS
			facts.Handshake = stretched(24 * time.Millisecond)
			o.TLS = &facts
			o.Phases = slices.Clone(o.Phases)
			for i := range o.Phases {
				o.Phases[i].Duration += time.Duration(random.Int64N(int64(time.Millisecond)))
			}
			m.Observe(o)
		}
	}
}

// bytesAtRest is what the collector holds for each connection, its mail.Connection
// included.
func bytesAtRest(connections, observations int, kind mail.Histograms) float64 {
	var before, after runtime.MemStats
	list := fleet(connections, 0, mail.HistogramsNone) // so that what is allocated only once is there
	for range 3 {                                      // the second one frees what other tests left in a sync.Pool
		runtime.GC()
	}
	runtime.ReadMemStats(&before)
	m := fleet(connections, observations, kind)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(list)
	runtime.KeepAlive(m)
	return (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(connections)
}

func TestMemoryAtRestIsBounded(t *testing.T) {
	if got := bytesAtRest(300, 200, mail.HistogramsBoth); got > maxBytes {
		t.Errorf("%.0f bytes per connection at rest, want at most %d", got, maxBytes)
	}
}

// BenchmarkMemory reports bytes at rest per connection after 200 observations.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range []mail.Histograms{mail.HistogramsBoth, mail.HistogramsNative, mail.HistogramsClassic, mail.HistogramsNone} {
		b.Run(string(kind), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(bytesAtRest(1000, 200, kind), "B/connection")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkHistogramMemory compares the library's histogram with ours: the difference is
// the reason for ours.
func BenchmarkHistogramMemory(b *testing.B) {
	const n = 1000
	held := func(make func() any) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		all := [n]any{}
		for i := range all {
			all[i] = make()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(&all)
		return float64(after.HeapAlloc-before.HeapAlloc) / n
	}
	random := rand.New(rand.NewPCG(7, 8))
	sample := func() time.Duration {
		return time.Duration(math.Exp(random.NormFloat64()*0.4) * float64(83*time.Millisecond))
	}
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(held(func() any {
				h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", Buckets: probeBounds,
					NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: maxNativeBuckets,
					NativeHistogramMaxExemplars: -1})
				for range 200 {
					h.Observe(sample().Seconds())
				}
				return h
			}), "B/histogram")
		}
		b.ReportMetric(0, "ns/op")
	})
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(held(func() any {
				h := &durations{}
				for range 200 {
					h.observe(sample(), mail.HistogramsBoth, probeBounds)
				}
				return h
			}), "B/histogram")
		}
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkObserve measures what the metrics of one probe cost.
func BenchmarkObserve(b *testing.B) {
	c := inbox("a")
	m := collectorOf(mail.HistogramsBoth, c)
	for name, o := range map[string]mail.Outcome{"up": good(c), "refused": refused(c)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Observe(o)
			}
		})
	}
}

// BenchmarkGather10000 measures a scrape of 10,000 connections without the encoding;
// merge=registry includes the checks of prometheus.Gatherers.
func BenchmarkGather10000(b *testing.B) {
	for _, kind := range []mail.Histograms{mail.HistogramsBoth, mail.HistogramsNone} {
		m := fleet(10_000, 20, kind)
		perSeries := float64(seriesOf(b, m))
		for name, g := range map[string]prometheus.Gatherer{"own": m, "registry": prometheus.Gatherers{m}} {
			b.Run(fmt.Sprintf("histograms=%s/merge=%s", kind, name), func(b *testing.B) {
				b.ReportAllocs()
				start := systest.ProcessorTime()
				for b.Loop() {
					if _, err := g.Gather(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(systest.ProcessorTime()-start)/float64(b.N)/perSeries, "cpu-ns/series")
			})
		}
	}
}

// BenchmarkScrape10000 measures a whole scrape of 10,000 connections through the
// handler. A histogram counts as one series, although the text formats write several
// lines for it.
func BenchmarkScrape10000(b *testing.B) {
	for _, kind := range []mail.Histograms{mail.HistogramsBoth, mail.HistogramsNone} {
		m := fleet(10_000, 20, kind)
		handler := Handler(m, nil)
		for _, format := range []struct{ name, accept string }{
			{"text", acceptNewText}, {"openmetrics", acceptOpenMetrics}, {"protobuf", acceptProtobuf},
		} {
			for _, encoding := range []string{"identity", "gzip"} {
				b.Run(fmt.Sprintf("histograms=%s/%s/%s", kind, format.name, encoding), func(b *testing.B) {
					scrapes(b, handler, format.accept, encoding, seriesOf(b, m), func() { observe(m, 1) })
				})
			}
		}
	}
}

// scrapes makes scrapes and reports the processor time per series. Before each scrape it
// calls probe.
func scrapes(b *testing.B, handler http.Handler, accept, encoding string, series int, probe func()) {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	// Prometheus 3 asks with this parameter; without it the encoder checks each name again.
	request.Header.Set("Accept", accept+";escaping=allow-utf-8")
	request.Header.Set("Accept-Encoding", encoding)
	b.ReportAllocs()
	var sent counted
	var spent time.Duration
	runtime.GC()
	for b.Loop() {
		probe()
		sent = counted{header: http.Header{}}
		start := systest.ProcessorTime()
		handler.ServeHTTP(&sent, request)
		spent += systest.ProcessorTime() - start
	}
	b.ReportMetric(float64(spent)/float64(b.N)/float64(series), "cpu-ns/series")
	b.ReportMetric(float64(sent.bytes)/1e6, "MB")
}

// BenchmarkScrapeVectors10000 measures the same series, without histograms, in vectors of
// the library, as most exporters have them. Compare BenchmarkScrape10000 with it, in one
// run.
func BenchmarkScrapeVectors10000(b *testing.B) {
	registry, series := prometheus.NewRegistry(), 0
	for _, family := range gather(b, fleet(10_000, 1, mail.HistogramsNone)) {
		if !slices.Contains(connectionFamilies(), family.GetName()) {
			continue
		}
		var names []string
		for _, pair := range family.Metric[0].Label {
			names = append(names, pair.GetName())
		}
		vector := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: family.GetName(), Help: family.GetHelp()}, names)
		registry.MustRegister(vector)
		for _, m := range family.Metric {
			var values []string
			for _, pair := range m.Label {
				values = append(values, pair.GetValue())
			}
			vector.WithLabelValues(values...).Set(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			series++
		}
	}
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run("text/"+encoding, func(b *testing.B) { scrapes(b, Handler(registry, nil), acceptNewText, encoding, series, func() {}) })
	}
}

// counted is a response writer that only counts the bytes.
type counted struct {
	header http.Header
	bytes  int
}

func (c *counted) Header() http.Header         { return c.header }
func (c *counted) WriteHeader(int)             {}
func (c *counted) Write(b []byte) (int, error) { c.bytes += len(b); return len(b), nil }

func TestGzipScrapeHasEveryConnection(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept-Encoding", "gzip")
	request.Header.Set("Accept", acceptText)
	response := httptest.NewRecorder()
	Handler(fleet(100, 1, mail.HistogramsBoth), nil).ServeHTTP(response, request)
	unpacked, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	response.Header().Del("Content-Encoding")
	response.Body.Reset()
	response.Body.Write(text)
	if got := parse(t, response); got["mailprobe_up connection-00099"] != 1 {
		t.Error("the last connection is missing")
	}
}
