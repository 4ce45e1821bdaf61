package guard

import (
	"testing"
	"time"

	"mailprobe/mail"
)

// Answers that may be refusals delay the next login.
func TestDoubtfulAnswersSlowTheRetry(t *testing.T) {
	ann := user("ann", "mail.example", "ann@example.org")
	tellStories(t, []story{
		{"a server that hangs up after the password counts at the second time", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", hungUp)
			h.wantAllowed(ann, "bad")
			h.sleep(time.Minute)
			h.probe(ann, "bad", hungUp)
			h.wantHeld(ann, "bad", mail.Closed, 35*time.Minute)
		}},
		{"a login that works is tried again at once where the server hung up, beside others that work, too", func(_ *testing.T, h *fixture) {
			pop := altered(ann, func(c *mail.Connection) { c.Protocol = mail.POP3 })
			h.probe(ann, "good", right)
			h.probe(pop, "good", right)
			h.sleep(time.Minute)
			h.probe(ann, "good", hungUp)
			h.sleep(time.Minute)
			h.wantAllowed(ann, "good")
			h.probe(ann, "good", right)
			h.wantAllowed(ann, "good")
		}},
		{"a server that falls silent after the password counts at the second time", func(_ *testing.T, h *fixture) {
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
			if h.logged("refused") != 0 {
				t.Errorf("log %q, want no refusal", h.lines)
			}
		}},
		{"silence holds no other connection of the account", func(_ *testing.T, h *fixture) {
			pop := altered(ann, func(c *mail.Connection) { c.Protocol = mail.POP3 })
			h.probe(ann, "good", right)
			h.probe(pop, "good", right)
			h.probe(ann, "good", tooSlow)
			h.probe(ann, "good", tooSlow)
			h.wantAllowed(pop, "good")
		}},
		{"an answer that no rule knows counts at the second time, and is logged once", func(t *testing.T, h *fixture) {
			bad := AuthVerdict{Tried: true, Class: mail.Transient, Reason: mail.CommandRejected, Address: wrong.Address}
			h.probe(ann, "bad", bad)
			h.sleep(time.Minute)
			h.probe(ann, "bad", bad)
			h.wantHeld(ann, "bad", mail.CommandRejected, 35*time.Minute)
			if h.logged("not classified") != 1 {
				t.Errorf("log %q, want it said once", h.lines)
			}
		}},
		{"a server that asks for longer pauses gets them from the second time", func(_ *testing.T, h *fixture) {
			soon := AuthVerdict{Tried: true, Class: mail.Transient, Reason: mail.AuthTooSoon, Address: wrong.Address}
			h.probe(ann, "p", soon)
			h.wantAllowed(ann, "p") // the first time, only the pool waits longer
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
			if h.logged("refused") != 0 {
				t.Errorf("log %q, want no refusal", h.lines)
			}
		}},
		{"a temporary failure holds nothing", func(_ *testing.T, h *fixture) {
			for range 20 {
				h.probe(ann, "good", later)
				h.wantAllowed(ann, "good")
			}
		}},
	})
}
