package realserver

import (
	_ "embed"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"text/template"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

// ClosedPort is a port of Host where nobody listens, tcpmux: nobody has it, and
// it is far from the ports that tests take. NoDirectory is there.
const (
	ClosedPort  = 1
	NoDirectory = "http://" + Host + ":1/"
)

// NginxOptions says how an nginx differs from the usual one. The zero value is
// valid for all but CA and Directory.
type NginxOptions struct {
	CA           *mailtest.CA // who signs the certificate; never nil
	Directory    string       // URL where it asks about logins; see Directory
	StartTLSOnly bool         // the plain ports take logins after STARTTLS only
	HideRefusals bool         // a no of the server behind is called an internal error, as nginx does by itself
}

// Nginx is a running private nginx, a mail proxy.
type Nginx struct {
	IMAP, IMAPS, POP3, POP3S, SMTP, SMTPS int // ports on Host

	dir     string
	logFile string
}

//go:embed config/nginx.conf.tmpl
var nginxConfig string

var nginxTemplate = template.Must(template.New("nginx").Parse(nginxConfig))

// nginxSettings is what the template reads.
type nginxSettings struct {
	Dir, LogFile, Host, Directory string
	StartTLSOnly, HideRefusals    bool
	Servers                       []nginxServer
}

type nginxServer struct {
	Protocol string
	Port     int
	TLS      bool // from the first byte
}

// StartNginx runs a private nginx until the test ends.
func StartNginx(t testing.TB, options NginxOptions) *Nginx {
	t.Helper()
	Need(t, "nginx")
	n := &Nginx{dir: folder(t, "ng")}
	n.logFile = filepath.Join(n.dir, "log")
	issue(t, n.dir, options.CA, mailtest.CertOptions{})
	start(t, "nginx", n.logFile, 6, func(ports []int) (*subprocess.Process, error) {
		n.IMAP, n.IMAPS, n.POP3, n.POP3S, n.SMTP, n.SMTPS = ports[0], ports[1], ports[2], ports[3], ports[4], ports[5]
		config := write(t, n.dir, "nginx.conf", n.config(t, options), 0o644)
		// -e is where it complains before it has read the configuration.
		return run("/usr/sbin/nginx", "-p", n.dir, "-e", n.logFile, "-c", config)
	})
	return n
}

// config fills the template for the ports that were found.
func (n *Nginx) config(t testing.TB, options NginxOptions) string {
	t.Helper()
	return fill(t, nginxTemplate, nginxSettings{
		Dir: n.dir, LogFile: n.logFile, Host: Host, Directory: options.Directory,
		StartTLSOnly: options.StartTLSOnly, HideRefusals: options.HideRefusals,
		Servers: []nginxServer{
			{"imap", n.IMAP, false}, {"imap", n.IMAPS, true},
			{"pop3", n.POP3, false}, {"pop3", n.POP3S, true},
			{"smtp", n.SMTP, false}, {"smtp", n.SMTPS, true},
		},
	})
}

// Log is everything the server logged so far.
func (n *Nginx) Log() string {
	raw, _ := os.ReadFile(n.logFile)
	return string(raw)
}

// Directory is the place where nginx asks whether a login is good and which
// server takes it (ngx_mail_auth_http_module). It knows the users of this
// package.
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

// Trust makes the directory take every password: the server behind judges it.
func (d *Directory) Trust() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trusting = true
}

// ServeHTTP answers nginx's question, which is in the headers, in per cent codes.
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
