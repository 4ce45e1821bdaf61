// Package mailtest runs servers on loopback, for the tests and for the demo: mail servers
// that behave well (Start), mail servers that follow a script line by line (StartScript),
// a DNS server and an OAuth2 token endpoint. It also has a CA, a proxy and connections
// that fail on demand, and connections in memory.
//
// Nothing here imports the prober, so that its own tests can use this package.
package mailtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/xdg-go/scram"
)

// The words of Options.Protocol and Options.Encryption; they equal the words of
// the configuration.
const (
	IMAP = "imap"
	POP3 = "pop3"
	SMTP = "smtp"

	NoEncryption = "none"
	ImplicitTLS  = "tls"
	StartTLS     = "starttls"
)

// Options describes a well-behaved server. Protocol and Encryption must be set, and
// a certificate unless Encryption is "none".
type Options struct {
	Protocol   string
	Encryption string

	Address     string // to listen on; "127.0.0.1:0" by default
	Certificate tls.Certificate
	TLS         *tls.Config    // used unchanged in place of Certificate; nil: made from Certificate
	ClientCAs   *x509.CertPool // clients need a certificate of these CAs, which EXTERNAL accepts; nil: none

	// Users maps login names to passwords. A name may be any text: the login names of
	// shared mailboxes are added here too.
	Users map[string]string
	// Tokens maps OAuth2 access tokens to the login names for which they are valid.
	Tokens map[string][]string
	// ActAs maps login names to the authorization identities they may take.
	ActAs map[string][]string
	// Mechanisms are the SASL mechanisms offered; nil means PLAIN and LOGIN,
	// and XOAUTH2 and OAUTHBEARER too where Tokens is set.
	Mechanisms []string
	// ForbidClearLogin refuses logins before TLS also where Encryption is "none".
	ForbidClearLogin bool
	// SCRAMIterations is the iteration count of SCRAM (RFC 5802); 0: 4096.
	SCRAMIterations int

	// Refuse is called for each login, whose Accepted says what the server decided. If it
	// returns a status line, such as "535 5.7.8 no", the login is refused with that line;
	// if it returns nothing, the decision stays. It may be called by several sessions
	// at once. nil: every decision stays.
	Refuse func(Login) string

	Messages int // in each mailbox
	// Arrived is when the messages arrived, for IMAP; zero: when the server starts.
	Arrived   time.Time
	Mailboxes []string // IMAP: beside INBOX, for each user; "/" separates levels
	Others    string   // IMAP: prefix of the Other Users namespace, such as "Other Users/"
	Shared    string   // IMAP: prefix of the Shared namespace
	Senders   []string // SMTP: reverse paths accepted; nil means all
	UIDPlus   bool     // IMAP: UID EXPUNGE is offered (RFC 4315)

	// Deliver receives each message that SMTP accepts; its error refuses the message.
	// nil: messages are discarded. It may be called by several sessions at once.
	Deliver func(from string, to []string, message []byte) error

	GreetingDelay time.Duration // before the greeting, after implicit TLS
	LoginDelay    time.Duration // before the verdict on a login

	// KeepLock keeps a POP3 maildrop locked until QUIT, even if the client closes the
	// connection without it.
	KeepLock bool

	// Logf receives the errors of the server libraries; nil: they are discarded.
	Logf func(format string, args ...any)
}

// Login is one attempt to log in, as the server saw it.
type Login struct {
	Mechanism string // a SASL name, or LOGIN, USER or APOP for the protocol's own command
	User      string
	AuthzID   string // empty: none given
	Secret    string // password or token; empty with mechanisms that do not show it
	Accepted  bool
}

// Server is a running server. Close ends it.
type Server struct {
	listener

	options Options
	tls     *tls.Config // nil with encryption "none"
	serve   func(net.Conn)

	// guarded by listener.mu
	logins  []Login
	journal journal
	locked  map[string]bool                    // POP3 maildrops in use
	scram   map[string]scram.StoredCredentials // by mechanism and user

	mailboxes map[string]*imapmemserver.User // IMAP: by owner; not changed after the start
}

// Append adds a message to a mailbox of an IMAP server. It fails if the owner or the
// mailbox does not exist.
func (s *Server) Append(owner, mailbox string, message []byte) error {
	user := s.mailboxes[owner]
	if user == nil {
		return fmt.Errorf("mailtest: %q has no mailbox", owner)
	}
	_, err := user.Append(mailbox, bytes.NewReader(message), &imap.AppendOptions{})
	return err
}

