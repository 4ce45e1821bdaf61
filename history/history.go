// Package history remembers what the last probes of each connection told, and
// has the JSON form of an outcome.
package history

// This file remembers what the last probes of each connection told. With ten
// thousand connections that is most of the program's memory, so it is kept in
// packed form (packed.go) and unpacked for its readers.

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailprobe/mail"
)

// How much is remembered of a connection.
const (
	MaxBeats    = 50 // outcomes
	maxFailures = 20
	maxChanges  = 20 // from up to down and back, or from one reason to another
)

// History remembers the last outcomes of every configured connection. All
// methods are safe for concurrent use.
type History struct {
	reload sync.Mutex // held by SetConnections alone
	roster atomic.Pointer[roster]
}

// roster is the set of connections; immutable, replaced at a reload.
type roster struct {
	byName map[string]*record
	sorted []*record // by name
}

// record is what is remembered of one connection.
type record struct {
	mu         sync.Mutex
	connection *mail.Connection
	beats      []packedBeat    // oldest first, as are the other lists
	failures   []packedFailure // equal texts share one string
	changes    []packedBeat    // the outcomes that were unlike the one before
	turned     int64           // when up became down or down up, Unix milliseconds
	good, bad  *packedOutcome  // the last ones; nil: none yet
	last       *packedOutcome  // one of the two, or one whose login was withheld
}

// Beat is one outcome in brief.
type Beat struct {
	At       time.Time // end of the probe
	Duration time.Duration
	Phase    mail.Phase  // where it failed; empty: it did not
	Reason   mail.Reason // why; empty: it did not
}

// Up reports whether the probe went well.
func (b Beat) Up() bool { return b.Reason == "" }

// Failure is a failed outcome with its text.
type Failure struct {
	Beat
	Text string
}

// Memory is a copy of what is known of one connection.
type Memory struct {
	Connection *mail.Connection
	Since      time.Time // when up became down or down up; zero: never probed
	Last       *mail.Outcome

	// What follows is filled in for one connection, not for lists of all.
	Beats     []Beat        // oldest first, at most 50
	Good, Bad *mail.Outcome // the last ones, with transcript; nil: none yet
	Failures  []Failure     // oldest first, at most 20
	Changes   []Beat        // oldest first, at most 20
}

// State says in one word how a connection is.
type State string

// The states. A connection whose login is withheld is down.
const (
	StateUp      State = "up"
	StateDown    State = "down"
	StateUnknown State = "unknown" // never probed
)

// State says how the connection is by its last probe.
func (m *Memory) State() State {
	switch {
	case m.Last == nil:
		return StateUnknown
	case m.Last.Up():
		return StateUp
	}
	return StateDown
}

// depth is how much of a connection is recalled.
type depth int

const (
	shallow  depth = iota // how it is now
	outlined              // and the last outcomes in brief
	deep                  // everything
)

// NewHistory makes a History without connections.
func NewHistory() *History {
	h := &History{}
	h.roster.Store(&roster{})
	return h
}

// SetConnections replaces the connections, at load and at reload. Those that ask
// the same of the same server keep what is remembered of them; the others begin
// anew or are forgotten.
func (h *History) SetConnections(connections []*mail.Connection) {
	h.reload.Lock()
	defer h.reload.Unlock()
	old := h.roster.Load()
	next := &roster{
		byName: make(map[string]*record, len(connections)),
		sorted: make([]*record, 0, len(connections)),
	}
	for _, c := range connections {
		if next.byName[c.Name] != nil {
			continue // config refuses this
		}
		r := old.byName[c.Name]
		if r == nil || !r.become(c) {
			r = &record{connection: c}
		}
		next.byName[c.Name] = r
		next.sorted = append(next.sorted, r)
	}
	slices.SortFunc(next.sorted, func(a, b *record) int {
		return strings.Compare(a.connection.Name, b.connection.Name)
	})
	h.roster.Store(next)
}

