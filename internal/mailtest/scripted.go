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
	site

	scripts []*Script
	options ScriptOptions
	talks   []*Talk // guarded by site.mu
}

// StartScript plays a script to every client until Close.
func StartScript(script *Script, o ScriptOptions) (*Scripted, error) {
	s := &Scripted{scripts: append([]*Script{script}, o.Then...), options: o}
	if err := s.listen(o.Address); err != nil {
		return nil, err
	}
	s.run(s.session)
	return s, nil
}

// Close ends the listener and every connection, and waits for them. It returns
// the problems of all talks.
func (s *Scripted) Close() error {
	_ = s.site.Close()
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

// Logins is the number of login commands on all connections.
func (s *Scripted) Logins() int {
	count := 0
	for _, talk := range s.Talks() {
		count += talk.Logins()
	}
	return count
}

// session plays the script whose turn it is.
func (s *Scripted) session(conn net.Conn) {
	if s.options.ReceiveBuffer > 0 {
		_ = conn.(*trackedConn).SetReadBuffer(s.options.ReceiveBuffer)
	}
	s.mu.Lock()
	script := s.scripts[min(len(s.talks), len(s.scripts)-1)]
	talk := &Talk{mu: &s.mu}
	s.talks = append(s.talks, talk)
	s.mu.Unlock()

	script.play(conn, &s.options, s.closed, talk)

	talk.set(func(t *Talk) {
		t.Ended = true
		if s.isClosed() && errors.Is(t.Problem, net.ErrClosed) {
			t.Problem = nil // cut off by Close: what was missing then is nobody's fault
		}
	})
}
