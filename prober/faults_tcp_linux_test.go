package prober

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"mailprobe/mail"
)

// Fault 31: a listener whose queue is full lets SYNs fall; other systems refuse.
func TestFaultFullBacklog(t *testing.T) {
	t.Parallel()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for { // until the queue is full
		conn, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	c := newFaultFixture(t).connection(mail.IMAP, mail.ImplicitTLS, addr, func(c *mail.Connection) { c.Timeout = 500 * time.Millisecond })
	o := new(Prober).Probe(t.Context(), c)
	wantFailure(t, o, mail.PhaseConnect, mail.ConnectTimeout)
}
