package prober_test

// Whole probes that log in with OAuth 2: a token endpoint, the sources of
// package oauth, the prober, and mail servers, of which some are real.

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/realserver"
	"mailprobe/mail"
	"mailprobe/oauth"
	"mailprobe/prober"
)

// clientOf are a client's settings at an endpoint.
func clientOf(endpoint string) oauth.Settings {
	return oauth.Settings{TokenURL: endpoint, ClientID: "monitor", Scopes: []string{"mail"},
		ClientSecret: mail.InlineSecret(mail.NewSecret("secret-of-the-client"))}
}

// byToken logs in with tokens of a source.
func byToken(t *testing.T, method mail.AuthMethod, settings oauth.Settings) func(*mail.Connection) {
	t.Helper()
	source, err := oauth.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *mail.Connection) {
		c.Password, c.Auth, c.Token = mail.SecretSource{}, method, source
	}
}

func tokenServer(t *testing.T) *mailtest.TokenServer {
	t.Helper()
	endpoint, err := mailtest.StartTokenServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = endpoint.Close() })
	return endpoint
}

// tokenMail is a mail server that takes tokens of users, and a connection to it.
func tokenMail(t *testing.T, p mail.Protocol, tokens map[string][]string) (*mailtest.Server, *mail.Connection) {
	t.Helper()
	server, err := mailtest.Start(mailtest.Options{Protocol: string(p), Encryption: mailtest.NoEncryption, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	host, port, _ := net.SplitHostPort(server.Addr)
	number, _ := strconv.Atoi(port)
	return server, &mail.Connection{Name: "token", Protocol: p, Encryption: mail.NoEncryption, Host: host, Port: number,
		Username: "alice", Interval: time.Minute, Timeout: 20 * time.Second, Lockout: mail.LockoutNormal}
}

// TestOAuthOnRealServers: client credentials at the endpoint, the token at
// Dovecot and Postfix, which ask a validator of their own about it.
func TestOAuthOnRealServers(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{})
	for _, method := range []mail.AuthMethod{mail.AuthXOAuth2, mail.AuthOAuthBearer} {
		for _, p := range mail.Protocols() {
			t.Run(string(method)+"_"+string(p), func(t *testing.T) {
				endpoint := tokenServer(t)
				servers.dovecot.Tokens.Grant("token-1", realserver.Alice)
				c := servers.connection(p, mail.ImplicitTLS, byToken(t, method, clientOf(endpoint.URL)))
				wantUp(t, probe(t, c))
				wantUp(t, probe(t, c))
				if n := endpoint.Requests(); n != 1 {
					t.Errorf("%d tokens fetched for two probes, want 1", n)
				}
				if form := endpoint.Forms()[0]; form.Get("grant_type") != "client_credentials" || form.Get("scope") != "mail" {
					t.Errorf("asked with %v", form)
				}
				servers.dovecot.Tokens.Revoke("token-1")
				o := probe(t, c)
				wantDown(t, o, mail.PhaseAuth, mail.TokenRejected)
				if !o.Auth.Sent || !o.Auth.Rejected {
					t.Errorf("login %+v, want it sent and refused", o.Auth)
				}
			})
		}
	}
}

// TestOAuthTokenExpires: the next probe has the next token, and one probe asks
// for a new one at most once (fault 116).
func TestOAuthTokenExpires(t *testing.T) {
	t.Parallel()
	endpoint := tokenServer(t)
	endpoint.Expires(4 * time.Second)
	server, c := tokenMail(t, mail.IMAP, map[string][]string{"token-2": {"alice"}})
	byToken(t, mail.AuthXOAuth2, clientOf(endpoint.URL))(c)
	var asked []bool // by one probe: whether for a fresh one
	source := c.Token
	c.Token = func(ctx context.Context, fresh bool) (mail.Secret, error) {
		asked = append(asked, fresh)
		return source(ctx, fresh)
	}
	wantDown(t, probe(t, c), mail.PhaseAuth, mail.TokenRejected)
	if fmt.Sprint(asked) != "[false true]" || len(server.Logins()) != 1 {
		t.Errorf("a probe asked for tokens %v and logged in %d times; want one login, and one fresh token after it", asked, len(server.Logins()))
	}
	time.Sleep(4100 * time.Millisecond) // expires_in counts whole seconds of the wall clock
	asked = nil
	wantUp(t, probe(t, c))
	if fmt.Sprint(asked) != "[false]" || len(server.Logins()) != 2 || endpoint.Requests() != 2 {
		t.Errorf("asked %v, %d logins, %d requests; want [false], 2 and 2", asked, len(server.Logins()), endpoint.Requests())
	}
}

// TestOAuthRefreshTokenRotates: each answer brings the refresh token of the next
// request; the file stays as it is.
func TestOAuthRefreshTokenRotates(t *testing.T) {
	t.Parallel()
	endpoint := tokenServer(t)
	endpoint.Rotate()
	endpoint.Expires(time.Second)
	path := filepath.Join(t.TempDir(), "refresh")
	if err := os.WriteFile(path, []byte("refresh-0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := clientOf(endpoint.URL)
	settings.RefreshTokenFile = mail.FileSecret(path)
	_, c := tokenMail(t, mail.SMTP, map[string][]string{"token-1": {"alice"}, "token-2": {"alice"}, "token-3": {"alice"}})
	byToken(t, mail.AuthOAuthBearer, settings)(c)
	for i := range 3 {
		if i > 0 {
			time.Sleep(1100 * time.Millisecond) // until the token has expired, by the wall clock
		}
		wantUp(t, probe(t, c))
		if form := endpoint.Forms()[i]; form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != fmt.Sprint("refresh-", i) {
			t.Errorf("request %d was %v", i+1, form)
		}
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "refresh-0\n" {
		t.Errorf("the file holds %q (%v)", raw, err)
	}
}

// TestOAuthAccessTokenFile: another program renews it; each probe reads it.
func TestOAuthAccessTokenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	server, c := tokenMail(t, mail.POP3, map[string][]string{"first": {"alice"}, "second": {"alice"}})
	byToken(t, mail.AuthXOAuth2, oauth.Settings{AccessTokenFile: mail.FileSecret(path)})(c)
	o := probe(t, c)
	wantDown(t, o, mail.PhaseAuth, mail.LocalSecret)
	if len(server.Commands()) != 0 || o.Address != "" {
		t.Error("a connection was opened without a token")
	}
	for _, token := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantUp(t, probe(t, c))
		if logins := server.Logins(); logins[len(logins)-1].Secret != token {
			t.Errorf("logged in with %q, want %q", logins[len(logins)-1].Secret, token)
		}
	}
}

// TestOAuthFetchesOnceForAll: 50 connections of one tenant begin together
// (fault 117).
func TestOAuthFetchesOnceForAll(t *testing.T) {
	t.Parallel()
	endpoint := tokenServer(t)
	endpoint.Delay = 300 * time.Millisecond
	endpoint.Answer(mailtest.TokenSlow)
	var users []string
	for i := range 50 {
		users = append(users, fmt.Sprint("user-", i))
	}
	server, c := tokenMail(t, mail.IMAP, map[string][]string{"token-1": users})
	byToken(t, mail.AuthXOAuth2, clientOf(endpoint.URL))(c)
	var probes sync.WaitGroup
	for _, user := range users {
		one := *c
		one.Name, one.Username = user, user
		probes.Go(func() {
			if o := new(prober.Prober).Probe(t.Context(), &one); !o.Up() {
				t.Errorf("%s: %s", user, story(o))
			}
		})
	}
	probes.Wait()
	if n := endpoint.Requests(); n != 1 || len(server.Logins()) != 50 {
		t.Errorf("%d requests for a token, %d logins; want 1 and 50", n, len(server.Logins()))
	}
}

// TestOAuthEndpointFaults plays endpoints that give no token. The probe ends
// before a connection is opened, nothing of the answer is told, and the endpoint
// is not asked again at once (rows 114 and 115 of the catalogue).
func TestOAuthEndpointFaults(t *testing.T) {
	t.Parallel()
	const unavailable, rejected = mail.TokenUnavailable, mail.TokenRejected
	canary := "cn" + rand.Text()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect to another host was followed")
	}))
	defer elsewhere.Close()
	says := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("WWW-Authenticate", canary)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const asJSON = "application/json"
	for _, test := range []struct {
		story  string
		answer http.HandlerFunc
		want   mail.Reason
		asked  int32 // times, for a client that may have to prove itself otherwise
	}{
		{"invalid_grant", says(400, asJSON, `{"error":"invalid_grant","error_description":"`+canary+`","error_uri":"https://`+canary+`"}`), rejected, 1},
		{"invalid_client", says(401, asJSON, `{"error":"invalid_client","error_description":"`+canary+`"}`), rejected, 2},
		{"401 without a word", says(401, "text/plain", canary), rejected, 2},
		{"an error code of its own", says(400, asJSON, `{"error":"`+canary+`"}`), unavailable, 1},
		{"403", says(403, "text/html", canary), unavailable, 1},
		{"404", says(404, "text/html", canary), unavailable, 1},
		{"429", says(429, asJSON, `{"error":"`+canary+`"}`), unavailable, 1},
		{"500", says(500, "text/html", "<html>"+canary), unavailable, 1},
		{"503", says(503, asJSON, `{"error":"temporarily_unavailable","error_description":"`+canary+`"}`), unavailable, 1},
		{"a page to sign in", says(200, "text/html", "<html>"+canary), unavailable, 1},
		{"half an object", says(200, asJSON, `{"access_token":"`+canary), unavailable, 1},
		{"no token", says(200, asJSON, `{"error_description":"`+canary+`"}`), unavailable, 1},
		{"a token of another type", says(200, asJSON, `{"token_type":"`+canary+`","access_token":"`+canary+`"}`), unavailable, 1},
		{"a token with a line break", says(200, asJSON, `{"access_token":"`+canary+`\r\nX: y"}`), unavailable, 1},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, strings.Repeat(canary, 100)); err != nil {
					return
				}
			}
		}, unavailable, 1},
		{"redirect to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/"+canary, http.StatusTemporaryRedirect)
		}, unavailable, 1},
		{"redirect in a circle", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/"+canary, http.StatusTemporaryRedirect)
		}, unavailable, 4},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, unavailable, 1},
	} {
		t.Run(test.story, func(t *testing.T) {
			var asked atomic.Int32
			endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				test.answer(w, r)
			}))
			defer endpoint.Close()
			server, c := tokenMail(t, mail.IMAP, map[string][]string{})
			byToken(t, mail.AuthXOAuth2, clientOf(endpoint.URL))(c)
			for range 3 {
				wantNoToken(t, c, server, test.want, canary)
			}
			if n := asked.Load(); n != test.asked {
				t.Errorf("%d requests for three probes, want %d", n, test.asked)
			}
		})
	}
}

