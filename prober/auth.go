package prober

// This file is the only one that hands a secret to the wire. It decides which
// mechanism is used, checks that the secret may leave, and lets the dialect's
// authenticator carry it. It reads no socket and keeps no state.

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	"mailprobe/mail"
)

// offer lists the ways to log in that the server offered. With TLS it is read after the
// handshake; what the server offered before TLS is ignored.
type offer struct {
	sasl     map[string]bool // mechanism names in upper case
	native   bool            // IMAP LOGIN or POP3 USER/PASS are allowed; SMTP has no such command
	needsTLS bool            // the server said that it wants TLS first, such as IMAP's LOGINDISABLED
	apop     string          // POP3 greeting's timestamp with its brackets; empty if none
	delay    time.Duration   // between two logins (POP3 LOGIN-DELAY); 0: none
}

// authenticator is the part of a dialect that logs in. Each method performs one
// complete login; a negative answer of the server is returned as a *refusal.
type authenticator interface {
	offer() offer
	native(user, password string) error // IMAP LOGIN, POP3 USER and PASS
	apop(user, digest string) error     // POP3 only
	exchange(x *saslExchange) error     // AUTHENTICATE or AUTH, with all its challenges
}

// identity holds the names and the secret of one login, as they are sent. Only
// authenticate and one mechanism hold it, on their stacks; it is never stored or
// printed.
type identity struct {
	authzid string // whom to act for; empty: the user
	user    string // whose secret it is, or whom the token is to open
	secret  string // password or access token
	host    string // OAUTHBEARER names host and port (RFC 7628 section 3.1)
	port    int
}

// mechanism describes one value of the field `auth`.
type mechanism struct {
	name   string // in the server's list; empty: a command of the protocol
	client func(identity) (sasl.Client, error)
	hashed bool // the password itself is not sent
}

// mechanisms lists every value of `auth` that logs in by SASL.
var mechanisms = map[mail.AuthMethod]mechanism{
	mail.AuthPlain:       {name: "PLAIN", client: newPlain},
	mail.AuthSASLLogin:   {name: "LOGIN", client: newLogin},
	mail.AuthCRAMMD5:     {name: "CRAM-MD5", client: newCRAMMD5, hashed: true},
	mail.AuthSCRAMSHA1:   {name: "SCRAM-SHA-1", client: newSCRAMSHA1, hashed: true},
	mail.AuthSCRAMSHA256: {name: "SCRAM-SHA-256", client: newSCRAMSHA256, hashed: true},
	mail.AuthXOAuth2:     {name: "XOAUTH2", client: newXOAuth2},
	mail.AuthOAuthBearer: {name: "OAUTHBEARER", client: newOAuthBearer},
	mail.AuthExternal:    {name: "EXTERNAL", client: newExternal},
}

// readSecret reads the password or fetches the token that the login of c needs. It is
// called before the server is dialled, so that no connection is opened if it fails.
// fresh is passed to the TokenSource. The secret is empty if the method needs none.
// Errors are *fault with the reason local_secret, token_unavailable or token_rejected.
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
	secret, err := c.Password.Read(ctx)
	if err != nil {
		return mail.Secret{}, &fault{reason: secretReason(err), err: fmt.Errorf("password: %w", err)}
	}
	return secret, nil
}

// secretReason returns the reason of a secret that cannot be read: this process has no
// file descriptors left, or the file itself is wrong.
func secretReason(err error) mail.Reason {
	if reason := errnoReason(err); reason == mail.LocalResources {
		return reason
	}
	return mail.LocalSecret
}

// tokenReason returns the reason of a token source's error.
func tokenReason(err error) mail.Reason {
	switch {
	case errors.Is(err, mail.ErrTokenRejected):
		return mail.TokenRejected
	case errors.Is(err, mail.ErrTokenSecret):
		return secretReason(err)
	}
	return mail.TokenUnavailable
}

// checkToken returns an error if a token holds anything but visible ASCII: it would
// break the message that the token is sent in. RFC 6750 section 2.1 allows even fewer
// characters.
func checkToken(token mail.Secret) error {
	if token.IsZero() {
		return fmt.Errorf("%w: the token is empty", mail.ErrTokenSecret)
	}
	if !mail.Visible(token.Reveal()) {
		return fmt.Errorf("%w: the token contains a character that is not allowed in a token", mail.ErrTokenSecret)
	}
	return nil
}

// login is the result of a login.
type login struct {
	// method is the method used; empty exactly if no login was begun.
	method mail.AuthMethod
	// sent reports that a user name or a secret was sent.
	sent bool
}

