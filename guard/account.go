package guard

// This file decides how long a refused login is withheld, and which other logins are
// withheld with it.

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"mailprobe/mail"
)

const (
	knownGoodFor     = 7 * 24 * time.Hour
	forgetAfter      = 30 * 24 * time.Hour
	maxSecrets       = 16 // remembered per account
	maxTargets       = 64 // remembered per secret
	maxWait          = 25*time.Hour + 25*time.Hour/10
	minRefusalGap    = 30 * time.Minute // in which refusals of one credential belong together
	acceptedLately   = 35 * time.Minute // for at least so long an accepted login shows that the credential is right
	refreshKnownGood = 12 * time.Hour   // how old a kept success may grow
)

// waits says how long a login is withheld after the first refusal, the second one and so
// on; the last line is for all later ones. A secret that is known to work is tried again
// after 5 minutes, because the refusal may be the server's fault. Each column alone allows
// at most 2 attempts in 30 minutes and 4 in 24 hours.
var waits = []struct{ knownGood, unknown time.Duration }{
	{5 * time.Minute, 35 * time.Minute},
	{35 * time.Minute, 6 * time.Hour},
	{6 * time.Hour, 25 * time.Hour},
	{25 * time.Hour, 25 * time.Hour},
}

// slowWaits are for a secret that is known to work, after an answer that is not a refusal
// of it: none at all, or the request for longer pauses.
var slowWaits = []time.Duration{5 * time.Minute, 35 * time.Minute}

// credentialVerdicts concern the credential itself, wherever it is used. Every other
// verdict concerns one protocol, method or mailbox of one server.
var credentialVerdicts = map[mail.Reason]bool{
	mail.AuthRejected:  true,
	mail.AuthExpired:   true,
	mail.TokenRejected: true,
}

// account is one login name, whatever the host, in one configured realm.
type account struct {
	Attempts []attempt     `json:"attempts,omitempty"` // of the last day, oldest first
	Secrets  []secretState `json:"secrets,omitempty"`
	Released time.Time     `json:"released,omitzero"` // last Release

	begun   bool  // this process has logged in
	oneMore bool  // a Release allows one attempt beyond the budget
	queue   queue // of logins that wait for the answer to another one
	line    *line // of connections that wait for the budget; nil: none has
}

// secretState is what is known about one secret of an account.
type secretState struct {
	Tag     uint16        `json:"tag"`
	Seen    time.Time     `json:"seen"`
	Targets []targetState `json:"targets,omitempty"`
}

// targetState records a server's answers to the secret by one protocol and mechanism.
// The streak is the number of refusals since the last success.
type targetState struct {
	ID           keyedHash   `json:"id"`
	Accepted     time.Time   `json:"accepted,omitzero"`  // last time; zero: never since a Release
	Refusals     int         `json:"refusals,omitzero"`  // in the streak
	WasKnownGood bool        `json:"known,omitzero"`     // when the streak began
	Wide         bool        `json:"wide,omitzero"`      // it withholds the secret's logins elsewhere too
	Suspected    bool        `json:"suspected,omitzero"` // the last attempt may have been refused
	Slow         int         `json:"slow,omitzero"`      // answers in a row that only slow the retry
	Refused      time.Time   `json:"refused,omitzero"`   // last refusal, or slow answer
	Next         time.Time   `json:"next,omitzero"`      // no attempt before
	Reason       mail.Reason `json:"reason,omitempty"`   // of the last refusal
	Cause        keyedHash   `json:"cause,omitzero"`     // the refused connection
}

// account returns an account; it is created if there is none.
func (g *Guard) account(id keyedHash, now time.Time) *account {
	a := g.accounts[id]
	if a == nil {
		a = &account{}
		g.accounts[id] = a
	}
	a.settle(now)
	return a
}

// find returns the state of a secret; nil: nothing is known.
func (a *account) find(tag uint16) *secretState {
	for i := range a.Secrets {
		if a.Secrets[i].Tag == tag {
			return &a.Secrets[i]
		}
	}
	return nil
}

