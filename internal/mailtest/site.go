package mailtest

import (
	"net"
	"strconv"
	"sync"
	"time"
)

// site is a listener with its connections, which all servers here have in
// common.
type site struct {
	Addr string // host:port
	Host string
	Port int

	listener net.Listener
	closed   chan struct{}
	running  sync.WaitGroup

	mu       sync.Mutex // guards what follows, and the fields of the servers
	conns    map[net.Conn]struct{}
	accepted int
}

// listen opens the listener; on a free port of 127.0.0.1 if address is empty.
func (s *site) listen(address string) error {
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.listener, s.closed, s.conns = listener, make(chan struct{}), map[net.Conn]struct{}{}
	s.Addr = listener.Addr().String()
	host, port, _ := net.SplitHostPort(s.Addr)
	s.Host = host
	s.Port, _ = strconv.Atoi(port)
	return nil
}

// run calls handle for each connection, in a goroutine of its own, and closes
// the connection after it.
func (s *site) run(handle func(net.Conn)) {
	s.running.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return // closed, or nothing that a test server could mend
			}
			tracked := &trackedConn{TCPConn: conn.(*net.TCPConn), gone: make(chan struct{})}
			if !s.enter(tracked) {
				return
			}
			s.running.Go(func() {
				defer s.leave(tracked)
				handle(tracked)
			})
		}
	})
}

// enter takes note of a connection, or closes it where the site is closed.
func (s *site) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		_ = conn.Close()
		return false
	}
	s.accepted++
	s.conns[conn] = struct{}{}
	return true
}

func (s *site) leave(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

func (s *site) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Close ends the listener and every connection, and waits for them. A second
// call does nothing.
func (s *site) Close() error {
	s.mu.Lock()
	if s.isClosed() {
		s.mu.Unlock()
		return nil
	}
	close(s.closed)
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	err := s.listener.Close()
	s.running.Wait()
	return err
}

// Connections is the number of connections accepted so far.
func (s *site) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Open is the number of connections open now.
func (s *site) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// pause waits and reports whether the site is still open.
func (s *site) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.closed:
		return false
	}
}

// trackedConn tells when it is closed.
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
