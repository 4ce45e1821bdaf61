// Package promtest runs the real Prometheus, Alertmanager and their tools for
// tests. They come from the distribution (Debian: prometheus,
// prometheus-alertmanager), not from a module of ours.
package promtest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
	return string(out), err
}

// Process is a program that runs until the test ends.
type Process struct {
	cmd    *exec.Cmd
	output *os.File // both streams; a file, so that nobody has to read it
	done   chan struct{}
}

// Start runs a program with a working directory of its own and waits until
// ready answers 200, at most a minute. Its output is logged if the test fails.
func Start(t *testing.T, ready, program string, args ...string) *Process {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), output, output
	// A group of its own, so that an interrupt of the tests leaves it to Stop.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: cmd, output: output, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(program), p.Output())
		}
		_ = output.Close()
	})
	Eventually(t, time.Minute, filepath.Base(program)+" answers at "+ready, func() bool {
		select {
		case <-p.done:
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

// Signal sends a signal to the program.
func (p *Process) Signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal: %v", err)
	}
}

// Stop asks the program to end, and ends it ten seconds later. A second call
// does nothing.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Output is what the program wrote so far, its last 16 KiB.
func (p *Process) Output() string {
	content, err := os.ReadFile(p.output.Name())
	if err != nil {
		return err.Error()
	}
	return string(bytes.ToValidUTF8(content[max(0, len(content)-16<<10):], nil))
}

// FreeAddress is a loopback address whose port nobody listens on just now.
func FreeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Eventually asks four times a second until holds says yes, and fails the test
// when it has not within limit.
func Eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(250 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
