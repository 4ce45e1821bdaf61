package guard

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/mail"
)

// The verdicts of the stories.
var (
	right   = AuthVerdict{Tried: true, Accepted: true, Address: "192.0.2.1:993"}
	wrong   = AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.AuthRejected, Address: "192.0.2.1:993"}
	hungUp  = AuthVerdict{Tried: true, Class: mail.Possible, Reason: mail.Closed, Address: "192.0.2.1:993"}
	tooSlow = AuthVerdict{Tried: true, Class: mail.Transient, Reason: mail.Timeout, Address: "192.0.2.1:993"}
	later   = AuthVerdict{Tried: true, Class: mail.Transient, Reason: mail.AuthTemporary, Address: "192.0.2.1:993"}
	dead    = AuthVerdict{}
)

// fixture is a guard with a clock that the test sets.
type fixture struct {
	*Guard
	t     *testing.T
	clock sync.Mutex
	at    time.Time
	lines []string // of the log
}

func newFixture(t *testing.T, statePath string) *fixture {
	h := &fixture{t: t, at: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h.restart(statePath)
	return h
}

// restart starts another process on the state file.
func (h *fixture) restart(statePath string) {
	h.t.Helper()
	guard, err := New(Options{StatePath: statePath, Log: slog.New(h), Now: h.now})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Guard = guard
	h.t.Cleanup(func() { _ = guard.Close() })
}

// now is the time of the test. The writer asks for it too.
func (h *fixture) now() time.Time {
	h.clock.Lock()
	defer h.clock.Unlock()
	return h.at
}

// probe makes one probe; a login gets the verdict.
func (h *fixture) probe(c *mail.Connection, secret string, v AuthVerdict) *Permit {
	p := h.Enter(context.Background(), c, mail.NewSecret(secret))
	if !p.Allowed || !p.Login(context.Background()) {
		v = AuthVerdict{}
	}
	p.Done(v)
	return p
}

// wantHeld checks that a login is withheld for a time, with the table's jitter.
func (h *fixture) wantHeld(c *mail.Connection, secret string, reason mail.Reason, wait time.Duration) {
	h.t.Helper()
	p := h.Enter(context.Background(), c, mail.NewSecret(secret))
	defer p.Done(dead)
	if p.Allowed || p.Hold.Reason != reason {
		h.t.Fatalf("allowed %v with hold %+v, want held for %s", p.Allowed, p.Hold, reason)
	}
	if wait == 0 && p.Hold.Until.IsZero() {
		return
	}
	if got := p.Hold.Until.Sub(h.at); got < wait || got > wait+wait/10 {
		h.t.Fatalf("held for %v, want %v plus at most a tenth", got, wait)
	}
}

func (h *fixture) wantAllowed(c *mail.Connection, secret string) {
	h.t.Helper()
	if p := h.probe(c, secret, dead); !p.Allowed {
		h.t.Fatalf("held for %+v, want allowed", p.Hold)
	}
}

func (h *fixture) sleep(d time.Duration) {
	h.clock.Lock()
	defer h.clock.Unlock()
	h.at = h.at.Add(d)
}

// nextOf returns when the account may be tried again where it was refused.
func (h *fixture) nextOf(c *mail.Connection, secret string) time.Duration {
	p := h.Enter(context.Background(), c, mail.NewSecret(secret))
	defer p.Done(dead)
	return p.Hold.Until.Sub(h.at)
}

// The methods of slog.Handler keep the messages.
func (h *fixture) Enabled(context.Context, slog.Level) bool { return true }
func (h *fixture) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *fixture) WithGroup(string) slog.Handler            { return h }
func (h *fixture) Handle(_ context.Context, r slog.Record) error {
	h.clock.Lock()
	defer h.clock.Unlock()
	h.lines = append(h.lines, r.Message)
	return nil
}

// logged returns how many lines of the log contain the words.
func (h *fixture) logged(words string) (times int) {
	h.clock.Lock()
	defer h.clock.Unlock()
	for _, line := range h.lines {
		if strings.Contains(line, words) {
			times++
		}
	}
	return times
}

// user is a connection that logs in.
func user(name, host, username string) *mail.Connection {
	c := &mail.Connection{Name: name, Protocol: mail.IMAP, Host: host, Interval: time.Minute, Timeout: 30 * time.Second}
	c.Username, c.Auth, c.Lockout, c.HeldProbe = username, mail.AuthAuto, mail.LockoutNormal, true
	return c
}

// story is played on a guard of its own.
type story struct {
	name string
	run  func(t *testing.T, h *fixture)
}

func tellStories(t *testing.T, stories []story) {
	t.Helper()
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) { story.run(t, newFixture(t, "")) })
	}
}

// altered is a copy of a connection under another name, changed.
func altered(c *mail.Connection, by func(*mail.Connection)) *mail.Connection {
	other := *c
	other.Name = "other"
	by(&other)
	return &other
}

// impatient is the context of a caller that waits for no other login. It never ends.
type impatient struct{ context.Context }

// Deadline is in the past.
func (impatient) Deadline() (time.Time, bool) { return time.Unix(0, 0), true }
