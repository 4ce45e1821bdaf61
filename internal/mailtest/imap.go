package mailtest

import (
	"bytes"
	"errors"
	"net"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-sasl"
)

// message is every message in the mailboxes: 120 octets, as in the examples of RFC 1939.
var message = []byte("From: a@mailtest.example\r\nTo: b@mailtest.example\r\nSubject: a message of the test server\r\n\r\n" +
	strings.Repeat("-", 27) + "\r\n")

// newIMAP returns the function that serves one IMAP connection.
func (s *Server) newIMAP() (func(net.Conn), error) {
	users := map[string]*imapmemserver.User{}
	for name := range s.owners() {
		user, err := s.newIMAPUser(name)
		if err != nil {
			return nil, err
		}
		users[name] = user
	}
	s.mailboxes = users
	caps := imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapNamespace: {}}
	if s.options.UIDPlus {
		caps[imap.CapUIDPlus] = struct{}{}
	}
	return func(conn net.Conn) {
		server := imapserver.New(&imapserver.Options{
			NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
				authenticator := authenticator{server: s, conn: c.NetConn}
				return &imapSession{authenticator: authenticator, users: users}, nil, nil
			},
			Caps:         caps,
			Logger:       libraryLog{s},
			TLSConfig:    s.startTLS(),
			InsecureAuth: s.clearLogin(),
			DebugWriter:  &commandRecorder{server: s},
		})
		if err := server.Serve(newOneConn(conn)); err != nil {
			s.logf("imap: %v", err)
		}
	}, nil
}

// owners returns the names of all users whose mailboxes a login can open.
func (s *Server) owners() map[string]bool {
	owners := map[string]bool{}
	for user := range s.options.Users {
		owners[user] = true
	}
	for _, more := range []map[string][]string{s.options.Tokens, s.options.ActAs} {
		for _, names := range more {
			for _, name := range names {
				owners[name] = true
			}
		}
	}
	return owners
}

func (s *Server) newIMAPUser(name string) (*imapmemserver.User, error) {
	user := imapmemserver.NewUser(name, "") // the password is checked by Server
	for _, mailbox := range append([]string{"INBOX"}, s.options.Mailboxes...) {
		if err := user.Create(mailbox, nil); err != nil {
			return nil, err
		}
		for range s.options.Messages {
			if _, err := user.Append(mailbox, bytes.NewReader(message), &imap.AppendOptions{Time: s.options.Arrived}); err != nil {
				return nil, err
			}
		}
	}
	return user, nil
}

// imapSession is one IMAP session. After the login it has a session of the library's
// server in memory.
type imapSession struct {
	*imapmemserver.UserSession // nil before the login

	authenticator authenticator
	users         map[string]*imapmemserver.User
}

var (
	_ imapserver.SessionSASL      = (*imapSession)(nil)
	_ imapserver.SessionNamespace = (*imapSession)(nil)
)

// Login is the LOGIN command.
func (s *imapSession) Login(user, password string) error {
	if err := s.authenticator.password("LOGIN", "", user, password); err != nil {
		return imapError(err)
	}
	s.open()
	return nil
}

func (s *imapSession) AuthenticateMechanisms() []string { return s.authenticator.server.mechanisms() }

// Authenticate is the AUTHENTICATE command.
func (s *imapSession) Authenticate(name string) (sasl.Server, error) {
	mechanism, err := s.authenticator.mechanism(name)
	if err != nil {
		return nil, imapError(err)
	}
	return exchange(func(response []byte) ([]byte, bool, error) {
		challenge, done, err := mechanism.Next(response)
		if err != nil {
			return nil, true, imapError(err)
		}
		if done {
			s.open()
		}
		return challenge, done, nil
	}), nil
}

// Namespace returns the prefixes of Options.Others and Options.Shared.
func (s *imapSession) Namespace() (*imap.NamespaceData, error) {
	data, err := s.UserSession.Namespace()
	if err != nil {
		return nil, err
	}
	if prefix := s.authenticator.server.options.Others; prefix != "" {
		data.Other = []imap.NamespaceDescriptor{{Prefix: prefix, Delim: '/'}}
	}
	if prefix := s.authenticator.server.options.Shared; prefix != "" {
		data.Shared = []imap.NamespaceDescriptor{{Prefix: prefix, Delim: '/'}}
	}
	return data, nil
}

func (s *imapSession) open() {
	s.UserSession = imapmemserver.NewUserSession(s.users[s.authenticator.owner])
}

// imapError turns a refusal such as "NO [CODE] text" into the library's error.
func imapError(err error) error {
	var line refusal
	if !errors.As(err, &line) {
		return &imap.Error{Type: imap.StatusResponseTypeBad, Text: err.Error()}
	}
	word, text, _ := strings.Cut(string(line), " ")
	answer := &imap.Error{Type: imap.StatusResponseType(word), Text: text}
	if rest, found := strings.CutPrefix(text, "["); found {
		code, after, _ := strings.Cut(rest, "]")
		answer.Code, answer.Text = imap.ResponseCode(code), strings.TrimPrefix(after, " ")
	}
	return answer
}
