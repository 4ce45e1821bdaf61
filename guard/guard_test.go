package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// The verdicts of the stories below.
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

func (h *fixture) said(words string) (times int) {
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

func TestGuard(t *testing.T) {
	ann := user("ann", "mail.example", "ann@example.org")
	change := func(by func(c *mail.Connection)) *mail.Connection {
		c := *ann
		c.Name = "other"
		by(&c)
		return &c
	}
	tests := []struct {
		name string
		run  func(t *testing.T, h *fixture)
	}{
		{"a wrong password is left alone longer and longer", func(_ *testing.T, h *fixture) {
			for _, wait := range []time.Duration{35 * time.Minute, 6 * time.Hour, 25 * time.Hour, 25 * time.Hour, 25 * time.Hour} {
				h.probe(ann, "bad", wrong)
				h.wantHeld(ann, "bad", mail.AuthRejected, wait)
				h.sleep(wait + wait/10)
			}
		}},
		{"a password that worked gets one quick confirmation", func(_ *testing.T, h *fixture) {
			h.probe(ann, "good", right)
			for _, wait := range []time.Duration{5 * time.Minute, 35 * time.Minute, 6 * time.Hour, 25 * time.Hour, 25 * time.Hour} {
				h.sleep(wait + wait/10)
				h.probe(ann, "good", wrong)
				h.wantHeld(ann, "good", mail.AuthRejected, wait)
			}
		}},
		{"the confirmation is not sooner than the interval", func(_ *testing.T, h *fixture) {
			slow := change(func(c *mail.Connection) { c.Interval = time.Hour })
			h.probe(slow, "good", right)
			h.sleep(time.Hour)
			h.probe(slow, "good", wrong)
			h.wantHeld(slow, "good", mail.AuthRejected, time.Hour)
		}},
		{"what worked more than a week ago is not proven", func(_ *testing.T, h *fixture) {
			h.probe(ann, "good", right)
			h.sleep(knownGoodFor)
			h.probe(ann, "good", wrong)
			h.wantHeld(ann, "good", mail.AuthRejected, 35*time.Minute)
		}},
		{"a success ends the row", func(t *testing.T, h *fixture) {
			h.probe(ann, "good", wrong)
			h.sleep(40 * time.Minute)
			h.probe(ann, "good", right)
			h.wantAllowed(ann, "good")
			if h.said("refused") != 1 || h.said("accepted again") != 1 {
				t.Errorf("log %q, want one line for each change", h.lines)
			}
		}},
		{"a corrected password is tried at the next probe", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.wantAllowed(ann, "good")
			h.probe(ann, "good", right)
			h.wantHeld(ann, "bad", mail.AuthRejected, 35*time.Minute)
		}},
		{"another mechanism of the refused connection is tried at the next probe", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			other := *ann
			other.Auth = mail.AuthCRAMMD5
			h.SetConnections([]*mail.Connection{&other})
			h.wantAllowed(&other, "bad")
		}},
		{"another login name is another account", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.wantAllowed(user("bob", "mail.example", "bob@example.org"), "bad")
		}},
		{"protocols and hosts of one realm count together", func(t *testing.T, h *fixture) {
			other := change(func(c *mail.Connection) {
				c.Protocol, c.Host, c.Username = mail.SMTP, "smtp.example", "ANN@Example.org"
			})
			h.SetConnections([]*mail.Connection{ann, other})
			h.probe(ann, "bad", wrong)
			h.wantHeld(other, "bad", mail.AuthHeld, 35*time.Minute)
			p := h.Enter(context.Background(), other, mail.NewSecret("bad"))
			p.Done(dead)
			if p.Hold.By != "ann" || !p.Hold.At.Equal(h.at) || !strings.Contains(p.Hold.Because, "connection ann") || !strings.Contains(p.Hold.Because, "12:00:00") {
				t.Errorf("held by %q since %v because %q, want the refused connection and the time", p.Hold.By, p.Hold.At, p.Hold.Because)
			}
		}},
		{"a login name without a domain is one account on all hosts", func(_ *testing.T, h *fixture) {
			h.probe(user("a", "one.example", "ann"), "bad", wrong)
			h.wantHeld(user("b", "two.example", "Ann"), "bad", mail.AuthHeld, 35*time.Minute)
			h.wantAllowed(user("b", "two.example", "ann"), "good")
		}},
		{"until one of the hosts accepts it", func(_ *testing.T, h *fixture) {
			one, two, three := user("a", "one.example", "ann"), user("b", "two.example", "ann"), user("c", "three.example", "ann")
			h.probe(one, "p", right)
			h.sleep(time.Second)
			h.probe(two, "p", wrong)
			h.wantHeld(two, "p", mail.AuthRejected, 35*time.Minute)
			h.sleep(time.Second)
			h.wantAllowed(one, "p")
			h.wantAllowed(three, "p")
		}},
		{"a realm separates names by hand", func(_ *testing.T, h *fixture) {
			other := user("b", "two.example", "ann")
			other.Realm = "two"
			h.probe(user("a", "one.example", "ann"), "bad", wrong)
			h.wantAllowed(other, "bad")
		}},
		{"a third wrong password waits for the account's budget", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.sleep(20 * time.Minute)
			h.probe(ann, "worse", wrong)
			h.wantHeld(ann, "worst", mail.AuthHeld, 11*time.Minute)
			h.sleep(11 * time.Minute)
			h.wantAllowed(ann, "worst")
		}},
		{"a new access token is no new secret", func(_ *testing.T, h *fixture) {
			c := change(func(c *mail.Connection) {
				c.Auth, c.Token = mail.AuthXOAuth2, func(context.Context, bool) (mail.Secret, error) { return mail.Secret{}, nil }
			})
			h.probe(c, "token-1", AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.TokenRejected})
			h.wantHeld(c, "token-2", mail.TokenRejected, 35*time.Minute)
		}},
		{"another refresh token is another secret", func(_ *testing.T, h *fixture) {
			behind := func(refresh string) *mail.Connection {
				return change(func(c *mail.Connection) {
					c.Auth, c.TokenCredential = mail.AuthXOAuth2, mail.InlineSecret(mail.NewSecret(refresh))
					c.Token = func(context.Context, bool) (mail.Secret, error) { return mail.Secret{}, nil }
				})
			}
			h.probe(behind("old"), "token-1", AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.TokenRejected})
			h.wantHeld(behind("old"), "token-2", mail.TokenRejected, 35*time.Minute)
			h.wantAllowed(behind("new"), "token-2")
		}},
		{"a server that hangs up after the password counts at the second time", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", hungUp)
			h.wantAllowed(ann, "bad")
			h.sleep(time.Minute)
			h.probe(ann, "bad", hungUp)
			h.wantHeld(ann, "bad", mail.Closed, 35*time.Minute)
		}},
		{"so does one that falls silent", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", tooSlow)
			h.sleep(time.Minute)
			h.probe(ann, "bad", tooSlow)
			h.wantHeld(ann, "bad", mail.Timeout, 35*time.Minute)
		}},
		{"silence only slows the retry of a password that worked", func(t *testing.T, h *fixture) {
			h.probe(ann, "good", right)
			for _, wait := range []time.Duration{5 * time.Minute, 35 * time.Minute, 35 * time.Minute, 35 * time.Minute} {
				h.sleep(time.Minute)
				h.probe(ann, "good", tooSlow)
				h.wantHeld(ann, "good", mail.Timeout, wait)
				h.sleep(wait + wait/10)
			}
			h.probe(ann, "good", right)
			h.wantAllowed(ann, "good")
			if h.said("refused") != 0 {
				t.Errorf("log %q, want no refusal", h.lines)
			}
		}},
		{"silence holds no other connection of the account", func(_ *testing.T, h *fixture) {
			pop := change(func(c *mail.Connection) { c.Protocol = mail.POP3 })
			h.probe(ann, "good", right)
			h.probe(pop, "good", right)
			h.probe(ann, "good", tooSlow)
			h.probe(ann, "good", tooSlow)
			h.wantAllowed(pop, "good")
		}},
		{"an answer that no rule knows is doubtful, and said once", func(t *testing.T, h *fixture) {
			bad := AuthVerdict{Tried: true, Class: mail.Transient, Reason: mail.CommandRejected, Address: wrong.Address}
			h.probe(ann, "bad", bad)
			h.sleep(time.Minute)
			h.probe(ann, "bad", bad)
			h.wantHeld(ann, "bad", mail.CommandRejected, 35*time.Minute)
			if h.said("not classified") != 1 {
				t.Errorf("log %q, want it said once", h.lines)
			}
		}},
		{"a server that wants longer pauses gets them", func(_ *testing.T, h *fixture) {
			soon := AuthVerdict{Tried: true, Class: mail.Transient, Reason: mail.AuthTooSoon, Address: wrong.Address}
			h.probe(ann, "p", soon)
			h.wantAllowed(ann, "p") // once is left to the pool
			h.probe(ann, "p", soon)
			h.wantHeld(ann, "p", mail.AuthTooSoon, 35*time.Minute)
			h.sleep(40 * time.Minute)
			h.probe(ann, "p", right)
			h.probe(ann, "p", soon)
			h.probe(ann, "p", soon)
			h.wantHeld(ann, "p", mail.AuthTooSoon, 5*time.Minute)
		}},
		{"an answer in between ends the doubt", func(t *testing.T, h *fixture) {
			for range 3 {
				h.probe(ann, "good", hungUp)
				h.probe(ann, "good", later)
				h.sleep(40 * time.Minute)
			}
			if h.said("refused") != 0 {
				t.Errorf("log %q, want no refusal", h.lines)
			}
		}},
		{"a temporary failure holds nothing", func(_ *testing.T, h *fixture) {
			for range 20 {
				h.probe(ann, "good", later)
				h.wantAllowed(ann, "good")
			}
		}},
		{"strict: one try, then only a change", func(t *testing.T, h *fixture) {
			strict := change(func(c *mail.Connection) { c.Lockout = mail.LockoutStrict })
			h.probe(strict, "bad", hungUp)
			if h.said("until something changes") != 1 || h.said("given time") != 0 {
				t.Errorf("log %q, want no time at which it would be tried again", h.lines)
			}
			h.sleep(30 * 24 * time.Hour)
			if p := h.probe(strict, "bad", dead); p.Allowed || p.Hold.Reason != mail.Closed || !p.Hold.Until.IsZero() {
				t.Fatalf("allowed %v with hold %+v, want held without an end", p.Allowed, p.Hold)
			}
			h.wantAllowed(strict, "good")
		}},
		{"off: no hold, and none for others either", func(_ *testing.T, h *fixture) {
			off := change(func(c *mail.Connection) { c.Lockout = mail.LockoutOff })
			for range 50 {
				h.probe(off, "bad", wrong)
				h.wantAllowed(off, "bad")
			}
			h.wantAllowed(user("bob", "mail.example", "bob@example.org"), "unproven")
		}},
		{"a hand can release once in ten minutes", func(t *testing.T, h *fixture) {
			if err := h.Release(ann); !errors.Is(err, ErrNotHeld) {
				t.Errorf("release of nothing: %v, want %v", err, ErrNotHeld)
			}
			h.probe(ann, "bad", right)
			h.probe(ann, "bad", wrong)
			if err := h.Release(ann); err != nil {
				t.Fatal(err)
			}
			h.wantAllowed(ann, "bad")
			h.probe(ann, "bad", wrong)
			h.wantHeld(ann, "bad", mail.AuthRejected, 35*time.Minute) // no quick confirmation
			if err := h.Release(ann); !errors.Is(err, ErrReleasedLately) {
				t.Errorf("second release: %v, want %v", err, ErrReleasedLately)
			}
			h.sleep(10 * time.Minute)
			if err := h.Release(ann); err != nil {
				t.Error(err)
			}
			if h.said("released by hand") != 2 {
				t.Errorf("log %q, want both releases", h.lines)
			}
		}},
		{"a held server is lastHeldProbe at every five minutes", func(t *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			looks := 0
			for range 30 {
				h.sleep(time.Minute)
				if h.probe(ann, "bad", dead).Connect {
					looks++
				}
			}
			if looks != 6 {
				t.Errorf("%d looks in half an hour, want 6", looks)
			}
			h.sleep(time.Minute)
			if h.probe(change(func(c *mail.Connection) { c.HeldProbe = false }), "bad", dead).Connect {
				t.Error("lastHeldProbe although held_probe is off")
			}
		}},
		{"a clock set back ten years does not hold for ten years", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.sleep(-10 * 365 * 24 * time.Hour)
			h.wantHeld(ann, "bad", mail.AuthRejected, maxWait)
		}},
		{"Done counts once", func(_ *testing.T, h *fixture) {
			p := h.probe(ann, "bad", wrong)
			h.sleep(time.Hour)
			p.Done(wrong)
			h.wantAllowed(ann, "bad")
		}},
		{"what nobody used for a month is forgotten", func(t *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.sleep(forgetAfter + time.Hour)
			h.probe(user("bob", "bob.example", "bob"), "good", right)
			if len(h.accounts) != 1 || len(h.servers) != 0 {
				t.Errorf("%d accounts and %d server names left, want bob's, and none: they are quiet", len(h.accounts), len(h.servers))
			}
		}},
		{"no other way to log in gets more attempts", func(t *testing.T, h *fixture) {
			ways := []mail.AuthMethod{mail.AuthAuto, mail.AuthLogin, mail.AuthPlain, mail.AuthCRAMMD5, mail.AuthSCRAMSHA1, mail.AuthSCRAMSHA256, mail.AuthSASLLogin, mail.AuthAPOP}
			tries := 0
			for i, way := range ways {
				c := change(func(c *mail.Connection) { c.Auth = way })
				if h.probe(c, fmt.Sprint("bad", i), wrong).Allowed {
					tries++
				}
				h.sleep(time.Minute)
			}
			if tries != 2 {
				t.Errorf("%d attempts with 8 mechanisms and passwords in 8 minutes, want 2", tries)
			}
		}},
		{"a verdict on a protocol holds this protocol alone", func(_ *testing.T, h *fixture) {
			for i, reason := range []mail.Reason{mail.AuthDisabled, mail.AuthMethodForbidden, mail.NotAuthorized} {
				ann := user("ann", "mail.example", fmt.Sprint("ann", i))
				pop := *ann
				pop.Protocol = mail.POP3
				h.probe(&pop, "p", AuthVerdict{Tried: true, Class: mail.Definitive, Reason: reason, Address: wrong.Address})
				h.wantHeld(&pop, "p", reason, 35*time.Minute)
				h.wantAllowed(ann, "p")
				h.sleep(time.Hour)
			}
		}},
		{"a wrong shared mailbox is another account", func(_ *testing.T, h *fixture) {
			alias := change(func(c *mail.Connection) {
				c.SharedMailbox, c.SharedMailboxAccess, c.LoginNameFormat = "helpdesk", mail.SharedLoginName, "{username}\\{shared_mailbox}"
			})
			h.probe(alias, "p", wrong)
			h.wantHeld(alias, "p", mail.AuthRejected, 35*time.Minute)
			h.wantAllowed(ann, "p")
		}},
		{"the second connection that is refused holds the third", func(_ *testing.T, h *fixture) {
			conns := []*mail.Connection{ann}
			for _, host := range []string{"two.example", "three.example"} {
				conns = append(conns, change(func(c *mail.Connection) { c.Name, c.Host = host, host }))
			}
			for _, c := range conns {
				h.probe(c, "p", right)
			}
			h.sleep(time.Minute)
			h.probe(conns[0], "p", wrong)
			h.sleep(time.Second)
			h.probe(conns[1], "p", wrong)
			h.wantHeld(conns[2], "p", mail.AuthHeld, 35*time.Minute)
		}},
		{"removing the refused connection ends what it caused", func(_ *testing.T, h *fixture) {
			pop := change(func(c *mail.Connection) { c.Protocol = mail.POP3 })
			h.SetConnections([]*mail.Connection{ann, pop})
			h.probe(pop, "p", wrong)
			h.wantHeld(ann, "p", mail.AuthHeld, 35*time.Minute)
			h.SetConnections([]*mail.Connection{ann})
			h.wantAllowed(ann, "p")
		}},
		{"an account remembers few secrets", func(t *testing.T, h *fixture) {
			for i := range 100 {
				h.sleep(time.Hour)
				h.probe(ann, fmt.Sprint(i), right)
			}
			if n := len(h.accounts[h.identify(ann).account].Secrets); n != maxSecrets {
				t.Errorf("%d secrets remembered, want %d", n, maxSecrets)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, newFixture(t, "")) })
	}
}

