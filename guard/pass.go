package guard

// This file takes one probe past the guard: Enter before the dial, Login when the
// credential is about to be sent, Done when the server has answered. A turn is
// held only between Login and Done: a probe of a dead server never gets that far,
// so it keeps no other one from logging in.

import (
	"context"
	"net"
	"net/netip"
	"time"

	"mailprobe/mail"
)

// patience bounds how long Login waits for its turn; a third of the probe's time
// is bound enough where that is less, so that the login still has some.
const patience = 10 * time.Second

// Hold is why, and until when, a login is withheld.
type Hold struct {
	// Reason is the verdict that caused it, or AuthHeld where the destination
	// is held and not the account.
	Reason mail.Reason
	// Until is when the next login may be tried; zero: only when the secret,
	// the mechanism or the login name has changed (lockout strict).
	Until time.Time
}

// facts is what an outcome says of a login that is withheld.
func (h Hold) Facts() mail.AuthFacts {
	return mail.AuthFacts{Held: true, HeldForOthers: h.Reason == mail.AuthHeld, NextAttempt: h.Until}
}

// Pass is the answer to one probe that wants to log in. Done must be called
// exactly once, whatever happened. A nil *Pass is allowed everything.
type Pass struct {
	Allowed bool
	Hold    Hold // zero if allowed; after Done, of the next login, if this one was refused
	Connect bool // the phases before the login may run

	guard      *Guard // nil: nothing to learn
	connection *mail.Connection
	account    keyedHash
	host       keyedHash
	tag        uint16 // of the secret

	unproven bool      // it logs in with a secret that is not known to work
	canary   bool      // it is the one that tries while a destination is held
	entered  time.Time // when it was admitted to the server
	hurried  bool      // its patience has ended already
	reached  bool      // it is at its login, or past it
	since    time.Time // when it got its turn
	done     bool
}

// AuthVerdict is the result of a login. The zero value is a login that was not
// tried.
type AuthVerdict struct {
	Tried    bool // a credential went over the wire
	Accepted bool
	Class    mail.Class  // of the failure; 0: none, or the probe was called off
	Reason   mail.Reason // of the failure, if any
	Address  string      // remote address and port; empty: never connected
}

// Enter asks whether a login with a secret that was just read may be tried. It
// is called before the dial. Only a few sessions may go to one server at once,
// because ban lists also count those that leave without a login: the others wait
// here, until ctx ends or patience does. A session that has not reached its login
// after a second is at a slow or dead server, and keeps no other one waiting.
func (g *Guard) Enter(ctx context.Context, c *mail.Connection, secret mail.Secret) *Pass {
	if g == nil || c.Lockout == mail.LockoutOff {
		return &Pass{Allowed: true, Connect: true}
	}
	p := g.newPass(c, secret)
	giveUp := time.NewTimer(patienceWithin(ctx))
	defer giveUp.Stop()
	for patient := true; ; {
		changed := p.approach(!patient)
		if changed == nil {
			return p
		}
		lapsed := time.NewTimer(freshFor)
		select {
		case <-changed:
		case <-lapsed.C:
		case <-ctx.Done():
			patient = false
		case <-giveUp.C:
			patient = false
		}
		lapsed.Stop()
	}
}

// approach answers a pass before the dial, or gives what to wait for. The last
// time there is always an answer.
func (p *Pass) approach(last bool) (changed <-chan struct{}) {
	g := p.guard
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	if g.store != nil {
		g.store.poll(g, now)
	}
	_, s, d := g.find(p, now)
	if hold := s.hold(p.connection.Lockout, now); hold.Reason != "" {
		p.deny(hold, d, now)
		return nil
	}
	if until := p.heldAt(d, s, now); !until.IsZero() {
		p.deny(Hold{mail.AuthHeld, until}, d, now)
		return nil
	}
	p.unproven = !s.proven(now)
	if changed = d.busy(p, g.maxLogins, now); changed != nil && !last {
		return changed
	}
	if changed != nil && !d.trusts(p) {
		p.Hold = p.nextInterval(now)
		return nil
	}
	p.hurried = changed != nil
	p.Allowed, p.Connect, p.entered = true, true, now
	d.approach(p)
	return nil
}

// Login asks for permission to send the credential now. A login that is not known to
// work, or at a server that refused one lately, waits here for its turn, until
// ctx ends or patience does. It is false if the login is withheld after all: Hold
// then says why. A nil guard's pass, and one of lockout off, is always let through.
func (p *Pass) Login(ctx context.Context) bool {
	if p == nil || p.guard == nil {
		return true
	}
	giveUp := time.NewTimer(patienceWithin(ctx))
	defer giveUp.Stop()
	for patient := !p.hurried; ; {
		changed := p.ask(!patient)
		if changed == nil {
			return p.Allowed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			patient = false
		case <-giveUp.C:
			patient = false
		}
	}
}

