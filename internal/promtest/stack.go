package promtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mailprobe/internal/subprocess"
)

// WithRules makes a directory that looks as the comments in deploy/prometheus
// ask for: the file, and the rules beside it in rules/. root is the way to the
// top of the repository. Pairs of old and new texts are replaced in the file;
// an old text that is not there fails the test. It returns the file's path.
func WithRules(t *testing.T, root, file string, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Glob(filepath.Join(root, "dashboards/rules/*.yml"))
	if err != nil || len(rules) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, rule := range rules {
		Copy(t, rule, filepath.Join(dir, "rules", filepath.Base(rule)))
	}
	path := filepath.Join(dir, filepath.Base(file))
	Copy(t, filepath.Join(root, file), path, pairs...)
	return path
}

// Copy copies a text file, with pairs of old and new texts replaced; an old
// text that is not there fails the test.
func Copy(t *testing.T, from, to string, pairs ...string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for i := 0; i+1 < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s holds no %q", from, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Mailprobe is a running mailprobe.
type Mailprobe struct {
	Process *subprocess.Process
	Address string // where it serves
}

// StartDemo builds mailprobe and runs its demo. root is as for WithRules.
func StartDemo(t *testing.T, root string) *Mailprobe {
	t.Helper()
	build := Builder{Root: root}
	t.Cleanup(build.Remove)
	return StartMailprobe(t, build.Binary(t), "demo")
}

// StartMailprobe runs a binary of a Builder on a free port.
func StartMailprobe(t *testing.T, binary string, args ...string) *Mailprobe {
	t.Helper()
	address := subprocess.FreeAddress(t)
	args = append(args, "--web.listen-address="+address)
	return &Mailprobe{Address: address, Process: Start(t, "http://"+address+"/-/healthy", binary, args...)}
}

// Builder builds mailprobe once for all tests of a package.
type Builder struct {
	Root string // as for WithRules

	once   sync.Once
	folder string
	err    error
}

// Binary is the path of the binary, which is built at the first call.
func (b *Builder) Binary(t *testing.T) string {
	t.Helper()
	b.once.Do(b.build)
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.folder, "mailprobe")
}

func (b *Builder) build() {
	if b.folder, b.err = os.MkdirTemp("", "mailprobe-test-"); b.err != nil {
		return
	}
	// As a release is built: without it the version is empty.
	build := exec.Command("go", "build", "-ldflags", "-s -w -X github.com/prometheus/common/version.Version=0.0.0-test",
		"-o", filepath.Join(b.folder, "mailprobe"), ".")
	build.Dir = b.Root
	if out, err := build.CombinedOutput(); err != nil {
		b.err = fmt.Errorf("go build: %w\n%s", err, out)
	}
}

// Remove removes the binary; TestMain calls it after the last test.
func (b *Builder) Remove() {
	if b.folder != "" {
		_ = os.RemoveAll(b.folder)
	}
}
