package exporter_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mailprobe/internal/promtest"
)

// fullDisk mounts a file system of 16 KiB and fills it. The returned func makes room.
func fullDisk(t *testing.T) (dir string, makeRoom func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir = t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skip("needs the right to mount:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk of 16 KiB is not full: %v", err)
	}
	return dir, func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// The program starts with a full disk, reports that it cannot keep holds, and tries no
// login, because a restart would forget it. Once there is room, it logs in.
func TestStartsWithAFullDisk(t *testing.T) {
	t.Parallel()
	dir, makeRoom := fullDisk(t)
	server := honest(t)
	config := configure(t, connection(t, "inbox", server.Addr, "interval", "1s", "timeout", "1s"))
	url, program := begin(t, nil, "--config.file="+config, "--state.file="+filepath.Join(dir, "state"))
	held := `mailprobe_auth_held{connection="inbox",protocol="imap"}`
	promtest.Eventually(t, "a withheld login", func() bool { return value(t, url, held) == 1 })
	if kept := value(t, url, "mailprobe_auth_holds_kept"); kept != 0 {
		t.Errorf("mailprobe_auth_holds_kept is %v with a full disk", kept)
	}
	if since := value(t, url, "mailprobe_auth_holds_unkept_since_timestamp_seconds"); since <= 0 {
		t.Errorf("mailprobe_auth_holds_unkept_since_timestamp_seconds is %v", since)
	}
	if n := len(server.Logins()); n != 0 {
		t.Errorf("%d logins without a record", n)
	}
	makeRoom()
	promtest.Eventually(t, "an accepted login", func() bool {
		return value(t, url, `mailprobe_up{connection="inbox",protocol="imap"}`) == 1
	})
	promtest.Eventually(t, "kept holds", func() bool { return value(t, url, "mailprobe_auth_holds_kept") == 1 })
	terminate(t, program)
}
