package deploy

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"mailprobe/internal/promtest"
)

// mailprobe is the built program; TestMain removes it.
var mailprobe = promtest.Builder{Root: ".."}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			mailprobe.Remove()
			os.Exit(code)
		}),
		// Idle connections to a program that was stopped close by themselves.
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}
