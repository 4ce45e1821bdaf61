// Package pool decides which connection is probed when: on its interval or on
// demand, within bounds for the whole process, for each host and each maildrop.
package pool

// This file holds the pool's interface. The pool knows neither sockets nor
// metrics: both come in as funcs, so that all of it runs under testing/synctest.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"mailprobe/mail"
)

// The bounds of a pool whose options leave them at 0.
const (
	defaultMaxInFlight        = 4096
	defaultMaxInFlightPerHost = 10
)

// Errors of ProbeNow. ErrFull comes together with the error of the context
// that ended the wait.
var (
	ErrUnknownConnection = errors.New("unknown connection")
	ErrFull              = errors.New("no free place for a probe")
	ErrStopped           = errors.New("the pool has stopped")
)

// Options says how a Pool probes. Only Probe is required.
type Options struct {
	MaxInFlight        int // probes at once; 0: 4096
	MaxInFlightPerHost int // probes at once to one host, whatever its ports; 0: 10

	// Probe probes once. It must obey ctx, and applies the connection's own
	// timeout itself. The cause of ctx's end is context.Canceled where the probe
	// was called off, by a reload or the end of Run, and a deadline else. A panic
	// in it becomes the reason local_bug.
	Probe func(ctx context.Context, c *mail.Connection) mail.Outcome
	// Report takes each outcome, one at a time per connection, several at once
	// altogether. It must be quick: the next probe of the connection waits.
	Report func(mail.Outcome)
	// StartDelay is told how late each probe began: behind its schedule, or
	// behind the call of ProbeNow.
	StartDelay func(time.Duration)

	Log *slog.Logger // nil: no log
}

// Pool probes connections on their intervals and on demand, within bounds.
// Idle connections cost no goroutine and no timer.
type Pool struct {
	opts   Options
	base   context.Context // parent of every probe
	cancel context.CancelFunc
	wake   chan struct{} // to Run: the earliest start may have changed
	probes sync.WaitGroup

	mu       sync.Mutex
	running  bool // Run has begun
	stopped  bool // Run has ended: nothing starts any more
	entries  map[string]*scheduleEntry
	fresh    []*scheduleEntry // known before Run, not yet scheduled
	schedule scheduleHeap
	skipped  uint64

	all   *limiter            // every probe
	hosts map[string]*limiter // those to one host
	locks map[string]*limiter // those that exclude each other, see exclusiveKey

	backoffSteps map[string]int // of the intervals of a host's connections, see backoff.go; absent: 0
}

// New makes a pool without connections. ProbeNow works at once; intervals
// begin with Run.
func New(opts Options) *Pool {
	if opts.MaxInFlight <= 0 {
		opts.MaxInFlight = defaultMaxInFlight
	}
	if opts.MaxInFlightPerHost <= 0 {
		opts.MaxInFlightPerHost = defaultMaxInFlightPerHost
	}
	if opts.Report == nil {
		opts.Report = func(mail.Outcome) {}
	}
	if opts.StartDelay == nil {
		opts.StartDelay = func(time.Duration) {}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	base, cancel := context.WithCancel(context.Background())
	return &Pool{
		opts:    opts,
		base:    base,
		cancel:  cancel,
		wake:    make(chan struct{}, 1),
		entries: make(map[string]*scheduleEntry),
		all:     &limiter{capacity: opts.MaxInFlight},
		hosts:   make(map[string]*limiter),
		locks:   make(map[string]*limiter),

		backoffSteps: make(map[string]int),
	}
}

// Set makes conns the connections of the pool, at the start and at each reload.
// Names must be unique. A connection that probes the same thing as before keeps
// its schedule and its running probe; a new or changed one starts anew soon; one
// that is gone is no longer probed, and its running probe ends unreported.
func (p *Pool) Set(conns []*mail.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.entries
	p.entries = make(map[string]*scheduleEntry, len(conns))
	var fresh []*scheduleEntry
	for _, c := range conns {
		if s := known[c.Name]; s != nil && s.connection.SameProbe(c) {
			s.connection = c // labels and TLS settings may be newer
			p.entries[c.Name] = s
			delete(known, c.Name)
			continue
		}
		s := newEntry(c)
		p.entries[c.Name] = s
		fresh = append(fresh, s)
	}
	for _, s := range known {
		p.removeLocked(s)
	}
	p.forgetBackoffsLocked()
	if !p.running {
		p.fresh = append(keptEntries(p.fresh, p.entries), fresh...)
		return
	}
	p.spreadLocked(fresh, time.Now())
	p.wakeUp()
}

// Run probes on the intervals until ctx ends. It then cancels every probe and
// returns when all have ended; their outcomes are not reported. The only error
// is that Run was called before.
func (p *Pool) Run(ctx context.Context) error {
	if err := p.begin(); err != nil {
		return err
	}
	defer p.stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-p.wake:
		}
		timer.Reset(p.startDue(time.Now()))
	}
}

