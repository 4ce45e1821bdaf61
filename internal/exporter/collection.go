package exporter

// This file sets how much garbage may pile up before it is collected. Each
// collection visits all live memory, so fewer collections make a probe cheaper, and
// with few connections they cost only a few megabytes.

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbageAllowed is how many bytes of garbage may pile up, within the bounds of
	// the percentage. At about 3,000 connections it is no longer twice what is alive.
	garbageAllowed = 64 << 20
	// The bounds of GOGC. Go's own default is the lower one.
	minGOGC, maxGOGC = 100, 200
	// paceInterval is the time between two measurements of live memory.
	paceInterval = 10 * time.Second
)

// paceCollections adapts GOGC until ctx ends, and then leaves it as it was. It does
// nothing where the environment sets GOGC. GOMEMLIMIT counts in any case.
func paceCollections(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	current := gogcFor(aliveBytes())
	before := debug.SetGCPercent(current)
	defer debug.SetGCPercent(before)
	ticker := time.NewTicker(paceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// Setting it stops the world for a moment.
		if wanted := gogcFor(aliveBytes()); math.Abs(float64(wanted-current)) >= 10 {
			debug.SetGCPercent(wanted)
			current = wanted
		}
	}
}

// gogcFor returns the value of GOGC for so many live bytes.
func gogcFor(alive uint64) int {
	return int(min(maxGOGC, max(minGOGC, garbageAllowed*100/max(1, alive))))
}

// aliveBytes returns the live bytes that the last collection found; 0: there was no
// collection yet.
func aliveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return math.MaxUint64 // another version of Go: its own default
	}
	return sample[0].Value.Uint64()
}
