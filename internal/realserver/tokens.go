package realserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Tokens answers Dovecot whether an OAuth2 access token is valid, and for which user.
type Tokens struct {
	server *httptest.Server

	mu    sync.Mutex
	users map[string]string // token to user, guarded by mu
}

// newTokens starts a validator that knows no token.
func newTokens(t testing.TB) *Tokens {
	t.Helper()
	k := &Tokens{users: make(map[string]string)}
	k.server = httptest.NewServer(http.HandlerFunc(k.serve))
	t.Cleanup(k.server.Close)
	return k
}

// Grant makes a token valid for a user.
func (k *Tokens) Grant(token, user string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users[token] = user
}

// Revoke makes a token invalid.
func (k *Tokens) Revoke(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.users, token)
}

// serve answers Dovecot's question; the token is the query's value.
func (k *Tokens) serve(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	user, good := k.users[r.URL.Query().Get("token")]
	k.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if !good {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_token"}`))
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"email": user, "active": true})
}

// dovecot is the configuration of Dovecot's oauth2 passdb.
func (k *Tokens) dovecot() string {
	return fmt.Sprintf(`tokeninfo_url = %s/tokeninfo?token=
introspection_mode = auth
username_attribute = email
timeout_msecs = 5000
`, k.server.URL)
}
