package exporter

// This file drops clients that ask for answers and do not read them: what they have
// not read takes our memory.

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// stallTime is how long a client may take to read one piece of an answer.
	stallTime = 5 * time.Second
	// pieceSize is such a piece, in bytes.
	pieceSize = 64 << 10
	// maxUnread bounds, in bytes, what all clients together have not read yet.
	// Beyond it the client that has read nothing for the longest time is dropped.
	maxUnread = 64 << 20
)

// errSlowReader is the error of a write to a client that was dropped.
var errSlowReader = errors.New("the client reads its answer too slowly")

// unread counts what clients have not read yet.
type unread struct {
	limit int

	mu    sync.Mutex
	total int
	conns map[*slowConn]struct{} // those being written to
}

// watchedListener watches the connections that it accepts.
type watchedListener struct {
	net.Listener
	unread *unread
}

// Accept implements net.Listener.
func (l *watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: conn, unread: l.unread}, nil
}

// slowConn writes piece by piece, each with a deadline of its own. The server's
// deadline for the whole answer counts too.
type slowConn struct {
	net.Conn
	unread *unread

	mu       sync.Mutex
	deadline time.Time // of the whole answer; zero: none

	// These belong to unread's mutex.
	pending int       // bytes of the write under way
	since   time.Time // when the client last read something
}

// SetDeadline implements net.Conn.
func (c *slowConn) SetDeadline(t time.Time) error {
	c.keepDeadline(t)
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *slowConn) SetWriteDeadline(t time.Time) error {
	c.keepDeadline(t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *slowConn) keepDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
}

// pieceDeadline is the earlier of the two deadlines.
func (c *slowConn) pieceDeadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	stalled := time.Now().Add(stallTime)
	if c.deadline.IsZero() || stalled.Before(c.deadline) {
		return stalled
	}
	return c.deadline
}

// Write implements net.Conn.
func (c *slowConn) Write(p []byte) (written int, err error) {
	c.unread.begin(c, len(p))
	defer c.unread.end(c)
	for written < len(p) {
		if err := c.Conn.SetWriteDeadline(c.pieceDeadline()); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:min(len(p), written+pieceSize)])
		written += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errors.Join(errSlowReader, err)
		}
		if err != nil {
			return written, err
		}
		c.unread.progress(c, n)
	}
	return written, nil
}

// begin counts a write of n bytes, and makes room for it where there is none: the
// client that has read nothing for the longest time is dropped.
func (u *unread) begin(c *slowConn, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conns == nil {
		u.conns = map[*slowConn]struct{}{}
	}
	for u.total > 0 && u.total+n > u.limit {
		var slowest *slowConn
		for other := range u.conns {
			if slowest == nil || other.since.Before(slowest.since) {
				slowest = other
			}
		}
		if slowest == nil {
			break
		}
		u.removeLocked(slowest)
		_ = slowest.Conn.Close()
	}
	c.pending, c.since = n, time.Now()
	u.total += n
	u.conns[c] = struct{}{}
}

func (u *unread) progress(c *slowConn, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, counted := u.conns[c]; counted {
		c.pending -= n
		c.since = time.Now()
		u.total -= n
	}
}

func (u *unread) end(c *slowConn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.removeLocked(c)
}

// removeLocked takes a connection out of the count, once.
func (u *unread) removeLocked(c *slowConn) {
	if _, counted := u.conns[c]; counted {
		u.total -= c.pending
		delete(u.conns, c)
	}
}
