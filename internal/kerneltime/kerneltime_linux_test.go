package kerneltime

import (
	"net"
	"strings"
	"testing"
	"time"
)

// A read whose deadline passes says what a plain net.Conn says: the text reaches the
// status page.
func TestReadPastItsDeadlineIsCalledARead(t *testing.T) {
	conn, _ := connected(t)
	read := Reader(conn, func(time.Time, time.Time) { t.Error("nothing arrived, and it was reported") })
	if read == nil {
		t.Skip("this kernel has no timestamps of sockets")
	}
	if err := conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	_, err := read(make([]byte, 1))
	if text := err.Error(); !strings.HasPrefix(text, "read tcp ") || !strings.HasSuffix(text, "i/o timeout") {
		t.Errorf("the error is %q", text)
	}
}

// The first bytes of a connection are stamped when they arrive, although no other
// connection has asked for stamps.
func TestKeptTimestampsAreOnForTheFirstBytes(t *testing.T) {
	release := Keep()
	defer release()
	const age = 20 * time.Millisecond // of the bytes when they are read
	var late time.Duration
	for end := time.Now().Add(10 * time.Second); late < age/2; {
		if time.Now().After(end) {
			t.Fatalf("bytes of %v ago were stamped %v ago", age, late)
		}
		client, server := connected(t)
		read := Reader(client, func(_, arrival time.Time) { late = time.Since(arrival) })
		if read == nil {
			t.Skip("this kernel has no timestamps of sockets")
		}
		if _, err := server.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(age) // for the age, not for an event
		if _, err := read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// connected returns both ends of a connection.
func connected(t *testing.T) (client *net.TCPConn, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialled.Close() })
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return dialled.(*net.TCPConn), server
}
