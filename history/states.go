package history

// This file keeps what survives a restart: since when each connection is up or
// down, and when it was last up. The stored form has the names of connections, no
// other name and no server text.

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"time"

	"mailprobe/mail"
)

const (
	statesVersion = 1
	maxStates     = 16 << 20 // bytes; 10,000 connections take about 1 MB

	// maxGap is the longest time without probes after which a connection that is as
	// it was counts as having been so all the time.
	maxGap = time.Hour
)

// States is what a file says of connections. The zero value says nothing.
type States struct {
	Version     int                  `json:"version"`
	SavedAt     time.Time            `json:"saved_at"`
	Connections map[string]keptState `json:"connections"` // by name
}

// keptState is one connection.
type keptState struct {
	Settings string    `json:"settings"` // hash of what SameSettings compares
	Up       bool      `json:"up"`
	Since    time.Time `json:"since"`
	LastUp   time.Time `json:"last_up,omitzero"`
}

// StatesPath is where the states of a process with this state file lie.
func StatesPath(stateFile string) string { return stateFile + ".history" }

// ReadStates reads a file; a missing one says nothing. It always returns usable
// states. The error says that the file cannot be read, or is none of ours.
func ReadStates(path string) (*States, error) {
	info, err := os.Stat(path) // a FIFO would block
	if os.IsNotExist(err) {
		return &States{}, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		return &States{}, fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		return &States{}, err
	}
	file, err := os.Open(path)
	if err != nil {
		return &States{}, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxStates+1))
	if err != nil {
		return &States{}, err
	}
	states := &States{}
	switch err := json.Unmarshal(raw, states); {
	case len(raw) > maxStates:
		err = fmt.Errorf("%s: larger than %d MiB", path, maxStates>>20)
		return &States{}, err
	case err != nil:
		return &States{}, fmt.Errorf("%s: %w", path, err)
	case states.Version != statesVersion:
		return &States{}, fmt.Errorf("%s: version %d, but this mailprobe reads version %d", path, states.Version, statesVersion)
	}
	limit := states.SavedAt.Add(time.Minute)
	maps.DeleteFunc(states.Connections, func(_ string, kept keptState) bool { // the clock was wrong, or the file was edited
		return kept.Since.After(limit) || kept.LastUp.After(limit)
	})
	return states, nil
}

// of returns what is kept of a connection; false: nothing, or only of one with
// other settings.
func (s *States) of(c *mail.Connection) (keptState, bool) {
	if s == nil {
		return keptState{}, false
	}
	kept, ok := s.Connections[c.Name]
	return kept, ok && kept.Settings == c.Settings()
}

// LastUp returns when the connection last worked with its settings of today;
// zero: not known, or never.
func (s *States) LastUp(c *mail.Connection) time.Time {
	kept, _ := s.of(c)
	return kept.LastUp
}

// Restore makes the connections that are configured next go on as a file says. It
// is called once, before SetConnections.
func (h *History) Restore(s *States) { h.restored.Store(s) }

// States returns what is to be kept, as of now.
func (h *History) States(now time.Time) *States {
	s := &States{Version: statesVersion, SavedAt: now.UTC().Round(time.Second), Connections: map[string]keptState{}}
	for _, r := range h.records.All() {
		if name, kept, ok := r.kept(); ok {
			s.Connections[name] = kept
		}
	}
	return s
}

// LastUp returns when the connection last worked with its settings of today;
// zero: not known, or never.
func (h *History) LastUp(c *mail.Connection) time.Time {
	r, ok := h.records.Get(c.Name)
	if !ok {
		return time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.connection.SameSettings(c) {
		return time.Time{}
	}
	return unixMilli(r.lastUp)
}

// restore takes over what is known from before a restart; the record is new.
func (r *record) restore(s *States) {
	kept, ok := s.of(r.connection)
	if !ok {
		return
	}
	r.before, r.lastUp = &kept, milli(kept.LastUp)
	r.beforeUntil = milli(s.SavedAt)
}

// firstSince returns since when a connection is as its first probe found it. The caller
// holds mu.
func (r *record) firstSince(sample packedSample) int64 {
	b := r.before
	if b == nil || b.Up != sample.up() || b.Since.IsZero() ||
		time.Duration(sample.at()-r.beforeUntil)*time.Millisecond > maxGap || milli(b.Since) > sample.at() {
		return sample.at()
	}
	return milli(b.Since)
}

// kept returns what is to be kept of a record; false: nothing yet.
func (r *record) kept() (name string, k keptState, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.samples) > 0:
		k = keptState{Up: r.samples[len(r.samples)-1].up(), Since: unixMilli(r.stateSince)}
	case r.before != nil:
		k = *r.before
	default:
		return "", keptState{}, false
	}
	k.Settings, k.LastUp = r.connection.Settings(), unixMilli(r.lastUp)
	return r.connection.Name, k, true
}

// milli and unixMilli keep the zero time 0.
func milli(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMilli()
}

func unixMilli(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMilli(at).UTC()
}
