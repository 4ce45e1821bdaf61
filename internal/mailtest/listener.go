package mailtest

import (
	"net"
	"strconv"
	"sync"
	"time"
)

// listener is a listening TCP socket with its connections. All servers of this package
// use it.
type listener struct {
	Addr string // host:port
	Host string
	Port int

	socket  net.Listener
	closed  chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex // guards what follows, and the fields of the servers
	conns    map[net.Conn]struct{}
	accepted int
}

// listen opens the listener; on a free port of 127.0.0.1 if address is empty.
func (l *listener) listen(address string) error {
	if address == "" {
		address = "127.0.0.1:0"
	}
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	l.socket, l.closed, l.conns = socket, make(chan struct{}), map[net.Conn]struct{}{}
	l.Addr = socket.Addr().String()
	host, port, _ := net.SplitHostPort(l.Addr)
	l.Host = host
	l.Port, _ = strconv.Atoi(port)
	return nil
}

// run calls handle for each connection, in a goroutine of its own, and closes
// the connection after it.
func (l *listener) run(handle func(net.Conn)) {
	l.running.Go(func() {
		for {
			conn, err := l.socket.Accept()
			if err != nil {
				return // closed, or an error that a test server cannot handle
			}
			tracked := &trackedConn{TCPConn: conn.(*net.TCPConn), gone: make(chan struct{})}
			if !l.enter(tracked) {
				return
			}
			l.running.Go(func() {
				defer l.leave(tracked)
				handle(tracked)
			})
		}
	})
}

// enter records a connection and reports true; if the listener is closed, it closes the
// connection.
func (l *listener) enter(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		_ = conn.Close()
		return false
	}
	l.accepted++
	l.conns[conn] = struct{}{}
	return true
}

func (l *listener) leave(conn net.Conn) {
	_ = conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Close ends the listener and every connection, and waits for them. A second
// call does nothing.
func (l *listener) Close() error {
	l.mu.Lock()
	if l.isClosed() {
		l.mu.Unlock()
		return nil
	}
	close(l.closed)
	for conn := range l.conns {
		_ = conn.Close()
	}
	l.mu.Unlock()
	err := l.socket.Close()
	l.running.Wait()
	return err
}

// Connections returns the number of connections accepted so far.
func (l *listener) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// Open returns the number of connections that are open now.
func (l *listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// pause waits and reports whether the listener is still open.
func (l *listener) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.closed:
		return false
	}
}

// trackedConn closes the channel gone when it is closed.
type trackedConn struct {
	*net.TCPConn
	once sync.Once
	gone chan struct{}
}

func (c *trackedConn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() { close(c.gone) })
	return err
}
