package guard

// This file holds the steps of one probe: Enter before the dial, Login when the
// credential is about to be sent, Done when the server has answered. A login slot is
// held only between Login and Done. A probe of an unreachable server does not get to
// Login, so it blocks no other login.

import (
	"context"
	"errors"
	"time"

	"mailprobe/mail"
)

// pollGap is the time between two reads of other processes' events.
const pollGap = 100 * time.Millisecond

// Permit is the answer to one probe that wants to log in. Done must be called
// exactly once, whatever happened. A nil *Permit permits every login. A Permit is
// for one goroutine.
type Permit struct {
	Allowed bool
	Hold    Hold // zero if allowed; after Done, of the next login, if this one was refused
	Connect bool // the phases before the login may run

	guard      *Guard // nil: every login is permitted and none is counted
	connection *mail.Connection
	id         *identity
	tag        uint16 // of the secret

	first     bool      // the account's first login by this process
	unknown   bool      // it logs in with a secret that is not known to work there
	waitedOut bool      // it has waited long enough already
	byForeign bool      // it waits for a login of another process
	entered   time.Time // when it was admitted to the server
	since     time.Time // when it was granted
	attempt   uint64    // counted for the account; 0: none
	done      bool

	// What the server counts for it.
	connecting, slow, atLogin, loggingIn, countedUnknown bool

	halfOpen bool // it was granted as the half-open probe of the server

	isNewSecret bool // see IsNewSecret
}

// IsNewSecret reports whether the account was accepted at this server by the same
// protocol and method before, as far as is known, but never with the secret of
// this login. It returns false for a nil Permit.
func (p *Permit) IsNewSecret() bool { return p != nil && p.isNewSecret }

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
// here, in the order of their arrival, until ctx ends or they have waited 10 s.
func (g *Guard) Enter(ctx context.Context, c *mail.Connection, secret mail.Secret) *Permit {
	if g == nil || c.Lockout == mail.LockoutOff {
		return &Permit{Allowed: true, Connect: true}
	}
	id := g.identify(c)
	p := &Permit{guard: g, connection: c, id: id, tag: g.tagOf(ctx, id, secret)}
	if g.store != nil {
		g.store.poll()
	}
	await(ctx, true, p.tryReserve)
	return p
}

// tryReserve decides whether the session may connect. With last set it always
// decides.
func (p *Permit) tryReserve(w *waiter, last bool) decision {
	g := p.guard
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	a, s, t, d := p.find(now)
	a.forgive(p)
	p.isNewSecret = a.isNewSecret(p)
	p.unknown = !s.works(t, now)
	if hold := p.holdOf(a, s, t, d, now); hold.Reason != "" {
		w.leave()
		p.withhold(hold, d, now)
		return decision{}
	}
	wait, again := d.waitToConnect(p, g.maxLogins, now)
	blocked := d.arrivals.blocks(w)
	if (wait || blocked) && !last {
		d.arrivals.enqueue(w)
		if d.arrivals.blocks(w) {
			again = 0 // the first in the queue asks again after a time, the others when it wakes them
		}
		return decision{wait: true, again: again}
	}
	w.leave()
	p.waitedOut = wait || blocked
	if p.waitedOut && !d.trusts(p) {
		p.Hold = p.busyHold(now, "too many logins to this server are under way")
		d.vacate(p)
		return decision{}
	}
	p.Allowed, p.Connect, p.entered = true, true, now
	d.admit(p)
	return decision{}
}

// Login asks for permission to send the credential now. It waits for its turn,
// until ctx ends or it has waited 10 s, and for its attempt to be recorded. It
// returns false if the login is withheld after all: Hold then says why. A nil
// guard's permit, and one of lockout off, always returns true.
func (p *Permit) Login(ctx context.Context) bool {
	if p == nil || p.guard == nil {
		return true
	}
	patience := time.Now().Add(queueWaitWithin(ctx))
	for {
		await(ctx, !p.waitedOut, func(w *waiter, last bool) decision {
			if p.byForeign {
				p.guard.store.catchUp(ctx)
			}
			return p.tryAcquire(w, last)
		})
		if !p.Allowed {
			return false
		}
		err := p.record(ctx)
		switch {
		case err == nil:
			return true
		case errors.Is(err, errContended) && ctx.Err() == nil && time.Now().Before(patience):
			p.revoke(Hold{})
		case errors.Is(err, errContended):
			p.revoke(p.busyHold(p.guard.now(), anotherLogin))
			return false
		default:
			hold := p.busyHold(p.guard.now(), "the attempt could not be recorded in the state file: "+err.Error())
			hold.Advice = "Make the state file writable: a login that is not known to work is tried only if a restart cannot forget it."
			p.revoke(hold)
			return false
		}
	}
}

const anotherLogin = "another login of this account has not been answered yet"

