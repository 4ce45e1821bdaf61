package mail

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestSecretFileIsReadAgainOnlyWhenItChanged counts how often the status of a file is
// read (looks), and how often its content, after each of several changes.
func TestSecretFileIsReadAgainOnlyWhenItChanged(t *testing.T) {
	t.Parallel()
	if _, err := statFile(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		content, looks, reads := "first", 0, 0
		changed := time.Now().Add(-time.Minute)
		look := func() fileStat {
			is := fileStat{inode: 1, size: int64(len(content))}
			is.written.Sec, is.touched.Sec = 1, changed.Unix()
			return is
		}
		files := &SecretFiles{
			stat: func(string) (fileStat, error) { looks++; return look(), nil },
			open: func(string) ([]byte, fileStat, error) { reads++; return []byte(content), look(), nil },
		}
		source := files.Source("password")
		for _, step := range []struct {
			story        string
			after        time.Duration
			do           func()
			want         string
			looks, reads int
		}{
			{"the first read", 0, func() {}, "first", 0, 1},
			{"another connection of the account", lookedFor / 2, func() { content, changed = "other", changed.Add(time.Second) }, "first", 0, 1},
			{"the next one sees another content of the same length", lookedFor / 2, func() {}, "other", 1, 2},
			{"nothing changed since", lookedFor, func() {}, "other", 2, 2},
			{"a look at an unchanged file counts as well", lookedFor / 2, func() {}, "other", 2, 2},
			{"changed a moment ago", lookedFor, func() { content, changed = "young", time.Now() }, "young", 3, 3},
			{"changed once more in the same tick", 0, func() { content = "again" }, "again", 3, 4},
			{"a clock of the file server that is ahead", 0, func() { content, changed = "ahead", time.Now().Add(time.Hour) }, "ahead", 3, 5},
			{"the same a moment later", 0, func() { content = "later" }, "later", 3, 6},
		} {
			time.Sleep(step.after)
			step.do()
			secret, err := source.Read(t.Context())
			if err != nil || secret.Reveal() != step.want || reads != step.reads || looks != step.looks {
				t.Errorf("%s: %q, %v after %d looks and %d reads; want %q after %d and %d",
					step.story, secret.Reveal(), err, looks, reads, step.want, step.looks, step.reads)
			}
		}
		content, changed = "", time.Now().Add(-time.Minute)
		for range 2 {
			if _, err := source.Read(t.Context()); err == nil {
				t.Error("an empty file is a secret")
			}
		}
		if reads != 8 {
			t.Errorf("an error is remembered: %d reads", reads)
		}
	})
}

// Every way in which files change is noticed.
func TestFileStatSeesEveryChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "password"), filepath.Join(dir, "link")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path, []byte("first"), 0o600))
	must(os.Symlink("password", link))
	before, err := statFile(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		story string
		do    func() error
	}{
		{"another content of the same length", func() error { return os.WriteFile(path, []byte("other"), 0o600) }},
		{"a longer content", func() error { return os.WriteFile(path, []byte("longer"), 0o600) }},
		{"the permissions", func() error { return os.Chmod(path, 0o640) }},
		{"a file of the same length and time in its place", func() error {
			info, err := os.Stat(path)
			must(err)
			must(os.WriteFile(path+".new", []byte("sneaky"), 0o640))
			must(os.Chtimes(path+".new", info.ModTime(), info.ModTime()))
			return os.Rename(path+".new", path)
		}},
		{"a link that leads elsewhere", func() error {
			must(os.WriteFile(path+".2", []byte("second"), 0o640))
			must(os.Symlink("password.2", link+".new"))
			return os.Rename(link+".new", link)
		}},
	} {
		time.Sleep(20 * time.Millisecond) // for a new tick of the kernel's clock
		must(change.do())
		after, err := statFile(link)
		if err != nil || after == before {
			t.Errorf("%s goes unseen (%v)", change.story, err)
		}
		if _, is, err := readSecretFile(link); err != nil || is != after {
			t.Errorf("%s: the open file looks like %+v, its path like %+v (%v)", change.story, is, after, err)
		}
		before = after
	}
}
