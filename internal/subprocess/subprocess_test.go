package subprocess

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is generous: the machine may be busy with other tests.
const patience = 30 * time.Second

// shell runs a script and waits for its first output.
func shell(t *testing.T, script string) *Process {
	t.Helper()
	p := StartFor(t, exec.Command("/bin/sh", "-c", script))
	for end := time.Now().Add(patience); p.Output() == ""; time.Sleep(10 * time.Millisecond) { // another process: nothing to wait on
		if time.Now().After(end) {
			t.Fatal("the script printed nothing")
		}
	}
	return p
}

func TestWatchdogEndsTheProcessesOfADeadTest(t *testing.T) {
	t.Parallel()
	p := shell(t, "sleep 600 & echo $!; wait")
	var child int
	if _, err := fmt.Sscan(p.Output(), &child); err != nil {
		t.Fatal(err)
	}
	// What the kernel does when a test binary dies: the pipe closes without a word.
	_ = p.watchdog.input.Close()
	select {
	case <-p.Exited():
	case <-time.After(patience):
		t.Error("the program outlives its test")
	}
	for end := time.Now().Add(patience); running(child); time.Sleep(10 * time.Millisecond) { // not our own child: nothing to wait on
		if time.Now().After(end) {
			t.Fatal("the program's child outlives its test")
		}
	}
}

// running reports whether a process exists and is not a zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestStopEndsWhatIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	p := shell(t, "trap '' TERM; echo ready; while :; do sleep 1; done")
	p.Stop(100 * time.Millisecond)
	p.Stop(0) // a second call does nothing
	if err := p.Wait(); err == nil || p.Command.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v, want SIGKILL", err)
	}
}

func TestOutputIsItsEnd(t *testing.T) {
	t.Parallel()
	p := StartFor(t, exec.Command("/bin/sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo last >&2"))
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if out := p.Output(); !strings.HasSuffix(out, "last\n") || len(out) > 2*maxOutput {
		t.Errorf("%d bytes, which end with %q", len(out), out[max(0, len(out)-10):])
	}
}

func TestFreePortIsGivenOnce(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 300 {
		port := FreePort(t, "127.0.0.1")
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
	}
}