// Done reports the result of the login. Only the first call counts.
func (p *Pass) Done(v AuthVerdict) {
	if p == nil || p.guard == nil || p.done {
		return
	}
	g := p.guard
	e := p.event(v, g.now())
	g.mu.Lock()
	p.done = true
	a, s, d := g.find(p, e.At)
	urgent := g.apply(e, p.connection.Name)
	if v.Tried {
		p.Hold = s.hold(p.connection.Lockout, e.At)
	}
	if p.canary && !v.Tried {
		d.CanaryAt, d.canary = e.At, keyedHash{} // the next one is the canary
	}
	a.turn.give(p)
	d.leave(p)
	if d.candidate == p {
		d.candidate = nil
	}
	g.pruneLocked(e.At)
	g.unlock()
	if g.store != nil {
		g.keep(e, urgent)
	}
}

// patienceWithin is how long a probe with this context can wait for its turn.
func patienceWithin(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return patience
	}
	return min(patience, max(0, time.Until(deadline)/3))
}

// newPass knows who wants to log in where, and nothing else yet.
func (g *Guard) newPass(c *mail.Connection, secret mail.Secret) *Pass {
	return &Pass{
		guard:      g,
		connection: c,
		account:    g.accountHash(c),
		host:       g.destinationHash(c),
		tag:        g.secretTag(c, secret),
	}
}

// ask answers a pass now, or gives what to wait for. The last time there is
// always an answer.
func (p *Pass) ask(last bool) (changed <-chan struct{}) {
	g := p.guard
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	a, s, d := g.find(p, now)
	p.reached = true
	p.Allowed, p.Hold = false, s.hold(p.connection.Lockout, now)
	if p.Hold.Reason != "" {
		return nil
	}
	if until := p.heldAt(d, s, now); !until.IsZero() {
		p.Hold = Hold{mail.AuthHeld, until}
		return nil
	}
	p.unproven = !s.proven(now)
	if p.unproven {
		changed = a.turn.taken()
	}
	ofAccount := changed != nil
	if !ofAccount {
		changed = d.crowded(p, g.maxLogins)
	}
	switch {
	case changed == nil || last && !ofAccount && d.trusts(p):
		p.admit(a, d, now)
	case last: // the probe goes on without the login
		p.Hold = p.nextInterval(now)
	default:
		return changed
	}
	return nil
}

// heldAt is until when the destination withholds the login; zero: not now. In a
// mass failure one pass at a time may be the canary, so that the others do not
// come and go without a login.
func (p *Pass) heldAt(d *destination, s *secretState, now time.Time) time.Time {
	until, canary := d.hold(p.account, s, now)
	switch {
	case !canary:
		return until
	case d.candidate != nil && d.candidate != p:
		return now.Add(p.connection.Interval)
	}
	d.candidate = p
	return time.Time{}
}

// admit lets the login through. It comes here also when patience ends at a
// trusted server: that it is slow is no reason for a hold.
func (p *Pass) admit(a *account, d *destination, now time.Time) {
	p.Allowed, p.since = true, now
	if p.unproven {
		a.turn.holder = p
	}
	d.enter(p)
	if d.candidate == p {
		p.canary = true
		d.CanaryAt, d.canary = now.Add(guardWindow), p.account
	}
}

// deny withholds the login. What comes before it may be looked at once in a
// while, for the whole destination, and not while it refuses: fail2ban's
// aggressive filters count sessions that never log in, too.
func (p *Pass) deny(hold Hold, d *destination, now time.Time) {
	p.Hold = hold
	if p.connection.HeldProbe && now.Sub(d.looked) >= lookGap && len(d.Refusals) <= looksUpTo {
		d.looked = now
		p.Connect = true
	}
}

// nextInterval is the hold of a login whose turn is simply not now.
func (p *Pass) nextInterval(now time.Time) Hold {
	return Hold{mail.AuthHeld, now.Add(p.connection.Interval)}
}

// event is the pass's verdict as it is counted and kept.
func (p *Pass) event(v AuthVerdict, at time.Time) event {
	e := event{
		At: at, Began: p.since, Account: p.account, Tag: p.tag, Host: p.host,
		Reason: v.Reason, Interval: p.connection.Interval, Result: resultOf(v), Lines: linesOf(p.connection.Protocol),
		strict: p.connection.Lockout == mail.LockoutStrict,
	}
	if e.Result == doubtful && p.connection.Lockout == mail.LockoutStrict {
		e.Result = refused
	}
	if host, _, err := net.SplitHostPort(v.Address); err == nil {
		if addr, err := netip.ParseAddr(host); err == nil && !addr.IsLoopback() {
			e.Address = p.guard.addressHash(addr)
		}
	}
	return e
}
