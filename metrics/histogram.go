package metrics

// This file implements a small histogram. The library's takes 4.4 KiB with classic
// and native buckets, so that two of them would take more than all gauges of a
// connection; this one takes about 0.4 KiB. A test compares its results with the
// library's.

import (
	"math"
	"slices"
	"sort"
	"time"

	"mailprobe/mail"
)

// maxClassicBuckets is the most finite classic buckets a histogram has.
const maxClassicBuckets = 2

// The upper bounds of the classic buckets, in seconds; read only. They are few,
// because each is one line per connection in every text scrape. They count the quick
// probes, the slow and the very slow ones. For quantiles there are native buckets, and
// the gauge of each probe's duration.
var (
	probeBounds     = []float64{0.5, 2.5}
	handshakeBounds = []float64{0.25}
)

const (
	// nativeFactor: native buckets are at most 10 % wide, so that a quantile is
	// within 5 % of the true value. This is schema 3, with eight buckets per power of two.
	nativeFactor = 1.1
	nativeSchema = 3

	// maxNativeBuckets bounds the size of a histogram. At schema 3, so many buckets
	// span a factor of 256, such as 40 ms to 10 s, which is enough for nearly every
	// connection. If it is not, buckets are merged in pairs.
	maxNativeBuckets = 64

	// minSchema is the coarsest one that Prometheus knows.
	minSchema = -4
)

// zeroThreshold is the greatest value that counts as zero, 2^-128. It is the
// library's default, so that Prometheus can add histograms of both.
var zeroThreshold = 0x1p-128

// nativeBounds holds 2^(i/8-1), the lower bounds of schema 3's buckets between 0.5
// and 1. math.Frexp returns a fraction in this range.
var nativeBounds = [8]float64{
	0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048,
	0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
}

// nativeBucket is one exponential bucket, which ends at 2^(key/2^schema).
type nativeBucket struct {
	key   int32
	count uint32
}

// durations is a histogram of durations. The zero value is empty and ready. It
// is not safe for concurrent use. Like those of connectionMetrics, its counts are small.
type durations struct {
	count   uint32
	zero    uint32
	sum     float64
	classic [maxClassicBuckets]uint32 // not cumulative
	merged  int8                      // how many times native buckets were merged in pairs
	native  []nativeBucket            // sorted by key
}

// observe counts one duration; a negative one counts as 0.
func (h *durations) observe(d time.Duration, kind mail.Histograms, upper []float64) {
	value := nonNegative(d)
	h.count++
	h.sum += value
	if i := sort.SearchFloat64s(upper, value); kind.Classic() && i < len(upper) {
		h.classic[i]++
	}
	switch {
	case !kind.Native():
	case value <= zeroThreshold:
		h.zero++
	default:
		h.observeNative(value)
	}
}

func (h *durations) observeNative(value float64) {
	fraction, exponent := math.Frexp(value)
	key := halve(sort.SearchFloat64s(nativeBounds[:], fraction)+(exponent-1)*len(nativeBounds), h.merged)
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

// halve returns the key of the bucket that holds key after so many merges. Each one
// halves the key and rounds up, because a key stands for the bucket's upper end.
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

// seconds is the sum of the durations. It has no more digits than they have: a sum of
// fractions is not exact in binary.
func (h *durations) seconds() float64 { return math.Round(h.sum*1e9) / 1e9 }

// copyFrom copies other into h and reuses the memory of h.
func (h *durations) copyFrom(other *durations) {
	native := append(h.native[:0], other.native...)
	*h = *other
	h.native = native
}
