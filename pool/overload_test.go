package pool

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// Two thousand silent servers need more places than the pool's eight hundred. The healthy
// connections get their first result in the order of the queue, and from then on
// the reserved places.
func TestPoolReservesPlacesForQuickConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent, healthy := mailboxes(2000, "silent", ""), mailboxes(100, "healthy", "")
		script := make(map[string]time.Duration, len(silent))
		for _, c := range silent {
			script[c.Host] = -1
		}
		s := newFixture(t, Options{MaxInFlight: 800}, script, append(silent, healthy...)...)
		time.Sleep(2 * time.Minute)
		for _, c := range healthy {
			if s.reasonsOf(c.Name)[""] == 0 {
				t.Errorf("%s has no result after two minutes", c.Name)
			}
		}
		before := map[string]int{}
		for _, c := range healthy {
			before[c.Name] = s.reasonsOf(c.Name)[""]
		}
		time.Sleep(5 * time.Minute)
		s.stop()
		for _, c := range healthy {
			if n := s.reasonsOf(c.Name)[""] - before[c.Name]; n < 5 {
				t.Errorf("%s: %d results in five minutes under overload, want 5", c.Name, n)
			}
		}
		if most := s.most["all"]; most > 800 {
			t.Errorf("%d probes at once", most)
		}
	})
}

// scrapeEach asks for each connection once an interval until ctx ends, as a Prometheus
// does with targets from /sd.
func scrapeEach(ctx context.Context, s *fixture, conns []*mail.Connection) {
	for i, c := range conns {
		go func() {
			time.Sleep(c.Interval / time.Duration(len(conns)) * time.Duration(i))
			for ctx.Err() == nil {
				next := time.Now().Add(c.Interval)
				scrape, cancel := context.WithTimeout(ctx, c.Timeout+750*time.Millisecond)
				_, _ = s.ProbeNow(scrape, c.Name)
				cancel()
				select {
				case <-time.After(time.Until(next)):
				case <-ctx.Done():
				}
			}
		}()
	}
}

// While every place is taken, the schedule is read only every pollWhileBusy, so a probe
// starts at most this much late.
func TestFullPoolReadsTheScheduleSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := mailboxes(3, "box", "")
		script := map[string]time.Duration{}
		for _, c := range conns {
			c.Interval = 9 * time.Millisecond
			script[c.Host] = 4 * time.Millisecond
		}
		began := time.Now()
		s := newFixture(t, Options{MaxInFlight: 1}, script, conns...)
		time.Sleep(12 * time.Millisecond)
		s.stop()
		var starts []time.Duration
		for _, c := range conns {
			for _, at := range s.startsOf(c.Name) {
				starts = append(starts, at.Sub(began))
			}
		}
		slices.Sort(starts)
		// The others are due after 3 and 6 ms, and the place is free after 4 and 9 ms.
		if want := []time.Duration{0, pollWhileBusy, 2 * pollWhileBusy}; !slices.Equal(starts, want) {
			t.Errorf("probes start after %v, want %v", starts, want)
		}
	})
}

// All thirty connections of a silent host have a result of their own within two
// intervals, although only ten are probed at once and each probe takes half an interval.
func TestPoolReportsAllConnectionsOfASilentHost(t *testing.T) {
	for _, test := range []struct {
		name    string
		scraped bool
	}{{"probed on scrapes", true}, {"probed on intervals", false}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := mailboxes(30, "box", "silent.example")
				for _, c := range conns {
					c.ProbeOnScrape = test.scraped
				}
				s := newFixture(t, Options{}, map[string]time.Duration{"silent.example": -1}, conns...)
				ctx, cancel := context.WithCancel(t.Context())
				if test.scraped {
					scrapeEach(ctx, s, conns)
				}
				time.Sleep(2 * time.Minute)
				for _, c := range conns {
					if s.reasonsOf(c.Name)[mail.Timeout] == 0 {
						t.Errorf("%s: outcomes %v after two intervals, want a timeout", c.Name, s.reasonsOf(c.Name))
					}
				}
				time.Sleep(20 * time.Minute)
				cancel()
				s.stop()
				started, ended := 0, 0
				fewest, most := 1<<30, 0
				for _, c := range conns {
					n := s.reasonsOf(c.Name)[mail.Timeout]
					fewest, most = min(fewest, n), max(most, n)
					started, ended = started+len(s.startsOf(c.Name)), ended+n
				}
				if started-ended > 10 {
					t.Errorf("%d probes began, %d outcomes were reported: results are lost", started, ended)
				}
				// Missed starts are not made up for, so a connection whose probe ends just
				// after its next start was due waits longer than others.
				if test.scraped && most-fewest > 1 || most > 2*fewest {
					t.Errorf("between %d and %d results each: not shared fairly", fewest, most)
				}
			})
		})
	}
}

func TestLimiterLetsQuickRunsPassOnlyIntoReservedPlaces(t *testing.T) {
	l := &limiter{capacity: 8, quick: 1}
	for range 7 {
		if !l.admits(false) {
			t.Fatal("a slow run was refused one of its seven places")
		}
		l.take(false)
	}
	if l.admits(false) || !l.admits(true) {
		t.Fatalf("the eighth place: slow %t, quick %t; want quick alone", l.admits(false), l.admits(true))
	}
	slow, quick := &run{}, &run{quick: true}
	l.enqueue(slow)
	l.enqueue(quick)
	if got := l.next(); got != quick {
		t.Errorf("the reserved place went to %p, want the quick run", got)
	}
	l.take(true)
	l.giveBack(false)
	if got := l.next(); got != slow || l.waiting() != 0 {
		t.Errorf("the free place went to %p with %d waiting, want the slow run and none waiting", got, l.waiting())
	}
}
