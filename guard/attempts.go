package guard

// This file implements the account's budget: how many attempts an account gets, with
// any secret, mechanism, protocol and host. An attempt counts before the secret is sent.
// It no longer counts if the server accepts the login, or says that its refusal is
// temporary.

import (
	"slices"
	"time"

	"mailprobe/mail"
)

const (
	halfHour = 31 * time.Minute // of the budget: half an hour, and a minute for clocks that differ
	fullDay  = 24*time.Hour + time.Minute

	attemptsPerHalfHour = 2 // one less than the lowest lockout threshold in use, 3
	attemptsPerDay      = 4 // one less than the usual threshold, 5

	// Where the account is known to work with another secret or at another server,
	// one attempt of each budget is reserved for the login that works: others must not
	// withhold it, and it may itself be refused one day.
	othersPerHalfHour = 1
	othersPerDay      = 3

	answerGrace = 10 * time.Second // after the probe's timeout; then an attempt has no answer
)

// attempt is one login of an account that was refused, may have been, or has no
// answer yet.
type attempt struct {
	ID     uint64    `json:"id"`
	At     time.Time `json:"at"`              // when it was sent; once answered, when it was answered
	Open   bool      `json:"open,omitzero"`   // no answer yet
	Until  time.Time `json:"until,omitzero"`  // from then on no answer is expected
	Tag    uint16    `json:"tag"`             // of the secret
	Target keyedHash `json:"target,omitzero"` // where it was tried
	Server keyedHash `json:"server,omitzero"` // likewise
	Cause  keyedHash `json:"cause,omitzero"`  // the connection

	CalledOff bool `json:"called_off,omitzero"` // mailprobe closed the connection before the answer
	Refused   bool `json:"refused,omitzero"`    // by the server's words

	live bool // of this process, which will report the answer
}

// spent is the used part of a budget.
type spent struct {
	open     int         // not answered yet
	openHere bool        // one of them at the same server
	foreign  bool        // one of them by another process
	times    []time.Time // of the answered ones, oldest first
	last     attempt     // newest of the answered ones; zero: none
}

// budget is how many attempts an account gets.
type budget struct{ perHalfHour, perDay int }

// wholeBudget is for a login that is known to work, and for accounts of which none is.
var wholeBudget = budget{attemptsPerHalfHour, attemptsPerDay}

// spentSince counts the attempts after a time; zero: all of the last day.
func (a *account) spentSince(since time.Time, server keyedHash) (u spent) {
	for i := range a.Attempts {
		t := &a.Attempts[i]
		switch {
		case t.Open:
			u.open++
			u.openHere = u.openHere || t.Server == server
			u.foreign = u.foreign || !t.live
		case !t.At.Before(since):
			u.times = append(u.times, t.At)
			u.last = *t
		}
	}
	return u
}

// within is the number of attempts in a window that ends now. One that is in the future
// was made before the clock was set back, and counts.
func (u *spent) within(window time.Duration, now time.Time) (n int) {
	for _, at := range u.times {
		if now.Sub(at) < window {
			n++
		}
	}
	return n
}

// roomAt returns when the budget has room for one more attempt. It assumes that a number
// of others come before it, that each is made as soon as there is room, and that all are
// refused.
func (u *spent) roomAt(b budget, ahead int, now time.Time) time.Time {
	times, at := slices.Clone(u.times[max(0, len(u.times)-b.perDay):]), now
	for daily := 0; ; ahead-- {
		n := len(times)
		if n >= b.perHalfHour {
			at = laterOf(at, times[n-b.perHalfHour].Add(halfHour))
		}
		if n >= b.perDay {
			next := times[0].Add(fullDay)
			at, daily = laterOf(at, next), daily+1
			if at.After(next) {
				daily = 0
			}
			times = times[1:]
		}
		if ahead <= 0 {
			return at
		}
		times = append(times, at)
		if daily >= b.perDay { // each is a day after the one so many before: so are all later ones
			days := time.Duration((ahead - 1) / b.perDay)
			for i := range times {
				times[i] = times[i].Add(days * fullDay)
			}
			at, ahead = at.Add(days*fullDay), ahead-int(days)*b.perDay
		}
	}
}

func laterOf(x, y time.Time) time.Time {
	if y.After(x) {
		return y
	}
	return x
}

