package routes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailprobe/mail"
	"mailprobe/prober"
)

// stored is a message in a folder of the world.
type stored struct {
	uid     uint32
	header  string
	body    string
	arrived time.Time
}

// world is a mail system: what is submitted is delivered as the story says.
type world struct {
	mu       sync.Mutex
	validity uint32
	folders  map[string][]*stored
	junk     []string
	next     uint32

	deliver   func(w *world, header, body string) // at submission
	submit    func(*prober.Submission)            // changes the answer
	open      func(*mail.Connection) *mail.Failure
	noUIDPlus bool

	sessions  map[string]int // by connection
	submitted int
	deleted   []*stored
}

func newWorld() *world {
	return &world{validity: 1, next: 1, folders: map[string][]*stored{"INBOX": nil, "Junk": nil, "Archive": nil},
		junk: []string{"Junk"}, sessions: map[string]int{}}
}

// file puts a message into a folder after a while.
func (w *world) file(folder, header, body string, after time.Duration) {
	time.AfterFunc(after, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.folders[folder] = append(w.folders[folder], &stored{uid: w.next, header: header, body: body, arrived: time.Now()})
		w.next++
	})
}

// into delivers each message to a folder after a while.
func into(folder string, after time.Duration) func(*world, string, string) {
	return func(w *world, header, body string) { w.file(folder, header, body, after) }
}

func (w *world) Submit(_ context.Context, c *mail.Connection, e prober.Envelope, message []byte) prober.Submission {
	time.Sleep(10 * time.Millisecond) // in a bubble
	header, body, _ := strings.Cut(string(message), "\r\n\r\n")
	w.mu.Lock()
	w.submitted++
	w.mu.Unlock()
	s := prober.Submission{Outcome: mail.Outcome{Connection: c}, Accepted: true, Written: true, Took: 10 * time.Millisecond,
		Answered: time.Now(), Notified: e.ID != ""}
	if w.submit != nil {
		w.submit(&s)
	}
	if unanswered := s.Took == 0; (s.Accepted || unanswered) && w.deliver != nil {
		w.deliver(w, "Received: from a by b with ESMTP; Sat, 28 Nov 2026 12:00:00 +0000\r\n"+header+"\r\n", body)
	}
	return s
}

func (w *world) Open(_ context.Context, c *mail.Connection, use func(prober.Mailbox) error) mail.Outcome {
	w.mu.Lock()
	w.sessions[c.Name]++
	w.mu.Unlock()
	o := mail.Outcome{Connection: c}
	if w.open != nil {
		if f := w.open(c); f != nil {
			o.Failure = f
			return o
		}
	}
	if err := use(&box{w, c}); err != nil {
		o.Failure = &mail.Failure{Phase: mail.PhaseMailbox, Reason: mail.MailboxFailed, Text: err.Error()}
	}
	return o
}

// box is a session in the world's mailbox.
type box struct {
	*world
	c *mail.Connection
}

// Home is that of the connection; a shared mailbox has a name of its own.
func (b *box) Home() (string, error) {
	if b.c.SharedMailbox != "" {
		return b.c.SharedMailbox, nil
	}
	return cmp.Or(b.c.Mailbox, "INBOX"), nil
}

func (b *box) Folders() ([]prober.Folder, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []prober.Folder
	for name := range b.folders {
		list = append(list, prober.Folder{Name: name, Junk: slices.Contains(b.junk, name)})
	}
	return list, nil
}

func (b *box) Mark(folder string) (prober.Mark, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.folders[folder]; !ok {
		return prober.Mark{}, fmt.Errorf("no folder %q", folder)
	}
	return prober.Mark{Validity: b.validity, Next: b.next}, nil
}

func (b *box) Since(folder string, from prober.Mark) ([]prober.Candidate, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []prober.Candidate
	for _, m := range b.folders[folder] {
		if from.Validity == b.validity && m.uid < from.Next {
			continue
		}
		fields := parseHeader([]byte(m.header))
		list = append(list, prober.Candidate{ID: strconv.Itoa(int(m.uid)), Mark: first(fields, fieldMailprobe), MessageID: first(fields, fieldMessageID)})
	}
	return list, nil
}

func (b *box) find(folder, id string) (int, *stored) {
	for i, m := range b.folders[folder] {
		if strconv.Itoa(int(m.uid)) == id {
			return i, m
		}
	}
	return -1, nil
}

func (b *box) Content(folder, id string, _ bool) (prober.Content, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, m := b.find(folder, id)
	if m == nil {
		return prober.Content{}, errors.New("gone")
	}
	return prober.Content{Header: []byte(m.header + "\r\n"), Body: []byte(m.body)}, nil
}

func (b *box) Delete(folder string, ids []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.noUIDPlus {
		return errors.New("the server has no UIDPLUS")
	}
	for _, id := range ids {
		i, m := b.find(folder, id)
		if m == nil {
			return errors.New("gone")
		}
		b.deleted = append(b.deleted, m)
		b.folders[folder] = slices.Delete(b.folders[folder], i, i+1)
	}
	return nil
}

// left counts the messages that are still somewhere.
func (w *world) left() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range w.folders {
		n += len(list)
	}
	return n
}
