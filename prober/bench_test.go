package prober

// What a probe costs, against the same dialogue by hand over a bare tls.Conn:
//
//	go test ./prober -run '^$' -bench ProbeIMAPS -benchtime 200x -count 5
//
// The server runs in a process of its own, so that cpu-µs/op is the client's
// alone.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
	"mailprobe/internal/systest"

	"mailprobe/mail"
)

// sinkFolder, set in the environment, makes the test binary the bench's server.
const sinkFolder = "MAILPROBE_BENCH_SINK"

// TestBenchSink is no test: it is the server of the benchmarks.
func TestBenchSink(t *testing.T) {
	folder := os.Getenv(sinkFolder)
	if folder == "" {
		t.Skip("only the benchmarks' server process runs this")
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the benchmark's process
		_ = listener.Close()
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go serveBench(conn)
	}
}

// serveBench answers an IMAP client whatever it asks.
func serveBench(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, "* OK ready\r\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		tag, command, _ := strings.Cut(lines.Text(), " ")
		switch word, _, _ := strings.Cut(command, " "); word {
		case "CAPABILITY":
			fmt.Fprintf(conn, "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n%s OK\r\n", tag)
		case "EXAMINE":
			fmt.Fprintf(conn, "* 3 EXISTS\r\n%s OK\r\n", tag)
		case "LOGOUT":
			fmt.Fprintf(conn, "* BYE\r\n%s OK\r\n", tag)
			return
		default:
			fmt.Fprintf(conn, "%s OK\r\n", tag)
		}
	}
}

// benchSink starts the server process and returns a connection to it.
func benchSink(b *testing.B) *mail.Connection {
	folder := b.TempDir()
	fixture := newFixture(b)
	if err := mailtest.WritePair(fixture.cert, filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")); err != nil {
		b.Fatal(err)
	}
	command := exec.Command(os.Args[0], "-test.run=^TestBenchSink$", "-test.v")
	command.Env = append(os.Environ(), sinkFolder+"="+folder)
	if _, err := command.StdinPipe(); err != nil { // its end is the server's
		b.Fatal(err)
	}
	server := subprocess.StartFor(b, command)
	for range 1000 {
		for line := range strings.Lines(server.Output()) {
			if addr, ok := strings.CutPrefix(line, "listening on "); ok && strings.HasSuffix(addr, "\n") {
				return fixture.connection(mail.IMAP, mail.ImplicitTLS, strings.TrimSpace(addr))
			}
		}
		time.Sleep(10 * time.Millisecond) // another process: its output is all there is to wait for
	}
	b.Fatal("the server process did not start")
	return nil
}

// batch is how often each kind runs before the next has its turn: all of them
// are measured under the same noise of the machine.
const batch = 16

// together runs f batch times at once and returns the processor time of one.
func together(b *testing.B, f func() error) time.Duration {
	before := systest.ProcessorTime()
	var group sync.WaitGroup
	for range batch {
		group.Go(func() {
			if err := f(); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	return (systest.ProcessorTime() - before) / batch
}

// BenchmarkProbeIMAPS compares, in turn, a verified handshake, the dialogue of a
// probe by hand, and a probe: IMAP over TLS with login. One op is a batch of each.
func BenchmarkProbeIMAPS(b *testing.B) {
	c := benchSink(b)
	prober := &Prober{Hostname: "bench"}
	kinds := []func() error{
		func() error { return byHand(c, false) },
		func() error { return byHand(c, true) },
		func() error {
			if o := prober.Probe(context.Background(), c); !o.Up() {
				return errors.New(explain(o))
			}
			return nil
		},
	}
	var spent [3]time.Duration
	for b.Loop() {
		for i, kind := range kinds {
			spent[i] += together(b, kind)
		}
	}
	each := func(i int) float64 { return float64(spent[i].Microseconds()) / float64(b.N) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(each(0), "handshake-cpu-µs")
	b.ReportMetric(each(1), "by-hand-cpu-µs")
	b.ReportMetric(each(2), "probe-cpu-µs")
	b.ReportMetric(each(2)/each(0), "probe/handshake")
	b.ReportMetric(each(2)/each(1), "probe/by-hand")
}

// byHand is a handshake with verification, and the dialogue of a probe with
// nothing around it.
func byHand(c *mail.Connection, dialogue bool) error {
	raw, err := net.Dial("tcp", c.Address())
	if err != nil {
		return err
	}
	defer raw.Close()
	conn := tls.Client(raw, c.TLS)
	if err := conn.Handshake(); err != nil || !dialogue {
		return err
	}
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	for i, command := range []string{"CAPABILITY", "AUTHENTICATE PLAIN AGFsaWNlAHdvbmRlciBsYW5k", "EXAMINE INBOX", "LOGOUT"} {
		tag := fmt.Sprintf("A%d ", i)
		if _, err := conn.Write([]byte(tag + command + "\r\n")); err != nil {
			return err
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			if strings.HasPrefix(line, tag) {
				break
			}
		}
	}
	return nil
}
