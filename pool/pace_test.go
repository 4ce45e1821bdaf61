package pool

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// crowd is a pool whose four connections are due within 8 ms and take a second each, on
// a processor that is busy or not.
func crowd(t *testing.T) (s *fixture, conns []*mail.Connection, busy *atomic.Bool) {
	t.Helper()
	conns = mailboxes(4, "box", "")
	script := map[string]time.Duration{}
	for _, c := range conns {
		c.Interval = 8 * time.Millisecond
		script[c.Host] = time.Second
	}
	busy = new(atomic.Bool)
	busy.Store(true)
	return newFixture(t, Options{Busy: busy.Load}, script, conns...), conns, busy
}

// begun returns how long after from each probe began, in order.
func begun(s *fixture, conns []*mail.Connection, from time.Time) (after []time.Duration) {
	for _, c := range conns {
		for _, at := range s.startsOf(c.Name) {
			after = append(after, at.Sub(from))
		}
	}
	slices.Sort(after)
	return after
}

// Another program may keep the processor busy for long, so a probe still begins from time
// to time.
func TestPoolOnABusyProcessorGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		s, conns, _ := crowd(t)
		time.Sleep(500 * time.Millisecond)
		after := begun(s, conns, from)
		if len(after) != 4 || after[0] != 0 {
			t.Fatalf("probes begin after %v, want four of them, the first at once", after)
		}
		for i, at := range after[1:] {
			if gap := at - after[i]; gap < longestPause || gap > longestPause+pollWhileBusy {
				t.Errorf("probes begin after %v: a gap of %v, want %v to %v", after, gap, longestPause, longestPause+pollWhileBusy)
			}
		}
		s.stop()
		slices.Sort(s.delays)
		if last, most := s.delays[3], after[3]; last < most-8*time.Millisecond || last > most {
			t.Errorf("delays %v, want the wait for the processor in them: %v", s.delays, after)
		}
	})
}

// A run that waits for the processor begins soon after the processor has time, even while
// other probes wait for their servers.
func TestPoolBeginsAllOnceTheProcessorHasTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		s, conns, busy := crowd(t)
		time.Sleep(10 * time.Millisecond)
		if got := s.Stats().InFlight; got != 1 {
			t.Errorf("%d probes in flight, want the one that began", got)
		}
		busy.Store(false)
		time.Sleep(pollWhileBusy)
		synctest.Wait()
		if after := begun(s, conns, from); len(after) != 4 {
			t.Errorf("probes begin after %v, want all four", after)
		}
		s.stop()
	})
}

// A start that becomes due while the connection waits for the processor is counted as
// skipped, and the schedule does not hold the connection meanwhile.
func TestPoolCountsWhatABusyProcessorSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := mailboxes(5, "box", "")
		script := map[string]time.Duration{}
		for _, c := range conns {
			c.Interval = 8 * time.Millisecond
			script[c.Host] = time.Millisecond
		}
		script[conns[4].Host] = 3 * time.Second // while no probe runs, none waits
		var busy atomic.Bool
		from := time.Now()
		s := newFixture(t, Options{Busy: busy.Load}, script, conns...)
		time.Sleep(100 * time.Millisecond) // each has a result
		busy.Store(true)
		time.Sleep(900 * time.Millisecond)
		s.Pool.mu.Lock()
		scheduled := len(s.schedule.items)
		s.Pool.mu.Unlock()
		if scheduled > 2 {
			t.Errorf("%d of five connections are in the schedule while they wait", scheduled)
		}
		busy.Store(false)
		time.Sleep(999 * time.Millisecond)
		starts := begun(s, conns, from)
		s.stop()
		dues := 5 * 250 // in two seconds
		if got := len(starts) + int(s.Stats().Skipped); got != dues {
			t.Errorf("%d begun and %d skipped, want %d in all", len(starts), s.Stats().Skipped, dues)
		}
		if len(starts) < 500 || len(starts) > 700 || len(s.schedule.items) != 5 {
			t.Errorf("%d begun, %d scheduled, want all but those of 900 ms, and five", len(starts), len(s.schedule.items))
		}
	})
}

// A lone probe makes no other one slower, so it begins even if another program keeps the
// processor busy.
func TestALoneProbeDoesNotWaitForTheProcessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := mailboxes(1, "box", "")
		conns[0].Interval = 8 * time.Millisecond
		asked := 0
		s := newFixture(t, Options{Busy: func() bool { asked++; return true }}, map[string]time.Duration{conns[0].Host: time.Millisecond}, conns...)
		time.Sleep(799 * time.Millisecond)
		s.stop()
		if n := len(s.startsOf(conns[0].Name)); n != 100 || asked > 0 {
			t.Errorf("%d probes began, and the processor was asked about %d times, want 100 and never", n, asked)
		}
	})
}

// A probe on demand does not wait for the processor.
func TestProbeNowDoesNotWaitForTheProcessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, conns, _ := crowd(t)
		time.Sleep(10 * time.Millisecond)
		for _, c := range conns {
			if len(s.startsOf(c.Name)) > 0 {
				continue
			}
			asked := time.Now()
			answers := ask(within(t, 1500*time.Millisecond), s, c.Name)
			if starts := s.startsOf(c.Name); len(starts) != 1 || !starts[0].Equal(asked) {
				t.Errorf("%s: probed at %v, want %v", c.Name, starts, asked)
			}
			if a := <-answers; a.err != nil || a.at.Sub(asked) != time.Second {
				t.Errorf("%s: answered after %v: %v", c.Name, a.at.Sub(asked), a.err)
			}
			break
		}
		s.stop()
	})
}

// A connection that is removed while it waits for the processor is not probed, and leaves
// nothing behind; the same when the pool stops.
func TestPoolForgetsWhatWaitsForTheProcessor(t *testing.T) {
	for name, remove := range map[string]func(*fixture){
		"removed": func(s *fixture) { s.Set(nil); synctest.Wait(); s.stop() },
		"stopped": func(s *fixture) { s.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from := time.Now()
				s, conns, _ := crowd(t)
				time.Sleep(10 * time.Millisecond)
				remove(s)
				if after := begun(s, conns, from); len(after) != 1 {
					t.Errorf("probes begin after %v, want one", after)
				}
				if s.paced.length != 0 || s.all.taken != 0 {
					t.Errorf("%d wait, %d places are taken", s.paced.length, s.all.taken)
				}
			})
		})
	}
}
