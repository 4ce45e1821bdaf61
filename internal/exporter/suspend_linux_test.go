package exporter_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailprobe/internal/promtest"
)

// Fault 132: the program is stopped after it has sent a password, longer than the
// connection's timeout. The answer that came meanwhile counts.
func TestAnswerWhileStoppedCounts(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	asked, answer, answered := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "+OK ready\r\n")
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			switch verb, _, _ := strings.Cut(lines.Text(), " "); verb {
			case "CAPA":
				fmt.Fprint(conn, "+OK\r\nUSER\r\n.\r\n")
			case "PASS":
				close(asked)
				<-answer
				fmt.Fprint(conn, "+OK logged in\r\n")
				close(answered)
			default:
				fmt.Fprint(conn, "+OK\r\n")
			}
		}
	}()
	config := configure(t, connection(t, "pop", listener.Addr().String(), "protocol", "pop3", "interval", "1h", "timeout", "5s"))
	url, program := begin(t, nil, "--config.file="+config)
	select {
	case <-asked:
	case <-time.After(2 * time.Minute):
		t.Fatal("the login never came")
	}
	program.Signal(t, syscall.SIGSTOP)
	close(answer)
	<-answered
	time.Sleep(6 * time.Second) // the probe's timeout passes while the program is stopped
	program.Signal(t, syscall.SIGCONT)
	promtest.Eventually(t, "an accepted login", func() bool {
		return value(t, url, `mailprobe_auth_success{connection="pop",protocol="pop3"}`) == 1
	})
	terminate(t, program)
}
