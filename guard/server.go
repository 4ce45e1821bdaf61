package guard

// This file knows when a whole server is left alone: what bans count is not
// whose password was wrong but how many were, from one address.

import (
	"slices"
	"time"

	"mailprobe/mail"
)

const (
	guardWindow  = 10 * time.Minute // in which refusals are counted, as fail2ban does
	heldProbeGap = 5 * time.Minute  // between two looks at a server without a login

	// Refusals within the window. Whatever their order they stay below fail2ban's 5.
	unknownBudget   = 2 // of secrets not known to work; then no more such logins
	unknownTotal    = 3 // of any, likewise
	knownGoodBudget = 2 // of secrets known to work: then it is a mass failure
	quickProbeUpTo  = 3 // up to which the canary need not wait for a window without
	heldProbesUpTo  = 1 // refusals; then no look either, for a ban list may count it

	// Logins under way count as refusals to come: so the budget holds even if all
	// passwords of a server turn wrong at once.
	defaultMaxLogins = 4

	// Logins that must be accepted before they may overlap again.
	rampUpAfterRefusal = 3
	rampUpAfterOpen    = 10
)

// server is a server under all the names and addresses it is known by.
type server struct {
	Names     []keyedHash   `json:"names"`
	Refusals  []refusalMark `json:"refusals,omitempty"` // within the window, oldest first
	Open      bool          `json:"mass,omitzero"`      // a mass failure: only a canary logs in
	NextProbe time.Time     `json:"canary_at,omitzero"` // when the next one may

	lastProbe     keyedHash // the account that was the last one
	rampUp        int       // logins still to be accepted before they may overlap
	accepts       int       // logins accepted since the last refusal
	lastHeldProbe time.Time // last look without a login

	connecting map[*Permit]struct{} // admitted to the server and not done
	loggingIn  map[*Permit]struct{} // of them, let through to the login
	probing    *Permit              // the one that may be the next canary
	changed    chan struct{}        // closed when one of them is; nil: nobody waits
}

// refusalMark is one refusal as a server remembers it.
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

// server finds a server by one of its names or begins one.
func (g *Guard) server(name keyedHash) *server {
	d := g.servers[name]
	if d == nil {
		d = &server{Names: []keyedHash{name}}
		g.servers[name] = d
	}
	return d
}

// mergeAddress returns the server of a host that was atLogin at an address (zero: not
// atLogin). Two that share an address are one from then on: bans see the server.
func (g *Guard) mergeAddress(host, address keyedHash) *server {
	d := g.server(host)
	if address == (keyedHash{}) {
		return d
	}
	other := g.servers[address]
	if other == nil {
		d.Names = append(d.Names, address)
		g.servers[address] = d
		return d
	}
	if other == d {
		return d
	}
	for _, name := range other.Names {
		g.servers[name] = d
	}
	d.Names = append(d.Names, other.Names...)
	d.Refusals = append(d.Refusals, other.Refusals...)
	slices.SortFunc(d.Refusals, func(x, y refusalMark) int { return x.At.Compare(y.At) })
	d.Open = d.Open || other.Open
	if d.probing == nil {
		d.probing = other.probing
	}
	if other.NextProbe.After(d.NextProbe) {
		d.NextProbe, d.lastProbe = other.NextProbe, other.lastProbe
	}
	d.rampUp = max(d.rampUp, other.rampUp)
	for p := range other.connecting {
		d.startConnecting(p)
	}
	for p := range other.loggingIn {
		d.startLogin(p)
	}
	other.wake() // who waits there asks again, and finds d
	return d
}

// hold is until when logins with this secret are withheld here; zero: not now.
// canary says that this login would be the one that tries.
func (d *server) hold(account keyedHash, s *secretState, now time.Time) (until time.Time, canary bool) {
	d.expire(now)
	if !d.Open {
		if s.knownGood(now) {
			return time.Time{}, false
		}
		return holdForUnknown(d.Refusals), false
	}
	until = d.NextProbe
	if account == d.lastProbe {
		until = until.Add(guardWindow) // the others first
	}
	if now.Before(until) {
		return until, false
	}
	return time.Time{}, true
}

// expire drops what is out of the window, or in the future of a clock that was
// set back.
func (d *server) expire(now time.Time) {
	d.Refusals = slices.DeleteFunc(d.Refusals, func(m refusalMark) bool {
		return now.Sub(m.At) >= guardWindow || m.At.After(now)
	})
	if latest := now.Add(guardWindow); d.NextProbe.After(latest) {
		d.NextProbe = latest
	}
}

