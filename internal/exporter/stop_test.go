package exporter_test

// These tests stop the built program, or try to block it.

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailprobe/internal/promtest"
	"mailprobe/internal/subprocess"
)

// begin runs the program with a stderr of its own, which may be nil.
func begin(t *testing.T, stderr *os.File, flags ...string) (url string, program *subprocess.Process) {
	t.Helper()
	address := subprocess.FreeAddress(t)
	command := exec.Command(binary(t), append(flags, "--web.listen-address="+address)...)
	if stderr != nil {
		command.Stderr = stderr
	}
	program = subprocess.StartFor(t, command)
	url = "http://" + address
	promtest.Eventually(t, "an answer", func() bool {
		response, err := client.Get(url + "/-/healthy")
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil
	})
	return url, program
}

// terminate sends SIGTERM and wants the program to end without an error. It should take
// 5 s at most; on a busy machine it may take longer.
func terminate(t *testing.T, program *subprocess.Process) {
	t.Helper()
	start := time.Now()
	program.Signal(t, syscall.SIGTERM)
	select {
	case <-program.Exited():
		err := program.Wait()
		t.Logf("it ended %v after SIGTERM: %v", time.Since(start), err)
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second): // 5 s, and what a busy machine takes for itself
		t.Error("it runs on after SIGTERM")
	}
}

// Fault 140: SIGTERM with hundreds of probes in flight.
func TestStopsWithManyProbesInFlight(t *testing.T) {
	t.Parallel()
	stalled, _ := silent(t)
	connections := make([]map[string]any, 800)
	for i := range connections {
		connections[i] = connection(t, fmt.Sprintf("stalled-%d", i), stalled, "timeout", "50s", "username", "", "password", "")
	}
	config := configure(t, connections...)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	many := strings.Replace(string(text), "{", `{"pool": {"max_in_flight_per_host": 1000},`, 1)
	if err := os.WriteFile(config, []byte(many), 0o600); err != nil {
		t.Fatal(err)
	}
	url, program := begin(t, nil, "--config.file="+config)
	promtest.Eventually(t, "five hundred probes in flight", func() bool {
		return value(t, url, "mailprobe_pool_in_flight") >= 500
	})
	terminate(t, program)
}

// Fault 137: the log is not read, and its pipe is full.
func TestBlockedLogStopsNoProbe(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	if err := write.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil { // until the pipe is full
		_, err = write.Write(make([]byte, 4096))
	}
	config := configure(t, connection(t, "inbox", honest(t).Addr, "interval", "1s", "timeout", "1s"))
	url, program := begin(t, write, "--config.file="+config, "--log.level=debug")
	probes := `mailprobe_probes_total{connection="inbox",protocol="imap"}`
	promtest.Eventually(t, "five probes", func() bool { return value(t, url, probes) >= 5 })
	terminate(t, program)
}

// slowPOP3 answers everything but PASS, reads nothing more until proceed is closed,
// and then returns what came meanwhile.
func slowPOP3(t *testing.T) (address string, waiting <-chan struct{}, proceed chan<- struct{}, rest <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	reached, goOn, read := make(chan struct{}), make(chan struct{}), make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "+OK ready\r\n")
		lines := bufio.NewScanner(conn)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "PASS ") {
			fmt.Fprint(conn, map[string]string{"CAPA": "+OK\r\nUSER\r\n.\r\n"}[lines.Text()])
			if strings.HasPrefix(lines.Text(), "USER ") {
				fmt.Fprint(conn, "+OK\r\n")
			}
		}
		close(reached)
		<-goOn
		var text strings.Builder
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
		}
		read <- text.String()
	}()
	return listener.Addr().String(), reached, goOn, read
}

// A POP3 server may answer a login only after the program has ended. It then reads a QUIT,
// and frees the maildrop at once.
func TestTerminationSaysQuitToASlowServer(t *testing.T) {
	t.Parallel()
	address, waiting, proceed, rest := slowPOP3(t)
	_, program := begin(t, nil, "--config.file="+configure(t, connection(t, "slow", address, "protocol", "pop3", "timeout", "50s")))
	select {
	case <-waiting:
	case <-time.After(2 * time.Minute):
		t.Fatal("the login never came")
	}
	terminate(t, program)
	close(proceed)
	select {
	case got := <-rest:
		if got != "QUIT\n" {
			t.Errorf("behind the password came %q, want a QUIT", got)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the session does not end")
	}
}
