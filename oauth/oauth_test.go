package oauth

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

func TestSettingsValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Settings)
		want   string // empty: valid
	}{
		{"client credentials", nil, ""},
		{"refresh token", func(s *Settings) { s.RefreshTokenFile = mail.FileSecret("x") }, ""},
		{"refresh token of a public client", func(s *Settings) { s.ClientSecret, s.RefreshTokenFile = mail.SecretSource{}, mail.FileSecret("x") }, ""},
		{"access token file", func(s *Settings) { *s = Settings{AccessTokenFile: mail.FileSecret("x")} }, ""},
		{"http on this machine", func(s *Settings) { s.TokenURL = "http://localhost:8080/token" }, ""},
		{"http on 127.0.0.1", func(s *Settings) { s.TokenURL = "http://127.0.0.1:8080/token" }, ""},
		{"http on ::1", func(s *Settings) { s.TokenURL = "http://[::1]:8080/token" }, ""},
		{"http across the network", func(s *Settings) { s.TokenURL = "http://login.example.org/token" }, "token_url: must be https: the client"},
		{"a host that only begins like localhost", func(s *Settings) { s.TokenURL = "http://localhost.example.org/" }, "token_url: must be https"},
		{"ftp", func(s *Settings) { s.TokenURL = "ftp://login.example.org/token" }, "token_url: must be https"},
		{"no host", func(s *Settings) { s.TokenURL = "https:///token" }, "token_url: is not a URL"},
		{"no URL", func(s *Settings) { s.TokenURL = "login.example.org" }, "token_url: is not a URL"},
		{"a password in the URL", func(s *Settings) { s.TokenURL = "https://u:hunter2@login.example.org/" }, "token_url: must not contain a user"},
		{"a fragment", func(s *Settings) { s.TokenURL = "https://login.example.org/#x" }, "token_url: must not have a fragment"},
		{"no token_url", func(s *Settings) { s.TokenURL = "" }, "token_url: is missing"},
		{"no client_id", func(s *Settings) { s.ClientID = "" }, "client_id: is missing"},
		{"no secret at all", func(s *Settings) { s.ClientSecret = mail.SecretSource{} }, "client_secret: is missing"},
		{"two scopes in one", func(s *Settings) { s.Scopes = []string{"a b"} }, "scopes: one entry"},
		{"an endpoint and an access token file", func(s *Settings) { s.AccessTokenFile = mail.FileSecret("x") }, "access_token_file: cannot be combined with another field"},
		{"nothing", func(s *Settings) { *s = Settings{} }, "client_id: is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			settings := clientSettings()
			if tt.change != nil {
				tt.change(&settings)
			}
			source, err := New(settings)
			if tt.want == "" && (err != nil || source == nil) {
				t.Errorf("%v, want a source", err)
			}
			if tt.want != "" && (err == nil || source != nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestConnectionsWithEqualSettingsShareASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{answers: []answer{bearer("one", 3600)}}
		sources := &Sources{Options: []Option{WithTransport(endpoint)}}
		for range 50 {
			source, err := sources.Source(clientSettings())
			if err != nil {
				t.Fatal(err)
			}
			wantToken(t, source, false, "one")
		}
		if endpoint.count() != 1 {
			t.Errorf("50 connections made %d requests, want 1", endpoint.count())
		}
		other := clientSettings()
		other.Scopes = []string{"three"}
		source, err := sources.Source(other)
		if err != nil {
			t.Fatal(err)
		}
		wantToken(t, source, false, "one")
		if endpoint.count() != 2 {
			t.Errorf("another scope made %d requests in all, want 2", endpoint.count())
		}
		if _, err := sources.Source(Settings{}); err == nil {
			t.Error("empty settings gave a source")
		}
	})
}

// A reload must not lose a refresh token that exists only in memory, and must drop sources
// that no connection uses any more.
func TestReloadKeepsRotatedRefreshTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir() + "/refresh"
		write(t, path, "secret-first")
		settings := clientSettings()
		settings.RefreshTokenFile = mail.FileSecret(path)
		endpoint := &script{answers: []answer{rotating("one", "secret-second"), bearer("two", 3600)}}
		sources := (&Sources{Options: []Option{WithTransport(endpoint)}}).Next()
		ask := func(set *Sources, fresh bool, want string) {
			t.Helper()
			source, err := set.Source(settings)
			if err != nil {
				t.Fatal(err)
			}
			wantToken(t, source, fresh, want)
		}
		ask(sources, false, "one")
		sources.Next() // a load that failed
		sources = sources.Next()
		ask(sources, false, "one")
		time.Sleep(2 * time.Minute)
		ask(sources, true, "two")
		if got := endpoint.asked[1].Get("refresh_token"); got != "secret-second" {
			t.Errorf("after the reload %q was used, want the rotated token", got)
		}
		if kept := sources.Next().Next(); len(kept.previous) != 0 {
			t.Errorf("%d sources kept that no connection uses", len(kept.previous))
		}
		if (*Sources)(nil).Next() == nil {
			t.Error("a nil set has no next")
		}
	})
}