// secret returns the state of a secret; it is created if there is none. The pointer is
// valid until the next call.
func (a *account) secret(tag uint16, now time.Time) *secretState {
	if s := a.find(tag); s != nil {
		s.Seen = now
		return s
	}
	if len(a.Secrets) >= maxSecrets { // the budget keeps what a forgotten hold would have
		oldest := slices.MinFunc(a.Secrets, func(x, y secretState) int { return x.Seen.Compare(y.Seen) })
		a.Secrets = slices.DeleteFunc(a.Secrets, func(s secretState) bool { return s.Tag == oldest.Tag })
	}
	a.Secrets = append(a.Secrets, secretState{Tag: tag, Seen: now})
	return &a.Secrets[len(a.Secrets)-1]
}

// target returns the state of a secret at a target; it is created if there is none. The
// pointer is valid until the next call.
func (s *secretState) target(id keyedHash) *targetState {
	for i := range s.Targets {
		if s.Targets[i].ID == id {
			return &s.Targets[i]
		}
	}
	if len(s.Targets) >= maxTargets {
		age := func(t targetState) time.Time {
			if t.Refused.After(t.Accepted) {
				return t.Refused
			}
			return t.Accepted
		}
		oldest := slices.MinFunc(s.Targets, func(x, y targetState) int { return age(x).Compare(age(y)) })
		s.Targets = slices.DeleteFunc(s.Targets, func(t targetState) bool { return t.ID == oldest.ID })
	}
	s.Targets = append(s.Targets, targetState{ID: id})
	return &s.Targets[len(s.Targets)-1]
}

// releaseByHand forgets the refusals, and that the refused secrets were known to work:
// the next refusal gets no quick confirmation.
func (a *account) releaseByHand(now time.Time) error {
	if a == nil || !slices.ContainsFunc(a.Secrets, (secretState).isRefused) && len(a.Attempts) < attemptsPerHalfHour {
		return ErrNotHeld
	}
	if ago := now.Sub(a.Released); ago >= 0 && ago < releaseGap {
		return fmt.Errorf("%w: try again in %s", ErrReleasedLately, (releaseGap - ago).Round(time.Second))
	}
	a.Released, a.oneMore = now, true
	for i := range a.Secrets {
		s := &a.Secrets[i]
		s.Targets = slices.DeleteFunc(slices.Clone(s.Targets), func(t targetState) bool { return t.Suspected || !s.knownGood(&t, now) })
	}
	return nil
}

func (s secretState) isRefused() bool {
	return slices.ContainsFunc(s.Targets, func(t targetState) bool { return t.Refusals > 0 || t.Slow > 0 })
}

// accepted returns when the secret was last accepted anywhere.
func (s *secretState) accepted() (last time.Time) {
	for i := range s.Targets {
		if at := s.Targets[i].Accepted; at.After(last) {
			last = at
		}
	}
	return last
}

// isNewSecret reports whether other secrets were accepted at a permit's target, and
// the permit's own was not.
func (a *account) isNewSecret(p *Permit) (others bool) {
	for i := range a.Secrets {
		s := &a.Secrets[i]
		accepted := slices.ContainsFunc(s.Targets, func(t targetState) bool { return t.ID == p.id.target && !t.Accepted.IsZero() })
		switch {
		case accepted && s.Tag == p.tag:
			return false
		case accepted:
			others = true
		}
	}
	return others
}

// acceptedElsewhere returns when the secret was last accepted at another target.
func (s *secretState) acceptedElsewhere(t *targetState) (last time.Time) {
	for i := range s.Targets {
		if o := &s.Targets[i]; o.ID != t.ID && o.Accepted.After(last) {
			last = o.Accepted
		}
	}
	return last
}

// knownGood reports whether the secret was accepted at the target within 7 days, and no
// refusal since then concerns it there.
func (s *secretState) knownGood(t *targetState, now time.Time) bool {
	if t.Refusals > 0 || t.Accepted.IsZero() || now.Sub(t.Accepted) >= knownGoodFor {
		return false
	}
	return !slices.ContainsFunc(s.Targets, func(o targetState) bool { return o.Wide && o.Refused.After(t.Accepted) })
}

// works reports whether a login is known to work and its last answer was no possible
// refusal. A request for longer pauses is not one.
func (s *secretState) works(t *targetState, now time.Time) bool {
	return s.knownGood(t, now) && (!t.Suspected || t.Reason == mail.AuthTooSoon)
}

