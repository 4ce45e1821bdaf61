package pool

// This file holds the steps of one run: it waits for its limiters, probes, and returns
// one outcome to all callers.

import (
	"context"
	"runtime/debug"
	"strings"
	"time"

	"mailprobe/mail"
)

// run is one probe, from the request to the outcome. If a caller leaves, the run is not
// affected: it keeps its place in the queue, has the whole timeout of its connection,
// and is reported. The pool's mutex guards its fields; outcome and err may be read
// without it once done is closed.
type run struct {
	entry      *scheduleEntry
	connection *mail.Connection // as it was when the run was enqueued
	due        time.Time        // when it should have begun
	timed      bool             // it serves an interval that is due
	quick      bool             // it may take a reserved place, see limiter
	expected   time.Time        // estimate of its start

	acquired      int    // how many of the entry's limiters have given it a place
	arrival       uint64 // at the limiter where it is queued
	before, after *run   // in that queue, or in that for the processor
	limiters      [3]*limiter
	placed        time.Time     // when it had its places; zero: not yet
	started       time.Time     // when the probe began; zero: not yet
	context       *probeContext // of the probe; nil: it has not begun

	completed bool
	done      chan struct{} // closed when completed; nil: no caller waits
	outcome   *mail.Outcome // nil: err says why, or no caller waits
	err       error
}

// running reports whether the probe itself has begun.
func (r *run) running() bool { return !r.started.IsZero() }

// isPaced reports whether it has its places and waits for the processor.
func (r *run) isPaced() bool { return r.acquired == len(r.limiters) && !r.running() && !r.completed }

// newRunLocked returns an empty run, mostly one that has ended.
func (p *Pool) newRunLocked(timed bool) *run {
	last := len(p.ended) - 1
	if last < 0 {
		return &run{timed: timed}
	}
	r := p.ended[last]
	p.ended = p.ended[:last]
	r.timed = timed
	return r
}

// recycleLocked keeps a run that has ended. No caller knows it: where one waits or has
// waited, there is a channel.
func (p *Pool) recycleLocked(r *run) {
	if r.done == nil && len(p.ended) < maxIdleWorkers {
		*r = run{}
		p.ended = append(p.ended, r)
	}
}

// enqueueLocked lets a run of an entry wait for its limiters.
func (p *Pool) enqueueLocked(e *scheduleEntry, r *run, due time.Time) {
	r.entry, r.connection, r.due, r.quick = e, e.connection, due, e.quick
	r.limiters = e.limiters
	for _, l := range r.limiters {
		l.users++
	}
	e.run = r
	p.advanceLocked(r, due)
}

// advanceLocked lets a run take a place of one limiter after another, while there is
// one free, and starts the probe once it has all of them.
func (p *Pool) advanceLocked(r *run, now time.Time) {
	for r.acquired < len(r.limiters) {
		l := r.limiters[r.acquired]
		if !l.admits(r.quick) {
			r.expected = now.Add(l.delay(r.quick))
			l.enqueue(r)
			return
		}
		l.take(r.quick)
		r.acquired++
	}
	p.startLocked(r)
}

// beginLocked hands a run to a worker. The probe's time begins now: the waiting is not
// part of it.
func (p *Pool) beginLocked(r *run, now time.Time) {
	r.started, p.begun = now, now
	r.context = &probeContext{deadline: now.Add(r.connection.Timeout)}
	p.dispatchLocked(r)
}

// releaseLocked releases the places of a run, and starts or advances the runs that
// waited for them.
func (p *Pool) releaseLocked(r *run, now time.Time) {
	for r.acquired > 0 {
		r.acquired--
		l := r.limiters[r.acquired]
		l.giveBack(r.quick)
		for next := l.next(); next != nil; next = l.next() {
			l.take(next.quick)
			next.acquired++
			p.advanceLocked(next, now)
		}
	}
	forget(p.locks, r.limiters[0])
	forget(p.hosts, r.limiters[1])
	p.all.users--
}

// cancelLocked cancels a run. Its outcome is not reported, and callers that wait for it
// get err. A nil run is ignored.
func (p *Pool) cancelLocked(r *run, err error) {
	if r == nil || r.completed {
		return
	}
	paced := r.isPaced()
	r.complete(nil, err)
	switch {
	case r.running():
		p.lockCancelled(r)
		r.context.end(context.Canceled) // it gives its places back when it has ended
		return
	case paced:
		p.paced.remove(r)
	default:
		r.limiters[r.acquired].queueOf(r).remove(r)
	}
	p.releaseLocked(r, time.Now())
}

