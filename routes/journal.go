package routes

// This file keeps a journal of the messages that are on their way or left behind. With it,
// a message is deleted even if mailprobe crashed meanwhile, and a restart sends no extra
// message. The
// journal holds tokens, times, positions in folders and the names of routes; no address
// and no other name.

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"mailprobe/internal/durable"
	"mailprobe/mail"
	"mailprobe/prober"
)

const (
	journalVersion = 1
	maxJournal     = 16 << 20 // bytes
	maxEntries     = 300      // messages of one route that are remembered
	rememberFor    = 7 * 24 * time.Hour
	noticesFor     = 24 * time.Hour // that the notification about a message that arrived is waited for
	keyLength      = 32
)

// Journal is the journal of all routes. Its methods are safe for concurrent use.
type Journal struct {
	path string // empty: memory alone

	mu   sync.Mutex
	kept kept
}

// kept is the file.
type kept struct {
	Version int                    `json:"version"`
	Key     []byte                 `json:"key"` // of the marks in the messages
	Routes  map[string]*routeState `json:"routes"`
	Sent    []time.Time            `json:"sent,omitempty"` // within the last minute, of all routes
}

// routeState is what the journal knows of one route.
type routeState struct {
	Seq      uint64                  `json:"seq"`                // of the last message
	LastSent time.Time               `json:"last_sent,omitzero"` // when it was sent
	Day      time.Time               `json:"day,omitzero"`       // since when SentInDay counts
	InDay    int                     `json:"in_day,omitempty"`   // messages sent since then
	Messages map[string]*sentMessage `json:"messages,omitempty"` // by token
}

// sentMessage is one message that was sent, or was about to be.
type sentMessage struct {
	Seq   uint64                 `json:"seq"`
	Sent  time.Time              `json:"sent"`
	Marks map[string]prober.Mark `json:"marks,omitempty"` // where its folders ended before
	Over  bool                   `json:"over,omitempty"`  // it was given up; if it turns up, it is deleted
	Left  int                    `json:"left,omitempty"`  // copies that were found and could not be deleted
	Gone  bool                   `json:"gone,omitempty"`  // it was found and removed; only a notification about it may still come

	// Where the mailbox of bounces ended before; nil: no notification is waited for.
	Bounces *prober.Mark `json:"bounces,omitempty"`
}

// JournalPath returns the path of the journal that belongs to a state file.
func JournalPath(stateFile string) string { return stateFile + ".routes" }

// OpenJournal reads the journal; if there is no file, it is empty. With an empty path
// it is kept in memory only. An error means that the file cannot be read or is no
// journal. A full disk is no error: no message is sent until there is room.
func OpenJournal(path string) (*Journal, error) {
	j := &Journal{path: path}
	j.kept.init()
	if err := j.change(func(*kept) {}); err != nil && !durable.IsFull(err) {
		return nil, fmt.Errorf("journal of routes: %w", err)
	}
	return j, nil
}

// Durable reports whether the journal survives a crash.
func (j *Journal) Durable() bool { return j.path != "" }

// change applies f and, with a file, returns when the result is on disk. Another
// process may have changed the file meanwhile: it is read again first.
func (j *Journal) change(f func(*kept)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.path == "" {
		j.kept.init()
		f(&j.kept)
		return nil
	}
	unlock, err := durable.Lock(j.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock.Close()
	state, err := readJournal(j.path)
	if err != nil {
		return err
	}
	if state.Version == 0 && len(j.kept.Key) > 0 { // the file is lost, and what this process knows is not
		*state = j.kept
	}
	state.init()
	f(state)
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	j.kept = *state
	return durable.Replace(j.path, raw, 0o600)
}

// readJournal reads the file; a missing or empty one is a new journal.
func readJournal(path string) (*kept, error) {
	info, err := os.Stat(path) // a FIFO would block
	if errors.Is(err, os.ErrNotExist) {
		return &kept{}, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxJournal+1))
	if err != nil || len(raw) == 0 {
		return &kept{}, err
	}
	state := &kept{}
	switch err := json.Unmarshal(raw, state); {
	case len(raw) > maxJournal:
		return nil, fmt.Errorf("%s: larger than %d MiB", path, maxJournal>>20)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case state.Version != journalVersion || len(state.Key) != keyLength:
		return nil, fmt.Errorf("%s: not a journal of this version", path)
	}
	return state, nil
}

// init sets the version, the key and the map of a new journal.
func (k *kept) init() {
	k.Version = journalVersion
	if len(k.Key) == 0 {
		k.Key = make([]byte, keyLength)
		_, _ = rand.Read(k.Key) // it never fails
	}
	if k.Routes == nil {
		k.Routes = map[string]*routeState{}
	}
}

