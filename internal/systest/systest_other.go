//go:build !unix

package systest

import (
	"os"
	"testing"
	"time"
)

func MakeFIFO(t testing.TB, _ string) {
	t.Helper()
	t.Skip("this system has no named pipes in its file system")
}

func ToggleSignal(t testing.TB) os.Signal {
	t.Helper()
	t.Skip("this system has no SIGUSR1")
	return nil
}

func ProcessorTime() time.Duration { return 0 }
