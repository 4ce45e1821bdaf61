package guard

// This file counts verdicts. All knowledge of the guard comes from events: those of
// this process, and those of other processes, which it reads from the journal.

import (
	"cmp"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"mailprobe/mail"
)

// result is the outcome of a login in an event.
type result string

// The results.
const (
	sent      result = "sent"       // the credential is about to be sent
	unsent    result = ""           // it was not sent after all
	accepted  result = "accepted"   // the server accepted it
	refused   result = "refused"    // the server refused it
	doubtful  result = "doubtful"   // the server may have refused it: it closed the connection, or no rule knows its answer
	silent    result = "silent"     // no answer in time
	tooSoon   result = "too soon"   // the server wants longer pauses
	temporary result = "undecided"  // an answer that says nothing of the credential
	calledOff result = "called off" // mailprobe closed the connection before the answer

	forgotten result = "forgotten" // no login: the record of earlier attempts was damaged or removed
)

// event is one verdict as it is counted; it is also a line of the journal.
type event struct {
	ID       uint64        `json:"id"`
	At       time.Time     `json:"at"`
	Began    time.Time     `json:"began,omitzero"` // when the login was granted
	Until    time.Time     `json:"until,omitzero"` // only with sent: no answer is expected later
	Account  keyedHash     `json:"account"`
	Tag      uint16        `json:"tag"`
	Target   keyedHash     `json:"target,omitzero"`
	Host     keyedHash     `json:"host"`
	Address  keyedHash     `json:"address,omitzero"`
	Cause    keyedHash     `json:"cause,omitzero"` // the connection
	Result   result        `json:"result"`
	Reason   mail.Reason   `json:"reason,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	Lines    int           `json:"lines,omitempty"` // of a refusal in the server's log

	// Only for the log: whether this login is not tried again before a change, and
	// whether no rule knows the answer.
	strict, unclassified bool
}

// temporaryReasons are answers to a login that say nothing about the credential.
var temporaryReasons = map[mail.Reason]bool{
	mail.AuthTemporary:     true,
	mail.ServerUnavailable: true,
	mail.ServerLimit:       true,
	mail.MailboxInUse:      true,
	mail.MailboxFailed:     true,
}

// hangUps are the ways in which a login ends without an answer. Each may be a refusal.
var hangUps = map[mail.Reason]bool{mail.Closed: true, mail.Reset: true}

// resultOf classifies an answer. Any refusal that is not known to be temporary is at
// least doubtful, and so is an OK that the server revoked at the next command.
func resultOf(v AuthVerdict) result {
	switch {
	case !v.Tried:
		return unsent
	case v.Accepted && v.Class != mail.Possible && !v.Doubtful:
		return accepted
	case v.Class == 0 && !v.Doubtful:
		return calledOff
	case v.Doubtful, v.Class == mail.Possible:
		return doubtful
	case v.Class == mail.Definitive:
		return refused
	case v.Reason == mail.Timeout:
		return silent
	case v.Reason == mail.AuthTooSoon:
		return tooSoon
	case temporaryReasons[v.Reason]:
		return temporary
	}
	return doubtful
}

// event is the permit's verdict as it is counted and kept.
func (p *Permit) event(v AuthVerdict, at time.Time) event {
	e := event{
		ID: p.attempt, At: at, Began: p.since, Account: p.id.account, Tag: p.tag, Target: p.id.target, Host: p.id.server,
		Cause: p.id.cause, Reason: v.Reason, Interval: p.connection.Interval, Result: resultOf(v),
		Lines: linesOf(p.connection.Protocol), strict: p.connection.Lockout == mail.LockoutStrict, unclassified: v.Unclassified,
	}
	if v.Reason == mail.NotAuthorized { // concerns this connection's mailbox or authorization identity alone
		e.Target = p.id.cause
	}
	if e.strict && (e.Result == doubtful || e.Result == silent) {
		e.Result = refused
	}
	if host, _, err := net.SplitHostPort(v.Address); err == nil {
		if addr, err := netip.ParseAddr(host); err == nil && !addr.IsLoopback() {
			e.Address = p.guard.addressHash(addr)
		}
	}
	return e
}

// apply counts an event, of this process or another; name is the connection's,
// for the log.
func (g *Guard) apply(e event, name string) {
	if e.Result == forgotten {
		g.forget(e.At)
		return
	}
	a := g.account(e.Account, e.At)
	s := a.secret(e.Tag, e.At)
	t := s.target(e.Target)
	d := g.mergeAddress(e.Host, e.Address)
	g.changes++
	switch e.Result {
	case sent:
		a.open(attempt{ID: e.ID, At: e.At, Until: e.Until, Tag: e.Tag, Target: e.Target, Server: e.Host, Cause: e.Cause})
	case accepted:
		a.answered(e.ID, false, e)
		a.excuse(e.Tag, e.Target)
		g.accept(a, s, t, d, e, name)
	case refused:
		g.noteUnclassified(e, name)
		a.answered(e.ID, true, e)
		g.refuse(a, s, t, d, e, name)
	case doubtful:
		g.noteUnclassified(e, name)
		a.answered(e.ID, true, e)
		if t.suspect(e.At, e.Reason, e.Cause) {
			g.refuse(a, s, t, d, e, name)
		}
	case silent, tooSoon:
		g.slow(a, s, t, d, e, name)
	case temporary:
		a.answered(e.ID, false, e)
		t.Suspected = false
	case calledOff: // it counts until the next accepted login, but withholds nothing
		a.answered(e.ID, true, e)
	default:
		a.answered(e.ID, false, e)
		g.changes--
	}
}

// forget notes that attempts before a time are not remembered: until they would not
// count any more, no login is tried that is not known to work.
func (g *Guard) forget(at time.Time) {
	g.changes++
	if until := at.Add(halfHour); until.After(g.doubtUntil) {
		g.doubtUntil = until
	}
}

// slow counts an answer that may mean a refusal. For a secret that is known to work it
// only delays the next attempt; for any other it counts as a possible refusal.
func (g *Guard) slow(a *account, s *secretState, t *targetState, d *server, e event, name string) {
	known := s.knownGood(t, e.At)
	a.answered(e.ID, !known, e)
	switch {
	case e.Result == tooSoon && !t.suspect(e.At, e.Reason, e.Cause): // the pool probes less often already
	case known:
		t.slowDown(e)
	case e.Result == tooSoon || t.suspect(e.At, e.Reason, e.Cause):
		g.refuse(a, s, t, d, e, name)
	}
}

// accept counts an accepted login.
func (g *Guard) accept(a *account, s *secretState, t *targetState, d *server, e event, name string) {
	refreshed := e.At.Sub(t.Accepted) <= refreshKnownGood
	a.oneMore = false
	ended := s.forget(e.Cause)
	if s.accept(s.target(e.Target), cmp.Or(e.Began, e.At)) || ended {
		g.note(slog.LevelInfo, "login accepted again", "connection", name)
		refreshed = false
	}
	if d.accepted(e.Began) {
		refreshed = false
		g.note(slog.LevelInfo, "mass failure over: logins to this server resume, one at a time", "connection", name)
	}
	if refreshed { // the file knows it already
		g.changes--
	}
}

// refuse counts a refusal for the account and for the server.
func (g *Guard) refuse(a *account, s *secretState, t *targetState, d *server, e event, name string) {
	known := s.knownGood(t, e.At)
	a.oneMore = false
	a.refuse(s, t, e)
	if e.strict {
		g.note(slog.LevelWarn, "login refused: will not be tried again until something changes", "connection", name,
			"reason", e.Reason, "refusals", t.Refusals)
	} else {
		g.note(slog.LevelWarn, "login refused: will not be tried again before the given time", "connection", name,
			"reason", e.Reason, "refusals", t.Refusals, "until", t.Next.UTC().Format(time.RFC3339))
	}
	before := !holdForUnknown(d.Refusals).IsZero()
	mark := refusalMark{At: e.At, Known: known, Lines: e.Lines, Account: e.Account, Cause: e.Cause}
	switch opens := d.refused(mark, g.maxLogins, e.At); {
	case opens && knownAccounts(d.Refusals) >= knownGoodBudget:
		g.note(slog.LevelWarn, "mass failure: several logins that used to work were refused; only one login at a time is tried on this server, every 10 minutes",
			"connection", name)
	case opens:
		g.note(slog.LevelWarn, "a login was refused so often that one more could get this host banned; only one login at a time is tried on this server, every 10 minutes",
			"connection", name)
	case !before && !d.Open && !holdForUnknown(d.Refusals).IsZero():
		g.note(slog.LevelWarn, "logins were refused: logins to this server that never worked wait for 10 minutes", "connection", name)
	}
}

// noteUnclassified logs once that no rule knows a server's answer to a login.
func (g *Guard) noteUnclassified(e event, name string) {
	if !e.unclassified && (e.Result == refused || hangUps[e.Reason]) || g.classified[e.Cause] {
		return
	}
	g.classified[e.Cause] = true
	g.note(slog.LevelWarn, "the server's answer to the login is not classified: it counts as a refusal, at the latest the second time", "connection", name,
		"reason", e.Reason)
}

// forgive limits verdicts to their own target if the refused connection no longer has
// the secret.
func (a *account) forgive(p *Permit) {
	for i := range a.Secrets {
		s := &a.Secrets[i]
		if s.Tag == p.tag {
			continue
		}
		for j := range s.Targets {
			if t := &s.Targets[j]; t.Cause == p.id.cause {
				t.Wide = false
			}
		}
	}
}

// sane reports whether the times of an event are plausible: it is younger than forgetAfter.
func (e event) sane(now time.Time) bool {
	return now.Sub(e.At) < forgetAfter && e.Interval >= 0 && e.Interval < forgetAfter && e.Until.Sub(e.At) < forgetAfter
}
