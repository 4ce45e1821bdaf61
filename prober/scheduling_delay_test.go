package prober

import (
	"testing"
	"time"
)

// What was before a read is none of its schedulingDelay, and a wall clock that was set
// makes none.
func TestLatenessOfARead(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name           string
		began, arrival time.Duration // before the read's end
		want           time.Duration // at least, and little more
	}{
		{"bytes lay here while nobody could run", 500 * ms, 400 * ms, 400 * ms},
		{"bytes lay here before anybody read", 300 * ms, 900 * ms, 300 * ms},
		{"the wall clock was set back an hour", 300 * ms, -time.Hour, 0},
		{"the wall clock was set forward an hour", 300 * ms, time.Hour, 300 * ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var l schedulingDelay
			now := time.Now()
			l.read(now.Add(-test.began), now.Add(-test.arrival).Round(0)) // Round: no monotonic part, as the kernel's
			if got := l.sum(); got < test.want || got > test.want+200*ms {
				t.Errorf("schedulingDelay %v, want %v", got, test.want)
			}
		})
	}
}

func TestLatenessIsInNoClock(t *testing.T) {
	var l schedulingDelay
	l.add(time.Hour) // before it
	clock := l.clock()
	l.add(time.Minute)
	if got := clock(); got != 0 {
		t.Errorf("the clock shows %v after no time but schedulingDelay", got)
	}
	l.read(time.Time{}, time.Time{})
	before := l.sum()
	l.answered(time.Now()) // nothing was read since
	if l.sum() != before {
		t.Error("an answer that was read before the step is none of it")
	}
}
