package mailtest

// This file decides about logins. The protocols pass it the credentials and send its
// answer.

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"slices"
)

// refusal is the status line of a refused login in the protocol's own words.
type refusal string

func (r refusal) Error() string { return string(r) }

// wrongCredentials are the answers to a wrong password.
var wrongCredentials = map[string]refusal{
	IMAP: "NO [AUTHENTICATIONFAILED] Authentication failed",
	POP3: "-ERR [AUTH] Authentication failed",
	SMTP: "535 5.7.8 Authentication failed",
}

// errMechanism are the answers to a mechanism that was not offered.
var errMechanism = map[string]refusal{
	IMAP: "NO SASL mechanism not supported",
	POP3: "-ERR SASL mechanism not supported",
	SMTP: "504 5.5.4 SASL mechanism not supported",
}

// Refusing returns an Options.Refuse that refuses every login with one line.
func Refusing(line string) func(Login) string {
	return func(Login) string { return line }
}

// authenticator decides on the logins of one session.
type authenticator struct {
	server *Server
	conn   func() net.Conn // the connection as it is now, plain or TLS
	owner  string          // of the mailboxes that the session may open; empty before an accepted login
}

// verdict records a login, and the owner if it is accepted. It returns nil or a refusal.
func (a *authenticator) verdict(login Login) error {
	s := a.server
	answer := error(nil)
	if !login.Accepted {
		answer = wrongCredentials[s.options.Protocol]
	}
	if s.options.Refuse != nil {
		if line := s.options.Refuse(login); line != "" {
			answer, login.Accepted = refusal(line), false
		}
	}
	s.mu.Lock()
	s.logins = remember(s.logins, login)
	s.mu.Unlock()
	if !s.pause(s.options.LoginDelay) {
		return errors.New("mailtest: server closed")
	}
	if answer == nil {
		a.owner = orText(login.AuthzID, login.User)
	}
	return answer
}

// password checks a login that sends its password.
func (a *authenticator) password(mechanism, authzid, user, password string) error {
	want, known := a.server.options.Users[user]
	return a.verdict(Login{Mechanism: mechanism, User: user, AuthzID: authzid, Secret: password,
		Accepted: known && want == password && a.server.mayActAs(user, authzid)})
}

// digest checks a login that proves its password by an MD5 digest of a challenge: keyed
// for CRAM-MD5 (RFC 2195), unkeyed for APOP (RFC 1939).
func (a *authenticator) digest(mechanism, user, challenge, got string) error {
	secret, known := a.server.options.Users[user]
	sum := md5.Sum([]byte(challenge + secret))
	want := sum[:]
	if mechanism == "CRAM-MD5" {
		keyed := hmac.New(md5.New, []byte(secret))
		keyed.Write([]byte(challenge))
		want = keyed.Sum(nil)
	}
	return a.verdict(Login{Mechanism: mechanism, User: user, Accepted: known && got == hex.EncodeToString(want)})
}

// token checks a login with an OAuth2 access token.
func (a *authenticator) token(mechanism, user, token string) error {
	return a.verdict(Login{Mechanism: mechanism, User: user, Secret: token,
		Accepted: slices.Contains(a.server.options.Tokens[token], user)})
}

// certificate checks a login by client certificate. The user is its common name.
func (a *authenticator) certificate(identity string) error {
	login := Login{Mechanism: "EXTERNAL", AuthzID: identity}
	if secured, ok := a.conn().(*tls.Conn); ok {
		if chain := secured.ConnectionState().PeerCertificates; len(chain) > 0 {
			login.User = chain[0].Subject.CommonName
		}
	}
	_, known := a.server.options.Users[login.User]
	login.Accepted = known && a.server.mayActAs(login.User, identity)
	return a.verdict(login)
}

func (s *Server) mayActAs(user, identity string) bool {
	return identity == "" || identity == user || slices.Contains(s.options.ActAs[user], identity)
}

// mechanisms lists the SASL mechanisms that are offered.
func (s *Server) mechanisms() []string {
	if s.options.Mechanisms != nil {
		return s.options.Mechanisms
	}
	offered := []string{"PLAIN", "LOGIN"}
	if s.options.Tokens != nil {
		offered = append(offered, "XOAUTH2", "OAUTHBEARER")
	}
	return offered
}