func TestGuardDestination(t *testing.T) {
	var users []*mail.Connection
	for i := range 20 {
		users = append(users, user(fmt.Sprint("u", i), "mail.example", fmt.Sprint("u", i)))
	}
	proven := func(h *fixture) {
		for _, c := range users {
			h.probe(c, "p", right)
		}
	}
	tests := []struct {
		name string
		run  func(t *testing.T, h *fixture)
	}{
		{"after two refused newcomers the others wait for the window", func(_ *testing.T, h *fixture) {
			h.probe(users[0], "p", right)
			h.probe(users[1], "p", wrong)
			h.sleep(4 * time.Minute)
			h.probe(users[2], "p", wrong)
			h.wantHeld(users[3], "p", mail.AuthHeld, 6*time.Minute)
			h.wantAllowed(users[0], "p") // it is known to work
			h.sleep(6 * time.Minute)
			h.wantAllowed(users[3], "p")
		}},
		{"two that worked open the circuit breaker, with one half-open probe", func(t *testing.T, h *fixture) {
			proven(h)
			h.probe(users[0], "p", wrong)
			h.probe(users[1], "p", wrong)
			h.sleep(time.Second)
			if !h.probe(users[2], "p", wrong).Allowed {
				t.Fatal("the first half-open probe must wait although 3 refusals are no ban")
			}
			for _, c := range users[3:] {
				if p := h.probe(c, "p", wrong); p.Allowed || p.Hold.Reason != mail.AuthHeld || p.Hold.Until.Sub(h.at) > breakerWindow {
					t.Fatalf("%s: allowed %v with %+v, want held until the next half-open probe", c.Name, p.Allowed, p.Hold)
				}
			}
			h.sleep(10 * time.Minute)
			if !h.probe(users[3], "p", right).Allowed {
				t.Fatal("no second half-open probe after ten minutes")
			}
			for _, c := range users[4:] {
				h.wantAllowed(c, "p")
			}
			if h.said("mass failure:") != 1 || h.said("mass failure over") != 1 {
				t.Errorf("log %q, want begin and end once", h.lines)
			}
		}},
		{"a half-open probe that never got to the login makes room", func(t *testing.T, h *fixture) {
			proven(h)
			h.probe(users[0], "p", wrong)
			h.probe(users[1], "p", wrong)
			for range 5 {
				if p := h.Enter(context.Background(), users[2], mail.NewSecret("p")); !p.Allowed {
					t.Fatalf("held: %+v", p.Hold)
				} else {
					p.Done(dead)
				}
			}
		}},
		{"an address in common makes one server of two hosts", func(_ *testing.T, h *fixture) {
			h.probe(users[0], "p", right)
			alias := user("alias", "imap.example", "new")
			h.probe(alias, "p", AuthVerdict{Tried: true, Accepted: true, Address: "192.0.2.1:143"})
			h.probe(users[1], "p", wrong)
			h.probe(users[2], "p", wrong)
			h.wantHeld(user("x", "imap.example", "x"), "p", mail.AuthHeld, breakerWindow)
			h.wantHeld(user("y", "192.0.2.1", "y"), "p", mail.AuthHeld, breakerWindow)
			h.wantAllowed(user("z", "192.0.2.2", "z"), "p")
		}},
		{"two hosts with refusals each turn out to be one", func(_ *testing.T, h *fixture) {
			there := wrong
			there.Address = "192.0.2.9:993"
			h.probe(users[0], "p", wrong)
			h.probe(user("a", "other.example", "a"), "p", there)
			h.wantAllowed(user("b", "other.example", "b"), "p")
			h.probe(user("c", "other.example", "c"), "p", right) // at 192.0.2.1
			h.wantHeld(users[1], "p", mail.AuthHeld, breakerWindow)
			h.wantHeld(user("d", "192.0.2.9", "d"), "p", mail.AuthHeld, breakerWindow)
		}},
		{"a login refused by the guard at the last moment", func(t *testing.T, h *fixture) {
			proven(h)
			late := h.Enter(context.Background(), users[5], mail.NewSecret("p"))
			h.sleep(time.Second) // still dialling: the others do not wait for it
			for _, c := range users[:3] {
				h.probe(c, "p", wrong)
			}
			if late.Login(context.Background()) || late.Hold.Reason != mail.AuthHeld {
				t.Errorf("login goes on with hold %+v, want withheld: the server refuses everybody", late.Hold)
			}
			late.Done(dead)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, newFixture(t, "")) })
	}
}

