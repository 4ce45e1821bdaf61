package exporter

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGarbageIsAllowedWhereItSavesCollections(t *testing.T) {
	for name, tt := range map[string]struct {
		alive, rate uint64
		want        int
	}{
		"the first collection is still to come": {0, 1 << 20, maxGOGC},
		"few connections":                       {4 << 20, 8 << 20, maxGOGC},
		"few connections, hardly probed":        {4 << 20, 1 << 20, 125},
		"1,000, 50 a second":                    {8 << 20, 4 << 20, 250},
		"1,000, 100 a second":                   {8 << 20, 9 << 20, maxGOGC},
		"3,000, a third of a core":              {16 << 20, 13 << 20, 203},
		"3,000, as fast as a core can":          {32 << 20, 40 << 20, 200},
		"some more":                             {48 << 20, 40 << 20, 133},
		"10,000, as fast as a core can":         {64 << 20, 40 << 20, busyGOGC},
		"10,000 with a probe a minute":          {50 << 20, 13 << 20, 65},
		"10,000 with a probe in five minutes":   {50 << 20, 3 << 20, minGOGC},
		"10,000 without a probe":                {50 << 20, 0, minGOGC},
		"any number, and the rate is not known": {1 << 40, math.MaxUint32, minGOGC},
	} {
		if got := gogcFor(tt.alive, tt.rate); got != tt.want {
			t.Errorf("%s: GOGC %d, want %d", name, got, tt.want)
		}
	}
	runtime.GC()
	if h := readHeap(); h.alive == 0 || h.alive > 1<<40 || h.allocated < h.alive/2 {
		t.Errorf("%+v", h)
	}
}

func TestPacingEndsAsItBegan(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "")
	paceCollections(ctx)
	if left := debug.SetGCPercent(77); left != 77 {
		t.Errorf("GOGC is %d afterwards, want 77 as before", left)
	}
}
