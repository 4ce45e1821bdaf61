package guard

// This file decides which connection of an account is tried first when its budget of
// attempts has room again. A connection that was never refused must not wait for ever
// behind those that are refused again and again.

import (
	"slices"
	"time"
)

// minPatience is how long a connection at least keeps its place without asking again.
// Connections of a busy server are probed only every 10 minutes.
const minPatience = 20 * time.Minute

// place is one connection that waits for the budget of its account.
type place struct {
	cause   keyedHash
	rank    rank
	refused time.Time // last time; zero: never
	since   time.Time // when it began to wait
	until   time.Time // if it has not asked again by then, it loses its place
}

// rank orders the places; the lowest comes first.
type rank int

const (
	unconfirmed   rank = iota // it worked until a single refusal
	neverRefused              // by a server that has not refused the account lately
	refusedByHost             // never refused itself, but its server refused the account
	refusedItself             // the one refused longest ago comes first
)

// line holds the connections that wait for the budget of one account.
type line struct{ places []place }

// placeOf returns the place that a permit's connection has, or would have now.
func (a *account) placeOf(p *Permit, s *secretState, t *targetState, now time.Time) place {
	c := p.connection
	mine := place{cause: p.id.cause, refused: a.lastRefused(p, s), since: now, until: now.Add(max(minPatience, 2*c.Interval) + c.Timeout)}
	for _, other := range a.line.places {
		if other.cause == mine.cause {
			mine.since = other.since
		}
	}
	switch {
	case t.isUnconfirmed(now):
		mine.rank = unconfirmed
	case !mine.refused.IsZero():
		mine.rank = refusedItself
	case slices.ContainsFunc(a.Attempts, func(at attempt) bool { return at.Server == p.id.server }):
		mine.rank = refusedByHost
	default:
		mine.rank = neverRefused
	}
	return mine
}

// lastRefused returns when a permit's login was last refused, or may have been.
func (a *account) lastRefused(p *Permit, s *secretState) (last time.Time) {
	for i := range s.Targets {
		if t := &s.Targets[i]; (t.ID == p.id.target || t.ID == p.id.cause) && (t.Refusals > 0 || t.Suspected) {
			last = laterOf(last, t.Refused)
		}
	}
	for _, at := range a.Attempts {
		if at.Tag == p.tag && (at.Target == p.id.target || at.Cause == p.id.cause) {
			last = laterOf(last, at.At)
		}
	}
	return last
}

// before reports whether a place is nearer to the front than another one.
func (x *place) before(y *place) bool {
	switch {
	case x.rank != y.rank:
		return x.rank < y.rank
	case !x.refused.Equal(y.refused):
		return x.refused.Before(y.refused)
	}
	return x.since.Before(y.since)
}

// ahead counts the connections before a place. Those that have not asked for a long time
// are dropped.
func (l *line) ahead(mine place, now time.Time) (n int) {
	l.places = slices.DeleteFunc(l.places, func(p place) bool { return now.After(p.until) || p.since.After(now) })
	for i := range l.places {
		if other := &l.places[i]; other.cause != mine.cause && other.before(&mine) {
			n++
		}
	}
	return n
}

// join lets a connection wait, or renews its place.
func (l *line) join(mine place) {
	l.leave(mine.cause)
	l.places = append(l.places, mine)
}

// leave removes a connection that is tried now, or that cannot be tried.
func (l *line) leave(cause keyedHash) {
	l.places = slices.DeleteFunc(l.places, func(p place) bool { return p.cause == cause })
}

// keep removes all connections that are not configured any more.
func (l *line) keep(configured map[keyedHash]string) {
	l.places = slices.DeleteFunc(l.places, func(p place) bool { _, ok := configured[p.cause]; return !ok })
}
