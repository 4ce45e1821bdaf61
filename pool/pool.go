// Package pool decides which connection is probed when: on its interval or on
// demand, within bounds for the whole process, for each host and each maildrop.
package pool

// This file holds the pool's interface. The pool knows neither sockets nor
// metrics: both come in as funcs, so that all of it runs under testing/synctest.

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"mailprobe/mail"
)

// The bounds of a pool whose options leave them at 0.
const (
	defaultMaxInFlight        = 4096
	defaultMaxInFlightPerHost = 10
	maxIdleConns              = 256 // of HTTP, see IdleConns
)

// Options says how a Pool probes. Only Probe is required.
type Options struct {
	MaxInFlight        int // probes at once; 0: 4096
	MaxInFlightPerHost int // probes at once to one host, whatever its ports; 0: 10

	// LimitDemand bounds what ProbeNow starts, for clients that ask as often as
	// they like: see ErrTooSoon.
	LimitDemand bool

	// Probe probes once. It must obey ctx, which ends with the connection's timeout.
	// The error of ctx is context.Canceled if a reload or the end of Run cancelled the probe,
	// and context.DeadlineExceeded otherwise. A panic in Probe becomes the reason
	// local_bug.
	Probe func(ctx context.Context, c *mail.Connection) mail.Outcome
	// Busy reports whether the processor has enough to do already; nil: never. While it
	// does, probes on intervals begin later. Busy is called often and must be quick.
	Busy func() bool
	// Report is called with each outcome: one at a time for each connection, but for
	// several connections at once. It must be quick, because the connection's next
	// probe waits for it.
	Report func(mail.Outcome)
	// StartDelay is called with the delay of each probe's start: after its scheduled
	// time, or after the call of ProbeNow.
	StartDelay func(time.Duration)

	Log *slog.Logger // nil: no log
}

// Pool probes connections on their intervals and on demand, within bounds.
// A connection that is not being probed costs no goroutine and no timer.
type Pool struct {
	opts    Options
	epoch   time.Time     // what offset counts from
	wake    chan struct{} // to Run: the earliest start may have changed
	workers sync.WaitGroup

	mu       sync.Mutex
	running  bool // Run has begun
	stopped  bool // Run has ended: nothing starts any more
	entries  map[string]*scheduleEntry
	fresh    []*scheduleEntry // known before Run, not yet scheduled
	schedule scheduleHeap
	skipped  uint64
	idle     []*worker // without work, see worker.go
	paced    runQueue  // runs that wait for the processor, see pace.go
	begun    time.Time // when the last probe began

	all      *limiter            // every probe
	hosts    map[string]*limiter // those to one host
	locks    map[string]*limiter // those that exclude each other, see lockFor
	unlocked *limiter            // stands for a lock where none is needed
	ended    []*run              // to be used again

	backoffSteps map[string]int           // of the intervals of a host's connections, see backoff.go; absent: 0
	accounts     map[string]*demandBudget // by user name in lower case; nil: not needed yet
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
	if opts.Busy == nil {
		opts.Busy = func() bool { return false }
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
	return &Pool{
		opts:     opts,
		epoch:    time.Now().Add(-1), // so that no start has the offset 0
		wake:     make(chan struct{}, 1),
		entries:  make(map[string]*scheduleEntry),
		all:      &limiter{capacity: int32(opts.MaxInFlight)},
		hosts:    make(map[string]*limiter),
		locks:    make(map[string]*limiter),
		unlocked: &limiter{capacity: math.MaxInt32},

		backoffSteps: make(map[string]int),
	}
}

// Set replaces the connections of the pool, at the start and at each reload. Names must
// be unique. A connection with the same target as before keeps its schedule and its
// running probe. A new or changed connection is probed soon. A removed connection is no
// longer probed, and its running probe is cancelled without a report.
func (p *Pool) Set(conns []*mail.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.entries
	p.entries = make(map[string]*scheduleEntry, len(conns))
	var fresh []*scheduleEntry
	for _, c := range conns {
		old := known[c.Name]
		if old != nil && old.connection.SameProbe(c) {
			old.connection = c // labels and TLS settings may be newer
			p.entries[c.Name] = old
			delete(known, c.Name)
			continue
		}
		if old != nil {
			p.cancelLocked(old.run, ErrUnknownConnection)
		}
		e := p.newEntryLocked(c, old)
		p.entries[c.Name] = e
		fresh = append(fresh, e)
	}
	for _, e := range known {
		p.removeLocked(e)
	}
	if len(known) > 0 {
		p.schedule.keep(func(e *scheduleEntry) bool { return p.entries[e.connection.Name] == e })
	}
	p.forgetBackoffsLocked()
	p.countAccountsLocked()
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

// Stats may be called at any time.
func (p *Pool) Stats() mail.PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return mail.PoolStats{InFlight: int(p.all.taken) - p.paced.length, Limit: int(p.all.capacity), Skipped: p.skipped}
}

// begin sets the first start times of the connections known so far.
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
	for _, e := range p.entries {
		p.cancelLocked(e.run, ErrStopped)
	}
	p.dismissLocked()
	p.mu.Unlock()
	p.workers.Wait()
}

// offset returns a time as entries keep it.
func (p *Pool) offset(t time.Time) time.Duration { return t.Sub(p.epoch) }

// timeOf is the reverse of offset.
func (p *Pool) timeOf(offset time.Duration) time.Time { return p.epoch.Add(offset) }

// removeLocked removes a connection that is no longer configured.
func (p *Pool) removeLocked(e *scheduleEntry) {
	p.cancelLocked(e.run, ErrUnknownConnection)
	e.setQuick(false)
	forget(p.locks, e.limiters[0])
	forget(p.hosts, e.limiters[1])
	p.all.users--
}

// wakeUp makes Run look at the schedule again.
func (p *Pool) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default: // a wake-up is pending already
	}
}
