package realserver

import (
	_ "embed"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"text/template"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

// Site is what a web server serves under one host name.
type Site struct {
	Path, Text string // a file; an empty path: none
	Rules      string // further lines of nginx
	Unsigned   bool   // the server's certificate is not for this name
}

// Website is a running private nginx with TLS, for several names.
type Website struct {
	Port int // on Host

	dir, logFile string
}

// websiteSettings is what the template reads.
type websiteSettings struct {
	Dir, LogFile, Host string
	Port               int
	Pages              map[string]Site
}

var (
	//go:embed config/website.conf.tmpl
	websiteConfig string

	websiteTemplate = template.Must(template.New("website").Parse(websiteConfig))
)

// StartWebsite runs a private web server until the test ends, with a certificate
// of ca for the names of its sites.
func StartWebsite(t testing.TB, ca *mailtest.CA, sites map[string]Site) *Website {
	t.Helper()
	Need(t, "nginx")
	w := &Website{dir: folder(t, "ws")}
	w.logFile = filepath.Join(w.dir, "log")
	names := []string{"nobody.example.test"}
	for _, host := range slices.Sorted(maps.Keys(sites)) {
		if site := sites[host]; site.Path != "" {
			write(t, w.dir, filepath.Join("sites", host, site.Path), site.Text, 0o644)
		}
		if !sites[host].Unsigned {
			names = append(names, host)
		}
	}
	issue(t, w.dir, ca, mailtest.CertOptions{Names: names})
	start(t, "nginx", w.logFile, 1, func(ports []int) (*subprocess.Process, error) {
		w.Port = ports[0]
		config := write(t, w.dir, "nginx.conf", fill(t, websiteTemplate, websiteSettings{Dir: w.dir, LogFile: w.logFile, Host: Host, Port: w.Port, Pages: sites}), 0o644)
		return run("/usr/sbin/nginx", "-p", w.dir, "-e", w.logFile, "-c", config)
	})
	return w
}

// Requests returns the requests so far, a line each: host and path.
func (w *Website) Requests() string { return wholeLog(filepath.Join(w.dir, "access")) }
