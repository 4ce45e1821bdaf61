package exporter

// This file bounds the HTTP connections.

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// connLimiter bounds the open HTTP connections. Beyond the bound it closes the
// connection that has been without a complete request for the longest time. So
// clients that send half a header displace each other, and a scrape is still served.
type connLimiter struct {
	limit   int // of all connections
	waiting int // connections without a complete request

	mu   sync.Mutex
	open map[net.Conn]*list.Element // in idle; nil while a request is served
	idle list.List                  // of net.Conn, the longest without a request first
}

// note is the server's ConnState hook.
func (l *connLimiter) note(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[net.Conn]*list.Element{}
	}
	if place := l.open[conn]; place != nil {
		l.idle.Remove(place)
	}
	switch state {
	case http.StateActive:
		l.open[conn] = nil
	case http.StateNew:
		limitSendBuffer(conn)
		l.open[conn] = l.idle.PushBack(conn)
	case http.StateIdle:
		l.open[conn] = l.idle.PushBack(conn)
	default: // closed or hijacked
		delete(l.open, conn)
	}
	if first := l.idle.Front(); first != nil && (len(l.open) > l.limit || l.idle.Len() > l.waiting) {
		longest := l.idle.Remove(first).(net.Conn)
		delete(l.open, longest)
		hangUp(longest)
	}
}

// sendBuffer is what the kernel holds of an answer that a client does not read,
// in bytes. Left alone it grows to several MiB a connection.
const sendBuffer = 128 << 10

func limitSendBuffer(conn net.Conn) {
	if plain, ok := plainConn(conn).(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = plain.SetWriteBuffer(sendBuffer) // TCP and unix sockets can
	}
}

// hangUp closes without the goodbye of TLS, which would wait for the peer.
func hangUp(conn net.Conn) { _ = plainConn(conn).Close() }

// plainConn returns the connection below TLS.
func plainConn(conn net.Conn) net.Conn {
	if secured, ok := conn.(*tls.Conn); ok {
		return secured.NetConn()
	}
	return conn
}
