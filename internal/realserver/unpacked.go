package realserver

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mailprobe/internal/subprocess"
)

// unpackedIn names the folder into which .ci/servers has unpacked servers that are
// not installed: some of them conflict with Postfix.
const unpackedIn = "MAILPROBE_SERVERS"

// unpacked returns the path of a program in that folder. Without the folder the test
// is skipped with a clear line: not every machine can download these packages.
func unpacked(t testing.TB, path string) string {
	t.Helper()
	root := os.Getenv(unpackedIn)
	program := filepath.Join(root, path)
	_, err := os.Stat(program)
	switch {
	case root == "":
		t.Skipf("%s is not unpacked: .ci/servers DIRECTORY, then %s=DIRECTORY", filepath.Base(path), unpackedIn)
	case err != nil:
		refuse(t, err.Error())
	case os.Geteuid() != 0:
		refuse(t, filepath.Base(path)+" has to be started by root")
	}
	return program
}

// libraryFolders are where the libraries of unpacked programs are.
func libraryFolders() []string {
	root := os.Getenv(unpackedIn)
	return []string{filepath.Join(root, "usr/lib/x86_64-linux-gnu"), filepath.Join(root, "lib/x86_64-linux-gnu"), filepath.Join(root, "usr/lib"), filepath.Join(root, "usr/lib/rspamd")}
}

// perlFolders are where their Perl modules are.
func perlFolders() []string {
	root := os.Getenv(unpackedIn)
	folders, _ := filepath.Glob(filepath.Join(root, "usr/lib/x86_64-linux-gnu/perl5/*"))
	return append(folders, filepath.Join(root, "usr/share/perl5"))
}

// runUnpacked starts an unpacked program in the foreground.
func runUnpacked(name string, args ...string) (*subprocess.Process, error) {
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraryFolders(), ":"))
	return subprocess.Start(command)
}

// serverUsers are the users that unpacked servers were built for, with their ids.
var serverUsers = map[string]int{"Debian-exim": 59801, "cyrus": 59802}

// runAs starts an unpacked program that requires a user of its own, and that starts itself
// again without its environment. The user and the path of its libraries exist only in
// a mount namespace of the program, so that the machine's own files stay as they are.
func runAs(t testing.TB, dir, user, name string, args ...string) (*subprocess.Process, error) {
	t.Helper()
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("%s needs a mount namespace: %v %s", filepath.Base(name), err, out)
	}
	script := "set -e\n"
	for _, file := range []string{"passwd", "group"} {
		raw, err := os.ReadFile("/etc/" + file)
		if err != nil {
			return nil, err
		}
		line := fmt.Sprintf("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", user, serverUsers[user], serverUsers[user])
		if file == "group" {
			line = fmt.Sprintf("%s:x:%d:\n", user, serverUsers[user])
		}
		script += fmt.Sprintf("mount --bind %s /etc/%s\n", write(t, dir, file, string(bytes.Join([][]byte{raw, []byte(line)}, nil)), 0o644), file)
	}
	list := write(t, dir, "ld.so.conf", strings.Join(libraryFolders(), "\n")+"\ninclude /etc/ld.so.conf\n", 0o644)
	cache := filepath.Join(dir, "ld.so.cache")
	output(t, "/sbin/ldconfig", "-X", "-C", cache, "-f", list)
	if err := os.Chmod(cache, 0o644); err != nil {
		return nil, err
	}
	script += fmt.Sprintf("mount --bind %s /etc/ld.so.cache\nexec \"$@\"\n", cache)
	command := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh", name}, args...)...)
	return subprocess.Start(command)
}
