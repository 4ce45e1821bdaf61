package exporter

// This file sets how much garbage may pile up before it is collected. Each
// collection visits all live memory, so fewer collections make a probe cheaper. With
// few connections they cost only a few megabytes; with many, memory is only spent on
// them while so many probes run that collections would follow each other closely.

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbageAllowed is how many bytes of garbage may pile up at most, within the
	// bounds of the percentage. With 16 MiB alive it is four times that.
	garbageAllowed = 64 << 20
	// The bounds of GOGC for garbageAllowed. Go's own default is the lower one.
	busyGOGC, maxGOGC = 100, 400
	// collectEvery is the time between two collections that is long enough: at most the
	// garbage of this time may pile up, or of twice this time while that is less than
	// littleGarbage. GOGC may fall to minGOGC for that.
	collectEvery  = 2500 * time.Millisecond
	littleGarbage = garbageAllowed / 2
	minGOGC       = 50
	// paceInterval is the time between two measurements of live memory.
	paceInterval = 10 * time.Second
)

// paceCollections adapts GOGC until ctx ends, and then leaves it as it was. It does
// nothing where the environment sets GOGC. GOMEMLIMIT counts in any case.
func paceCollections(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	last := readHeap()
	current := gogcFor(last.alive, math.MaxUint32)
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
		now := readHeap()
		rate := (now.allocated - last.allocated) / uint64(paceInterval/time.Second)
		last = now
		// Setting it stops the world for a moment.
		if wanted := gogcFor(now.alive, rate); math.Abs(float64(wanted-current)) >= 10 {
			debug.SetGCPercent(wanted)
			current = wanted
		}
	}
}

// gogcFor returns the value of GOGC for so many live bytes while so many bytes are
// allocated each second.
func gogcFor(alive, rate uint64) int {
	alive = max(1, alive)
	most := min(maxGOGC, max(busyGOGC, garbageAllowed*100/alive))
	enough := rate * uint64(collectEvery/time.Millisecond) / 1000
	enough = max(enough, min(2*enough, littleGarbage))
	return int(min(most, max(minGOGC, enough*100/alive)))
}

// heap is what is known of it, in bytes.
type heap struct {
	alive     uint64 // as the last collection found; 0: there was no collection yet
	allocated uint64 // since the start
}

func readHeap() heap {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() != metrics.KindUint64 || samples[1].Value.Kind() != metrics.KindUint64 {
		return heap{alive: garbageAllowed} // another version of Go
	}
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64()}
}
