package routes

// This file decides when a message is sent: only when the interval of its route has
// passed. No scrape, no reload and no restart sends one.

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"mailprobe/mail"
)

const (
	maxInFlight  = 3         // messages of one route without a result
	maxPause     = time.Hour // to which the pause doubles while so many are in flight
	maxPerDay    = 1440      // messages of one route
	maxPerMinute = mail.MaxRouteMessages
	firstMessage = 10 * time.Second // after the start, for a route that never sent one
)

// Engine sends the messages of all routes when they are due.
type Engine struct {
	// Send sends one message and returns what became of it: Tracker.Send.
	Send func(ctx context.Context, r *mail.Route) (mail.RouteOutcome, bool)
	// Report receives each outcome. It may be called by several goroutines at once, and
	// must return quickly.
	Report  func(mail.RouteOutcome)
	Journal *Journal
	Log     *slog.Logger // nil: no log

	mu      sync.Mutex
	base    context.Context // nil before Run
	running map[string]*loop
	tasks   sync.WaitGroup
}

// loop is the running loop of one route.
type loop struct {
	route    *mail.Route
	cancel   context.CancelFunc
	inFlight int           // messages in flight
	resolved chan struct{} // of capacity 1: a message has its result
}

// Set replaces the routes. An unchanged route keeps its schedule and its messages in
// flight. Those of a changed or removed route have no result; the next message of a
// route of that name deletes what turned up.
func (e *Engine) Set(routes []*mail.Route, same func(a, b *mail.Route) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := make(map[string]*loop, len(routes))
	for _, r := range routes {
		if l := e.running[r.Name]; l != nil && same(l.route, r) {
			l.route = r
			next[r.Name] = l
			continue
		}
		next[r.Name] = &loop{route: r, resolved: make(chan struct{}, 1)}
	}
	for name, l := range e.running {
		if next[name] != l && l.cancel != nil {
			l.cancel()
		}
	}
	e.running = next
	if e.base != nil {
		e.startLocked()
	}
}

// Run sends until ctx ends, and waits for the sessions under way.
func (e *Engine) Run(ctx context.Context) {
	e.mu.Lock()
	e.base = ctx
	e.startLocked()
	e.mu.Unlock()
	<-ctx.Done()
	e.tasks.Wait()
}

// startLocked starts the loops of new routes.
func (e *Engine) startLocked() {
	if e.base.Err() != nil {
		return
	}
	for _, l := range e.running {
		if l.cancel != nil {
			continue
		}
		ctx, cancel := context.WithCancel(e.base)
		l.cancel = cancel
		e.tasks.Go(func() { e.follow(ctx, l) })
	}
}

// follow runs the loop of one route until ctx ends.
func (e *Engine) follow(ctx context.Context, l *loop) {
	defer l.cancel()
	name := e.routeOf(l).Name
	if err := e.Journal.abandonAll(name, time.Now()); err != nil {
		e.log(slog.LevelWarn, "journal of routes not written", "route", name, "err", err)
	}
	for pause, wait := time.Duration(0), e.firstWait(l); ; {
		if !sleep(ctx, wait) {
			return
		}
		r := e.routeOf(l)
		if e.inFlight(l) >= maxInFlight {
			pause = min(max(2*pause, r.Interval), maxPause)
			if wait = 0; !e.waitForOne(ctx, l, pause) {
				return
			}
			continue
		}
		var err error
		switch wait, err = e.Journal.reserve(name, r.Interval, time.Now()); {
		case err != nil:
			e.log(slog.LevelWarn, "journal of routes not written: no message is sent", "route", name, "err", err)
			e.Report(unrecorded(r, err))
			wait = r.Interval
		case wait == 0:
			pause, wait = 0, r.Interval
			e.start(ctx, l, r)
		}
	}
}

// firstWait returns how long a route waits before its first message after the start.
// Without a journal on disk it is not known when the last one was sent: then the route
// waits a whole interval, so that a restart sends nothing.
func (e *Engine) firstWait(l *loop) time.Duration {
	r := e.routeOf(l)
	if !e.Journal.Durable() && e.Journal.Counts(r.Name).LastSent.IsZero() {
		return r.Interval
	}
	return min(r.Interval, firstMessage)
}

// waitForOne waits until a message of the route is resolved, at most for d.
func (e *Engine) waitForOne(ctx context.Context, l *loop, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-l.resolved:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// start sends one message in a goroutine of its own.
func (e *Engine) start(ctx context.Context, l *loop, r *mail.Route) {
	e.count(l, 1)
	e.tasks.Go(func() {
		o, known := e.Send(ctx, r)
		e.count(l, -1)
		select {
		case l.resolved <- struct{}{}:
		default:
		}
		if known {
			e.Report(o)
		}
	})
}

func (e *Engine) routeOf(l *loop) *mail.Route {
	e.mu.Lock()
	defer e.mu.Unlock()
	return l.route
}

func (e *Engine) inFlight(l *loop) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return l.inFlight
}

func (e *Engine) count(l *loop, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.inFlight += n
}

func (e *Engine) log(level slog.Level, message string, args ...any) {
	if e.Log != nil {
		e.Log.Log(context.Background(), level, message, args...)
	}
}
