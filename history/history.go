// Package history keeps the last outcomes of each connection, and has the JSON form
// of an outcome. With ten thousand connections that is most of the program's
// memory, so outcomes are kept in packed form (packed.go).
package history

import (
	"iter"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"mailprobe/mail"
)

// How much is kept of a connection.
const (
	MaxSamples  = 50 // outcomes
	maxFailures = 20 // kinds: one for each phase and reason
	maxChanges  = 20 // from up to down and back, or from one reason to another
)

// History keeps the last outcomes of every configured connection. The zero
// value has no connection and is ready to use. All methods are safe for
// concurrent use.
type History struct {
	records  mail.ConnectionSet[*record]
	restored atomic.Pointer[States] // from before a restart, until the first SetConnections
	routes   routeRecords
}

// record is what is kept of one connection.
type record struct {
	mu         sync.Mutex
	connection *mail.Connection
	samples    []packedSample  // oldest first, as are the other lists
	failures   []packedFailure // one of each phase and reason, the latest last
	changes    []packedSample  // the outcomes that were unlike the one before
	stateSince int64           // when up became down or down up, Unix milliseconds
	lastUp     int64           // when it last worked with these settings; 0: not known, or never

	before      *keptState // from before a restart; nil: nothing is known
	beforeUntil int64      // until when it is known to have been so

	lastSuccess, lastFailure *packedOutcome // nil: none yet
	lastHeld                 *packedOutcome // whose login was withheld, if it is the last one
	last                     *packedOutcome // one of the three
}

// Sample is one outcome in brief.
type Sample struct {
	At       time.Time // end of the probe
	Duration time.Duration
	Phase    mail.Phase  // where it failed; empty: it did not
	Reason   mail.Reason // why; empty: it did not
}

// Up reports whether the probe succeeded.
func (s Sample) Up() bool { return s.Reason == "" }

// Failure stands for all failures of one phase and reason: it has the last one with
// its text, the time of the first one, and their number.
type Failure struct {
	Sample
	Text  string
	First time.Time
	Count int
}

// Snapshot is a copy of what is known of one connection.
type Snapshot struct {
	Connection *mail.Connection
	Since      time.Time // when up became down or down up; zero: never probed
	Last       *mail.Outcome

	// The rest is filled in by Get; Samples by GetSamples too.
	Samples                  []Sample      // oldest first, at most MaxSamples
	LastSuccess, LastFailure *mail.Outcome // with dialogue; nil: none yet
	Failures                 []Failure     // one of each phase and reason, the latest last, at most 20
	Changes                  []Sample      // oldest first, at most 20
}

// State says in one word how a connection is.
type State string

// The states. A connection whose login is withheld is down.
const (
	StateUp      State = "up"
	StateDown    State = "down"
	StateUnknown State = "unknown" // never probed
)

// State returns how the connection is by its last probe.
func (s *Snapshot) State() State {
	switch {
	case s.Last == nil:
		return StateUnknown
	case s.Last.Up():
		return StateUp
	}
	return StateDown
}

// detail is how much of a record is copied.
type detail int

const (
	summary     detail = iota // the state and the last outcome, without dialogue and chain
	withSamples               // and the last outcomes in brief
	full
)

// SetConnections replaces the connections, at load and at reload. Connections with
// the same target as before keep their history; others begin anew. That of removed
// connections is dropped.
func (h *History) SetConnections(connections []*mail.Connection) {
	restored := h.restored.Swap(nil)
	h.records.Replace(connections, func(c *mail.Connection, old *record) *record {
		if old != nil && old.adopt(c) {
			return old
		}
		r := &record{connection: c}
		r.restore(restored)
		return r
	})
}

// Observe adds the outcome of one probe. It returns true if the connection changed
// between up and down. An outcome is ignored if its connection is not configured
// any more, or now has another target.
func (h *History) Observe(o mail.Outcome) (turned bool) {
	if o.Connection == nil {
		return false
	}
	r, ok := h.records.Get(o.Connection.Name)
	return ok && r.observe(&o)
}

// Connections returns the configured connections, sorted by name.
func (h *History) Connections() iter.Seq[*mail.Connection] {
	records := h.records.All()
	return func(yield func(*mail.Connection) bool) {
		for _, r := range records {
			if !yield(r.current()) {
				return
			}
		}
	}
}

// Get returns all that is known of one connection; false: it is not configured.
func (h *History) Get(name string) (Snapshot, bool) { return h.snapshot(name, full) }

// GetSamples is Get without dialogues, certificate chains, failures and changes.
func (h *History) GetSamples(name string) (Snapshot, bool) { return h.snapshot(name, withSamples) }

