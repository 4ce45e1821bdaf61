package guard

// This file keeps the guard's state on disk. One goroutine does all writing and
// reading, so that a disk that hangs blocks no probe. Only an attempt with a secret
// that is not known to work waits for the disk, at most 2 s.

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"
)

const (
	lazySave    = time.Minute            // how long a change that may be lost stays in memory
	groupWindow = 250 * time.Millisecond // in which events are written together
	pollEvery   = 2 * time.Second        // how often the journal is read for what others appended
	commitWait  = 2 * time.Second        // for what must be on disk before a login
	closeWait   = 2 * time.Second
	stalledFrom = 5 * time.Second // a write that takes longer has failed
	maxPending  = 20_000          // events; then the whole state is written instead
)

// errStalled is the error of a disk that does not answer.
var errStalled = errors.New("the disk did not answer in time")

// request is one event or save to be written.
type request struct {
	event   event
	permit  *Permit    // only with a sent event that its login waits for: it may be contended
	poll    bool       // no event: it only reads what others appended
	save    bool       // no event: the whole state is written
	durable bool       // on disk before the answer
	done    chan error // nil: no caller waits
}

// writer keeps the state of one guard in its files.
type writer struct {
	guard *Guard
	files files

	wake    chan struct{} // of capacity 1
	hurry   chan struct{} // of capacity 1: write at once, because a login waits or the event must survive a kill
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
	owner   bool // this process merges the journal into the state file

	mu      sync.Mutex
	pending []request
	polled  time.Time
	began   time.Time // of the write under way; zero: none
}

// startWriter begins to keep the state.
func startWriter(g *Guard, f files, owner bool) *writer {
	w := &writer{guard: g, files: f, owner: owner, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stop: make(chan struct{}), stopped: make(chan struct{})}
	go w.run()
	return w
}

// add writes an event soon.
func (w *writer) add(e event) { w.put(request{event: e}) }

// commit writes an event and waits until it is written; with durable set, until it is
// on the disk. It returns errContended if another process was faster.
func (w *writer) commit(ctx context.Context, p *Permit, e event, durable bool) error {
	return w.ask(ctx, request{event: e, permit: p, durable: durable}, commitWait)
}

// poll reads soon what other processes appended, if that was not done lately.
func (w *writer) poll() {
	w.mu.Lock()
	due := time.Since(w.polled) >= pollEvery
	if due {
		w.polled = time.Now()
	}
	w.mu.Unlock()
	if due {
		w.put(request{poll: true})
	}
}

// catchUp reads now what other processes appended.
func (w *writer) catchUp(ctx context.Context) {
	_ = w.ask(ctx, request{poll: true}, commitWait) // what is not read now is read later
}

// save writes the whole state soon.
func (w *writer) save() { w.put(request{save: true}) }

// ask waits for the answer to a request.
func (w *writer) ask(ctx context.Context, r request, patience time.Duration) error {
	r.done = make(chan error, 1)
	w.put(r)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case err := <-r.done:
		return err
	case <-w.stopped:
		return os.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		w.guard.keeping(errStalled)
		return errStalled
	}
}

