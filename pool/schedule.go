package pool

// This file keeps the times at which connections are due. It starts only probes that
// are due, and never makes up for missed ones.

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"mailprobe/mail"
)

const (
	// A start that is later than this is dropped. Otherwise all probes missed while the
	// machine slept would start at once and slow each other down.
	lateStart = time.Second
	// The first probes start within shortSpread, or within a longer time if that would
	// be more than spreadRate starts per second: above that rate the measured times are
	// no longer those of the servers.
	shortSpread = 10 * time.Second
	spreadRate  = 400
	// While every place is taken, or the processor is busy, Run waits at least this long
	// before it reads the schedule again: hardly a probe could begin sooner, and thousands
	// may be due in a second.
	pollWhileBusy = 5 * time.Millisecond
	// How long Run sleeps when nothing is due at all.
	idle = time.Hour
)

// scheduleEntry is one connection with its next start. There may be many thousands, so
// it keeps times as offsets (see Pool.offset), a third of the size of a time.Time.
type scheduleEntry struct {
	connection *mail.Connection
	next       time.Duration // offset of the next start; later ones follow at whole intervals
	last       time.Duration // offset of when the last one was due; 0: none yet
	loginDelay time.Duration // that the server announced; see backoff.go
	spacing    time.Duration // between two starts as last reported; 0: the interval
	run        *run          // queued or running; nil if neither
	limiters   [3]*limiter   // of its exclusive key, of its host, of the pool

	took      time.Duration // by the last probe; 0: none yet
	ended     time.Duration // offset of the end of the last probe
	notBefore time.Duration // offset of the next probe on demand, because the server asked for that; 0: at once

	scheduled bool // it is in the schedule; else it is not timed, or isOvertaken
	probed    bool // it has a result
	quick     bool // see setQuick
	overran   bool // that it has none was reported

	reporting sync.Mutex // its outcomes are reported one at a time; taken before the pool's mutex
}

// host is the name of the host in lower case.
func (e *scheduleEntry) host() string { return e.limiters[1].key }

// newEntryLocked returns the entry of a connection that is new, or changed from old. A
// result of the same target is kept.
func (p *Pool) newEntryLocked(c *mail.Connection, old *scheduleEntry) *scheduleEntry {
	e := &scheduleEntry{connection: c, limiters: [3]*limiter{
		p.lockFor(c),
		limiterFor(p.hosts, strings.ToLower(c.Host), p.opts.MaxInFlightPerHost),
		p.all,
	}}
	p.all.users++
	if old != nil && old.connection.SameTarget(c) {
		e.probed, e.took, e.ended, e.notBefore = old.probed, old.took, old.ended, old.notBefore
		e.setQuick(old.quick)
	}
	return e
}

// timed reports whether the connection is probed on its interval.
func (e *scheduleEntry) timed() bool {
	return !e.connection.ProbeOnScrape && e.connection.Interval > 0
}

// setQuick records whether the last probe took a small part of its timeout. Only such a
// connection gets a reserved place; a connection that was never probed does not,
// because its server may be silent.
func (e *scheduleEntry) setQuick(quick bool) {
	if quick == e.quick {
		return
	}
	e.quick = quick
	by := int32(-1)
	if quick {
		by = 1
	}
	for _, l := range e.limiters {
		l.quick += by
	}
}

// learn records an outcome that is about to be reported, with the offsets of the start
// and the end of its probe.
func (e *scheduleEntry) learn(o *mail.Outcome, started, ended time.Duration) {
	e.probed, e.took, e.ended = true, ended-started, ended
	e.setQuick(e.took <= e.connection.Timeout/4)
	e.notBefore = 0
	if o.Failure != nil && tooOften[o.Failure.Reason] {
		e.notBefore = started + e.connection.Interval
	}
	if e.loginDelay > 0 && o.Auth.Sent {
		e.notBefore = started + e.loginDelay
	}
}

// keptEntries returns the entries of fresh that are still configured.
func keptEntries(fresh []*scheduleEntry, entries map[string]*scheduleEntry) []*scheduleEntry {
	return slices.DeleteFunc(fresh, func(e *scheduleEntry) bool { return entries[e.connection.Name] != e })
}

// spreadLocked sets the first start times of entries. They are evenly spread, in the
// order of a hash of the names, so that neighbours in the file, which often share a
// host, do not start together. Entries that are probed only on scrapes get none.
func (p *Pool) spreadLocked(fresh []*scheduleEntry, now time.Time) {
	fresh = slices.DeleteFunc(fresh, func(e *scheduleEntry) bool { return !e.timed() })
	slices.SortFunc(fresh, func(a, b *scheduleEntry) int {
		return cmp.Or(
			cmp.Compare(nameHash(a.connection.Name), nameHash(b.connection.Name)),
			cmp.Compare(a.connection.Name, b.connection.Name))
	})
	n := time.Duration(len(fresh))
	window := max(shortSpread, n*time.Second/spreadRate)
	for i, e := range fresh {
		e.next = p.offset(now) + min(window, e.connection.Interval)/n*time.Duration(i)
		p.schedule.push(e)
	}
}

func nameHash(name string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name)) // a hash never fails
	return hash.Sum64()
}

// startDue starts what is due and returns the time until something else will be.
func (p *Pool) startDue(now time.Time) time.Duration {
	p.mu.Lock()
	p.paceLocked(now)
	var overruns []*scheduleEntry
	dropped := 0
	wait := idle
	for e := p.schedule.first(); e != nil; e = p.schedule.first() {
		if wait = e.next - p.offset(now); wait > 0 {
			break
		}
		due, late := e.next, -wait
		wait = idle
		if e.isOvertaken() {
			p.schedule.pop()
			continue
		}
		interval := p.spacingLocked(e)
		ticks := 1 + late/interval // due by now, of which one can start
		e.last, e.next = due, due+ticks*interval
		p.schedule.moved()
		switch {
		case late >= min(lateStart, interval):
			p.skipped += uint64(ticks)
			dropped++
		case p.serveIntervalLocked(e, p.timeOf(due)):
			overruns = append(overruns, e)
		}
	}
	switch {
	case p.paced.length > 0:
		wait = pollWhileBusy
	case p.all.taken >= p.all.capacity:
		wait = max(wait, pollWhileBusy)
	}
	p.mu.Unlock()

	if dropped > 0 {
		p.opts.Log.Warn("starts dropped: the clock jumped or the machine is overloaded", "starts", dropped)
	}
	for _, e := range overruns {
		p.reportOverrun(e)
	}
	return wait
}

// serveIntervalLocked enqueues a run of an entry that is due now. If a run is already
// under way, that one counts for this interval too. If it already counted for the
// interval before, this start is skipped: it is counted and not made up for. overrun is
// true if the run under way has not begun and the connection has no result yet.
func (p *Pool) serveIntervalLocked(e *scheduleEntry, due time.Time) (overrun bool) {
	r := e.run
	switch {
	case r == nil:
		p.enqueueLocked(e, p.newRunLocked(true), due)
	case !r.timed: // a caller asked for it just before
		r.timed = true
	default:
		p.skipped++
		return !r.running() && !e.probed && !e.overran
	}
	return false
}
