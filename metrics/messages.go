package metrics

// This file turns samples and histograms into protobuf messages, one family at a
// time.

import (
	"mailprobe/mail"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// message returns the current family as a message.
func (g *gathered) message() *dto.MetricFamily {
	f := g.current()
	m := &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: f.kind.Enum()}
	if f.kind == histogram {
		m.Metric = g.histogramMessages()
	} else {
		m.Metric = g.sampleMessages(f.kind)
	}
	return m
}

// sampleMessage is one metric with all that it points to, in one allocation.
type sampleMessage struct {
	metric  dto.Metric
	gauge   dto.Gauge
	counter dto.Counter
	value   float64
}

func (g *gathered) sampleMessages(kind dto.MetricType) []*dto.Metric {
	metrics := make([]*dto.Metric, 0, len(g.prepared))
	for i := range g.prepared {
		for _, s := range g.take(i) {
			m := &sampleMessage{value: s.value}
			m.metric.Label = mergePairs(g.ownPairs(i), g.extra(i, &s).messages())
			if kind == counter {
				m.counter.Value, m.metric.Counter = &m.value, &m.counter
				m.counter.CreatedTimestamp = g.timestamp(s.created)
			} else {
				m.gauge.Value, m.metric.Gauge = &m.value, &m.gauge
			}
			metrics = append(metrics, &m.metric)
		}
	}
	return metrics
}

func (g *gathered) histogramMessages() []*dto.Metric {
	metrics := make([]*dto.Metric, 0, len(g.states))
	var h durations
	for i := range g.states {
		if g.histogram(i, &h) {
			metrics = append(metrics, h.message(g.ownPairs(i), g.kind, g.bounds(), g.timestamp(g.created(i))))
		}
	}
	return metrics
}

// ownPairs returns the own labels of connection i. They are made in each scrape:
// to keep them would take a tenth of a connection's memory.
func (g *gathered) ownPairs(i int) []*dto.LabelPair {
	if g.pairs == nil {
		g.pairs = make([][]*dto.LabelPair, len(g.prepared))
	}
	if g.pairs[i] == nil {
		g.pairs[i] = g.own(i).messages()
	}
	return g.pairs[i]
}

// timestamp returns the message for a time in seconds since the Unix epoch. It
// keeps the last one, because most connections began at the same time.
func (g *gathered) timestamp(created uint32) *timestamppb.Timestamp {
	if g.lastTimestamp == nil || g.lastTimestamp.Seconds != int64(created) {
		g.lastTimestamp = &timestamppb.Timestamp{Seconds: int64(created)}
	}
	return g.lastTimestamp
}

// mergePairs returns own and extra, which are sorted by name, as one sorted list.
// Without extra it is own itself.
func mergePairs(own, extra []*dto.LabelPair) []*dto.LabelPair {
	if len(extra) == 0 {
		return own
	}
	merged := make([]*dto.LabelPair, 0, len(own)+len(extra))
	for len(own) > 0 && len(extra) > 0 {
		if *own[0].Name < *extra[0].Name {
			merged, own = append(merged, own[0]), own[1:]
		} else {
			merged, extra = append(merged, extra[0]), extra[1:]
		}
	}
	return append(append(merged, own...), extra...)
}

// histogramMessage is one dto.Histogram with all that it points to, in one
// allocation.
type histogramMessage struct {
	metric     dto.Metric
	histogram  dto.Histogram
	buckets    [maxClassicBuckets]dto.Bucket
	pointers   [maxClassicBuckets]*dto.Bucket
	cumulative [maxClassicBuckets]uint64
	count      uint64
	zero       uint64
	sum        float64
	schema     int32
}

// message returns the histogram as a metric.
func (h *durations) message(own []*dto.LabelPair, kind mail.Histograms, upper []float64, created *timestamppb.Timestamp) *dto.Metric {
	m := &histogramMessage{count: uint64(h.count), zero: uint64(h.zero), sum: h.seconds(), schema: int32(nativeSchema - h.merged)}
	m.metric.Label, m.metric.Histogram = own, &m.histogram
	out := &m.histogram
	out.SampleCount, out.SampleSum, out.CreatedTimestamp = &m.count, &m.sum, created
	if kind.Classic() {
		var below uint64
		for i := range upper {
			below += uint64(h.classic[i])
			m.cumulative[i] = below
			m.buckets[i].CumulativeCount, m.buckets[i].UpperBound = &m.cumulative[i], &upper[i]
			m.pointers[i] = &m.buckets[i]
		}
		out.Bucket = m.pointers[:len(upper)]
	}
	if kind.Native() {
		out.Schema, out.ZeroThreshold, out.ZeroCount = &m.schema, &zeroThreshold, &m.zero
		h.fillSpans(out)
	}
	return &m.metric
}

// maxGap is the number of empty buckets up to which they are written out. A longer
// gap begins a new span, which takes more bytes than two empty buckets.
const maxGap = 2

// span is a BucketSpan with what it points to.
type span struct {
	message dto.BucketSpan
	offset  int32
	length  uint32
}

// fillSpans writes native buckets in the format of protobuf: spans of adjacent
// buckets, and for each count its difference from the previous one.
func (h *durations) fillSpans(out *dto.Histogram) {
	if len(h.native) == 0 {
		return
	}
	spanCount, deltaCount := h.spanSizes()
	spans := make([]span, 0, spanCount)
	out.PositiveSpan = make([]*dto.BucketSpan, 0, spanCount)
	out.PositiveDelta = make([]int64, 0, deltaCount)
	var next int32 // key after the last bucket written
	var before int64
	add := func(count int64) {
		spans[len(spans)-1].length++
		out.PositiveDelta = append(out.PositiveDelta, count-before)
		before = count
	}
	for i, b := range h.native {
		gap := b.key - next
		if i == 0 || gap > maxGap {
			spans = append(spans, span{offset: gap})
			s := &spans[len(spans)-1]
			s.message.Offset, s.message.Length = &s.offset, &s.length
			out.PositiveSpan = append(out.PositiveSpan, &s.message)
		} else {
			for range gap {
				add(0)
			}
		}
		add(int64(b.count))
		next = b.key + 1
	}
}

// spanSizes returns how many spans and deltas the native buckets need.
func (h *durations) spanSizes() (spans, deltas int) {
	spans, deltas = 1, len(h.native)
	for i := 1; i < len(h.native); i++ {
		gap := int(h.native[i].key - h.native[i-1].key - 1)
		if gap > maxGap {
			spans++
		} else {
			deltas += gap
		}
	}
	return spans, deltas
}
