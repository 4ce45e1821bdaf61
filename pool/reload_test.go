package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

func TestPoolReload(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *mail.Connection) *mail.Connection // nil: removed
		keeps  bool
	}{
		{"nothing changed", func(c *mail.Connection) *mail.Connection { d := *c; return &d }, true},
		{"labels and line", func(c *mail.Connection) *mail.Connection {
			d := *c
			d.Labels = []mail.Label{{Name: "team", Value: "b"}}
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
		if n := len(s.schedule.items); n != 20 || len(s.entries) != 20 {
			t.Errorf("%d in the schedule, %d entries; want 20 each", n, len(s.entries))
		}
		if len(s.hosts) > 20 || s.all.waiting() != 0 || s.skipped != 0 {
			t.Errorf("%d hosts, %d queued, %d skipped: something is left over", len(s.hosts), s.all.waiting(), s.skipped)
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

// A probe may be slow to end after its connection was removed or changed. Until it ends,
// every later definition of the connection waits.
func TestReloadsProbeNoConnectionTwiceAtOnce(t *testing.T) {
	before, other := mailbox("box", "box.example"), mailbox("other", "other.example")
	changed := func(port int) *mail.Connection { c := *before; c.Port = port; return &c }
	for name, reloads := range map[string][][]*mail.Connection{
		"changed":                          {{changed(1143)}},
		"changed twice":                    {{changed(1143)}, {changed(2143)}},
		"removed and brought back":         {{other}, {before}},
		"changed, removed, brought back":   {{changed(1143)}, {other}, {changed(2143)}},
		"removed twice":                    {{other}, {before}, {other}, {before}},
		"removed, brought back, changed":   {{other}, {before}, {changed(1143)}},
		"another protocol for some time":   {{other}, {before}, {other, changed(1143)}},
		"brought back beside another host": {{}, {mailbox("box", "new.example")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most, probes atomic.Int32
				p := New(Options{Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
					if c.Name == "box" {
						probes.Add(1)
						most.Store(max(most.Load(), running.Add(1)))
						time.Sleep(20 * time.Second) // although its context has ended
						running.Add(-1)
					}
					return mail.Outcome{Connection: c}
				}})
				p.Set([]*mail.Connection{before})
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- p.Run(ctx) }()
				time.Sleep(time.Second)
				for _, conns := range reloads {
					p.Set(conns)
					time.Sleep(2 * time.Second)
				}
				time.Sleep(time.Minute)
				p.Set(nil)
				time.Sleep(time.Minute)
				if most.Load() != 1 || probes.Load() < 2 {
					t.Errorf("%d probes, %d at once, want some, one after another", probes.Load(), most.Load())
				}
				p.mu.Lock() // workers wrote these last
				if len(p.locks) != 0 || len(p.hosts) != 0 || p.all.users != 0 {
					t.Errorf("%d locks, %d hosts and %d users are left over", len(p.locks), len(p.hosts), p.all.users)
				}
				p.mu.Unlock()
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
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
		if len(p.schedule.items) != 2 {
			t.Errorf("%d in the schedule, want b and c once each", len(p.schedule.items))
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
			a, _ := exclusiveKey(test.a)
			b, _ := exclusiveKey(test.b)
			if got := a == b; got != test.want {
				t.Errorf("%q and %q: exclude each other %v, want %v", a, b, got, test.want)
			}
		})
	}
}
