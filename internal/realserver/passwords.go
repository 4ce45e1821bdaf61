package realserver

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// servePasswords answers at a unix socket, until the test ends, whether a password
// is a user's, in the protocol of Cyrus SASL's saslauthd: login, password, service
// and realm, each behind its length, and the answer behind its own.
func servePasswords(t testing.TB, socket string) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		tasks.Wait()
	})
	tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() { answerPassword(conn) })
		}
	})
}

// answerPassword answers one question.
func answerPassword(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	var parts [4]string
	for i := range parts {
		var length uint16
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		text := make([]byte, length)
		if _, err := io.ReadFull(conn, text); err != nil {
			return
		}
		parts[i] = string(text)
	}
	answer := "NO"
	if parts[1] == Password(parts[0]) {
		answer = "OK"
	}
	_ = binary.Write(conn, binary.BigEndian, uint16(len(answer)))
	_, _ = io.WriteString(conn, answer)
}
