package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceKeepsTheMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, step := range []struct {
		text       string
		mode, want os.FileMode
	}{{"one", 0, 0o640}, {"two", 0o604, 0o604}, {"three", 0, 0o604}} {
		if step.mode != 0 {
			if err := os.Chmod(path, step.mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := Replace(path, []byte(step.text), 0o640); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(raw) != step.text || info.Mode() != step.want {
			t.Errorf("%s: %q, %v", step.text, raw, info.Mode())
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReplaceLeavesNothingBehindOnAnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "is a directory")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