// room reports whether the account has an attempt left for a secret at a target, after
// those of the connections that come first (ahead). If not, either busy is true, because
// another login must be answered first, or until is the time when the budget has room.
// Logins that are known to work may overlap, but not at the same server: if it restarts,
// that would look like two refusals.
func (a *account) room(s *secretState, t *targetState, server keyedHash, ahead int, now time.Time) (until time.Time, busy bool, u spent) {
	b, since, known := a.budgetOf(s, t, now)
	u = a.spentSince(since, server)
	if u.open > 0 && !known || u.openHere {
		return time.Time{}, true, u
	}
	if u.open == 0 && a.oneMore {
		return time.Time{}, false, u
	}
	if at := u.roomAt(b, ahead, now); at.After(now) {
		return at, false, u
	}
	busy = u.open > 0 && (u.within(halfHour, now)+u.open >= b.perHalfHour || u.within(fullDay, now)+u.open >= b.perDay)
	return time.Time{}, busy, u
}

// budgetOf returns the budget of a secret at a target, and since when attempts count
// against it. For a login that is known to work, those since the secret was last accepted
// anywhere count, because earlier refusals say nothing about it. For every other login,
// all attempts of the day count.
func (a *account) budgetOf(s *secretState, t *targetState, now time.Time) (b budget, since time.Time, known bool) {
	switch {
	case s.works(t, now):
		return wholeBudget, s.accepted(), true
	case !s.knownGood(t, now) && a.worksElsewhere(s, t, now): // one that works but hung up once is tried again soon
		return budget{othersPerHalfHour, othersPerDay}, time.Time{}, false
	}
	return wholeBudget, time.Time{}, false
}

// worksElsewhere reports whether the account is known to work in another way, or was
// until a single refusal, which is not confirmed yet.
func (a *account) worksElsewhere(s *secretState, t *targetState, now time.Time) bool {
	for i := range a.Secrets {
		other := &a.Secrets[i]
		for j := range other.Targets {
			if o := &other.Targets[j]; (other.Tag != s.Tag || o.ID != t.ID) && (other.knownGood(o, now) || o.isUnconfirmed(now)) {
				return true
			}
		}
	}
	return false
}

// open adds an attempt whose secret is about to be sent.
func (a *account) open(at attempt) {
	at.Open = true
	a.Attempts = append(a.Attempts, at)
}

// answered closes an attempt: if it counts, then from the time of the answer on;
// otherwise it is dropped. An unknown attempt that counts is added, because the answer to
// another process's attempt may be read late.
func (a *account) answered(id uint64, counts bool, e event) {
	i := slices.IndexFunc(a.Attempts, func(t attempt) bool { return t.ID == id })
	switch {
	case i < 0 && !counts:
		return
	case i < 0:
		a.Attempts = append(a.Attempts, attempt{ID: id, At: e.At, Tag: e.Tag, Target: e.Target, Server: e.Host, Cause: e.Cause,
			CalledOff: e.Result == calledOff, Refused: e.Result == refused})
	case !counts && len(a.Attempts) == 1:
		a.Attempts = nil // nearly every account has none between two probes
	case !counts:
		a.Attempts = slices.Delete(a.Attempts, i, i+1)
	default:
		a.Attempts[i].At, a.Attempts[i].Open, a.Attempts[i].live = e.At, false, false
		a.Attempts[i].CalledOff, a.Attempts[i].Refused = e.Result == calledOff, e.Result == refused
	}
	slices.SortStableFunc(a.Attempts, func(x, y attempt) int { return x.At.Compare(y.At) })
}

// excuse drops attempts that were cancelled, once the same secret was accepted at the
// same target: the server's own count begins at zero again.
func (a *account) excuse(tag uint16, target keyedHash) {
	a.Attempts = slices.DeleteFunc(a.Attempts, func(t attempt) bool { return t.CalledOff && t.Tag == tag && t.Target == target })
}

// take removes an attempt and returns it; nil: there is none.
func (a *account) take(id uint64) *attempt {
	i := slices.IndexFunc(a.Attempts, func(t attempt) bool { return t.ID == id })
	if i < 0 {
		return nil
	}
	taken := a.Attempts[i]
	a.Attempts = slices.Delete(a.Attempts, i, i+1)
	return &taken
}

// settle drops attempts that are a day old. Attempts whose process ended before the
// answer count as possible refusals.
func (a *account) settle(now time.Time) {
	for i := range a.Attempts {
		t := &a.Attempts[i]
		if !t.Open || t.live || now.Before(t.Until) {
			continue
		}
		t.Open = false
		if s := a.find(t.Tag); s != nil {
			s.target(t.Target).suspect(t.At, mail.Timeout, t.Cause)
		}
	}
	a.Attempts = slices.DeleteFunc(a.Attempts, func(t attempt) bool { return !t.Open && now.Sub(t.At) >= fullDay })
	if n := len(a.Attempts) - maxAttempts; n > 0 { // lockout off, or a state file that somebody edited
		a.Attempts = slices.Delete(a.Attempts, 0, n)
	}
}

const maxAttempts = 32 // kept per account
