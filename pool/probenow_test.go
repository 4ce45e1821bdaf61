package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// ask calls ProbeNow in the background.
func ask(ctx context.Context, s *fixture, name string, limit time.Duration) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		outcome, err := s.ProbeNow(ctx, name, limit)
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

// onScrape is a connection without a timer.
func onScrape(name, host string) *mail.Connection {
	c := mailbox(name, host)
	c.ProbeOnScrape = true
	return c
}

func TestProbeNow(t *testing.T) {
	tests := []struct {
		name  string
		story func(t *testing.T, s *fixture)
	}{
		{"ten callers share one probe", func(t *testing.T, s *fixture) {
			var answers []<-chan answer
			for range 10 {
				answers = append(answers, ask(t.Context(), s, "scraped", 0))
			}
			for _, a := range answers {
				if got := <-a; got.err != nil || !got.outcome.Up() || got.outcome.Connection.Name != "scraped" {
					t.Errorf("got %+v, want the one good outcome", got)
				}
			}
			wantProbes(t, s, "scraped", 1, 1)
		}},
		{"the next caller gets a new probe", func(t *testing.T, s *fixture) {
			<-ask(t.Context(), s, "scraped", 0)
			<-ask(t.Context(), s, "scraped", 0)
			wantProbes(t, s, "scraped", 2, 2)
		}},
		{"a leaver cancels nothing that others wait for", func(t *testing.T, s *fixture) {
			ctx, leave := context.WithCancel(t.Context())
			first, second := ask(ctx, s, "scraped", 0), ask(t.Context(), s, "scraped", 0)
			leave()
			if got := <-first; !errors.Is(got.err, context.Canceled) || errors.Is(got.err, ErrFull) {
				t.Errorf("the leaver got %v, want %v", got.err, context.Canceled)
			}
			if got := <-second; got.err != nil || !got.outcome.Up() {
				t.Errorf("who stayed got %+v, want a good outcome", got)
			}
			wantProbes(t, s, "scraped", 1, 1)
		}},
		{"the last leaver cancels the probe, unreported", func(t *testing.T, s *fixture) {
			ctx, leave := context.WithCancel(t.Context())
			begin := time.Now()
			first := ask(ctx, s, "silent", 0)
			leave()
			<-first
			synctest.Wait()
			if s.ended != 1 || time.Since(begin) != 0 {
				t.Errorf("%d probes ended after %v, want 1 at once", s.ended, time.Since(begin))
			}
			wantProbes(t, s, "silent", 1, 0)
		}},
		{"the last leaver of a timed probe cancels nothing", func(t *testing.T, s *fixture) {
			time.Sleep(until(s, "timed"))
			ctx, leave := context.WithCancel(t.Context())
			first := ask(ctx, s, "timed", 0)
			leave()
			<-first
			time.Sleep(time.Second)
			wantProbes(t, s, "timed", 1, 1)
		}},
		{"a due interval adopts a probe that was asked for", func(t *testing.T, s *fixture) {
			time.Sleep(until(s, "timed") - 10*time.Millisecond)
			ctx, leave := context.WithCancel(t.Context())
			first := ask(ctx, s, "timed", 0)
			time.Sleep(20 * time.Millisecond)
			leave()
			<-first
			time.Sleep(time.Second)
			wantProbes(t, s, "timed", 1, 1)
			if s.Stats().Skipped != 0 {
				t.Errorf("%d skipped, want 0: the interval has its outcome", s.Stats().Skipped)
			}
		}},
		{"a limit bounds the probe", func(t *testing.T, s *fixture) {
			begin := time.Now()
			got := <-ask(t.Context(), s, "silent", 9500*time.Millisecond)
			if got.err != nil || got.outcome.Failure == nil || got.at.Sub(begin) != 9500*time.Millisecond {
				t.Errorf("got %+v after %v, want a timeout after 9.5 s", got, got.at.Sub(begin))
			}
		}},
		{"a limit above the connection's timeout is that timeout", func(t *testing.T, s *fixture) {
			begin := time.Now()
			if got := <-ask(t.Context(), s, "silent", time.Hour); got.at.Sub(begin) != 30*time.Second {
				t.Errorf("ended after %v, want 30 s", got.at.Sub(begin))
			}
		}},
		{"waiting for a place is not part of the probe", func(t *testing.T, s *fixture) {
			<-ask(t.Context(), s, "slow-0", 0) // alone it takes 4 s
			first, second := ask(t.Context(), s, "slow-0", 0), ask(t.Context(), s, "slow-1", 5*time.Second)
			begin := time.Now()
			<-first
			if got := <-second; got.err != nil || !got.outcome.Up() || got.outcome.Duration() != 4*time.Second || got.at.Sub(begin) != 8*time.Second {
				t.Errorf("got %+v after %v, want 4 s of waiting and a good probe of 4 s", got, got.at.Sub(begin))
			}
			if last := s.delays[len(s.delays)-1]; last != 4*time.Second {
				t.Errorf("start delay %v, want 4 s", last)
			}
		}},
		{"a caller whose time ends in the queue is told so", func(t *testing.T, s *fixture) {
			first := ask(t.Context(), s, "slow-0", 0)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			second := ask(ctx, s, "slow-1", 0)
			if got := <-second; !errors.Is(got.err, ErrFull) || !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %v and %v", got.err, ErrFull, context.DeadlineExceeded)
			}
			<-first
			wantProbes(t, s, "slow-1", 0, 0)
		}},
		{"an unknown name", func(t *testing.T, s *fixture) {
			if got := <-ask(t.Context(), s, "evil:25", 0); !errors.Is(got.err, ErrUnknownConnection) {
				t.Errorf("got %v, want %v", got.err, ErrUnknownConnection)
			}
		}},
		{"a connection removed while a caller waits", func(t *testing.T, s *fixture) {
			running, queued := ask(t.Context(), s, "slow-0", 0), ask(t.Context(), s, "slow-1", 0)
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
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := map[string]time.Duration{"silent.example": -1, "slow.example": 4 * time.Second}
				s := newFixture(t, Options{MaxInFlightPerHost: 1}, script,
					mailbox("zero", "zero.example"), mailbox("timed", "timed.example"),
					onScrape("scraped", "scraped.example"), onScrape("silent", "silent.example"),
					onScrape("slow-0", "slow.example"), onScrape("slow-1", "slow.example"))
				test.story(t, s)
				s.stop()
			})
		})
	}
}

