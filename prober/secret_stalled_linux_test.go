package prober

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailprobe/mail"
)

// hungFolder mounts a file system that answers nothing until the test ends, as a
// FUSE file system whose process hangs, or NFS whose server is gone.
func hungFolder(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skip("needs FUSE:", err)
	}
	dir := t.TempDir()
	if err := syscall.Mount("hung", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse.Fd())); err != nil {
		_ = fuse.Close()
		t.Skip("needs to mount:", err)
	}
	t.Cleanup(func() {
		_ = fuse.Close() // every call that hangs ends
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestHungSecretFileIsNotTheHostsFault: the probe ends within its timeout, names
// the file, and opens no connection. Others go on.
func TestHungSecretFileIsNotTheHostsFault(t *testing.T) {
	fix := newFixture(t)
	server := fix.server(t, mail.IMAP, mail.NoEncryption)
	path := filepath.Join(hungFolder(t), "password")
	files := new(mail.SecretFiles)
	hung := fix.connection(mail.IMAP, mail.NoEncryption, server.Addr, func(c *mail.Connection) {
		c.Password, c.Timeout = files.Source(path), 500*time.Millisecond
	})
	p := new(Prober)
	for range 20 {
		start := time.Now()
		o := p.Probe(t.Context(), hung)
		took := time.Since(start)
		wantFailure(t, o, mail.PhaseAuth, mail.LocalSecret)
		if o.Address != "" || !strings.Contains(o.Failure.Text, path) || took > 20*time.Second {
			t.Fatalf("after %v at %q: %s", took, o.Address, o.Failure.Text)
		}
	}
	healthy := fix.connection(mail.IMAP, mail.NoEncryption, server.Addr)
	if o := p.Probe(t.Context(), healthy); !o.Up() {
		t.Errorf("a connection without such a file: %s", explain(o))
	}
}
