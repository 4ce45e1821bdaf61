package web

// This file reloads the configuration on request, and limits how often.

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// reloadGap is the time from the start of one requested reload to that of the next.
const reloadGap = time.Second

// reloads runs the reloads that clients request: one at a time, and at most one per
// second. Requests that arrive during a reload share the next one: it begins after
// their arrival, so it reads the files that they want read.
type reloads struct {
	reload func() error
	turn   chan struct{} // holds an item while a reload runs, or waits for its second
	last   time.Time     // when one began; belongs to the holder of the turn

	mu   sync.Mutex
	next *pendingReload // nil: none waits
}

type pendingReload struct {
	done chan struct{}
	err  error // may be read once done is closed
}

func newReloads(reload func() error) *reloads {
	return &reloads{reload: reload, turn: make(chan struct{}, 1)}
}

// request returns the result of a reload that begins after the call.
func (r *reloads) request() error {
	r.mu.Lock()
	p := r.next
	first := p == nil
	if first {
		p = &pendingReload{done: make(chan struct{}), err: errors.New("the reload broke off")}
		r.next = p
	}
	r.mu.Unlock()
	if first {
		r.run(p)
	}
	<-p.done
	return p.err
}

func (r *reloads) run(p *pendingReload) {
	defer close(p.done) // also when the reload panics
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	time.Sleep(time.Until(r.last.Add(reloadGap)))
	r.mu.Lock()
	r.next = nil // later requests need another reload
	r.mu.Unlock()
	r.last = time.Now()
	p.err = r.reload()
}

// serveReload answers with the errors of a broken file. They contain no secret.
func (s *site) serveReload(w http.ResponseWriter, _ *http.Request) {
	if err := s.reloads.request(); err != nil {
		refuse(w, http.StatusInternalServerError, "reload failed, the old configuration stays in effect:\n"+err.Error())
		return
	}
	plain(w, "reloaded\n")
}
