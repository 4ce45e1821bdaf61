package guard

// This file knows how long a refused account is left alone.

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mailprobe/mail"
)

const (
	knownGoodFor     = 7 * 24 * time.Hour
	forgetAfter      = 30 * 24 * time.Hour
	maxSecrets       = 16 // remembered per account, with their mechanisms: a hold that is pushed out is forgotten
	maxWait          = 25*time.Hour + 25*time.Hour/10
	minRefusalGap    = 30 * time.Minute // no third refusal within this, whatever the table says
	minRefusalWait   = 35 * time.Minute // longer than the usual 30 minutes of directories
	day              = 24 * time.Hour
	refusalsPerDay   = 4              // of one account, whatever it logs in with
	refreshKnownGood = 12 * time.Hour // how old a kept success may grow
)

// waits is how long a login is withheld after each refusal in a row; the last
// line is for all later ones. A proven secret gets one quick confirmation: the
// refusal may be the server's fault. Either column makes at most 2 tries in any
// 30 minutes and 4 in any 24 hours, under the thresholds in use.
var waits = []struct{ knownGood, unknown time.Duration }{
	{5 * time.Minute, 35 * time.Minute},
	{35 * time.Minute, 6 * time.Hour},
	{6 * time.Hour, 25 * time.Hour},
	{25 * time.Hour, 25 * time.Hour},
}

// account is one login name in one realm.
type account struct {
	Secrets  []secretState `json:"secrets"`
	Refused  time.Time     `json:"refused,omitzero"`  // last refusal or doubt, with any secret
	Recent   []time.Time   `json:"recent,omitempty"`  // refusals of the last day, the last few
	Released time.Time     `json:"released,omitzero"` // last Release

	turn turn
}

// secretState is what is known of an account with one secret and mechanism.
type secretState struct {
	Tag          uint16      `json:"tag"`
	Seen         time.Time   `json:"seen"`
	Accepted     time.Time   `json:"accepted,omitzero"` // last time; zero: never since a Release
	Refusals     int         `json:"refusals,omitzero"` // in a row
	WasKnownGood bool        `json:"trusted,omitzero"`  // it was proven when the row began
	Suspected    bool        `json:"doubt,omitzero"`    // the last try may have been a refusal
	Since        time.Time   `json:"since,omitzero"`    // beginning of the row
	Next         time.Time   `json:"next,omitzero"`     // no try before
	Reason       mail.Reason `json:"reason,omitempty"`  // of the last refusal
}

// turn is held by one pass at a time.
type turn struct {
	holder  *Permit
	changed chan struct{} // closed when the turn is given back; nil: nobody waits
}

// account finds an account or begins one.
func (g *Guard) account(id keyedHash) *account {
	a := g.accounts[id]
	if a == nil {
		a = &account{}
		g.accounts[id] = a
	}
	return a
}

// secret finds what is known with a secret, or begins anew: a changed secret is
// tried at the next probe. The pointer holds until the next call.
func (a *account) secret(tag uint16, now time.Time) *secretState {
	for i := range a.Secrets {
		if s := &a.Secrets[i]; s.Tag == tag {
			s.Seen = now
			return s
		}
	}
	if len(a.Secrets) >= maxSecrets {
		oldest := slices.MinFunc(a.Secrets, func(x, y secretState) int { return x.Seen.Compare(y.Seen) })
		a.Secrets = slices.DeleteFunc(a.Secrets, func(s secretState) bool { return s.Tag == oldest.Tag })
	}
	a.Secrets = append(a.Secrets, secretState{Tag: tag, Seen: now})
	return &a.Secrets[len(a.Secrets)-1]
}

// release forgets the refusals. The secrets count as never proven: the next
// refusal gets no quick confirmation.
func (a *account) release(now time.Time) error {
	if a == nil || !slices.ContainsFunc(a.Secrets, func(s secretState) bool { return s.Refusals > 0 }) {
		return ErrNotHeld
	}
	if ago := now.Sub(a.Released); ago >= 0 && ago < releaseGap {
		return fmt.Errorf("%w: try again in %s", ErrReleasedLately, (releaseGap - ago).Round(time.Second))
	}
	a.Released = now
	for i, s := range a.Secrets {
		a.Secrets[i] = secretState{Tag: s.Tag, Seen: s.Seen}
	}
	return nil
}

