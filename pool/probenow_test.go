package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// ask calls ProbeNow in the background.
func ask(ctx context.Context, s *fixture, name string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		outcome, err := s.ProbeNow(ctx, name)
		answers <- answer{outcome, err, time.Now()}
	}()
	synctest.Wait()
	return answers
}

type answer struct {
	outcome mail.Outcome
	err     error
	at      time.Time
}

// reason is the reason of the answer's outcome; empty: it is up.
func (a answer) reason() mail.Reason {
	if a.outcome.Failure == nil {
		return ""
	}
	return a.outcome.Failure.Reason
}

// within is a context of a caller that waits so long.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// onScrape is a connection without a timer.
func onScrape(name, host string) *mail.Connection {
	c := mailbox(name, host)
	c.ProbeOnScrape = true
	return c
}

// story is a test of ProbeNow in a pool with one place per host.
type story struct {
	name string
	tell func(t *testing.T, s *fixture)
}

func tell(t *testing.T, stories []story) {
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := map[string]time.Duration{"silent.example": -1, "slow.example": 4 * time.Second}
				login := onScrape("login", "login.example")
				login.Username = "anna@example.org"
				other := onScrape("other-login", "other.example")
				other.Username = "Anna@example.org"
				s := newFixture(t, Options{MaxInFlightPerHost: 1, LimitDemand: true}, script,
					mailbox("zero", "zero.example"), mailbox("timed", "timed.example"),
					onScrape("scraped", "scraped.example"), onScrape("silent", "silent.example"),
					onScrape("slow-0", "slow.example"), onScrape("slow-1", "slow.example"), onScrape("slow-2", "slow.example"), login, other)
				story.tell(t, s)
				s.stop()
			})
		})
	}
}

func TestProbeNowSharesOneProbe(t *testing.T) {
	tell(t, []story{
		{"ten callers at once", func(t *testing.T, s *fixture) {
			var answers []<-chan answer
			for range 10 {
				answers = append(answers, ask(t.Context(), s, "scraped"))
			}
			for _, a := range answers {
				if got := <-a; got.err != nil || !got.outcome.Up() || got.outcome.Connection.Name != "scraped" {
					t.Errorf("got %+v, want the one good outcome", got)
				}
			}
			wantProbes(t, s, "scraped", 1, 1)
		}},
		{"a second later there is another one", func(t *testing.T, s *fixture) {
			<-ask(t.Context(), s, "scraped")
			time.Sleep(time.Second)
			<-ask(t.Context(), s, "scraped")
			wantProbes(t, s, "scraped", 2, 2)
		}},
		{"a due interval takes over a probe that was asked for", func(t *testing.T, s *fixture) {
			time.Sleep(until(s, "timed") - 10*time.Millisecond)
			<-ask(t.Context(), s, "timed")
			time.Sleep(time.Second)
			wantProbes(t, s, "timed", 1, 1)
			if s.Stats().Skipped != 0 {
				t.Errorf("%d skipped, want 0: the interval has its outcome", s.Stats().Skipped)
			}
		}},
		{"an unknown name", func(t *testing.T, s *fixture) {
			if got := <-ask(t.Context(), s, "evil:25"); !errors.Is(got.err, ErrUnknownConnection) {
				t.Errorf("got %v, want %v", got.err, ErrUnknownConnection)
			}
		}},
		{"a connection removed while a caller waits", func(t *testing.T, s *fixture) {
			running, queued := ask(t.Context(), s, "slow-0"), ask(t.Context(), s, "slow-1")
			s.Set(nil)
			for _, a := range []<-chan answer{running, queued} {
				if got := <-a; !errors.Is(got.err, ErrUnknownConnection) {
					t.Errorf("got %v, want %v", got.err, ErrUnknownConnection)
				}
			}
			wantProbes(t, s, "slow-0", 1, 0)
			wantProbes(t, s, "slow-1", 0, 0)
		}},
		{"never on a timer of its own", func(t *testing.T, s *fixture) {
			time.Sleep(time.Hour)
			wantProbes(t, s, "scraped", 0, 0)
		}},
	})
}

