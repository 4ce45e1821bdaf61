package mailtest

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestFailNthCallFailsAsAsked(t *testing.T) {
	wantRead := map[Fault]error{TimeoutFault: os.ErrDeadlineExceeded, ResetFault: syscall.ECONNRESET, EOFFault: io.EOF}
	wantWrite := map[Fault]error{TimeoutFault: os.ErrDeadlineExceeded, ResetFault: syscall.ECONNRESET,
		EOFFault: syscall.EPIPE, ShortFault: io.ErrShortWrite}
	for _, fault := range Faults() {
		t.Run(string(fault), func(t *testing.T) {
			client, server := Pipe(0)
			_, _ = server.Write([]byte("0123456789"))
			conn := FailNth(client, ReadCall, 2, fault)
			buffer := make([]byte, 4)
			if n, err := conn.Read(buffer); string(buffer[:n]) != "0123" || err != nil || conn.Hit() {
				t.Fatalf("first read: got %q, %v", buffer[:n], err)
			}
			n, err := conn.Read(buffer)
			if !errors.Is(err, wantRead[fault]) || !conn.Hit() {
				t.Errorf("second read: got %v, want %v", err, wantRead[fault])
			}
			if want := map[Fault]int{ShortFault: 1, GarbageFault: 4}[fault]; n != want {
				t.Errorf("second read: got %d bytes, want %d", n, want)
			}
			if fault == GarbageFault && string(buffer) == "4567" {
				t.Error("garbage: got what was sent")
			}
			if _, err := conn.Read(buffer); !errors.Is(err, wantRead[fault]) {
				t.Errorf("third read: got %v, want %v", err, wantRead[fault])
			}

			client, server = Pipe(0)
			conn = FailNth(client, WriteCall, 1, fault)
			if _, err := conn.Write([]byte("abcd")); !errors.Is(err, wantWrite[fault]) {
				t.Errorf("write: got %v, want %v", err, wantWrite[fault])
			}
			_ = client.Close()
			got, _ := io.ReadAll(server)
			if want := map[Fault]int{ShortFault: 2, GarbageFault: 4}[fault]; len(got) != want || string(got) == "abcd" {
				t.Errorf("written: got %q, want %d bytes", got, want)
			}
		})
	}
}

func TestFailNthCallClosesAnyway(t *testing.T) {
	for _, fault := range Faults() {
		client, server := Pipe(0)
		conn := FailNth(client, AnyCall, 1, fault)
		if err := conn.Close(); err == nil {
			t.Errorf("%s: close went well", fault)
		}
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: the peer reads %v, want EOF", fault, err)
		}
	}
}

func TestFailNthCallLeavesTheRestAlone(t *testing.T) {
	client, server := Pipe(0)
	conn := FailNth(client, AnyCall, 9, ResetFault)
	_, _ = server.Write([]byte("x"))
	for _, call := range []func() error{
		func() error { _, err := conn.Write([]byte("y")); return err },
		func() error { _, err := conn.Read(make([]byte, 1)); return err },
		conn.Close,
	} {
		if err := call(); err != nil {
			t.Error(err)
		}
	}
	if conn.Hit() || conn.Calls() != 3 {
		t.Errorf("hit %v, calls %d, want none of 3", conn.Hit(), conn.Calls())
	}
}

// proxied returns a connection through a proxy to a script.
func proxied(t *testing.T, text string, up, down Stream) (*Scripted, net.Conn) {
	t.Helper()
	server := scripted(t, text, ScriptOptions{})
	proxy, err := StartProxy(server.Addr, up, down)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	return server, dialRaw(t, proxy.Addr)
}

func TestProxy(t *testing.T) {
	tests := []struct {
		name      string
		up, down  Stream
		want      string
		wantErr   error
		wantReads int // at least
	}{
		{"whole", Stream{}, Stream{}, "0123456789", nil, 1},
		{"sliced", Stream{Slice: 1}, Stream{Slice: 3, Delay: cutPause}, "0123456789", nil, 4},
		{"cut", Stream{}, Stream{CutAt: 4}, "0123456789", nil, 2},
		{"reset", Stream{}, Stream{ResetAt: 4}, "0123", syscall.ECONNRESET, 1},
		{"closed", Stream{}, Stream{CloseAt: 4}, "0123", nil, 1},
		{"swallowed", Stream{}, Stream{StallAt: 4}, "0123", nil, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, conn := proxied(t, "C: hello\nSEND \"0123456789\"", test.up, test.down)
			_, _ = io.WriteString(conn, "hello\r\n")
			var got []byte
			var err error
			reads := 0
			for buffer := make([]byte, 64); err == nil; {
				var n int
				n, err = conn.Read(buffer)
				got = append(got, buffer[:n]...)
				reads++
			}
			if err == io.EOF {
				err = nil
			}
			if string(got) != test.want || !errors.Is(err, test.wantErr) || reads < test.wantReads {
				t.Errorf("got %q in %d reads, %v; want %q in %d or more, %v", got, reads, err, test.want, test.wantReads, test.wantErr)
			}
		})
	}
}