// GetSummary returns how one connection is now; false: it is not configured.
func (h *History) GetSummary(name string) (Snapshot, bool) { return h.snapshot(name, summary) }

func (h *History) snapshot(name string, wanted detail) (Snapshot, bool) {
	r, ok := h.records.Get(name)
	if !ok {
		return Snapshot{}, false
	}
	return r.snapshot(wanted), true
}

// Summaries returns the state and the last outcome of each connection whose name
// comes after a name, sorted by name; empty: of all. Each is copied when it is its
// turn, so that a slow reader keeps only one.
func (h *History) Summaries(after string) iter.Seq[Snapshot] {
	records := h.records.All()
	if after != "" {
		first := sort.Search(len(records), func(i int) bool { return records[i].current().Name > after })
		records = records[first:]
	}
	return func(yield func(Snapshot) bool) {
		for _, r := range records {
			if !yield(r.snapshot(summary)) {
				return
			}
		}
	}
}

// adopt takes over a new definition. It returns false and does nothing when that
// has another target.
func (r *record) adopt(c *mail.Connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.connection.SameTarget(c) {
		return false
	}
	if !r.connection.SameSettings(c) {
		r.lastUp = 0
	}
	r.connection = c
	return true
}

func (r *record) current() *mail.Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connection
}

func (r *record) observe(o *mail.Outcome) (turned bool) {
	sample := packSample(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !o.Connection.SameTarget(r.connection) {
		return false // probed before a reload changed the target
	}
	var before packedSample
	first := len(r.samples) == 0
	if !first {
		before = r.samples[len(r.samples)-1]
	}
	if first || sample.reason != before.reason || sample.phase != before.phase {
		r.changes = push(r.changes, sample, maxChanges)
	}
	switch turned = first || sample.up() != before.up(); {
	case first:
		r.stateSince = r.firstSince(sample)
	case turned:
		r.stateSince = sample.at()
	}
	r.samples = push(r.samples, sample, MaxSamples)
	r.keep(o)
	if o.Up() {
		if o.Connection.SameSettings(r.connection) {
			r.lastUp = sample.at()
		}
		return turned
	}
	r.addFailure(sample, o.Failure.Text)
	return turned
}

// keep makes o the last outcome.
func (r *record) keep(o *mail.Outcome) {
	place := &r.lastFailure
	switch {
	case o.Up():
		place = &r.lastSuccess
	case r.lastFailure != nil && isHeld(o):
		// The refused login before it says more than a withheld one.
		place = &r.lastHeld
	}
	if *place == nil {
		*place = &packedOutcome{}
	}
	r.last = *place
	r.last.pack(o, r.lastSuccess, r.lastFailure)
	if r.last != r.lastHeld {
		r.lastHeld = nil
	}
}

// addFailure counts a failure among those of its phase and reason.
func (r *record) addFailure(sample packedSample, text string) {
	f := packedFailure{packedSample: sample, text: text, first: sample.at()}
	same := func(g packedFailure) bool { return g.phase == sample.phase && g.reason == sample.reason }
	if i := slices.IndexFunc(r.failures, same); i >= 0 {
		f.first, f.count = r.failures[i].first, r.failures[i].count
		if r.failures[i].text == text {
			f.text = r.failures[i].text // the same string, not only the same words
		}
		r.failures = slices.Delete(r.failures, i, i+1)
	}
	f.count++
	r.failures = push(r.failures, f, maxFailures)
}

// isHeld reports whether a probe got as far as a login that was withheld.
func isHeld(o *mail.Outcome) bool {
	return o.Auth.Held && o.Failure != nil && o.Failure.Phase == mail.PhaseAuth
}

// snapshot unpacks. The caller must not hold mu.
func (r *record) snapshot(wanted detail) Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Snapshot{Connection: r.connection}
	if len(r.samples) == 0 {
		return s
	}
	s.Since = time.UnixMilli(r.stateSince)
	s.Last = r.last.unpack(r.connection, wanted == full)
	if wanted >= withSamples {
		s.Samples = unpackSamples(r.samples)
	}
	if wanted < full {
		return s
	}
	s.LastSuccess, s.LastFailure = r.lastSuccess.unpack(r.connection, true), r.lastFailure.unpack(r.connection, true)
	s.Changes = unpackSamples(r.changes)
	for _, f := range r.failures {
		s.Failures = append(s.Failures, Failure{f.unpack(), f.text, time.UnixMilli(f.first), int(f.count)})
	}
	return s
}

// push appends to a list of bounded length; the oldest item makes room. The
// capacity grows in few steps, so that a list that stays short stays small.
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