// of returns the state of a route; it is created if there is none. Messages that are too
// old to turn up are dropped.
func (k *kept) of(route string, now time.Time) *routeState {
	m := k.Routes[route]
	if m == nil {
		m = &routeState{}
		k.Routes[route] = m
	}
	if m.Messages == nil {
		m.Messages = map[string]*sentMessage{}
	}
	for token, l := range m.Messages {
		if age := now.Sub(l.Sent); age > rememberFor || l.Gone && age > noticesFor {
			delete(m.Messages, token)
		}
	}
	return m
}

// reserve counts one more message of a route if its interval has passed and no
// bound is reached. Otherwise it returns how long to wait before asking again.
func (j *Journal) reserve(route string, interval time.Duration, now time.Time) (wait time.Duration, err error) {
	err = j.change(func(k *kept) {
		m := k.of(route, now)
		if m.LastSent.After(now) { // the clock was set back
			m.LastSent = now
		}
		if now.Sub(m.Day) >= 24*time.Hour || m.Day.After(now) {
			m.Day, m.InDay = now, 0
		}
		k.Sent = slices.DeleteFunc(k.Sent, func(t time.Time) bool { return now.Sub(t) >= time.Minute || t.After(now) })
		switch {
		case now.Sub(m.LastSent) < interval:
			wait = m.LastSent.Add(interval).Sub(now)
		case m.InDay >= maxPerDay:
			wait = m.Day.Add(24 * time.Hour).Sub(now)
		case len(k.Sent) >= maxPerMinute:
			wait = k.Sent[0].Add(time.Minute).Sub(now)
		default:
			m.LastSent, k.Sent = now, append(k.Sent, now)
			m.InDay++
		}
	})
	return wait, err
}

// begin numbers a message and records it before it is sent. bounces is where
// the mailbox of bounces ends, if notifications are to be deleted; else nil.
func (j *Journal) begin(route string, number func(seq uint64) (token string), now time.Time, marks map[string]prober.Mark, bounces *prober.Mark) error {
	return j.change(func(k *kept) {
		m := k.of(route, now)
		m.Seq++
		m.Messages[number(m.Seq)] = &sentMessage{Seq: m.Seq, Sent: now, Marks: marks, Bounces: bounces}
		m.trim()
	})
}

// trim drops the oldest messages that were given up.
func (m *routeState) trim() {
	for len(m.Messages) > maxEntries {
		oldest := ""
		for token, l := range m.Messages {
			if oldest == "" || l.Sent.Before(m.Messages[oldest].Sent) {
				oldest = token
			}
		}
		delete(m.Messages, oldest)
	}
}

// end records the result of a message. If no copy of it is left and no notification is waited
// for, it is dropped, otherwise it is looked for until it is too old.
func (j *Journal) end(route, token string, now time.Time, gone bool, left int) error {
	return j.change(func(k *kept) {
		m := k.of(route, now)
		switch l := m.Messages[token]; {
		case l == nil:
		case gone && l.Bounces == nil:
			delete(m.Messages, token)
		case gone:
			l.Over, l.Gone, l.Left = true, true, 0
		default:
			l.Over, l.Left = true, left
		}
	})
}

// answered records that no more notifications about the messages are expected.
func (j *Journal) answered(route string, tokens ...string) error {
	return j.change(func(k *kept) {
		m := k.of(route, time.Now())
		for _, token := range tokens {
			l := m.Messages[token]
			if l == nil {
				continue
			}
			if l.Bounces = nil; l.Gone {
				delete(m.Messages, token)
			}
		}
	})
}

// abandonAll gives up every message of an earlier process, because it cannot have a result
// any more.
func (j *Journal) abandonAll(route string, now time.Time) error {
	return j.change(func(k *kept) {
		for _, l := range k.of(route, now).Messages {
			l.Over = true
		}
	})
}

// known is a message that may turn up in a folder.
type known struct {
	message
	marks   map[string]prober.Mark
	over    bool
	gone    bool
	bounces *prober.Mark
}

// known returns the messages of a route that may still turn up, the oldest first.
func (j *Journal) known(route string) []known {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.kept.Routes[route]
	if m == nil {
		return nil
	}
	list := make([]known, 0, len(m.Messages))
	for token, l := range m.Messages {
		list = append(list, known{message{token, route, l.Seq, l.Sent.UTC().Truncate(time.Second)}, l.Marks, l.Over, l.Gone, l.Bounces})
	}
	slices.SortFunc(list, func(a, b known) int { return cmp.Compare(a.seq, b.seq) })
	return list
}

// key returns the key of the marks.
func (j *Journal) key() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.kept.Key
}

// Counts returns what is known of a route.
func (j *Journal) Counts(route string) mail.RouteCounts {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.kept.Routes[route]
	if m == nil {
		return mail.RouteCounts{}
	}
	c := mail.RouteCounts{LastSent: m.LastSent}
	for _, l := range m.Messages {
		c.Left += l.Left
		if l.Over {
			continue
		}
		c.InFlight++
		if c.Oldest.IsZero() || l.Sent.Before(c.Oldest) {
			c.Oldest = l.Sent
		}
	}
	return c
}