// wantNoToken demands a probe that ended for want of a token.
func wantNoToken(t *testing.T, c *mail.Connection, server *mailtest.Server, want mail.Reason, canary string) {
	t.Helper()
	o := new(prober.Prober).Probe(t.Context(), c)
	wantDown(t, o, mail.PhaseAuth, want)
	if o.Auth.Sent || o.Auth.Rejected || o.Address != "" || len(server.Commands()) != 0 {
		t.Errorf("login %+v at %q, the server heard %q; want nothing", o.Auth, o.Address, server.Commands())
	}
	for _, shown := range []string{canary, strings.ToLower(canary), "secret-of-the-client"} {
		if text := story(o) + fmt.Sprintf("%+v", o); strings.Contains(text, shown) {
			t.Errorf("%q is shown:\n%s", shown, text)
		}
	}
}

// TestOAuthEndpointIsDown: the port is closed, or no answer comes within the probe's
// time (fault 114).
func TestOAuthEndpointIsDown(t *testing.T) {
	t.Parallel()
	for _, p := range mail.Protocols() {
		t.Run(string(p), func(t *testing.T) {
			endpoint := tokenServer(t)
			server, c := tokenMail(t, p, map[string][]string{})
			c.Timeout = 300 * time.Millisecond
			endpoint.Answer(mailtest.TokenSlow)
			byToken(t, mail.AuthOAuthBearer, clientOf(endpoint.URL))(c)
			wantNoToken(t, c, server, mail.TokenUnavailable, "no canary")
			_ = endpoint.Close()
			byToken(t, mail.AuthOAuthBearer, clientOf(endpoint.URL))(c)
			c.Timeout = 20 * time.Second
			wantNoToken(t, c, server, mail.TokenUnavailable, "no canary")
		})
	}
}