// holdForUnknown is when so many of the refusals will be out of the window that a
// secret not known to work may be tried.
func holdForUnknown(marks []refusalMark) (until time.Time) {
	for ; countKnownGood(marks, false) >= unknownBudget || linesIn(marks) >= unknownTotal; marks = marks[1:] {
		until = marks[0].At.Add(guardWindow)
	}
	return until
}

func countKnownGood(marks []refusalMark, proven bool) (n int) {
	for _, m := range marks {
		if m.Proven == proven {
			n++
		}
	}
	return n
}

// refused counts a refusal. It reports whether a mass failure begins with it.
func (d *server) refused(proven bool, lines int, now time.Time) (begins bool) {
	d.expire(now)
	d.Refusals = append(d.Refusals, refusalMark{now, proven, lines})
	d.rampUp, d.accepts = max(d.rampUp, rampUpAfterRefusal), 0
	if countKnownGood(d.Refusals, true) >= knownGoodBudget && !d.Open {
		begins, d.Open, d.NextProbe = true, true, now
	}
	if d.Open && linesIn(d.Refusals) > quickProbeUpTo {
		d.NextProbe = now.Add(guardWindow)
	}
	return begins
}

// accepted counts an accepted login. It reports whether it ends a mass failure;
// the others then follow one at a time. A login that was under way when the last
// one was refused says nothing about what came after.
func (d *server) accepted(began time.Time) (ends bool) {
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

// freshFor is how long a session may take to its login before it is slow.
const freshFor = time.Second

// waitToConnect returns what to wait for while enough are on their way to a login here; nil:
// there is room for p. Each could be one more line in the server's log.
func (d *server) waitToConnect(p *Permit, limit int, now time.Time) (changed <-chan struct{}) {
	lines := 0
	for q := range d.connecting {
		if q.atLogin || now.Sub(q.entered) < freshFor {
			lines += linesOf(q.connection.Protocol)
		}
	}
	if lines == 0 || lines+linesOf(p.connection.Protocol) <= limit-linesIn(d.Refusals) {
		return nil
	}
	return d.change()
}

// change is closed at the next change.
func (d *server) change() <-chan struct{} {
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// waitForLoginSlot returns what to wait for while too many logins are under way; nil: there
// is room for p. After a refusal all go one at a time; those with a secret that
// is not known to work do until the server has accepted some.
func (d *server) waitForLoginSlot(p *Permit, limit int) (changed <-chan struct{}) {
	loggingIn, unproven := 0, 0
	for q := range d.loggingIn {
		loggingIn += linesOf(q.connection.Protocol)
		if q.unknown {
			unproven++
		}
	}
	room := limit - linesIn(d.Refusals)
	if d.rampUp > 0 {
		room = 1
	}
	if loggingIn == 0 || loggingIn+linesOf(p.connection.Protocol) <= room && (!p.unknown || unproven == 0 || d.trusts(p)) {
		return nil
	}
	return d.change()
}

// trusts reports whether nothing speaks against p: nobody was refused lately,
// and the server accepts logins if p's own was never seen to work.
func (d *server) trusts(p *Permit) bool {
	suspect := len(d.Refusals) > 0 || d.Open || d.rampUp > 0
	return !suspect && (!p.unknown || d.accepts >= rampUpAfterRefusal)
}

func (d *server) startConnecting(p *Permit) {
	if d.connecting == nil {
		d.connecting = make(map[*Permit]struct{})
	}
	d.connecting[p] = struct{}{}
}

func (d *server) startLogin(p *Permit) {
	if d.loggingIn == nil {
		d.loggingIn = make(map[*Permit]struct{})
	}
	d.loggingIn[p] = struct{}{}
}

// leave makes room for the next.
func (d *server) leave(p *Permit) {
	delete(d.loggingIn, p)
	if _, connecting := d.connecting[p]; connecting {
		delete(d.connecting, p)
		d.wake()
	}
}

func (d *server) wake() {
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// quiet reports whether nothing would be lost by forgetting the server.
func (d *server) quiet(now time.Time) bool {
	d.expire(now)
	return len(d.Refusals) == 0 && !d.Open && len(d.connecting) == 0
}

// pruneLocked forgets, once an hour, what no longer matters. Quiet servers
// go too: addresses change hands, and names that shared one come apart again.
func (g *Guard) pruneLocked(now time.Time) {
	if ago := now.Sub(g.pruned); ago >= 0 && ago < time.Hour {
		return
	}
	g.pruned = now
	for name, d := range g.servers {
		if d.quiet(now) {
			delete(g.servers, name)
		}
	}
	for id, a := range g.accounts {
		a.Secrets = slices.DeleteFunc(a.Secrets, func(s secretState) bool { return now.Sub(s.Seen) > forgetAfter })
		if len(a.Secrets) == 0 && a.turn.holder == nil {
			delete(g.accounts, id)
		}
	}
}
