package mailtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// TokenMode says how the token endpoint answers; empty: with a valid token.
type TokenMode string

// The modes of a token endpoint.
const (
	TokenSlow         TokenMode = "slow" // a valid token, after TokenServer.Delay
	TokenInvalidGrant TokenMode = "invalid_grant"
	TokenBadClient    TokenMode = "invalid_client"
	TokenServerError  TokenMode = "server_error"
	TokenTooMany      TokenMode = "too_many"
	TokenHTML         TokenMode = "html"
	TokenGarbage      TokenMode = "garbage" // content type JSON, body not JSON
	TokenEmpty        TokenMode = "empty"   // JSON without a token
	TokenEndless      TokenMode = "endless"
	TokenRedirect     TokenMode = "redirect" // to TokenServer.Target
	TokenHangUp       TokenMode = "hang_up"
)

// TokenServer is an OAuth2 token endpoint on loopback, over plain HTTP. Close
// ends it. Its tokens are token-1, token-2 and so on.
type TokenServer struct {
	URL    string
	Target string        // where TokenRedirect leads; set before use
	Delay  time.Duration // of TokenSlow; 0: until Close; set before use

	server  *http.Server
	closed  chan struct{}
	once    sync.Once
	running sync.WaitGroup

	mu      sync.Mutex
	mode    TokenMode
	expires time.Duration
	rotate  bool
	forms   []url.Values
	issued  int
}

// StartTokenServer runs an endpoint until Close. It fails if it cannot listen.
func StartTokenServer() (*TokenServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &TokenServer{URL: "http://" + listener.Addr().String() + "/token",
		closed: make(chan struct{}), expires: time.Hour}
	t.server = &http.Server{Handler: http.HandlerFunc(t.serve), ReadHeaderTimeout: 10 * time.Second}
	t.running.Go(func() { _ = t.server.Serve(listener) })
	return t, nil
}

// Answer sets the mode of the answers from now on.
func (t *TokenServer) Answer(mode TokenMode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mode = mode
}

// Expires sets the life of the tokens from now on, an hour at first.
func (t *TokenServer) Expires(life time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expires = life
}

// Rotate makes the endpoint return a new refresh token with each token from now on:
// refresh-1, refresh-2 and so on.
func (t *TokenServer) Rotate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rotate = true
}

// Requests is the number of requests so far.
func (t *TokenServer) Requests() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.forms)
}

// Forms returns the forms of the requests so far. Client credentials from the header are
// added as client_id and client_secret.
func (t *TokenServer) Forms() []url.Values {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.forms)
}

// Close ends the endpoint and all its answers, and waits for them.
func (t *TokenServer) Close() error {
	t.once.Do(func() { close(t.closed) })
	err := t.server.Close()
	t.running.Wait()
	return err
}

func (t *TokenServer) serve(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	if id, secret, ok := r.BasicAuth(); ok {
		r.Form.Set("client_id", id)
		r.Form.Set("client_secret", secret)
	}
	t.mu.Lock()
	t.forms = append(t.forms, r.Form)
	mode := t.mode
	t.mu.Unlock()
	answers := map[TokenMode]func(http.ResponseWriter, *http.Request){
		"":                t.good,
		TokenSlow:         t.slow,
		TokenInvalidGrant: fixed(http.StatusBadRequest, "application/json", `{"error":"invalid_grant","error_description":"the grant is gone"}`),
		TokenBadClient:    fixed(http.StatusUnauthorized, "application/json", `{"error":"invalid_client"}`),
		TokenServerError:  fixed(http.StatusInternalServerError, "text/plain", "down"),
		TokenTooMany:      fixed(http.StatusTooManyRequests, "text/plain", "slowly"),
		TokenHTML:         fixed(http.StatusOK, "text/html", "<html><title>Sign in</title></html>"),
		TokenGarbage:      fixed(http.StatusOK, "application/json", `{"access_token":`),
		TokenEmpty:        fixed(http.StatusOK, "application/json", `{"token_type":"Bearer"}`),
		TokenEndless:      t.endless,
		TokenRedirect: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, t.Target, http.StatusTemporaryRedirect)
		},
		TokenHangUp: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	answers[mode](w, r)
}

// good issues a token.
func (t *TokenServer) good(w http.ResponseWriter, _ *http.Request) {
	t.mu.Lock()
	t.issued++
	body := fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":%d`, t.issued, int(t.expires.Seconds()))
	if t.rotate {
		body += fmt.Sprintf(`,"refresh_token":"refresh-%d"`, t.issued)
	}
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body+"}")
}

func (t *TokenServer) slow(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if t.Delay > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.Delay)
		defer cancel()
	}
	select {
	case <-ctx.Done():
		t.good(w, r)
	case <-t.closed:
	}
}

func (t *TokenServer) endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	noise := make([]byte, 32<<10)
	for i := range noise {
		noise[i] = ' '
	}
	for r.Context().Err() == nil {
		if _, err := w.Write(noise); err != nil {
			return
		}
	}
}

func fixed(status int, kind, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}
