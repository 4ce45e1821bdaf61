package exporter_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mailprobe/internal/promtest"
	"mailprobe/internal/subprocess"
)

// healthyOver asks for /-/healthy over any kind of socket.
func healthyOver(t *testing.T, network, address string) error {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://localhost/-/healthy")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized { // a web.config.file asks for a password
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}

// passwordFile is a web.config.file that asks for a password. With it, the toolkit writes
// to each http.Server that it serves, so that no two listeners may share one.
func passwordFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.yml")
	// "test", as in the toolkit's documentation
	text := "basic_auth_users:\n  admin: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Loopback, a second address and a socket in the file system, all with the same
// web.config.file.
func TestSeveralListenAddresses(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "http.sock")
	first, second := subprocess.FreeAddress(t), subprocess.FreeAddress(t)
	command := exec.Command(binary(t), "--config.file="+configure(t, connection(t, "inbox", "127.0.0.1:1")),
		"--web.listen-address="+first, "--web.listen-address="+second, "--web.listen-address=unix:"+socket, "--web.config.file="+passwordFile(t))
	program := subprocess.StartFor(t, command)
	for _, at := range [][2]string{{"tcp", first}, {"tcp", second}, {"unix", socket}} {
		promtest.Eventually(t, at[1]+" answers", func() bool { return healthyOver(t, at[0], at[1]) == nil })
	}
	if out, err := exec.Command(binary(t), "healthcheck", "--web.listen-address=unix:"+socket).CombinedOutput(); err != nil {
		t.Errorf("healthcheck over the socket: %v\n%s", err, out)
	}
	program.Stop(10 * time.Second)
	if err := program.Wait(); err != nil {
		t.Errorf("it ended: %v\n%s", err, program.Output())
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}

// systemd opens two sockets and passes both.
func TestSocketActivationWithTwoSockets(t *testing.T) {
	t.Parallel()
	var files []*os.File
	var addresses []string
	for range 2 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, listener.Addr().String())
		_ = listener.Close()
		defer file.Close()
		files = append(files, file)
	}
	// LISTEN_PID is the process that the sockets are for.
	command := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", binary(t),
		"--config.file="+configure(t, connection(t, "inbox", "127.0.0.1:1")), "--web.systemd-socket", "--web.config.file="+passwordFile(t))
	command.Env = append(os.Environ(), "LISTEN_FDS=2")
	command.ExtraFiles = files
	subprocess.StartFor(t, command)
	for _, address := range addresses {
		promtest.Eventually(t, address+" answers", func() bool { return healthyOver(t, "tcp", address) == nil })
	}
}