// tryAcquire decides whether the credential may be sent. With last set it always
// decides.
func (p *Permit) tryAcquire(w *waiter, last bool) decision {
	g := p.guard
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	a, s, t, d := p.find(now)
	d.arrive(p)
	p.Allowed, p.unknown = false, !s.works(t, now)
	if p.Hold = p.holdOf(a, s, t, d, now); p.Hold.Reason == "" && now.Before(g.blindUntil) {
		p.Hold = heldBlind(g.blindUntil) // not in Enter: the phases before the login are probed
	}
	if p.Hold.Reason != "" {
		w.leave()
		return decision{}
	}
	if _, busy, u := a.room(s, t, p.id.server, 0, now); busy || w.queue != d.queueOf(p) && a.queue.blocks(w) {
		if last {
			w.leave()
			p.Hold = p.busyHold(now, anotherLogin)
			return decision{}
		}
		a.queue.enqueue(w)
		if p.byForeign = u.foreign && g.store != nil; u.foreign {
			return decision{wait: true, again: pollGap}
		}
		return decision{wait: true}
	}
	q := d.queueOf(p)
	wait := d.waitForLoginSlot(p, g.maxLogins) || q.blocks(w)
	switch {
	case wait && !last:
		q.enqueue(w)
		return decision{wait: true}
	case wait && !d.trusts(p): // the probe goes on without the login
		w.leave()
		p.Hold = p.busyHold(now, "too many logins to this server are under way")
		return decision{}
	}
	p.grant(a, d, now)
	w.leave()
	return decision{}
}

// grant lets the login through, and counts the attempt before it is made.
func (p *Permit) grant(a *account, d *server, now time.Time) {
	g := p.guard
	p.Allowed, p.since = true, now
	p.first, a.begun = !a.begun, true
	a.line.leave(p.id.cause)
	d.startLogin(p)
	g.lastID++
	p.attempt = g.lastID
	a.open(attempt{
		ID: p.attempt, At: now, Until: now.Add(p.connection.Timeout + answerGrace), Tag: p.tag,
		Target: p.id.target, Server: p.id.server, Cause: p.id.cause, live: true,
	})
	if d.halfOpen == p {
		p.halfOpen = true
		d.NextProbe, d.lastProbe = now.Add(breakerWindow), p.id.account
	}
}

// record writes the attempt to the journal before the secret is sent. A serving process
// does not wait for the disk if the secret is known to work. The account's first attempt
// is nevertheless written at once: otherwise a process that is killed again and again would
// leave no trace of its attempts.
func (p *Permit) record(ctx context.Context) error {
	store := p.guard.store
	if store == nil {
		return nil
	}
	e := p.event(AuthVerdict{}, p.since)
	e.Result, e.Until = sent, p.since.Add(p.connection.Timeout+answerGrace)
	if !p.unknown && store.owner {
		store.add(e)
		if p.first {
			signal(store.hurry)
		}
		return nil
	}
	return store.commit(ctx, p, e, p.unknown)
}

// revoke takes back a granted login whose secret was not sent.
func (p *Permit) revoke(hold Hold) {
	g := p.guard
	g.mu.Lock()
	now := g.now()
	a, _, _, d := p.find(now)
	e := p.event(AuthVerdict{}, now)
	a.answered(p.attempt, false, e)
	p.Allowed, p.Hold, p.attempt = false, hold, 0
	d.endLogin(p)
	a.queue.wakeFirst()
	g.unlock()
	g.store.add(e)
}

// Done reports the result of the login. Only the first call counts. It does not wait
// for the disk.
func (p *Permit) Done(v AuthVerdict) {
	if p == nil || p.guard == nil || p.done {
		return
	}
	g := p.guard
	g.mu.Lock()
	p.done = true
	e := p.event(v, g.now())
	g.apply(e, p.connection.Name)
	a, s, t, d := p.find(e.At)
	if v.Tried {
		p.Hold = p.nextHold(a, s, t, e.At)
	}
	if p.Allowed && !v.Tried { // it could not be tried, so others need not wait for it
		a.line.leave(p.id.cause)
	}
	if p.halfOpen && !v.Tried {
		d.NextProbe, d.lastProbe = e.At, keyedHash{} // another one may be the half-open probe
	}
	d.leave(p)
	a.queue.wakeFirst()
	g.pruneLocked(e.At)
	g.unlock()
	if g.store != nil && p.attempt != 0 {
		g.store.add(e)
		if p.first { // its attempt was written at once; if mailprobe is killed now, the answer must be there too
			signal(g.store.hurry)
		}
	}
}

// find returns what the guard knows of a permit's login. The pointers are valid
// until the next call. If a server has given a verdict on this connection alone, that is
// used, and not the one on all connections with the same target.
func (p *Permit) find(now time.Time) (*account, *secretState, *targetState, *server) {
	g := p.guard
	a := g.account(p.id.account, now)
	s := a.secret(p.tag, now)
	t := s.target(p.id.target)
	for i := range s.Targets {
		if s.Targets[i].ID == p.id.cause {
			t = &s.Targets[i]
		}
	}
	return a, s, t, g.server(p.id.server)
}

// withhold refuses the login. The phases before the login may still be probed from time
// to time, counted for the whole server, but not while the server refuses logins:
// fail2ban's aggressive filters also count sessions without a login.
func (p *Permit) withhold(hold Hold, d *server, now time.Time) {
	p.Hold = hold
	if p.connection.HeldProbe && now.Sub(d.lastHeldProbe) >= heldProbeGap && len(d.Refusals) <= heldProbesUpTo {
		d.lastHeldProbe = now
		p.Connect = true
	}
}
