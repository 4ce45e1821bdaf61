package routes

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"mailprobe/internal/subprocess"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	subprocess.InParallel(12) // the tests on real servers wait for them most of the time
	goleak.VerifyTestMain(m)
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
