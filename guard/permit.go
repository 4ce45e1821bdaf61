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

// maxQueueWait bounds how long Login waits for its turn; a third of the probe's time
// is bound enough where that is less, so that the login still has some.
const maxQueueWait = 10 * time.Second

// Hold is why, and until when, a login is withheld.
type Hold struct {
	// Reason is the verdict that caused it, or AuthHeld where the server
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

// Permit is the answer to one probe that wants to log in. Done must be called
// exactly once, whatever happened. A nil *Permit is allowed everything.
type Permit struct {
	Allowed bool
	Hold    Hold // zero if allowed; after Done, of the next login, if this one was refused
	Connect bool // the phases before the login may run

	guard      *Guard // nil: nothing to learn
	connection *mail.Connection
	account    keyedHash
	host       keyedHash
	tag        uint16 // of the secret

	unknown   bool      // it logs in with a secret that is not known to work
	halfOpen  bool      // it is the one that tries while a server is held
	entered   time.Time // when it was admitted to the server
	waitedOut bool      // its maxQueueWait has ended already
	atLogin   bool      // it is at its login, or past it
	since     time.Time // when it got its turn
	done      bool
}

// AuthVerdict is the result of a login. The zero value is a login that was not
// tried.
type AuthVerdict struct {
	Tried    bool // a credential went over the wire
	Accepted bool
	Class    mail.Class  // of the failure; 0: none, or the probe was called off
	Reason   mail.Reason // of the failure, if any
	// Doubtful: the server may mean a wrong credential although Reason says
	// otherwise; Class is Possible then.
	Doubtful bool
	// Unclassified: none of the server's words was recognised.
	Unclassified bool
	Mechanism    mail.AuthMethod // the one used; empty: none was chosen
	Address      string          // remote address and port; empty: never connected
}

// Enter asks whether a login with a secret that was just read may be tried. It
// is called before the dial. Only a few sessions may go to one server at once,
// because ban lists also count those that leave without a login: the others wait
// here, until ctx ends or maxQueueWait does. A session that has not atLogin its login
// after a second is at a slow or dead server, and keeps no other one waiting.
func (g *Guard) Enter(ctx context.Context, c *mail.Connection, secret mail.Secret) *Permit {
	if g == nil || c.Lockout == mail.LockoutOff {
		return &Permit{Allowed: true, Connect: true}
	}
	p := g.newPermit(c, secret)
	giveUp := time.NewTimer(queueWaitWithin(ctx))
	defer giveUp.Stop()
	for canWait := true; ; {
		changed := p.tryReserve(!canWait)
		if changed == nil {
			return p
		}
		lapsed := time.NewTimer(freshFor)
		select {
		case <-changed:
		case <-lapsed.C:
		case <-ctx.Done():
			canWait = false
		case <-giveUp.C:
			canWait = false
		}
		lapsed.Stop()
	}
}

// tryReserve answers a pass before the dial, or gives what to wait for. The last
// time there is always an answer.
func (p *Permit) tryReserve(last bool) (changed <-chan struct{}) {
	g := p.guard
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	if g.store != nil {
		g.store.poll(g, now)
	}
	_, s, d := g.find(p, now)
	if hold := s.hold(p.connection.Lockout, now); hold.Reason != "" {
		p.withhold(hold, d, now)
		return nil
	}
	if until := p.heldAt(d, s, now); !until.IsZero() {
		p.withhold(Hold{mail.AuthHeld, until}, d, now)
		return nil
	}
	p.unknown = !s.knownGood(now)
	if changed = d.waitToConnect(p, g.maxLogins, now); changed != nil && !last {
		return changed
	}
	if changed != nil && !d.trusts(p) {
		p.Hold = p.nextInterval(now)
		return nil
	}
	p.waitedOut = changed != nil
	p.Allowed, p.Connect, p.entered = true, true, now
	d.startConnecting(p)
	return nil
}

// Login asks for permission to send the credential now. A login that is not known to
// work, or at a server that refused one lately, waits here for its turn, until
// ctx ends or maxQueueWait does. It is false if the login is withheld after all: Hold
// then says why. A nil guard's pass, and one of lockout off, is always let through.
func (p *Permit) Login(ctx context.Context) bool {
	if p == nil || p.guard == nil {
		return true
	}
	giveUp := time.NewTimer(queueWaitWithin(ctx))
	defer giveUp.Stop()
	for canWait := !p.waitedOut; ; {
		changed := p.tryAcquire(!canWait)
		if changed == nil {
			return p.Allowed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			canWait = false
		case <-giveUp.C:
			canWait = false
		}
	}
}

// Done reports the result of the login. Only the first call counts.
func (p *Permit) Done(v AuthVerdict) {
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
	if p.halfOpen && !v.Tried {
		d.NextProbe, d.lastProbe = e.At, keyedHash{} // the next one is the canary
	}
	a.turn.release(p)
	d.leave(p)
	if d.probing == p {
		d.probing = nil
	}
	g.pruneLocked(e.At)
	g.unlock()
	if g.store != nil {
		g.keep(e, urgent)
	}
}

// queueWaitWithin is how long a probe with this context can wait for its turn.
func queueWaitWithin(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return maxQueueWait
	}
	return min(maxQueueWait, max(0, time.Until(deadline)/3))
}

