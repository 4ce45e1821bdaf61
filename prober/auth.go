package prober

// This file is the only one that hands a secret to the wire. It decides which
// mechanism is used, checks that the secret may leave, and lets the dialect's
// authenticator carry it. It reads no socket and keeps no state.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	"mailprobe/mail"
)

// offer is what the server lets a client log in with, learned after TLS where
// there is TLS: what was offered before it counts for nothing.
type offer struct {
	sasl     map[string]bool // mechanism names in upper case
	native   bool            // IMAP LOGIN or POP3 USER/PASS are allowed; SMTP has no such command
	needsTLS bool            // the server said that it wants TLS first, such as IMAP's LOGINDISABLED
	apop     string          // POP3 greeting's timestamp with its brackets; empty if none
	delay    time.Duration   // between two logins (POP3 LOGIN-DELAY); 0: none
}

// authenticator is what a dialect can put on its wire. Each method is one
// complete login; a negative answer of the server is a *refusal.
type authenticator interface {
	offer() offer
	native(user, password string) error // IMAP LOGIN, POP3 USER and PASS
	apop(user, digest string) error     // POP3 only
	exchange(client sasl.Client) error  // AUTHENTICATE or AUTH, with all its challenges
}

// identity is who logs in, as it is written on the wire. It lives on the stack
// of authenticate and of one mechanism; nothing keeps or prints it.
type identity struct {
	authzid string // whom to act for; empty: the user
	user    string // whose secret it is, or whom the token is to open
	secret  string // password or access token
	host    string // OAUTHBEARER names host and port (RFC 7628 section 3.1)
	port    int
}

// mechanism is what is special about one word of `auth`.
type mechanism struct {
	name    string // in the server's list; empty: a command of the protocol
	client  func(identity) (sasl.Client, error)
	authzid bool // can act for somebody else
	token   bool // takes an access token
	hashed  bool // the password itself is not sent
}

// mechanisms lists every word of `auth` that logs in by SASL.
var mechanisms = map[mail.AuthMethod]mechanism{
	mail.AuthPlain:       {name: "PLAIN", client: newPlain, authzid: true},
	mail.AuthSASLLogin:   {name: "LOGIN", client: newLogin},
	mail.AuthCRAMMD5:     {name: "CRAM-MD5", client: newCRAMMD5, hashed: true},
	mail.AuthSCRAMSHA1:   {name: "SCRAM-SHA-1", client: newSCRAMSHA1, authzid: true, hashed: true},
	mail.AuthSCRAMSHA256: {name: "SCRAM-SHA-256", client: newSCRAMSHA256, authzid: true, hashed: true},
	mail.AuthXOAuth2:     {name: "XOAUTH2", client: newXOAuth2, token: true},
	mail.AuthOAuthBearer: {name: "OAUTHBEARER", client: newOAuthBearer, authzid: true, token: true},
	mail.AuthExternal:    {name: "EXTERNAL", client: newExternal, authzid: true},
}

// readSecret fetches what the login of c will need. It is called before the
// dial, so that a broken secret never opens a connection. fresh is that of
// TokenSource. The secret is empty where the method needs none. Its errors are
// *fault of local_secret, token_unavailable or token_rejected.
func readSecret(ctx context.Context, c *mail.Connection, fresh bool) (mail.Secret, error) {
	switch {
	case c.Auth == mail.AuthNone || c.Auth == mail.AuthExternal:
		return mail.Secret{}, nil
	case c.Token != nil:
		secret, err := c.Token(ctx, fresh)
		if err == nil {
			err = checkToken(secret)
		}
		if err != nil {
			return mail.Secret{}, &fault{reason: tokenReason(err), err: fmt.Errorf("token: %w", err)}
		}
		return secret, nil
	}
	secret, err := c.Password.Read()
	if err != nil {
		return mail.Secret{}, &fault{reason: secretReason(err), err: fmt.Errorf("password: %w", err)}
	}
	return secret, nil
}

// secretReason tells a process without descriptors from a file that is wrong.
func secretReason(err error) mail.Reason {
	if reason := errnoReason(err); reason == mail.LocalResources {
		return reason
	}
	return mail.LocalSecret
}

// tokenReason is the reason of a token source's error.
func tokenReason(err error) mail.Reason {
	switch {
	case errors.Is(err, mail.ErrTokenRejected):
		return mail.TokenRejected
	case errors.Is(err, mail.ErrTokenSecret):
		return secretReason(err)
	}
	return mail.TokenUnavailable
}

