package pool

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// fixture is a pool in a synctest bubble with a script per host instead of
// servers. Times are virtual, so equal means equal.
type fixture struct {
	*Pool
	stop func() // ends Run and waits for it

	mu       sync.Mutex
	starts   map[string][]time.Time // by connection
	outcomes map[string][]mail.Outcome
	running  map[string]int // by host, by name and by "all"
	most     map[string]int // the highest of each
	ended    int            // probes that returned, reported or not
	delays   []time.Duration
}

// newFixture starts a pool. script says how long a probe takes, by host; a host that is
// not in it answers in 50 ms, and one with a negative time never answers.
func newFixture(t *testing.T, opts Options, script map[string]time.Duration, conns ...*mail.Connection) *fixture {
	t.Helper()
	s := &fixture{
		starts:   map[string][]time.Time{},
		outcomes: map[string][]mail.Outcome{},
		running:  map[string]int{},
		most:     map[string]int{},
	}
	opts.Probe = func(ctx context.Context, c *mail.Connection) mail.Outcome { return s.probe(ctx, c, script) }
	opts.Report = func(o mail.Outcome) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.outcomes[o.Connection.Name] = append(s.outcomes[o.Connection.Name], o)
	}
	opts.StartDelay = func(d time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.delays = append(s.delays, d)
	}
	s.Pool = New(opts)
	s.Set(conns)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v, want no error", err)
		}
	}
	synctest.Wait()
	return s
}

func (s *fixture) probe(ctx context.Context, c *mail.Connection, script map[string]time.Duration) mail.Outcome {
	start := time.Now()
	s.enter(c, 1)
	defer s.enter(c, -1)
	ctx, cancel := context.WithTimeout(ctx, c.Timeout) // as Probe does
	defer cancel()
	takes, known := script[c.Host]
	if !known {
		takes = 50 * time.Millisecond
	}
	answer := time.After(takes)
	if takes < 0 {
		answer = nil
	}
	outcome := mail.Outcome{Connection: c, Start: start}
	select {
	case <-answer:
	case <-ctx.Done():
		outcome.Failure = &mail.Failure{Phase: mail.PhaseGreeting, Reason: mail.Timeout}
	}
	outcome.End = time.Now()
	return outcome
}

func (s *fixture) enter(c *mail.Connection, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if by > 0 {
		s.starts[c.Name] = append(s.starts[c.Name], time.Now())
	} else {
		s.ended++
	}
	exclusive, _ := exclusiveKey(c)
	for _, key := range []string{"all", "host " + c.Host, "name " + c.Name, exclusive} {
		s.running[key] += by
		s.most[key] = max(s.most[key], s.running[key])
	}
}

func (s *fixture) startsOf(name string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.starts[name]...)
}

func (s *fixture) reasonsOf(name string) map[mail.Reason]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	reasons := map[mail.Reason]int{}
	for _, o := range s.outcomes[name] {
		if o.Failure == nil {
			reasons[""]++
		} else {
			reasons[o.Failure.Reason]++
		}
	}
	return reasons
}

// mailbox is a connection with an interval of a minute and a timeout of half a minute.
func mailbox(name, host string) *mail.Connection {
	return &mail.Connection{Name: name, Protocol: mail.IMAP, Host: host, Interval: time.Minute, Timeout: 30 * time.Second}
}

// mailboxes are n connections, all on the given host; without one, each on its own.
func mailboxes(n int, prefix, host string) []*mail.Connection {
	conns := make([]*mail.Connection, n)
	for i := range conns {
		name := fmt.Sprintf("%s-%d", prefix, i)
		conns[i] = mailbox(name, host)
		if host == "" {
			conns[i].Host = name + ".example"
		}
	}
	return conns
}

func TestPoolThousandBlackHolesDelayNoHealthyConnection(t *testing.T) {
	for _, test := range []struct {
		name  string
		holes []*mail.Connection
	}{
		{"each on its own host", mailboxes(1000, "hole", "")},
		{"all on one host", mailboxes(1000, "hole", "hole.example")},
	} {
		t.Run(test.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { blackHoles(t, test.holes) }) })
	}
}

