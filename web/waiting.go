package web

// This file bounds how many requests wait for probes, and how many metrics
// answers are written at once. Requests of one connection cannot take the places
// of the others, and those of /probe cannot take the places of /metrics.

import (
	"context"
	"sync"
	"time"
)

const (
	// defaultMaxWaiting is the value of Options.MaxWaiting if that is 0.
	defaultMaxWaiting = 4096
	// Requests for one connection get a quarter of all places, but at least
	// minWaitingPerName.
	waitingShare      = 4
	minWaitingPerName = 8

	// maxExpositions is how many answers of /metrics are written at once: each
	// holds its messages until its client has read them. Others wait for at most
	// expositionWait.
	maxExpositions = 16
	expositionWait = 5 * time.Second
)

// waiters counts the requests that wait for a probe.
type waiters struct {
	limit int

	mu     sync.Mutex
	total  int
	byName map[string]int
}

func newWaiters(limit int) *waiters {
	if limit <= 0 {
		limit = defaultMaxWaiting
	}
	return &waiters{limit: limit, byName: map[string]int{}}
}

// enter reports whether another request may wait for this connection; if so,
// leave must be called once.
func (w *waiters) enter(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total >= w.limit || w.byName[name] >= max(minWaitingPerName, w.limit/waitingShare) {
		return false
	}
	w.total++
	w.byName[name]++
	return true
}

func (w *waiters) leave(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total--
	if w.byName[name]--; w.byName[name] == 0 {
		delete(w.byName, name)
	}
}

// places lets a limited number of answers be written at once.
type places chan struct{}

// take waits up to expositionWait for a place, and returns false if there was none.
func (p places) take(ctx context.Context) bool {
	select {
	case p <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(expositionWait)
	defer timer.Stop()
	select {
	case p <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (p places) giveBack() { <-p }
