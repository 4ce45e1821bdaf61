package realserver

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"mailprobe/internal/subprocess"
)

// StartPostgrey runs a private postgrey until the test ends, and returns its port
// on Host: a policy service of Postfix that defers the first attempt of every message,
// and accepts one that is repeated after so many seconds. The
// test is skipped where .ci/servers has not unpacked it.
func StartPostgrey(t testing.TB, seconds int) int {
	t.Helper()
	program := unpacked(t, "usr/sbin/postgrey")
	dir := folder(t, "pg")
	none := write(t, dir, "whitelist", "", 0o644)
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	return start(t, "postgrey", "", 1, func(ports []int) (*subprocess.Process, error) {
		include := []string{"-T"} // taint mode ignores PERL5LIB
		for _, path := range perlFolders() {
			include = append(include, "-I"+path)
		}
		return runUnpacked("/usr/bin/perl", append(include, program, "--inet="+Host+":"+strconv.Itoa(ports[0]), "--delay="+strconv.Itoa(seconds), "--dbdir="+filepath.Join(dir, "db"),
			"--user=root", "--group=root", "--whitelist-clients="+none, "--whitelist-recipients="+none)...)
	})[0]
}
