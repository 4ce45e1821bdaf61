package prober

// This file holds the SASL mechanisms that go-sasl lacks or gets wrong, side by
// side. A mechanism sees decoded challenges and answers with bytes; what a
// server says is never repeated in an error, because it may echo a secret.

import (
	"crypto/hmac"
	"crypto/md5" // #nosec G501 -- CRAM-MD5 (RFC 2195) and APOP (RFC 1939) are made of it
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"

	"mailprobe/mail"
)

// maxSASLRounds bounds the challenges of one login; SCRAM, the longest, has 2.
const maxSASLRounds = 4

// boundedClient keeps any mechanism inside its bounds and remembers what the
// mechanism found wrong, since libraries flatten errors.
type boundedClient struct {
	client sasl.Client
	method mail.AuthMethod
	rounds int
	err    error // the first *fault; the exchange is over
}

// Start begins the exchange.
func (b *boundedClient) Start() (string, []byte, error) {
	name, first, err := b.client.Start()
	return name, first, b.keep(err)
}

// Next answers a challenge. The answer is never nil: go-smtp would take that
// for a login that succeeded.
func (b *boundedClient) Next(challenge []byte) ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.rounds++; b.rounds > maxSASLRounds {
		return nil, b.keep(&fault{reason: mail.ProtocolOversize,
			err: fmt.Errorf("%s: more than %d challenges", b.method, maxSASLRounds)})
	}
	answer, err := b.client.Next(challenge)
	if err != nil {
		return nil, b.keep(err)
	}
	if answer == nil {
		answer = []byte{}
	}
	return answer, nil
}

func (b *boundedClient) keep(err error) error {
	if err != nil && b.err == nil {
		b.err = err
	}
	return err
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
