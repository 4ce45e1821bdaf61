package mailtest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"regexp"
	"slices"
	"strconv"
	"sync"
)

// ScriptOptions is what a script needs from outside. The zero value is enough
// for scripts without TLS and DO.
type ScriptOptions struct {
	Address       string // to listen on; "127.0.0.1:0" by default
	TLS           *tls.Config
	Configs       map[string]*tls.Config          // of TLS name
	Do            map[string]func(net.Conn) error // of DO name
	ReceiveBuffer int                             // SO_RCVBUF in bytes; 0: the system's

	// Then are the scripts of the second and later connections; the last one is
	// played again and again. Empty: the first script is.
	Then []*Script
}

// Talk is what happened on one connection of a scripted server.
type Talk struct {
	Lines []string // of the client, without their ends
	Wire  []byte   // all bytes that arrived, ciphertext where TLS was up
	Inner []byte   // those that arrived through TLS, decrypted

	Handshakes int   // tried
	Handshake  error // of the last one, nil if it went well
	Complete   bool  // the script was played to its end
	Ended      bool  // the connection is over
	Problem    error // what the client did against the script, with the line

	mu *sync.Mutex // of the server; nil while nobody else looks
}

// Logins is the number of commands on the connection that carry a credential
// or begin an exchange of one.
func (t *Talk) Logins() int {
	count := 0
	login := regexp.MustCompile(`(?i)^(\S+ (LOGIN|AUTHENTICATE) |AUTH |PASS |APOP )`)
	for _, line := range t.Lines {
		if login.MatchString(line) {
			count++
		}
	}
	return count
}

func (t *Talk) set(change func(*Talk)) {
	if t.mu != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
	}
	change(t)
}

func (t *Talk) copy() Talk {
	c := *t
	c.Lines, c.Wire, c.Inner, c.mu = slices.Clone(t.Lines), bytes.Clone(t.Wire), bytes.Clone(t.Inner), nil
	return c
}

// Scripted is a running scripted server. Close ends it.
type Scripted struct {
	Addr string // host:port
	Host string
	Port int

	scripts  []*Script
	options  ScriptOptions
	listener net.Listener
	closed   chan struct{}
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	talks []*Talk
}

// StartScript plays a script to every client until Close.
func StartScript(script *Script, o ScriptOptions) (*Scripted, error) {
	listener, err := net.Listen("tcp", orText(o.Address, "127.0.0.1:0"))
	if err != nil {
		return nil, err
	}
	s := &Scripted{
		Addr: listener.Addr().String(), scripts: append([]*Script{script}, o.Then...), options: o,
		listener: listener, closed: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	host, port, _ := net.SplitHostPort(s.Addr)
	s.Host = host
	s.Port, _ = strconv.Atoi(port)
	s.running.Go(s.accept)
	return s, nil
}

// Close ends the listener and every connection, and waits for them. It returns
// the problems of all talks.
func (s *Scripted) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
		_ = s.listener.Close()
	}
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return s.Problem()
}

// Talks lists what has happened so far, one entry for each connection.
func (s *Scripted) Talks() []Talk {
	s.mu.Lock()
	defer s.mu.Unlock()
	talks := make([]Talk, len(s.talks))
	for i, talk := range s.talks {
		talks[i] = talk.copy()
	}
	return talks
}

// Problem joins what the clients did against the script; nil if nothing. A
// connection that Close cut off has none.
func (s *Scripted) Problem() error {
	var problems []error
	for _, talk := range s.Talks() {
		problems = append(problems, talk.Problem)
	}
	return errors.Join(problems...)
}

// Received is all that clients sent, each byte as it was on the wire and again
// as it came out of TLS.
func (s *Scripted) Received() []byte {
	var all []byte
	for _, talk := range s.Talks() {
		all = append(append(all, talk.Wire...), talk.Inner...)
	}
	return all
}

// Clear is all that arrived on the wire: what a listener on the line could have
// read.
func (s *Scripted) Clear() []byte {
	var all []byte
	for _, talk := range s.Talks() {
		all = append(all, talk.Wire...)
	}
	return all
}

// Logins is the number of login commands on all connections.
func (s *Scripted) Logins() int {
	count := 0
	for _, talk := range s.Talks() {
		count += talk.Logins()
	}
	return count
}

// Open is the number of connections open now.
func (s *Scripted) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Scripted) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok && s.options.ReceiveBuffer > 0 {
			_ = tcp.SetReadBuffer(s.options.ReceiveBuffer)
		}
		script, talk, ok := s.enter(conn)
		if !ok {
			return
		}
		s.running.Go(func() {
			script.play(conn, &s.options, s.closed, talk)
			s.leave(conn, talk)
		})
	}
}

func (s *Scripted) enter(conn net.Conn) (*Script, *Talk, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		_ = conn.Close()
		return nil, nil, false
	default:
	}
	script := s.scripts[min(len(s.talks), len(s.scripts)-1)]
	talk := &Talk{mu: &s.mu}
	s.talks = append(s.talks, talk)
	s.conns[conn] = struct{}{}
	return script, talk, true
}

func (s *Scripted) leave(conn net.Conn, talk *Talk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	talk.Ended = true
	select {
	case <-s.closed: // cut off by Close: what was missing then is nobody's fault
		if errors.Is(talk.Problem, net.ErrClosed) {
			talk.Problem = nil
		}
	default:
	}
}
