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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read := Reader(conn.(*net.TCPConn), func(time.Time, time.Time) { t.Error("nothing arrived, and it was reported") })
	if read == nil {
		t.Skip("this kernel has no timestamps of sockets")
	}
	if err := conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	_, err = read(make([]byte, 1))
	if text := err.Error(); !strings.HasPrefix(text, "read tcp ") || !strings.HasSuffix(text, "i/o timeout") {
		t.Errorf("the error is %q", text)
	}
}
