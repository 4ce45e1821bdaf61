package realserver

// This file runs proxies that end TLS in front of a server: haproxy and stunnel.

import (
	_ "embed"
	"os"
	"path/filepath"
	"testing"
	"text/template"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

// TLSProxy is a running private proxy that decrypts TLS and knows no mail protocol.
type TLSProxy struct {
	Ports []int // on Host; Ports[i] leads to the i-th backend

	process *subprocess.Process
}

// Log is everything the proxy logged so far.
func (p *TLSProxy) Log() string { return p.process.Output() }

// tlsProxySettings is what the templates read.
type tlsProxySettings struct {
	Dir, Host string
	Ways      []way
}

// way is a port of the proxy and the backend port that it leads to.
type way struct{ Port, Backend int }

var (
	//go:embed config/haproxy.cfg.tmpl
	haproxyConfig string

	haproxyTemplate = template.Must(template.New("haproxy").Parse(haproxyConfig))

	//go:embed config/stunnel.conf.tmpl
	stunnelConfig string

	stunnelTemplate = template.Must(template.New("stunnel").Parse(stunnelConfig))
)

// StartHAProxy runs a private haproxy until the test ends. It accepts TLS
// with a certificate of ca, and speaks in clear text to the backends, ports on Host.
func StartHAProxy(t testing.TB, ca *mailtest.CA, backends ...int) *TLSProxy {
	t.Helper()
	Need(t, "haproxy")
	return startTLSProxy(t, "haproxy", ca, backends, haproxyTemplate, func(config string) (*subprocess.Process, error) {
		return run("/usr/sbin/haproxy", "-db", "-f", config)
	})
}

// StartStunnel is StartHAProxy for stunnel.
func StartStunnel(t testing.TB, ca *mailtest.CA, backends ...int) *TLSProxy {
	t.Helper()
	Need(t, "stunnel")
	return startTLSProxy(t, "stunnel", ca, backends, stunnelTemplate, func(config string) (*subprocess.Process, error) {
		return run("/usr/bin/stunnel4", config)
	})
}

// startTLSProxy runs a proxy whose template is filled for the ports found.
func startTLSProxy(t testing.TB, name string, ca *mailtest.CA, backends []int, form *template.Template,
	launch func(config string) (*subprocess.Process, error)) *TLSProxy {
	t.Helper()
	proxy, dir := new(TLSProxy), folder(t, name)
	issue(t, dir, ca, mailtest.CertOptions{})
	joinPair(t, dir)
	proxy.Ports = start(t, name, "", len(backends), func(ports []int) (*subprocess.Process, error) {
		settings := tlsProxySettings{Dir: dir, Host: Host}
		for i, port := range ports {
			settings.Ways = append(settings.Ways, way{port, backends[i]})
		}
		var err error
		proxy.process, err = launch(write(t, dir, "config", fill(t, form, settings), 0o644))
		return proxy.process, err
	})
	return proxy
}

// joinPair puts certificate and key into one file, as haproxy wants them.
func joinPair(t testing.TB, dir string) {
	t.Helper()
	var both []byte
	for _, name := range []string{"server.pem", "server.key"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, raw...)
	}
	write(t, dir, "both.pem", string(both), 0o600)
}
