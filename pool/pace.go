package pool

// This file slows the schedule down if a server asks for it: if it says that we
// come too often, or announces a minimum delay between logins.

import (
	"log/slog"
	"maps"
	"time"

	"mailprobe/mail"
)

const (
	maxPace       = 10 * time.Minute // to which refusals for coming too often can stretch an interval
	maxLoginDelay = time.Hour        // to which an announcement can; RFC 2449 section 6.5 has 900 s as its example
	maxDoublings  = 10               // of an interval: 1 s becomes more than maxPace
)

// tooOften are the reasons by which a server asks for fewer probes. Being merely
// unavailable is not one of them: its return should be seen soon.
var tooOften = map[mail.Reason]bool{mail.ServerLimit: true, mail.AuthTooSoon: true}

// logNote is a log line to be written outside the lock.
type logNote struct {
	level   slog.Level
	message string
	args    []any
}

// paceLocked learns from an outcome how often to probe. A refusal for coming too
// often doubles the intervals of all connections to that host, a success halves
// them. It returns the log line for this, if any.
func (p *Pool) paceLocked(s *slot, o *mail.Outcome) (line *logNote) {
	if !s.timed() {
		return nil // somebody else sets its pace
	}
	before := p.doublings[s.host]
	switch {
	case o.Failure != nil && tooOften[o.Failure.Reason]:
		p.doublings[s.host] = min(before+1, maxDoublings)
	case o.Up() && before > 1:
		p.doublings[s.host]--
	case o.Up():
		delete(p.doublings, s.host)
	}
	if o.Auth.Sent {
		s.loginDelay = min(o.Auth.Delay, maxLoginDelay)
	}
	paced := p.pacedLocked(s)
	if s.index >= 0 && !s.last.IsZero() {
		p.postponeLocked(s, s.last.Add(paced))
	}
	switch after := p.doublings[s.host]; {
	case before == 0 && after > 0:
		line = &logNote{slog.LevelWarn, "server asks for fewer probes: its host is probed less often until it accepts them",
			[]any{"connection", s.connection.Name, "reason", o.Failure.Reason}}
	case before > 0 && after == 0:
		line = &logNote{slog.LevelInfo, "the host is probed as often as configured again", []any{"connection", s.connection.Name}}
	case paced != s.paced && s.loginDelay > s.connection.Interval:
		line = &logNote{slog.LevelInfo, "server announces a minimum delay between logins: probed no more often than that",
			[]any{"connection", s.connection.Name, "interval", paced}}
	}
	s.paced = paced
	return line
}

// pacedLocked is the time between two starts of a slot for now: its interval, or
// a whole multiple of it, so that it keeps its place among the others.
func (p *Pool) pacedLocked(s *slot) time.Duration {
	interval := s.connection.Interval
	paced := max(interval, s.loginDelay, min(interval<<p.doublings[s.host], maxPace))
	return (paced + interval - 1) / interval * interval
}

// forgetPacesLocked drops the hosts that are no longer configured.
func (p *Pool) forgetPacesLocked() {
	hosts := make(map[string]bool, len(p.slots))
	for _, s := range p.slots {
		hosts[s.host] = true
	}
	maps.DeleteFunc(p.doublings, func(host string, _ int) bool { return !hosts[host] })
}
