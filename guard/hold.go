package guard

// This file describes why a login is withheld. The text names the connection that was
// refused, and the time.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mailprobe/mail"
)

// Hold says why and until when a login is withheld. The zero value: it is not withheld.
type Hold struct {
	// Reason is the verdict on this connection's own login, or AuthHeld where the
	// login is withheld for another reason, which Because names.
	Reason mail.Reason
	// Until is when the next login may be tried; zero: only when the secret,
	// the mechanism or the login name has changed (lockout strict).
	Until time.Time
	// By names the connection whose refusal withholds this login; empty: none, or
	// not known. At is the time of that refusal.
	By string
	At time.Time
	// Because is half a sentence, Advice a whole one. Both are empty where the
	// reason is this connection's own verdict.
	Because string
	Advice  string
}

// Facts returns the facts about a withheld login for an outcome.
func (h Hold) Facts() mail.AuthFacts {
	return mail.AuthFacts{Held: true, HeldForOthers: h.Reason == mail.AuthHeld, NextAttempt: h.Until, HeldBy: h.By, HeldSince: h.At}
}

// holdOf returns the hold of a permit's login, zero if it may go on. One that waits for the
// account's budget gets a place in its line.
func (p *Permit) holdOf(a *account, s *secretState, t *targetState, d *server, now time.Time) Hold {
	if hold := p.refusalHold(s, now); hold.Reason != "" {
		if hold.Reason == mail.AuthHeld {
			a.join(a.placeOf(p, s, t, now)) // before the refused one, when its time comes
		} else {
			a.line.leave(p.id.cause)
		}
		return p.atBudget(hold, a, s, t, now)
	}
	if hold, mine := p.budgetHold(a, s, t, now); hold.Reason != "" {
		if mine.cause == p.id.cause {
			a.join(mine)
		}
		return hold
	}
	if until := p.guard.doubtUntil; now.Before(until) && !s.works(t, now) {
		return heldByDoubt(until)
	}
	return p.serverHold(d, s.knownGood(t, now), now)
}

// refusalHold returns the hold by refusals of the secret: of this connection, of
// another connection with the same target, or of one whose verdict concerns the
// credential itself. It is limited, so that setting the clock back does not make it
// endless.
func (p *Permit) refusalHold(s *secretState, now time.Time) (longest Hold) {
	strict := p.connection.Lockout == mail.LockoutStrict
	for i := range s.Targets {
		t := &s.Targets[i]
		here := t.ID == p.id.target || t.ID == p.id.cause
		if t.Refusals == 0 && t.Slow == 0 || !here && !t.Wide {
			continue
		}
		name, gone := p.guard.nameOf(t.Cause)
		mine := here && t.Cause == p.id.cause
		if gone && !mine {
			continue
		}
		if latest := now.Add(maxWait); t.Next.After(latest) {
			t.Next = latest
		}
		endless := strict && t.Refusals > 0
		if !endless && !now.Before(t.Next) {
			continue
		}
		hold := Hold{Reason: t.Reason, Until: t.Next}
		if endless {
			hold.Until = time.Time{}
		}
		if mine {
			return hold
		}
		if longest.Reason == "" || hold.Until.IsZero() || !longest.Until.IsZero() && hold.Until.After(longest.Until) {
			longest = heldBy(hold, name, t)
		}
	}
	return longest
}

// heldBy returns the hold of a login that is withheld because another connection was
// refused.
func heldBy(hold Hold, name string, t *targetState) Hold {
	hold.By, hold.At = name, t.Refused
	hold.Reason = mail.AuthHeld
	who, and := connectionWord(name), "with the same user name and password"
	if !t.Wide {
		and = "at the same server"
	}
	hold.Because = fmt.Sprintf("%s, %s, was refused at %s (%s)", who, and, clockTime(t.Refused), t.Reason)
	hold.Advice = fmt.Sprintf("Look at %s first: correct it, or remove it, and this one logs in again.", who)
	return hold
}

// nextHold returns the hold that the connection's next login has, now that this one was
// answered.
func (p *Permit) nextHold(a *account, s *secretState, t *targetState, now time.Time) Hold {
	if hold := p.refusalHold(s, now); hold.Reason != "" {
		return p.atBudget(hold, a, s, t, now)
	}
	hold, _ := p.budgetHold(a, s, t, now)
	return hold
}

// atBudget moves the end of a refused login's hold to the time when the account's budget
// has room for it.
func (p *Permit) atBudget(hold Hold, a *account, s *secretState, t *targetState, now time.Time) Hold {
	if until, _, _ := a.room(s, t, p.id.server, 0, now); !hold.Until.IsZero() && until.After(hold.Until) {
		hold.Until = until
	}
	return hold
}

