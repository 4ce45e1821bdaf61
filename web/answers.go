package web

// This file bounds the memory of answers while their clients read them. A list is
// shared (lists.go); a page is kept as a whole, and all pages together have a budget.
// A client that stops reading is dropped.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// stallTime is the time a client has to read each writeChunk of an answer.
	stallTime  = 10 * time.Second
	writeChunk = 32 << 10

	// pageBudget bounds the bytes of all pages that are being rendered or read. A
	// request waits at most budgetWait for its share.
	pageBudget = 16 << 20
	budgetWait = 5 * time.Second

	// maxRendering is how many pages are rendered at once: the status page looks
	// at every connection, and more at a time would be no faster.
	maxRendering = 2
)

// pageBytes is the share of a page that is not rendered yet, in bytes. A page
// that turns out longer is sent nevertheless.
const pageBytes = 1 << 20

// answers holds the limits that all pages share.
type answers struct {
	rendering *semaphore.Weighted
	bytes     *semaphore.Weighted
	wait      time.Duration // for room
	stall     time.Duration
}

func newAnswers() *answers {
	return &answers{semaphore.NewWeighted(maxRendering), semaphore.NewWeighted(pageBudget), budgetWait, stallTime}
}

// send renders a page and writes it. The page counts against the budget until the
// client has read it. send returns false if there was no room; then nothing was
// written.
func (a *answers) send(w http.ResponseWriter, r *http.Request, render func() []byte) bool {
	ctx, cancel := context.WithTimeout(r.Context(), a.wait)
	defer cancel()
	if a.bytes.Acquire(ctx, pageBytes) != nil {
		return false
	}
	held := int64(pageBytes)
	defer func() { a.bytes.Release(held) }()
	if a.rendering.Acquire(ctx, 1) != nil {
		return false
	}
	body := func() []byte {
		defer a.rendering.Release(1)
		return bytes.Clone(render()) // its own length: a buffer has room for twice as much
	}()
	if rest := held - int64(len(body)); rest > 0 {
		a.bytes.Release(rest)
		held -= rest
	}
	_, _ = a.steady(w).Write(body) // the client may have left
	return true
}

// steadyWriter ends the answer to a client that stops reading. Each chunk has its own
// deadline, so a slow client that continues to read gets the whole answer.
type steadyWriter struct {
	http.ResponseWriter
	stall time.Duration
}

func (a *answers) steady(w http.ResponseWriter) *steadyWriter { return &steadyWriter{w, a.stall} }

// Unwrap is for http.ResponseController.
func (w *steadyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements io.Writer.
func (w *steadyWriter) Write(body []byte) (int, error) {
	written := 0
	for len(body) > 0 {
		chunk := body[:min(len(body), writeChunk)]
		// A ResponseWriter that supports no deadline keeps the server's write timeout.
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.stall))
		n, err := w.ResponseWriter.Write(chunk)
		written += n
		if err != nil {
			return written, err
		}
		body = body[n:]
	}
	return written, nil
}

// streamList writes a JSON list item by item. Its memory is one buffer, for any number
// of items and any speed of the client. It reports whether the client received all of
// them.
func (a *answers) streamList(w *bufio.Writer, items iter.Seq[any]) bool {
	_ = w.WriteByte('[') // a bufio.Writer keeps its first error
	first := true
	encoder := json.NewEncoder(w) // escapes < and > too, so that no browser takes it for a page
	for item := range items {
		if !first {
			_ = w.WriteByte(',')
		}
		first = false
		if encoder.Encode(item) != nil {
			return false
		}
	}
	return w.WriteByte(']') == nil
}

// jsonWriter sets the content type of a JSON answer and returns its writer, which the
// caller must flush.
func (a *answers) jsonWriter(w http.ResponseWriter) *bufio.Writer {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	return bufio.NewWriterSize(a.steady(w), writeChunk)
}
