package metrics

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPreparedSamplesAreThoseGiven encodes values of every size with labels of every kind,
// also more samples than maxSamples.
func TestPreparedSamplesAreThoseGiven(t *testing.T) {
	values := []float64{0, math.Copysign(0, -1), 1, 127, 128, 993, 1 << 20, 1<<20 + 1, 0.000834213, 1.795917743575455e9,
		-3, math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64, math.MaxFloat64}
	pool, c := newLabelPool(), inbox("a")
	extras := []*labelSet{nil, ofConfig, ofFingerprint}
	for _, reason := range []string{"timeout", "reset", "closed"} {
		extras = append(extras, pool.one("reason", reason))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, count := range []int{0, 1, 20, 200} {
		var given []sample
		for range count {
			s := sample{family: familyID(random.IntN(int(familyCount))), value: values[random.IntN(len(values))], extra: extras[random.IntN(len(extras))]}
			if families[s.family].kind == counter {
				s.created = random.Uint32()
			}
			given = append(given, s)
		}
		prepared := prepare(c, given, nil, pool)
		got := slices.Collect(prepared.all)
		slices.SortStableFunc(given, func(a, b sample) int { return cmp.Compare(familyRank[a.family], familyRank[b.family]) })
		same := func(a, b sample) bool {
			return a.family == b.family && a.created == b.created && a.extra == b.extra && math.Float64bits(a.value) == math.Float64bits(b.value)
		}
		if !slices.EqualFunc(got, given, same) {
			t.Errorf("%d samples: %v, want %v", count, got, given)
		}
	}
}