// newPermit knows who wants to log in where, and nothing else yet.
func (g *Guard) newPermit(c *mail.Connection, secret mail.Secret) *Permit {
	return &Permit{
		guard:      g,
		connection: c,
		account:    g.accountHash(c),
		host:       g.serverHash(c),
		tag:        g.secretTag(c, secret),
	}
}

// tryAcquire answers a pass now, or gives what to wait for. The last time there is
// always an answer.
func (p *Permit) tryAcquire(last bool) (changed <-chan struct{}) {
	g := p.guard
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	a, s, d := g.find(p, now)
	p.atLogin = true
	p.Allowed, p.Hold = false, s.hold(p.connection.Lockout, now)
	if p.Hold.Reason != "" {
		return nil
	}
	if until := p.heldAt(d, s, now); !until.IsZero() {
		p.Hold = Hold{mail.AuthHeld, until}
		return nil
	}
	p.unknown = !s.knownGood(now)
	if p.unknown {
		changed = a.turn.waitFor()
	}
	ofAccount := changed != nil
	if !ofAccount {
		changed = d.waitForLoginSlot(p, g.maxLogins)
	}
	switch {
	case changed == nil || last && !ofAccount && d.trusts(p):
		p.grant(a, d, now)
	case last: // the probe goes on without the login
		p.Hold = p.nextInterval(now)
	default:
		return changed
	}
	return nil
}

// heldAt is until when the server withholds the login; zero: not now. In a
// mass failure one pass at a time may be the canary, so that the others do not
// come and go without a login.
func (p *Permit) heldAt(d *server, s *secretState, now time.Time) time.Time {
	until, canary := d.hold(p.account, s, now)
	switch {
	case !canary:
		return until
	case d.probing != nil && d.probing != p:
		return now.Add(p.connection.Interval)
	}
	d.probing = p
	return time.Time{}
}

// grant lets the login through. It comes here also when maxQueueWait ends at a
// trusted server: that it is slow is no reason for a hold.
func (p *Permit) grant(a *account, d *server, now time.Time) {
	p.Allowed, p.since = true, now
	if p.unknown {
		a.turn.holder = p
	}
	d.startLogin(p)
	if d.probing == p {
		p.halfOpen = true
		d.NextProbe, d.lastProbe = now.Add(guardWindow), p.account
	}
}

// withhold withholds the login. What comes before it may be lastHeldProbe at once in a
// while, for the whole server, and not while it refuses: fail2ban's
// aggressive filters count sessions that never log in, too.
func (p *Permit) withhold(hold Hold, d *server, now time.Time) {
	p.Hold = hold
	if p.connection.HeldProbe && now.Sub(d.lastHeldProbe) >= heldProbeGap && len(d.Refusals) <= heldProbesUpTo {
		d.lastHeldProbe = now
		p.Connect = true
	}
}

// nextInterval is the hold of a login whose turn is simply not now.
func (p *Permit) nextInterval(now time.Time) Hold {
	return Hold{mail.AuthHeld, now.Add(p.connection.Interval)}
}

// event is the pass's verdict as it is counted and kept.
func (p *Permit) event(v AuthVerdict, at time.Time) event {
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
