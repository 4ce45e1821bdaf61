package exporter

// This file makes probes and routes take turns at a POP3 maildrop. A session locks
// it (RFC 1939 section 4), and another one would be refused with mailbox_in_use.

import (
	"context"
	"sync"

	"mailprobe/mail"
	"mailprobe/prober"
	"mailprobe/routes"
)

// maildrop is a POP3 mailbox, as far as a configuration shows: two names of one
// host are two.
type maildrop struct{ host, user, shared string }

// maildrops has an entry for each maildrop that is in use or waited for. The zero
// value is ready to use.
type maildrops struct {
	mu   sync.Mutex
	open map[maildrop]*turn
}

// turn is the right to open a maildrop.
type turn struct {
	free  chan struct{} // holds one value while no probe uses the maildrop
	users int           // how many have the maildrop or wait for it
}

// enter waits until the maildrop of a connection is free. If ctx ends before that, it
// returns too, and the server decides. Other protocols than POP3 never wait. leave
// must always be called.
func (m *maildrops) enter(ctx context.Context, c *mail.Connection) (leave func()) {
	if c.Protocol != mail.POP3 || !c.LogsIn() {
		return func() {}
	}
	key := maildrop{c.Host, c.Username, c.SharedMailbox}
	m.mu.Lock()
	t := m.open[key]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		if m.open == nil {
			m.open = map[maildrop]*turn{}
		}
		m.open[key] = t
	}
	t.users++
	m.mu.Unlock()
	entered := false
	select {
	case <-t.free:
		entered = true
	case <-ctx.Done():
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if entered {
			t.free <- struct{}{}
		}
		if t.users--; t.users == 0 {
			delete(m.open, key)
		}
	}
}

// probe makes a probe wait for its maildrop, before its own time begins.
func (m *maildrops) probe(next func(context.Context, *mail.Connection) mail.Outcome) func(context.Context, *mail.Connection) mail.Outcome {
	return func(ctx context.Context, c *mail.Connection) mail.Outcome {
		defer m.enter(ctx, c)()
		return next(ctx, c)
	}
}

// transport makes the sessions of routes wait in the same way.
type transport struct {
	routes.Transport
	maildrops *maildrops
}

func (t transport) Open(ctx context.Context, c *mail.Connection, use func(prober.Mailbox) error) mail.Outcome {
	defer t.maildrops.enter(ctx, c)()
	return t.Transport.Open(ctx, c, use)
}
