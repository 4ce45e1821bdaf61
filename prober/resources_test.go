//go:build unix

package prober

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailprobe/internal/subprocess"
	"mailprobe/mail"
)

// poorAddress, set in the environment, makes the test binary a process with few
// descriptors that probes the server there.
const poorAddress = "MAILPROBE_POOR_ADDRESS"

// Fault 134: without a free descriptor neither a socket nor a
// secret file can be opened; when there are some again, probes go on.
func TestProbeWithoutDescriptors(t *testing.T) {
	if addr := os.Getenv(poorAddress); addr != "" {
		probeInPoverty(t, addr)
		return
	}
	fix := newFixture(t)
	server := fix.server(t, mail.IMAP, mail.NoEncryption)
	command := exec.Command(os.Args[0], "-test.run=^TestProbeWithoutDescriptors$", "-test.v")
	command.Env = append(os.Environ(), poorAddress+"="+server.Addr)
	out, err := subprocess.RunFor(t, command)
	if err != nil || !strings.Contains(out, "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// probeInPoverty runs in a process of its own.
func probeInPoverty(t *testing.T, addr string) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("wonder land\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inline := (&fixture{}).connection(mail.IMAP, mail.NoEncryption, addr, func(c *mail.Connection) { c.Timeout = 30 * time.Second })
	fromFile := (&fixture{}).connection(mail.IMAP, mail.NoEncryption, addr, func(c *mail.Connection) { c.Password = mail.FileSecret(path) })
	prober := new(Prober)
	if o := prober.Probe(t.Context(), inline); !o.Up() { // opens the poller, too
		t.Fatal(explain(o))
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	poor := limit
	poor.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &poor); err != nil {
		t.Fatal(err)
	}
	var held []*os.File
	for {
		file, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held = append(held, file)
	}
	wantFailure(t, prober.Probe(t.Context(), inline), mail.PhaseConnect, mail.LocalResources)
	wantFailure(t, prober.Probe(t.Context(), fromFile), mail.PhaseAuth, mail.LocalResources)
	byName := *inline
	byName.Host = "mail.example"
	wantFailure(t, prober.Probe(t.Context(), &byName), mail.PhaseResolve, mail.LocalResources)
	for _, file := range held {
		_ = file.Close()
	}
	for _, c := range []*mail.Connection{inline, fromFile} {
		if o := prober.Probe(t.Context(), c); !o.Up() {
			t.Errorf("descriptors are free again, but\n%s", explain(o))
		}
	}
}
