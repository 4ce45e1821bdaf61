package mailtest

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func TestTokenServer(t *testing.T) {
	target, err := StartTokenServer()
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	tests := []struct {
		mode      TokenMode
		wantToken bool
		wantText  string // of the error
	}{
		{"", true, ""}, {TokenRedirect, true, ""},
		{TokenInvalidGrant, false, "invalid_grant"}, {TokenBadClient, false, "invalid_client"},
		{TokenServerError, false, "500"}, {TokenTooMany, false, "429"},
		{TokenHTML, false, "cannot"}, {TokenGarbage, false, "cannot parse json"},
		{TokenEmpty, false, "missing access_token"}, {TokenHangUp, false, "EOF"},
		{TokenSlow, false, "deadline"}, {TokenEndless, false, ""},
	}
	for _, test := range tests {
		t.Run("mode "+string(test.mode), func(t *testing.T) {
			server, err := StartTokenServer()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			server.Target = target.URL
			server.Answer(test.mode)
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 300 * time.Millisecond}
			if test.wantToken {
				client.Timeout = 10 * time.Second
			}
			ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
			config := clientcredentials.Config{ClientID: "me", ClientSecret: "pw", TokenURL: server.URL, AuthStyle: oauth2.AuthStyleInHeader}
			token, err := config.Token(ctx)
			if (err == nil) != test.wantToken || err != nil && !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(test.wantText)) {
				t.Fatalf("got %v, %v, want token %v, error %q", token, err, test.wantToken, test.wantText)
			}
			if server.Requests() < 1 || server.Forms()[0].Get("client_id") != "me" || server.Forms()[0].Get("client_secret") != "pw" {
				t.Errorf("requests: got %d, %v", server.Requests(), server.Forms())
			}
		})
	}
}

func TestTokenServerRotates(t *testing.T) {
	server, err := StartTokenServer()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.Rotate()
	server.Expires(time.Minute)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
	config := oauth2.Config{ClientID: "me", Endpoint: oauth2.Endpoint{TokenURL: server.URL, AuthStyle: oauth2.AuthStyleInParams}}
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: "refresh-0"}).Token()
	if err != nil {
		t.Fatal(err)
	}
	if token.AccessToken != "token-1" || token.RefreshToken != "refresh-1" || time.Until(token.Expiry) > time.Minute {
		t.Errorf("got %+v", token)
	}
	if got := server.Forms()[0].Get("refresh_token"); got != "refresh-0" {
		t.Errorf("refresh token sent: got %q", got)
	}
}

func TestTokenServerClosesSlowAnswers(t *testing.T) {
	server, err := StartTokenServer()
	if err != nil {
		t.Fatal(err)
	}
	server.Answer(TokenSlow)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	failed := make(chan error)
	go func() {
		response, err := (&http.Client{Transport: transport}).PostForm(server.URL, url.Values{})
		if err == nil {
			err = response.Body.Close()
		}
		failed <- err
	}()
	for server.Requests() == 0 { // a counter: no event to wait for
		time.Sleep(time.Millisecond)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	<-failed
}
