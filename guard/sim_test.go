package guard

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
	"mailprobe/pool"
)

// most returns how many of the times are within one window, at most.
func most(times []time.Time, window time.Duration) (n int) {
	first := 0
	for last := range times {
		for times[last].Sub(times[first]) >= window {
			first++
		}
		n = max(n, last-first+1)
	}
	return n
}

// TestGuardMonthOfAWrongPassword probes every 3 minutes for 30 days.
func TestGuardMonthOfAWrongPassword(t *testing.T) {
	t.Parallel()
	ann := user("imap", "mail.example", "ann@example.org")
	pop, smtp := *ann, *ann
	pop.Name, pop.Protocol, pop.Host = "pop3", mail.POP3, "pop.example"
	smtp.Name, smtp.Protocol, smtp.Host, smtp.Auth = "smtp", mail.SMTP, "smtp.example", mail.AuthPlain
	tests := []struct {
		name    string
		conns   []*mail.Connection
		worked  bool // before
		verdict AuthVerdict
	}{
		{"never worked", []*mail.Connection{ann}, false, wrong},
		{"worked before", []*mail.Connection{ann}, true, wrong},
		{"the server hangs up", []*mail.Connection{ann}, true, hungUp},
		{"three protocols, one of them with another mechanism", []*mail.Connection{ann, &pop, &smtp}, false, wrong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newFixture(t, "")
			if test.worked {
				for _, c := range test.conns {
					h.probe(c, "p", right)
				}
				h.sleep(time.Minute)
			}
			var tries []time.Time
			for range 30 * 24 * 20 {
				for _, c := range test.conns {
					if h.probe(c, "p", test.verdict).Allowed {
						tries = append(tries, h.at)
					}
				}
				h.sleep(3 * time.Minute)
			}
			halfHour, day := most(tries, 30*time.Minute), most(tries, 24*time.Hour)
			t.Logf("%d tries; at most %d in 30 minutes, %d in 24 hours", len(tries), halfHour, day)
			if len(tries) < 25 || len(tries) > 64 || halfHour > 2 || day > 4 {
				t.Errorf("%d tries, at most %d in 30 minutes and %d in 24 hours; want up to 64, 2 and 4", len(tries), halfHour, day)
			}
		})
	}
}

// TestGuardRestartLoopResetsNothing restarts mailprobe again and again. The verdict is
// written before, or mailprobe is killed right after the login.
func TestGuardRestartLoopResetsNothing(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed=", killed), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			h := newFixture(t, path)
			ann := user("ann", "mail.example", "ann@example.org")
			var tries []time.Time
			for range 30 {
				if h.probe(ann, "p", wrong).Allowed {
					tries = append(tries, h.at)
				}
				if !killed {
					h.written()
				}
				path = h.kill(path)
				h.sleep(3 * time.Minute)
			}
			halfHour := most(tries, 30*time.Minute)
			if !killed && (len(tries) != 2 || tries[1].Sub(tries[0]) < 35*time.Minute) {
				t.Errorf("tries at %v in 30 restarts, want two, 35 minutes apart", tries)
			}
			if halfHour > 2 || len(tries) > 4 || len(tries) == 0 {
				t.Errorf("tries at %v in 30 restarts, want at most 2 in half an hour and 4", tries)
			}
		})
	}
}

// backend is a mail server that checks passwords, in virtual time. Like Dovecot, it
// refuses after two seconds.
type backend struct {
	mu       sync.Mutex
	rejects  map[string]bool // by connection
	all      bool            // rejects every login
	refusals []time.Time
	tries    map[string]int
	held     map[string]int // probes without a login although one was configured
	accepted map[string]time.Time
}

