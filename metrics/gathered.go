package metrics

// This file iterates over the metrics of all connections family by family, the order
// that every exposition format requires. A scrape holds the labels of each connection
// and one family at a time, even if its client reads slowly.

import (
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"mailprobe/mail"
)

// gathered is the data of one scrape and the position in it.
type gathered struct {
	prepared []preparedMetrics    // of each connection, sorted by name
	states   []*connectionMetrics // of each connection, for histograms; nil: none are shown
	cursors  []uint16             // of each connection: where its first sample is that is not written yet
	taken    []preparedSample     // by the last take
	kind     mail.Histograms

	owns   []*labelSet // of each connection, see own; nil: not made yet
	order  []familyID  // the families still to come
	family familyID    // the current one

	pairs         [][]*dto.LabelPair     // see ownPairs
	lastTimestamp *timestamppb.Timestamp // see timestamp
}

// gather begins a scrape.
func (c *Collector) gather() *gathered {
	return c.gatherOf(c.connections.All())
}

// gatherOf begins a scrape of some connections.
func (c *Collector) gatherOf(states []*connectionMetrics) *gathered {
	prepared := make([]preparedMetrics, len(states))
	for i, m := range states {
		prepared[i] = m.prepared()
	}
	g := newGathered(prepared)
	g.kind = c.kind
	if c.kind != mail.HistogramsNone {
		g.states = states
	}
	return g
}

func newGathered(prepared []preparedMetrics) *gathered {
	return &gathered{prepared: prepared, cursors: make([]uint16, len(prepared)), owns: make([]*labelSet, len(prepared)), order: familyOrder}
}

// next goes to the next family that has a metric; false: there is none.
func (g *gathered) next() bool {
	for len(g.order) > 0 {
		g.family, g.order = g.order[0], g.order[1:]
		if g.hasMetrics() {
			return true
		}
	}
	return false
}

func (g *gathered) current() *family { return &families[g.family] }

func (g *gathered) hasMetrics() bool {
	if g.current().kind == histogram {
		return slices.ContainsFunc(g.states, func(m *connectionMetrics) bool { return m.hasDurations(g.family) })
	}
	for i := range g.prepared {
		if g.prepared[i].isAt(int(g.cursors[i]), g.family) {
			return true
		}
	}
	return false
}

// take returns the samples of the current family of connection i, and steps
// over them. They are valid until the next call.
func (g *gathered) take(i int) []preparedSample {
	g.taken = g.taken[:0]
	p, at := &g.prepared[i], int(g.cursors[i])
	for p.isAt(at, g.family) {
		var s preparedSample
		s, at = p.next(at)
		g.taken = append(g.taken, s)
	}
	g.cursors[i] = uint16(at)
	return g.taken
}

// extra are the further labels of a sample of connection i; nil: none.
func (g *gathered) extra(i int, s *preparedSample) *labelSet { return g.prepared[i].labels(s) }

// skip steps over the current family.
func (g *gathered) skip() {
	for i := range g.prepared {
		g.take(i)
	}
}

// histogram copies the histogram of the current family of connection i into
// out; false: it has none. It may count more probes than the counters of the same
// scrape, because these were read when the scrape began.
func (g *gathered) histogram(i int, out *durations) bool {
	return g.states[i].copyDurations(g.family, out)
}

// bounds returns the upper bounds of the classic buckets of the current family.
func (g *gathered) bounds() []float64 {
	if g.family == probeDuration {
		return probeBounds
	}
	return handshakeBounds
}

// own returns the labels that every metric of connection i has.
func (g *gathered) own(i int) *labelSet {
	if g.owns[i] == nil {
		g.owns[i] = ownLabels(g.prepared[i].definition)
	}
	return g.owns[i]
}

// created is when the histograms of connection i were empty.
func (g *gathered) created(i int) uint32 { return g.states[i].created }
