package prober

// This file lets the connection fail at each of its calls in turn, in the way
// SQLite tests its memory: the first call fails, then the second, until a probe
// comes to its end without having met the failure.

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"mailprobe/internal/canary"
	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

// nthMethods are the ways to log in; what the server offers is exactly that.
var nthMethods = []struct {
	auth      mail.AuthMethod
	mechanism string
	only      mail.Protocol // empty: all
}{
	{mail.AuthNone, "PLAIN", ""},
	{mail.AuthLogin, "LOGIN", ""},
	{mail.AuthPlain, "PLAIN", ""},
	{mail.AuthSASLLogin, "LOGIN", ""},
	{mail.AuthCRAMMD5, "CRAM-MD5", ""},
	{mail.AuthSCRAMSHA1, "SCRAM-SHA-1", ""},
	{mail.AuthSCRAMSHA256, "SCRAM-SHA-256", ""},
	{mail.AuthXOAuth2, "XOAUTH2", ""},
	{mail.AuthOAuthBearer, "OAUTHBEARER", ""},
	{mail.AuthExternal, "EXTERNAL", ""}, // inside TLS alone
	{mail.AuthAPOP, "PLAIN", mail.POP3},
}

// maxCalls is more than any honest session needs.
const maxCalls = 200

// farewell is how many of the calls of a session may belong to its goodbye.
const farewell = 8

// Up to the login all sessions of a pair are the same, and so are they behind it. Those
// calls fail in the session without a login and in the first one with a login alone.
func TestProbeSurvivesTheFailureOfEachCall(t *testing.T) {
	fix := newFaultFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		t.Parallel()
		span := calls{first: 1, whole: true}
		for _, method := range nthMethods {
			if method.only != "" && method.only != p || method.auth == mail.AuthExternal && e == mail.NoEncryption {
				continue
			}
			t.Run(string(method.auth), func(t *testing.T) {
				server, c, secret := fix.nth(t, p, e, method.auth, method.mechanism)
				if method.auth == mail.AuthNone {
					span.first = max(1, failEachCall(t, server, c, canary.Of(secret), span)-farewell)
					return
				}
				mine := span
				span.whole = false
				t.Parallel()
				failEachCall(t, server, c, canary.Of(secret), mine)
			})
		}
	})
}

// nth is a server with one way to log in, and a connection that takes it.
func (fix *fixture) nth(t *testing.T, p mail.Protocol, e mail.Encryption, auth mail.AuthMethod, mechanism string) (server *mailtest.Server, c *mail.Connection, secret string) {
	t.Helper()
	secret = rand.Text()
	server = fix.server(t, p, e, func(o *mailtest.Options) {
		o.Users = map[string]string{"alice": secret}
		o.Tokens = map[string][]string{secret: {"alice"}}
		o.Mechanisms = []string{mechanism}
		if auth == mail.AuthExternal {
			o.ClientCAs = fix.ca.Pool()
		}
	})
	c = fix.connection(p, e, server.Addr, func(c *mail.Connection) {
		c.Auth, c.Password = auth, mail.InlineSecret(mail.NewSecret(secret))
		if auth == mail.AuthXOAuth2 || auth == mail.AuthOAuthBearer {
			c.Password = mail.SecretSource{}
			c.Token = func(context.Context, bool) (mail.Secret, error) { return mail.NewSecret(secret), nil }
		}
	})
	if auth == mail.AuthNone {
		c.Sender = "" // the server wants a login before MAIL
	}
	if auth == mail.AuthExternal {
		c.Password = mail.SecretSource{}
		c.TLS.Certificates = []tls.Certificate{fix.visitor("alice")}
	}
	return server, c, secret
}

// visitor is a client certificate that is valid inside a bubble.
func (fix *fixture) visitor(name string) tls.Certificate {
	return fix.ca.MustIssue(mailtest.CertOptions{CommonName: name, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: fix.cert.Leaf.NotBefore, NotAfter: fix.cert.Leaf.NotAfter})
}

// calls are those of a session that fail in turn.
type calls struct {
	first int
	whole bool // up to the end of the session, not only to that of the login
}

// failEachCall counts n up until no fault is met any more, or the login has ended, and
// returns that n. A first call that is behind the beginning of the login would leave
// calls out.
func failEachCall(t *testing.T, server *mailtest.Server, c *mail.Connection, leaks *canary.Set, span calls) int {
	defer (&faultRun{connection: c, leaks: leaks}).judgeConnection(t)
	for n := span.first; n < maxCalls; n++ {
		met, loggedIn := false, false
		for _, fault := range mailtest.Faults() {
			before := len(server.Verbs())
			synctest.Test(t, func(t *testing.T) {
				hit, accepted := failCall(t, server, c, leaks, n, fault)
				met = met || hit
				loggedIn = loggedIn || accepted && fault == mailtest.ResetFault
			})
			if n == span.first && fault == mailtest.ResetFault && slices.ContainsFunc(server.Verbs()[before:], isLogin) {
				t.Errorf("call %d is behind the beginning of the login", n)
			}
		}
		if !met || loggedIn && !span.whole {
			return n
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Errorf("no probe came to its end within %d calls", maxCalls)
	return maxCalls
}

// isLogin reports whether a command begins a login.
func isLogin(verb string) bool {
	return slices.Contains([]string{"LOGIN", "AUTHENTICATE", "AUTH", "PASS", "APOP"}, verb)
}

// failCall runs a probe whose n-th call has a fault, and reports whether it got
// that far, and whether the login was accepted.
func failCall(t *testing.T, server *mailtest.Server, c *mail.Connection, leaks *canary.Set, n int, fault mailtest.Fault) (hit, accepted bool) {
	before := len(server.Verbs())
	faulty := mailtest.FailNth(server.Pipe(), mailtest.AnyCall, n, fault)
	run := faultRun{fault: &faultCase{}, connection: c, leaks: leaks}
	run.probe(t.Context(), func(context.Context, []netip.Addr, int) (net.Conn, error) { return faulty, nil })
	synctest.Wait()
	o, where := run.outcome, fmt.Sprintf("call %d, %s", n, fault)
	if f := o.Failure; f != nil && (f.Reason == mail.LocalBug || !slices.Contains(mail.Reasons(), f.Reason) || !slices.Contains(mail.Phases(), f.Phase)) {
		t.Errorf("%s: %s at %s:\n%s", where, f.Reason, f.Phase, explain(o))
	}
	if !faulty.Hit() && (!o.Up() || o.Goodbye != "") {
		t.Errorf("%s, not met: goodbye %q\n%s", where, o.Goodbye, explain(o))
	}
	if run.took > c.Timeout+slack {
		t.Errorf("%s: took %v", where, run.took)
	}
	logins := 0
	for _, verb := range server.Verbs()[before:] {
		if isLogin(verb) {
			logins++
		}
	}
	if logins > 1 {
		t.Errorf("%s: %d logins", where, logins)
	}
	run.judgeSecrecy(t)
	return faulty.Hit(), o.Auth.Accepted
}
