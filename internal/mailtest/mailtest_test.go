package mailtest

import (
	"crypto/tls"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trust is a client configuration that trusts ca alone.
func trust(ca *CA) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// start runs a server for the length of a test, with a good certificate where
// it needs one.
func start(t *testing.T, ca *CA, o Options) *Server {
	t.Helper()
	if o.Encryption != NoEncryption && o.Certificate.Certificate == nil && o.TLS == nil {
		o.Certificate = ca.MustIssue(Loopback())
	}
	server, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return server
}

func encryptions() []string { return []string{NoEncryption, ImplicitTLS, StartTLS} }

func TestServersRememberTheNewest(t *testing.T) {
	var list []int
	for i := range 3 * maxRemembered {
		list = remember(list, i)
	}
	if n := len(list); n > maxRemembered || list[n-1] != 3*maxRemembered-1 || list[0] != list[n-1]-n+1 {
		t.Errorf("%d items, from %d to %d", n, list[0], list[n-1])
	}
}