// complete sets the result and wakes the callers. Only the first call has an effect.
func (r *run) complete(outcome *mail.Outcome, err error) {
	r.completed = true
	r.entry.run = nil
	if r.done == nil {
		return
	}
	if r.err = err; outcome != nil {
		kept := *outcome // only here, so that other outcomes need not be on the heap
		r.outcome = &kept
	}
	close(r.done)
}

// execute runs the probe in a worker's goroutine. It reports whether the worker waits for
// another run.
func (p *Pool) execute(w *worker, r *run) (rests bool) {
	var outcome mail.Outcome
	ended := false
	defer func() {
		w.deadline.watch(nil)
		if !ended { // the goroutine ends here
			outcome, w = localOutcome(r.connection, mail.LocalBug, "the probe ended without an outcome"), nil
		}
		rests = p.finish(w, r, outcome)
	}()
	w.deadline.watch(r.context)
	p.opts.StartDelay(max(0, r.started.Sub(r.due)))
	outcome = p.probe(r.context, r.connection, r.started)
	ended = true
	return false
}

// probe calls Options.Probe and turns a panic into an outcome, so that it does not
// affect other connections.
func (p *Pool) probe(ctx context.Context, c *mail.Connection, start time.Time) (outcome mail.Outcome) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		text := mail.PanicText(value)
		p.opts.Log.Error("probe panicked", "connection", c.Name, "err", text, "stack", string(debug.Stack()))
		outcome = localOutcome(c, mail.LocalBug, text)
		outcome.Start = start
	}()
	return p.opts.Probe(ctx, c)
}

// finish reports an outcome unless the run was cancelled, and lets the next ones
// start. The report comes first: a caller that waited finds it in the metrics. The worker,
// if there is one, rests before that, so that one of the next runs may be its own: that
// takes no switch to another goroutine.
func (p *Pool) finish(w *worker, r *run, outcome mail.Outcome) (rests bool) {
	r.context.end(context.Canceled)
	e := r.entry
	e.reporting.Lock()
	p.mu.Lock()
	now := time.Now()
	wanted := !r.completed
	var line *logLine
	if wanted {
		line = p.adjustLocked(e, &outcome)
		outcome.Interval = e.spacing
		e.learn(&outcome, p.offset(r.started), p.offset(now))
	}
	p.mu.Unlock()
	if line != nil {
		p.opts.Log.Log(context.Background(), line.level, line.message, line.args...)
	}
	if wanted {
		p.opts.Report(outcome)
	}
	p.mu.Lock()
	if !r.completed {
		r.complete(&outcome, nil)
	}
	held := now.Sub(r.placed)
	for _, l := range r.limiters[1:] {
		l.learn(held)
	}
	rests = w != nil && p.restLocked(w)
	p.releaseLocked(r, now)
	if p.paced.length > 0 {
		p.paceLocked(time.Now()) // the report took its time
	}
	p.recycleLocked(r)
	p.mu.Unlock()
	e.reporting.Unlock()
	return rests
}

// reportOverrun reports that a connection without any result could not be probed. A
// connection with a result keeps it, because there is no newer one.
func (p *Pool) reportOverrun(e *scheduleEntry) {
	e.reporting.Lock()
	defer e.reporting.Unlock()
	p.mu.Lock()
	c := e.connection
	unknown := !e.probed && !e.overran && !p.stopped && p.entries[c.Name] == e
	e.overran = true
	p.mu.Unlock()
	if unknown {
		p.opts.Report(Overrun(c))
	}
}

// Overrun is the outcome of a connection that has no result yet because no place
// for its probe was free in time, or because its first probe has not ended.
func Overrun(c *mail.Connection) mail.Outcome {
	return localOutcome(c, mail.LocalOverrun, "its first probe is waiting for a free place, or under way")
}

// localOutcome returns the outcome of a probe that failed in mailprobe itself, before
// it contacted the server.
func localOutcome(c *mail.Connection, reason mail.Reason, text string) mail.Outcome {
	now := time.Now()
	return mail.Outcome{
		Connection: c,
		Start:      now,
		End:        now,
		Failure:    &mail.Failure{Phase: mail.PhaseResolve, Reason: reason, Text: text},
	}
}

// exclusiveKey returns the name of what only one probe at a time may use. For POP3 it
// is the maildrop, which a session locks (RFC 1939 section 4): two connections to the
// same maildrop would make each other fail. For other protocols it is the connection
// itself.
func exclusiveKey(c *mail.Connection) (key string, isOwn bool) {
	if c.Protocol != mail.POP3 || c.Username == "" {
		return "connection " + c.Name, true
	}
	maildrop := c.Username
	if c.SharedMailbox != "" {
		maildrop = c.SharedMailbox
	}
	return "maildrop " + strings.ToLower(c.Host) + " " + maildrop, false
}
