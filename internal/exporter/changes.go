package exporter

// This file logs changes of status only: a connection that stays down is logged
// once, however often it is probed.

import (
	"log/slog"
	"sync"
	"unique"

	"golang.org/x/time/rate"

	"mailprobe/mail"
)

// Bounds of the lines about connections: ten thousand that fail at once must not
// fill a disk. Lines beyond them are counted instead.
const (
	linesPerSecond = 10
	linesAtOnce    = 100
)

// changes remembers the last logged status of each connection.
type changes struct {
	log   *slog.Logger
	limit *rate.Limiter

	mu         sync.Mutex
	last       map[string]unique.Handle[status] // shared: most connections are up
	routes     map[string]status
	suppressed int // lines not logged since the last one
}

// status is what a line reports. A connection never probed has none.
type status struct {
	phase  mail.Phase
	reason mail.Reason
}

func newChanges(log *slog.Logger) *changes {
	return &changes{log: log, limit: rate.NewLimiter(linesPerSecond, linesAtOnce), last: map[string]unique.Handle[status]{}, routes: map[string]status{}}
}

// keep forgets the connections that are no longer configured.
func (c *changes) keep(connections []*mail.Connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := make(map[string]unique.Handle[status], len(connections))
	for _, connection := range connections {
		if v, ok := c.last[connection.Name]; ok {
			kept[connection.Name] = v
		}
	}
	c.last = kept
}

// note logs an outcome if it differs from the one before.
func (c *changes) note(o mail.Outcome) {
	var outcome status
	if o.Failure != nil {
		outcome = status{o.Failure.Phase, o.Failure.Reason}
	}
	now := unique.Make(outcome)
	c.mu.Lock()
	before, known := c.last[o.Connection.Name]
	c.last[o.Connection.Name] = now
	skip := known && before == now || !c.limit.Allow()
	suppressed := c.suppressed
	switch {
	case known && before == now:
	case skip:
		c.suppressed++
	default:
		c.suppressed = 0
	}
	c.mu.Unlock()
	if skip {
		return
	}
	if suppressed > 0 {
		c.log.Warn("changes were not logged because there were too many at once", "count", suppressed)
	}
	c.write(o)
}

// noteRoute logs what became of a message if it differs from the one before.
func (c *changes) noteRoute(o mail.RouteOutcome) {
	var now status
	if f := o.Failure; f != nil {
		now = status{mail.Phase(f.Leg), f.Reason}
	}
	c.mu.Lock()
	before, known := c.routes[o.Route.Name]
	c.routes[o.Route.Name] = now
	c.mu.Unlock()
	switch f := o.Failure; {
	case known && before == now:
	case f == nil:
		c.log.Info("route up", "route", o.Route.Name, "took", o.Total)
	default:
		c.log.Warn("route down", "route", o.Route.Name, "leg", f.Leg, "reason", f.Reason, "err", f.Text, "advice", f.Advice())
	}
}

// write logs the line itself: a warning when something is wrong, else information.
func (c *changes) write(o mail.Outcome) {
	if o.Up() {
		c.log.Info("up", "connection", o.Connection.Name, "took", o.Duration())
		return
	}
	f := o.Failure
	c.log.Warn("down", "connection", o.Connection.Name, "phase", f.Phase, "reason", f.Reason,
		"took", o.Duration(), "err", f.Text, "advice", f.Advice())
}
