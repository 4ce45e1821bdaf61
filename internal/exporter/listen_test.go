package exporter

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
)

func TestListen(t *testing.T) {
	dir := t.TempDir()
	socket, file, left := filepath.Join(dir, "http.sock"), filepath.Join(dir, "file"), filepath.Join(dir, "left.sock")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false) // as after a kill
	_ = old.Close()
	tests := []struct {
		name      string
		addresses []string
		wantError string // empty: all are open
	}{
		{"two ports", []string{"127.0.0.1:0", "127.0.0.1:0"}, ""},
		{"a port and a socket in the file system", []string{"127.0.0.1:0", "unix:" + socket}, ""},
		{"the other way to write it", []string{"unix://" + socket}, ""},
		{"a socket that a killed process left behind", []string{"unix:" + left}, ""},
		{"the same socket twice", []string{"unix:" + socket, "unix:" + socket}, "in use by another process"},
		{"a file is not overwritten", []string{"unix:" + file}, "is not a socket"},
		{"no path", []string{"unix:"}, "needs a path"},
		{"no port", []string{"127.0.0.1"}, "is not an address with a port, such as :10925"},
		{"a port alone", []string{"10925"}, "is not an address with a port"},
		{"an empty text, as of a variable that is not set", []string{""}, "is not an address with a port"},
		{"a virtual machine's socket without a number", []string{"vsock://:x"}, "not a number"},
		{"nothing", nil, "no address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			listeners, err := listen(&toolkit.FlagConfig{WebListenAddresses: &test.addresses})
			defer closeAll(listeners)
			if test.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantError) {
					t.Errorf("got %v, want an error with %q", err, test.wantError)
				}
				return
			}
			if err != nil || len(listeners) != len(test.addresses) {
				t.Fatalf("%d listeners, %v", len(listeners), err)
			}
			for _, l := range listeners {
				conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
				if err != nil {
					t.Errorf("%s: %v", l.Addr(), err)
					continue
				}
				_ = conn.Close()
			}
		})
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// A client that reads nothing is dropped after stallTime. If all clients together leave
// too much unread, the one that has read nothing for the longest time is dropped earlier.
func TestSlowReadersAreDropped(t *testing.T) {
	u := &unread{limit: 100}
	pipe := func() (*slowConn, net.Conn) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
		return &slowConn{Conn: ours, unread: u}, theirs
	}
	write := func(c *slowConn, n int) <-chan error {
		done := make(chan error, 1)
		before := u.pending()
		go func() {
			_, err := c.Write(make([]byte, n))
			done <- err
		}()
		for u.pending() == before {
			time.Sleep(time.Millisecond) // until the other goroutine has begun, which only the count shows
		}
		return done
	}
	first, _ := pipe()
	second, reader := pipe()
	slow := write(first, 60)
	quick := write(second, 50)
	if err := <-slow; err == nil {
		t.Error("the first client was not dropped, with 110 of 100 bytes unread")
	}
	if n, err := reader.Read(make([]byte, 50)); n != 50 || err != nil {
		t.Errorf("the second read %d bytes, %v", n, err)
	}
	if err := <-quick; err != nil {
		t.Errorf("the second: %v", err)
	}
	if u.total != 0 || len(u.conns) != 0 {
		t.Errorf("%d bytes of %d clients are left over", u.total, len(u.conns))
	}
	third, _ := pipe()
	if err := third.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Write(make([]byte, 5)); !errors.Is(err, errSlowReader) {
		t.Errorf("a write after the server's own deadline: %v, want %v", err, errSlowReader)
	}
}

// pending returns how many bytes are unread.
func (u *unread) pending() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.total
}