// Observe takes in the outcome of one probe. It is ignored when its connection
// is no longer configured.
func (h *History) Observe(o mail.Outcome) {
	if o.Connection == nil {
		return
	}
	if r := h.roster.Load().byName[o.Connection.Name]; r != nil {
		r.observe(&o)
	}
}

// Connections lists the configured connections, sorted by name.
func (h *History) Connections() []*mail.Connection {
	sorted := h.roster.Load().sorted
	list := make([]*mail.Connection, len(sorted))
	for i, r := range sorted {
		list[i] = r.current()
	}
	return list
}

// Recall gives all that is known of one connection; false: it is not configured.
func (h *History) Recall(name string) (Memory, bool) {
	r := h.roster.Load().byName[name]
	if r == nil {
		return Memory{}, false
	}
	return r.recall(deep), true
}

// outline is Recall without dialogues, failures and changes.
func (h *History) Outline(name string) (Memory, bool) {
	r := h.roster.Load().byName[name]
	if r == nil {
		return Memory{}, false
	}
	return r.recall(outlined), true
}

// All gives how every connection is now, sorted by name.
func (h *History) All() []Memory {
	sorted := h.roster.Load().sorted
	all := make([]Memory, len(sorted))
	for i, r := range sorted {
		all[i] = r.recall(shallow)
	}
	return all
}

// become takes over a new definition, or is false where it has another target.
func (r *record) become(c *mail.Connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.connection.SameTarget(c) {
		return false
	}
	r.connection = c
	return true
}

func (r *record) current() *mail.Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connection
}

func (r *record) observe(o *mail.Outcome) {
	beat := packBeat(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !o.Connection.SameTarget(r.connection) {
		return // asked before a reload changed the target
	}
	first := len(r.beats) == 0
	if first || beat.reason != r.beats[len(r.beats)-1].reason || beat.phase != r.beats[len(r.beats)-1].phase {
		r.changes = push(r.changes, beat, maxChanges)
	}
	if first || beat.up() != r.beats[len(r.beats)-1].up() {
		r.turned = beat.at
	}
	r.beats = push(r.beats, beat, MaxBeats)
	r.last = packOutcome(o, r.good, r.bad)
	if o.Up() {
		r.good = r.last
		return
	}
	if r.bad == nil || !withheld(o) {
		// A withheld login tells less than the refused one that led to it.
		r.bad = r.last
	}
	text := o.Failure.Text
	for _, f := range r.failures {
		if f.text == text {
			text = f.text // the same string, not only the same words
		}
	}
	r.failures = push(r.failures, packedFailure{beat, text}, maxFailures)
}

// withheld reports whether a probe got as far as a login that was not tried.
func withheld(o *mail.Outcome) bool {
	return o.Auth.Held && o.Failure != nil && o.Failure.Phase == mail.PhaseAuth
}

// recall unpacks. Caller must not hold mu.
func (r *record) recall(wanted depth) Memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := Memory{Connection: r.connection}
	if len(r.beats) == 0 {
		return m
	}
	m.Since = time.UnixMilli(r.turned)
	m.Last = r.last.unpack(r.connection, wanted == deep)
	if wanted >= outlined {
		m.Beats = unpackBeats(r.beats)
	}
	if wanted < deep {
		return m
	}
	m.Good, m.Bad = r.good.unpack(r.connection, true), r.bad.unpack(r.connection, true)
	m.Changes = unpackBeats(r.changes)
	for _, f := range r.failures {
		m.Failures = append(m.Failures, Failure{f.unpack(), f.text})
	}
	return m
}

// push appends to a list of bounded length; the oldest item makes room. The
// room is made in few steps, so that a list that stays short stays small.
func push[T any](list []T, item T, limit int) []T {
	if len(list) == limit {
		copy(list, list[1:])
		list[limit-1] = item
		return list
	}
	if len(list) == cap(list) {
		list = append(make([]T, 0, min(limit, 2*len(list)+2)), list...)
	}
	return append(list, item)
}