func blackHoles(t *testing.T, holes []*mail.Connection) {
	script := map[string]time.Duration{}
	for _, c := range holes {
		script[c.Host] = -1
	}
	healthy := mailboxes(100, "healthy", "")
	s := newFixture(t, Options{}, script, append(holes, healthy...)...)
	time.Sleep(10*time.Minute - time.Millisecond)
	s.stop()
	for _, c := range healthy {
		starts := s.startsOf(c.Name)
		if len(starts) != 10 || s.reasonsOf(c.Name)[""] != 10 {
			t.Fatalf("%s: %d starts, outcomes %v; want 10 good ones", c.Name, len(starts), s.reasonsOf(c.Name))
		}
		for i := range starts[1:] {
			gap := starts[i+1].Sub(starts[i])
			if off := (gap - c.Interval).Abs(); off > c.Interval/100 {
				t.Errorf("%s: %v between two starts, want %v within 1 %%", c.Name, gap, c.Interval)
			}
		}
	}
	if most := s.most["host hole.example"]; most > defaultMaxInFlightPerHost {
		t.Errorf("%d probes at once to one host, want at most %d", most, defaultMaxInFlightPerHost)
	}
}

func TestPoolNeverExceedsItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := append(mailboxes(60, "a", "a.example"), mailboxes(60, "b", "b.example")...)
		conns = append(conns, mailboxes(200, "c", "")...)
		for _, c := range conns[:30] {
			c.Interval = time.Second
		}
		for _, c := range conns[60:100] { // four maildrops on b, ten connections each
			c.Protocol, c.Username = mail.POP3, fmt.Sprintf("user%d", len(c.Name)%2+int(c.Name[len(c.Name)-1])%2*2)
		}
		script := map[string]time.Duration{"a.example": 7 * time.Second, "b.example": 3 * time.Second}
		for _, c := range conns[120:] {
			script[c.Host] = 2 * time.Second
		}
		s := newFixture(t, Options{MaxInFlight: 13, MaxInFlightPerHost: 4}, script, conns...)
		for range 600 {
			time.Sleep(time.Second)
			if stats := s.Stats(); stats.InFlight > 13 || stats.Limit != 13 {
				t.Fatalf("stats %+v, want at most 13 of 13", stats)
			}
		}
		s.stop()
		for key, most := range s.most {
			want := 1 // one name, one maildrop
			switch {
			case key == "all":
				want = 13
			case strings.HasPrefix(key, "host "):
				want = 4
			}
			if most > want {
				t.Errorf("%s: %d probes at once, want at most %d", key, most, want)
			}
		}
		if s.most["all"] != 13 || s.most["host a.example"] != 4 {
			t.Errorf("at most %d at once, %d to a.example; the bounds of 13 and 4 were never reached", s.most["all"], s.most["host a.example"])
		}
		s.Set(nil)
		if len(s.locks) != 0 || len(s.hosts) != 0 || s.all.users != 0 {
			t.Errorf("%d locks, %d hosts and %d users are left over", len(s.locks), len(s.hosts), s.all.users)
		}
	})
}

func TestPoolKeepsTimeForAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const days = 7 // 100,800 probes; drift would grow with each
		conns := mailboxes(10, "box", "")
		started := time.Now()
		p := New(Options{Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
			time.Sleep(120 * time.Millisecond)
			return mail.Outcome{Connection: c}
		}})
		var mu sync.Mutex
		first, last, count := map[string]time.Time{}, map[string]time.Time{}, map[string]int{}
		p.opts.Report = func(o mail.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			name, start := o.Connection.Name, time.Now().Add(-120*time.Millisecond)
			if count[name]++; count[name] == 1 {
				first[name] = start
			}
			last[name] = start
		}
		p.Set(conns)
		ctx, cancel := context.WithTimeout(t.Context(), days*24*time.Hour)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		for name, n := range count {
			if drift := last[name].Sub(first[name]) - time.Duration(n-1)*time.Minute; drift != 0 || n != days*24*60 {
				t.Errorf("%s: %d probes with a drift of %v in %v, want %d and 0", name, n, drift, time.Since(started), days*24*60)
			}
		}
		if len(count) != 10 || p.Stats().Skipped != 0 {
			t.Errorf("%d connections probed, %d starts skipped; want 10 and 0", len(count), p.Stats().Skipped)
		}
	})
}

