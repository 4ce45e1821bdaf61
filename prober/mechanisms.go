package prober

// This file holds the SASL mechanisms that go-sasl lacks or gets wrong. A mechanism
// receives decoded challenges and returns the bytes to answer. No error quotes a
// challenge, because the server may repeat a secret in it.

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/md5" // #nosec G501 -- CRAM-MD5 (RFC 2195) and APOP (RFC 1939) are made of it
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/emersion/go-sasl"

	"mailprobe/mail"
)

// maxSASLRounds bounds the challenges of one login; SCRAM, the longest, has 2.
const maxSASLRounds = 4

// saslExchange is one SASL exchange. It limits the number of challenges, and delays the
// initial response if the command line has no room for it. It records what the
// libraries do not return: whether a credential was sent, and the mechanism's own
// error.
type saslExchange struct {
	mechanism sasl.Client
	method    mail.AuthMethod
	room      int    // for an initial response on the command line, in base64 characters; 0: none is allowed
	kept      []byte // the initial response that found no room; it answers the first challenge
	rounds    int
	sent      bool        // an answer of the mechanism has left: a name, a secret, or both
	textless  atomic.Bool // the next challenge tells the mechanism nothing; read by the wire's filters
	err       error       // the first *fault; the exchange is over
}

// newExchange prepares an exchange; run begins it.
func newExchange(method mail.AuthMethod, id identity) (*saslExchange, error) {
	client, err := mechanismOf(method).client(id)
	return &saslExchange{mechanism: client, method: method}, err
}

// run logs in. An error of the mechanism takes precedence over the error that a library
// made of it.
func (x *saslExchange) run(a authenticator) error {
	err := a.exchange(x)
	switch {
	case x.err != nil:
		return x.err
	case err == nil:
		return x.verified()
	}
	return err
}

// Start returns the mechanism's name, and its initial response if the command line has
// room for it.
func (x *saslExchange) Start() (string, []byte, error) {
	name, first, err := x.mechanism.Start()
	if err != nil {
		return "", nil, x.keep(err)
	}
	if x.room == 0 || base64.StdEncoding.EncodedLen(len(first)) > x.room {
		x.kept, first = first, nil
	}
	x.sent = first != nil
	x.textless.Store(x.ignores())
	return name, first, nil
}

// Next answers a challenge. The answer is never nil: go-smtp would treat nil as a
// successful login.
func (x *saslExchange) Next(challenge []byte) ([]byte, error) {
	if x.err != nil {
		return nil, x.err
	}
	if x.rounds++; x.rounds > maxSASLRounds {
		return nil, x.keep(&fault{reason: mail.ProtocolOversize,
			err: fmt.Errorf("%s: more than %d challenges", x.method, maxSASLRounds)})
	}
	answer, err := x.answer(challenge)
	if err != nil {
		return nil, x.keep(err)
	}
	x.sent = true
	x.textless.Store(x.ignores())
	if answer == nil {
		answer = []byte{}
	}
	return answer, nil
}

// answer returns the mechanism's answer. In FIPS 140-only mode the crypto packages
// panic if they are used in a forbidden way, for instance with a key that is too short;
// answer turns that into an error.
func (x *saslExchange) answer(challenge []byte) (response []byte, err error) {
	if fips140.Enforced() {
		defer func() {
			if recover() != nil {
				response, err = nil, forbiddenByFIPS(x.method)
			}
		}()
	}
	if kept := x.kept; kept != nil {
		x.kept = nil
		return kept, nil
	}
	if x.ignores() {
		challenge = nil
	}
	return x.mechanism.Next(challenge)
}

// ignores reports whether the mechanism does not read the next challenge. Its text need
// not be base64 then: some servers send a prompt in plain text.
func (x *saslExchange) ignores() bool {
	deaf, ok := x.mechanism.(interface{ ignoresChallenges() bool })
	return x.kept != nil || ok && deaf.ignoresChallenges()
}