// isUnconfirmed reports whether a secret that worked was refused once at a target and has
// not been tried there since.
func (t *targetState) isUnconfirmed(now time.Time) bool {
	return t.WasKnownGood && t.Refusals == 1 && now.Sub(t.Refused) < knownGoodFor
}

// forget drops the state of one target and reports whether there was any. It moves the
// other targets in the slice.
func (s *secretState) forget(id keyedHash) bool {
	before := len(s.Targets)
	s.Targets = slices.DeleteFunc(s.Targets, func(t targetState) bool { return t.ID == id })
	return len(s.Targets) < before
}

// accept records an accepted login, with the time when it began, because a refusal that
// came during the login is newer. Refusals of the credential before that time from then on
// withhold only their own target. endsHold reports whether this ends a hold, which should
// be saved at once.
func (s *secretState) accept(t *targetState, began time.Time) (endsHold bool) {
	endsHold = t.Refusals > 0 || t.Slow > 0
	*t = targetState{ID: t.ID, Accepted: began}
	for i := range s.Targets {
		if o := &s.Targets[i]; o.Wide && o.Refused.Before(began) {
			o.Wide, endsHold = false, true
		}
	}
	return endsHold
}

// refuse counts one more refusal of a secret at a target and sets the time of the
// next attempt.
func (a *account) refuse(s *secretState, t *targetState, e event) {
	elsewhere := e.At.Sub(s.acceptedElsewhere(t)) < max(acceptedLately, 2*e.Interval)
	if t.Refusals == 0 {
		t.WasKnownGood = s.knownGood(t, e.At) && !t.Suspected && !elsewhere
	}
	t.Wide = credentialVerdicts[cmp.Or(e.Reason, mail.AuthRejected)] && (!elsewhere || a.refusedTwice(s, t, e.At))
	t.Refusals++
	if t.Wide {
		for i := range s.Targets { // a streak at another target continues here
			if o := &s.Targets[i]; o.Wide && o.ID != t.ID {
				t.Refusals = max(t.Refusals, o.Refusals+1)
			}
		}
	}
	t.Reason = cmp.Or(e.Reason, mail.AuthRejected) // without a reason it would not count as a hold
	t.Cause, t.Refused, t.Slow = e.Cause, e.At, 0
	line := waits[min(t.Refusals, len(waits))-1]
	wait := line.unknown
	if t.WasKnownGood {
		wait = line.knownGood
	}
	if t.Refusals == 1 {
		wait = max(wait, e.Interval)
	}
	t.Next = e.At.Add(wait + e.jitter(wait/10))
}

// refusedTwice reports whether, since the last accepted login, the credential was
// refused at another target a short time ago, or the account was refused twice. Then an
// earlier success no longer counts.
func (a *account) refusedTwice(s *secretState, t *targetState, now time.Time) bool {
	accepted := s.accepted()
	for i := range s.Targets {
		o := &s.Targets[i]
		if o.ID != t.ID && credentialVerdicts[o.Reason] && o.Refusals > 0 && o.Refused.After(accepted) && now.Sub(o.Refused) < minRefusalGap {
			return true
		}
	}
	u := a.spentSince(accepted, keyedHash{})
	return u.within(halfHour, now) >= attemptsPerHalfHour
}

// suspect counts an attempt that may have been refused. It reports whether it is
// the second in a row, which counts as a refusal.
func (t *targetState) suspect(at time.Time, reason mail.Reason, cause keyedHash) (second bool) {
	second = t.Suspected
	t.Suspected, t.Refused, t.Reason, t.Cause = true, at, reason, cause
	return second
}

// slowDown makes the next attempt at a target wait. It does not count as a refusal.
func (t *targetState) slowDown(e event) {
	wait := max(slowWaits[min(t.Slow, len(slowWaits)-1)], e.Interval)
	t.Slow++
	t.Reason, t.Cause, t.Refused = e.Reason, e.Cause, e.At
	t.Next = e.At.Add(wait + e.jitter(wait/10))
}

// jitter returns a time below limit that is the same for each process that
// counts the event.
func (e event) jitter(limit time.Duration) time.Duration {
	seed := binary.BigEndian.Uint64(e.Account[:8]) ^ uint64(e.At.UnixNano())
	seed ^= seed >> 33 // the mixer of MurmurHash3
	seed *= 0xff51afd7ed558ccd
	seed ^= seed >> 33
	return time.Duration(seed % uint64(limit+1))
}