// ProbeNow probes a connection whatever its interval, within the bounds of the
// pool, and gives its outcome, which is reported as well. Callers that ask at
// the same time, and a probe that runs on its interval, share one probe.
//
// limit bounds the probe's own time; 0, or more than the connection's timeout,
// is that timeout. The wait for a free place is not part of it. A caller that joins a
// running probe cannot change its limit. When ctx ends, only this caller's wait
// ends; the probe is cancelled, unreported, if nobody else waits for it.
func (p *Pool) ProbeNow(ctx context.Context, name string, limit time.Duration) (mail.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return mail.Outcome{}, fmt.Errorf("%w: %w", ErrFull, err) // a caller that has left starts nothing
	}
	f, err := p.join(name, limit)
	if err != nil {
		return mail.Outcome{}, err
	}
	select {
	case <-f.done:
		return f.outcome, f.err
	case <-ctx.Done():
		return p.leave(f, ctx.Err())
	}
}

// Stats may be called at any time.
func (p *Pool) Stats() mail.PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return mail.PoolStats{InFlight: p.all.taken, Limit: p.all.capacity, Skipped: p.skipped}
}

// begin gives the connections known so far their first starts.
func (p *Pool) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return errors.New("the pool is already running")
	}
	p.running = true
	p.spreadLocked(p.fresh, time.Now())
	p.fresh = nil
	return nil
}

// stop ends every probe and waits for them.
func (p *Pool) stop() {
	p.mu.Lock()
	p.stopped = true
	for _, s := range p.entries {
		p.cancelLocked(s.run, ErrStopped)
	}
	p.mu.Unlock()
	p.cancel() // also the cancelled ones that are still saying goodbye
	p.probes.Wait()
}

// join finds or makes the run that a caller of ProbeNow waits for.
func (p *Pool) join(name string, limit time.Duration) (*run, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.entries[name]
	if s == nil {
		return nil, ErrUnknownConnection
	}
	if p.stopped {
		return nil, ErrStopped
	}
	if s.run == nil {
		p.enqueueLocked(s, &run{limit: limit, waiters: 1}, time.Now())
		return s.run, nil
	}
	s.run.waiters++
	s.run.limit = longer(s.run.limit, limit)
	return s.run, nil
}

// leave ends one caller's wait because its context ended with cause; an outcome
// that came at the same moment still counts.
func (p *Pool) leave(f *run, cause error) (mail.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.waiters--
	if f.completed {
		return f.outcome, f.err
	}
	if !f.started() {
		cause = fmt.Errorf("%w: %w", ErrFull, cause)
	}
	if f.waiters == 0 && !f.timed {
		if f.started() {
			// Its time is up, and it was not called off: the guard must learn of a
			// login that servers take longer to refuse than callers wait.
			f.cancel(os.ErrDeadlineExceeded)
		}
		p.cancelLocked(f, cause)
	}
	return mail.Outcome{}, cause
}

// removeLocked forgets a connection that is no longer configured.
func (p *Pool) removeLocked(s *scheduleEntry) {
	p.schedule.remove(s)
	p.cancelLocked(s.run, ErrUnknownConnection)
}

// wakeUp makes Run look at the schedule again.
func (p *Pool) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default: // it will anyway
	}
}

// longer is the longer of two limits, of which 0 is none.
func longer(a, b time.Duration) time.Duration {
	if a <= 0 || b <= 0 {
		return 0
	}
	return max(a, b)
}
