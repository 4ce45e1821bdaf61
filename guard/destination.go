package guard

// This file knows when a whole server is left alone: what bans count is not
// whose password was wrong but how many were, from one address.

import (
	"slices"
	"time"

	"mailprobe/mail"
)

const (
	guardWindow = 10 * time.Minute // in which refusals are counted, as fail2ban does
	lookGap     = 5 * time.Minute  // between two looks at a destination without a login

	// Refusals within the window. Whatever their order they stay below fail2ban's 5.
	unprovenBudget = 2 // of secrets not known to work; then no more such logins
	unprovenTotal  = 3 // of any, likewise
	provenBudget   = 2 // of secrets known to work: then it is a mass failure
	quickCanary    = 3 // up to which the canary need not wait for a window without
	looksUpTo      = 1 // refusals; then no look either, for a ban list may count it

	// Logins under way count as refusals to come: so the budget holds even if all
	// passwords of a server turn wrong at once.
	defaultMaxLogins = 4

	// Logins that must be accepted before they may overlap again.
	trialAfterRefusal = 3
	trialAfterMass    = 10
)

// destination is a server under all the names and addresses it is known by.
type destination struct {
	Names    []keyedHash   `json:"names"`
	Refusals []refusalMark `json:"refusals,omitempty"` // within the window, oldest first
	Mass     bool          `json:"mass,omitzero"`      // a mass failure: only a canary logs in
	CanaryAt time.Time     `json:"canary_at,omitzero"` // when the next one may

	canary  keyedHash // the account that was the last one
	trial   int       // logins still to be accepted before they may overlap
	accepts int       // logins accepted since the last refusal
	looked  time.Time // last look without a login

	coming    map[*Pass]struct{} // admitted to the server and not done
	inside    map[*Pass]struct{} // of them, let through to the login
	candidate *Pass              // the one that may be the next canary
	changed   chan struct{}      // closed when one of them is; nil: nobody waits
}

// refusalMark is one refusal as a destination remembers it.
type refusalMark struct {
	At     time.Time `json:"at"`
	Proven bool      `json:"proven,omitzero"` // the secret was known to work
	Lines  int       `json:"lines,omitzero"`  // in the server's log; 0: 1
}

// linesOf is how often a refused login is in the server's log, as fail2ban's
// strictest filter counts: of Postfix, the refusal and the end of its session.
func linesOf(p mail.Protocol) int {
	if p == mail.SMTP {
		return 2
	}
	return 1
}

// linesIn adds up what refusals left in the log.
func linesIn(marks []refusalMark) (n int) {
	for _, m := range marks {
		n += max(1, m.Lines)
	}
	return n
}

// destination finds a destination by one of its names or begins one.
func (g *Guard) destination(name keyedHash) *destination {
	d := g.destinations[name]
	if d == nil {
		d = &destination{Names: []keyedHash{name}}
		g.destinations[name] = d
	}
	return d
}

// meet gives the destination of a host that was reached at an address (zero: not
// reached). Two that share an address are one from then on: bans see the server.
func (g *Guard) meet(host, address keyedHash) *destination {
	d := g.destination(host)
	if address == (keyedHash{}) {
		return d
	}
	other := g.destinations[address]
	if other == nil {
		d.Names = append(d.Names, address)
		g.destinations[address] = d
		return d
	}
	if other == d {
		return d
	}
	for _, name := range other.Names {
		g.destinations[name] = d
	}
	d.Names = append(d.Names, other.Names...)
	d.Refusals = append(d.Refusals, other.Refusals...)
	slices.SortFunc(d.Refusals, func(x, y refusalMark) int { return x.At.Compare(y.At) })
	d.Mass = d.Mass || other.Mass
	if d.candidate == nil {
		d.candidate = other.candidate
	}
	if other.CanaryAt.After(d.CanaryAt) {
		d.CanaryAt, d.canary = other.CanaryAt, other.canary
	}
	d.trial = max(d.trial, other.trial)
	for p := range other.coming {
		d.approach(p)
	}
	for p := range other.inside {
		d.enter(p)
	}
	other.wake() // who waits there asks again, and finds d
	return d
}

// hold is until when logins with this secret are withheld here; zero: not now.
// canary says that this login would be the one that tries.
func (d *destination) hold(account keyedHash, s *secretState, now time.Time) (until time.Time, canary bool) {
	d.expire(now)
	if !d.Mass {
		if s.proven(now) {
			return time.Time{}, false
		}
		return unprovenHold(d.Refusals), false
	}
	until = d.CanaryAt
	if account == d.canary {
		until = until.Add(guardWindow) // the others first
	}
	if now.Before(until) {
		return until, false
	}
	return time.Time{}, true
}

// expire drops what is out of the window, or in the future of a clock that was
// set back.
func (d *destination) expire(now time.Time) {
	d.Refusals = slices.DeleteFunc(d.Refusals, func(m refusalMark) bool {
		return now.Sub(m.At) >= guardWindow || m.At.After(now)
	})
	if latest := now.Add(guardWindow); d.CanaryAt.After(latest) {
		d.CanaryAt = latest
	}
}

