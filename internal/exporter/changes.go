package exporter

// This file logs what changes, and only that: a connection that stays down says
// so once, however often it is probed.

import (
	"log/slog"
	"sync"

	"golang.org/x/time/rate"

	"mailprobe/mail"
)

// The bound on lines about connections: ten thousand that fail at once must not
// fill a disk. What is not logged is counted.
const (
	linesPerSecond = 10
	linesAtOnce    = 100
)

// changes remembers what was last said of each connection.
type changes struct {
	log   *slog.Logger
	limit *rate.Limiter

	mu     sync.Mutex
	said   map[string]verdict
	unsaid int // lines withheld since the last one
}

// verdict is what a line says. A connection never probed has none.
type verdict struct {
	phase  mail.Phase
	reason mail.Reason
}

func newChanges(log *slog.Logger) *changes {
	return &changes{log: log, limit: rate.NewLimiter(linesPerSecond, linesAtOnce), said: map[string]verdict{}}
}

// keep forgets the connections that are no longer configured.
func (c *changes) keep(connections []*mail.Connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := make(map[string]verdict, len(connections))
	for _, connection := range connections {
		if v, ok := c.said[connection.Name]; ok {
			kept[connection.Name] = v
		}
	}
	c.said = kept
}

// note logs an outcome if it is news.
func (c *changes) note(o mail.Outcome) {
	var now verdict
	if o.Failure != nil {
		now = verdict{o.Failure.Phase, o.Failure.Reason}
	}
	c.mu.Lock()
	before, known := c.said[o.Connection.Name]
	c.said[o.Connection.Name] = now
	silent := known && before == now || !c.limit.Allow()
	unsaid := c.unsaid
	switch {
	case known && before == now:
	case silent:
		c.unsaid++
	default:
		c.unsaid = 0
	}
	c.mu.Unlock()
	if silent {
		return
	}
	if unsaid > 0 {
		c.log.Warn("changes were not logged because there were too many at once", "count", unsaid)
	}
	c.say(o)
}

// say is the line itself: a warning when something is wrong, else information.
func (c *changes) say(o mail.Outcome) {
	if o.Up() {
		c.log.Info("up", "connection", o.Connection.Name, "took", o.Duration())
		return
	}
	f := o.Failure
	c.log.Warn("down", "connection", o.Connection.Name, "phase", f.Phase, "reason", f.Reason,
		"took", o.Duration(), "err", f.Text, "advice", f.Advice())
}