func TestPoolSpreadsFirstProbes(t *testing.T) {
	for _, test := range []struct {
		name     string
		n        int
		interval time.Duration
		window   time.Duration
	}{
		{"a few within ten seconds", 10, time.Minute, 10 * time.Second},
		{"a short interval is the window", 10, 2 * time.Second, 2 * time.Second},
		{"ten thousand at 400 a second", 10000, time.Minute, 25 * time.Second},
		{"one at once", 1, time.Minute, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := mailboxes(test.n, "box", "")
				for _, c := range conns {
					c.Interval = test.interval
				}
				begin := time.Now()
				s := newFixture(t, Options{}, nil, conns...)
				time.Sleep(test.window)
				s.stop()
				seen := map[time.Duration]bool{}
				for name, starts := range s.starts {
					offset := starts[0].Sub(begin)
					if offset >= test.window || seen[offset] || offset%(test.window/time.Duration(test.n)) != 0 {
						t.Fatalf("%s: first start after %v, want an own even place within %v", name, offset, test.window)
					}
					seen[offset] = true
				}
				if len(seen) != test.n {
					t.Errorf("%d of %d began within %v", len(seen), test.n, test.window)
				}
			})
		})
	}
}

func TestPoolSlowProbeIsSkippedNotQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := mailbox("slow", "slow.example")
		slow.Interval, slow.Timeout = 10*time.Second, time.Minute
		s := newFixture(t, Options{}, map[string]time.Duration{"slow.example": 25 * time.Second}, slow)
		time.Sleep(90 * time.Second) // starts at 0, 30, 60; due but running at 10, 20, 40, 50, 70, 80
		stats := s.Stats()
		s.stop()
		starts := s.startsOf("slow")
		if len(starts) < 3 || starts[1].Sub(starts[0]) != 30*time.Second || starts[2].Sub(starts[1]) != 30*time.Second {
			t.Errorf("starts %v, want one each 30 s", starts)
		}
		if stats.Skipped != 6 || s.most["name slow"] != 1 {
			t.Errorf("%d skipped, %d at once; want 6 and 1", stats.Skipped, s.most["name slow"])
		}
	})
}

func TestPoolReportsAnOverrunOnlyWithoutAResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Six black holes on a host that gets one place: each holds it for half
		// an interval, so each must wait two intervals for its next turn.
		conns := mailboxes(6, "hole", "hole.example")
		s := newFixture(t, Options{MaxInFlightPerHost: 1}, map[string]time.Duration{"hole.example": -1}, conns...)
		time.Sleep(30 * time.Minute)
		stats := s.Stats()
		s.stop()
		overruns, probed := 0, 0
		for _, c := range conns {
			reasons := s.reasonsOf(c.Name)
			if reasons[mail.Timeout] < 9 || reasons[mail.Timeout] > 10 {
				t.Errorf("%s: probed %d times, want its share of 60", c.Name, reasons[mail.Timeout])
			}
			if reasons[mail.LocalOverrun] > 1 {
				t.Errorf("%s: %d overruns reported; only a connection without a result has one", c.Name, reasons[mail.LocalOverrun])
			}
			overruns += reasons[mail.LocalOverrun]
			probed += reasons[mail.Timeout]
		}
		// 180 starts were due and 60 could be. In the first interval three of the
		// six are not probed at all.
		if probed < 59 || stats.Skipped < 110 || overruns != 3 {
			t.Errorf("%d probed, %d skipped, %d overruns; want 60, about 115, and 3", probed, stats.Skipped, overruns)
		}
	})
}

func TestPoolAfterSuspendStartsNoBurst(t *testing.T) {
	for _, test := range []struct {
		name string
		away time.Duration
	}{{"eight hours", 8 * time.Hour}, {"half an interval", 30 * time.Second}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 6000 // 400 a second for 15 s
				starts := map[time.Time]int{}
				var mu sync.Mutex
				p := New(Options{Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
					mu.Lock()
					defer mu.Unlock()
					starts[time.Now().Truncate(time.Second)]++
					return mail.Outcome{Connection: c}
				}})
				p.Set(mailboxes(n, "box", ""))
				if err := p.begin(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(test.away) // startDue is not called: the process does not run
				for end := time.Now().Add(time.Minute); time.Now().Before(end); {
					time.Sleep(p.startDue(time.Now()))
				}
				p.stop()
				total := 0
				for second, count := range starts {
					total += count
					if count > 401 {
						t.Errorf("%d starts in the second %v, want at most 400", count, second)
					}
				}
				if total < n-401 || total > n+401 {
					t.Errorf("%d starts in the first interval, want each of %d once", total, n)
				}
				if want := uint64(n) * uint64(max(1, test.away/time.Minute)); p.Stats().Skipped > want+n || p.Stats().Skipped < want/2 {
					t.Errorf("%d starts counted as missed, want about %d", p.Stats().Skipped, want)
				}
			})
		})
	}
}
