package mailtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// maxPOP3Line bounds a command line. RFC 2449 allows 255 octets, but a SASL
// response with a token is longer.
const maxPOP3Line = 64 << 10

// newPOP3 returns the function that serves one POP3 connection (RFC 1939, 2449 for CAPA,
// 2595 for STLS, 5034 for AUTH). It uses no library, because none has a POP3 server.
// Its maildrop has equal messages and cannot be changed.
func (s *Server) newPOP3() (func(net.Conn), error) {
	return func(conn net.Conn) {
		session := &pop3Session{server: s, timestamp: s.timestamp()}
		session.authenticator = authenticator{server: s, conn: func() net.Conn { return session.conn }}
		session.use(conn)
		defer session.end()
		session.say("+OK mailtest POP3 ready %s", session.timestamp)
		session.run()
	}, nil
}

// pop3Session is one POP3 session.
type pop3Session struct {
	server        *Server
	conn          net.Conn // plain or TLS
	lines         *bufio.Reader
	timestamp     string
	named         string // by USER
	authenticator authenticator
	owner         string // of the maildrop this session has locked; empty: none
}

// commands returns the commands that are allowed before or after the login.
func (s *pop3Session) commands(loggedIn bool) map[string]func(arg string) bool {
	if loggedIn {
		return map[string]func(string) bool{
			"CAPA": s.capa, "STAT": s.stat, "LIST": s.list, "UIDL": s.uidl, "RETR": s.retr,
			"NOOP": s.ok, "RSET": s.ok, "DELE": s.ok, "QUIT": s.quit,
		}
	}
	return map[string]func(string) bool{
		"CAPA": s.capa, "STLS": s.stls, "USER": s.user, "PASS": s.pass,
		"APOP": s.apop, "AUTH": s.auth, "QUIT": s.quit,
	}
}

func (s *pop3Session) use(conn net.Conn) {
	s.conn = conn
	s.lines = bufio.NewReaderSize(conn, maxPOP3Line)
}

// run answers commands until the client leaves.
func (s *pop3Session) run() {
	for {
		line, err := s.read()
		if err != nil {
			return
		}
		s.server.note(line)
		word, arg, _ := strings.Cut(line, " ")
		command := s.commands(s.owner != "")[strings.ToUpper(word)]
		if command == nil {
			s.say("-ERR unknown command or wrong state")
			continue
		}
		if !command(arg) {
			return
		}
	}
}

// end unlocks the maildrop, unless only QUIT may do that (Options.KeepLock).
func (s *pop3Session) end() {
	_ = s.conn.Close()
	if s.owner != "" && !s.server.options.KeepLock {
		s.server.unlock(s.owner)
	}
}