// put passes a request to the goroutine.
func (w *writer) put(r request) {
	w.mu.Lock()
	if len(w.pending) >= maxPending && r.done == nil {
		r = request{save: true}
		w.pending = w.pending[:0]
	}
	w.pending = append(w.pending, r)
	stalled := !w.began.IsZero() && time.Since(w.began) > stalledFrom
	w.mu.Unlock()
	signal(w.wake)
	if r.done != nil {
		signal(w.hurry)
	}
	if stalled {
		w.guard.keeping(errStalled)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes what is pending until the end.
func (w *writer) run() {
	defer close(w.stopped)
	for {
		select {
		case <-w.wake:
			w.gather()
			w.flush(false)
		case <-w.stop:
			w.flush(true)
			return
		}
	}
}

// gather waits a moment for more to write, unless a request is urgent.
func (w *writer) gather() {
	window := time.NewTimer(groupWindow)
	defer window.Stop()
	select {
	case <-w.hurry:
	case <-window.C:
	case <-w.stop:
	}
}

// flush writes what is pending.
func (w *writer) flush(last bool) {
	select { // before the batch is taken: it contains every urgent request so far, and a later one signals again
	case <-w.hurry:
	default:
	}
	w.mu.Lock()
	batch := w.pending
	w.pending = nil
	w.began = time.Now()
	w.mu.Unlock()
	err := w.files.write(w.guard, batch, w.owner, last)
	w.mu.Lock()
	w.began = time.Time{}
	w.mu.Unlock()
	w.guard.keeping(err) // before the answers: after one of them, Unkept is up to date
	for _, r := range batch {
		if r.done != nil {
			r.done <- err // a contended one was answered already
		}
	}
}

// close writes what is pending and releases the files.
func (w *writer) close() error {
	w.once.Do(func() { close(w.stop) })
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-w.stopped:
		return w.files.close()
	case <-late.C:
		return errStalled
	}
}

// files are the three files of a state: the state file, its journal and its key. They
// are for one goroutine.
type files struct {
	path    string // of the state file, where its link leads
	journal journal
	lock    *os.File // the state file, locked by its owner; nil: not owned

	readAt time.Time // when the journal was read last

	keyKept bool
	dirty   bool // the file lacks what could not be written
	saved   uint64
	savedAt time.Time
}

// write takes in what others wrote and adds a batch.
func (f *files) write(g *Guard, batch []request, owner, last bool) error {
	if !f.keyKept {
		made, err := f.keepKey(g)
		if err != nil {
			return err
		}
		defer made.Close() // not before the journal exists, see readKey
	}
	file, foreign, renewed, err := f.journal.begin()
	if err != nil {
		f.dirty = true
		return err
	}
	defer file.Close()
	if renewed && !owner {
		if err := f.reload(g); err != nil {
			return err
		}
	}
	g.takeIn(foreign, f.readAt)
	f.readAt = g.now()
	if owner && (renewed || f.journal.damaged) { // what was lost is in memory
		f.dirty, f.journal.damaged = true, false
	}
	lines := f.lost(g)
	own, durable := f.lines(g, batch)
	lines = append(lines, own...)
	if len(lines) > 0 {
		err = f.journal.append(file, lines, durable)
	}
	if err != nil {
		f.dirty = true
	}
	if owner && f.due(g, batch, last) {
		err = f.compact(g)
	}
	return err
}

// lines returns the events of a batch that need a line in the journal. An attempt that
// was answered meanwhile needs none, and neither does its answer, unless a caller waits
// for them.
func (f *files) lines(g *Guard, batch []request) (lines []event, durable bool) {
	settled := make(map[uint64]bool, len(batch))
	for _, r := range batch {
		if r.event.Result == accepted || r.event.Result == temporary || r.event.Result == unsent {
			settled[r.event.ID] = true
		}
	}
	dropped := make(map[uint64]bool, len(batch))
	for i := range batch {
		r := &batch[i]
		switch {
		case r.poll || r.save || dropped[r.event.ID]:
		case r.event.Result == sent && r.done == nil && settled[r.event.ID]:
			dropped[r.event.ID] = true
		case r.permit != nil && g.contended(r.permit, r.event):
			r.done <- errContended
			r.done = nil
		default:
			lines = append(lines, r.event)
			durable = durable || r.durable
		}
	}
	return lines, durable
}

// due reports whether the journal is to be merged into the state file.
func (f *files) due(g *Guard, batch []request, last bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.saved == g.changes && !f.dirty && f.journal.offset < compactFrom {
		return false
	}
	for _, r := range batch {
		if r.save {
			return true
		}
	}
	ago := g.now().Sub(f.savedAt)
	return last || f.dirty || f.journal.offset >= compactFrom || ago < 0 || ago >= lazySave
}

// compact writes the whole state and begins the journal anew. The caller has
// locked the journal.
func (f *files) compact(g *Guard) error {
	if err := f.save(g); err != nil {
		f.dirty = true
		return err
	}
	f.dirty = false
	return f.journal.replace()
}

// save replaces the state file.
func (f *files) save(g *Guard) error {
	g.mu.Lock()
	changes, now := g.changes, g.now()
	state := g.snapshot(now)
	g.mu.Unlock()
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if err := f.stillOurs(); err != nil {
		return err
	}
	file, err := replaceFile(f.path, raw, f.journal.owner)
	if err != nil {
		return err
	}
	if f.lock != nil {
		_ = f.lock.Close() // the old file, which has no name any more
	}
	f.lock = file
	f.saved, f.savedAt = changes, now
	return nil
}

// stillOurs returns an error if another process has replaced the state file.
func (f *files) stillOurs() error {
	there, err := os.Lstat(f.path)
	if os.IsNotExist(err) || f.lock == nil {
		return nil
	}
	if err != nil {
		return err
	}
	if here, err := f.lock.Stat(); err != nil || !os.SameFile(here, there) {
		return errors.Join(errors.New(f.path+": replaced by another process"), err)
	}
	return nil
}

// close unlocks the state file.
func (f *files) close() error {
	if f.lock == nil {
		return nil
	}
	return f.lock.Close()
}

// takeIn counts what other processes wrote since the journal was last read (since). An
// event with an earlier time counts as of then: after the clock was set back, a process
// that probes by hand has another time than this one.
func (g *Guard) takeIn(events []event, since time.Time) {
	if len(events) == 0 {
		return
	}
	g.mu.Lock()
	defer g.unlock()
	now := g.now()
	for _, e := range events {
		if e = e.notAfter(now); e.sane(now) {
			e.At = laterOf(e.At, since)
			if e.Result == forgotten {
				g.apply(e, "")
				continue
			}
			name, _ := g.nameOf(e.Cause)
			if name == "" {
				name = "of another process"
			}
			g.apply(e, name)
			g.account(e.Account, now).queue.wakeFirst()
		}
	}
}

// contended reports whether an attempt that was granted must not be made after all,
// because of events of other processes that were read since.
func (g *Guard) contended(p *Permit, e event) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	a := g.account(e.Account, now)
	own := a.take(e.ID)
	if own == nil {
		return true
	}
	defer func() { a.Attempts = append(a.Attempts, *own) }()
	_, s, t, _ := p.find(now)
	until, busy, _ := a.room(s, t, e.Host, 0, now)
	return busy || !until.IsZero() || p.refusalHold(s, now).Reason != ""
}
