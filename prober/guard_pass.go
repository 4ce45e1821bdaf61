package prober

// This file is the way of one probe past the guard: Enter before the dial, Login
// when the credential is about to be sent, Done at the end.

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// patience bounds how long Enter waits for its turn; a third of the probe's
// time is bound enough where that is less, so that the rest can still tell a
// dead server from a held login.
const patience = 10 * time.Second

// Hold is why, and until when, a login is withheld.
type Hold struct {
	// Reason is the verdict that caused it, or AuthHeld where the destination
	// is held and not the account.
	Reason Reason
	// Until is when the next login may be tried; zero: only when the secret,
	// the mechanism or the login name has changed (lockout strict).
	Until time.Time
}

// Pass is the answer to one probe that wants to log in. Done must be called
// exactly once, whatever happened. A nil *Pass is allowed everything.
type Pass struct {
	Allowed bool
	Hold    Hold // zero if allowed
	Connect bool // the phases before the login may run

	guard      *Guard // nil: nothing to learn
	connection *Connection
	account    keyedHash
	host       keyedHash
	tag        uint16 // of the secret

	unproven bool      // it logs in with a secret that is not known to work
	canary   bool      // it is the one that tries while a destination is held
	since    time.Time // when it got its turn
	sent     bool      // Login was called: the turn does not lapse any more
	done     bool
}

// AuthVerdict is what became of a login. The zero value is one that was not
// tried.
type AuthVerdict struct {
	Tried    bool // a credential went over the wire
	Accepted bool
	Class    Class  // of the failure, if any
	Reason   Reason // of the failure, if any
	Address  string // remote address and port; empty: never connected
}

// Enter asks for leave to log in with a secret that was just read. It is called
// before the dial. A login that is not known to work waits here for its turn,
// until ctx ends or patience does.
func (g *Guard) Enter(ctx context.Context, c *Connection, secret Secret) *Pass {
	if g == nil || c.Lockout == LockoutOff {
		return &Pass{Allowed: true, Connect: true}
	}
	p := g.newPass(c, secret)
	giveUp := time.NewTimer(patienceWithin(ctx))
	defer giveUp.Stop()
	for {
		changed, lapse := p.ask(false)
		if changed == nil {
			return p
		}
		lapsed := time.NewTimer(lapse)
		patient := true
		select {
		case <-changed:
		case <-lapsed.C:
		case <-ctx.Done():
			patient = false
		case <-giveUp.C:
			patient = false
		}
		lapsed.Stop()
		if !patient {
			p.ask(true)
			return p
		}
	}
}

// Login asks again when the credential is about to be sent: another login may
// have been refused since Enter. It is false if this one is withheld after all;
// Hold then says why. It never waits.
func (p *Pass) Login() bool {
	if p == nil || p.guard == nil {
		return true
	}
	g := p.guard
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	a, s, d := g.find(p, now)
	p.Hold = s.hold(p.connection.Lockout, now)
	if p.Hold.Reason == "" && !p.canary {
		if until, _ := d.hold(p.account, s, now); !until.IsZero() {
			p.Hold = Hold{AuthHeld, until}
		}
	}
	if p.Hold.Reason == "" && (p.unproven && a.turn.heldByOther(p) || d.full(p, g.maxLogins)) {
		p.Hold = p.nextInterval(now)
	}
	p.Allowed = p.Hold.Reason == ""
	p.sent = p.Allowed
	return p.Allowed
}

// Done tells what became of the login. Only the first call counts.
func (p *Pass) Done(v AuthVerdict) {
	if p == nil || p.guard == nil || p.done {
		return
	}
	g := p.guard
	e := p.event(v, g.now())
	g.mu.Lock()
	p.done = true
	a, _, d := g.find(p, e.At)
	urgent := g.apply(e, p.connection.Name)
	if p.canary && !v.Tried {
		d.CanaryAt, d.canary = e.At, keyedHash{} // the next one is the canary
	}
	a.turn.give(p)
	d.leave(p)
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
func (g *Guard) newPass(c *Connection, secret Secret) *Pass {
	return &Pass{
		guard:      g,
		connection: c,
		account:    g.accountHash(c),
		host:       g.destinationHash(c),
		tag:        g.secretTag(c, secret),
	}
}

// ask answers a pass now, or gives what to wait for: a change, or the time
// after which the turn of the one before lapses. The last time there is always
// an answer.
func (p *Pass) ask(last bool) (changed <-chan struct{}, lapse time.Duration) {
	g := p.guard
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	if g.store != nil {
		g.store.poll(g, now)
	}
	a, s, d := g.find(p, now)
	if hold := s.hold(p.connection.Lockout, now); hold.Reason != "" {
		p.deny(hold, d, now)
		return nil, 0
	}
	until, canary := d.hold(p.account, s, now)
	if !until.IsZero() {
		p.deny(Hold{AuthHeld, until}, d, now)
		return nil, 0
	}
	p.unproven = !s.proven(now)
	if p.unproven {
		changed, lapse = a.turn.taken(now)
	}
	ofAccount := changed != nil
	if !ofAccount {
		changed, lapse = d.crowded(p, g.maxLogins, now)
	}
	switch {
	case changed == nil || last && !ofAccount && d.trusts(p):
		p.admit(a, d, canary, now)
	case last: // the probe goes on without the login
		p.Hold, p.Connect = p.nextInterval(now), true
	default:
		return changed, lapse
	}
	return nil, 0
}

// admit lets the login through. It comes here also when patience ends at a
// trusted server: that it is slow is no reason for a hold.
func (p *Pass) admit(a *account, d *destination, canary bool, now time.Time) {
	p.Allowed, p.Connect, p.since = true, true, now
	if p.unproven {
		a.turn.holder = p
	}
	d.enter(p)
	if canary {
		p.canary = true
		d.CanaryAt, d.canary = now.Add(guardWindow), p.account
	}
}

// left is how long the pass keeps its turn: to the end once the login began.
// Otherwise one dead server would keep an account from all the others.
func (p *Pass) left(now time.Time) time.Duration {
	if p.sent {
		return patience
	}
	return max(0, turnLease-now.Sub(p.since))
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
	return Hold{AuthHeld, now.Add(p.connection.Interval)}
}

// event is the pass's verdict as it is counted and kept.
func (p *Pass) event(v AuthVerdict, at time.Time) event {
	e := event{
		At: at, Began: p.since, Account: p.account, Tag: p.tag, Host: p.host,
		Reason: v.Reason, Interval: p.connection.Interval, Result: resultOf(v), Lines: linesOf(p.connection.Protocol),
	}
	if e.Result == doubtful && p.connection.Lockout == LockoutStrict {
		e.Result = refused
	}
	if host, _, err := net.SplitHostPort(v.Address); err == nil {
		if addr, err := netip.ParseAddr(host); err == nil && !addr.IsLoopback() {
			e.Address = p.guard.addressHash(addr)
		}
	}
	return e
}
