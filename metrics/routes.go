package metrics

// This file holds the metrics of routes. There are few routes, so the library's
// const metrics are made at each scrape.

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"mailprobe/mail"
)

// deliveryBounds are the upper bounds of the delivery histogram, in seconds.
var deliveryBounds = []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800}

// routesMetrics holds the metrics of all routes. All methods are safe for concurrent
// use.
type routesMetrics struct {
	counts func(route string) mail.RouteCounts

	mu     sync.Mutex
	routes map[string]*routeMetrics
}

// routeMetrics holds the last outcome and the counters of one route.
type routeMetrics struct {
	route  *mail.Route
	own    prometheus.Labels
	last   *mail.RouteOutcome // nil: none yet
	good   time.Time          // end of the last message that arrived as configured; zero: none
	totals map[routeFamilyID]float64
	failed map[mail.Reason]float64
	sum    float64
	count  uint64
	bucket []uint64 // by deliveryBounds, not cumulative
}

// newRoutes returns metrics without routes. counts returns what is in flight and
// left behind on a route; it is called in each scrape.
func newRoutes(counts func(route string) mail.RouteCounts) *routesMetrics {
	return &routesMetrics{counts: counts, routes: map[string]*routeMetrics{}}
}

// set replaces the routes. A route whose name is unchanged keeps its counters.
func (r *routesMetrics) set(list []*mail.Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]*routeMetrics, len(list))
	for _, route := range list {
		m := r.routes[route.Name]
		if m == nil {
			m = &routeMetrics{totals: map[routeFamilyID]float64{}, failed: map[mail.Reason]float64{}, bucket: make([]uint64, len(deliveryBounds)+1)}
		}
		m.route, m.own = route, ownRouteLabels(route)
		next[route.Name] = m
	}
	r.routes = next
}

// observe records the outcome of one message. It is ignored if its route is not
// configured any more.
func (r *routesMetrics) observe(o mail.RouteOutcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.routes[o.Route.Name]
	if m == nil {
		return
	}
	m.last = &o
	if o.Submit > 0 && (o.Failure == nil || o.Delivered || o.Failure.Leg != mail.LegSubmit) {
		m.totals[routeSent]++
	}
	if o.Delivered {
		m.totals[routeDelivered]++
		m.totals[routeDeleted] += float64(o.Deleted)
		m.deliveredAfter(o.Total.Seconds())
	}
	if o.Lost() && o.Submit > 0 {
		m.totals[routeLost]++
	}
	if o.Up() {
		m.good = o.Ended
	} else {
		m.failed[o.Failure.Reason]++
	}
}

func (m *routeMetrics) deliveredAfter(seconds float64) {
	at, _ := slices.BinarySearch(deliveryBounds, seconds)
	m.bucket[at]++
	m.sum += seconds
	m.count++
}

// ownRouteLabels returns the labels that every metric of a route has.
func ownRouteLabels(route *mail.Route) prometheus.Labels {
	own := prometheus.Labels{"route": route.Name}
	for _, l := range route.Labels {
		if mail.ReservedRouteLabel(l.Name) == "" && model.LegacyValidation.IsValidLabelName(l.Name) {
			own[l.Name] = l.Value
		}
	}
	return own
}

// Describe sends nothing, because the label names differ from route to route.
func (r *routesMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (r *routesMetrics) Collect(to chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(r.routes)) {
		r.routes[name].collect(to, r.counts(name))
	}
}

func (m *routeMetrics) collect(to chan<- prometheus.Metric, counts mail.RouteCounts) {
	send := func(id routeFamilyID, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if routeFamilies[id].kind == counter {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(routeDesc(id, m.own), kind, value, labels...)
	}
	send(routeInterval, m.route.Interval.Seconds())
	send(routeDeadline, m.route.Deadline.Seconds())
	send(routeInFlight, float64(counts.InFlight))
	send(routeLeftBehind, float64(counts.Left))
	if !counts.Oldest.IsZero() {
		send(routeOldestInFlight, seconds(counts.Oldest))
	}
	for _, id := range []routeFamilyID{routeSent, routeDelivered, routeLost, routeDeleted} {
		send(id, m.totals[id])
	}
	for reason, n := range m.failed {
		send(routeFailures, n, string(reason))
	}
	to <- m.histogram()
	if !m.good.IsZero() {
		send(routeLastSuccess, seconds(m.good))
	}
	if m.last != nil {
		m.collectLast(send)
	}
}

// collectLast sends the metrics of the last message.
func (m *routeMetrics) collectLast(send func(id routeFamilyID, value float64, labels ...string)) {
	o := m.last
	send(routeUp, boolSample(up, o.Up()).value)
	for leg, took := range map[mail.Leg]time.Duration{mail.LegSubmit: o.Submit, mail.LegTransfer: o.Transfer, mail.LegTotal: o.Total} {
		if took > 0 {
			send(routeLegDuration, took.Seconds(), string(leg))
		}
	}
	if f := o.Failure; f != nil {
		send(routeFailureInfo, 1, string(f.Leg), string(f.Reason))
	}
	if !o.Delivered {
		return
	}
	send(routeTransferUncertainty, o.Uncertainty.Seconds())
	send(routeFolderInfo, 1, string(o.Folder))
	send(routeHops, float64(len(o.Hops)))
	if o.Trusted {
		for check, result := range o.Authentication {
			send(routeAuthenticationResult, 1, string(check), string(result))
		}
	}
}

func (m *routeMetrics) histogram() prometheus.Metric {
	cumulative, n := make(map[float64]uint64, len(deliveryBounds)), uint64(0)
	for i, bound := range deliveryBounds {
		n += m.bucket[i]
		cumulative[bound] = n
	}
	return prometheus.MustNewConstHistogram(routeDesc(routeDeliveryDuration, m.own), m.count, m.sum, cumulative)
}

// routeTable returns the metrics of routes, in the order of the documentation.
func routeTable() []MetricDoc {
	docs := make([]MetricDoc, 0, len(routeFamilies))
	for _, f := range routeFamilies {
		docs = append(docs, MetricDoc{Name: f.name, Type: strings.ToLower(f.kind.String()), Help: f.help,
			Labels: slices.Concat(routeLabels, f.labels)})
	}
	return docs
}
