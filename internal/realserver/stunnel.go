package realserver

import (
	_ "embed"
	"testing"
	"text/template"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

var (
	//go:embed config/stunnel.conf.tmpl
	stunnelConfig string

	stunnelTemplate = template.Must(template.New("stunnel").Parse(stunnelConfig))
)

// StartStunnel is StartHAProxy for stunnel.
func StartStunnel(t testing.TB, ca *mailtest.CA, backends ...int) *TLSProxy {
	t.Helper()
	Need(t, "stunnel")
	return startTLSProxy(t, "stunnel", ca, backends, stunnelTemplate, func(config string) (*subprocess.Process, error) {
		return run("/usr/bin/stunnel4", config)
	})
}
