//go:build linux

package main

// This file starts processes on a core of their own, talks to them, and reads
// from the kernel what they use.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mailprobe/internal/subprocess"
)

// cores returns the core for servers and drivers, and the one for clients. A
// machine with one core has to share it.
func cores() (servers, clients int, err error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, 0, err
	}
	var found []int
	for i := 0; i < 1024 && len(found) < 2; i++ {
		if allowed.IsSet(i) {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		return 0, 0, errors.New("no core is allowed")
	}
	return found[0], found[len(found)-1], nil
}

// startOn starts a command on one core. A Go program then has GOMAXPROCS=1.
func startOn(core int, command *exec.Cmd) (*subprocess.Process, error) {
	runtime.LockOSThread() // the child inherits the affinity of this thread
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	one.Set(core)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	if command.Stderr == nil {
		command.Stderr = os.Stderr
	}
	return subprocess.Start(command)
}

// cpu is the processor time of a process so far, user and system, to the
// nanosecond: its CPU clock (clock_getcpuclockid(3)).
func cpu(p *subprocess.Process) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED
	var now unix.Timespec
	clock := int32(^p.Command.Process.Pid)<<3 | scheduler
	if err := unix.ClockGettime(clock, &now); err != nil {
		return 0, fmt.Errorf("CPU clock: %w", err)
	}
	return time.Duration(now.Nano()), nil
}

// resident is the resident memory of a process in bytes.
func resident(p *subprocess.Process) (int, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Command.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}

// send sends a signal, such as SIGSTOP.
func send(p *subprocess.Process, s os.Signal) error {
	if err := p.Command.Process.Signal(s); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(p.Command.Path), err)
	}
	return nil
}

// end ends a process, also a stopped one.
func end(p *subprocess.Process) {
	_ = p.Command.Process.Signal(unix.SIGCONT)
	p.Stop(10 * time.Second)
}

// role is this program in another process, which answers each line of its input.
type role struct {
	process *subprocess.Process
	in      io.WriteCloser
	out     *bufio.Scanner
}

// startRole starts it, and returns what its first line says after "ready".
func startRole(core int, args ...string) (*role, []string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	command := exec.Command(self, args...)
	in, err := command.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	command.Stdout = writer
	process, err := startOn(core, command)
	_ = writer.Close()
	if err != nil {
		return nil, nil, err
	}
	r := &role{process: process, in: in, out: bufio.NewScanner(reader)}
	words, err := r.answer()
	if err != nil || len(words) == 0 || words[0] != readyLine {
		end(process)
		return nil, nil, fmt.Errorf("%s does not start: %w", args[0], err)
	}
	return r, words[1:], nil
}

// ask sends a line and returns the words of the answer.
func (r *role) ask(line string) ([]string, error) {
	if _, err := io.WriteString(r.in, line+"\n"); err != nil {
		return nil, err
	}
	return r.answer()
}

func (r *role) answer() ([]string, error) {
	if !r.out.Scan() {
		return nil, errors.Join(r.out.Err(), io.ErrUnexpectedEOF)
	}
	return strings.Fields(r.out.Text()), nil
}

// server is the server's process.
type server struct {
	role  *role
	ca    string     // path of the authority's certificate
	ports [][]string // of each client; the last one is the slow port
}

func startServer(dir string, clients int) (*server, error) {
	core, _, err := cores()
	if err != nil {
		return nil, err
	}
	r, words, err := startRole(core, serverRole, "-dir", dir, "-clients", strconv.Itoa(clients))
	if err != nil {
		return nil, err
	}
	s := &server{role: r, ca: filepath.Join(dir, caName)}
	for _, word := range words {
		s.ports = append(s.ports, strings.Split(word, ","))
	}
	return s, nil
}

// sessions returns how many sessions of a client have ended by LOGOUT.
func (s *server) sessions(ports []string) (int, error) {
	words, err := s.role.ask("")
	if err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	for i := range min(len(words), len(s.ports)) {
		if slices.Equal(s.ports[i], ports) {
			return strconv.Atoi(words[i])
		}
	}
	return 0, fmt.Errorf("ports %s are none of the server's", ports)
}

// slow are the ports that are slow to answer logins: a single one.
func (s *server) slow() []string { return s.ports[len(s.ports)-1] }

func (s *server) stop() { end(s.role.process) }
