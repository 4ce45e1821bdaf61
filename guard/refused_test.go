package guard

import (
	"errors"
	"testing"
	"time"

	"mailprobe/mail"
)

// A refused password is tried again after growing times.
func TestRefusedPasswordIsHeld(t *testing.T) {
	ann := user("ann", "mail.example", "ann@example.org")
	tellStories(t, []story{
		{"a wrong password is withheld longer each time", func(_ *testing.T, h *fixture) {
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
			slow := altered(ann, func(c *mail.Connection) { c.Interval = time.Hour })
			h.probe(slow, "good", right)
			h.sleep(time.Hour)
			h.probe(slow, "good", wrong)
			h.wantHeld(slow, "good", mail.AuthRejected, time.Hour)
		}},
		{"a password that worked more than a week ago is not known to work", func(_ *testing.T, h *fixture) {
			h.probe(ann, "good", right)
			h.sleep(knownGoodFor)
			h.probe(ann, "good", wrong)
			h.wantHeld(ann, "good", mail.AuthRejected, 35*time.Minute)
		}},
		{"a success ends the streak", func(t *testing.T, h *fixture) {
			h.probe(ann, "good", wrong)
			h.sleep(40 * time.Minute)
			h.probe(ann, "good", right)
			h.wantAllowed(ann, "good")
			if h.logged("refused") != 1 || h.logged("accepted again") != 1 {
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
		{"a third wrong password waits for the account's budget", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.sleep(20 * time.Minute)
			h.probe(ann, "worse", wrong)
			h.wantHeld(ann, "worst", mail.AuthHeld, 11*time.Minute)
			h.sleep(11 * time.Minute)
			h.wantAllowed(ann, "worst")
		}},
	})
}

// Events while a login is withheld, and what ends the hold before its time.
func TestHeldLogin(t *testing.T) {
	ann := user("ann", "mail.example", "ann@example.org")
	tellStories(t, []story{
		{"a hold can be released by hand once in ten minutes", func(t *testing.T, h *fixture) {
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
			if h.logged("released by hand") != 2 {
				t.Errorf("log %q, want both releases", h.lines)
			}
		}},
		{"the server of a held login is probed without a login every five minutes", func(t *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			connects := 0
			for range 30 {
				h.sleep(time.Minute)
				if h.probe(ann, "bad", dead).Connect {
					connects++
				}
			}
			if connects != 6 {
				t.Errorf("%d probes without a login in half an hour, want 6", connects)
			}
			h.sleep(time.Minute)
			if h.probe(altered(ann, func(c *mail.Connection) { c.HeldProbe = false }), "bad", dead).Connect {
				t.Error("probed without a login although held_probe is off")
			}
		}},
		{"a clock set back ten years does not hold for ten years", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.sleep(-10 * 365 * 24 * time.Hour)
			h.wantHeld(ann, "bad", mail.AuthRejected, maxWait)
		}},
		{"a verdict counts once", func(_ *testing.T, h *fixture) {
			p := h.probe(ann, "bad", wrong)
			h.sleep(time.Hour)
			p.Done(wrong)
			h.wantAllowed(ann, "bad")
		}},
	})
}

// The values of the field lockout that are not normal.
func TestLockoutModes(t *testing.T) {
	ann := user("ann", "mail.example", "ann@example.org")
	tellStories(t, []story{
		{"strict: one try, then only a change", func(t *testing.T, h *fixture) {
			strict := altered(ann, func(c *mail.Connection) { c.Lockout = mail.LockoutStrict })
			h.probe(strict, "bad", hungUp)
			if h.logged("until something changes") != 1 || h.logged("given time") != 0 {
				t.Errorf("log %q, want no time at which it would be tried again", h.lines)
			}
			h.sleep(30 * 24 * time.Hour)
			if p := h.probe(strict, "bad", dead); p.Allowed || p.Hold.Reason != mail.Closed || !p.Hold.Until.IsZero() {
				t.Fatalf("allowed %v with hold %+v, want held without an end", p.Allowed, p.Hold)
			}
			h.wantAllowed(strict, "good")
		}},
		{"off: refusals hold neither the connection nor others", func(_ *testing.T, h *fixture) {
			off := altered(ann, func(c *mail.Connection) { c.Lockout = mail.LockoutOff })
			for range 50 {
				h.probe(off, "bad", wrong)
				h.wantAllowed(off, "bad")
			}
			h.wantAllowed(user("bob", "mail.example", "bob@example.org"), "unproven")
		}},
	})
}