// hold is the hold of the account's own refusals; zero if there is none. A clock
// that was set back must not make it endless.
func (s *secretState) hold(lockout mail.Lockout, now time.Time) Hold {
	switch {
	case s.Refusals == 0:
		return Hold{}
	case lockout == mail.LockoutStrict:
		return Hold{Reason: s.Reason}
	}
	if latest := now.Add(maxWait); s.Next.After(latest) {
		s.Next = latest
	}
	if now.Before(s.Next) {
		return Hold{s.Reason, s.Next}
	}
	return Hold{}
}

// knownGood reports whether the secret worked lately and was not refused since.
func (s *secretState) knownGood(now time.Time) bool {
	return s.Refusals == 0 && !s.Accepted.IsZero() && now.Sub(s.Accepted) < knownGoodFor
}

// accept forgets the refusals of this secret. It reports whether that is worth
// keeping at once: it ends a hold.
func (s *secretState) accept(now time.Time) (endsHold bool) {
	endsHold = s.Refusals > 0
	*s = secretState{Tag: s.Tag, Seen: s.Seen, Accepted: now}
	return endsHold
}

// refuse counts one more refusal and sets the time of the next try. Other
// secrets of the account that were refused before wait as long: the server
// counts them together.
func (a *account) refuse(s *secretState, reason mail.Reason, interval time.Duration, now time.Time) {
	if s.Refusals == 0 {
		s.Since, s.WasKnownGood = now, s.knownGood(now) && !s.Suspected
	}
	s.Refusals++
	s.Reason = cmp.Or(reason, mail.AuthRejected) // a hold without a reason would be none
	waitsOfRow := waits[min(s.Refusals, len(waits))-1]
	wait := waitsOfRow.unknown
	if s.WasKnownGood {
		wait = waitsOfRow.knownGood
	}
	if s.Refusals == 1 {
		wait = max(wait, interval)
	}
	if ago := now.Sub(a.Refused); !a.Refused.IsZero() && ago >= 0 && ago < minRefusalGap {
		wait = max(wait, minRefusalWait)
	}
	a.Refused = now
	s.Next = now.Add(wait + rand.N(wait/10))
	if until := a.dayFull(now); s.Next.Before(until) {
		s.Next = until
	}
	for i := range a.Secrets {
		if other := &a.Secrets[i]; other.Refusals > 0 && other.Next.Before(s.Next) {
			other.Next = s.Next
		}
	}
}

// dayFull counts a refusal of now. It gives when the account may be refused
// again: with several secrets, such as two mechanisms, their rows of waits add
// up to more than the table's. Zero: no bound.
func (a *account) dayFull(now time.Time) time.Time {
	a.Recent = slices.DeleteFunc(append(a.Recent, now), func(t time.Time) bool {
		return now.Sub(t) >= day || t.After(now)
	})
	if len(a.Recent) < refusalsPerDay {
		return time.Time{}
	}
	a.Recent = a.Recent[len(a.Recent)-refusalsPerDay:]
	return a.Recent[0].Add(day + time.Minute)
}

// suspect counts a try that may have been a refusal. It reports whether it is the
// second in a row, which counts as one.
func (a *account) suspect(s *secretState, now time.Time) (second bool) {
	if s.Suspected {
		return true
	}
	s.Suspected, a.Refused = true, now
	return false
}

// waitFor returns what to wait for while another pass has the turn; nil: it is free.
func (t *turn) waitFor() (changed <-chan struct{}) {
	if t.holder == nil {
		return nil
	}
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.changed
}

// release returns the turn back, if p has it.
func (t *turn) release(p *Permit) {
	if t.holder != p {
		return
	}
	t.holder = nil
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}
