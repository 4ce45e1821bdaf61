package oauth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"mailprobe/mail"
)

// TestEndpointMisbehaves plays token endpoints over real HTTP. The word MARK is in every
// answer and must be in no error.
func TestEndpointMisbehaves(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request followed a redirect to another host")
	}))
	defer other.Close()
	reply := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const asJSON, asHTML = "application/json; charset=utf-8", "text/html"
	oauthError := func(code string) string {
		return fmt.Sprintf(`{"error":%q,"error_description":"MARK","error_uri":"http://MARK"}`, code)
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    error
		says    string // a part of the error
	}{
		{"invalid_grant", reply(400, asJSON, oauthError("invalid_grant")), mail.ErrTokenRejected, "invalid_grant"},
		{"invalid_client", reply(401, asJSON, oauthError("invalid_client")), mail.ErrTokenRejected, "invalid_client"},
		{"invalid_scope", reply(400, asJSON, oauthError("invalid_scope")), mail.ErrTokenRejected, "invalid_scope"},
		{"json called plain text", reply(400, "text/plain", oauthError("invalid_grant")), mail.ErrTokenRejected, "invalid_grant"},
		{"a form", reply(400, "application/x-www-form-urlencoded", "error=invalid_grant&x=MARK"), mail.ErrTokenRejected, "invalid_grant"},
		{"an error with status 200", reply(200, asJSON, oauthError("invalid_grant")), mail.ErrTokenRejected, "invalid_grant"},
		{"401 without an error code", reply(401, asHTML, "MARK"), mail.ErrTokenRejected, "401"},
		{"an unknown error code", reply(400, asJSON, oauthError("MARK")), mail.ErrTokenUnavailable, "400"},
		{"400 with HTML", reply(400, asHTML, "<html>MARK"), mail.ErrTokenUnavailable, "400"},
		{"403 of a firewall", reply(403, asHTML, "<html>MARK"), mail.ErrTokenUnavailable, "403"},
		{"404", reply(404, asHTML, "<html>MARK"), mail.ErrTokenUnavailable, "404"},
		{"429", reply(429, asJSON, oauthError("invalid_client")), mail.ErrTokenUnavailable, "429"},
		{"500", reply(500, asJSON, oauthError("invalid_grant")), mail.ErrTokenUnavailable, "500"},
		{"503 with HTML", reply(503, asHTML, "<html>MARK"), mail.ErrTokenUnavailable, "503"},
		{"200 with HTML", reply(200, asHTML, "<html>MARK"), mail.ErrTokenUnavailable, "no token"},
		{"200 with nothing", reply(200, asJSON, ""), mail.ErrTokenUnavailable, "no token"},
		{"200 without a token", reply(200, asJSON, `{"MARK":1}`), mail.ErrTokenUnavailable, "no token"},
		{"a MAC token", reply(200, asJSON, `{"access_token":"MARK","token_type":"mac"}`), mail.ErrTokenUnavailable, "Bearer"},
		{"a token that breaks the frame", reply(200, asJSON, `{"access_token":"MARK\u0001auth=x"}`), mail.ErrTokenUnavailable, "too long, or contains characters"},
		{"a token of 40 KiB", reply(200, asJSON, `{"access_token":"`+strings.Repeat("M", 40<<10)+`"}`), mail.ErrTokenUnavailable, "too long, or contains characters"},
		{"an endless body", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat("MARK", 1024))); err != nil {
					return
				}
			}
		}, mail.ErrTokenUnavailable, "64 KiB"},
		{"an endless error", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat("MARK", 1024))); err != nil {
					return
				}
			}
		}, mail.ErrTokenUnavailable, "64 KiB"},
		{"a header without end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asJSON)
			w.Header().Set("X-Mark", strings.Repeat("MARK", 64<<10))
			fmt.Fprint(w, bearer("MARK", 60).body)
		}, mail.ErrTokenUnavailable, ""},
		{"a redirect to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/MARK", http.StatusTemporaryRedirect)
		}, mail.ErrTokenUnavailable, "redirects"},
		{"a redirect for ever", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"MARK", http.StatusTemporaryRedirect)
		}, mail.ErrTokenUnavailable, "redirects"},
		{"a connection that breaks", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			mail.ErrTokenUnavailable, "broke"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			settings := clientSettings()
			settings.TokenURL = server.URL + "/token"
			source, err := New(settings)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := source(t.Context(), false)
			if !errors.Is(err, tt.want) || !secret.IsZero() {
				t.Fatalf("ended with %v, want %v", err, tt.want)
			}
			if text := err.Error(); !strings.Contains(text, tt.says) || strings.Contains(text, "MARK") || strings.Contains(text, "client-secret") {
				t.Errorf("error is %q, want %q in it and nothing of the endpoint", text, tt.says)
			}
		})
	}
}

func TestEndpointDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	settings := clientSettings()
	settings.TokenURL = "http://" + listener.Addr().String()
	source, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source(t.Context(), false); !errors.Is(err, mail.ErrTokenUnavailable) || !strings.Contains(err.Error(), "the connection failed") {
		t.Errorf("ended with %v, want it unavailable", err)
	}
}

func TestEndpointWithAnUntrustedCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	settings := clientSettings()
	settings.TokenURL = server.URL
	source, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source(t.Context(), false); !errors.Is(err, mail.ErrTokenUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("ended with %v, want the certificate named", err)
	}
}

func TestRedirectOnTheSameHostIsFollowed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/token" {
			http.Redirect(w, r, "/v2/token", http.StatusPermanentRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, bearer(r.PostFormValue("client_secret"), 60).body)
	}))
	defer server.Close()
	settings := clientSettings()
	settings.TokenURL = server.URL + "/token"
	source, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	wantToken(t, source, false, "client-secret")
}

// Some endpoints take the secret only in the header (RFC 6749 section 2.3.1).
func TestClientSecretInTheHeader(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if id, secret, ok := r.BasicAuth(); !ok || id != "id" || secret != url.QueryEscape("client-secret") {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		fmt.Fprint(w, bearer("one", 1).body)
	}))
	defer server.Close()
	settings := clientSettings()
	settings.TokenURL = server.URL
	e := newEndpoint(settings, nil)
	with, err := e.credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int32{2, 3} { // found out once, then remembered
		if _, err := e.fetch(with); err != nil || requests.Load() != want {
			t.Errorf("%d requests (%v), want %d", requests.Load(), err, want)
		}
	}
}
