package metrics

// This file is the set of all connections' metrics. A registry of vectors would take
// ten times the processor time, because it hashes, checks and sorts each series at each
// scrape. Here, tests with a pedantic registry do these checks instead.

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"mailprobe/mail"
)

// Options chooses what a Collector exports. The zero value is ready to use.
type Options struct {
	// Histograms chooses the buckets; empty or an unknown word: both.
	Histograms mail.Histograms

	// Pool returns the figures of the pool at each scrape; nil: the pool's metrics
	// are absent. It is called from scrapes, from several at once too.
	Pool func() mail.PoolStats

	// HoldsUnkept returns since when account holds cannot be written to the state
	// file; zero: they can. nil: there is no state file. It is called at each scrape.
	HoldsUnkept func() time.Time

	// LastSuccess returns when a connection was last up before this process began;
	// zero: not known. It is called at SetConnections. nil: nothing is known.
	LastSuccess func(*mail.Connection) time.Time

	// RouteCounts returns how many messages of a route are in flight or left behind.
	// It is called at each scrape. nil: there are no routes.
	RouteCounts func(route string) mail.RouteCounts
}

// Collector holds the metrics of all connections and of the exporter itself. It
// is a prometheus.Gatherer; Handler serves it without one, which is faster. All
// methods are safe for concurrent use.
type Collector struct {
	kind        mail.Histograms
	pool        *labelPool
	exporter    *exporter
	lastSuccess func(*mail.Connection) time.Time // see Options
	routes      *routesMetrics                   // nil: there are none
	connections mail.ConnectionSet[*connectionMetrics]
}

// NewCollector makes a Collector without connections.
func NewCollector(options Options) *Collector {
	kind := options.Histograms
	if !slices.Contains([]mail.Histograms{mail.HistogramsNative, mail.HistogramsClassic, mail.HistogramsNone}, kind) {
		kind = mail.HistogramsBoth
	}
	c := &Collector{kind: kind, pool: newLabelPool(), exporter: newExporter(kind, options.Pool), lastSuccess: options.LastSuccess}
	if options.HoldsUnkept != nil {
		c.exporter.MustRegister(holdsMetrics{options.HoldsUnkept})
	}
	if options.RouteCounts != nil {
		c.routes = newRoutes(options.RouteCounts)
		c.exporter.MustRegister(c.routes)
	}
	return c
}

// SetConnections replaces the connections, at load and at reload. A connection whose
// name and protocol are unchanged keeps its counters and histograms. It also keeps its
// last outcome, unless a field changed that decides the outcome, such as host, port or
// login. The metrics of removed connections vanish.
func (c *Collector) SetConnections(connections []*mail.Connection) {
	c.connections.Replace(connections, func(definition *mail.Connection, old *connectionMetrics) *connectionMetrics {
		if old != nil && old.reconfigure(definition, c.pool) {
			return old
		}
		m := newConnectionMetrics(definition, c.pool)
		if c.lastSuccess != nil {
			if at := c.lastSuccess(definition); !at.IsZero() {
				m.lastSuccess = seconds(at)
			}
		}
		return m
	})
}

// Observe records the outcome of one probe. The outcome is ignored if its connection is
// no longer configured, or now has another server or login.
func (c *Collector) Observe(o mail.Outcome) {
	if o.Connection == nil {
		return
	}
	if m, ok := c.connections.Get(o.Connection.Name); ok {
		m.observe(&o, c.pool, c.kind)
	}
}

// SetRoutes replaces the routes. A route whose name is unchanged keeps its
// counters.
func (c *Collector) SetRoutes(routes []*mail.Route) {
	if c.routes != nil {
		c.routes.set(routes)
	}
}

// ObserveRoute records the outcome of one message of a route.
func (c *Collector) ObserveRoute(o mail.RouteOutcome) {
	if c.routes != nil {
		c.routes.observe(o)
	}
}

// ObserveStartDelay counts how much later than scheduled a probe started.
func (c *Collector) ObserveStartDelay(delay time.Duration) {
	c.exporter.startDelay.Observe(nonNegative(delay))
}

// ConfigReloaded records an attempt to load the configuration, also the first one
// at the start. Before that, its two metrics are absent.
func (c *Collector) ConfigReloaded(ok bool, at time.Time) {
	c.exporter.reloads.record(ok, at)
}

// Gather implements prometheus.Gatherer. The messages must not be written to:
// parts of them are shared with other scrapes.
func (c *Collector) Gather() ([]*dto.MetricFamily, error) {
	own, err := c.exporter.Gather()
	families := own
	for g := c.gather(); g.next(); {
		families = append(families, g.message())
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int {
		return strings.Compare(a.GetName(), b.GetName())
	})
	return families, err
}

// One returns a Gatherer of a single outcome, for /probe: the same gauges as a
// Collector's, and nothing about the exporter itself. Counters and histograms are
// not in it: a counter that starts anew at each scrape would be wrong.
// last_success_timestamp is in it only if this outcome is a success.
func One(o mail.Outcome) prometheus.Gatherer { return one(o, nil) }

// One is like the function One. For a withheld probe it also has the values of the
// last probe that contacted the server, as /metrics does.
func (c *Collector) One(o mail.Outcome) prometheus.Gatherer {
	var before *preparedMetrics
	if o.Connection != nil {
		if m, ok := c.connections.Get(o.Connection.Name); ok {
			p := m.prepared()
			before = &p
		}
	}
	return one(o, before)
}

func one(o mail.Outcome, before *preparedMetrics) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		if o.Connection == nil {
			return nil, nil
		}
		samples := configSamples(nil, o.Connection, o.Spacing())
		pool := newLabelPool()
		samples = outcomeSamples(samples, &o, before, pool)
		if o.Up() {
			samples = append(samples, sample{family: lastSuccess, value: seconds(o.End)})
		}
		var found []*dto.MetricFamily
		p := prepare(o.Connection, samples, before, pool)
		if raw, ok := rawFingerprint(o.TLS); ok {
			p.fingerprint = raw
		}
		g := newGathered([]preparedMetrics{p})
		for g.next() {
			found = append(found, g.message())
		}
		return found, nil
	})
}
