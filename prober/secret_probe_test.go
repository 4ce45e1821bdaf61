package prober

// Whole probes whose password is in a file: one that cannot be used, and one
// that changes.

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/internal/systest"
	"mailprobe/mail"
)

// TestProbeWithAPasswordFileThatCannotBeUsed opens no connection, and does not
// block (faults 145 and 146).
func TestProbeWithAPasswordFileThatCannotBeUsed(t *testing.T) {
	fix := newFixture(t)
	noDial := func(context.Context, []netip.Addr, int) (net.Conn, error) {
		t.Error("a connection was opened")
		return nil, errors.New("nobody is there")
	}
	holding := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		story string
		make  func(t *testing.T, path string)
		word  string // in the failure's text
	}{
		{"missing", func(*testing.T, string) {}, "no such file"},
		{"empty", holding(""), "empty"},
		{"only a newline", holding("\n"), "empty"},
		{"a directory", func(_ *testing.T, path string) { must(os.Mkdir(path, 0o700)) }, "not a regular file"},
		{"a FIFO without a writer", func(t *testing.T, path string) { systest.MakeFIFO(t, path) }, "not a regular file"},
		{"a symbolic link to itself", func(_ *testing.T, path string) { must(os.Symlink(path, path)) }, "symbolic link"},
		{"a link to nowhere", func(_ *testing.T, path string) { must(os.Symlink("gone", path)) }, "no such file"},
		{"/dev/zero", func(_ *testing.T, path string) { must(os.Symlink("/dev/zero", path)) }, "not a regular file"},
		{"larger than 64 KiB", holding(strings.Repeat("x", mail.MaxSecret+1)), "larger than 64 KiB"},
		{"two lines", holding("wonder\nland\n"), "line break"},
		{"two newlines at the end", holding("wonder land\n\n"), "line break"},
		{"a NUL", holding("wonder\x00land"), "NUL"},
		{"unreadable", func(t *testing.T, path string) {
			// Root may read everything, but not this.
			if runtime.GOOS != "linux" {
				t.Skip("needs /proc")
			}
			must(os.Symlink("/proc/self/mem", path))
		}, "input/output error"},
		{"without permission", func(t *testing.T, path string) {
			if os.Geteuid() == 0 {
				t.Skip("root may read everything")
			}
			holding("wonder land")(t, path)
			must(os.Chmod(path, 0))
		}, "permission denied"},
	} {
		t.Run(test.story, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "password")
			test.make(t, path)
			for _, p := range mail.Protocols() {
				c := fix.connection(p, mail.ImplicitTLS, "127.0.0.1:1", func(c *mail.Connection) { c.Password = mail.FileSecret(path) })
				start := time.Now()
				o := (&Prober{dial: noDial}).Probe(t.Context(), c)
				wantFailure(t, o, mail.PhaseAuth, mail.LocalSecret)
				if o.Auth.Sent || o.Auth.Rejected || o.Address != "" || time.Since(start) > c.Timeout/2 {
					t.Errorf("%+v at %q after %v", o.Auth, o.Address, time.Since(start))
				}
				if !strings.Contains(o.Failure.Text, test.word) || !strings.Contains(o.Failure.Text, path) || strings.Contains(o.Failure.Text, "wonder") {
					t.Errorf("%q; want the path and %q, and nothing of the file", o.Failure.Text, test.word)
				}
			}
		})
	}
}

