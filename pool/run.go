package pool

// This file takes one run through the pool: it waits for its limiters, probes,
// and returns one outcome to all callers.

import (
	"container/list"
	"context"
	"runtime/debug"
	"strings"
	"time"

	"mailprobe/mail"
)

// overtime is what the pool allows a probe beyond its connection's timeout, which
// the probe keeps by itself, before it cancels the probe.
const overtime = 5 * time.Second

// run is one probe, from the request to the outcome. Its fields belong to the
// pool's mutex, but outcome and err may be read once done is closed.
type run struct {
	entry      *scheduleEntry
	connection *mail.Connection // as it was when the run was enqueued
	due        time.Time        // when it should have begun
	limit      time.Duration
	timed      bool // the interval asked for it: it goes on when callers leave
	waiters    int  // callers of ProbeNow

	limiters [3]*limiter
	acquired int           // how many limiters have given it a place; all: the probe has begun
	queued   *list.Element // in the queue of limiters[acquired]; nil when not queued
	cancel   context.CancelCauseFunc

	completed bool // done is closed
	done      chan struct{}
	outcome   mail.Outcome
	err       error
}

// started reports whether the probe itself has begun.
func (f *run) started() bool { return f.acquired == len(f.limiters) }

// enqueueLocked makes a new run of an entry wait for its limiters.
func (p *Pool) enqueueLocked(s *scheduleEntry, f *run, due time.Time) {
	f.entry, f.connection, f.due = s, s.connection, due
	f.done = make(chan struct{})
	f.limiters = [3]*limiter{
		limiterFor(p.locks, s.exclusive, 1),
		limiterFor(p.hosts, s.host, p.opts.MaxInFlightPerHost),
		p.all,
	}
	for _, g := range f.limiters {
		g.users++
	}
	s.run = f
	p.advanceLocked(f)
}

// advanceLocked takes a run through as many limiters as have a free place, and
// starts the probe behind the last one.
func (p *Pool) advanceLocked(f *run) {
	for !f.started() {
		g := f.limiters[f.acquired]
		if g.taken >= g.capacity {
			f.queued = g.queue.PushBack(f)
			return
		}
		g.taken++
		f.acquired++
	}
	ctx, cancel := p.probeContext(f)
	f.cancel = cancel
	p.probes.Add(1)
	go p.execute(ctx, f, max(0, time.Since(f.due)))
}

// releaseLocked gives the places of a run back; each goes to the first run in the
// limiter's queue.
func (p *Pool) releaseLocked(f *run) {
	for f.acquired > 0 {
		f.acquired--
		g := f.limiters[f.acquired]
		first := g.queue.Front()
		if first == nil {
			g.taken--
			continue
		}
		next := g.queue.Remove(first).(*run)
		next.queued = nil
		next.acquired++
		p.advanceLocked(next)
	}
	for _, g := range f.limiters {
		g.users--
	}
	forget(p.locks, f.limiters[0])
	forget(p.hosts, f.limiters[1])
}

// cancelLocked ends a run whose outcome counts no longer: it is not reported, and
// the callers that wait for it get err. A nil run is ignored.
func (p *Pool) cancelLocked(f *run, err error) {
	if f == nil || f.completed {
		return
	}
	f.complete(mail.Outcome{}, err)
	if f.started() {
		f.cancel(context.Canceled) // it gives its places back when it has ended
		return
	}
	f.limiters[f.acquired].queue.Remove(f.queued)
	p.releaseLocked(f)
}

// complete makes the result known, once.
func (f *run) complete(outcome mail.Outcome, err error) {
	f.outcome, f.err = outcome, err
	f.completed = true
	f.entry.run = nil
	close(f.done)
}

// probeContext has no deadline from the waiting: the probe's time begins now.
func (p *Pool) probeContext(f *run) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(p.base)
	limit := f.connection.Timeout
	switch {
	case limit > 0 && (f.limit <= 0 || f.limit >= limit):
		limit += overtime // the probe keeps its timeout itself
	case f.limit > 0:
		limit = f.limit
	default:
		return ctx, cancel
	}
	ctx, stop := context.WithTimeout(ctx, limit)
	return ctx, func(cause error) {
		cancel(cause)
		stop()
	}
}

// execute probes in a goroutine of its own.
func (p *Pool) execute(ctx context.Context, f *run, delay time.Duration) {
	defer p.probes.Done()
	outcome := localOutcome(f.connection, mail.LocalBug, "the probe ended without an outcome")
	defer func() { p.finish(f, outcome) }()
	p.opts.StartDelay(delay)
	outcome = p.probe(ctx, f.connection)
}

// probe keeps a panic from reaching the other connections.
func (p *Pool) probe(ctx context.Context, c *mail.Connection) (outcome mail.Outcome) {
	start := time.Now()
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
// start. The report comes first: a caller that waited finds it in the metrics.
func (p *Pool) finish(f *run, outcome mail.Outcome) {
	f.cancel(nil)
	p.mu.Lock()
	wanted := !f.completed
	var line *logLine
	if wanted {
		line = p.adjustLocked(f.entry, &outcome)
		outcome.Interval = f.entry.spacing
	}
	p.mu.Unlock()
	if line != nil {
		p.opts.Log.Log(context.Background(), line.level, line.message, line.args...)
	}
	if wanted {
		p.opts.Report(outcome)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !f.completed {
		f.complete(outcome, nil)
	}
	p.releaseLocked(f)
}

// localOutcome is a failure of ours: the probe came nowhere.
func localOutcome(c *mail.Connection, reason mail.Reason, text string) mail.Outcome {
	now := time.Now()
	return mail.Outcome{
		Connection: c,
		Start:      now,
		End:        now,
		Failure:    &mail.Failure{Phase: mail.PhaseResolve, Reason: reason, Text: text},
	}
}

// exclusiveKey names what only one probe at a time may use. POP3 locks the
// maildrop (RFC 1939 section 4), so two connections to the same one would make
// each other fail; everybody else excludes only itself.
func exclusiveKey(c *mail.Connection) string {
	if c.Protocol != mail.POP3 || c.Username == "" {
		return "connection " + c.Name
	}
	maildrop := c.Username
	if c.SharedMailbox != "" {
		maildrop = c.SharedMailbox
	}
	return "maildrop " + strings.ToLower(c.Host) + " " + maildrop
}
