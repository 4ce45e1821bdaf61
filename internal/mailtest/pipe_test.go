package mailtest

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipeHoldsWhatIsNotRead(t *testing.T) {
	client, server := Pipe(0)
	if _, err := client.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	if all, err := io.ReadAll(server); len(all) != 1<<20 || err != nil {
		t.Errorf("read: got %d bytes, %v", len(all), err)
	}
}

func TestPipeEnds(t *testing.T) {
	tests := []struct {
		name      string
		end       func(client, server *PipeConn)
		wantRead  error // at the client
		wantWrite error
	}{
		{"peer closes", func(_, server *PipeConn) { _ = server.Close() }, io.EOF, syscall.EPIPE},
		{"peer ends its direction", func(_, server *PipeConn) { _ = server.CloseWrite() }, io.EOF, nil},
		{"peer resets", func(_, server *PipeConn) { _ = server.SetLinger(0); _ = server.Close() }, syscall.ECONNRESET, syscall.EPIPE},
		{"we close", func(client, _ *PipeConn) { _ = client.Close() }, net.ErrClosed, net.ErrClosed},
		{"deadline in the past", func(client, _ *PipeConn) { _ = client.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, server := Pipe(0)
			test.end(client, server)
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, test.wantRead) {
				t.Errorf("read: got %v, want %v", err, test.wantRead)
			}
			if _, err := client.Write([]byte("x")); !errors.Is(err, test.wantWrite) {
				t.Errorf("write: got %v, want %v", err, test.wantWrite)
			}
		})
	}
}

func TestPipeWaitsUntilTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(4)
		begin := time.Now()
		_ = client.SetReadDeadline(begin.Add(time.Hour)) // replaced below
		_ = client.SetReadDeadline(begin.Add(2 * time.Second))
		_ = client.SetWriteDeadline(begin.Add(3 * time.Second))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 2*time.Second {
			t.Errorf("read: got %v after %v", err, time.Since(begin))
		}
		n, err := client.Write([]byte("123456"))
		if n != 4 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("write into a full window: got %d, %v after %v", n, err, time.Since(begin))
		}
		_ = client.SetDeadline(time.Time{})
		go func() { _, _ = client.Write([]byte("78")) }()
		synctest.Wait()
		all := make([]byte, 6)
		if _, err := io.ReadFull(server, all); string(all) != "123478" || err != nil {
			t.Errorf("read: got %q, %v", all, err)
		}
	})
}

func TestPipeWakesAReaderThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, wake := range map[string]func(client, server *PipeConn){
			"close":    func(client, _ *PipeConn) { _ = client.Close() },
			"deadline": func(client, _ *PipeConn) { _ = client.SetDeadline(time.Now()) },
			"reset":    func(_, server *PipeConn) { _ = server.SetLinger(0); _ = server.Close() },
		} {
			client, server := Pipe(0)
			read := make(chan error)
			go func() {
				_, err := client.Read(make([]byte, 1))
				read <- err
			}()
			synctest.Wait()
			wake(client, server)
			if err := <-read; err == nil {
				t.Errorf("%s: read went well", name)
			}
		}
	})
}
