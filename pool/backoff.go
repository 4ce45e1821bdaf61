package pool

// This file makes probes less frequent if a server asks for it: if it refuses logins as
// too frequent, or announces a minimum delay between logins.

import (
	"log/slog"
	"maps"
	"time"

	"mailprobe/mail"
)

const (
	maxBackoff      = 10 * time.Minute // to which refusals for coming too often can stretch an interval
	maxLoginDelay   = time.Hour        // to which an announcement can; RFC 2449 section 6.5 has 900 s as its example
	maxBackoffSteps = 10               // of an interval: 1 s becomes more than maxBackoff
)

// tooOften are the reasons by which a server asks for fewer probes. Being merely
// unavailable is not one of them: its return should be seen soon.
var tooOften = map[mail.Reason]bool{mail.ServerLimit: true, mail.AuthTooSoon: true}

// logLine is a log line to be written outside the lock.
type logLine struct {
	level   slog.Level
	message string
	args    []any
}

// adjustLocked adjusts the intervals to an outcome. A refusal for too frequent logins
// doubles the intervals of all connections to that host, a success halves them. It
// returns the log line for this, if any.
func (p *Pool) adjustLocked(e *scheduleEntry, o *mail.Outcome) (line *logLine) {
	if o.Auth.Sent {
		e.loginDelay = min(o.Auth.Delay, maxLoginDelay)
	}
	if !e.timed() {
		return nil // the scrapes decide how often it is probed, see demand.go
	}
	before := p.backoffSteps[e.host()]
	switch {
	case o.Failure != nil && tooOften[o.Failure.Reason]:
		p.backoffSteps[e.host()] = min(before+1, maxBackoffSteps)
	case o.Up() && before > 1:
		p.backoffSteps[e.host()]--
	case o.Up():
		delete(p.backoffSteps, e.host())
	}
	spacing := p.spacingLocked(e)
	if e.scheduled && e.last != 0 {
		e.next = max(e.next, e.last+spacing)
	}
	switch after := p.backoffSteps[e.host()]; {
	case before == 0 && after > 0:
		line = &logLine{slog.LevelWarn, "server asks for fewer probes: its host is probed less often until it accepts them",
			[]any{"connection", e.connection.Name, "reason", o.Failure.Reason}}
	case before > 0 && after == 0:
		line = &logLine{slog.LevelInfo, "the host is probed as often as configured again", []any{"connection", e.connection.Name}}
	case spacing != e.spacing && e.loginDelay > e.connection.Interval:
		line = &logLine{slog.LevelInfo, "server announces a minimum delay between logins: probed no more often than that",
			[]any{"connection", e.connection.Name, "interval", spacing}}
	}
	e.spacing = spacing
	return line
}

// spacingLocked is the time between two starts of an entry for now: its interval, or
// a whole multiple of it, so that it keeps its place among the others.
func (p *Pool) spacingLocked(e *scheduleEntry) time.Duration {
	interval := e.connection.Interval
	steps := 0
	if len(p.backoffSteps) > 0 {
		steps = p.backoffSteps[e.host()]
	}
	spacing := max(interval, e.loginDelay, min(interval<<steps, maxBackoff))
	return (spacing + interval - 1) / interval * interval
}

// forgetBackoffsLocked drops the hosts that are no longer configured.
func (p *Pool) forgetBackoffsLocked() {
	hosts := make(map[string]bool, len(p.entries))
	for _, e := range p.entries {
		hosts[e.host()] = true
	}
	maps.DeleteFunc(p.backoffSteps, func(host string, _ int) bool { return !hosts[host] })
}
