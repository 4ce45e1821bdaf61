package prober

import (
	"testing"

	"go.uber.org/goleak"

	"mailprobe/internal/subprocess"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	subprocess.InParallel(4)
	goleak.VerifyTestMain(m)
}
