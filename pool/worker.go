package pool

// This file holds the goroutines that probe. An idle worker waits for the next run
// instead of ending: its stack has already grown to the size that a TLS handshake
// needs.

import "context"

// maxIdleWorkers is how many goroutines wait for work at most.
const maxIdleWorkers = 64

// job is a run whose probe is to begin.
type job struct {
	ctx context.Context
	run *run
}

// dispatchLocked gives a job to an idle worker, or to a new one.
func (p *Pool) dispatchLocked(j job) {
	if last := len(p.idle) - 1; last >= 0 {
		worker := p.idle[last]
		p.idle = p.idle[:last]
		worker <- j // it has room for one
		return
	}
	p.workers.Add(1)
	go p.work(j)
}

// work executes jobs until there are enough idle workers, or the pool stops.
func (p *Pool) work(j job) {
	defer p.workers.Done()
	next := make(chan job, 1)
	for ok := true; ok; {
		p.execute(j.ctx, j.run)
		if !p.rest(next) {
			return
		}
		j, ok = <-next
	}
}

// rest reports whether a worker waits for another job. Before Run none does, because
// nothing would end it.
func (p *Pool) rest(next chan job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running || p.stopped || len(p.idle) >= maxIdleWorkers {
		return false
	}
	p.idle = append(p.idle, next)
	return true
}

// dismissLocked ends the idle workers.
func (p *Pool) dismissLocked() {
	for _, worker := range p.idle {
		close(worker)
	}
	p.idle = nil
}
