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

// notAfter returns the event, moved to now if its time is in the future because the clock
// was set back since. It then counts from now on, for its whole time.
func (e event) notAfter(now time.Time) event {
	if ahead := e.At.Sub(now); ahead > 0 {
		e.At = now
		for _, at := range []*time.Time{&e.Began, &e.Until} {
			if !at.IsZero() {
				*at = at.Add(-ahead)
			}
		}
	}
	return e
}

// notAfter does the same with what is known of an account. Until the clock reaches that
// time, an attempt in the future would count, and a success in the future would make
// refusals look older than it.
func (a *account) notAfter(now time.Time) {
	for i := range a.Attempts {
		t := &a.Attempts[i]
		if ahead := t.At.Sub(now); ahead > 0 {
			t.At, t.Until = now, t.Until.Add(-ahead)
		}
	}
	for _, s := range a.Secrets {
		for i := range s.Targets {
			t := &s.Targets[i]
			t.Accepted, t.Refused = earlierOf(t.Accepted, now), earlierOf(t.Refused, now)
		}
	}
}

func earlierOf(x, y time.Time) time.Time {
	if y.Before(x) {
		return y
	}
	return x
}
