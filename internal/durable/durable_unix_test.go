//go:build unix

package durable

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// owners returns the user and the group of a file.
func owners(t *testing.T, path string) [2]uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return [2]uint32{stat.Uid, stat.Gid}
}

// Files that root writes for a service belong to the service, so that it can read them.
func TestRootLeavesFilesToTheirOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := filepath.Join(t.TempDir(), "service")
	path, want := filepath.Join(dir, "file"), [2]uint32{1234, 2345}
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 1234, 2345)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"fresh", "again"} {
		if err := Replace(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := owners(t, path); got != want {
			t.Errorf("%s: belongs to %v, want %v", text, got, want)
		}
	}
	if err := os.Chown(path, 77, 78); err != nil {
		t.Fatal(err)
	}
	unlock, err := Lock(path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unlock.Close(), Replace(path, []byte("theirs"), 0o600), Mkdir(path+".d", 0o700, path)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]uint32{"": {77, 78}, ".d": {77, 78}, ".lock": want} {
		if got := owners(t, path+name); got != want {
			t.Errorf("%s belongs to %v, want %v", path+name, got, want)
		}
	}
}

// Only root can keep the owner of another user's file. For others Replace fails, and leaves
// the file as it is.
func TestOthersDoNotTakeAFileFromItsOwner(t *testing.T) {
	if os.Getenv("MAILPROBE_FOREIGN_FILE") != "" {
		if err := Replace(os.Getenv("MAILPROBE_FOREIGN_FILE"), []byte("mine"), 0o600); err == nil {
			t.Error("replaced")
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of another user")
	}
	dir, err := os.MkdirTemp("", "durable") //nolint:usetesting // t.TempDir is below a folder that others cannot enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path, binary := filepath.Join(dir, "file"), filepath.Join(dir, "test")
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	if err := errors.Join(os.WriteFile(path, []byte("theirs"), 0o644), os.WriteFile(binary, own, 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	process, err := os.StartProcess(binary, []string{binary, "-test.run=TestOthersDoNotTakeAFileFromItsOwner"}, &os.ProcAttr{Dir: dir,
		Env: []string{"MAILPROBE_FOREIGN_FILE=" + path}, Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}})
	if err != nil {
		t.Fatal(err)
	}
	state, err := process.Wait()
	if raw, readErr := os.ReadFile(path); err != nil || !state.Success() || readErr != nil || string(raw) != "theirs" {
		t.Errorf("%v, %v; the file holds %q", state, err, raw)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
