package metrics

// This file makes finished dto messages out of rows.

import (
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// maxExtra is the most labels a metric has beyond its connection's own.
const maxExtra = 5

// row is one gauge or counter before it becomes a message.
type row struct {
	family familyID
	value  float64
	extra  [maxExtra]*dto.LabelPair // further labels in any order; nil where unused
}

// info is a row of the constant 1 with its labels.
func info(family familyID, labels ...*dto.LabelPair) row {
	r := row{family: family, value: 1}
	copy(r.extra[:], labels)
	return r
}

// truth is a row of 1 or 0.
func truth(family familyID, yes bool) row {
	if yes {
		return row{family: family, value: 1}
	}
	return row{family: family}
}

// sheet is the finished gauges and counters of one connection. It is immutable:
// scrapes hand out pointers into it while the next sheet is already being made.
type sheet struct {
	families []familyID // of the metric at the same index
	metrics  []dto.Metric
}

// Gauges of 0 and 1 are a third of all; they share these two. Read only.
var (
	zeroGauge = &dto.Gauge{Value: new(float64)}
	oneGauge  = func() *dto.Gauge { one := 1.0; return &dto.Gauge{Value: &one} }()
)

// newSheet makes the messages of rows. It allocates six slabs whatever the
// number of rows: hundreds of small objects per connection would cost their
// headers and the garbage collector's time.
func newSheet(own []*dto.LabelPair, rows []row) *sheet {
	var gaugeCount, counterCount, pairCount int
	for i := range rows {
		switch {
		case families[rows[i].family].kind == counter:
			counterCount++
		case rows[i].value != 0 && rows[i].value != 1:
			gaugeCount++
		}
		if n := rows[i].extras(); n > 0 {
			pairCount += len(own) + n
		}
	}
	var (
		s        = &sheet{make([]familyID, len(rows)), make([]dto.Metric, len(rows))}
		gauges   = make([]dto.Gauge, gaugeCount)
		counters = make([]dto.Counter, counterCount)
		values   = make([]float64, gaugeCount+counterCount)
		pairs    = make([]*dto.LabelPair, 0, pairCount)
	)
	for i := range rows {
		r, m := &rows[i], &s.metrics[i]
		s.families[i] = r.family
		m.Label, pairs = mergeLabels(own, r.extra[:r.extras()], pairs)
		switch {
		case families[r.family].kind == counter:
			m.Counter, counters = &counters[0], counters[1:]
			m.Counter.Value, values = &values[0], values[1:]
			*m.Counter.Value = r.value
		case r.value == 0:
			m.Gauge = zeroGauge
		case r.value == 1:
			m.Gauge = oneGauge
		default:
			m.Gauge, gauges = &gauges[0], gauges[1:]
			m.Gauge.Value, values = &values[0], values[1:]
			*m.Gauge.Value = r.value
		}
	}
	return s
}

// extras is the number of further labels of a row.
func (r *row) extras() int {
	for i, pair := range r.extra {
		if pair == nil {
			return i
		}
	}
	return maxExtra
}

// mergeLabels gives own and extra sorted by name, in memory cut from the end of
// slab, and the slab that is left. Without extra it is own itself.
func mergeLabels(own, extra, slab []*dto.LabelPair) (merged, rest []*dto.LabelPair) {
	if len(extra) == 0 {
		return own, slab
	}
	start := len(slab)
	slab = append(append(slab, own...), extra...)
	merged = slab[start:len(slab):len(slab)]
	slices.SortFunc(merged, compareNames)
	return merged, slab
}

// relabel gives the same values under other own labels: was is what the sheet
// was made with.
func (s *sheet) relabel(was, own []*dto.LabelPair) *sheet {
	fresh := &sheet{s.families, make([]dto.Metric, len(s.metrics))}
	for i := range s.metrics {
		old, m := &s.metrics[i], &fresh.metrics[i]
		m.Gauge, m.Counter = old.Gauge, old.Counter
		var extra []*dto.LabelPair
		for _, pair := range old.Label {
			if !slices.Contains(was, pair) {
				extra = append(extra, pair)
			}
		}
		m.Label, _ = mergeLabels(own, extra, nil)
	}
	return fresh
}
