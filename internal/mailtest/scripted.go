package mailtest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"regexp"
	"slices"
	"sync"
)

// ScriptOptions are what a script refers to. The zero value is enough for scripts without
// TLS and DO.
type ScriptOptions struct {
	Address       string // to listen on; "127.0.0.1:0" by default
	TLS           *tls.Config
	Configs       map[string]*tls.Config          // of TLS name
	Do            map[string]func(net.Conn) error // of DO name
	ReceiveBuffer int                             // SO_RCVBUF in bytes; 0: the system's

	// Then are the scripts of the second and later connections; the last one is used for
	// all that follow. Empty: all connections have the first script.
	Then []*Script
}

// Session is what happened on one connection of a scripted server.
type Session struct {
	Lines []string // of the client, without their ends
	Wire  []byte   // all bytes that arrived, ciphertext where TLS was up
	Inner []byte   // those that arrived through TLS, decrypted

	Handshakes int   // tried
	Handshake  error // of the last one, nil if it went well
	Complete   bool  // the script was played to its end
	Ended      bool  // the connection has ended
	Problem    error // how the client did not follow the script, with the line; nil: it did

	mu *sync.Mutex // of the server; nil: only one goroutine uses the session
}

// Logins returns the number of commands on the connection that send a credential or begin
// a SASL exchange.
func (t *Session) Logins() int {
	count := 0
	login := regexp.MustCompile(`(?i)^(\S+ (LOGIN|AUTHENTICATE) |AUTH |PASS |APOP )`)
	for _, line := range t.Lines {
		if login.MatchString(line) {
			count++
		}
	}
	return count
}

func (t *Session) set(change func(*Session)) {
	if t.mu != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
	}
	change(t)
}

func (t *Session) copy() Session {
	c := *t
	c.Lines, c.Wire, c.Inner, c.mu = slices.Clone(t.Lines), bytes.Clone(t.Wire), bytes.Clone(t.Inner), nil
	return c
}

// Scripted is a running scripted server. Close ends it.
type Scripted struct {
	listener

	scripts  []*Script
	options  ScriptOptions
	sessions []*Session // guarded by listener.mu
}

// StartScript runs a server that plays a script on every connection, until Close. It fails
// if it cannot listen.
func StartScript(script *Script, o ScriptOptions) (*Scripted, error) {
	s := &Scripted{scripts: append([]*Script{script}, o.Then...), options: o}
	if err := s.listen(o.Address); err != nil {
		return nil, err
	}
	s.run(s.session)
	return s, nil
}

// Close ends the listener and every connection, and waits for them. It returns
// the problems of all sessions.
func (s *Scripted) Close() error {
	_ = s.listener.Close()
	return s.Problem()
}

// Sessions returns what has happened so far, one entry for each connection.
func (s *Scripted) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions := make([]Session, len(s.sessions))
	for i, session := range s.sessions {
		sessions[i] = session.copy()
	}
	return sessions
}

// Problem joins the problems of all sessions; nil: there is none. A connection that Close
// ended has none.
func (s *Scripted) Problem() error {
	var problems []error
	for _, session := range s.Sessions() {
		problems = append(problems, session.Problem)
	}
	return errors.Join(problems...)
}

// Received returns all that clients sent: the bytes on the wire, and those decrypted
// from TLS.
func (s *Scripted) Received() []byte {
	var all []byte
	for _, session := range s.Sessions() {
		all = append(append(all, session.Wire...), session.Inner...)
	}
	return all
}

// Logins returns the number of login commands on all connections; see Session.Logins.
func (s *Scripted) Logins() int {
	count := 0
	for _, session := range s.Sessions() {
		count += session.Logins()
	}
	return count
}

// session plays the next script.
func (s *Scripted) session(conn net.Conn) {
	if s.options.ReceiveBuffer > 0 {
		_ = conn.(*trackedConn).SetReadBuffer(s.options.ReceiveBuffer)
	}
	s.mu.Lock()
	script := s.scripts[min(len(s.sessions), len(s.scripts)-1)]
	session := &Session{mu: &s.mu}
	s.sessions = append(s.sessions, session)
	s.mu.Unlock()

	script.play(conn, &s.options, s.closed, session)

	session.set(func(t *Session) {
		t.Ended = true
		if s.isClosed() && errors.Is(t.Problem, net.ErrClosed) {
			t.Problem = nil // ended by Close, not by the client
		}
	})
}
