package pool

// This file holds the context of a probe. A context of the standard library makes a timer
// for each deadline, which takes a third of the pool's processor time, although hardly any
// probe reaches its deadline. Here each worker has one timer, which is reset only if it
// would fire too late.

import (
	"context"
	"slices"
	"sync"
	"time"
)

// probeContext is the context of one probe.
type probeContext struct {
	deadline time.Time

	mu    sync.Mutex
	err   error         // nil: it has not ended
	done  chan struct{} // nil: nobody asked for it yet
	after []*func()     // to be called when it ends
}

func (c *probeContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *probeContext) Value(any) any { return nil }

func (c *probeContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *probeContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// AfterFunc is what package context uses for contexts that are derived from this one, and
// what [context.AfterFunc] says. Without it each of them would start a goroutine.
func (c *probeContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.after = append(c.after, &f)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.after, &f)
		if i >= 0 {
			c.after = slices.Delete(c.after, i, i+1)
		}
		return i >= 0
	}
}

// end ends the context, unless it has ended.
func (c *probeContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	for _, f := range c.after {
		go (*f)()
	}
	c.after = nil
}

// deadlineTimer ends the contexts of a worker's probes, one after another, at their
// deadlines.
type deadlineTimer struct {
	mu    sync.Mutex
	timer *time.Timer   // nil: it was never set
	fires time.Time     // at this time; zero: it is not set
	probe *probeContext // of the probe that runs; nil: none runs
}

// watch sets the context that the timer ends; nil: none, because the worker is idle.
func (t *deadlineTimer) watch(probe *probeContext) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probe = probe
	if probe != nil && (t.fires.IsZero() || probe.deadline.Before(t.fires)) {
		t.setLocked()
	}
}

// setLocked lets the timer fire at the deadline of the probe.
func (t *deadlineTimer) setLocked() {
	t.fires = t.probe.deadline
	if left := time.Until(t.fires); t.timer == nil {
		t.timer = time.AfterFunc(left, t.fire)
	} else {
		t.timer.Reset(left)
	}
}

func (t *deadlineTimer) fire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fires = time.Time{}
	switch {
	case t.probe == nil:
	case time.Now().Before(t.probe.deadline): // it was set for an earlier probe
		t.setLocked()
	default:
		t.probe.end(context.DeadlineExceeded)
	}
}

// stop ends the timer: the worker probes no more.
func (t *deadlineTimer) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probe = nil
	if t.timer != nil {
		t.timer.Stop()
	}
}
