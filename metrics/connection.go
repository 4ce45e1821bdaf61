package metrics

// This file holds what is remembered of one connection between two probes.

import (
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"mailprobe/mail"
)

// connection is the state of one configured connection. All fields but name are
// guarded by mu; what sheets, labels and created point to is immutable.
type connection struct {
	name       string
	mu         sync.Mutex
	configured *mail.Connection
	own        []*dto.LabelPair // its labels, sorted
	config     *sheet           // what the configuration says, and the spacing
	spacing    time.Duration    // of probes, see prober.Outcome.Spacing
	last       *sheet           // what the last outcome and the counters say; nil before the first
	created    *timestamppb.Timestamp

	probes, attempts, rejections uint64
	failures, goodbyes           []reasonCount
	lastSuccess                  float64 // seconds since the epoch; 0: none yet

	probeTimes, handshakeTimes durations
}

// reasonCount counts one reason. Few connections ever see more than a handful
// of the closed set, so a list is smaller and no slower than a map.
type reasonCount struct {
	reason *dto.LabelPair
	count  uint64
}

// newConnection is a connection never probed.
func newConnection(c *mail.Connection, words *dictionary) *connection {
	s := &connection{name: c.Name, created: timestamppb.Now()}
	s.configure(c, words)
	return s
}

// reconfigure takes over a definition at a reload. It reports false, and does
// nothing, when the protocol changed: that is another connection.
func (s *connection) reconfigure(c *mail.Connection, words *dictionary) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.configured.Protocol != c.Protocol {
		return false
	}
	s.configure(c, words)
	return true
}

// configure takes over a definition. Counters and histograms continue; so do the
// gauges of the last probe while they are about the same target. The caller holds
// mu, or has not shared s yet.
func (s *connection) configure(c *mail.Connection, words *dictionary) {
	own := ownLabels(c, words)
	old := s.configured
	s.configured = c
	switch {
	case old == nil:
		s.own = own
	case !old.SameTarget(c):
		s.own, s.lastSuccess = own, 0
		if s.last != nil {
			s.last = newSheet(own, s.counterRows(nil))
		}
	case sameLabels(s.own, own):
		// The pairs handed out so far stay in use.
	default:
		if s.last != nil {
			s.last = s.last.relabel(s.own, own)
		}
		s.own = own
	}
	s.spacing = c.Interval
	s.config = newSheet(s.own, configRows(nil, c, s.spacing, words))
}

// observe takes in one outcome. It does all the work that a scrape would
// otherwise do again and again.
func (s *connection) observe(o *mail.Outcome, words *dictionary, kind Histograms) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.Connection.SameTarget(s.configured) {
		return // asked before a reload changed the target
	}
	s.count(o, words)
	if spacing := o.Spacing(); spacing != s.spacing {
		s.spacing = spacing
		s.config = newSheet(s.own, configRows(nil, s.configured, spacing, words))
	}
	// A probe held back entirely took no time; many such would drown the others.
	if len(o.Phases) > 0 {
		s.probeTimes.observe(o.Duration(), kind, probeBounds)
	}
	if o.TLS != nil && o.TLS.Handshake > 0 {
		s.handshakeTimes.observe(o.TLS.Handshake, kind, handshakeBounds)
	}

	var room [maxRows]row
	rows := outcomeRows(room[:0], o, words)
	if s.lastSuccess != 0 {
		rows = append(rows, row{family: lastSuccess, value: s.lastSuccess})
	}
	s.last = newSheet(s.own, s.counterRows(rows))
}

// count moves the counters.
func (s *connection) count(o *mail.Outcome, words *dictionary) {
	s.probes++
	if o.Auth.Sent {
		s.attempts++
	}
	if o.Auth.Rejected {
		s.rejections++
	}
	if o.Failure != nil {
		s.failures = countReason(s.failures, words.pair("reason", string(o.Failure.Reason)))
	} else {
		s.lastSuccess = seconds(o.End)
	}
	if o.Goodbye != "" {
		s.goodbyes = countReason(s.goodbyes, words.pair("reason", string(o.Goodbye)))
	}
}

func countReason(counts []reasonCount, reason *dto.LabelPair) []reasonCount {
	for i := range counts {
		if *counts[i].reason.Value == *reason.Value {
			counts[i].count++
			return counts
		}
	}
	return append(counts, reasonCount{reason, 1})
}

// counterRows is the counters of a connection that was probed.
func (s *connection) counterRows(rows []row) []row {
	rows = append(rows, row{family: probesTotal, value: float64(s.probes)})
	if logsIn(s.configured) || s.attempts > 0 {
		rows = append(rows,
			row{family: authAttempts, value: float64(s.attempts)},
			row{family: authRejections, value: float64(s.rejections)})
	}
	for _, c := range s.failures {
		rows = append(rows, reasonRow(probeFailures, c))
	}
	for _, c := range s.goodbyes {
		rows = append(rows, reasonRow(quitFailures, c))
	}
	return rows
}

func reasonRow(family familyID, c reasonCount) row {
	r := row{family: family, value: float64(c.count)}
	r.extra[0] = c.reason
	return r
}

// collect hands the connection's metrics to a scrape.
func (s *connection) collect(into *harvest, kind Histograms) {
	s.mu.Lock()
	defer s.mu.Unlock()
	into.sheets = append(into.sheets, s.config)
	if s.last == nil {
		return
	}
	into.sheets = append(into.sheets, s.last)
	if kind == HistogramsNone {
		return
	}
	into.probeTimes = append(into.probeTimes, s.probeTimes.message(s.own, kind, probeBounds, s.created))
	if s.configured.Encryption != mail.NoEncryption || s.handshakeTimes.count > 0 {
		into.handshakeTimes = append(into.handshakeTimes, s.handshakeTimes.message(s.own, kind, handshakeBounds, s.created))
	}
}
