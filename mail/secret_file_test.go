package mail

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A dead mount delays each caller by 5 s at most, and other files not at all. Only a few
// reads hang in it.
func TestSecretFileThatHangsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		var inside atomic.Int32
		files := &SecretFiles{stat: statFile}
		files.open = func(path string) ([]byte, fileStat, error) {
			if strings.HasPrefix(path, "/nfs/") {
				inside.Add(1)
				<-hangs
			}
			return []byte("secret of " + path), fileStat{}, nil
		}
		read := func(path string, within time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			start := time.Now()
			_, err := files.Source(path).Read(ctx)
			return time.Since(start), err
		}
		for _, step := range []struct {
			story, path  string
			within, want time.Duration
			err          error
		}{
			{"the caller's time is shorter", "/nfs/a", time.Second, time.Second, ErrFileStalled},
			{"it hangs", "/nfs/a", time.Minute, 4 * time.Second, ErrFileStalled},
			{"known to hang", "/nfs/a", time.Minute, 0, ErrFileStalled},
			{"another file there", "/nfs/b", time.Minute, 5 * time.Second, ErrFileStalled},
			{"a file elsewhere", "/etc/c", time.Minute, 0, nil},
			{"a caller that has no time", "/etc/d", 0, 0, context.DeadlineExceeded},
		} {
			if took, err := read(step.path, step.within); took != step.want || !errors.Is(err, step.err) {
				t.Errorf("%s: %v after %v, want %v after %v", step.story, err, took, step.err, step.want)
			}
		}
		for i := range 100 {
			go func() { _, _ = read("/nfs/"+strconv.Itoa(i), time.Minute) }()
		}
		synctest.Wait()
		if inside.Load() != readsPerFolder {
			t.Errorf("%d reads hang in one folder, want %d", inside.Load(), readsPerFolder)
		}
		if took, err := read("/etc/c", time.Minute); took != 0 || err != nil {
			t.Errorf("a file elsewhere: %v after %v", err, took)
		}
		close(hangs)
		synctest.Wait()
		if took, err := read("/nfs/a", time.Minute); took != 0 || err != nil {
			t.Errorf("after it came back: %v after %v", err, took)
		}
	})
}

// Reloads that name ever new files leave nothing behind.
func TestSecretFilesForgetsFilesThatAreNoLongerRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		files := &SecretFiles{stat: statFile}
		files.open = func(path string) ([]byte, fileStat, error) { return []byte(path), fileStat{}, nil }
		for i := range 1000 {
			_, _ = files.Source("/run/" + strconv.Itoa(i) + "/password").Read(t.Context())
		}
		time.Sleep(keepUnused)
		_, _ = files.Source("/run/x/password").Read(t.Context())
		if len(files.known) != 1 || len(files.folders) != 1 {
			t.Errorf("%d files and %d folders are remembered, want 1 of each", len(files.known), len(files.folders))
		}
	})
}
