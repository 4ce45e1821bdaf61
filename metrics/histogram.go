package metrics

// This file is a histogram that is small at rest. The library's takes 4.4 KiB
// with classic and native buckets, two of them more than all gauges of a
// connection; this one takes about 0.4 KiB. A differential test holds it to the
// library's results.

import (
	"math"
	"slices"
	"sort"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Histograms says which buckets the histograms have.
type Histograms string

// The words of `metrics.histograms`. Native buckets reach Prometheus by
// protobuf only; text shows such a histogram's count and sum.
const (
	HistogramsBoth    Histograms = "both"
	HistogramsNative  Histograms = "native"
	HistogramsClassic Histograms = "classic"
	HistogramsNone    Histograms = "none"
)

func (h Histograms) native() bool  { return h == HistogramsNative || h == HistogramsBoth }
func (h Histograms) classic() bool { return h == HistogramsClassic || h == HistogramsBoth }

// classicBuckets is how many finite classic buckets a histogram has.
const classicBuckets = 12

// bounds are the upper bounds of classic buckets, in seconds.
type bounds [classicBuckets]float64

// The bounds are read only. 30 s is the default timeout: a probe that timed out
// lies above it, one that was merely slow below.
var (
	probeBounds     = &bounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30}
	handshakeBounds = &bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}
)

const (
	// nativeFactor asks for native buckets at most 10 % wide, so that a quantile
	// is within 5 % of the truth; it is schema 3, eight buckets per power of two.
	nativeFactor = 1.1
	nativeSchema = 3

	// maxNativeBuckets bounds a histogram whatever servers do. At schema 3 it
	// spans a factor of 256, say 40 ms to 10 s, which a single connection hardly
	// leaves; beyond, buckets are merged in pairs and span twice the octaves.
	maxNativeBuckets = 64

	// minSchema is the coarsest one that Prometheus knows.
	minSchema = -4
)

// zeroThreshold is the greatest value that counts as zero, 2^-128: the library's
// default, so that histograms of both merge.
var zeroThreshold = 0x1p-128

// octave holds 2^(i/8-1): the lower bounds of schema 3's buckets between 0.5 and
// 1, for the fraction that math.Frexp gives.
var octave = [8]float64{
	0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048,
	0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
}

// nativeBucket is one exponential bucket: it ends at 2^(key/2^schema). 2^32
// probes in one bucket take 136 years at one a second.
type nativeBucket struct {
	key   int32
	count uint32
}

// durations is a histogram of durations. The zero value is empty and ready. It
// is not safe for concurrent use.
type durations struct {
	count   uint64
	zero    uint64
	sum     float64
	classic [classicBuckets]uint32 // not cumulative
	merged  int8                   // how often native buckets were merged in pairs
	native  []nativeBucket         // sorted by key
}

// observe counts one duration; a negative one counts as 0.
func (h *durations) observe(d time.Duration, kind Histograms, upper *bounds) {
	value := nonNegative(d)
	h.count++
	h.sum += value
	if i := sort.SearchFloat64s(upper[:], value); kind.classic() && i < classicBuckets {
		h.classic[i]++
	}
	switch {
	case !kind.native():
	case value <= zeroThreshold:
		h.zero++
	default:
		h.observeNative(value)
	}
}

func (h *durations) observeNative(value float64) {
	fraction, exponent := math.Frexp(value)
	key := halve(sort.SearchFloat64s(octave[:], fraction)+(exponent-1)*len(octave), h.merged)
	i, found := slices.BinarySearchFunc(h.native, key, func(b nativeBucket, key int32) int {
		return int(b.key) - int(key)
	})
	if found {
		h.native[i].count++
		return
	}
	h.native = slices.Insert(h.native, i, nativeBucket{key, 1})
	for len(h.native) > maxNativeBuckets && nativeSchema-h.merged > minSchema {
		h.mergePairs()
	}
}

// halve gives the bucket that takes key after merging times: half of it, rounded
// up, because a bucket is named after its upper end.
func halve(key int, times int8) int32 {
	return int32((key + 1<<times - 1) >> times)
}

// mergePairs makes each native bucket twice as wide on the logarithmic scale.
func (h *durations) mergePairs() {
	h.merged++
	kept := h.native[:0]
	for _, b := range h.native {
		b.key = halve(int(b.key), 1)
		if last := len(kept) - 1; last >= 0 && kept[last].key == b.key {
			kept[last].count += b.count
			continue
		}
		kept = append(kept, b)
	}
	h.native = kept
}

// histogramMessage is one dto.Histogram with all it points to, in one piece.
type histogramMessage struct {
	metric     dto.Metric
	histogram  dto.Histogram
	buckets    [classicBuckets]dto.Bucket
	pointers   [classicBuckets]*dto.Bucket
	cumulative [classicBuckets]uint64
	count      uint64
	zero       uint64
	sum        float64
	schema     int32
}

// message makes the metric a scrape hands out, in two to four allocations.
func (h *durations) message(own []*dto.LabelPair, kind Histograms, upper *bounds, created *timestamppb.Timestamp) *dto.Metric {
	m := &histogramMessage{count: h.count, zero: h.zero, sum: h.sum, schema: int32(nativeSchema - h.merged)}
	m.metric.Label, m.metric.Histogram = own, &m.histogram
	out := &m.histogram
	out.SampleCount, out.SampleSum, out.CreatedTimestamp = &m.count, &m.sum, created
	if kind.classic() {
		var below uint64
		for i := range m.buckets {
			below += uint64(h.classic[i])
			m.cumulative[i] = below
			m.buckets[i].CumulativeCount, m.buckets[i].UpperBound = &m.cumulative[i], &upper[i]
			m.pointers[i] = &m.buckets[i]
		}
		out.Bucket = m.pointers[:]
	}
	if kind.native() {
		out.Schema, out.ZeroThreshold, out.ZeroCount = &m.schema, &zeroThreshold, &m.zero
		h.fillSpans(out)
	}
	return &m.metric
}

// maxGap is how many empty buckets are written out rather than opening another
// span, which takes more bytes on the wire.
const maxGap = 2

// span is a BucketSpan with what it points to.
type span struct {
	message dto.BucketSpan
	offset  int32
	length  uint32
}

// fillSpans writes native buckets as the format has them: runs of neighbours,
// and of each count only its difference from the one before.
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

// spanSizes is how many spans and deltas the native buckets need.
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