// checkToken refuses what would break the frame a token is sent in: anything
// but visible ASCII (RFC 6750 section 2.1 allows less still).
func checkToken(token mail.Secret) error {
	if token.IsZero() {
		return fmt.Errorf("%w: the token is empty", mail.ErrTokenSecret)
	}
	if !mail.Visible(token.Reveal()) {
		return fmt.Errorf("%w: the token contains a character that is not allowed in a token", mail.ErrTokenSecret)
	}
	return nil
}

// authenticate logs in once, with one mechanism, and never with a second one
// after a refusal. The method is empty exactly if no login was begun: then no
// byte of a credential has left. Errors are *fault where the reason is known
// here, a *refusal where the server said no, and else the wire's own.
func authenticate(c *mail.Connection, secret mail.Secret, encrypted bool, a authenticator) (mail.AuthMethod, error) {
	offered := a.offer()
	method, err := chooseMechanism(c, offered, encrypted)
	if err != nil || method == mail.AuthNone {
		return "", err
	}
	id, err := reveal(c, secret, encrypted)
	if err != nil {
		return "", err
	}
	switch {
	case method == mail.AuthAPOP:
		err = a.apop(id.user, apopDigest(offered.apop, id.secret))
	case isNative(c.Protocol, method):
		err = a.native(id.user, id.secret)
	default:
		var client sasl.Client
		if client, err = mechanismOf(method).client(id); err != nil {
			return "", err
		}
		err = exchangeOnce(a, method, client)
	}
	return method, describe(err, c, method, encrypted)
}

// reveal is the only way of a password or token to a mechanism: it leaves when
// TLS is up, or when the connection was configured to have none (R18).
func reveal(c *mail.Connection, secret mail.Secret, encrypted bool) (identity, error) {
	if !encrypted && c.Encryption != mail.NoEncryption {
		return identity{}, &fault{reason: mail.LocalBug, err: errors.New("login withheld: TLS is not up")}
	}
	id := identity{user: c.Username, secret: secret.Reveal(), host: c.Host, port: c.EffectivePort()}
	if c.SharedMailbox == "" {
		return id, nil
	}
	switch c.SharedMailboxAccess {
	case mail.SharedLoginName:
		id.user = strings.NewReplacer("{username}", c.Username,
			"{shared_mailbox}", c.SharedMailbox).Replace(c.LoginNameFormat)
	case mail.SharedAuthzID:
		id.authzid = c.SharedMailbox
	case mail.SharedTokenUser:
		id.user = c.SharedMailbox
	}
	return id, nil
}

// exchangeOnce runs one SASL exchange inside its bounds. A fault that the
// mechanism found in the exchange takes precedence over the dialect's error.
func exchangeOnce(a authenticator, method mail.AuthMethod, client sasl.Client) error {
	guarded := &boundedClient{client: client, method: method}
	err := a.exchange(guarded)
	if guarded.err != nil {
		return guarded.err
	}
	if verifier, ok := client.(interface{ verified() error }); ok && err == nil {
		return verifier.verified()
	}
	if told, ok := client.(interface{ rejected() bool }); ok && told.rejected() && definite(err) {
		return &fault{reason: mail.TokenRejected, err: err}
	}
	return err
}

// definite reports whether err is a refusal of the credential, and not one that
// calls itself temporary.
func definite(err error) bool {
	var no *refusal
	return errors.As(err, &no) && refusalReason(mail.PhaseAuth, no).Class() == mail.Definitive
}

// describe adds to a refusal what only this file knows of the login.
func describe(err error, c *mail.Connection, method mail.AuthMethod, encrypted bool) error {
	var no *refusal
	if errors.As(err, &no) {
		// A shared mailbox named in the login itself is somebody else.
		no.authzid = c.SharedMailbox != "" &&
			c.SharedMailboxAccess != mail.SharedFolder && c.SharedMailboxAccess != mail.SharedSender
		no.token = mechanismOf(method).token
		no.tls = encrypted
		no.hashed = c.Auth == mail.AuthAuto && mechanismOf(method).hashed
	}
	return err
}

// chooseMechanism picks the one method of this login, as docs/authentication.md says.
// Nothing has been sent when it refuses.
func chooseMechanism(c *mail.Connection, o offer, encrypted bool) (mail.AuthMethod, error) {
	if c.Auth == mail.AuthNone {
		return mail.AuthNone, nil
	}
	candidates := []mail.AuthMethod{c.Auth}
	if c.Auth == mail.AuthAuto {
		candidates = autoOrder(c, encrypted)
	}
	for _, method := range candidates {
		if err := suits(c, method); err != nil {
			return "", err
		}
		if offers(c.Protocol, o, method) {
			return method, nil
		}
	}
	// RFC 9051 section 6.2.3: LOGINDISABLED. It says nothing about tokens.
	byPassword := slices.Contains(candidates, mail.AuthLogin) || slices.Contains(candidates, mail.AuthPlain)
	if o.needsTLS && (!encrypted || byPassword) {
		return "", &fault{reason: mail.AuthNeedsTLS, err: errors.New("the server allows no login before TLS")}
	}
	return "", &fault{
		reason: mail.AuthMechanism,
		hint:   missingHint(c, o),
		err:    fmt.Errorf("%s: not offered by server", joinMethods(candidates)),
	}
}