// Start runs a server until Close. It fails if an option is missing or wrong, or if it
// cannot listen.
func Start(o Options) (*Server, error) {
	s := &Server{options: o, locked: map[string]bool{}, scram: map[string]scram.StoredCredentials{}}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.listen(o.Address); err != nil {
		return nil, err
	}
	s.run(s.session)
	return s, nil
}

// prepare checks the options and builds what all sessions share.
func (s *Server) prepare() error {
	servers := map[string]func() (func(net.Conn), error){
		IMAP: s.newIMAP, POP3: s.newPOP3, SMTP: s.newSMTP,
	}
	build := servers[s.options.Protocol]
	if build == nil {
		return fmt.Errorf("mailtest: unknown protocol %q", s.options.Protocol)
	}
	if !slices.Contains([]string{NoEncryption, ImplicitTLS, StartTLS}, s.options.Encryption) {
		return fmt.Errorf("mailtest: unknown encryption %q", s.options.Encryption)
	}
	if s.options.Encryption != NoEncryption {
		if err := s.prepareTLS(); err != nil {
			return err
		}
	}
	serve, err := build()
	s.serve = serve
	return err
}

func (s *Server) prepareTLS() error {
	if s.options.TLS != nil {
		s.tls = s.options.TLS
		return nil
	}
	if len(s.options.Certificate.Certificate) == 0 {
		return errors.New("mailtest: encryption without a certificate")
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{s.options.Certificate}, MinVersion: tls.VersionTLS12}
	if s.options.ClientCAs != nil {
		s.tls.ClientCAs, s.tls.ClientAuth = s.options.ClientCAs, tls.RequireAndVerifyClientCert
	}
	return nil
}

// Logins returns the attempts to log in so far that the server decided on.
func (s *Server) Logins() []Login {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.logins)
}

// Commands returns the command lines of all clients so far, as they were sent, without
// the responses of a SASL exchange and without literals.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal.commands)
}

// Verbs returns the command words of Commands in upper case, without IMAP tags.
func (s *Server) Verbs() []string {
	verbs := s.Commands()
	for i, line := range verbs {
		verbs[i] = verb(s.options.Protocol, line)
	}
	return verbs
}

// Pipe returns the client's end of a connection in memory to the server, for tests in
// a testing/synctest bubble. Server.Close does not end it: the client has to.
func (s *Server) Pipe() *PipeConn {
	client, served := Pipe(0)
	go func() {
		defer func() { _ = served.Close() }()
		s.session(served)
	}()
	return client
}

// session does implicit TLS and hands the connection to the protocol.
func (s *Server) session(conn net.Conn) {
	if s.options.Encryption == ImplicitTLS {
		secured := tls.Server(conn, s.tls)
		if err := secured.HandshakeContext(context.Background()); err != nil {
			s.logf("handshake: %v", err)
			return
		}
		conn = secured
	}
	if s.pause(s.options.GreetingDelay) {
		s.serve(conn)
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.options.Logf != nil {
		s.options.Logf(format, args...)
	}
}

// clearLogin reports whether a login without TLS is allowed.
func (s *Server) clearLogin() bool {
	return s.options.Encryption == NoEncryption && !s.options.ForbidClearLogin
}

// startTLS is the configuration for the protocol's STARTTLS command, or nil.
func (s *Server) startTLS() *tls.Config {
	if s.options.Encryption == StartTLS {
		return s.tls
	}
	return nil
}

// oneConn is a listener for a server library. It returns one connection and then waits
// for its end. With one library server per connection, the commands of each client
// are recorded separately.
type oneConn struct {
	conn  net.Conn // TLS or plain
	gone  <-chan struct{}
	given bool
}

func newOneConn(conn net.Conn) *oneConn {
	raw := conn
	if secured, ok := conn.(*tls.Conn); ok {
		raw = secured.NetConn()
	}
	if pipe, ok := raw.(*PipeConn); ok {
		return &oneConn{conn: conn, gone: pipe.gone}
	}
	return &oneConn{conn: conn, gone: raw.(*trackedConn).gone}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.conn, nil
	}
	<-l.gone
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// libraryLog is the logger of the server libraries.
type libraryLog struct{ server *Server }

func (l libraryLog) Printf(format string, args ...any) { l.server.logf(format, args...) }
func (l libraryLog) Println(args ...any)               { l.server.logf("%s", fmt.Sprintln(args...)) }

func orText(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
