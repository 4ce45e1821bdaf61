package prober

// This file holds the SASL mechanisms that go-sasl lacks or gets wrong, side by
// side. A mechanism sees decoded challenges and answers with bytes; what a
// server says is never repeated in an error, because it may echo a secret.

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

// saslExchange is one SASL exchange. It keeps any mechanism inside its bounds,
// and its initial response back where the command line has no room for it. It
// remembers what the libraries lose: what was sent, and what the mechanism found
// wrong.
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

// newExchange begins nothing yet.
func newExchange(method mail.AuthMethod, id identity) (*saslExchange, error) {
	client, err := mechanismOf(method).client(id)
	return &saslExchange{mechanism: client, method: method}, err
}

// run logs in. What the mechanism found wrong comes before what a library made
// of it.
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

// Start returns the name of the mechanism, and its initial response if there is
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

// Next answers a challenge. The answer is never nil: go-smtp would take that
// for a login that succeeded.
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

// answer asks the mechanism. In FIPS 140-only mode the crypto packages panic at
// what it forbids, such as a key that is too short.
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

// ignores reports whether the next challenge tells the mechanism nothing, so
// that its text does not even have to be base64: some servers write a prompt.
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

// objected reports whether the server sent the error challenge of a token
// mechanism.
func (x *saslExchange) objected() bool {
	told, ok := x.mechanism.(interface{ rejected() bool })
	return ok && told.rejected()
}

// verified is an error if the server accepted the login but has not proved what
// the mechanism wants of it.
func (x *saslExchange) verified() error {
	if verifier, ok := x.mechanism.(interface{ verified() error }); ok {
		return verifier.verified()
	}
	return nil
}

// unexpected is the fault of a challenge that the mechanism does not have.
func unexpected(method mail.AuthMethod, what string) error {
	return &fault{reason: mail.ProtocolMalformed, err: fmt.Errorf("%s: %s", method, what)}
}

// oneMessage is a mechanism whose client speaks once: PLAIN, EXTERNAL and the
// token mechanisms.
type oneMessage struct {
	method  mail.AuthMethod
	message []byte
	asked   bool

	// farewell answers the error a token mechanism sends as a challenge, to be
	// followed by the final refusal; nil: the mechanism has no such thing.
	farewell []byte
	refused  bool
}

// Start gives the message.
func (m *oneMessage) Start() (string, []byte, error) {
	return mechanismOf(m.method).name, m.message, nil
}

// Next says the message again if the server passed over the one that came with
// the command: some ask with an empty challenge all the same.
func (m *oneMessage) Next(challenge []byte) ([]byte, error) {
	switch {
	case len(challenge) == 0 && !m.asked && !m.refused:
		m.asked = true
		return m.message, nil
	case len(challenge) > 0 && m.farewell != nil && !m.refused:
		// A JSON text saying why (RFC 7628 section 3.2.2). That it came is all
		// that matters; it is not parsed.
		m.refused = true
		return m.farewell, nil
	}
	return nil, unexpected(m.method, "a challenge where none is due")
}

// ignoresChallenges reports whether challenges only ask for the message.
func (m *oneMessage) ignoresChallenges() bool { return m.farewell == nil }

// rejected reports whether the server sent its error challenge.
func (m *oneMessage) rejected() bool { return m.refused }

// newPlain is PLAIN (RFC 4616).
func newPlain(id identity) (sasl.Client, error) {
	_, message, err := sasl.NewPlainClient(id.authzid, id.user, id.secret).Start()
	return &oneMessage{method: mail.AuthPlain, message: message}, err
}

// newExternal is EXTERNAL (RFC 4422 appendix A): the client certificate is the
// credential, the identity is only whom to act for.
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
	return &oneMessage{method: mail.AuthXOAuth2, message: []byte(message), farewell: []byte{}}, framed(id, mail.AuthXOAuth2)
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
	return &oneMessage{method: mail.AuthOAuthBearer, message: []byte(message), farewell: []byte{1}}, framed(id, mail.AuthOAuthBearer)
}

// framed refuses names that hold the separator of the token mechanisms; the
// token itself was checked when it was fetched.
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

// loginClient is LOGIN, which only a draft describes. The prompts are
// "Username:" and "Password:" in the draft and anything in the wild, so that
// only their order counts.
type loginClient struct {
	answers [][]byte
}

func newLogin(id identity) (sasl.Client, error) {
	return &loginClient{[][]byte{[]byte(id.user), []byte(id.secret)}}, nil
}

// Start names the mechanism; it has no initial response.
func (*loginClient) Start() (string, []byte, error) { return "LOGIN", nil, nil }

// ignoresChallenges: the prompts are never looked at.
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

// Start names the mechanism; the server speaks first.
func (*cramMD5Client) Start() (string, []byte, error) { return "CRAM-MD5", nil, nil }

// Next signs the one challenge. An empty one would make the answer the same at
// each login.
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

// maxAPOPTimestamp bounds a greeting's timestamp: a msg-id on a POP3 line.
const maxAPOPTimestamp = 255

// apopTimestamp finds the timestamp that offers APOP in a POP3 greeting, with
// its brackets, or gives "". Only what is a msg-id counts (RFC 1939 section 7):
// visible ASCII with one @ and something on each side. A looser rule would let
// a server in between choose the text that MD5 collisions need
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

// apopDigest is APOP's answer to a timestamp (RFC 1939 section 7).
func apopDigest(timestamp, secret string) string {
	sum := md5.Sum([]byte(timestamp + secret)) // #nosec G401 -- the RFC's choice
	return hex.EncodeToString(sum[:])
}
