// Package firstseen remembers since when messages are in POP3 maildrops, whose
// servers do not say when they arrived, and in IMAP mailboxes where a server says that
// they arrive in the future. A message is known by a keyed hash of its
// unique id; no name, no address and no content is kept.
package firstseen

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"mailprobe/internal/durable"
	"mailprobe/mail"
)

const (
	version     = 1
	maxFile     = 64 << 20 // bytes; 10,000 maildrops take at most 15 MB
	maxMessages = 32       // of one maildrop that are remembered
	rememberFor = 30 * 24 * time.Hour
	saveEvery   = 10 * time.Second
)

// Hash is a keyed hash, so that a stolen file confirms no guess; see guard.KeyedHash.
type Hash func(parts ...string) [16]byte

// Store remembers when messages were first seen. Its methods are safe for concurrent use.
type Store struct {
	path string // empty: memory alone
	hash Hash
	log  *slog.Logger

	mu      sync.Mutex
	drops   map[string]*maildrop
	changed bool // since the last save
	damaged bool // the file cannot be read; it is moved aside before the first save
	failing bool // the last save failed, and that is logged
}

// maildrop is what is known of one maildrop.
type maildrop struct {
	Looked   time.Time `json:"looked"`   // when it was last looked at
	Messages []message `json:"messages"` // in the order of the maildrop
}

// message is one message that was at the beginning or at the end of a maildrop.
type message struct {
	ID    string    `json:"id"` // keyed hash, in hex
	Since time.Time `json:"since"`
}

// saved is the file.
type saved struct {
	Version   int                  `json:"version"`
	Maildrops map[string]*maildrop `json:"maildrops"` // by a keyed hash of the account and its server
}

// Path returns the path of the store that belongs to a state file.
func Path(stateFile string) string { return stateFile + ".seen" }

// Open reads the store at path; if there is no file, it is empty. With an empty path
// it is kept in memory only. Only Save writes the file. If the file is damaged, ages
// begin anew, which is logged. The error means that the file cannot be read at all.
func Open(path string, hash Hash, log *slog.Logger) (*Store, error) {
	m := &Store{path: path, hash: hash, log: log, drops: map[string]*maildrop{}}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if path == "" {
		return m, nil
	}
	raw, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err != nil:
		return nil, fmt.Errorf("memory of POP3 messages: %w", err)
	}
	if err := m.restore(raw); err != nil {
		m.log.Warn("memory of POP3 messages unusable: their ages begin anew, a copy is kept", "err", err, "kept", path+".damaged")
		m.damaged = true
	}
	return m, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s: not a file of at most 64 MiB", path)
	}
	return os.ReadFile(path)
}

// restore reads the file's content. Impossible values are an error.
func (m *Store) restore(raw []byte) error {
	var file saved
	if err := json.Unmarshal(raw, &file); err != nil {
		return err
	}
	if file.Version != version {
		return fmt.Errorf("version %d, but this mailprobe reads version %d", file.Version, version)
	}
	for key, drop := range file.Maildrops {
		if drop == nil || len(drop.Messages) > maxMessages {
			return errors.New("a maildrop has too many messages, or is none")
		}
		m.drops[key] = drop
	}
	return nil
}

// Empty records that a maildrop has no message.
func (m *Store) Empty(c *mail.Connection, now time.Time) { m.update(c, "", "", now) }

// Seen records the unique ids of the first and the last message of a maildrop; with
// one message they are equal. It returns since when each is known, which is the least
// age it can have. Messages of a maildrop are in the order of their arrival, so that
// the first is at least as old as the last.
func (m *Store) Seen(c *mail.Connection, first, last string, now time.Time) (oldest, newest time.Time) {
	return m.update(c, first, last, now)
}

