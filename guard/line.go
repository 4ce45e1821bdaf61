package guard

// This file decides which connection of an account is tried first when its budget of
// attempts has room again. A connection that was never refused must not wait for ever
// behind those that are refused again and again. Thousands of connections may share one
// account, so each operation takes a time that grows with the logarithm of their number.

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// minPatience is the minimum time that a connection keeps its place without asking
// again. Connections of a server that refuses logins are probed only every 10 minutes.
const minPatience = 20 * time.Minute

// place is one connection that waits for the budget of its account.
type place struct {
	cause   keyedHash
	rank    rank
	refused time.Time // last time; zero: never
	since   time.Time // when it began to wait
	until   time.Time // it loses its place if it has not asked again by then

	number uint64 // in the order of joining; it decides between places that are equal otherwise
	index  int    // in line.expiries
}

// rank orders the places; the lowest comes first.
type rank int

const (
	unconfirmed   rank = iota // it worked until a single refusal
	neverRefused              // by a server that has not refused the account lately
	refusedByHost             // never refused itself, but its server refused the account
	refusedItself             // the one refused longest ago comes first
)

// line holds the connections that wait for the budget of one account. A nil line is
// empty.
type line struct {
	places   map[keyedHash]*place // by cause
	order    []*place             // the first one is tried first
	expiries expiries
	joined   uint64
	newest   time.Time // when the place that waits shortest began to wait, or later
}

// placeOf returns the place that a permit's connection has, or would have now.
func (a *account) placeOf(p *Permit, s *secretState, t *targetState, now time.Time) place {
	c := p.connection
	mine := place{cause: p.id.cause, refused: a.lastRefused(p, s), since: now, until: now.Add(max(minPatience, 2*c.Interval) + c.Timeout)}
	if before := a.line.find(mine.cause); before != nil {
		mine.since = before.since
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
func (x *place) before(y *place) bool { return x.compare(y) < 0 }

func (x *place) compare(y *place) int {
	return cmp.Or(cmp.Compare(x.rank, y.rank), x.refused.Compare(y.refused), x.since.Compare(y.since))
}

// inOrder compares two places; only a place itself is equal to it.
func inOrder(x, y *place) int { return cmp.Or(x.compare(y), cmp.Compare(x.number, y.number)) }

// find returns the place of a connection; nil: it has none.
func (l *line) find(cause keyedHash) *place {
	if l == nil {
		return nil
	}
	return l.places[cause]
}

// ahead counts the connections before a place. Those that have not asked for a long time
// are dropped.
func (l *line) ahead(mine place, now time.Time) (n int) {
	if l == nil {
		return 0
	}
	for len(l.expiries) > 0 && now.After(l.expiries[0].until) {
		l.drop(l.expiries[0])
	}
	if now.Before(l.newest) { // the clock was set back
		l.keep(func(p *place) bool { return !p.since.After(now) })
		l.newest = now
	}
	n, _ = slices.BinarySearchFunc(l.order, &mine, (*place).compare)
	if other := l.places[mine.cause]; other != nil && other.before(&mine) {
		n--
	}
	return n
}

// join lets a connection wait, or renews its place.
func (a *account) join(mine place) {
	if a.line == nil {
		a.line = &line{places: map[keyedHash]*place{}}
	}
	l := a.line
	l.joined++
	mine.number = l.joined
	if old := l.places[mine.cause]; old != nil {
		if old.compare(&mine) == 0 { // the usual case: it asks again
			old.until = mine.until
			heap.Fix(&l.expiries, old.index)
			return
		}
		l.drop(old)
	}
	l.places[mine.cause], l.newest = &mine, laterOf(l.newest, mine.since)
	at, _ := slices.BinarySearchFunc(l.order, &mine, inOrder)
	l.order = slices.Insert(l.order, at, &mine)
	heap.Push(&l.expiries, &mine)
}

// leave removes a connection that is tried now, or that cannot be tried.
func (l *line) leave(cause keyedHash) {
	if p := l.find(cause); p != nil {
		l.drop(p)
	}
}

// keepConfigured removes all connections that are not configured any more.
func (l *line) keepConfigured(set *connectionSet) {
	l.keep(func(p *place) bool { return set.find(p.cause) != nil })
}

// keep removes all places that are not wanted.
func (l *line) keep(wanted func(*place) bool) {
	if l == nil {
		return
	}
	for _, p := range slices.Clone(l.order) {
		if !wanted(p) {
			l.drop(p)
		}
	}
}

func (l *line) drop(p *place) {
	delete(l.places, p.cause)
	heap.Remove(&l.expiries, p.index)
	if at, found := slices.BinarySearchFunc(l.order, p, inOrder); found {
		l.order = slices.Delete(l.order, at, at+1)
	}
}

// expiries is a heap of places; the one that expires first is on top. It implements
// heap.Interface.
type expiries []*place

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].until.Before(e[j].until) }

func (e expiries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

// Push implements heap.Interface.
func (e *expiries) Push(p any) {
	added := p.(*place)
	added.index = len(*e)
	*e = append(*e, added)
}

// Pop implements heap.Interface.
func (e *expiries) Pop() any {
	last := len(*e) - 1
	p := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return p
}