func (s *pop3Session) read() (string, error) {
	line, err := s.lines.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// say writes one line and reports whether that succeeded.
func (s *pop3Session) say(format string, args ...any) bool {
	_, err := fmt.Fprintf(s.conn, format+"\r\n", args...)
	return err == nil
}

func (s *pop3Session) secured() bool {
	_, ok := s.conn.(*tls.Conn)
	return ok
}

func (s *pop3Session) mayLogIn() bool { return s.secured() || s.server.clearLogin() }

func (s *pop3Session) capa(string) bool {
	lines := []string{"+OK capability list follows", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE"}
	if s.server.startTLS() != nil && !s.secured() {
		lines = append(lines, "STLS")
	}
	if s.mayLogIn() {
		lines = append(lines, "USER", "SASL "+strings.Join(s.server.mechanisms(), " "))
	}
	return s.say("%s\r\n.", strings.Join(lines, "\r\n"))
}

func (s *pop3Session) stls(string) bool {
	if s.server.startTLS() == nil || s.secured() {
		return s.say("-ERR STLS not available")
	}
	if !s.say("+OK begin TLS negotiation") {
		return false
	}
	secured := tls.Server(s.conn, s.server.startTLS())
	if err := secured.HandshakeContext(context.Background()); err != nil {
		s.server.logf("stls: %v", err)
		return false
	}
	s.use(secured) // with a new reader: data received before TLS is discarded
	return true
}

func (s *pop3Session) user(arg string) bool {
	if !s.mayLogIn() {
		return s.say("-ERR [AUTH] plaintext login needs TLS/SSL")
	}
	s.named = arg
	return s.say("+OK send PASS")
}

func (s *pop3Session) pass(arg string) bool {
	if s.named == "" {
		return s.say("-ERR USER first")
	}
	return s.admit(s.authenticator.password("USER", "", s.named, arg))
}

func (s *pop3Session) apop(arg string) bool {
	user, digest, _ := strings.Cut(arg, " ")
	return s.admit(s.authenticator.digest("APOP", user, s.timestamp, digest))
}

// auth is RFC 5034, with and without an initial response.
func (s *pop3Session) auth(arg string) bool {
	if !s.mayLogIn() {
		return s.say("-ERR [AUTH] login needs TLS/SSL")
	}
	name, initial, given := strings.Cut(arg, " ")
	mechanism, err := s.authenticator.mechanism(strings.ToUpper(name))
	if err != nil {
		return s.say("%v", err)
	}
	response, err := decodeResponse(initial, given)
	for err == nil {
		var challenge []byte
		var done bool
		challenge, done, err = mechanism.Next(response)
		if err != nil || done {
			return s.admit(err)
		}
		if !s.say("+ %s", base64.StdEncoding.EncodeToString(challenge)) {
			return false
		}
		line, readErr := s.read()
		if readErr != nil {
			return false
		}
		response, err = decodeResponse(line, true)
	}
	return s.say("-ERR %v", err)
}

// decodeResponse decodes a base64 response; "=" is an empty one (RFC 5034 section 4).
// It returns nil if none was given.
func decodeResponse(text string, given bool) ([]byte, error) {
	switch {
	case !given:
		return nil, nil
	case text == "*":
		return nil, errors.New("authentication cancelled")
	case text == "=":
		return []byte{}, nil
	}
	return base64.StdEncoding.DecodeString(text)
}

// admit answers a login, and locks the maildrop if it is accepted.
func (s *pop3Session) admit(err error) bool {
	var line refusal
	switch {
	case errors.As(err, &line):
		return s.say("%s", line)
	case err != nil:
		return s.say("-ERR %v", err)
	case !s.server.lock(s.authenticator.owner):
		return s.say("-ERR [IN-USE] maildrop is locked by another session")
	}
	s.owner = s.authenticator.owner
	return s.say("+OK maildrop locked and ready")
}

func (s *pop3Session) stat(string) bool {
	n := s.server.options.Messages
	return s.say("+OK %d %d", n, n*len(message))
}

func (s *pop3Session) list(string) bool {
	s.say("+OK scan listing follows")
	for i := range s.server.options.Messages {
		s.say("%d %d", i+1, len(message))
	}
	return s.say(".")
}

// uidl answers with the unique id of one message, or of all.
func (s *pop3Session) uidl(arg string) bool {
	if arg == "" {
		s.say("+OK unique-id listing follows")
		for i := range s.server.options.Messages {
			s.say("%d mailtest-%d", i+1, i+1)
		}
		return s.say(".")
	}
	number, err := strconv.Atoi(arg)
	if err != nil || number < 1 || number > s.server.options.Messages {
		return s.say("-ERR no such message")
	}
	return s.say("+OK %d mailtest-%d", number, number)
}

func (s *pop3Session) retr(string) bool { return s.say("+OK\r\n%s.", message) }
func (s *pop3Session) ok(string) bool   { return s.say("+OK") }

// quit unlocks the maildrop before it answers, so that the client can log in again as
// soon as it has read the answer.
func (s *pop3Session) quit(string) bool {
	if s.owner != "" {
		s.server.unlock(s.owner)
		s.owner = ""
	}
	s.say("+OK goodbye")
	return false
}

func (s *Server) lock(maildrop string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked[maildrop] {
		return false
	}
	s.locked[maildrop] = true
	return true
}

func (s *Server) unlock(maildrop string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locked, maildrop)
}

// Locked returns the names of the POP3 maildrops that are locked now, sorted.
func (s *Server) Locked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.locked {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
