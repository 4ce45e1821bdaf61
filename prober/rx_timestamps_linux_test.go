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

	"mailprobe/internal/subprocess"
	"mailprobe/mail"
)

// stoppedTarget, set in the environment, makes the test binary probe that address.
const stoppedTarget = "MAILPROBE_STOPPED_TARGET"

// TestStoppedProbe is no test: it is the process that gets stopped.
func TestStoppedProbe(t *testing.T) {
	address := os.Getenv(stoppedTarget)
	if address == "" {
		t.Skip("only the process that TestStopIsInNoFigure stops runs this")
	}
	host, port, _ := net.SplitHostPort(address)
	c := &mail.Connection{Name: "stopped", Protocol: mail.POP3, Encryption: mail.NoEncryption, Host: host, Timeout: time.Minute}
	_, _ = fmt.Sscan(port, &c.Port)
	o := (&Prober{}).Probe(context.Background(), c)
	greeting, _ := phaseDuration(&o, mail.PhaseGreeting)
	fmt.Printf("\nreport: %v %v %v\n", greeting.Milliseconds(), o.Duration().Milliseconds(), o.End.Sub(o.Start).Milliseconds())
}

// A process that is stopped while the greeting comes sees it late. That is the
// machine's doing and in no figure.
func TestStopIsInNoFigure(t *testing.T) {
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
	time.Sleep(500 * time.Millisecond) // it waits for the greeting by now, on a busy machine too
	probe.Signal(t, syscall.SIGSTOP)
	awaitStopped(t, child.Process.Pid)
	fmt.Fprint(conn, "+OK ready\r\n")
	time.Sleep(stopped)
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
		t.Fatalf("the probe took %v: it was not stopped in its midst", wall)
	}
	if limit := wall - stopped*9/10; greeting > limit || whole > limit {
		t.Errorf("greeting %v, whole %v of %v, of which the process was stopped %v", greeting, whole, wall, stopped)
	}
}

// awaitStopped waits until no thread of a process runs any more: a signal takes its
// time on a busy machine, and a thread that still runs reads the greeting at once.
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	for range 1000 {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		running := slices.ContainsFunc(tasks, func(path string) bool {
			stat, err := os.ReadFile(path)
			return err == nil && !bytes.Contains(stat, []byte(") T "))
		})
		if len(tasks) > 0 && !running {
			return
		}
		time.Sleep(time.Millisecond) // the process is another one: nothing here can wait for it
	}
	t.Fatal("the process does not stop")
}
