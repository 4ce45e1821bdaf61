package mailtest

import (
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// newSMTP returns the function that serves one SMTP connection.
func (s *Server) newSMTP() (func(net.Conn), error) {
	return func(conn net.Conn) {
		server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
			return &smtpSession{authenticator: authenticator{server: s, conn: c.Conn}}, nil
		}))
		server.Domain = "mailtest.example"
		server.TLSConfig = s.startTLS()
		server.AllowInsecureAuth = s.clearLogin()
		server.MaxLineLength = 12288 // RFC 4954 section 4.5
		server.ErrorLog = libraryLog{s}
		server.Debug = &commandRecorder{server: s}
		if err := server.Serve(newOneConn(conn)); err != nil && !errors.Is(err, net.ErrClosed) {
			s.logf("smtp: %v", err)
		}
	}, nil
}

// smtpSession is one SMTP session, from one EHLO to the next.
type smtpSession struct {
	authenticator authenticator
	from          string
	to            []string
}

var _ smtp.AuthSession = (*smtpSession)(nil)

func (s *smtpSession) Reset()                   { s.from, s.to = "", nil }
func (s *smtpSession) Logout() error            { return nil }
func (s *smtpSession) AuthMechanisms() []string { return s.authenticator.server.mechanisms() }

// Auth is the AUTH command.
func (s *smtpSession) Auth(name string) (sasl.Server, error) {
	mechanism, err := s.authenticator.mechanism(name)
	if err != nil {
		return nil, smtpError(err)
	}
	return exchange(func(response []byte) ([]byte, bool, error) {
		challenge, done, err := mechanism.Next(response)
		if err != nil {
			return nil, true, smtpError(err)
		}
		return challenge, done, nil
	}), nil
}

// Mail accepts the reverse paths of Options.Senders. If the server has users, it requires
// a login first.
func (s *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	switch {
	case len(s.authenticator.server.options.Users) > 0 && s.authenticator.owner == "":
		return smtpError(refusal("530 5.7.0 Authentication required"))
	case s.authenticator.server.options.Senders != nil && !slices.Contains(s.authenticator.server.options.Senders, from):
		return smtpError(refusal("553 5.7.1 Sender address rejected: not owned by user"))
	}
	s.from, s.to = from, nil
	return nil
}

// Rcpt accepts every recipient.
func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// maxMessage bounds a message that Deliver receives, in bytes.
const maxMessage = 1 << 20

// Data receives a message and passes it to Options.Deliver; without Deliver it discards
// the message, and only Commands shows that there was one.
func (s *smtpSession) Data(r io.Reader) error {
	deliver := s.authenticator.server.options.Deliver
	if deliver == nil {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	message, err := io.ReadAll(io.LimitReader(r, maxMessage))
	if err != nil {
		return err
	}
	if err := deliver(s.from, s.to, message); err != nil {
		return smtpError(refusal("554 5.6.0 " + err.Error()))
	}
	return nil
}

// smtpError turns a refusal such as "535 5.7.8 text" into the library's error.
func smtpError(err error) error {
	var line refusal
	if !errors.As(err, &line) {
		return &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: err.Error()}
	}
	word, text, _ := strings.Cut(string(line), " ")
	answer := &smtp.SMTPError{EnhancedCode: smtp.NoEnhancedCode, Message: text}
	answer.Code, _ = strconv.Atoi(word)
	first, rest, _ := strings.Cut(text, " ")
	if code, ok := enhancedCode(first); ok {
		answer.EnhancedCode, answer.Message = code, rest
	}
	return answer
}

// enhancedCode reads three numbers with dots (RFC 3463).
func enhancedCode(word string) (code smtp.EnhancedCode, ok bool) {
	parts := strings.Split(word, ".")
	if len(parts) != len(code) {
		return code, false
	}
	for i, part := range parts {
		number, err := strconv.Atoi(part)
		if err != nil {
			return code, false
		}
		code[i] = number
	}
	return code, true
}
