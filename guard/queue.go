package guard

// This file lets logins wait in the order of their arrival. One is woken at a time. It
// decides, and wakes the next one if there may be room for it.

import (
	"container/list"
	"context"
	"time"
)

// maxQueueWait is the maximum time that a login waits for another one. If a third of
// the probe's timeout is shorter, that is the maximum, so that time is left for the
// login.
const maxQueueWait = 10 * time.Second

// queue holds the logins that wait for the same event. The zero value is empty. It is
// protected by the guard's lock.
type queue struct {
	list *list.List // of waiters; nil: none waited yet, as in most accounts
}

func (q *queue) isEmpty() bool { return q.list == nil || q.list.Len() == 0 }

// waiter is one login that waits, in at most one queue at a time.
type waiter struct {
	wake  chan struct{} // of capacity 1: a wake-up is not lost while the waiter decides
	queue *queue        // nil: in none
	place *list.Element
}

// enqueue puts a waiter at the end of a queue, unless it waits there already.
func (q *queue) enqueue(w *waiter) {
	if w.queue == q {
		return
	}
	w.leave()
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
	}
	if q.list == nil {
		q.list = list.New()
	}
	w.queue, w.place = q, q.list.PushBack(w)
}

// leave takes a waiter out of its queue and wakes the next one there.
func (w *waiter) leave() {
	if w == nil || w.queue == nil {
		return
	}
	q := w.queue
	q.list.Remove(w.place)
	w.queue, w.place = nil, nil
	q.wakeFirst()
}

// wakeFirst lets the first waiter decide again.
func (q *queue) wakeFirst() {
	if q.isEmpty() {
		return
	}
	select {
	case q.list.Front().Value.(*waiter).wake <- struct{}{}:
	default: // it was woken already
	}
}

// wakeAll lets every waiter decide again: the queue is no longer used.
func (q *queue) wakeAll() {
	if q.isEmpty() {
		return
	}
	for e := q.list.Front(); e != nil; e = e.Next() {
		select {
		case e.Value.(*waiter).wake <- struct{}{}:
		default:
		}
	}
}

// blocks reports whether another login waits before w.
func (q *queue) blocks(w *waiter) bool {
	return !q.isEmpty() && q.list.Front().Value.(*waiter) != w
}

// decision is the answer to one question of a login. It is final, or the login waits
// and asks again when it is woken or after a time (0: only when woken).
type decision struct {
	wait  bool
	again time.Duration
}

// await asks until the answer is final. When ctx has ended or the wait was too long, it
// asks with last set, and that answer must be final. A login that is answered at once
// starts no timer.
func await(ctx context.Context, patient bool, ask func(w *waiter, last bool) decision) {
	w := &waiter{}
	answer := ask(w, !patient)
	if !answer.wait {
		return
	}
	giveUp := time.NewTimer(queueWaitWithin(ctx))
	defer giveUp.Stop()
	for answer.wait {
		var again <-chan time.Time
		var timer *time.Timer
		if answer.again > 0 {
			timer = time.NewTimer(answer.again)
			again = timer.C
		}
		last := false
		select {
		case <-w.wake:
		case <-again:
		case <-ctx.Done():
			last = true
		case <-giveUp.C:
			last = true
		}
		if timer != nil {
			timer.Stop()
		}
		answer = ask(w, last)
	}
}

// queueWaitWithin is how long a probe with this context can wait.
func queueWaitWithin(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return maxQueueWait
	}
	return min(maxQueueWait, max(0, time.Until(deadline)/3))
}
