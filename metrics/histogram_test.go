package metrics

import (
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"mailprobe/mail"
)

// compare observes the same durations with the library's histogram and with
// ours, and reports any difference in what is exposed. The library merges its buckets
// once per observation, even if more than the maximum are left; ours goes on until no
// more are left. Only in this case may our buckets be wider.
func compare(t *testing.T, observed []time.Duration) {
	t.Helper()
	library := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "x", Buckets: probeBounds,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: maxNativeBuckets,
		NativeHistogramMaxExemplars: -1,
	})
	var ours durations
	for _, d := range observed {
		library.Observe(d.Seconds())
		ours.observe(d, mail.HistogramsBoth, probeBounds)
	}
	var metric dto.Metric
	if err := library.Write(&metric); err != nil {
		t.Fatal(err)
	}
	want, got := metric.Histogram, ours.message(nil, mail.HistogramsBoth, probeBounds, nil).Histogram
	if got.GetSampleCount() != want.GetSampleCount() || math.Abs(got.GetSampleSum()-want.GetSampleSum()) > 1e-9*want.GetSampleSum() {
		t.Errorf("count %d sum %v, want %d %v", got.GetSampleCount(), got.GetSampleSum(), want.GetSampleCount(), want.GetSampleSum())
	}
	for i, bucket := range want.Bucket {
		if b := got.Bucket[i]; b.GetCumulativeCount() != bucket.GetCumulativeCount() || b.GetUpperBound() != bucket.GetUpperBound() {
			t.Errorf("classic bucket %v: %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), bucket.GetCumulativeCount())
		}
	}
	if got.GetZeroCount() != want.GetZeroCount() || got.GetZeroThreshold() != want.GetZeroThreshold() {
		t.Errorf("zero %d below %v, want %d %v", got.GetZeroCount(), got.GetZeroThreshold(), want.GetZeroCount(), want.GetZeroThreshold())
	}
	g, w, schema := decode(got), decode(want), want.GetSchema()
	for ; schema > minSchema && len(w) > maxNativeBuckets; schema-- {
		w = merged(w)
	}
	if got.GetSchema() != schema {
		t.Errorf("schema %d, want %d", got.GetSchema(), schema)
	}
	if !maps.Equal(g, w) {
		t.Errorf("native buckets %v, want %v", g, w)
	}
}

// merged returns native buckets of twice the width, by the definition of a schema:
// the bucket of a key ends at 2^(key/2^schema), and the wider one at the next even key.
func merged(buckets map[int32]int64) map[int32]int64 {
	wider := map[int32]int64{}
	for key, count := range buckets {
		wider[int32(math.Ceil(float64(key)/2))] += count
	}
	return wider
}

// decode returns the native buckets of a message that are not empty.
func decode(h *dto.Histogram) map[int32]int64 {
	buckets := map[int32]int64{}
	var key int32
	var count int64
	deltas := h.PositiveDelta
	for _, s := range h.PositiveSpan {
		key += s.GetOffset()
		for range s.GetLength() {
			count += deltas[0]
			deltas = deltas[1:]
			if count != 0 {
				buckets[key] = count
			}
			key++
		}
	}
	return buckets
}

func TestHistogramIsTheLibrarys(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	lognormal := func(n int, median time.Duration, width float64) (list []time.Duration) {
		for range n {
			list = append(list, time.Duration(min(float64(median)*math.Exp(random.NormFloat64()*width), 1e18)))
		}
		return list
	}
	for name, observed := range map[string][]time.Duration{
		"nothing":                       nil,
		"one":                           {time.Second},
		"zero":                          {0, 0},
		"powers and bounds":             {1, time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 30 * time.Second},
		"a steady server":               lognormal(500, 80*time.Millisecond, 0.2),
		"a wild server":                 lognormal(3000, 80*time.Millisecond, 3),
		"from nanoseconds on":           lognormal(3000, time.Microsecond, 12),
		"few of all magnitudes":         sparse(),
		"a steady one with one timeout": append(lognormal(500, 80*time.Millisecond, 0.2), 30*time.Second),
	} {
		t.Run(name, func(t *testing.T) { compare(t, observed) })
	}
}

func FuzzHistogramIsTheLibrarys(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x00\x3b\x9a\xca\x00\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var observed []time.Duration
		for ; len(raw) >= 8; raw = raw[8:] {
			// The shift spreads values over all magnitudes; none is negative.
			bits := binary.BigEndian.Uint64(raw)
			observed = append(observed, time.Duration(bits>>(1+bits%63)))
		}
		compare(t, observed)
	})
}

// sparse returns one duration too many for the buckets, and so far apart that merging
// these in pairs once leaves as many.
func sparse() (list []time.Duration) {
	for i := range maxNativeBuckets + 1 {
		list = append(list, time.Duration(math.Exp2(10+float64(i)*0.75))) // bounds are 0.125 apart
	}
	return list
}

func TestNativeBucketsAreBounded(t *testing.T) {
	var h durations
	for d := time.Duration(1); d > 0; d += d/50 + 1 { // until it overflows
		h.observe(d, mail.HistogramsNative, probeBounds)
	}
	if len(h.native) > maxNativeBuckets || h.merged == 0 {
		t.Errorf("%d buckets after %d mergings, want at most %d", len(h.native), h.merged, maxNativeBuckets)
	}
	var total uint64
	for _, b := range h.native {
		total += uint64(b.count)
	}
	if total != uint64(h.count) {
		t.Errorf("%d observations in the buckets, want %d", total, h.count)
	}
}

func TestSumHasNoMoreDigitsThanItsDurations(t *testing.T) {
	var h durations
	for _, d := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 7, 13 * time.Hour} {
		h.observe(d, mail.HistogramsBoth, probeBounds)
	}
	if got := h.seconds(); got != 46800.300000007 {
		t.Errorf("%v, want 46800.300000007", got)
	}
}