// unprovenHold is when so many of the refusals will be out of the window that a
// secret not known to work may be tried.
func unprovenHold(marks []refusalMark) (until time.Time) {
	for ; countProven(marks, false) >= unprovenBudget || linesIn(marks) >= unprovenTotal; marks = marks[1:] {
		until = marks[0].At.Add(guardWindow)
	}
	return until
}

func countProven(marks []refusalMark, proven bool) (n int) {
	for _, m := range marks {
		if m.Proven == proven {
			n++
		}
	}
	return n
}

// refused counts a refusal. It reports whether a mass failure begins with it.
func (d *destination) refused(proven bool, lines int, now time.Time) (begins bool) {
	d.expire(now)
	d.Refusals = append(d.Refusals, refusalMark{now, proven, lines})
	d.trial, d.accepts = max(d.trial, trialAfterRefusal), 0
	if countProven(d.Refusals, true) >= provenBudget && !d.Mass {
		begins, d.Mass, d.CanaryAt = true, true, now
	}
	if d.Mass && linesIn(d.Refusals) > quickCanary {
		d.CanaryAt = now.Add(guardWindow)
	}
	return begins
}

// accepted counts an accepted login. It reports whether it ends a mass failure;
// the others then follow one at a time. A login that was under way when the last
// one was refused says nothing about what came after.
func (d *destination) accepted(began time.Time) (ends bool) {
	if n := len(d.Refusals); n > 0 && !began.After(d.Refusals[n-1].At) {
		return false
	}
	d.accepts++
	if d.Mass {
		d.Mass, d.trial = false, trialAfterMass
		return true
	}
	d.trial = max(0, d.trial-1)
	return false
}

// freshFor is how long a session may take to its login before it is slow.
const freshFor = time.Second

// busy gives what to wait for while enough are on their way to a login here; nil:
// there is room for p. Each could be one more line in the server's log.
func (d *destination) busy(p *Pass, limit int, now time.Time) (changed <-chan struct{}) {
	lines := 0
	for q := range d.coming {
		if q.reached || now.Sub(q.entered) < freshFor {
			lines += linesOf(q.connection.Protocol)
		}
	}
	if lines == 0 || lines+linesOf(p.connection.Protocol) <= limit-linesIn(d.Refusals) {
		return nil
	}
	return d.change()
}

// change is closed at the next change.
func (d *destination) change() <-chan struct{} {
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// crowded gives what to wait for while too many logins are under way; nil: there
// is room for p. After a refusal all go one at a time; those with a secret that
// is not known to work do until the server has accepted some.
func (d *destination) crowded(p *Pass, limit int) (changed <-chan struct{}) {
	inside, unproven := 0, 0
	for q := range d.inside {
		inside += linesOf(q.connection.Protocol)
		if q.unproven {
			unproven++
		}
	}
	room := limit - linesIn(d.Refusals)
	if d.trial > 0 {
		room = 1
	}
	if inside == 0 || inside+linesOf(p.connection.Protocol) <= room && (!p.unproven || unproven == 0 || d.trusts(p)) {
		return nil
	}
	return d.change()
}

// trusts reports whether nothing speaks against p: nobody was refused lately,
// and the server accepts logins if p's own was never seen to work.
func (d *destination) trusts(p *Pass) bool {
	suspect := len(d.Refusals) > 0 || d.Mass || d.trial > 0
	return !suspect && (!p.unproven || d.accepts >= trialAfterRefusal)
}

func (d *destination) approach(p *Pass) {
	if d.coming == nil {
		d.coming = make(map[*Pass]struct{})
	}
	d.coming[p] = struct{}{}
}

func (d *destination) enter(p *Pass) {
	if d.inside == nil {
		d.inside = make(map[*Pass]struct{})
	}
	d.inside[p] = struct{}{}
}

// leave makes room for the next.
func (d *destination) leave(p *Pass) {
	delete(d.inside, p)
	if _, coming := d.coming[p]; coming {
		delete(d.coming, p)
		d.wake()
	}
}

func (d *destination) wake() {
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// quiet reports whether nothing would be lost by forgetting the destination.
func (d *destination) quiet(now time.Time) bool {
	d.expire(now)
	return len(d.Refusals) == 0 && !d.Mass && len(d.coming) == 0
}

// pruneLocked forgets, once an hour, what no longer matters. Quiet destinations
// go too: addresses change hands, and names that shared one come apart again.
func (g *Guard) pruneLocked(now time.Time) {
	if ago := now.Sub(g.pruned); ago >= 0 && ago < time.Hour {
		return
	}
	g.pruned = now
	for name, d := range g.destinations {
		if d.quiet(now) {
			delete(g.destinations, name)
		}
	}
	for id, a := range g.accounts {
		a.Secrets = slices.DeleteFunc(a.Secrets, func(s secretState) bool { return now.Sub(s.Seen) > forgetAfter })
		if len(a.Secrets) == 0 && a.turn.holder == nil {
			delete(g.accounts, id)
		}
	}
}