func (x *saslExchange) keep(err error) error {
	if err != nil && x.err == nil {
		x.err = err
	}
	return err
}

// objected reports whether the server sent the challenge by which a token mechanism
// reports an error.
func (x *saslExchange) objected() bool {
	rejecter, ok := x.mechanism.(interface{ rejected() bool })
	return ok && rejecter.rejected()
}

// verified returns an error if the server accepted the login without the proof of its
// own identity that the mechanism requires (SCRAM).
func (x *saslExchange) verified() error {
	if verifier, ok := x.mechanism.(interface{ verified() error }); ok {
		return verifier.verified()
	}
	return nil
}

// unexpected returns the fault of a challenge that the mechanism does not define.
func unexpected(method mail.AuthMethod, what string) error {
	return &fault{reason: mail.ProtocolMalformed, err: fmt.Errorf("%s: %s", method, what)}
}

// oneMessage is a mechanism in which the client sends one message: PLAIN, EXTERNAL and
// the token mechanisms.
type oneMessage struct {
	method  mail.AuthMethod
	message []byte
	asked   bool

	// errorResponse answers the error a token mechanism sends as a challenge, to be
	// followed by the final refusal; nil: the mechanism has no such thing.
	errorResponse []byte
	refused       bool
}

// Start returns the message as the initial response.
func (m *oneMessage) Start() (string, []byte, error) {
	return mechanismOf(m.method).name, m.message, nil
}

// Next returns the message again if the server ignored the initial response and sent an
// empty challenge, as some servers do.
func (m *oneMessage) Next(challenge []byte) ([]byte, error) {
	switch {
	case len(challenge) == 0 && !m.asked && !m.refused:
		m.asked = true
		return m.message, nil
	case len(challenge) > 0 && m.errorResponse != nil && !m.refused:
		// The challenge is a JSON text with the reason (RFC 7628 section 3.2.2). It is
		// not parsed: its arrival alone means a refusal.
		m.refused = true
		return m.errorResponse, nil
	}
	return nil, unexpected(m.method, "a challenge where none is due")
}

// ignoresChallenges reports whether every challenge only asks for the message.
func (m *oneMessage) ignoresChallenges() bool { return m.errorResponse == nil }

// rejected reports whether the server sent its error challenge.
func (m *oneMessage) rejected() bool { return m.refused }

// newPlain is PLAIN (RFC 4616).
func newPlain(id identity) (sasl.Client, error) {
	_, message, err := sasl.NewPlainClient(id.authzid, id.user, id.secret).Start()
	return &oneMessage{method: mail.AuthPlain, message: message}, err
}

// newExternal is EXTERNAL (RFC 4422 appendix A). The credential is the client
// certificate; the message names only the account to act for.
func newExternal(id identity) (sasl.Client, error) {
	who := id.authzid
	if who == "" {
		who = id.user
	}
	_, message, err := sasl.NewExternalClient(who).Start()
	return &oneMessage{method: mail.AuthExternal, message: message}, err
}

// newXOAuth2 is XOAUTH2 as Google and Microsoft document it. There is no RFC.
func newXOAuth2(id identity) (sasl.Client, error) {
	message := "user=" + id.user + "\x01auth=Bearer " + id.secret + "\x01\x01"
	return &oneMessage{method: mail.AuthXOAuth2, message: []byte(message), errorResponse: []byte{}}, framed(id, mail.AuthXOAuth2)
}

// newOAuthBearer is OAUTHBEARER (RFC 7628). Its user is the authorization
// identity of the GS2 header.
func newOAuthBearer(id identity) (sasl.Client, error) {
	who := id.authzid
	if who == "" {
		who = id.user
	}
	message := "n,a=" + saslName(who) + ",\x01host=" + oauthHost(id.host) + "\x01port=" + strconv.Itoa(id.port) +
		"\x01auth=Bearer " + id.secret + "\x01\x01"
	return &oneMessage{method: mail.AuthOAuthBearer, message: []byte(message), errorResponse: []byte{1}}, framed(id, mail.AuthOAuthBearer)
}