// TestProbeCutsOneNewlineOfThePasswordFile (fault 146).
func TestProbeCutsOneNewlineOfThePasswordFile(t *testing.T) {
	fix := newFixture(t)
	server := fix.server(t, mail.IMAP, mail.NoEncryption)
	path := filepath.Join(t.TempDir(), "password")
	c := fix.connection(mail.IMAP, mail.NoEncryption, server.Addr, func(c *mail.Connection) { c.Password = mail.FileSecret(path) })
	for _, end := range []string{"", "\n", "\r\n"} {
		if err := os.WriteFile(path, []byte("wonder land"+end), 0o600); err != nil {
			t.Fatal(err)
		}
		if o := new(Prober).Probe(t.Context(), c); !o.Up() {
			t.Errorf("with %q at its end:\n%s", end, explain(o))
		}
	}
	if err := os.WriteFile(path, []byte("wonder land \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, new(Prober).Probe(t.Context(), c), mail.PhaseAuth, mail.AuthRejected) // a space belongs to it
}

// mounted is a secret as Kubernetes mounts it: password -> ..data/password, and
// ..data -> a folder with the content, which a change replaces by rename.
type mounted struct{ dir string }

func mountSecret(t *testing.T, password string) mounted {
	t.Helper()
	m := mounted{t.TempDir()}
	m.swap(t, password)
	if err := os.Symlink(filepath.Join("..data", "password"), m.path()); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m mounted) path() string { return filepath.Join(m.dir, "password") }

// swap is one atomic change of the content. The folder before stays for a
// moment, as it does there.
func (m mounted) swap(t *testing.T, password string) {
	t.Helper()
	next, err := os.MkdirTemp(m.dir, "..2026_")
	if err == nil {
		err = os.WriteFile(filepath.Join(next, "password"), []byte(password), 0o600)
	}
	link := filepath.Join(m.dir, "..data_tmp")
	if err == nil {
		err = os.Symlink(filepath.Base(next), link)
	}
	if err == nil {
		err = os.Rename(link, filepath.Join(m.dir, "..data"))
	}
	if err != nil {
		t.Error(err)
	}
}

// TestProbeDuringSecretSwaps logs in with the old password or the new one, never
// with a mixture, whenever the swap comes (fault 148).
func TestProbeDuringSecretSwaps(t *testing.T) {
	fix := newFixture(t)
	server := fix.server(t, mail.POP3, mail.NoEncryption)
	older, newer := strings.Repeat("o", 300), strings.Repeat("n", 200)
	secret := mountSecret(t, older)
	c := fix.connection(mail.POP3, mail.NoEncryption, server.Addr, func(c *mail.Connection) {
		c.Password, c.Auth = mail.FileSecret(secret.path()), mail.AuthLogin
	})
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				secret.swap(t, []string{newer, older}[i%2])
				time.Sleep(100 * time.Microsecond) // swaps at all times within a probe, and leaves it time to run
			}
		}
	})
	for range 60 {
		wantFailure(t, new(Prober).Probe(t.Context(), c), mail.PhaseAuth, mail.AuthRejected)
	}
	close(stop)
	swapping.Wait()
	for _, password := range []string{older, newer} {
		secret.swap(t, password)
		wantFailure(t, new(Prober).Probe(t.Context(), c), mail.PhaseAuth, mail.AuthRejected)
		if logins := server.Logins(); logins[len(logins)-1].Secret != password {
			t.Error("the swap before the probe was not seen")
		}
	}
	for _, login := range server.Logins() {
		if login.Secret != older && login.Secret != newer {
			t.Errorf("a login with %q", login.Secret)
		}
	}
}

// TestSecretSwapEndsAHold: what counts is the content, not the file's time
// (fault 148).
func TestSecretSwapEndsAHold(t *testing.T) {
	fix := newFixture(t)
	for _, p := range mail.Protocols() {
		t.Run(string(p), func(t *testing.T) {
			server := fix.server(t, p, mail.StartTLS)
			secret := mountSecret(t, "looking glass")
			h := newGuardedTime(t)
			prober := &Prober{Guard: h.Guard}
			c := fix.connection(p, mail.StartTLS, server.Addr, func(c *mail.Connection) { c.Password = mail.FileSecret(secret.path()) })
			wantFailure(t, prober.Probe(t.Context(), c), mail.PhaseAuth, mail.AuthRejected)
			for range 3 {
				h.sleep(time.Minute)
				secret.swap(t, "looking glass\n") // the same again, in a new file
				wantFailure(t, prober.Probe(t.Context(), c), mail.PhaseAuth, mail.AuthRejected)
			}
			if n := len(server.Logins()); n != 1 {
				t.Errorf("%d logins with a password that did not change, want 1", n)
			}
			secret.swap(t, "wonder land\n")
			if o := prober.Probe(t.Context(), c); !o.Up() || o.Auth.Held {
				t.Errorf("after the swap:\n%s", explain(o))
			}
		})
	}
}
