package realserver

import (
	_ "embed"
	"path/filepath"
	"testing"
	"text/template"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

// NginxOptions says how an nginx differs from the usual one. The zero value is
// valid for all but CA and Directory.
type NginxOptions struct {
	CA           *mailtest.CA // who signs the certificate; never nil
	Directory    string       // URL where it asks about logins; see Directory
	StartTLSOnly bool         // the plain ports accept logins after STARTTLS only
	HideRefusals bool         // a refusal by the server behind becomes "internal server error", nginx's default
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
		// -e: for errors before the configuration is read.
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
func (n *Nginx) Log() string { return wholeLog(n.logFile) }
