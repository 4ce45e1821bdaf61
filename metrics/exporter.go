package metrics

// This file holds the metrics of the exporter itself. They are few, so an ordinary
// registry is fast enough.

import (
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"

	"mailprobe/mail"
)

// exporter is the registry of everything that is not about a connection.
type exporter struct {
	*prometheus.Registry
	startDelay prometheus.Histogram
	reloads    *reloads
}

// newExporter registers build, Go runtime, process, configuration and, if pool
// is not nil, pool.
func newExporter(kind mail.Histograms, pool func() mail.PoolStats) *exporter {
	e := &exporter{
		Registry:   prometheus.NewRegistry(),
		startDelay: newStartDelay(kind),
		reloads:    &reloads{},
	}
	e.MustRegister(
		version.NewCollector("mailprobe"),
		// Scheduling latency tells when the machine is too busy for the measured
		// times to be the servers' own.
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
			collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/sched/latencies:seconds$`)})),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		e.reloads,
	)
	if pool != nil {
		e.MustRegister(e.startDelay, &poolMetrics{pool})
	}
	return e
}

// newStartDelay returns the histogram of start delays, the only one of the library's
// type. It is exported with classic buckets even if histograms are switched off:
// without it, no metric would show that probes start late.
func newStartDelay(kind mail.Histograms) prometheus.Histogram {
	f := &families[poolStartDelay]
	opts := prometheus.HistogramOpts{Name: f.name, Help: f.help}
	if kind != mail.HistogramsNative {
		opts.Buckets = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60}
	}
	if kind.Native() {
		opts.NativeHistogramBucketFactor = nativeFactor
		opts.NativeHistogramMaxBucketNumber = 2 * maxNativeBuckets
		opts.NativeHistogramMaxExemplars = -1
	}
	return prometheus.NewHistogram(opts)
}

// describe makes the description of a family without labels.
func describe(id familyID) *prometheus.Desc {
	return prometheus.NewDesc(families[id].name, families[id].help, nil, nil)
}

// poolMetrics asks the pool once per scrape, so that its figures fit together.
type poolMetrics struct{ stats func() mail.PoolStats }

// Describe implements prometheus.Collector.
func (*poolMetrics) Describe(descs chan<- *prometheus.Desc) {
	descs <- describe(poolInFlight)
	descs <- describe(poolLimit)
	descs <- describe(poolSkipped)
}

// Collect implements prometheus.Collector.
func (p *poolMetrics) Collect(metrics chan<- prometheus.Metric) {
	stats := p.stats()
	metrics <- prometheus.MustNewConstMetric(describe(poolInFlight), prometheus.GaugeValue, float64(stats.InFlight))
	metrics <- prometheus.MustNewConstMetric(describe(poolLimit), prometheus.GaugeValue, float64(stats.Limit))
	metrics <- prometheus.MustNewConstMetric(describe(poolSkipped), prometheus.CounterValue, float64(stats.Skipped))
}

// holdsMetrics asks the guard once per scrape.
type holdsMetrics struct{ unkept func() time.Time }

// Describe implements prometheus.Collector.
func (holdsMetrics) Describe(descs chan<- *prometheus.Desc) {
	descs <- describe(holdsKept)
	descs <- describe(holdsUnkeptSince)
}

// Collect implements prometheus.Collector.
func (h holdsMetrics) Collect(metrics chan<- prometheus.Metric) {
	since := h.unkept()
	metrics <- prometheus.MustNewConstMetric(describe(holdsKept), prometheus.GaugeValue, boolSample(holdsKept, since.IsZero()).value)
	if !since.IsZero() {
		metrics <- prometheus.MustNewConstMetric(describe(holdsUnkeptSince), prometheus.GaugeValue, seconds(since))
	}
}

// reloads remembers how loading the configuration went.
type reloads struct {
	mu      sync.Mutex
	known   bool
	ok      bool
	success time.Time // of the last good one; zero: none yet
}

func (r *reloads) record(ok bool, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.ok = true, ok
	if ok {
		r.success = at
	}
}

// Describe implements prometheus.Collector.
func (*reloads) Describe(descs chan<- *prometheus.Desc) {
	descs <- describe(reloadSuccessful)
	descs <- describe(reloadSuccess)
}

// Collect implements prometheus.Collector.
func (r *reloads) Collect(metrics chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known {
		metrics <- prometheus.MustNewConstMetric(describe(reloadSuccessful), prometheus.GaugeValue, boolSample(reloadSuccessful, r.ok).value)
	}
	if !r.success.IsZero() {
		metrics <- prometheus.MustNewConstMetric(describe(reloadSuccess), prometheus.GaugeValue, seconds(r.success))
	}
}
