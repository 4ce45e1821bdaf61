package pool

// This file and its neighbours flight.go and schedule.go decide who is probed
// when. They know neither sockets nor metrics: both come in as funcs, so that
// the whole pool runs under testing/synctest.

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

// Errors of ProbeNow. ErrNoSlot comes together with the error of the context
// that ended the wait.
var (
	ErrUnknownConnection = errors.New("unknown connection")
	ErrNoSlot            = errors.New("no free probe slot")
	ErrPoolStopped       = errors.New("the pool has stopped")
)

// PoolOptions says how a Pool probes. Only Probe is required.
type PoolOptions struct {
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
	// StartDelay is told how late each probe began: behind its slot, or behind
	// the call of ProbeNow.
	StartDelay func(time.Duration)

	Log *slog.Logger // nil: no log
}

// Pool probes connections on their intervals and on demand, within bounds.
// Idle connections cost no goroutine and no timer.
type Pool struct {
	opts   PoolOptions
	base   context.Context // parent of every probe
	cancel context.CancelFunc
	wake   chan struct{} // to Run: the earliest start may have changed
	probes sync.WaitGroup

	mu      sync.Mutex
	running bool // Run has begun
	stopped bool // Run has ended: nothing starts any more
	slots   map[string]*slot
	fresh   []*slot // known before Run, not yet scheduled
	agenda  agenda
	skipped uint64

	all   *gate            // every probe
	hosts map[string]*gate // those to one host
	locks map[string]*gate // those that exclude each other, see exclusiveKey

	doublings map[string]int // of the intervals of a host's connections, see pace.go; 0: absent
}

// PoolStats tells how well the schedule is kept.
type PoolStats struct {
	InFlight int    // probes running now
	Limit    int    // MaxInFlight
	Skipped  uint64 // starts missed since the beginning
}

// NewPool makes a pool without connections. ProbeNow works at once; intervals
// begin with Run.
func NewPool(opts PoolOptions) *Pool {
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
		opts:   opts,
		base:   base,
		cancel: cancel,
		wake:   make(chan struct{}, 1),
		slots:  make(map[string]*slot),
		all:    &gate{capacity: opts.MaxInFlight},
		hosts:  make(map[string]*gate),
		locks:  make(map[string]*gate),

		doublings: make(map[string]int),
	}
}

// Set makes conns the connections of the pool, at the start and at each reload.
// Names must be unique. A connection that probes the same thing as before keeps
// its slot and its running probe; a new or changed one gets a new slot soon; one
// that is gone is no longer probed, and its running probe ends unreported.
func (p *Pool) Set(conns []*mail.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.slots
	p.slots = make(map[string]*slot, len(conns))
	var fresh []*slot
	for _, c := range conns {
		if s := known[c.Name]; s != nil && s.connection.SameProbe(c) {
			s.connection = c // labels and TLS settings may be newer
			p.slots[c.Name] = s
			delete(known, c.Name)
			continue
		}
		s := newSlot(c)
		p.slots[c.Name] = s
		fresh = append(fresh, s)
	}
	for _, s := range known {
		p.removeLocked(s)
	}
	p.forgetPacesLocked()
	if !p.running {
		p.fresh = append(keptSlots(p.fresh, p.slots), fresh...)
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
// is that timeout. The wait for a slot is not part of it. A caller that joins a
// running probe cannot change its limit. When ctx ends, only this caller's wait
// ends; the probe is cancelled, unreported, if nobody else waits for it.
func (p *Pool) ProbeNow(ctx context.Context, name string, limit time.Duration) (mail.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return mail.Outcome{}, fmt.Errorf("%w: %w", ErrNoSlot, err) // who has left starts nothing
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
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PoolStats{InFlight: p.all.taken, Limit: p.all.capacity, Skipped: p.skipped}
}

// begin gives the connections known so far their first slots.
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
	for _, s := range p.slots {
		p.abandonLocked(s.flight, ErrPoolStopped)
	}
	p.mu.Unlock()
	p.cancel() // also the abandoned ones that are still saying goodbye
	p.probes.Wait()
}

// join finds or makes the flight that a caller of ProbeNow waits for.
func (p *Pool) join(name string, limit time.Duration) (*flight, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[name]
	if s == nil {
		return nil, ErrUnknownConnection
	}
	if p.stopped {
		return nil, ErrPoolStopped
	}
	if s.flight == nil {
		p.launchLocked(s, &flight{limit: limit, waiters: 1}, time.Now())
		return s.flight, nil
	}
	s.flight.waiters++
	s.flight.limit = longer(s.flight.limit, limit)
	return s.flight, nil
}

// leave ends one caller's wait because its context ended with cause; an outcome
// that came at the same moment still counts.
func (p *Pool) leave(f *flight, cause error) (mail.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.waiters--
	if f.settled {
		return f.outcome, f.err
	}
	if !f.started() {
		cause = fmt.Errorf("%w: %w", ErrNoSlot, cause)
	}
	if f.waiters == 0 && !f.timed {
		if f.started() {
			// Its time is up, and it was not called off: the guard must learn of a
			// login that servers take longer to refuse than callers wait.
			f.cancel(os.ErrDeadlineExceeded)
		}
		p.abandonLocked(f, cause)
	}
	return mail.Outcome{}, cause
}

// removeLocked forgets a slot that is no longer configured.
func (p *Pool) removeLocked(s *slot) {
	p.agenda.remove(s)
	p.abandonLocked(s.flight, ErrUnknownConnection)
}

// wakeUp makes Run look at the agenda again.
func (p *Pool) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default: // it is going to
	}
}

// longer is the longer of two limits, of which 0 is none.
func longer(a, b time.Duration) time.Duration {
	if a <= 0 || b <= 0 {
		return 0
	}
	return max(a, b)
}