// A caller that leaves does not change the probe or its outcome.
func TestProbeNowIgnoresHowLongCallersStay(t *testing.T) {
	tell(t, []story{
		{"a caller that leaves does not end the probe of another", func(t *testing.T, s *fixture) {
			ctx, leave := context.WithCancel(t.Context())
			first, second := ask(ctx, s, "scraped"), ask(t.Context(), s, "scraped")
			leave()
			if got := <-first; !errors.Is(got.err, context.Canceled) {
				t.Errorf("the caller that left got %v, want %v", got.err, context.Canceled)
			}
			if got := <-second; got.err != nil || !got.outcome.Up() {
				t.Errorf("the caller that stayed got %+v, want a good outcome", got)
			}
			wantProbes(t, s, "scraped", 1, 1)
		}},
		{"the probe of the only caller that leaves gets its whole time, and is reported", func(t *testing.T, s *fixture) {
			ctx, leave := context.WithCancel(t.Context())
			first := ask(ctx, s, "silent")
			leave()
			<-first
			time.Sleep(29 * time.Second)
			wantProbes(t, s, "silent", 1, 0)
			time.Sleep(time.Second + time.Millisecond)
			wantProbes(t, s, "silent", 1, 1)
		}},
		{"a caller that has left before starts nothing", func(t *testing.T, s *fixture) {
			ctx, leave := context.WithCancel(t.Context())
			leave()
			<-ask(ctx, s, "scraped")
			wantProbes(t, s, "scraped", 0, 0)
		}},
		{"a caller with too little time gets no outcome, and changes none", func(t *testing.T, s *fixture) {
			<-ask(t.Context(), s, "slow-0") // up, in 4 s
			time.Sleep(time.Second)
			if got := <-ask(within(t, 300*time.Millisecond), s, "slow-0"); !errors.Is(got.err, ErrUnfinished) {
				t.Errorf("got %+v, want %v", got, ErrUnfinished)
			}
			time.Sleep(10 * time.Second)
			wantProbes(t, s, "slow-0", 2, 2)
			if bad := s.reasonsOf("slow-0"); bad[""] != 2 {
				t.Errorf("outcomes %v, want two good ones", bad)
			}
		}},
		{"a caller with too little time, of a connection without a result, gets an overrun that is not reported", func(t *testing.T, s *fixture) {
			begin := time.Now()
			got := <-ask(within(t, 300*time.Millisecond), s, "silent")
			if got.err != nil || got.reason() != mail.LocalOverrun || got.at.Sub(begin) != 300*time.Millisecond {
				t.Errorf("got %+v after %v, want %s after 0.3 s", got, got.at.Sub(begin), mail.LocalOverrun)
			}
			wantProbes(t, s, "silent", 1, 0)
		}},
	})
}

func TestProbeNowInAFullPool(t *testing.T) {
	tell(t, []story{
		{"waiting for a place is not part of the probe", func(t *testing.T, s *fixture) {
			first, second := ask(t.Context(), s, "slow-0"), ask(t.Context(), s, "slow-1")
			begin := time.Now()
			<-first
			if got := <-second; got.err != nil || !got.outcome.Up() || got.outcome.Duration() != 4*time.Second || got.at.Sub(begin) != 8*time.Second {
				t.Errorf("got %+v after %v, want 4 s of waiting and a good probe of 4 s", got, got.at.Sub(begin))
			}
			if most := slices.Max(s.delays); most != 4*time.Second {
				t.Errorf("start delay %v, want 4 s", most)
			}
		}},
		{"a caller that cannot be served in time gets an error at once, and the probe follows", func(t *testing.T, s *fixture) {
			for _, name := range []string{"slow-0", "slow-1"} { // so that the pool knows what they take
				<-ask(t.Context(), s, name)
			}
			time.Sleep(time.Second)
			ask(t.Context(), s, "slow-0")
			begin := time.Now()
			if got := <-ask(within(t, 7*time.Second), s, "slow-1"); !errors.Is(got.err, ErrFull) || got.at != begin {
				t.Errorf("got %v after %v, want %v at once", got.err, got.at.Sub(begin), ErrFull)
			}
			if s.Stats().Skipped != 1 {
				t.Errorf("%d skipped, want 1", s.Stats().Skipped)
			}
			time.Sleep(8*time.Second + time.Millisecond)
			wantProbes(t, s, "slow-1", 2, 2)
		}},
		{"time that ends in the queue is a skip, and the last result stays", func(t *testing.T, s *fixture) {
			<-ask(t.Context(), s, "slow-1")
			time.Sleep(time.Second)
			ask(t.Context(), s, "slow-0")
			s.all.typical, s.hosts["slow.example"].typical = 0, 0 // nothing is known of the wait
			s.entries["slow-1"].took = 0
			if got := <-ask(within(t, time.Second), s, "slow-1"); !errors.Is(got.err, ErrFull) {
				t.Errorf("got %+v, want %v", got, ErrFull)
			}
			if s.Stats().Skipped != 1 || len(s.outcomes["slow-1"]) != 1 {
				t.Errorf("%d skipped, %d outcomes; want one of each", s.Stats().Skipped, len(s.outcomes["slow-1"]))
			}
		}},
		{"a connection without any result says so once", func(t *testing.T, s *fixture) {
			ask(t.Context(), s, "slow-0")
			for range 3 {
				if got := <-ask(within(t, time.Second), s, "slow-1"); got.err != nil || got.reason() != mail.LocalOverrun {
					t.Errorf("got %+v, want %s", got, mail.LocalOverrun)
				}
			}
			if got := s.reasonsOf("slow-1"); got[mail.LocalOverrun] != 1 {
				t.Errorf("reported %v, want one %s", got, mail.LocalOverrun)
			}
			time.Sleep(10*time.Second + time.Millisecond)
			wantProbes(t, s, "slow-1", 1, 2)
		}},
	})
}