// until is the time to the next start of a timed connection that has not begun.
func until(s *fixture, name string) time.Duration {
	s.Pool.mu.Lock()
	defer s.Pool.mu.Unlock()
	if wait := time.Until(s.entries[name].next); wait < time.Minute {
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
	if outcome, err := p.ProbeNow(t.Context(), "box", 0); err != nil || outcome.Connection.Name != "box" {
		t.Errorf("got %+v, %v; a pool probes on demand without Run", outcome, err)
	}
}

func TestPoolReload(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *mail.Connection) *mail.Connection // nil: removed
		keeps  bool
	}{
		{"nothing changed", func(c *mail.Connection) *mail.Connection { d := *c; return &d }, true},
		{"labels and line", func(c *mail.Connection) *mail.Connection {
			d := *c
			d.Labels, d.Source = []mail.Label{{Name: "team", Value: "b"}}, "other.yml:7"
			return &d
		}, true},
		{"the same TLS settings built again", func(c *mail.Connection) *mail.Connection {
			d := *c
			d.TLS = &tls.Config{ServerName: "box.example", RootCAs: x509.NewCertPool()}
			return &d
		}, true},
		{"another server name", func(c *mail.Connection) *mail.Connection {
			d := *c
			d.TLS = &tls.Config{ServerName: "other.example", RootCAs: x509.NewCertPool()}
			return &d
		}, false},
		{"TLS gone", func(c *mail.Connection) *mail.Connection { d := *c; d.TLS = nil; return &d }, false},
		{"another port", func(c *mail.Connection) *mail.Connection { d := *c; d.Port = 1143; return &d }, false},
		{"another password", func(c *mail.Connection) *mail.Connection {
			d := *c
			d.Password = mail.InlineSecret(mail.NewSecret("b"))
			return &d
		}, false},
		{"another interval", func(c *mail.Connection) *mail.Connection { d := *c; d.Interval = 2 * time.Minute; return &d }, false},
		{"a token instead", func(c *mail.Connection) *mail.Connection {
			d := *c
			d.Token = func(context.Context, bool) (mail.Secret, error) { return mail.Secret{}, nil }
			return &d
		}, false},
		{"removed", func(*mail.Connection) *mail.Connection { return nil }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := mailbox("box", "box.example")
				box.Password = mail.InlineSecret(mail.NewSecret("a"))
				box.TLS = &tls.Config{ServerName: "box.example", RootCAs: x509.NewCertPool()}
				s := newFixture(t, Options{}, map[string]time.Duration{"box.example": 20 * time.Second}, box)
				begin := time.Now()
				time.Sleep(7 * time.Second) // its first probe is under way
				after := []*mail.Connection{mailbox("new", "new.example")}
				changed := test.change(box)
				if changed != nil {
					after = append(after, changed)
				}
				s.Set(after)
				time.Sleep(80 * time.Second)
				s.stop()
				starts := s.startsOf("box")
				switch {
				case changed == nil:
					wantProbes(t, s, "box", 1, 0)
				case test.keeps:
					wantProbes(t, s, "box", 2, 2)
					if got := starts[1].Sub(begin); got != time.Minute {
						t.Errorf("second start after %v, want the old start at 1m0s", got)
					}
					if s.outcomes["box"][1].Connection != changed {
						t.Error("the second probe used the old entry")
					}
				default:
					if got := starts[1].Sub(begin); got < 7*time.Second || got >= 17*time.Second {
						t.Errorf("second start after %v, want a new start within 10 s of the reload", got)
					}
				}
				if new := s.startsOf("new"); len(new) != 2 || new[0].Sub(begin) >= 17*time.Second {
					t.Errorf("the new one began at %v, want twice, first within 10 s of the reload", new)
				}
				if s.most["name box"] > 1 {
					t.Error("two probes of one connection at once")
				}
			})
		})
	}
}

func TestPoolThousandReloadsLeakNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steady := mailboxes(20, "steady", "")
		odd, even := mailboxes(50, "odd", "hole.example"), mailboxes(50, "even", "hole.example")
		s := newFixture(t, Options{MaxInFlight: 30}, map[string]time.Duration{"hole.example": -1}, steady...)
		for i := range 1000 {
			time.Sleep(300 * time.Millisecond)
			others := odd
			if i%2 == 0 {
				others = even
			}
			s.Set(slices.Concat(others, steady))
		}
		s.Set(steady)
		time.Sleep(time.Minute)
		s.Pool.mu.Lock()
		if n := len(s.schedule); n != 20 || len(s.entries) != 20 {
			t.Errorf("%d in the schedule, %d entries; want 20 each", n, len(s.entries))
		}
		if len(s.hosts) > 1 || s.all.queue.Len() != 0 || s.skipped != 0 {
			t.Errorf("hosts %v, %d queued, %d skipped: something is left over", s.hosts, s.all.queue.Len(), s.skipped)
		}
		s.Pool.mu.Unlock()
		s.stop()
		for _, c := range steady {
			starts := s.startsOf(c.Name)
			for i := range starts[1:] {
				if gap := starts[i+1].Sub(starts[i]); gap != time.Minute {
					t.Fatalf("%s: %v between two starts, want 1m0s through every reload", c.Name, gap)
				}
			}
		}
		for key, most := range s.most {
			if strings.HasPrefix(key, "name ") && most > 1 {
				t.Errorf("%s: %d at once", key, most)
			}
		}
	})
}

func TestPoolSetTwiceBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Probe: func(_ context.Context, c *mail.Connection) mail.Outcome { return mail.Outcome{Connection: c} }})
		a, b, c := mailbox("a", "a.example"), mailbox("b", "b.example"), mailbox("c", "c.example")
		p.Set([]*mail.Connection{a, b})
		p.Set([]*mail.Connection{b, c})
		if err := p.begin(); err != nil {
			t.Fatal(err)
		}
		if len(p.schedule) != 2 {
			t.Errorf("%d in the schedule, want b and c once each", len(p.schedule))
		}
		p.stop()
	})
}

func TestExclusiveKey(t *testing.T) {
	pop := func(name, host, user, shared string) *mail.Connection {
		return &mail.Connection{Name: name, Protocol: mail.POP3, Host: host, Username: user, SharedMailbox: shared}
	}
	tests := []struct {
		name string
		a, b *mail.Connection
		want bool // they exclude each other
	}{
		{"one maildrop twice", pop("a", "mail.example", "u", ""), pop("b", "MAIL.example", "u", ""), true},
		{"two users", pop("a", "mail.example", "u", ""), pop("b", "mail.example", "v", ""), false},
		{"two hosts", pop("a", "mail.example", "u", ""), pop("b", "post.example", "u", ""), false},
		{"two users of one shared maildrop", pop("a", "mail.example", "u", "s"), pop("b", "mail.example", "v", "s"), true},
		{"a user and a shared maildrop", pop("a", "mail.example", "u", ""), pop("b", "mail.example", "u", "s"), false},
		{"no login, no lock", pop("a", "mail.example", "", ""), pop("b", "mail.example", "", ""), false},
		{"IMAP does not lock", mailbox("a", "mail.example"), mailbox("b", "mail.example"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := exclusiveKey(test.a) == exclusiveKey(test.b); got != test.want {
				t.Errorf("%q and %q: exclude each other %v, want %v", exclusiveKey(test.a), exclusiveKey(test.b), got, test.want)
			}
		})
	}
}
