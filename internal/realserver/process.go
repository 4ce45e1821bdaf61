package realserver

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to answer on all its ports, or to
// stop. It is generous: the machine may be busy with other tests.
const patience = 30 * time.Second

// process is a server in the foreground. It dies with the test, also when the
// test binary is killed.
type process struct {
	command *exec.Cmd
	leash   *leash
	exited  chan struct{} // closed after the end; command.ProcessState is valid then

	mu     sync.Mutex
	output bytes.Buffer // what the server printed, guarded by mu
}

// Write collects what the server prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

// printed is what the server printed so far.
func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// run starts a server as the head of its own process group.
func run(name string, args ...string) (*process, error) {
	p := &process{exited: make(chan struct{})}
	p.command = exec.Command(name, args...)
	p.command.Stdout, p.command.Stderr = p, p
	p.command.WaitDelay = time.Second
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.command.Wait() // the state tells how it ended
		close(p.exited)
	}()
	var err error
	if p.leash, err = newLeash(p.command.Process.Pid); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// stop ends the server politely, and after patience with force, children
// included.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
		<-p.exited
	}
	p.leash.cut()
}

// leash is a shell that ends a server when the test binary is gone, which the
// shell sees by the end of its input. Linux's parent-death signal would not do:
// Postfix loses it by changing its effective user (prctl(2)).
type leash struct {
	command *exec.Cmd
	input   io.WriteCloser
}

// newLeash ties a server's life to this process's.
func newLeash(pid int) (*leash, error) {
	l := &leash{command: exec.Command("/bin/sh", "-c", `read -r _ || kill "$1"`, "sh", strconv.Itoa(pid))}
	l.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := l.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	l.input = input
	return l, l.command.Start()
}

// cut lets the shell end without ending anybody: the server is gone already,
// and its number may be somebody else's.
func (l *leash) cut() {
	if l == nil {
		return
	}
	_, _ = io.WriteString(l.input, "stopped\n")
	_ = l.input.Close()
	_ = l.command.Wait()
}

// ready waits until somebody listens on every port. It asks the kernel instead
// of connecting: a connection without a login would be the first line of a log
// that tests want to read. A server that ends before, for instance since
// somebody took one of its ports, is an error at once.
func (p *process) ready(ports []int) error {
	deadline := time.Now().Add(patience)
	for {
		listening, err := listeners()
		if err != nil {
			return err
		}
		open := 0
		for _, port := range ports {
			if listening[port] {
				open++
			}
		}
		select {
		case <-p.exited:
			return fmt.Errorf("ended while starting: %s", p.command.ProcessState)
		case <-time.After(20 * time.Millisecond):
		}
		switch {
		case open == len(ports):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d of the ports %v are open after %v", open, ports, patience)
		}
	}
}

// listeners are the ports with a listening IPv4 socket, from /proc/net/tcp: the
// second field is address:port in hex, the fourth the state, 0A for LISTEN
// (proc(5)).
func listeners() (map[int]bool, error) {
	raw, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return nil, err
	}
	ports := make(map[int]bool)
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != "0A" {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			ports[int(port)] = true
		}
	}
	return ports, nil
}

// attempts is how often a server is started anew on other ports.
const attempts = 3

// start brings a server up on free ports; launch writes the configuration for
// the ports and runs it. The server's log is shown if the test fails.
func start(t testing.TB, name, logFile string, count int, launch func(ports []int) (*process, error)) []int {
	t.Helper()
	var last error
	for range attempts {
		ports := make([]int, count)
		for i := range ports {
			ports[i] = freePort(t)
		}
		p, err := launch(ports)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if last = p.ready(ports); last == nil {
			t.Cleanup(func() {
				p.stop()
				showLog(t, name, logFile, p)
			})
			return ports
		}
		p.stop()
		last = fmt.Errorf("%w\n%s%s", last, p.printed(), logText(logFile))
	}
	t.Fatalf("%s did not start: %v", name, last)
	return nil
}

// showLog puts the server's own words beside a failure.
func showLog(t testing.TB, name, logFile string, p *process) {
	if t.Failed() {
		t.Logf("log of %s:\n%s%s", name, p.printed(), logText(logFile))
	}
}

// logText is the end of a log file, enough to see what happened.
func logText(path string) string {
	const most = 16 << 10
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if len(raw) > most {
		raw = raw[len(raw)-most:]
	}
	return string(raw)
}
