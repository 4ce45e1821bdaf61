package pool

// This file probes on demand. Clients' requests must neither lock an account nor take
// places from other connections. If a new probe would do so, the caller gets an error
// that means: use the last result.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"mailprobe/mail"
)

const (
	// freshFor is how long an outcome answers every demand for a probe.
	freshFor = time.Second
	// demandsPerInterval is how many logins on demand an account gets at least in
	// one interval of the connection that asks.
	demandsPerInterval = 10
)

// Errors of ProbeNow. After ErrFull, ErrUnfinished and ErrTooSoon the last result
// of the connection is the best answer there is, and there is one.
var (
	ErrUnknownConnection = errors.New("unknown connection")
	ErrStopped           = errors.New("the pool has stopped")
	// ErrFull: no place was free in time. The probe keeps its place in the queue.
	ErrFull = errors.New("no free place for a probe")
	// ErrUnfinished: the probe has begun, and goes on after the caller's time.
	ErrUnfinished = errors.New("the probe has not ended in time")
	// ErrTooSoon: the last probe ended a moment ago, the account has had its share
	// of logins, or the server asked for a longer time between two of them.
	ErrTooSoon = errors.New("probed a moment ago")
)

// ProbeNow probes a connection whatever its interval, within the bounds of the
// pool, and returns its outcome, which is reported as well. Callers that ask at
// the same time, and a probe that runs on its interval, share one probe.
//
// ctx bounds only this caller's wait, never the probe: a probe that began ends by
// itself, within the connection's own timeout, and is reported. A caller whose
// deadline would pass while the run is still queued is told at once, by ErrFull.
// For a connection without any result the outcome is then Overrun.
func (p *Pool) ProbeNow(ctx context.Context, name string) (mail.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return mail.Outcome{}, fmt.Errorf("%w: %w", ErrFull, err) // a caller that has left starts nothing
	}
	deadline, hurried := ctx.Deadline()
	e, r, err := p.join(name, deadline, hurried)
	if err != nil {
		return p.withoutProbe(e, err)
	}
	select {
	case <-r.done:
		if r.err != nil {
			return mail.Outcome{}, r.err
		}
		return *r.outcome, nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return mail.Outcome{}, fmt.Errorf("%w: %w", ErrUnfinished, ctx.Err())
	}
	return p.withoutProbe(e, p.missed(r))
}

// join finds or makes the run that a caller waits for. With ErrFull and ErrTooSoon there
// is no such run, but an entry.
func (p *Pool) join(name string, deadline time.Time, hurried bool) (*scheduleEntry, *run, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[name]
	if e == nil {
		return nil, nil, ErrUnknownConnection
	}
	if p.stopped {
		return nil, nil, ErrStopped
	}
	now := time.Now()
	r := e.run
	if r == nil {
		if !p.allowLocked(e, now) {
			return e, nil, ErrTooSoon
		}
		r = p.newRunLocked(false)
		p.enqueueLocked(e, r, now)
	}
	if hurried && !r.running() && r.expected.Add(e.took).After(deadline) {
		p.skipped++
		return e, nil, ErrFull
	}
	p.hurryLocked(r)
	if r.done == nil {
		r.done = make(chan struct{})
	}
	return e, r, nil
}

// missed returns why a caller's time ended before its run did.
func (p *Pool) missed(r *run) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.running() || r.completed {
		return ErrUnfinished
	}
	p.skipped++
	return ErrFull
}

// withoutProbe answers a caller that gets no outcome of a new probe. A connection
// without any result says so; it is reported where the pool is the cause.
func (p *Pool) withoutProbe(e *scheduleEntry, err error) (mail.Outcome, error) {
	if e == nil {
		return mail.Outcome{}, err
	}
	p.mu.Lock()
	c, known := e.connection, e.probed
	p.mu.Unlock()
	if known {
		return mail.Outcome{}, err
	}
	if errors.Is(err, ErrFull) {
		p.reportOverrun(e)
	}
	return Overrun(c), nil
}

// allowLocked reports whether a probe on demand may begin, and counts its login.
func (p *Pool) allowLocked(e *scheduleEntry, now time.Time) bool {
	if !p.opts.LimitDemand {
		return true
	}
	if at := p.offset(now); e.probed && at-e.ended < freshFor || at < e.notBefore {
		return false
	}
	b := p.budgetOfLocked(e.connection)
	return b == nil || b.take(now, e.connection.Interval)
}

// demandBudget bounds the logins on demand of one account. Each of its
// connections may use one at once, so that scrapes of several connections shortly
// after one another are served. The budget then grows by ten logins in an interval,
// or by two for each connection where that is more: for two Prometheus servers.
type demandBudget struct {
	connections int     // that log in to the account
	used        float64 // logins not yet made up for; at most connections
	at          time.Time
}

// take uses one login, if there is one left. interval is that of the connection
// that asks.
func (b *demandBudget) take(now time.Time, interval time.Duration) bool {
	perLogin := interval / time.Duration(max(demandsPerInterval, 2*b.connections))
	if perLogin <= 0 {
		return true
	}
	b.used = max(0, b.used-float64(now.Sub(b.at))/float64(perLogin))
	b.at = now
	if b.used+1 > float64(b.connections) {
		return false
	}
	b.used++
	return true
}

// budgetOfLocked returns the budget of a connection's account; nil: it does not log in.
// The same name at several hosts is one account, because these may ask one directory.
// There are no budgets before the first demand.
func (p *Pool) budgetOfLocked(c *mail.Connection) *demandBudget {
	if p.accounts == nil {
		p.accounts = make(map[string]*demandBudget)
		p.countAccountsLocked()
	}
	return p.accounts[strings.ToLower(c.Username)]
}

// countAccountsLocked counts the connections of each account, and drops accounts
// without any.
func (p *Pool) countAccountsLocked() {
	if p.accounts == nil {
		return
	}
	for _, b := range p.accounts {
		b.connections = 0
	}
	for _, e := range p.entries {
		if e.connection.Username == "" {
			continue
		}
		account := strings.ToLower(e.connection.Username)
		if p.accounts[account] == nil {
			p.accounts[strings.Clone(account)] = &demandBudget{} // see limiterFor
		}
		p.accounts[account].connections++
	}
	maps.DeleteFunc(p.accounts, func(_ string, b *demandBudget) bool { return b.connections == 0 })
}
