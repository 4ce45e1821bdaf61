package realserver

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/subprocess"
)

// patience is the maximum time that a server may take to listen on all its ports, or to
// stop. It is long, because the machine may be busy with other tests.
const patience = 30 * time.Second

// run starts a server in the foreground.
func run(name string, args ...string) (*subprocess.Process, error) {
	return subprocess.Start(exec.Command(name, args...))
}

// ready waits until a server listens on every port. It asks the kernel instead
// of connecting: a connection without a login would be the first line of a log
// that tests want to read. It returns an error at once if the server ends before, for
// instance because another program took one of its ports.
func ready(p *subprocess.Process, ports []int) error {
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
		case <-p.Exited():
			return fmt.Errorf("ended while starting: %s", p.Command.ProcessState)
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

// attempts is how often a server is started, each time on other ports.
const attempts = 3

// start brings a server up on free ports; launch writes the configuration for
// the ports and runs it. The server's log is shown if the test fails.
func start(t testing.TB, name, logFile string, count int, launch func(ports []int) (*subprocess.Process, error)) []int {
	t.Helper()
	var last error
	for range attempts {
		ports := make([]int, count)
		for i := range ports {
			ports[i] = subprocess.FreePort(t, Host)
		}
		p, err := launch(ports)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if last = ready(p, ports); last == nil {
			t.Cleanup(func() {
				p.Stop(patience)
				showLog(t, name, logFile, p)
			})
			return ports
		}
		p.Stop(patience)
		last = fmt.Errorf("%w\n%s%s", last, p.Output(), logText(logFile))
	}
	t.Fatalf("%s did not start: %v", name, last)
	return nil
}

// showLog shows the server's log if the test failed.
func showLog(t testing.TB, name, logFile string, p *subprocess.Process) {
	if t.Failed() {
		t.Logf("log of %s:\n%s%s", name, p.Output(), logText(logFile))
	}
}

// wholeLog returns a log file; empty: there is none yet.
func wholeLog(path string) string {
	raw, _ := os.ReadFile(path)
	return string(raw)
}

// logText returns the end of a log file, enough to see what happened; empty: there is
// none yet.
func logText(path string) string {
	const most = 16 << 10
	text := wholeLog(path)
	return text[max(0, len(text)-most):]
}