// authenticate logs in once. If the server refuses a mechanism before any part of a
// credential was sent, `auto` tries the next one that it may use; once a credential was
// sent, it never tries another. Errors are *fault where the reason is known here,
// *refusal where the server refused, otherwise the error of the wire.
func authenticate(c *mail.Connection, secret mail.Secret, encrypted bool, a authenticator) (login, error) {
	offered := a.offer()
	methods, err := chooseMechanisms(c, offered, encrypted)
	if err != nil || len(methods) == 0 {
		return login{}, err
	}
	id, err := reveal(c, secret, encrypted)
	if err != nil {
		return login{}, err
	}
	var done login
	for _, method := range methods {
		if done, err = logIn(c, method, id, offered, a); !isRefusedUnsent(err) {
			return done, withMechanisms(err, c, offered, method)
		}
	}
	return done, &fault{reason: reasonOf(err), hint: refusedUnsentHint(c, offered, methods), err: err}
}

// logIn logs in with one method.
func logIn(c *mail.Connection, method mail.AuthMethod, id identity, offered offer, a authenticator) (login, error) {
	switch {
	case method == mail.AuthAPOP:
		return login{method, true}, a.apop(id.user, apopDigest(offered.apop, id.secret))
	case isNative(c.Protocol, method):
		return login{method, true}, a.native(id.user, id.secret)
	}
	x, err := newExchange(method, id)
	if err != nil {
		return login{}, err
	}
	err = x.run(a)
	return login{method, x.sent}, err
}

// isRefusedUnsent reports whether err is the refusal of a mechanism before any part of
// a credential was sent.
func isRefusedUnsent(err error) bool {
	var no *refusal
	return errors.As(err, &no) && no.login.unsent && (no.reason == mail.AuthMechanism || no.reason == mail.AuthMethodForbidden)
}

// reasonOf returns the reason of a refusal.
func reasonOf(err error) mail.Reason { return classify(mail.PhaseAuth, nil, err).reason }

// refusedUnsentHint is the advice if the server refused every method before a name or a
// password was sent.
func refusedUnsentHint(c *mail.Connection, o offer, tried []mail.AuthMethod) string {
	what := "The server offers " + joinMethods(tried) + " and refused it before a user name or password was sent"
	others := otherMechanisms(c, o, tried)
	if others == "" {
		return what + ": look at the server's log, and at what it allows from this machine's address."
	}
	return what + others
}

// withMechanisms adds to the refusal of a mechanism what else the server offers. A name or
// a password was sent, so that this probe tries nothing else.
func withMechanisms(err error, c *mail.Connection, o offer, tried mail.AuthMethod) error {
	if no, ok := errors.AsType[*refusal](err); ok && no.reason == mail.AuthMechanism && no.hint == "" {
		if others := otherMechanisms(c, o, []mail.AuthMethod{tried}); others != "" {
			no.hint = "The server offers " + string(tried) + " and does not take it" + others
		}
	}
	return err
}

// otherMechanisms proposes what the server offers and was not tried; empty: nothing.
func otherMechanisms(c *mail.Connection, o offer, tried []mail.AuthMethod) string {
	rest := slices.DeleteFunc(offeredMethods(c.Protocol, o), func(m mail.AuthMethod) bool {
		same := func(t mail.AuthMethod) bool {
			return t == m || mechanismOf(t).name == mechanismOf(m).name && !isNative(c.Protocol, t)
		}
		return slices.ContainsFunc(tried, same) || m.UsesToken() || m == mail.AuthExternal
	})
	if len(rest) == 0 {
		return ""
	}
	what := ": set `auth: " + strings.Join(methodWords(rest), "` or `auth: ") + "`"
	if c.Auth != mail.AuthAuto {
		what += ", or let `auth: auto` choose"
	}
	return what + "."
}

// reveal is the only function that hands a password or a token to a mechanism. It does
// so only if TLS is established, or if the connection is configured without TLS (R18).
func reveal(c *mail.Connection, secret mail.Secret, encrypted bool) (identity, error) {
	if !encrypted && c.Encryption != mail.NoEncryption {
		return identity{}, &fault{reason: mail.LocalBug, err: errors.New("login withheld: TLS is not up")}
	}
	id := identity{user: c.LoginName(), secret: secret.Reveal(), host: c.Host, port: c.EffectivePort()}
	if c.SharedMailbox != "" && c.SharedMailboxAccess == mail.SharedAuthzID {
		id.authzid = c.SharedMailbox
	}
	return id, nil
}

// chooseMechanisms returns the methods that this login may use, best first, as
// docs/authentication.md describes; none with `auth: none`. It returns an error before
// anything is sent.
func chooseMechanisms(c *mail.Connection, o offer, encrypted bool) ([]mail.AuthMethod, error) {
	if c.Auth == mail.AuthNone {
		return nil, nil
	}
	candidates := []mail.AuthMethod{c.Auth}
	if c.Auth == mail.AuthAuto {
		candidates = autoOrder(c, encrypted)
	}
	var chosen, forbidden []mail.AuthMethod
	for _, method := range candidates {
		if err := suits(c, method); err != nil {
			return nil, err
		}
		switch {
		case !offers(c.Protocol, o, method):
		case fips140.Enforced() && fipsForbidden[method]:
			forbidden = append(forbidden, method)
		default:
			chosen = append(chosen, method)
		}
	}
	if len(chosen) > 0 {
		return chosen, nil
	}
	if len(forbidden) > 0 {
		return nil, forbiddenByFIPS(forbidden...)
	}
	if needsTLS(c, o, candidates, encrypted) {
		return nil, &fault{reason: mail.AuthNeedsTLS, err: errors.New("the server allows no login before TLS")}
	}
	return nil, &fault{
		reason: mail.AuthMechanism,
		hint:   missingHint(c, o),
		err:    fmt.Errorf("%s: not offered by server", joinMethods(candidates)),
	}
}