// probe uses the guard as prober does.
func (b *backend) probe(ctx context.Context, g *Guard, c *mail.Connection) mail.Outcome {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	p := g.Enter(context.Background(), c, mail.NewSecret("password of "+c.Name))
	verdict := AuthVerdict{Address: "192.0.2.7:993"}
	defer func() { p.Done(verdict) }()
	time.Sleep(40 * time.Millisecond) // until the login
	if !p.Allowed || !p.Login(ctx) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held[c.Name]++
		return mail.Outcome{Connection: c, Failure: &mail.Failure{Phase: mail.PhaseAuth, Reason: p.Hold.Reason}}
	}
	time.Sleep(20 * time.Millisecond)
	b.mu.Lock()
	b.tries[c.Name]++
	rejected := b.all || b.rejects[c.Name]
	if rejected {
		b.refusals = append(b.refusals, time.Now())
	}
	b.mu.Unlock()
	verdict.Tried = true
	if rejected {
		time.Sleep(2 * time.Second)
		verdict.Class, verdict.Reason = mail.Definitive, mail.AuthRejected
		return mail.Outcome{Connection: c, Failure: &mail.Failure{Phase: mail.PhaseAuth, Reason: mail.AuthRejected}}
	}
	verdict.Accepted = true
	b.mu.Lock()
	b.accepted[c.Name] = time.Now()
	b.mu.Unlock()
	return mail.Outcome{Connection: c}
}

// fleet probes n accounts on one host through a pool and a guard.
func fleet(t *testing.T, n int, rejects ...string) (b *backend, stop func()) {
	b = &backend{rejects: map[string]bool{}, tries: map[string]int{}, held: map[string]int{}, accepted: map[string]time.Time{}}
	for _, name := range rejects {
		b.rejects[name] = true
	}
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	probes := pool.New(pool.Options{Probe: func(ctx context.Context, c *mail.Connection) mail.Outcome { return b.probe(ctx, g, c) }})
	var conns []*mail.Connection
	for i := range n {
		name := fmt.Sprintf("user-%d", i)
		conns = append(conns, user(name, "mail.example", name))
	}
	probes.Set(conns)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- probes.Run(ctx) }()
	return b, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// set makes the backend reject every login or none. It returns how many accounts it has
// accepted, and how many logins it has refused until then.
func (b *backend) set(all bool) (accepted, refused int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
	return len(b.accepted), len(b.refusals)
}

func TestGuardFleetTurnsWrongAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, stop := fleet(t, 200)
		time.Sleep(5 * time.Minute)
		if accepted, refused := b.set(true); accepted != 200 || refused != 0 {
			t.Fatalf("%d of 200 accepted, %d refused, before anything happened", accepted, refused)
		}
		time.Sleep(2 * time.Hour)
		b.set(false)
		healed := time.Now()
		time.Sleep(12 * time.Minute)
		stop()
		back := 0
		for _, at := range b.accepted {
			if at.After(healed) {
				back++
			}
		}
		window := most(b.refusals, 10*time.Minute)
		t.Logf("%d refusals in 2 hours, at most %d in 10 minutes; %d of 200 back 12 minutes after the end", len(b.refusals), window, back)
		if window > 4 {
			t.Errorf("%d refusals in 10 minutes, want less than fail2ban's 5", window)
		}
		if back < 150 {
			t.Errorf("%d of 200 log in again 12 minutes after the end, want all that were not tried in vain", back)
		}
	})
}

func TestGuardFleetWrongFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := fleet(t, 60)
		b.set(true)
		time.Sleep(time.Hour)
		stop()
		if n := most(b.refusals, 10*time.Minute); n != unknownBudget || len(b.tries) < 8 {
			t.Errorf("%d refusals in 10 minutes, %d accounts tried in an hour; want %d, and about 2 in each window", n, len(b.tries), unknownBudget)
		}
	})
}

func TestGuardOneStalePasswordHoldsNoOtherAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, stop := fleet(t, 50, "user-17")
		time.Sleep(12*time.Hour - time.Second)
		stop()
		for i := range 50 {
			name := fmt.Sprintf("user-%d", i)
			switch {
			case b.rejects[name]:
				if b.tries[name] > 3 {
					t.Errorf("the stale one tried %d times in 12 hours, want at most 3", b.tries[name])
				}
			case b.tries[name] != 12*60 || b.held[name] != 0:
				t.Errorf("%s: %d logins and %d withheld in 12 hours, want %d and none", name, b.tries[name], b.held[name], 12*60)
			}
		}
	})
}

