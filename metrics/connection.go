package metrics

// This file holds the state of one connection between two probes.

import (
	"slices"
	"sync"
	"time"

	"mailprobe/mail"
)

// connectionMetrics is the state of one configured connection. All fields are guarded
// by mu. There may be many thousands of it, so it is one piece of memory and its counters
// are small: they overflow after 136 years at one probe a second.
type connectionMetrics struct {
	mu      sync.Mutex
	current preparedMetrics // what a scrape shows besides histograms
	probed  bool            // an outcome was observed: the counters are shown
	created uint32          // when the counters began at 0, in seconds since the Unix epoch

	probes, withheld, attempts, rejections uint32
	reasons                                []reasonCount
	lastSuccess                            float64 // seconds since the epoch; 0: none yet

	arrived *arrivals // in a watched mailbox; nil: there was no look at it yet

	probeTimes, handshakeTimes durations
}

// reasonCount counts one reason in one family. Few connections ever see more than a
// handful of the closed set, so a list is smaller and no slower than a map.
type reasonCount struct {
	reason  *labelSet
	count   uint32
	created uint32 // just before it was first counted
	family  familyID
}

// newConnectionMetrics returns the state of a connection that was never probed.
func newConnectionMetrics(c *mail.Connection, pool *labelPool) *connectionMetrics {
	m := &connectionMetrics{created: uint32(time.Now().Unix())}
	m.configure(c, pool)
	return m
}

// reconfigure takes over a definition at a reload. It returns false, and does
// nothing, when the protocol changed: that is another connection.
func (m *connectionMetrics) reconfigure(c *mail.Connection, pool *labelPool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current.definition.Protocol != c.Protocol {
		return false
	}
	m.configure(c, pool)
	return true
}

// configure takes over a definition. Counters and histograms continue, and so do
// the gauges of the last probe if they are about the same target. The caller holds
// mu, or has not shared m yet.
func (m *connectionMetrics) configure(c *mail.Connection, pool *labelPool) {
	before := m.current
	sameTarget := c.SameTarget(before.definition)
	sameWatch := sameTarget && before.definition.Watch == c.Watch
	if !sameWatch {
		m.arrived = nil
	}

	var room [maxSamples]sample
	samples := configSamples(room[:0], c, c.Interval)
	switch {
	case !m.probed:
	case sameTarget:
		for s := range before.all {
			if !isConfigFamily(s.family) && (sameWatch || s.family != mailboxArrivals && !slices.Contains(watchedFamilies, s.family)) {
				samples = append(samples, s)
			}
		}
	default:
		m.lastSuccess = 0
		samples = m.counterSamples(samples, c)
	}
	m.current = prepare(c, samples, &before, pool)
}

// isConfigFamily reports whether configSamples makes the samples of a family.
func isConfigFamily(family familyID) bool {
	return family == interval || family == timeout || family == connectionInfo || family == watchMaxAge || family == watchExpectEvery
}

// observe records one outcome. It prepares the samples, so that a scrape need not do it
// each time.
func (m *connectionMetrics) observe(o *mail.Outcome, pool *labelPool, kind mail.Histograms) {
	m.mu.Lock()
	defer m.mu.Unlock()
	configured := m.current.definition
	if !o.Connection.SameTarget(configured) {
		return // probed before a reload changed the target
	}
	if o.Connection.Watch != configured.Watch {
		o = withoutWatch(o) // the mode of the watch has changed since
	}
	if o.Mailbox.Watch != nil {
		if m.arrived == nil {
			m.arrived = &arrivals{}
		}
		o = m.arrived.count(o)
	}
	m.probed = true
	m.count(o, pool)
	// Withheld probes are not observed: their near-zero durations would dominate
	// the histogram.
	if len(o.Phases) > 0 {
		m.probeTimes.observe(o.Duration(), kind, probeBounds)
	}
	if o.TLS != nil && o.TLS.Handshake > 0 {
		m.handshakeTimes.observe(o.TLS.Handshake, kind, handshakeBounds)
	}

	var room [maxSamples]sample
	samples := configSamples(room[:0], configured, o.Spacing())
	samples = outcomeSamples(samples, o, &m.current, pool)
	if m.lastSuccess != 0 {
		samples = append(samples, sample{family: lastSuccess, value: m.lastSuccess})
	}
	m.current = prepare(configured, m.counterSamples(samples, configured), &m.current, pool)
	if raw, ok := rawFingerprint(o.TLS); ok {
		m.current.fingerprint = raw
	}
}

// count increments the counters. A withheld probe counts neither as a probe nor as a
// failure, because no server was contacted.
func (m *connectionMetrics) count(o *mail.Outcome, pool *labelPool) {
	if o.Withheld() {
		m.withheld++
		return
	}
	m.probes++
	if o.Auth.Sent {
		m.attempts++
	}
	if o.Auth.Rejected {
		m.rejections++
	}
	if o.Failure != nil {
		m.countReason(probeFailures, o.Failure.Reason, o.Start, pool)
	} else {
		m.lastSuccess = seconds(o.End)
	}
	if o.Goodbye != "" {
		m.countReason(quitFailures, o.Goodbye, o.Start, pool)
	}
}

func (m *connectionMetrics) countReason(family familyID, reason mail.Reason, at time.Time, pool *labelPool) {
	labels := pool.one("reason", string(reason))
	for i := range m.reasons {
		if c := &m.reasons[i]; c.family == family && c.reason.text == labels.text {
			c.count++
			return
		}
	}
	m.reasons = append(m.reasons, reasonCount{labels, 1, uint32(at.Unix()), family})
}

// counterSamples appends the counters of a connection that was probed.
func (m *connectionMetrics) counterSamples(samples []sample, configured *mail.Connection) []sample {
	add := func(family familyID, count uint32) {
		samples = append(samples, sample{family: family, value: float64(count), created: m.created})
	}
	add(probesTotal, m.probes)
	if m.withheld > 0 {
		add(probesWithheld, m.withheld)
	}
	if logsIn(configured) || m.attempts > 0 {
		add(authAttempts, m.attempts)
		add(authRejections, m.rejections)
	}
	for _, c := range m.reasons {
		samples = append(samples, sample{family: c.family, value: float64(c.count), extra: c.reason, created: c.created})
	}
	return m.arrived.samples(samples)
}

// prepared returns what a scrape shows besides histograms.
func (m *connectionMetrics) prepared() preparedMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current
}

// hasDurations reports whether a scrape shows the histogram of a family.
func (m *connectionMetrics) hasDurations(family familyID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durationsOf(family) != nil
}

// copyDurations copies the histogram of a family into out, whose memory is used
// again; false: the connection does not show one.
func (m *connectionMetrics) copyDurations(family familyID, out *durations) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.durationsOf(family)
	if h == nil {
		return false
	}
	out.copyFrom(h)
	return true
}

// durationsOf returns the histogram of a family; nil: the connection does not
// show one. The caller holds mu.
func (m *connectionMetrics) durationsOf(family familyID) *durations {
	switch {
	case m.probes == 0:
		return nil
	case family == probeDuration:
		return &m.probeTimes
	case m.current.definition.Encryption != mail.NoEncryption || m.handshakeTimes.count > 0:
		return &m.handshakeTimes
	}
	return nil
}