// framed returns an error for names that hold the separator of the token mechanisms.
// The token itself was checked when it was fetched.
func framed(id identity, method mail.AuthMethod) error {
	if strings.ContainsAny(id.user+id.authzid, "\x00\x01") {
		return &fault{reason: mail.AuthMechanism, err: fmt.Errorf("%s: the user name contains a control character", method)}
	}
	return nil
}

// saslName escapes a name for a GS2 header (RFC 5801 section 4).
func saslName(name string) string { return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name) }

// oauthHost writes an IPv6 address in brackets, as a URI does.
func oauthHost(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[" + host + "]"
	}
	return host
}

// loginClient is LOGIN, which only a draft describes. The draft's prompts are
// "Username:" and "Password:"; real servers send other texts too, so only the order of
// the prompts matters.
type loginClient struct {
	answers [][]byte
}

func newLogin(id identity) (sasl.Client, error) {
	return &loginClient{[][]byte{[]byte(id.user), []byte(id.secret)}}, nil
}

// Start returns the name; LOGIN has no initial response.
func (*loginClient) Start() (string, []byte, error) { return "LOGIN", nil, nil }

// ignoresChallenges returns true: the prompts are not read.
func (*loginClient) ignoresChallenges() bool { return true }

// Next answers the first challenge with the user and the second with the
// password.
func (l *loginClient) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, unexpected(mail.AuthSASLLogin, "a third challenge")
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return answer, nil
}

// cramMD5Client is CRAM-MD5 (RFC 2195).
type cramMD5Client struct {
	id   identity
	done bool
}

func newCRAMMD5(id identity) (sasl.Client, error) { return &cramMD5Client{id: id}, nil }

// Start returns the name; the server sends the first challenge.
func (*cramMD5Client) Start() (string, []byte, error) { return "CRAM-MD5", nil, nil }

// Next signs the only challenge. An empty challenge is refused, because its answer
// would be the same in every login.
func (m *cramMD5Client) Next(challenge []byte) ([]byte, error) {
	if m.done {
		return nil, unexpected(mail.AuthCRAMMD5, "a second challenge")
	}
	if len(challenge) == 0 {
		return nil, unexpected(mail.AuthCRAMMD5, "an empty challenge")
	}
	m.done = true
	mac := hmac.New(md5.New, []byte(m.id.secret))
	mac.Write(challenge)
	return []byte(m.id.user + " " + hex.EncodeToString(mac.Sum(nil))), nil
}

// maxAPOPTimestamp is the maximum length of a greeting's timestamp, which is a msg-id
// on one POP3 line.
const maxAPOPTimestamp = 255

// apopTimestamp returns the timestamp that offers APOP in a POP3 greeting, with its
// brackets; empty: there is none. Only a msg-id is accepted (RFC 1939 section 7):
// visible ASCII with one @ and at least one character on each side. A looser rule would
// let an attacker between client and server choose texts for MD5 collisions
// (CVE-2007-1558).
func apopTimestamp(greeting string) string {
	_, rest, found := strings.Cut(greeting, "<")
	inner, _, closed := strings.Cut(rest, ">")
	if !found || !closed || len(inner)+2 > maxAPOPTimestamp {
		return ""
	}
	left, right, _ := strings.Cut(inner, "@")
	if left == "" || right == "" || strings.ContainsAny(right, "@") {
		return ""
	}
	if !mail.Visible(inner) || strings.Contains(inner, "<") {
		return ""
	}
	return "<" + inner + ">"
}

// apopDigest returns APOP's answer to a timestamp (RFC 1939 section 7).
func apopDigest(timestamp, secret string) string {
	sum := md5.Sum([]byte(timestamp + secret)) // #nosec G401 -- the RFC's choice
	return hex.EncodeToString(sum[:])
}
