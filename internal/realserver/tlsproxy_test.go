package realserver

import (
	"testing"

	"mailprobe/internal/mailtest"
)

func TestTLSProxiesPassSessions(t *testing.T) {
	t.Parallel()
	behind := StartDovecot(t, Options{PlaintextAuth: true})
	for name, start := range map[string]func(testing.TB, *mailtest.CA, ...int) *TLSProxy{
		"haproxy": StartHAProxy, "stunnel": StartStunnel,
	} {
		t.Run(name, func(t *testing.T) {
			proxy := start(t, behind.CA, behind.IMAP, behind.POP3)
			imapLogin(dial(t, proxy.Ports[0], behind.CA), func(d *dialogue) { d.secure() }, true)
			pop3Login(dial(t, proxy.Ports[1], behind.CA), func(d *dialogue) { d.secure() }, true)
		})
	}
}
