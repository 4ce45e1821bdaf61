package pool

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

func TestPoolShutdownEndsProbesUnreported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := mailboxes(500, "hole", "")
		script := map[string]time.Duration{}
		for _, c := range conns {
			script[c.Host] = -1
		}
		s := newFixture(t, Options{MaxInFlight: 100}, script, conns...)
		time.Sleep(20 * time.Second)
		asked := make(chan error)
		go func() {
			_, err := s.ProbeNow(t.Context(), "hole-0")
			asked <- err
		}()
		synctest.Wait()
		begin := time.Now()
		s.stop()
		if took := time.Since(begin); took != 0 {
			t.Errorf("the shutdown took %v although all probes end with their context", took)
		}
		if err := <-asked; !errors.Is(err, ErrStopped) {
			t.Errorf("a waiting caller got %v, want %v", err, ErrStopped)
		}
		if _, err := s.ProbeNow(t.Context(), "hole-1"); !errors.Is(err, ErrStopped) {
			t.Errorf("a late caller got %v, want %v", err, ErrStopped)
		}
		if len(s.outcomes) != 0 || s.ended != 100 || s.Stats().InFlight != 0 {
			t.Errorf("%d outcomes, %d probes ended, %d in flight; want 0, 100, 0", len(s.outcomes), s.ended, s.Stats().InFlight)
		}
		if err := s.Run(t.Context()); err == nil {
			t.Error("Run ran twice")
		}
	})
}

func TestPoolSurvivesPanics(t *testing.T) {
	for _, test := range []struct {
		name     string
		throw    func()
		wantText string
	}{
		{"a value that may be secret is not quoted", func() { panic("hunter2") }, "panic of type string"},
		{"a fault found by the runtime is", func() { _ = nobody(nil).Name }, "panic: runtime error: invalid memory address or nil pointer dereference"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				outcomes := map[string][]mail.Outcome{}
				p := New(Options{
					Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
						if c.Name == "bad" {
							test.throw()
						}
						return mail.Outcome{Connection: c}
					},
					Report: func(o mail.Outcome) {
						mu.Lock()
						defer mu.Unlock()
						outcomes[o.Connection.Name] = append(outcomes[o.Connection.Name], o)
					},
				})
				p.Set([]*mail.Connection{mailbox("bad", "bad.example"), mailbox("good", "good.example")})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute-time.Second)
				defer cancel()
				if err := p.Run(ctx); err != nil {
					t.Fatal(err)
				}
				if len(outcomes["good"]) != 3 || len(outcomes["bad"]) != 3 {
					t.Fatalf("%d good and %d bad outcomes, want 3 each", len(outcomes["good"]), len(outcomes["bad"]))
				}
				if f := outcomes["bad"][2].Failure; f == nil || f.Reason != mail.LocalBug || f.Text != test.wantText {
					t.Errorf("failure %+v, want %s with %q", f, mail.LocalBug, test.wantText)
				}
			})
		})
	}
}

func TestPoolEndsAProbeAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p := New(Options{Probe: func(ctx context.Context, c *mail.Connection) mail.Outcome {
			<-ctx.Done()
			return mail.Outcome{Connection: c, Failure: &mail.Failure{Reason: mail.Timeout}}
		}})
		p.Set([]*mail.Connection{mailbox("box", "box.example")})
		if _, err := p.ProbeNow(t.Context(), "box"); err != nil || time.Since(begin) != 30*time.Second {
			t.Errorf("ended after %v (%v), want %v", time.Since(begin), err, 30*time.Second)
		}
	})
}

// nobody returns c. Linters do not see that it may be nil.
func nobody(c *mail.Connection) *mail.Connection { return c }
