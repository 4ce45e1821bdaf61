//go:build unix

// Package systest holds what tests need of the operating system. Where a system
// lacks it, the test is skipped.
package systest

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// MakeFIFO makes a named pipe without a writer.
func MakeFIFO(t testing.TB, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ToggleSignal returns the signal at which `mailprobe demo` stops a server and
// starts it again.
func ToggleSignal(testing.TB) os.Signal { return syscall.SIGUSR1 }

// ProcessorTime returns what this process has used so far, user and system,
// collecting garbage included. Unlike the wall clock it means something on a busy
// machine.
func ProcessorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
