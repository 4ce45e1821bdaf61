// Package promtest runs the real Prometheus, Alertmanager and their tools for
// tests. They come from the distribution (Debian: prometheus,
// prometheus-alertmanager), not from a module of ours.
package promtest

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/subprocess"
)

// Need skips the test where a tool is not installed. In CI, where everything is
// installed, that is a failure: a skipped test would look like a passed one.
func Need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed; CI must have it", tool)
		}
		t.Skipf("%s is not installed (Debian: apt-get install prometheus prometheus-alertmanager systemd)", tool)
	}
}

// Run runs a tool to its end and returns what it wrote. The test fails unless it
// ends well within two minutes.
func Run(t *testing.T, tool string, args ...string) string {
	t.Helper()
	out, err := Try(t, tool, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return out
}

// Try is Run for a tool that may say no.
func Try(t *testing.T, tool string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
	return string(out), err
}

// Start runs a program with a working directory of its own until the test ends,
// and waits until ready answers 200. Its output is logged if
// the test fails.
func Start(t *testing.T, ready, program string, args ...string) *subprocess.Process {
	t.Helper()
	command := exec.Command(program, args...)
	command.Dir = t.TempDir()
	p := subprocess.StartFor(t, command)
	t.Cleanup(func() {
		p.Stop(10 * time.Second)
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(program), p.Output())
		}
	})
	Eventually(t, filepath.Base(program)+" answers at "+ready, func() bool {
		select {
		case <-p.Exited():
			t.Fatalf("%s ended before it was ready:\n%s", program, p.Output())
		default:
		}
		response, err := http.Get(ready)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return p
}

// patience is how long a test waits for another process before it calls that a
// failure. It says nothing about how fast the process is: on a busy machine a start
// that takes a second may take half a minute.
const patience = 2 * time.Minute

// Eventually asks four times a second until holds says yes, and fails the test
// when it has not for so long that it never will.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	pause := 10 * time.Millisecond
	for end := time.Now().Add(patience); !holds(); time.Sleep(pause) {
		pause = min(2*pause, 250*time.Millisecond)
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