// fipsForbidden lists the methods that need MD5 or SHA-1, which FIPS 140-only mode
// forbids (GODEBUG=fips140=only).
var fipsForbidden = map[mail.AuthMethod]bool{mail.AuthCRAMMD5: true, mail.AuthAPOP: true, mail.AuthSCRAMSHA1: true}

// forbiddenByFIPS returns the fault of methods that FIPS 140-only mode forbids.
func forbiddenByFIPS(methods ...mail.AuthMethod) *fault {
	return &fault{
		reason: mail.AuthMechanism,
		hint: "mailprobe runs in FIPS 140-only mode, which forbids " + joinMethods(methods) + " (MD5, SHA-1, short keys): " +
			"set `auth` to plain, login or scram-sha-256 under TLS, or run it without GODEBUG=fips140=only.",
		err: fmt.Errorf("%s: forbidden by FIPS 140-only mode", joinMethods(methods)),
	}
}

// needsTLS reports whether the server offers none of the candidates because there is no
// TLS, as IMAP's LOGINDISABLED says (RFC 9051 section 6.2.3). LOGINDISABLED concerns
// the command LOGIN only: if the server offers other methods under TLS, they can be
// configured.
func needsTLS(c *mail.Connection, o offer, candidates []mail.AuthMethod, encrypted bool) bool {
	if !o.needsTLS || !encrypted {
		return o.needsTLS
	}
	byPassword := slices.Contains(candidates, mail.AuthLogin) || slices.Contains(candidates, mail.AuthPlain)
	return byPassword && len(offeredMethods(c.Protocol, o)) == 0
}

// autoOrder returns the methods that `auto` looks for, best first. Under TLS the
// password is encrypted anyway, and PLAIN is the method that servers support best;
// without TLS, methods that do not send the password itself come first. Exchange
// accepts names of shared mailboxes by IMAP's LOGIN only.
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
		return slices.DeleteFunc(order, func(m mail.AuthMethod) bool { return !m.CanActForOthers() })
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

// suits reports whether the method can open the shared mailbox in the configured way.
func suits(c *mail.Connection, method mail.AuthMethod) error {
	if c.SharedMailbox == "" {
		return nil
	}
	if c.SharedMailboxAccess == mail.SharedAuthzID && !method.CanActForOthers() {
		return &fault{reason: mail.AuthMechanism,
			err: fmt.Errorf("%s: cannot act for a shared mailbox; plain can", method)}
	}
	if c.SharedMailboxAccess == mail.SharedTokenUser && !method.UsesToken() {
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

// mechanismOf returns the SASL mechanism of a method; zero for APOP and unknown words.
func mechanismOf(method mail.AuthMethod) mechanism {
	if method == mail.AuthLogin {
		method = mail.AuthSASLLogin // asked only where isNative says no
	}
	return mechanisms[method]
}

// missingHint returns the advice if the configured method is not offered. Exim and
// others offer EXTERNAL only if they trust the client's certificate.
func missingHint(c *mail.Connection, o offer) string {
	if c.Auth == mail.AuthExternal {
		return "Many servers offer EXTERNAL only to a client certificate they trust: make the server verify the one in tls_config. " + offeredHint(c.Protocol, o)
	}
	return offeredHint(c.Protocol, o)
}

// offeredHint names the offered methods by the configuration's words. It quotes nothing
// that the server sent.
func offeredHint(p mail.Protocol, o offer) string {
	known := offeredMethods(p, o)
	if len(known) == 0 {
		return "The server offers no login method that mailprobe supports; is this the port for clients, and is TLS on?"
	}
	return "The server offers " + joinMethods(known) + "; set `auth` to one that this account may use."
}

// offeredMethods lists what the server offers and mailprobe knows, sorted.
func offeredMethods(p mail.Protocol, o offer) []mail.AuthMethod {
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
	slices.Sort(known)
	return known
}

// joinMethods returns methods as a list in a sentence.
func joinMethods(methods []mail.AuthMethod) string { return strings.Join(methodWords(methods), ", ") }

func methodWords(methods []mail.AuthMethod) []string {
	words := make([]string, len(methods))
	for i, method := range methods {
		words[i] = string(method)
	}
	return words
}
