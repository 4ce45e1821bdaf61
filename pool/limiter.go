package pool

// This file bounds how many runs probe at once.

import (
	"strings"
	"time"

	"mailprobe/mail"
)

// reservedShare is the largest part of a limiter's places that only quick runs get:
// one of eight. Servers that do not answer keep their
// places for a whole timeout; without a reserve they would leave none for others.
const reservedShare = 8

// limiter lets a limited number of runs probe at once and queues the others.
// Runs start in the order of their arrival, except that a quick run may take a
// reserved place before slow ones that came earlier.
//
// Each run passes the same three limiters: that of its exclusive key, that of its
// host, that of the whole pool. It keeps its places while it waits for the next
// one, so a run that waits for its host holds nothing that a run to another host
// could need.
//
// It fills one line of the processor's cache, and each probe visits three of them.
type limiter struct {
	key      string // in the map that has it; empty: none has
	typical  time.Duration
	arrivals uint64       // of runs, since the beginning; the order of the queues
	queues   *[2]runQueue // of slow and of quick runs; nil: no run had to wait yet
	capacity int32
	taken    int32 // places in use
	slow     int32 // of these, by runs that are not quick
	users    int32 // entries and runs that refer to it
	quick    int32 // entries that are quick now
}

// The indexes of limiter.queues.
const (
	slowQueue = iota
	quickQueue
)

// limiterFor finds a limiter or makes it, and counts the new user. A limiter may outlive
// the definition that its key is a part of, so it has a copy.
func limiterFor(limiters map[string]*limiter, key string, capacity int) *limiter {
	l := limiters[key]
	if l == nil {
		l = &limiter{key: strings.Clone(key), capacity: int32(capacity)}
		limiters[l.key] = l
	}
	l.users++
	return l
}

// forget removes a user, and drops a limiter that has none left, so that old hosts
// and names cost nothing.
func forget(limiters map[string]*limiter, l *limiter) {
	if l.users--; l.users == 0 && l.key != "" {
		delete(limiters, l.key)
	}
}

// lockFor returns the limiter of what only one probe of a connection at a time may use,
// and counts the new user. For most connections that is the connection itself. An entry
// has one run at a time, so such a connection needs a lock only while a cancelled probe
// of an earlier definition of it still runs.
func (p *Pool) lockFor(c *mail.Connection) *limiter {
	key, isOwn := exclusiveKey(c)
	if isOwn && p.locks[key] == nil {
		p.unlocked.users++
		return p.unlocked
	}
	return limiterFor(p.locks, key, 1)
}

// lockCancelled lets a cancelled probe hold the lock of its connection until it has
// ended, so that no probe of a later definition begins before.
func (p *Pool) lockCancelled(r *run) {
	if r.limiters[0] != p.unlocked {
		return // it holds a lock
	}
	p.unlocked.giveBack(r.quick)
	forget(p.locks, p.unlocked)
	key, _ := exclusiveKey(r.connection)
	r.limiters[0] = limiterFor(p.locks, key, 1)
	r.limiters[0].take(r.quick)
}

// admits reports whether there is a place for a run of this kind.
func (l *limiter) admits(quick bool) bool {
	return l.taken < l.capacity && (quick || l.slow < l.capacity-l.reserved())
}

// reserved is how many places slow runs must leave free. Quick connections are
// seldom probed all at once, so one place for four of them is enough.
func (l *limiter) reserved() int32 { return min(l.capacity/reservedShare, (l.quick+3)/4) }

func (l *limiter) take(quick bool) {
	l.taken++
	if !quick {
		l.slow++
	}
}

func (l *limiter) giveBack(quick bool) {
	l.taken--
	if !quick {
		l.slow--
	}
}

// enqueue puts a run at the end of its queue.
func (l *limiter) enqueue(r *run) {
	l.arrivals++
	r.arrival = l.arrivals
	if l.queues == nil {
		l.queues = new([2]runQueue)
	}
	l.queueOf(r).push(r)
}

// queueOf returns the queue of a run that waits.
func (l *limiter) queueOf(r *run) *runQueue {
	if r.quick {
		return &l.queues[quickQueue]
	}
	return &l.queues[slowQueue]
}

// next takes the run out of the queues that may start now; nil: none may.
func (l *limiter) next() *run {
	if l.waiting() == 0 { // the usual case
		return nil
	}
	var first *run
	for _, r := range []*run{l.queues[slowQueue].first, l.queues[quickQueue].first} {
		if r != nil && l.admits(r.quick) && (first == nil || r.arrival < first.arrival) {
			first = r
		}
	}
	if first != nil {
		l.queueOf(first).remove(first)
	}
	return first
}

// waiting is the number of queued runs.
func (l *limiter) waiting() int { return l.length(slowQueue) + l.length(quickQueue) }

func (l *limiter) length(queue int) int {
	if l.queues == nil {
		return 0
	}
	return l.queues[queue].length
}

// learn takes in how long a run held its place.
func (l *limiter) learn(held time.Duration) {
	const weight = 4 // of what was known before, against 1
	if l.typical == 0 {
		l.typical = held
		return
	}
	l.typical += (held - l.typical) / (weight + 1)
}

// delay estimates how long a run that arrives now waits for its place.
func (l *limiter) delay(quick bool) time.Duration {
	if l.admits(quick) && l.waiting() == 0 {
		return 0
	}
	if quick {
		return l.typical / time.Duration(l.capacity) * time.Duration(l.length(quickQueue)+1)
	}
	return l.typical / time.Duration(l.capacity) * time.Duration(l.waiting()+1)
}

// runQueue is a first-come queue, linked through the runs so that waiting needs
// no memory of its own.
type runQueue struct {
	first, last *run
	length      int
}

func (q *runQueue) push(r *run) {
	r.before, r.after = q.last, nil
	if q.last == nil {
		q.first = r
	} else {
		q.last.after = r
	}
	q.last = r
	q.length++
}

// remove takes a run out wherever it is.
func (q *runQueue) remove(r *run) {
	if r.before == nil {
		q.first = r.after
	} else {
		r.before.after = r.after
	}
	if r.after == nil {
		q.last = r.before
	} else {
		r.after.before = r.before
	}
	r.before, r.after = nil, nil
	q.length--
}
