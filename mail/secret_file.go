package mail

// This file is the only one that reads secret files. A file system may hang, as
// NFS and FUSE do: a read runs in a goroutine of its own, no caller waits for it
// longer than secretPatience, and there is one read of a file at a time.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// MaxSecret bounds a secret file; the largest honest one is a token of some KiB.
const MaxSecret = 64 << 10

const (
	// secretPatience is how long a file system gets for one read.
	secretPatience = 5 * time.Second
	// settledAfter is how old the last change of a file must be before its times
	// say whether it changed again: two changes in a row may have one time.
	settledAfter = 2 * time.Second
	// lookedFor is how long the last look at an unchanged file counts: connections of
	// one account often share a file and are probed within a short time.
	lookedFor = 50 * time.Millisecond
	// A read that hangs holds a thread. At most maxReads do, and at most
	// readsPerFolder in one folder, so that one dead mount leaves room for others.
	maxReads       = 256
	readsPerFolder = 8
	// keepUnused is how long a file that is no longer read is remembered.
	keepUnused = time.Hour
)

// ErrFileStalled is wrapped by the error of a read that did not end in time.
var ErrFileStalled = errors.New("the file system does not answer")

// SecretFiles reads the secret files of a process. It remembers a file's content
// until the file changes. The zero value is ready; so is nil, which remembers
// nothing. Its methods may be called by several goroutines at once.
type SecretFiles struct {
	mu      sync.Mutex
	known   map[string]*secretFile   // by path
	folders map[string]chan struct{} // the places of a folder's reads
	all     chan struct{}            // the places of all reads; nil until the first
	pruned  time.Time

	stat func(path string) (fileStat, error)         // nil: statFile
	open func(path string) ([]byte, fileStat, error) // nil: readSecretFile
}

// secretFile is what is remembered of a file.
type secretFile struct {
	running *secretRead // nil: none
	used    time.Time
	looked  time.Time // begin of the last look that found secret up to date
	stat    fileStat  // of the file when secret was read; zero: not remembered
	secret  Secret
}

// secretRead is one read that any number of callers wait for.
type secretRead struct {
	began  time.Time
	done   chan struct{} // closed when secret and err are set
	secret Secret
	err    error
}

// Source returns a source that reads path at each call. Sources of one path and
// one SecretFiles are equal.
func (f *SecretFiles) Source(path string) SecretSource { return SecretSource{path: path, files: f} }

// read returns the content of a file as it is now, within ctx and secretPatience.
func (f *SecretFiles) read(ctx context.Context, path string) (Secret, error) {
	if ctx.Err() != nil {
		return Secret{}, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("not tried: %w", context.Cause(ctx))}
	}
	if f == nil {
		f = new(SecretFiles)
	}
	known, r := f.join(path)
	if r == nil {
		return known, nil
	}
	patience := time.NewTimer(time.Until(r.began.Add(secretPatience)))
	defer patience.Stop()
	select {
	case <-r.done:
		return r.secret, r.err
	case <-ctx.Done():
	case <-patience.C:
	}
	return Secret{}, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w since %s", ErrFileStalled, r.began.UTC().Format(time.RFC3339))}
}

// join returns the read of a file that is in progress, or begins one. It returns nil if
// a look a moment ago has found known up to date.
func (f *SecretFiles) join(path string) (known Secret, r *secretRead) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.pruneLocked(now)
	file := f.known[path]
	if file == nil {
		file = &secretFile{}
		f.known[path] = file
	}
	file.used = now
	if file.stat != (fileStat{}) && now.Sub(file.looked) < lookedFor {
		return file.secret, nil
	}
	if file.running == nil {
		file.running = &secretRead{began: now, done: make(chan struct{})}
		go f.run(path, file, f.folderLocked(path))
	}
	return Secret{}, file.running
}

// folderLocked returns the places of a file's folder.
func (f *SecretFiles) folderLocked(path string) chan struct{} {
	name := filepath.Dir(path)
	places := f.folders[name]
	if places == nil {
		places = make(chan struct{}, readsPerFolder)
		f.folders[name] = places
	}
	return places
}

// pruneLocked forgets files that are no longer read, now and then.
func (f *SecretFiles) pruneLocked(now time.Time) {
	if f.all != nil && now.Sub(f.pruned) < keepUnused {
		return
	}
	f.pruned = now
	if f.all == nil {
		f.all = make(chan struct{}, maxReads)
		f.known, f.folders = make(map[string]*secretFile), make(map[string]chan struct{})
	}
	for path, file := range f.known {
		if file.running == nil && now.Sub(file.used) >= keepUnused {
			delete(f.known, path)
		}
	}
	for name, places := range f.folders {
		if len(places) == 0 {
			delete(f.folders, name)
		}
	}
}

// run reads a file, however long that takes.
func (f *SecretFiles) run(path string, file *secretFile, folder chan struct{}) {
	folder <- struct{}{}
	f.all <- struct{}{}
	f.mu.Lock()
	r, stat, secret := file.running, file.stat, file.secret
	f.mu.Unlock()
	secret, stat, err := f.load(path, secret, stat)
	<-f.all
	<-folder
	f.mu.Lock()
	defer f.mu.Unlock()
	file.running, file.secret, file.stat, file.looked = nil, secret, stat, r.began
	r.secret, r.err = secret, err
	close(r.done)
}

// load returns the secret in a file and what tells whether it changes. It reads
// the file only if that differs from what is known.
func (f *SecretFiles) load(path string, known Secret, was fileStat) (Secret, fileStat, error) {
	stat, open := f.stat, f.open
	if stat == nil {
		stat, open = statFile, readSecretFile
	}
	if was != (fileStat{}) {
		if is, err := stat(path); err == nil && is == was {
			return known, was, nil
		}
	}
	now := time.Now()
	raw, is, err := open(path)
	if err != nil {
		return Secret{}, fileStat{}, err
	}
	secret := NewSecret(strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r"))
	if err := CheckSecret(secret); err != nil {
		return Secret{}, fileStat{}, fmt.Errorf("%s: %w", path, err)
	}
	if now.Sub(is.changed()) < settledAfter {
		is = fileStat{} // it may change again within the same tick
	}
	return secret, is, nil
}

// readSecretFile reads one regular file. O_NONBLOCK keeps a FIFO from blocking
// the open; the file type is asked of the open file, so that a swapped symlink
// (Kubernetes rotates so) cannot slip in between.
func readSecretFile(path string) ([]byte, fileStat, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileStat{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fileStat{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, fileStat{}, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	raw, err := io.ReadAll(io.LimitReader(file, MaxSecret+1))
	if err != nil {
		return nil, fileStat{}, err
	}
	if len(raw) > MaxSecret {
		return nil, fileStat{}, &fs.PathError{Op: "read", Path: path, Err: errors.New("larger than 64 KiB")}
	}
	return raw, fileStatOf(info), nil
}
