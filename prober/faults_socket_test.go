package prober

// This file plays cases of the catalogue over sockets on loopback, where the
// kernel's own behaviour matters. Its times are real, so its bounds are wide.

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// patient is what a loaded machine may add to any time.
const patient = 10 * time.Second

// dialFunc is how a probe reaches one of its addresses.
type dialFunc func(context.Context, []netip.Addr, int) (net.Conn, error)

// playOnLoopback plays a fault on a socket. alter may change the connection and
// the prober once the server's port is known.
func (fix *fixture) playOnLoopback(t *testing.T, fault *faultCase, p mail.Protocol, e mail.Encryption, alter func(*faultRun, *Prober)) faultRun {
	t.Helper()
	run, script, options := fix.prepare(fault, p, e)
	server, err := mailtest.StartScript(script, options)
	if err != nil {
		t.Fatal(err)
	}
	run.connection.Port = server.Port
	run.probeWith(t.Context(), func(prober *Prober) {
		if alter != nil {
			alter(&run, prober)
		}
	})
	_ = server.Close() // its complaints are in the session
	if sessions := server.Sessions(); len(sessions) > 0 {
		run.session = sessions[len(sessions)-1]
	}
	return run
}

// judgeSocket is judge with the bounds of real time.
func (run *faultRun) judgeSocket(t *testing.T) {
	t.Helper()
	if run.took > run.connection.Timeout+patient {
		t.Errorf("the call took %v, with a timeout of %v", run.took, run.connection.Timeout)
	}
	run.judgeVerdict(t)
}
