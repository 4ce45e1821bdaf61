package prober

import (
	"testing"
	"testing/synctest"
	"time"
)

// Delay from before a read is not counted, and a wall clock that was set adds none.
func TestSchedulingDelayOfARead(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name           string
		began, arrival time.Duration // before the read's end
		want           time.Duration
	}{
		{"bytes waited while the process could not run", 500 * ms, 400 * ms, 400 * ms},
		{"bytes waited since before the read", 300 * ms, 900 * ms, 300 * ms},
		{"the wall clock was set back an hour", 300 * ms, -time.Hour, 0},
		{"the wall clock was set forward an hour", 300 * ms, time.Hour, 300 * ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l schedulingDelay
				now := time.Now()
				l.read(now.Add(-test.began), now.Add(-test.arrival).Round(0)) // Round: no monotonic part, as the kernel's
				if got := l.sum(); got != test.want {
					t.Errorf("scheduling delay %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestSchedulingDelayIsInNoClock(t *testing.T) {
	var l schedulingDelay
	l.add(time.Hour) // before it
	watch := l.begin()
	l.add(time.Minute)
	if got := watch.elapsed(); got != 0 {
		t.Errorf("the clock shows %v after no time but scheduling delay", got)
	}
	l.read(time.Time{}, time.Time{})
	before := l.sum()
	l.answered(time.Now()) // nothing was read since
	if l.sum() != before {
		t.Error("an answer that was read before the step is none of it")
	}
}
