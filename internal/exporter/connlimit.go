package exporter

// This file bounds the HTTP connections.

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// maxConns is how many HTTP connections are open at once. They come out of the
// descriptors that pool.DescriptorLimit leaves to everything else.
const maxConns = 256

// connLimiter bounds the open HTTP connections. Beyond the bound it closes the
// connection that has been longest without a whole request: many clients that
// send half a header displace each other, and a scrape is still served.
type connLimiter struct {
	limit int

	mu      sync.Mutex
	open    map[net.Conn]*list.Element // in waiting; nil while a request is served
	waiting list.List                  // of net.Conn, the longest waiting first
}

// note is the server's ConnState hook.
func (l *connLimiter) note(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[net.Conn]*list.Element{}
	}
	if place := l.open[conn]; place != nil {
		l.waiting.Remove(place)
	}
	switch state {
	case http.StateActive:
		l.open[conn] = nil
	case http.StateNew, http.StateIdle:
		l.open[conn] = l.waiting.PushBack(conn)
	default: // closed or hijacked
		delete(l.open, conn)
	}
	if first := l.waiting.Front(); len(l.open) > l.limit && first != nil {
		longest := l.waiting.Remove(first).(net.Conn)
		delete(l.open, longest)
		hangUp(longest)
	}
}

// hangUp closes without the goodbye of TLS, which would wait for the peer.
func hangUp(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	_ = conn.Close()
}
