// Package logline writes log lines without ever blocking: a log that is not read
// must not stop the program.
package logline

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// waiting bounds the lines that wait for a slow reader: usually half a MiB, at most a
// few MiB.
const waiting = 1024

// Writer passes each Write on in a goroutine of its own. A Write never blocks:
// when the reader of the log is too slow, lines are dropped and counted. Its
// methods may be called by several goroutines at once.
type Writer struct {
	to      io.Writer
	note    func(dropped uint64) []byte
	lines   chan []byte
	dropped atomic.Uint64
	ended   chan struct{}

	mu     sync.Mutex
	closed bool
}

// New returns a Writer to an underlying writer. note returns the line that reports how
// many lines were dropped before it; nil: only Dropped reports them.
func New(to io.Writer, note func(dropped uint64) []byte) *Writer {
	w := &Writer{to: to, note: note, lines: make(chan []byte, waiting), ended: make(chan struct{})}
	go w.run()
	return w
}

// run writes until Close.
func (w *Writer) run() {
	defer close(w.ended)
	var reported uint64
	for line := range w.lines {
		_, _ = w.to.Write(line) // there is nowhere to report it
		if dropped := w.dropped.Load(); dropped > reported && w.note != nil {
			_, _ = w.to.Write(w.note(dropped - reported))
			reported = dropped
		}
	}
}

// Write takes one line. It never fails.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return len(line), nil
	}
	select {
	case w.lines <- append([]byte(nil), line...):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

// Dropped is the number of lines that were not read in time.
func (w *Writer) Dropped() uint64 { return w.dropped.Load() }

// Close writes what waits, for at most patience, and drops what comes later. A
// goroutine stays behind if the underlying writer never returns.
func (w *Writer) Close(patience time.Duration) {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.ended:
	case <-time.After(patience):
	}
}