// budgetHold returns the hold of a login for which the account's budget has no room, and
// the login's place in the line. A login that is known to work waits for no other one, and
// has none.
func (p *Permit) budgetHold(a *account, s *secretState, t *targetState, now time.Time) (Hold, place) {
	ahead, mine := 0, place{}
	if !s.works(t, now) {
		mine = a.placeOf(p, s, t, now)
		ahead = a.line.ahead(mine, now)
	}
	b, _, _ := a.budgetOf(s, t, now)
	if ahead > 0 && mine.rank == refusedItself {
		ahead += b.perHalfHour - 1 // not even beside them: a refusal may hold them again
	}
	until, _, u := a.room(s, t, p.id.server, ahead, now)
	if until.IsZero() {
		return Hold{}, mine
	}
	hold := p.guard.heldByBudget(until, u, b, ahead, now)
	if t.Suspected && t.Cause == p.id.cause && u.last.Cause == p.id.cause && t.Reason != "" {
		hold.Reason, hold.By, hold.At, hold.Advice = t.Reason, "", time.Time{}, "" // its own doubtful answer
	}
	return hold, mine
}

func (g *Guard) heldByBudget(until time.Time, u spent, b budget, ahead int, now time.Time) Hold {
	name, _ := g.nameOf(u.last.Cause)
	hold := Hold{
		Reason: mail.AuthHeld, Until: until, By: name, At: u.last.At,
		Advice: "Correct or remove the connections of this account that were refused. This one was not tried: it is at the time shown, so that the account is not locked.",
	}
	var because []string
	switch day := u.within(fullDay, now); {
	case !u.roomAt(b, 0, now).After(now):
		because = append(because, "the account's budget of refused logins has too little room")
	case day >= b.perDay:
		because = append(because, fmt.Sprintf("the account's budget of refused logins is used up (%s within a day)", countLogins(day)))
	default:
		because = append(because, fmt.Sprintf("the account's budget of refused logins is used up (%s within half an hour)", countLogins(u.within(halfHour, now))))
	}
	if len(u.times) > 0 {
		how := "was not accepted"
		if u.last.Refused {
			how = "was refused"
		}
		because = append(because, fmt.Sprintf("%s %s at %s", connectionWord(name), how, clockTime(u.last.At)))
	}
	if ahead > 0 {
		because = append(because, "others of its connections come first")
	}
	hold.Because = strings.Join(because, "; ")
	return hold
}

// heldByDoubt is the hold after the record of earlier attempts was lost: any login may
// have been tried a moment ago.
func heldByDoubt(until time.Time) Hold {
	return Hold{
		Reason: mail.AuthHeld, Until: until,
		Because: "the state file or its journal was damaged or removed, and with it the record of earlier attempts",
		Advice:  "Wait until the time shown. To begin anew at once, stop mailprobe and remove the state file and every file whose name begins with its name.",
	}
}

// heldBlind is the hold after a start where nothing can be written: an earlier process may
// have tried any login and could not record it.
func heldBlind(until time.Time) Hold {
	return Hold{
		Reason: mail.AuthHeld, Until: until,
		Because: "nothing can be written beside the state file since the start, and what was tried before is not known",
		Advice:  "Make room, or make the state file's folder writable: logins then go on at once.",
	}
}

// serverHold is the hold of the server's circuit breaker. While it is open, one
// login at a time may be the half-open probe; the others do not even connect.
func (p *Permit) serverHold(d *server, known bool, now time.Time) Hold {
	until, probe := d.hold(p.id.account, known, now)
	switch {
	case until.IsZero() && !probe:
		return Hold{}
	case probe && d.halfOpen == nil:
		d.halfOpen = p
		return Hold{}
	case probe && d.halfOpen == p:
		return Hold{}
	case probe:
		until = now.Add(p.connection.Interval)
	}
	return p.guard.heldByServer(until, d)
}

func (g *Guard) heldByServer(until time.Time, d *server) Hold {
	hold := Hold{Reason: mail.AuthHeld, Until: until,
		Advice: "Look at the other connections to this server first; the time of the next login is shown."}
	var names []string
	for _, m := range d.Refusals {
		name, _ := g.nameOf(m.Cause)
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
		hold.By, hold.At = name, m.At
	}
	of := ""
	if len(names) > 0 {
		of = " (" + strings.Join(names, ", ") + ")"
	}
	if len(d.Refusals) == 0 { // the window has passed, the breaker is still open
		hold.Because = "logins to this server were refused; one at a time is tried until one is accepted"
		return hold
	}
	hold.Because = fmt.Sprintf("%s to this server failed within 10 minutes, the last at %s%s", countLogins(len(d.Refusals)), clockTime(hold.At), of)
	return hold
}

func countLogins(n int) string {
	if n == 1 {
		return "1 login"
	}
	return fmt.Sprint(n, " logins")
}

// busyHold is the hold of a login whose turn has not come in time.
func (p *Permit) busyHold(now time.Time, because string) Hold {
	return Hold{Reason: mail.AuthHeld, Until: now.Add(p.connection.Interval), Because: because,
		Advice: "Nothing is known to be wrong here: the next probe tries again."}
}

func connectionWord(name string) string {
	if name == "" {
		return "another connection"
	}
	return "connection " + name
}

func clockTime(at time.Time) string { return at.UTC().Format("15:04:05 UTC") }
