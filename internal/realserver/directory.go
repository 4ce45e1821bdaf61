package realserver

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
)

// ClosedPort is a port of Host where no program listens: tcpmux, which no Debian package
// serves and which is far from the ports that tests use. NoDirectory is its URL.
const (
	ClosedPort  = 1
	NoDirectory = "http://" + Host + ":1/"
)

// Directory answers nginx whether a login is right and which server it belongs to
// (ngx_mail_auth_http_module). It knows the users of this package.
type Directory struct {
	URL string

	mu       sync.Mutex
	backends map[string]int // protocol to port on Host, guarded by mu
	trusting bool           // guarded by mu
}

// NewDirectory starts a directory that sends each protocol to its port.
func NewDirectory(t testing.TB, backends map[string]int) *Directory {
	t.Helper()
	d := &Directory{backends: backends}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.URL = server.URL
	return d
}

// Trust makes the directory accept every password; the server behind nginx checks it.
func (d *Directory) Trust() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trusting = true
}

// ServeHTTP answers nginx's question, which is in the headers, percent-encoded.
func (d *Directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, _ := url.PathUnescape(r.Header.Get("Auth-User"))
	password, _ := url.PathUnescape(r.Header.Get("Auth-Pass"))
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.trusting && password != Password(user) {
		w.Header().Set("Auth-Status", "Invalid login or password")
		return
	}
	w.Header().Set("Auth-Status", "OK")
	w.Header().Set("Auth-Server", Host)
	w.Header().Set("Auth-Port", strconv.Itoa(d.backends[r.Header.Get("Auth-Protocol")]))
}
