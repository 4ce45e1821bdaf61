package exporter

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// Goroutines that wait to run make the processor busy; those that wait for something
// else do not.
func TestProcessorIsBusyWhileGoroutinesWaitToRun(t *testing.T) {
	before := runtime.GOMAXPROCS(1) // nothing else runs then
	defer runtime.GOMAXPROCS(before)
	p := newProcessor()
	release := make(chan struct{})
	for range 10 {
		go func() { <-release }()
	}
	for p.isBusy() { // until they, and goroutines of other tests, wait
		runtime.Gosched()
	}
	close(release) // now they are to run, after this one
	if !p.isBusy() {
		t.Errorf("not busy with %d goroutines that wait to run", 10)
	}
}

func TestProcessorIsNeverBusyWithoutTheMetric(t *testing.T) {
	p := newProcessor()
	if p.isBusy(); p.sample[0].Value.Kind() != metrics.KindUint64 {
		t.Fatalf("this version of Go has no %s", p.sample[0].Name)
	}
	p.sample[0].Name = "/sched/goroutines/of another version:goroutines"
	if p.isBusy() {
		t.Error("busy, although nothing is known")
	}
}
