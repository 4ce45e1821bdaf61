package guard

// This file makes sure that setting the clock back grants no further attempts.

import (
	"sync"
	"time"
)

// steadyClock returns a clock that begins at floor, the newest time of the state
// file, while the wall clock is behind it: a machine without a battery may boot
// years in the past. It is the wall clock again as soon as that has caught up.
func steadyClock(wall func() time.Time, floor time.Time) func() time.Time {
	behind := floor.Sub(wall())
	if behind <= 0 {
		return wall
	}
	var mu sync.Mutex
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now := wall()
		if behind > 0 && !now.Before(floor) {
			behind = 0
		}
		return now.Add(behind)
	}
}
