package pool

// This file takes one probe (a flight) through the pool: it waits at the gates,
// flies, and lands with an outcome that every caller gets.

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

// flight is one probe from the wish to the outcome. Its fields belong to the
// pool's mutex, but outcome and err may be read once done is closed.
type flight struct {
	slot       *slot
	connection *mail.Connection // as it was when the flight was launched
	due        time.Time        // when it should have begun
	limit      time.Duration
	timed      bool // the interval asked for it: it goes on when callers leave
	waiters    int  // callers of ProbeNow

	gates  [3]*gate
	passed int           // how many gates are behind it; all: it runs
	place  *list.Element // in the queue of gates[passed]; nil when not queued
	cancel context.CancelCauseFunc

	settled bool // done is closed
	done    chan struct{}
	outcome mail.Outcome
	err     error
}

// gate lets a limited number of flights through and queues the rest in the
// order of their arrival.
//
// Each flight passes the same three gates: that of its exclusive key, that of
// its host, that of the whole pool. It keeps the ones behind it while it waits
// at the next, so one that waits for its host holds nothing that a flight to
// another host could need.
type gate struct {
	key             string
	capacity, taken int
	users           int       // flights that are to pass, wait or have passed
	queue           list.List // of *flight
}

// started reports whether the probe itself has begun.
func (f *flight) started() bool { return f.passed == len(f.gates) }

// launchLocked sends a new flight of a slot to the gates.
func (p *Pool) launchLocked(s *slot, f *flight, due time.Time) {
	f.slot, f.connection, f.due = s, s.connection, due
	f.done = make(chan struct{})
	f.gates = [3]*gate{
		gateOf(p.locks, s.exclusive, 1),
		gateOf(p.hosts, s.host, p.opts.MaxInFlightPerHost),
		p.all,
	}
	for _, g := range f.gates {
		g.users++
	}
	s.flight = f
	p.advanceLocked(f)
}

// gateOf finds a gate or builds it.
func gateOf(gates map[string]*gate, key string, capacity int) *gate {
	g := gates[key]
	if g == nil {
		g = &gate{key: key, capacity: capacity}
		gates[key] = g
	}
	return g
}

// advanceLocked takes a flight through as many gates as are open, and starts it
// behind the last one.
func (p *Pool) advanceLocked(f *flight) {
	for !f.started() {
		g := f.gates[f.passed]
		if g.taken >= g.capacity {
			f.place = g.queue.PushBack(f)
			return
		}
		g.taken++
		f.passed++
	}
	ctx, cancel := p.probeContext(f)
	f.cancel = cancel
	p.probes.Add(1)
	go p.fly(ctx, f, max(0, time.Since(f.due)))
}

// releaseLocked gives back the gates behind a flight; each goes to the first
// flight in its queue.
func (p *Pool) releaseLocked(f *flight) {
	for f.passed > 0 {
		f.passed--
		g := f.gates[f.passed]
		first := g.queue.Front()
		if first == nil {
			g.taken--
			continue
		}
		next := g.queue.Remove(first).(*flight)
		next.place = nil
		next.passed++
		p.advanceLocked(next)
	}
	for _, g := range f.gates {
		g.users--
	}
	forget(p.locks, f.gates[0])
	forget(p.hosts, f.gates[1])
}

// forget drops a gate that nobody uses, so that old hosts and names cost nothing.
func forget(gates map[string]*gate, g *gate) {
	if g.users == 0 {
		delete(gates, g.key)
	}
}

// abandonLocked ends a flight that nobody wants any more: its outcome is not
// reported, and those who wait for it get err. nil is nobody's flight.
func (p *Pool) abandonLocked(f *flight, err error) {
	if f == nil || f.settled {
		return
	}
	f.settle(mail.Outcome{}, err)
	if f.started() {
		f.cancel(context.Canceled) // it gives its gates back when it has ended
		return
	}
	f.gates[f.passed].queue.Remove(f.place)
	p.releaseLocked(f)
}

// settle makes the result known, once.
func (f *flight) settle(outcome mail.Outcome, err error) {
	f.outcome, f.err = outcome, err
	f.settled = true
	f.slot.flight = nil
	close(f.done)
}

// probeContext has no deadline from the waiting: the probe's time begins now.
func (p *Pool) probeContext(f *flight) (context.Context, context.CancelCauseFunc) {
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

// fly probes in a goroutine of its own.
func (p *Pool) fly(ctx context.Context, f *flight, delay time.Duration) {
	defer p.probes.Done()
	outcome := localOutcome(f.connection, mail.LocalBug, "the probe ended without an outcome")
	defer func() { p.land(f, outcome) }()
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

// land reports an outcome unless the flight was abandoned, and lets the next
// ones start. The report comes first: who waited finds it in the metrics.
func (p *Pool) land(f *flight, outcome mail.Outcome) {
	f.cancel(nil)
	p.mu.Lock()
	wanted := !f.settled
	var line *logNote
	if wanted {
		line = p.paceLocked(f.slot, &outcome)
		outcome.Interval = f.slot.paced
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
	if !f.settled {
		f.settle(outcome, nil)
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
