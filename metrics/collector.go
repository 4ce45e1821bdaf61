package metrics

// This file is the Gatherer of all connections. A registry of vectors would
// take ten times the processor time: it hashes, checks and sorts each series at
// each scrape. Here that is proved once, by tests with a pedantic registry.

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"mailprobe/mail"
)

// Options says what a Collector shows. The zero value is ready to use.
type Options struct {
	// Histograms chooses the buckets; empty or an unknown word: both.
	Histograms Histograms

	// Pool gives the figures of the pool at each scrape; nil: the pool's metrics
	// are absent. It is called from scrapes, from several at once too.
	Pool func() mail.PoolStats
}

// Collector holds the metrics of all connections and of the exporter itself. It
// is a prometheus.Gatherer. All methods are safe for concurrent use.
type Collector struct {
	kind     Histograms
	words    *dictionary
	order    []familyID // by name
	exporter *exporter

	reload sync.Mutex // held by SetConnections alone
	roster atomic.Pointer[roster]
}

// roster is the set of connections; immutable, replaced at a reload.
type roster struct {
	byName map[string]*connection
	sorted []*connection // by name, so that expositions are stable
}

// NewCollector makes a Collector without connections.
func NewCollector(options Options) *Collector {
	kind := options.Histograms
	if !slices.Contains([]Histograms{HistogramsNative, HistogramsClassic, HistogramsNone}, kind) {
		kind = HistogramsBoth
	}
	c := &Collector{
		kind:     kind,
		words:    newDictionary(),
		order:    byName(),
		exporter: newExporter(kind, options.Pool),
	}
	c.roster.Store(&roster{})
	return c
}

// SetConnections replaces the connections, at load and at reload. A connection
// whose name and protocol stay keeps its counters and histograms; its last
// outcome too, unless host, port, login or what else decides the outcome
// changed. All others start anew, and those left out vanish. Of two connections
// of the same name, which config refuses, the first counts.
func (c *Collector) SetConnections(connections []*mail.Connection) {
	c.reload.Lock()
	defer c.reload.Unlock()
	old := c.roster.Load()
	next := &roster{
		byName: make(map[string]*connection, len(connections)),
		sorted: make([]*connection, 0, len(connections)),
	}
	for _, definition := range connections {
		if next.byName[definition.Name] != nil {
			continue
		}
		s := old.byName[definition.Name]
		if s == nil || !s.reconfigure(definition, c.words) {
			s = newConnection(definition, c.words)
		}
		next.byName[definition.Name] = s
		next.sorted = append(next.sorted, s)
	}
	slices.SortFunc(next.sorted, func(a, b *connection) int {
		return strings.Compare(a.name, b.name)
	})
	c.roster.Store(next)
}

// Observe takes in the outcome of one probe. It is ignored when its connection
// is no longer configured, or now asks another server or login.
func (c *Collector) Observe(o mail.Outcome) {
	if o.Connection == nil {
		return
	}
	if s := c.roster.Load().byName[o.Connection.Name]; s != nil {
		s.observe(&o, c.words, c.kind)
	}
}

// ObserveStartDelay counts how much later than scheduled a probe started.
func (c *Collector) ObserveStartDelay(delay time.Duration) {
	c.exporter.startDelay.Observe(nonNegative(delay))
}

// ConfigReloaded records an attempt to load the configuration, the first one at
// the start included. Before any the two metrics are absent.
func (c *Collector) ConfigReloaded(ok bool, at time.Time) {
	c.exporter.reloads.record(ok, at)
}

// harvest is what one scrape found.
type harvest struct {
	sheets                     []*sheet
	probeTimes, handshakeTimes []*dto.Metric
}

// Gather implements prometheus.Gatherer. The messages are shared with other
// scrapes and must not be written to.
func (c *Collector) Gather() ([]*dto.MetricFamily, error) {
	sorted := c.roster.Load().sorted
	found := &harvest{
		sheets:         make([]*sheet, 0, 2*len(sorted)),
		probeTimes:     make([]*dto.Metric, 0, len(sorted)),
		handshakeTimes: make([]*dto.Metric, 0, len(sorted)),
	}
	for _, s := range sorted {
		s.collect(found, c.kind)
	}
	own, err := c.exporter.Gather()
	return mergeFamilies(found.families(c.order), own), err
}

// families arranges the metrics by family. It copies pointers only: of each
// family the number of metrics is counted first, then one slice is filled.
func (h *harvest) families(order []familyID) []*dto.MetricFamily {
	var counts [familyCount]int
	for _, s := range h.sheets {
		for _, id := range s.families {
			counts[id]++
		}
	}
	var metrics [familyCount][]*dto.Metric
	for id, n := range counts {
		metrics[id] = make([]*dto.Metric, 0, n)
	}
	for _, s := range h.sheets {
		for i, id := range s.families {
			metrics[id] = append(metrics[id], &s.metrics[i])
		}
	}
	metrics[probeDuration], metrics[handshakeDuration] = h.probeTimes, h.handshakeTimes

	var found []*dto.MetricFamily
	for _, id := range order {
		if len(metrics[id]) == 0 {
			continue // a family without metrics is not allowed
		}
		f := &families[id]
		found = append(found, &dto.MetricFamily{
			Name: &f.name, Help: &f.help, Type: f.kind.Enum(), Metric: metrics[id],
		})
	}
	return found
}

// mergeFamilies merges two lists sorted by name that have no name in common.
// prometheus.Gatherers would do so too, but checks and hashes each series again.
func mergeFamilies(a, b []*dto.MetricFamily) []*dto.MetricFamily {
	merged := slices.Concat(a, b)
	slices.SortFunc(merged, func(x, y *dto.MetricFamily) int {
		return strings.Compare(x.GetName(), y.GetName())
	})
	return merged
}

// One is a Gatherer of a single outcome, for /probe: the gauges of Collector
// under the same names, and nothing of the exporter itself. Counters and
// histograms stay out: their state is the Collector's, and one that starts anew
// at each scrape would be wrong. last_success_timestamp is there only when this
// very probe was a success.
func One(o mail.Outcome) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		if o.Connection == nil {
			return nil, nil
		}
		words := newDictionary()
		rows := outcomeRows(configRows(nil, o.Connection, o.Spacing(), words), &o, words)
		if o.Up() {
			rows = append(rows, row{family: lastSuccess, value: seconds(o.End)})
		}
		found := &harvest{sheets: []*sheet{newSheet(ownLabels(o.Connection, words), rows)}}
		return found.families(byName()), nil
	})
}
