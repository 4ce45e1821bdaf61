package prober

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailprobe/internal/kerneltime"
	"mailprobe/internal/subprocess"
	"mailprobe/mail"
)

// stoppedTarget, set in the environment, makes the test binary probe that address.
const stoppedTarget = "MAILPROBE_STOPPED_TARGET"

// TestStoppedProbe is not a test: it is the process that TestStopIsInNoFigure stops.
func TestStoppedProbe(t *testing.T) {
	address := os.Getenv(stoppedTarget)
	if address == "" {
		t.Skip("only the process that TestStopIsInNoFigure stops runs this")
	}
	host, port, _ := net.SplitHostPort(address)
	c := &mail.Connection{Name: "stopped", Protocol: mail.POP3, Encryption: mail.NoEncryption, Host: host, Timeout: time.Minute}
	_, _ = fmt.Sscan(port, &c.Port)
	o := (&Prober{}).Probe(context.Background(), c)
	greeting := phaseDuration(&o, mail.PhaseGreeting)
	fmt.Printf("\nreport: %v %v %v\n", greeting.Milliseconds(), o.Duration().Milliseconds(), o.End.Sub(o.Start).Milliseconds())
}

// A process that is stopped while the greeting comes sees it late. That is the
// machine's doing and in no figure. Times are compared with the length of the stop,
// which does not depend on the load: the probe is stopped only once it waits.
func TestStopIsInNoFigure(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestStoppedProbe$")
	child.Env = append(os.Environ(), stoppedTarget+"="+listener.Addr().String())
	probe := subprocess.StartFor(t, child)

	const stopped = 800 * time.Millisecond
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	awaitTimestamps(t)
	awaitThreads(t, child.Process.Pid, sleeping) // it waits for the greeting
	probe.Signal(t, syscall.SIGSTOP)
	awaitThreads(t, child.Process.Pid, stoppedBySignal)
	fmt.Fprint(conn, "+OK ready\r\n")
	time.Sleep(stopped) // the length of the stop is what the test is about
	probe.Signal(t, syscall.SIGCONT)
	go func() {
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if lines.Text() == "QUIT" {
				fmt.Fprint(conn, "+OK\r\n")
				_ = conn.Close()
				return
			}
			fmt.Fprint(conn, "+OK\r\n.\r\n")
		}
	}()

	var greeting, whole, wall time.Duration
	_ = probe.Wait() // its report tells how it went
	for line := range strings.Lines(probe.Output()) {
		if report, ok := strings.CutPrefix(line, "report: "); ok {
			_, _ = fmt.Sscan(report, &greeting, &whole, &wall)
		}
	}
	greeting, whole, wall = greeting*time.Millisecond, whole*time.Millisecond, wall*time.Millisecond
	t.Logf("greeting %v, whole %v, by the wall clock %v", greeting, whole, wall)
	if wall < stopped {
		t.Fatalf("the probe took %v: it was not stopped while it waited", wall)
	}
	if limit := wall - stopped*9/10; greeting > limit || whole > limit {
		t.Errorf("greeting %v, whole %v of %v, of which the process was stopped %v", greeting, whole, wall, stopped)
	}
}

// States of a thread in /proc/PID/task/TID/stat, proc_pid_stat(5).
const (
	sleeping        = ") S "
	stoppedBySignal = ") T "
)

// awaitThreads waits until every thread of a process is in a state. The state must
// hold for 50 looks in a row: the threads are not looked at in the same moment, and
// one that is running may wake one that was seen asleep.
func awaitThreads(t *testing.T, pid int, state string) {
	t.Helper()
	const looks = 50
	inState := 0
	for end := time.Now().Add(patient); inState < looks; time.Sleep(time.Millisecond) { // another process: nothing here can wait for it
		if time.Now().After(end) {
			t.Fatalf("the threads of the process are not all in state %q", state)
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		other := slices.ContainsFunc(tasks, func(path string) bool {
			stat, err := os.ReadFile(path)
			return err == nil && !bytes.Contains(stat, []byte(state))
		})
		if inState++; len(tasks) == 0 || other {
			inState = 0
		}
	}
}

// awaitTimestamps waits until the kernel stamps what arrives, and has it do so until
// the end of the test. It begins some time after the first socket asked for stamps:
// until then, bytes are stamped when they are read.
func awaitTimestamps(t *testing.T) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1); err != nil {
			t.Skipf("this kernel has no receive timestamps: %v", err)
		}
	})
	const age = 20 * time.Millisecond // of a datagram when it is read
	control := make([]byte, 64)
	for end := time.Now().Add(patient); time.Now().Before(end); {
		if _, err := conn.WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(age) // for the age, not for an event
		_, n, _, _, err := conn.ReadMsgUDP(make([]byte, 1), control)
		if err != nil {
			t.Fatal(err)
		}
		if received := kerneltime.Stamp(control[:n]); !received.IsZero() && time.Since(received) >= age/2 {
			return
		}
	}
	t.Fatal("the kernel stamps nothing that arrives")
}

// What the kernel received before a deadline passed is read after it, once.
func TestReadAfterTheDeadlineReturnsWhatHasArrived(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ours, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	read, p := new(schedulingDelay).reader(ours), make([]byte, 64)
	if _, err := theirs.Write([]byte("+OK logged in\r\n")); err != nil { // on loopback it arrives meanwhile
		t.Fatal(err)
	}
	_ = ours.SetDeadline(time.Unix(1, 0))
	if n, err := read(p); err != nil || string(p[:n]) != "+OK logged in\r\n" {
		t.Errorf("%q, %v", p[:n], err)
	}
	if n, err := read(p); n != 0 || !os.IsTimeout(err) {
		t.Errorf("nothing more has arrived: %q, %v", p[:n], err)
	}
}
