package exporter

import (
	"net"
	"net/http"
	"testing"
)

// guest is a connection that knows whether it was closed.
type guest struct {
	net.Conn
	closed bool
}

func (g *guest) Close() error { g.closed = true; return nil }

// Who has waited longest without a whole request goes first; who is served stays.
func TestVisitors(t *testing.T) {
	v := &visitors{most: 3}
	arrive := func() *guest {
		g := &guest{}
		v.note(g, http.StateNew)
		return g
	}
	served, idle := arrive(), arrive()
	v.note(served, http.StateActive)
	v.note(idle, http.StateActive)
	half := arrive()
	v.note(idle, http.StateIdle) // after the half header came
	fourth := arrive()
	if !half.closed || idle.closed || served.closed || fourth.closed {
		t.Errorf("the fourth closed: served %t, idle %t, half header %t, itself %t; want the half header alone",
			served.closed, idle.closed, half.closed, fourth.closed)
	}
	v.note(half, http.StateClosed) // the server's own report of it
	fifth := arrive()
	if !idle.closed || served.closed || fifth.closed {
		t.Error("the fifth should have closed the idle one alone")
	}
	v.note(idle, http.StateClosed)
	v.note(served, http.StateClosed)
	if len(v.open) != 2 || v.waiting.Len() != 2 {
		t.Errorf("%d open, %d waiting, want 2 and 2", len(v.open), v.waiting.Len())
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