func TestGuardOnePasswordOfFiftyTurnsWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, stop := fleet(t, 50)
		time.Sleep(time.Hour)
		b.mu.Lock()
		b.rejects["user-3"] = true
		b.mu.Unlock()
		time.Sleep(11*time.Hour - time.Second)
		stop()
		if len(b.refusals) > 4 || most(b.refusals, 30*time.Minute) > 2 {
			t.Errorf("refusals at %v, want at most 4, and 2 in half an hour", b.refusals)
		}
		for name, held := range b.held {
			if name != "user-3" {
				t.Errorf("%s was held %d times because of another", name, held)
			}
		}
	})
}

// BenchmarkGuard measures the cost of a login, with 10,000 accounts.
func BenchmarkGuard(b *testing.B) {
	g, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	var conns []*mail.Connection
	for i := range 10000 {
		conns = append(conns, user("u", fmt.Sprintf("host-%d.example", i%500), fmt.Sprint("user-", i)))
	}
	g.SetConnections(conns)
	secret, i := mail.NewSecret("p"), 0
	b.ReportAllocs()
	for b.Loop() {
		p := g.Enter(context.Background(), conns[i%len(conns)], secret)
		p.Login(context.Background())
		p.Done(AuthVerdict{Tried: true, Accepted: true})
		i++
	}
}

// BenchmarkMemory reports what is kept of 10,000 connections that have logged in, each with
// an account and a server of its own.
func BenchmarkMemory(b *testing.B) {
	const connections = 10_000
	live := func() (bytes, objects float64) {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return float64(stats.HeapAlloc), float64(stats.HeapObjects)
	}
	secret := mail.NewSecret("p")
	var conns []*mail.Connection
	for i := range connections {
		conns = append(conns, user(fmt.Sprint("u", i), fmt.Sprintf("host-%d.example", i), fmt.Sprint("user-", i)))
	}
	for b.Loop() {
		bytes, objects := live()
		g, err := New(Options{})
		if err != nil {
			b.Fatal(err)
		}
		g.SetConnections(conns)
		for i, c := range conns {
			p := g.Enter(context.Background(), c, secret)
			p.Login(context.Background())
			p.Done(AuthVerdict{Tried: true, Accepted: true, Address: fmt.Sprintf("198.18.%d.%d:993", i>>8, i&0xff)})
		}
		moreBytes, moreObjects := live()
		b.ReportMetric((moreBytes-bytes)/connections, "B/connection")
		b.ReportMetric((moreObjects-objects)/connections, "objects/connection")
		runtime.KeepAlive(g)
	}
}

// BenchmarkWaiting measures the cost of one of many logins that wait at one server. It
// must not grow with their number.
func BenchmarkWaiting(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g, err := New(Options{})
			if err != nil {
				b.Fatal(err)
			}
			secret := mail.NewSecret("p")
			var conns []*mail.Connection
			for i := range n {
				conns = append(conns, user(fmt.Sprint("u", i), "mail.example", fmt.Sprint("user-", i)))
			}
			g.SetConnections(conns)
			for _, c := range conns { // known to work
				p := g.Enter(context.Background(), c, secret)
				p.Login(context.Background())
				p.Done(AuthVerdict{Tried: true, Accepted: true})
			}
			b.ReportAllocs()
			for b.Loop() {
				var probes sync.WaitGroup
				for _, c := range conns {
					probes.Go(func() {
						p := g.Enter(context.Background(), c, secret)
						p.Login(context.Background())
						p.Done(AuthVerdict{Tried: true, Accepted: true})
					})
				}
				probes.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/login")
		})
	}
}