// TestGuardTurns runs in real order and virtual time: several probes at once.
func TestGuardTurns(t *testing.T) {
	type entry struct {
		pass *Permit
		at   time.Duration // after the beginning
	}
	enter := func(g *Guard, c *mail.Connection) <-chan entry {
		begin, entered := time.Now(), make(chan entry, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
			defer cancel()
			p := g.Enter(context.Background(), c, mail.NewSecret("p"))
			if p.Allowed {
				p.Login(ctx)
			}
			entered <- entry{p, time.Since(begin)}
		}()
		synctest.Wait()
		return entered
	}
	imap, pop := user("imap", "mail.example", "ann@example.org"), user("pop", "pop.example", "ann@example.org")
	bob := user("bob", "mail.example", "bob@example.org")
	tests := []struct {
		name string
		run  func(t *testing.T, g *Guard)
	}{
		{"two connections with one wrong password make one attempt", func(t *testing.T, g *Guard) {
			first, second := enter(g, imap), enter(g, pop)
			one := <-first
			time.Sleep(2 * time.Second)
			one.pass.Done(wrong)
			if two := <-second; two.pass.Allowed || two.pass.Hold.Reason != mail.AuthHeld {
				t.Errorf("the second: allowed %v with %+v, want the hold of the first", two.pass.Allowed, two.pass.Hold)
			}
		}},
		{"newcomers to one server go one at a time", func(t *testing.T, g *Guard) {
			first, second := enter(g, imap), enter(g, bob)
			time.Sleep(time.Second)
			(<-first).pass.Done(right)
			if two := <-second; !two.pass.Allowed || two.at != time.Second {
				t.Errorf("the second: allowed %v after %v, want it after 1s", two.pass.Allowed, two.at)
			}
		}},
		{"until the server has accepted three", func(t *testing.T, g *Guard) {
			for i := range 3 {
				(<-enter(g, user("u", "mail.example", fmt.Sprint("u", i)))).pass.Done(right)
			}
			first, second, third := <-enter(g, imap), <-enter(g, bob), enter(g, pop)
			if !first.pass.Allowed || !second.pass.Allowed || second.at != 0 {
				t.Errorf("the second: allowed %v after %v, want both newcomers at once", second.pass.Allowed, second.at)
			}
			time.Sleep(time.Second)
			first.pass.Done(right)
			if e := <-third; e.at != time.Second {
				t.Errorf("the third: after %v, want it after the first: it is the same account", e.at)
			}
		}},
		{"known ones do not wait", func(t *testing.T, g *Guard) {
			for _, c := range []*mail.Connection{imap, bob} {
				(<-enter(g, c)).pass.Done(right)
			}
			first, second := <-enter(g, imap), <-enter(g, bob)
			if !first.pass.Allowed || !second.pass.Allowed || second.at != 0 {
				t.Errorf("second allowed %v after %v, want both at once", second.pass.Allowed, second.at)
			}
		}},
		{"a dead server keeps no turn", func(t *testing.T, g *Guard) {
			first := g.Enter(context.Background(), imap, mail.NewSecret("p"))
			time.Sleep(time.Second) // it dials and dials
			if two := <-enter(g, pop); !two.pass.Allowed || two.at != 0 {
				t.Errorf("the second: allowed %v after %v, want it at once", two.pass.Allowed, two.at)
			}
			first.Done(dead)
		}},
		{"a login under way keeps it, the waiter goes on without", func(t *testing.T, g *Guard) {
			<-enter(g, imap)
			two := <-enter(g, pop)
			if two.pass.Allowed || !two.pass.Connect || two.pass.Hold.Reason != mail.AuthHeld || two.at != maxQueueWait {
				t.Errorf("the second: %+v after %v, want it held for now after %v, but connecting", two.pass, two.at, maxQueueWait)
			}
		}},
		{"maxQueueWait is a third of a short timeout", func(t *testing.T, g *Guard) {
			<-enter(g, imap)
			short := *pop
			short.Timeout = 3 * time.Second
			if two := <-enter(g, &short); two.pass.Allowed || two.at != time.Second {
				t.Errorf("the second: allowed %v after %v, want it to go on after 1s", two.pass.Allowed, two.at)
			}
		}},
		{"known ones are four at a time, and more only if the server is slow", func(t *testing.T, g *Guard) {
			var conns []*mail.Connection
			for i := range 6 {
				conns = append(conns, user(fmt.Sprint("u", i), "mail.example", fmt.Sprint("u", i)))
				(<-enter(g, conns[i])).pass.Done(right)
			}
			var first *Permit
			for _, c := range conns[:4] {
				e := <-enter(g, c)
				if first = e.pass; e.at != 0 || !first.Allowed {
					t.Fatalf("%s: waited %v, want 4 at once", c.Name, e.at)
				}
			}
			fifth := enter(g, conns[4])
			time.Sleep(time.Second)
			first.Done(right)
			if e := <-fifth; e.at != time.Second || !e.pass.Allowed {
				t.Errorf("the fifth: after %v, want it when there is room", e.at)
			}
			if e := <-enter(g, conns[5]); e.at != maxQueueWait || !e.pass.Allowed {
				t.Errorf("the sixth: allowed %v after %v, want it after %v", e.pass.Allowed, e.at, maxQueueWait)
			}
		}},
		{"after a refusal even known ones go one at a time, for three logins", func(t *testing.T, g *Guard) {
			conns := []*mail.Connection{imap, bob}
			for i := range 4 {
				conns = append(conns, user(fmt.Sprint("u", i), "mail.example", fmt.Sprint("u", i)))
			}
			for _, c := range conns {
				(<-enter(g, c)).pass.Done(right)
			}
			(<-enter(g, imap)).pass.Done(wrong)
			time.Sleep(time.Millisecond)
			for i := range 3 {
				first, second := <-enter(g, conns[1+i]), enter(g, conns[2+i])
				time.Sleep(time.Second)
				first.pass.Done(right)
				if two := <-second; two.at != time.Second {
					t.Fatalf("after %d logins the next one waited %v, want 1s", i, two.at)
				} else {
					two.pass.Done(dead)
				}
			}
			first, second := <-enter(g, conns[1]), <-enter(g, conns[2])
			if second.at != 0 || !first.pass.Allowed {
				t.Errorf("after three good logins the next one waited %v, want 0", second.at)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, err := New(Options{})
				if err != nil {
					t.Fatal(err)
				}
				test.run(t, g)
			})
		})
	}
}

