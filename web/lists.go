package web

// This file sends long lists. Clients that ask for one list at the same time share
// one text of it, so that its memory does not grow with their number, nor with how
// slowly they read. Where there is no room for the text, a few clients get the list
// item by item.

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// A new client gets a text that others are reading if it is not older than
	// listShared, or than listStale if there is no room for a newer one. Clients that
	// do not read are dropped earlier, which makes room.
	listShared = 5 * time.Second
	listStale  = 15 * time.Second
	// listTooLong is how long a kind of list that did not fit is not tried again.
	listTooLong = time.Minute
	// listBudget bounds the bytes of all texts. A list of 10,000 connections takes 8 MiB.
	listBudget = 32 << 20
	listChunk  = 64 << 10

	// maxStreams is how many clients get lists item by item at once.
	maxStreams = 16
)

// lists are the texts that are being read. The zero value is none.
type lists struct {
	mu      sync.Mutex
	used    int // bytes of all texts
	newest  map[listKey]*list
	tooLong map[string]time.Time // by kind: when one did not fit
}

// listKey is equal for requests that get one text.
type listKey struct{ kind, variant string }

// list is one text.
type list struct {
	key   listKey
	began time.Time
	ready chan struct{} // closed when it is complete

	chunks  [][]byte // nil: it did not fit
	size    int      // bytes that count for the budget
	readers int      // clients that use it now, and the one that writes it
}

// sendList sends what write writes, a JSON document. Requests with the same key
// share one text of it.
func (s *site) sendList(w http.ResponseWriter, r *http.Request, key listKey, write func(*bufio.Writer) bool) {
	text := s.lists.get(key, write)
	if text != nil {
		defer s.lists.release(text)
		select {
		case <-text.ready:
		case <-r.Context().Done():
			return
		}
		if text.chunks != nil {
			s.answers.sendText(w, text)
			return
		}
	}
	if !s.streams.take(r.Context()) {
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, tooBusy)
		return
	}
	defer s.streams.giveBack()
	out := s.answers.jsonWriter(w)
	if write(out) {
		_ = out.Flush()
	}
}

// sendText writes a shared text.
func (a *answers) sendText(w http.ResponseWriter, text *list) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	length := 0
	for _, chunk := range text.chunks {
		length += len(chunk)
	}
	w.Header().Set("Content-Length", strconv.Itoa(length))
	out := a.steady(w)
	for _, chunk := range text.chunks {
		if _, err := out.Write(chunk); err != nil {
			return // the client has left
		}
	}
}

// get returns a text that is new enough, or writes one; nil: there is no room for it.
// The caller must release it.
func (l *lists) get(key listKey, write func(*bufio.Writer) bool) *list {
	text, isNew := l.join(key, time.Now())
	if isNew {
		l.write(text, write)
	}
	return text
}

// join finds the text to share, or begins one that the caller has to write.
func (l *lists) join(key listKey, now time.Time) (text *list, isNew bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if failed, is := l.tooLong[key.kind]; is && now.Sub(failed) < listTooLong {
		return nil, false
	}
	needed := listChunk
	if text = l.newest[key]; text != nil {
		needed = max(needed, text.size)
	}
	room := l.used+needed <= listBudget
	if text != nil && (now.Sub(text.began) < listShared || !room && now.Sub(text.began) < listStale) {
		text.readers++
		return text, false
	}
	if !room {
		return nil, false
	}
	text = &list{key: key, began: now, ready: make(chan struct{}), readers: 1}
	if l.newest == nil {
		l.newest, l.tooLong = map[listKey]*list{}, map[string]time.Time{}
	}
	l.newest[key] = text
	return text, true
}

// write writes a text, as far as it fits.
func (l *lists) write(text *list, write func(*bufio.Writer) bool) {
	defer close(text.ready)
	sink := &listWriter{lists: l, text: text}
	out := bufio.NewWriterSize(sink, listChunk)
	if write(out) && out.Flush() == nil {
		text.chunks = sink.chunks
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tooLong[text.key.kind] = text.began
	l.forgetLocked(text)
}

// listWriter keeps what is written to it in chunks, within the budget.
type listWriter struct {
	lists  *lists
	text   *list
	chunks [][]byte
}

// Write implements io.Writer.
func (w *listWriter) Write(p []byte) (int, error) {
	w.lists.mu.Lock()
	fits := w.lists.used+len(p) <= listBudget
	if fits {
		w.lists.used += len(p)
		w.text.size += len(p)
	}
	w.lists.mu.Unlock()
	if !fits {
		return 0, io.ErrShortWrite
	}
	w.chunks = append(w.chunks, append(make([]byte, 0, len(p)), p...))
	return len(p), nil
}

// release drops a text when its last reader has ended.
func (l *lists) release(text *list) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text.readers--; text.readers == 0 {
		l.forgetLocked(text)
	}
}

// forgetLocked is called once or more.
func (l *lists) forgetLocked(text *list) {
	l.used -= text.size
	text.size = 0
	if l.newest[text.key] == text {
		delete(l.newest, text.key)
	}
}
