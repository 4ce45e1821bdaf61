package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A worker's timer is for all of its probes, one after another: each ends at its own
// deadline, whatever the timer was set for before.
func TestEachProbeOfAWorkerEndsAtItsOwnDeadline(t *testing.T) {
	const patient = -1 // it waits for its deadline
	for _, test := range []struct {
		name     string
		timeouts []time.Duration
		takes    []time.Duration
	}{
		{"the same timeout again", []time.Duration{3 * time.Second, 3 * time.Second, 3 * time.Second}, []time.Duration{time.Second, 2 * time.Second, patient}},
		{"a shorter timeout after a longer one", []time.Duration{time.Hour, time.Second}, []time.Duration{time.Second, patient}},
		{"a longer timeout after a shorter one", []time.Duration{2 * time.Second, time.Hour}, []time.Duration{time.Second, patient}},
		{"one deadline after another", []time.Duration{time.Second, time.Second}, []time.Duration{patient, patient}},
		{"a worker that rested", []time.Duration{time.Second, time.Minute, time.Second}, []time.Duration{0, 50 * time.Second, patient}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var timer deadlineTimer
				defer timer.stop()
				for i, timeout := range test.timeouts {
					begin := time.Now()
					probe := &probeContext{deadline: begin.Add(timeout)}
					timer.watch(probe)
					if takes := test.takes[i]; takes != patient {
						time.Sleep(takes)
						if err := probe.Err(); err != nil {
							t.Fatalf("probe %d ended early: %v", i, err)
						}
					} else if <-probe.Done(); time.Since(begin) != timeout || !errors.Is(probe.Err(), context.DeadlineExceeded) {
						t.Errorf("probe %d ended after %v: %v, want a deadline after %v", i, time.Since(begin), probe.Err(), timeout)
					}
					probe.end(context.Canceled)
					timer.watch(nil)
				}
			})
		})
	}
}

// What package context promises of a context holds for that of a probe, and for those
// that are derived from it.
func TestContextsDerivedFromAProbesEndWithIt(t *testing.T) {
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		t.Run(end.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				probe := &probeContext{deadline: time.Now().Add(time.Hour)}
				child, cancel := context.WithTimeout(probe, 2*time.Hour)
				defer cancel()
				left, leave := context.WithCancel(probe)
				var calls atomic.Int32
				count := func() { calls.Add(1) }
				context.AfterFunc(child, count)
				context.AfterFunc(probe, count)
				stop := context.AfterFunc(probe, func() { t.Error("called although it was stopped") })
				if !stop() || stop() {
					t.Error("a func is not stopped once")
				}
				if leave(); left.Err() == nil || len(probe.after) != 2 {
					t.Errorf("a child that left: error %v, %d funcs are kept, want the two of others", left.Err(), len(probe.after))
				}
				if deadline, _ := child.Deadline(); !deadline.Equal(probe.deadline) || child.Err() != nil {
					t.Errorf("the child ends at %v with %v, want at %v", deadline, child.Err(), probe.deadline)
				}
				probe.end(end)
				probe.end(errors.New("a second end"))
				context.AfterFunc(probe, count)
				synctest.Wait()
				for name, ctx := range map[string]context.Context{"the probe's": probe, "its child": child} {
					<-ctx.Done()
					if !errors.Is(ctx.Err(), end) || !errors.Is(context.Cause(ctx), end) {
						t.Errorf("%s: error %v, cause %v, want %v", name, ctx.Err(), context.Cause(ctx), end)
					}
				}
				if calls.Load() != 3 {
					t.Errorf("%d funcs called, want 3: of the child, of the probe, and after its end", calls.Load())
				}
			})
		})
	}
}

// A worker whose probe has ended begins the one that waited for its place.
func TestAWorkerBeginsTheNextProbeItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := mailboxes(3, "box", "one.example")
		s := newFixture(t, Options{MaxInFlightPerHost: 1}, map[string]time.Duration{"one.example": 15 * time.Second}, conns...)
		time.Sleep(40 * time.Second)
		s.Pool.mu.Lock()
		idle := len(s.idle)
		s.Pool.mu.Unlock()
		if idle != 0 {
			t.Errorf("%d workers rest while one probe runs after another", idle)
		}
		s.stop()
		ended := 0
		for _, c := range conns {
			ended += s.reasonsOf(c.Name)[""]
		}
		if ended != 2 {
			t.Errorf("%d probes ended in 40 s, want two", ended)
		}
	})
}
