package pool

// This file holds the goroutines that probe. An idle worker waits for the next run
// instead of ending: its stack has already grown to the size that a TLS handshake
// needs.

// maxIdleWorkers is how many goroutines wait for work at most.
const maxIdleWorkers = 64

// worker is a goroutine that probes.
type worker struct {
	next     chan *run // has room for one
	deadline deadlineTimer
}

// dispatchLocked gives a run whose probe is to begin to an idle worker, or to a new one.
func (p *Pool) dispatchLocked(r *run) {
	if last := len(p.idle) - 1; last >= 0 {
		w := p.idle[last]
		p.idle = p.idle[:last]
		w.next <- r
		return
	}
	w := &worker{next: make(chan *run, 1)}
	p.workers.Add(1)
	go p.work(w, r)
}

// work executes runs until there are enough idle workers, or the pool stops.
func (p *Pool) work(w *worker, r *run) {
	defer p.workers.Done()
	defer w.deadline.stop()
	for ok := true; ok; {
		if !p.execute(w, r) {
			return
		}
		r, ok = <-w.next
	}
}

// restLocked reports whether a worker whose probe has ended waits for another run. Before
// Run none does, because nothing would end it.
func (p *Pool) restLocked(w *worker) bool {
	if !p.running || p.stopped || len(p.idle) >= maxIdleWorkers {
		return false
	}
	p.idle = append(p.idle, w)
	return true
}

// dismissLocked ends the idle workers.
func (p *Pool) dismissLocked() {
	for _, w := range p.idle {
		close(w.next)
	}
	p.idle = nil
}
