package exporter_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"mailprobe/internal/subprocess"
)

func TestMain(m *testing.M) {
	subprocess.InParallel(8)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		program.Remove()
		os.Exit(code)
	}))
}