func (m *Store) update(c *mail.Connection, first, last string, now time.Time) (oldest, newest time.Time) {
	key := m.keyOf(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	drop := m.drops[key]
	if drop == nil {
		drop = &maildrop{}
		m.drops[key] = drop
	}
	m.changed = m.changed || !drop.Looked.Truncate(time.Hour).Equal(now.Truncate(time.Hour))
	drop.Looked = now
	if first == "" {
		m.changed = m.changed || len(drop.Messages) > 0
		drop.Messages = nil
		return oldest, newest
	}
	oldest, newest, changed := drop.seen(m.short(key, first), m.short(key, last), now)
	m.changed = m.changed || changed
	return oldest, newest
}

// keyOf returns the name of a connection's maildrop. It depends on account, server and
// mailbox, and not on the password.
func (m *Store) keyOf(c *mail.Connection) string {
	parts := []string{"maildrop", string(c.Protocol), c.Address(), c.LoginName(), c.SharedMailbox}
	if c.Protocol == mail.IMAP { // other messages are the first of another folder, and of those that are unread
		parts = append(parts, c.Mailbox, string(c.Watch))
	}
	h := m.hash(parts...)
	return hex.EncodeToString(h[:])
}

// short returns the name of a message: 64 bits of a keyed hash of its unique id, which
// is unique within its maildrop only.
func (m *Store) short(key, id string) string {
	h := m.hash("message", key, id)
	return hex.EncodeToString(h[:8])
}

// seen records the first and the last message.
func (d *maildrop) seen(first, last string, now time.Time) (oldest, newest time.Time, changed bool) {
	find := func(id string) int { return slices.IndexFunc(d.Messages, func(m message) bool { return m.ID == id }) }
	if at := find(last); at >= 0 && at < len(d.Messages)-1 { // nothing is behind the last
		d.Messages, changed = d.Messages[:at+1], true
	}
	if find(last) < 0 {
		d.Messages, changed = append(d.Messages, message{last, now}), true
	}
	newest = earlier(d.Messages[len(d.Messages)-1].Since, now)
	switch at := find(first); {
	case at > 0: // those before it are gone
		d.Messages, changed = slices.Delete(d.Messages, 0, at), true
	case at < 0: // it is older than the last, and not older than any other for certain
		d.Messages, changed = slices.Insert(d.Messages, 0, message{first, newest}), true
	}
	oldest = earlier(d.Messages[0].Since, newest)
	for len(d.Messages) > maxMessages {
		d.thin()
	}
	return oldest, newest, changed
}

// thin drops the message whose neighbours have the closest times. The first and the
// last message stay.
func (d *maildrop) thin() {
	least, gap := 1, time.Duration(1<<63-1)
	for i := 1; i < len(d.Messages)-1; i++ {
		if between := d.Messages[i+1].Since.Sub(d.Messages[i-1].Since); between < gap {
			least, gap = i, between
		}
	}
	d.Messages = slices.Delete(d.Messages, least, least+1)
}

// earlier returns the earlier of two times: a clock may have been set back.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Run saves changes from time to time until ctx ends.
func (m *Store) Run(ctx context.Context) {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			m.Save()
		case <-ctx.Done():
			return
		}
	}
}

// Save writes the file if something changed since the last time. A failure is logged
// once, until a save succeeds.
func (m *Store) Save() {
	if m.path != "" {
		m.save(time.Now())
	}
}

func (m *Store) save(now time.Time) {
	raw, err := m.marshal(now)
	if raw == nil && err == nil {
		return
	}
	if err == nil {
		err = m.replace(raw)
	}
	m.mu.Lock()
	said := m.failing
	m.failing = err != nil
	m.changed = m.changed || err != nil
	m.mu.Unlock()
	switch {
	case err != nil && !said:
		m.log.Warn("memory of POP3 messages not kept: after a restart their ages begin anew", "err", err)
	case err == nil && said:
		m.log.Info("memory of POP3 messages is kept again")
	}
}

// replace writes the file; after a crash at any moment the old one or the new one
// is there.
func (m *Store) replace(raw []byte) error {
	m.mu.Lock()
	damaged := m.damaged
	m.damaged = false
	m.mu.Unlock()
	if damaged {
		_ = os.Rename(m.path, m.path+".damaged") // at worst it is overwritten
	}
	return durable.Replace(m.path, raw, 0o600)
}

// marshal returns the file's content; nil: nothing changed since the last time. It
// forgets maildrops that were not looked at for a month.
func (m *Store) marshal(now time.Time) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.changed {
		return nil, nil
	}
	m.changed = false
	for key, drop := range m.drops {
		if now.Sub(drop.Looked) > rememberFor {
			delete(m.drops, key)
		}
	}
	return json.Marshal(saved{Version: version, Maildrops: m.drops})
}
