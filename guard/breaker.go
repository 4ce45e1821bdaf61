package guard

// This file is the circuit breaker of a server. fail2ban and its like count
// refusals per client address, not per account: 5 in 10 minutes by default.

import (
	"slices"
	"time"
)

const (
	breakerWindow = 10 * time.Minute // in which refusals are counted, as fail2ban does

	// Refusals within the window. Whatever their order they stay below fail2ban's 5.
	unknownBudget   = 2 // of secrets not known to work; then no more such logins
	unknownTotal    = 3 // lines of any, likewise
	knownGoodBudget = 2 // accounts known to work; then the breaker opens
	quickProbeUpTo  = 3 // lines up to which a half-open probe need not wait for a window
	heldProbesUpTo  = 1 // refusals; then no held probe either, for a ban list may count it

	// Logins that must be accepted before they may overlap again.
	rampUpAfterRefusal = 3
	rampUpAfterOpen    = 10
)

// refusalMark is one refusal as a server remembers it.
type refusalMark struct {
	At      time.Time `json:"at"`
	Known   bool      `json:"known,omitzero"` // the secret was known to work
	Lines   int       `json:"lines,omitzero"` // in the server's log; 0: 1
	Account keyedHash `json:"account,omitzero"`
	Cause   keyedHash `json:"cause,omitzero"` // the refused connection
}

// linesIn returns the number of lines that refusals left in the server's log.
func linesIn(marks []refusalMark) (n int) {
	for _, m := range marks {
		n += max(1, m.Lines)
	}
	return n
}

// hold returns until when logins with a secret are withheld here; zero: not now.
// probe reports whether this login would be the half-open probe.
func (d *server) hold(account keyedHash, known bool, now time.Time) (until time.Time, probe bool) {
	d.expire(now)
	if !d.Open {
		if known {
			return time.Time{}, false
		}
		return holdForUnknown(d.Refusals), false
	}
	until = d.NextProbe
	if account == d.lastProbe {
		until = until.Add(breakerWindow) // the others first
	}
	if now.Before(until) {
		return until, false
	}
	return time.Time{}, true
}

// expire drops refusals that are older than the window, or in the future because the
// clock was set back.
func (d *server) expire(now time.Time) {
	if len(d.Refusals) > 0 {
		d.Refusals = slices.DeleteFunc(d.Refusals, func(m refusalMark) bool {
			return now.Sub(m.At) >= breakerWindow || m.At.After(now)
		})
	}
	if latest := now.Add(breakerWindow); d.NextProbe.After(latest) {
		d.NextProbe = latest
	}
}

// holdForUnknown returns when a secret that is not known to work may be tried again,
// because enough of the refusals are then older than the window.
func holdForUnknown(marks []refusalMark) (until time.Time) {
	unknown := func(marks []refusalMark) (n int) {
		for _, m := range marks {
			if !m.Known {
				n++
			}
		}
		return n
	}
	for ; unknown(marks) >= unknownBudget || linesIn(marks) >= unknownTotal; marks = marks[1:] {
		until = marks[0].At.Add(breakerWindow)
	}
	return until
}

// knownAccounts counts the accounts that were known to work and were refused.
func knownAccounts(marks []refusalMark) int {
	accounts := make(map[keyedHash]bool, len(marks))
	for _, m := range marks {
		if m.Known {
			accounts[m.Account] = true
		}
	}
	return len(accounts)
}

// refused counts a refusal. It reports whether the breaker opens with it: several
// accounts that used to work are refused, or one more line could mean a ban.
func (d *server) refused(m refusalMark, limit int, now time.Time) (opens bool) {
	d.expire(now)
	d.Refusals = append(d.Refusals, m)
	d.rampUp, d.accepts = max(d.rampUp, rampUpAfterRefusal), 0
	if !d.Open && m.Known && (knownAccounts(d.Refusals) >= knownGoodBudget || linesIn(d.Refusals) >= limit) {
		opens, d.Open, d.NextProbe = true, true, now
	}
	if d.Open && linesIn(d.Refusals) > quickProbeUpTo {
		d.NextProbe = now.Add(breakerWindow)
	}
	return opens
}

// accepted counts an accepted login and reports whether it closes the breaker; the
// other logins then follow one at a time. A login that began before the last refusal
// does not count.
func (d *server) accepted(began time.Time) (closes bool) {
	if n := len(d.Refusals); n > 0 && !began.After(d.Refusals[n-1].At) {
		return false
	}
	d.accepts++
	if d.Open {
		d.Open, d.rampUp = false, rampUpAfterOpen
		return true
	}
	d.rampUp = max(0, d.rampUp-1)
	return false
}
