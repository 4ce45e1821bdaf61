package mailtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// exchange is the server's side of one SASL exchange. It is called with nil if the client
// sent no initial response.
type exchange func(response []byte) (challenge []byte, done bool, err error)

// Next implements sasl.Server. It returns nil for an empty challenge, because go-imap's
// server sends "=" for one that is empty and not nil, which RFC 9051 does not allow.
func (e exchange) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := e(response)
	if len(challenge) == 0 {
		challenge = nil
	}
	return challenge, done, err
}

var errSASL = errors.New("mailtest: malformed SASL response")

// mechanism starts an exchange, or refuses a mechanism that is not offered.
func (a *authenticator) mechanism(name string) (sasl.Server, error) {
	known := map[string]func() exchange{
		"PLAIN":         a.plain,
		"LOGIN":         a.saslLogin,
		"CRAM-MD5":      a.cramMD5,
		"SCRAM-SHA-1":   func() exchange { return a.scram(name, scram.SHA1) },
		"SCRAM-SHA-256": func() exchange { return a.scram(name, scram.SHA256) },
		"XOAUTH2":       func() exchange { return a.bearer(name) },
		"OAUTHBEARER":   func() exchange { return a.bearer(name) },
		"EXTERNAL":      a.external,
	}
	begin := known[name]
	if begin == nil || !slices.Contains(a.server.mechanisms(), name) {
		return nil, errMechanism[a.server.options.Protocol]
	}
	return begin(), nil
}

// plain is RFC 4616.
func (a *authenticator) plain() exchange {
	return sasl.NewPlainServer(func(authzid, user, password string) error {
		return a.password("PLAIN", authzid, user, password)
	}).Next
}

// saslLogin is draft-murchison-sasl-login, as Exchange and Postfix speak it.
func (a *authenticator) saslLogin() exchange {
	var user *string
	asked := false
	return func(response []byte) ([]byte, bool, error) {
		switch {
		case response == nil && !asked:
			asked = true
			return []byte("Username:"), false, nil
		case user == nil:
			text := string(response)
			user = &text
			return []byte("Password:"), false, nil
		}
		return nil, true, a.password("LOGIN", "", *user, string(response))
	}
}

// cramMD5 is RFC 2195.
func (a *authenticator) cramMD5() exchange {
	challenge := ""
	return func(response []byte) ([]byte, bool, error) {
		if challenge == "" {
			challenge = a.server.timestamp()
			return []byte(challenge), false, nil
		}
		cut := bytes.LastIndexByte(response, ' ')
		if cut < 0 {
			return nil, true, errSASL
		}
		return nil, true, a.digest("CRAM-MD5", string(response[:cut]), challenge, string(response[cut+1:]))
	}
}

// timestamp returns a message-id for one challenge of CRAM-MD5 or APOP.
func (s *Server) timestamp() string {
	return fmt.Sprintf("<%d.%d@mailtest.example>", s.Port, time.Now().UnixNano())
}

// scram is RFC 5802 without channel binding.
func (a *authenticator) scram(name string, hash scram.HashGeneratorFcn) exchange {
	server, err := hash.NewServer(func(user string) (scram.StoredCredentials, error) {
		return a.stored(name, hash, user)
	})
	if err != nil {
		return func([]byte) ([]byte, bool, error) { return nil, true, err }
	}
	conversation := server.NewConversation()
	return func(response []byte) ([]byte, bool, error) {
		login := Login{Mechanism: name, User: conversation.Username(), AuthzID: conversation.AuthzID()}
		switch {
		case response == nil:
			return nil, false, nil // no initial response: ask for it
		case conversation.Done():
			login.Accepted = a.server.mayActAs(login.User, login.AuthzID)
			return nil, true, a.verdict(login)
		}
		challenge, err := conversation.Step(string(response))
		if err != nil {
			login.User = conversation.Username()
			return nil, true, a.verdict(login)
		}
		return []byte(challenge), false, nil
	}
}

// stored returns what a SCRAM server stores of a password. It is derived at the first
// login, because that takes thousands of rounds of the hash.
func (a *authenticator) stored(mechanism string, hash scram.HashGeneratorFcn, user string) (scram.StoredCredentials, error) {
	password, known := a.server.options.Users[user]
	if !known {
		return scram.StoredCredentials{}, errors.New("unknown user")
	}
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	key := mechanism + " " + user
	if kept, derived := a.server.scram[key]; derived {
		return kept, nil
	}
	kept, err := a.derive(hash, user, password)
	if err == nil {
		a.server.scram[key] = kept
	}
	return kept, err
}

func (a *authenticator) derive(hash scram.HashGeneratorFcn, user, password string) (scram.StoredCredentials, error) {
	client, err := hash.NewClient(user, password, "")
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	iterations := a.server.options.SCRAMIterations
	if iterations == 0 {
		iterations = 4096
	}
	return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "mailtest-salt", Iters: iterations})
}

// bearer is OAUTHBEARER (RFC 7628) and XOAUTH2 of Google and Microsoft. A refusal is
// first sent as a JSON challenge; the status line follows the client's answer to it.
func (a *authenticator) bearer(name string) exchange {
	var refused error
	return func(response []byte) ([]byte, bool, error) {
		switch {
		case refused != nil:
			return nil, true, refused
		case response == nil:
			return nil, false, nil
		}
		user, token, ok := parseBearer(string(response))
		if !ok {
			return nil, true, errSASL
		}
		if refused = a.token(name, user, token); refused != nil {
			return []byte(`{"status":"401","schemes":"bearer","scope":"https://mail.example/"}`), false, nil
		}
		return nil, true, nil
	}
}

// parseBearer reads the first message of both mechanisms: fields that end with
// \x01, the first of OAUTHBEARER being the GS2 header "n,a=user,".
func parseBearer(message string) (user, token string, ok bool) {
	for field := range strings.SplitSeq(message, "\x01") {
		if header, found := strings.CutPrefix(field, "n,"); found {
			user = strings.TrimPrefix(strings.TrimSuffix(header, ","), "a=")
			user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(user)
		}
		if name, found := strings.CutPrefix(field, "user="); found {
			user = name
		}
		if value, found := strings.CutPrefix(field, "auth=Bearer "); found {
			token, ok = value, true
		}
	}
	return user, token, ok && strings.HasSuffix(message, "\x01\x01")
}

// external is RFC 4422 appendix A.
func (a *authenticator) external() exchange {
	return sasl.NewExternalServer(a.certificate).Next
}