func TestNilGuardLetsEverybodyThrough(t *testing.T) {
	var g *Guard
	p := g.Enter(context.Background(), user("a", "a.example", "a"), mail.NewSecret("p"))
	if !p.Allowed || !p.Connect || !p.Login(context.Background()) {
		t.Errorf("pass %+v, want allowed", p)
	}
	p.Done(wrong)
	if err := g.Release(user("a", "a.example", "a")); !errors.Is(err, ErrNotHeld) {
		t.Errorf("release: %v, want %v", err, ErrNotHeld)
	}
	if !g.Unkept().IsZero() || g.Close() != nil {
		t.Error("a nil guard is not kept, or cannot be closed")
	}
}

func TestGuardHashesAreUnambiguous(t *testing.T) {
	h := newFixture(t, "")
	at := func(host string) keyedHash { return h.serverHash(user("u", host, "u")) }
	tunnel := user("u", "localhost", "u")
	tunnel.Port = 1143
	names := []keyedHash{
		h.accountHash("", "a@b"), h.accountHash("", "a"), h.accountHash("y", "a"), h.accountHash("", `a\b`),
		at("x"), at("y"), at("192.0.2.1"), at("2001:db8::1"),
		at("127.0.0.1"), h.serverHash(tunnel),
	}
	slices.SortFunc(names, func(x, y keyedHash) int { return slices.Compare(x[:], y[:]) })
	if len(slices.Compact(names)) != 10 {
		t.Error("two names have one hash")
	}
	if at("::ffff:192.0.2.1") != at("192.0.2.1") || at("X.") != at("x") || at("localhost") != at("::1") || h.accountHash("", "A@B") != h.accountHash("B", "a@b") {
		t.Error("one name has two hashes")
	}
}
