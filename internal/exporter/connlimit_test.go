package exporter

import (
	"net"
	"net/http"
	"testing"
)

// fakeConn is a connection that knows whether it was closed.
type fakeConn struct {
	net.Conn
	closed bool
}

func (c *fakeConn) Close() error { c.closed = true; return nil }

// The connection that has been without a complete request for the longest time is closed;
// one with a request that is being served is not.
func TestConnLimiterClosesTheLongestIdle(t *testing.T) {
	l := &connLimiter{limit: 3, waiting: 3}
	arrive := func() *fakeConn {
		c := &fakeConn{}
		l.note(c, http.StateNew)
		return c
	}
	served, idle := arrive(), arrive()
	l.note(served, http.StateActive)
	l.note(idle, http.StateActive)
	half := arrive()
	l.note(idle, http.StateIdle) // after the half header came
	fourth := arrive()
	if !half.closed || idle.closed || served.closed || fourth.closed {
		t.Errorf("the fourth closed: served %t, idle %t, half header %t, itself %t; want the half header alone",
			served.closed, idle.closed, half.closed, fourth.closed)
	}
	l.note(half, http.StateClosed) // the server's own report of it
	fifth := arrive()
	if !idle.closed || served.closed || fifth.closed {
		t.Error("the fifth should have closed the idle one alone")
	}
	l.note(idle, http.StateClosed)
	l.note(served, http.StateClosed)
	if len(l.open) != 2 || l.idle.Len() != 2 {
		t.Errorf("%d open, %d waiting, want 2 and 2", len(l.open), l.idle.Len())
	}
}

func TestPprofAddress(t *testing.T) {
	for address, ok := range map[string]bool{"": true, "127.0.0.1:6060": true, "[::1]:6060": true, "127.9.9.9:1": true,
		"0.0.0.0:6060": false, ":6060": false, "localhost:6060": false, "192.0.2.1:6060": false, "127.0.0.1": false, "[::]:1": false} {
		if err := checkPprofAddress(address); (err == nil) != ok {
			t.Errorf("%q: %v, want accepted %t", address, err, ok)
		}
	}
}
