package exporter

// This file says whether the processor has enough to do, so that the pool does not begin
// more probes than it can compute.

import (
	"runtime"
	"runtime/metrics"
	"sync"
)

// enoughRunnable is how many goroutines may wait to run, for each processor, before no
// further probe begins. With fewer, a processor could come to rest while the servers
// answer; with more, probes take the processor's caches from each other.
const enoughRunnable = 2

// processor knows how much there is to do.
type processor struct {
	mu     sync.Mutex
	sample []metrics.Sample
}

func newProcessor() *processor {
	// New in Go 1.26. Where it is missing, nothing is ever busy.
	return &processor{sample: []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}}
}

// isBusy reports whether enough goroutines wait to run. It takes about a microsecond.
func (p *processor) isBusy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	metrics.Read(p.sample)
	value := p.sample[0].Value
	return value.Kind() == metrics.KindUint64 && value.Uint64() >= enoughRunnable*uint64(runtime.GOMAXPROCS(0))
}
