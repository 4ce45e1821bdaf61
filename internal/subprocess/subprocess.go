// Package subprocess runs the programs that tests need beside them: servers,
// Prometheus, mailprobe itself. A program ends with its test, also when the test
// binary is killed or runs into its time limit.
package subprocess

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program that was started. Stop must be called in the end.
type Process struct {
	Command *exec.Cmd

	exited   chan struct{}
	err      error // of Command.Wait; valid once exited is closed
	watchdog *watchdog
	output   tail
}

// Start starts a command as the head of a process group of its own, so that an
// interrupt of the tests leaves it to Stop. Streams that the command does not
// set are kept for Output.
func Start(command *exec.Cmd) (*Process, error) {
	p := &Process{Command: command, exited: make(chan struct{})}
	if command.Stdout == nil {
		command.Stdout = &p.output
	}
	if command.Stderr == nil {
		command.Stderr = &p.output
	}
	command.WaitDelay = time.Second // for children that keep the streams open
	inGroup(command)
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = command.Wait()
		close(p.exited)
	}()
	var err error
	if p.watchdog, err = newWatchdog(command.Process.Pid); err != nil {
		p.Stop(0)
		return nil, err
	}
	return p, nil
}

// StartFor is Start for a test: a command that does not start fails the test,
// and what the test leaves running is stopped at its end.
func StartFor(t testing.TB, command *exec.Cmd) *Process {
	t.Helper()
	p, err := Start(command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(10 * time.Second) })
	return p
}

// RunFor runs a command to its end and returns the end of what it printed, and
// the error of its Wait.
func RunFor(t testing.TB, command *exec.Cmd) (string, error) {
	t.Helper()
	p := StartFor(t, command)
	err := p.Wait()
	return p.Output(), err
}

// Exited is closed when the program has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Wait waits for the end of the program and returns the error of its Command.
func (p *Process) Wait() error {
	<-p.exited
	return p.err
}

// Signal sends a signal to the program, not to its children. The test fails if
// that has ended.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.Command.Process.Signal(s); err != nil {
		t.Fatalf("signal: %v", err)
	}
}

// Stop sends SIGTERM to the program and, if it runs on after grace, SIGKILL to
// it and its children. A second call does nothing.
func (p *Process) Stop(grace time.Duration) {
	_ = p.Command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(grace):
		killGroup(p.Command)
		<-p.exited
	}
	p.watchdog.dismiss()
}

// Output returns the end of what the program printed so far.
func (p *Process) Output() string { return p.output.String() }

// watchdog is a shell that ends a program when the test binary is gone, which
// the shell sees by the end of its input. Linux's parent-death signal would not
// do: Postfix loses it by changing its effective user (prctl(2)).
type watchdog struct {
	command *exec.Cmd
	input   io.WriteCloser
	once    sync.Once
}

// watch is the shell's program: SIGTERM to the process and its group, and 5 s
// later SIGKILL to what is left of it.
const watch = `read -r _ && exit
kill "$1" "-$1"
for second in 1 2 3 4 5; do kill -0 "-$1" || exit; sleep 1; done
kill -9 "-$1"`

func newWatchdog(pid int) (*watchdog, error) {
	w := &watchdog{command: exec.Command("/bin/sh", "-c", watch, "sh", strconv.Itoa(pid))}
	inGroup(w.command)
	input, err := w.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	w.input = input
	return w, w.command.Start()
}

// dismiss lets the shell end without ending anything: the program is gone
// already, and its process number may be another's by now.
func (w *watchdog) dismiss() {
	if w == nil || w.command.Process == nil {
		return
	}
	w.once.Do(func() {
		_, _ = io.WriteString(w.input, "stopped\n")
		_ = w.input.Close()
		_ = w.command.Wait()
	})
}

// maxOutput is how much of a program's output is kept.
const maxOutput = 64 << 10

// tail keeps the end of what is written to it, up to twice maxOutput.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b...)
	if len(w.text) > 2*maxOutput {
		w.text = bytes.Clone(w.text[len(w.text)-maxOutput:])
	}
	return len(b), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.ToValidUTF8(w.text, nil))
}