// autoOrder is what `auto` tries to find, best first. Under TLS the password is
// hidden already, and PLAIN is what every server tests; in clear the methods
// that hide it come first. Exchange takes shared names by its own login
// command alone.
func autoOrder(c *mail.Connection, encrypted bool) []mail.AuthMethod {
	order := []mail.AuthMethod{mail.AuthPlain, mail.AuthLogin}
	if !encrypted {
		order = []mail.AuthMethod{mail.AuthSCRAMSHA256, mail.AuthSCRAMSHA1, mail.AuthCRAMMD5, mail.AuthPlain, mail.AuthLogin}
	}
	if c.SharedMailbox == "" {
		return order
	}
	switch c.SharedMailboxAccess {
	case mail.SharedLoginName:
		return []mail.AuthMethod{mail.AuthLogin}
	case mail.SharedAuthzID:
		return slices.DeleteFunc(order, func(m mail.AuthMethod) bool { return !mechanisms[m].authzid })
	}
	return order
}

// offers reports whether the server takes the method.
func offers(p mail.Protocol, o offer, method mail.AuthMethod) bool {
	switch {
	case method == mail.AuthAPOP:
		return p == mail.POP3 && o.apop != ""
	case isNative(p, method):
		return o.native
	}
	return o.sasl[mechanismOf(method).name]
}

// suits reports whether the method can reach the shared mailbox in the way that
// is configured.
func suits(c *mail.Connection, method mail.AuthMethod) error {
	if c.SharedMailbox == "" {
		return nil
	}
	m := mechanismOf(method)
	if c.SharedMailboxAccess == mail.SharedAuthzID && !m.authzid {
		return &fault{reason: mail.AuthMechanism,
			err: fmt.Errorf("%s: cannot act for a shared mailbox; plain can", method)}
	}
	if c.SharedMailboxAccess == mail.SharedTokenUser && !m.token {
		return &fault{reason: mail.AuthMechanism,
			err: fmt.Errorf("%s: does not use a token; token_user needs xoauth2 or oauthbearer", method)}
	}
	return nil
}

// isNative reports whether the method is a command of the protocol. SMTP's
// `login` is the SASL mechanism of that name.
func isNative(p mail.Protocol, method mail.AuthMethod) bool {
	return method == mail.AuthLogin && p != mail.SMTP
}

// mechanismOf is the SASL side of a method; zero for APOP and unknown words.
func mechanismOf(method mail.AuthMethod) mechanism {
	if method == mail.AuthLogin {
		method = mail.AuthSASLLogin // asked only where isNative says no
	}
	return mechanisms[method]
}

// missingHint is the advice where the configured method is not offered. Exim and
// others offer EXTERNAL to a certificate alone that they trust.
func missingHint(c *mail.Connection, o offer) string {
	if c.Auth == mail.AuthExternal {
		return "Many servers offer EXTERNAL only to a client certificate they trust: make the server verify the one in tls_config. " + offeredHint(c.Protocol, o)
	}
	return offeredHint(c.Protocol, o)
}

// offeredHint names the offered methods in the words of the configuration. It
// holds none of the server's words.
func offeredHint(p mail.Protocol, o offer) string {
	var known []mail.AuthMethod
	for method := range mechanisms {
		if offers(p, o, method) {
			known = append(known, method)
		}
	}
	if isNative(p, mail.AuthLogin) && offers(p, o, mail.AuthLogin) {
		known = append(known, mail.AuthLogin)
	}
	if offers(p, o, mail.AuthAPOP) {
		known = append(known, mail.AuthAPOP)
	}
	if len(known) == 0 {
		return "The server offers no login method that mailprobe supports; is this the port for clients, and is TLS on?"
	}
	slices.Sort(known)
	return "The server offers " + joinMethods(known) + "; set `auth` to one that this account may use."
}

// joinMethods lists methods for people.
func joinMethods(methods []mail.AuthMethod) string {
	words := make([]string, len(methods))
	for i, method := range methods {
		words[i] = string(method)
	}
	return strings.Join(words, ", ")
}
