package exporter_test

// This file builds, configures and starts the program for the tests, and reads its
// answers.

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/promtest"
)

// program is the built program; TestMain removes it.
var program = promtest.Builder{Root: "../.."}

func binary(t *testing.T) string {
	t.Helper()
	return program.Binary(t)
}

// password is in every configuration here, and must be in no answer.
const password = "looking-glass-42"

// configure writes a configuration of the given connections.
func configure(t *testing.T, connections ...map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"connections": connections})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mailprobe.yml")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// connection is an IMAP connection in clear to address.
func connection(t *testing.T, name, address string, more ...any) map[string]any {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	c := map[string]any{"name": name, "protocol": "imap", "encryption": "none", "host": host, "port": n,
		"username": "user@example.org", "password": password, "interval": "1h", "timeout": "5s"}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	return c
}

// serve runs the program with a configuration and returns its URL.
func serve(t *testing.T, config string, flags ...string) string {
	t.Helper()
	m := promtest.StartMailprobe(t, binary(t), append(flags, "--config.file="+config)...)
	return "http://" + m.Address
}

// honest is an IMAP server with one user.
func honest(t *testing.T) *mailtest.Server {
	t.Helper()
	s, err := mailtest.Start(mailtest.Options{Protocol: mailtest.IMAP, Encryption: mailtest.NoEncryption,
		Users: map[string]string{"user@example.org": password}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// silent is a server that accepts connections and sends nothing, at every address of the
// loopback network. accepted returns how many connections it has accepted.
func silent(t *testing.T) (address string, accepted func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort("127.0.0.1", port), func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(conns)
	}
}

// client gives up after a time that is longer than any answer in these tests takes.
var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// get returns the status and the body of an answer.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// value returns the value of a series; -1: there is none. series is its line in the text
// format, without the value.
func value(t *testing.T, url, series string) float64 {
	t.Helper()
	_, body := get(t, url+"/metrics?probe=false")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return -1
}

// raw sends bytes as they are and returns the whole answer.
func raw(t *testing.T, url, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.WriteString(conn, request) }() // it may be refused before its end
	answer, err := io.ReadAll(conn)
	if len(answer) == 0 {
		t.Fatalf("no answer: %v", err)
	}
	return string(answer)
}