func TestProbeNowBoundsProbesOnDemand(t *testing.T) {
	tell(t, []story{
		{"a result younger than a second answers", func(t *testing.T, s *fixture) {
			<-ask(t.Context(), s, "scraped")
			for range 100 {
				time.Sleep(9 * time.Millisecond)
				if got := <-ask(t.Context(), s, "scraped"); !errors.Is(got.err, ErrTooSoon) {
					t.Fatalf("got %+v, want %v", got, ErrTooSoon)
				}
			}
			wantProbes(t, s, "scraped", 1, 1)
		}},
		{"a loop over two connections of one account", func(t *testing.T, s *fixture) {
			for begin := time.Now(); time.Since(begin) < 5*time.Minute; time.Sleep(100 * time.Millisecond) {
				<-ask(t.Context(), s, "login")
				<-ask(t.Context(), s, "other-login")
			}
			// 2 at once, then one in each tenth of a minute
			if logins := len(s.startsOf("login")) + len(s.startsOf("other-login")); logins < 50 || logins > 52 {
				t.Errorf("%d logins in 5 minutes, want about 51", logins)
			}
		}},
		{"scrapes of both, shortly after each other, are all served", func(t *testing.T, s *fixture) {
			for range 10 {
				for _, name := range []string{"login", "other-login"} {
					if got := <-ask(t.Context(), s, name); got.err != nil {
						t.Errorf("%s: %v", name, got.err)
					}
				}
				time.Sleep(15 * time.Second)
			}
		}},
	})
}

// If a server asks for more time between two logins, scrapes do not probe it sooner.
func TestProbeNowKeepsAnnouncedDelays(t *testing.T) {
	for _, test := range []struct {
		outcome mail.Outcome
		want    int // probes in an hour of scrapes each half minute
	}{
		{mail.Outcome{Auth: mail.AuthFacts{Sent: true, Accepted: true, Delay: 15 * time.Minute}}, 4},
		{failed(mail.AuthTooSoon), 60},
		{failed(mail.Timeout), 120},
	} {
		t.Run(fmt.Sprint(test.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				probes := 0
				p := New(Options{LimitDemand: true, Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
					probes++
					o := test.outcome
					o.Connection = c
					return o
				}})
				p.Set([]*mail.Connection{onScrape("box", "box.example")})
				for range 120 {
					_, _ = p.ProbeNow(t.Context(), "box")
					time.Sleep(30 * time.Second)
				}
				if probes != test.want {
					t.Errorf("%d probes, want %d", probes, test.want)
				}
			})
		})
	}
}

// until is the time to the next start of a timed connection that has not begun.
func until(s *fixture, name string) time.Duration {
	s.Pool.mu.Lock()
	defer s.Pool.mu.Unlock()
	if wait := time.Until(s.timeOf(s.entries[name].next)); wait < time.Minute {
		return wait
	}
	return 0
}

func wantProbes(t *testing.T, s *fixture, name string, starts, reports int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.starts[name]) != starts || len(s.outcomes[name]) != reports {
		t.Errorf("%s: %d starts, %d outcomes reported; want %d and %d", name, len(s.starts[name]), len(s.outcomes[name]), starts, reports)
	}
}

func TestProbeNowBeforeRun(t *testing.T) {
	p := New(Options{Probe: func(_ context.Context, c *mail.Connection) mail.Outcome { return mail.Outcome{Connection: c} }})
	p.Set([]*mail.Connection{mailbox("box", "box.example")})
	if outcome, err := p.ProbeNow(t.Context(), "box"); err != nil || outcome.Connection.Name != "box" {
		t.Errorf("got %+v, %v; a pool probes on demand without Run", outcome, err)
	}
}
