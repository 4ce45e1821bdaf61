package guard

// This file describes a server: its names, and the sessions that are about to log in
// there. Each session may add one line to the server's log.

import (
	"slices"
	"time"

	"mailprobe/mail"
)

const (
	heldProbeGap = 5 * time.Minute // between two probes of a server without a login
	freshFor     = time.Second     // how long a session may take to its login before it is slow

	// Logins under way count as refusals to come, so that the limit of the circuit
	// breaker holds even if all passwords of a server become wrong at once.
	defaultMaxLogins = 4
)

// server is one server under all the names and addresses it is known by.
type server struct {
	Names    []keyedHash   `json:"names"`
	Refusals []refusalMark `json:"refusals,omitempty"` // within the window, oldest first

	// The circuit breaker, see breaker.go.
	Open      bool      `json:"open,omitzero"`       // no login but half-open probes
	NextProbe time.Time `json:"next_probe,omitzero"` // when the next half-open probe may start

	halfOpen      *Permit   // the half-open probe
	lastProbe     keyedHash // account of the last half-open probe
	rampUp        int       // logins still to be accepted before they may overlap
	accepts       int       // logins accepted since the last refusal
	lastHeldProbe time.Time // last probe without a login

	fresh        []*Permit // admitted less than freshFor ago, in this order
	connectLines int       // of the admitted sessions that are fresh or at their login
	arrivals     queue     // of sessions that wait to be admitted

	loginLines    int   // of the logins under way
	unknownLogins int   // of them, with a secret that is not known to work
	knownQueue    queue // of logins that wait for a slot; those known to work
	unknownQueue  queue // the others
}

// linesOf returns how many lines of the server's log fail2ban's strictest filter counts
// for one refused login. For Postfix these are two: the refusal and the end of its session.
func linesOf(p mail.Protocol) int {
	if p == mail.SMTP {
		return 2
	}
	return 1
}

// server returns the server with a name; it is created if there is none.
func (g *Guard) server(name keyedHash) *server {
	d := g.servers[name]
	if d == nil {
		d = &server{Names: []keyedHash{name}}
		g.servers[name] = d
	}
	return d
}

// mergeAddress returns the server of a host that was reached at an address
// (zero: not reached). Two that share an address are one from then on, because
// bans are made by the server.
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
	if d.halfOpen == nil {
		d.halfOpen = other.halfOpen
	}
	if other.NextProbe.After(d.NextProbe) {
		d.NextProbe, d.lastProbe = other.NextProbe, other.lastProbe
	}
	d.rampUp = max(d.rampUp, other.rampUp)
	d.connectLines += other.connectLines
	d.loginLines += other.loginLines
	d.unknownLogins += other.unknownLogins
	d.fresh = append(d.fresh, other.fresh...)
	slices.SortFunc(d.fresh, func(x, y *Permit) int { return x.entered.Compare(y.entered) })
	for _, q := range []*queue{&other.arrivals, &other.knownQueue, &other.unknownQueue} {
		q.wakeAll() // they ask again, and find d
	}
	return d
}

// admit counts a session that may connect now.
func (d *server) admit(p *Permit) {
	p.connecting = true
	d.fresh = append(d.fresh, p)
	d.connectLines += linesOf(p.connection.Protocol)
}

// waitToConnect reports whether p has to wait because enough sessions are on
// their way to a login. A session that has not come to its login within a second is
// slow: its server is probably down, and no other session waits for it. again is the
// time until the next one is slow.
func (d *server) waitToConnect(p *Permit, limit int, now time.Time) (wait bool, again time.Duration) {
	for len(d.fresh) > 0 {
		q := d.fresh[0]
		if !q.connecting || q.atLogin { // gone, or counted until it ends
			d.fresh = d.fresh[1:]
			continue
		}
		age := now.Sub(q.entered)
		if age >= 0 && age < freshFor {
			again = freshFor - age
			break
		}
		q.slow = true
		d.connectLines -= linesOf(q.connection.Protocol)
		d.fresh = d.fresh[1:]
	}
	lines := d.connectLines
	return lines > 0 && lines+linesOf(p.connection.Protocol) > limit-linesIn(d.Refusals), again
}

// arrive counts a session whose login is next.
func (d *server) arrive(p *Permit) {
	if p.atLogin {
		return
	}
	p.atLogin = true
	if p.slow {
		p.slow = false
		d.connectLines += linesOf(p.connection.Protocol)
	}
}

// waitForLoginSlot reports whether p has to wait because too many logins are
// under way. After a refusal all go one at a time; those with a secret that is
// not known to work do until the server has accepted some.
func (d *server) waitForLoginSlot(p *Permit, limit int) bool {
	room := limit - linesIn(d.Refusals)
	if d.rampUp > 0 {
		room = 1
	}
	free := d.loginLines == 0 || d.loginLines+linesOf(p.connection.Protocol) <= room &&
		(!p.unknown || d.unknownLogins == 0 || d.trusts(p))
	return !free
}

// trusts reports whether p's login may overlap with others: no login was refused
// lately, and if p's own login was never accepted, the server has accepted others.
func (d *server) trusts(p *Permit) bool {
	suspect := len(d.Refusals) > 0 || d.Open || d.rampUp > 0
	return !suspect && (!p.unknown || d.accepts >= rampUpAfterRefusal)
}

// queueOf returns the queue in which p waits for its login.
func (d *server) queueOf(p *Permit) *queue {
	if p.unknown {
		return &d.unknownQueue
	}
	return &d.knownQueue
}

// startLogin counts a login under way.
func (d *server) startLogin(p *Permit) {
	p.loggingIn, p.countedUnknown = true, p.unknown
	d.loginLines += linesOf(p.connection.Protocol)
	if p.unknown {
		d.unknownLogins++
	}
}

// endLogin makes room for the next login.
func (d *server) endLogin(p *Permit) {
	if p.loggingIn {
		p.loggingIn = false
		d.loginLines -= linesOf(p.connection.Protocol)
		if p.countedUnknown {
			d.unknownLogins--
		}
	}
	d.vacate(p)
	d.knownQueue.wakeFirst()
	d.unknownQueue.wakeFirst()
}

// vacate allows another login to be the half-open probe.
func (d *server) vacate(p *Permit) {
	if d.halfOpen == p {
		d.halfOpen = nil
	}
}

// leave makes room for the next session.
func (d *server) leave(p *Permit) {
	d.endLogin(p)
	if p.connecting {
		p.connecting = false
		if d.fresh = slices.DeleteFunc(d.fresh, func(q *Permit) bool { return q == p }); len(d.fresh) == 0 {
			d.fresh = nil // or the server keeps its last permits in memory
		}
		if !p.slow {
			d.connectLines -= linesOf(p.connection.Protocol)
		}
	}
	d.arrivals.wakeFirst()
}

// quiet reports whether the server's state can be dropped without losing anything.
func (d *server) quiet(now time.Time) bool {
	d.expire(now)
	return len(d.Refusals) == 0 && !d.Open && d.connectLines == 0 && d.loginLines == 0 && d.arrivals.isEmpty()
}

// pruneLocked drops old state once an hour. Quiet servers are dropped too: an address
// may have moved to another server, and names that shared it are then separate again.
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
		a.settle(now)
		a.Secrets = slices.DeleteFunc(a.Secrets, func(s secretState) bool { return now.Sub(s.Seen) > forgetAfter })
		if len(a.Secrets) == 0 && len(a.Attempts) == 0 && a.queue.isEmpty() {
			delete(g.accounts, id)
		}
	}
	clear(g.classified)
}
