package guard

// This file opens the state file at the start, and refuses files that are not state
// files.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// open reads the state file of a path and begins to keep it.
func (g *Guard) open(path string, owner bool) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link to the state file stays one
	}
	f := files{path: path, journal: journal{path: path + ".journal"}}
	err := f.take(owner)
	switch {
	case err == nil:
	case owner && takesNothing(err):
	default:
		return err
	}
	if err := g.load(&f, owner); err != nil {
		return errors.Join(err, f.close())
	}
	if err := f.start(g, owner); err != nil {
		if !owner || !takesNothing(err) {
			return errors.Join(err, f.close())
		}
		g.startBlind(err)
	}
	g.store = startWriter(g, f, owner)
	return nil
}

// take creates a missing state file and, for its owner, locks it.
func (f *files) take(owner bool) error {
	for range 5 {
		flag := os.O_RDWR
		if _, err := os.Lstat(f.path); errors.Is(err, fs.ErrNotExist) {
			flag |= os.O_CREATE
		} else if !owner {
			flag = os.O_RDONLY
		}
		file, err := openRegular(f.path, flag)
		if err != nil {
			return missingFolder(f.path, err)
		}
		if f.journal.owner, err = file.Stat(); err != nil {
			return errors.Join(err, file.Close())
		}
		if !owner {
			return file.Close()
		}
		current, err := lock(file, f.path, 0)
		if err != nil {
			return errors.Join(err, file.Close())
		}
		if current {
			f.lock = file
			return nil
		}
		_ = file.Close() // its owner has just replaced it
	}
	return fmt.Errorf("%s: %w", f.path, errInUse)
}

// missingFolder names the folder if that is what is missing.
func missingFolder(path string, err error) error {
	dir := filepath.Dir(path)
	if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
		return fmt.Errorf("%s: its folder %s does not exist: create it first", path, dir)
	}
	return err
}

// load reads the key, the state and the journal. A damaged state is moved aside
// by its owner; a file that never was a state file is an error.
func (g *Guard) load(f *files, owner bool) error {
	key, err := readKey(f.path + ".key")
	if err != nil {
		return err
	}
	state, oldKey, err := readStateFile(f.path)
	switch {
	case errors.Is(err, errNotState):
		return fmt.Errorf("%s: %w", f.path, err)
	case err == nil && oldKey != nil:
		key = oldKey
	case err == nil && key == nil && len(state.Accounts) > 0:
		err = fmt.Errorf("the key file %s.key is missing", f.path)
	}
	f.journal.expected = key != nil && oldKey == nil // made before the journal, at the first start
	if err != nil {
		g.damaged = true
		g.log.Warn("state file unusable: holds are forgotten, a copy is kept", "err", err, "kept", f.path+".damaged")
		if owner {
			_ = copyFile(f.path, f.path+".damaged") // at worst it is overwritten
		}
		state = &savedState{}
	}
	g.key, f.keyKept = key, key != nil && oldKey == nil
	if g.key == nil {
		g.key = newInstallKey()
	}
	g.now = steadyClock(g.now, state.SavedAt)
	g.mu.Lock()
	defer g.unlock()
	g.pruned = g.now()
	g.restore(state)
	return nil
}

// start reads the journal, and tries now whether attempts can be recorded.
func (f *files) start(g *Guard, owner bool) error {
	if !f.keyKept {
		made, err := f.keepKey(g)
		if err != nil {
			return err
		}
		defer made.Close() // not before the journal exists, see readKey
	}
	file, events, _, err := f.journal.begin()
	if err != nil {
		g.takeInQuietly(f.journal.look())
		return err
	}
	defer file.Close()
	if !owner { // the state may have been replaced since it was read
		if err := f.reload(g); err != nil {
			return err
		}
	}
	g.takeInQuietly(events)
	f.readAt = g.now()
	if g.damaged && !slices.ContainsFunc(events, func(e event) bool { return e.Result == forgotten }) {
		f.journal.damaged = true
	}
	lost := f.lost(g)
	if owner {
		return f.compact(g)
	}
	return f.journal.append(file, lost, true)
}

// startBlind is for a start where nothing can be written. Earlier processes may have tried
// to log in without a trace, so for half an hour no login is tried at all, unless the files
// can be written before that.
func (g *Guard) startBlind(err error) {
	g.keeping(err)
	g.mu.Lock()
	defer g.unlock()
	g.blindUntil = g.now().Add(halfHour)
}

// lost counts that attempts were forgotten, and returns the event that says so to
// other processes; none where nothing was lost.
func (f *files) lost(g *Guard) []event {
	if !f.journal.damaged {
		return nil
	}
	f.journal.damaged = false
	g.mu.Lock()
	defer g.unlock()
	e := event{At: g.now(), Result: forgotten}
	g.apply(e, "")
	g.note(slog.LevelWarn, "the record of logins was damaged or removed: for half an hour no login is tried that is not known to work", "file", f.path)
	return []event{e}
}

// takeInQuietly counts events without logging them: they were logged when they
// happened.
func (g *Guard) takeInQuietly(events []event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for _, e := range events {
		if e = e.notAfter(now); e.sane(now) {
			g.apply(e, "")
		}
	}
	g.notes = nil
}

// reload reads the state file again. The caller has locked the journal.
func (f *files) reload(g *Guard) error {
	state, _, err := readStateFile(f.path)
	if err != nil {
		return nil //nolint:nilerr // what is known stays; the serving process handles a damaged file
	}
	g.mu.Lock()
	defer g.unlock()
	g.restore(state)
	return nil
}

func readStateFile(path string) (*savedState, []byte, error) {
	file, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return &savedState{}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	return readState(file)
}

// readKey returns the install key, nil if there is none yet. It waits for a process that
// makes the first one until that has made the journal too: a key without a journal means
// that the journal was removed.
func readKey(path string) (key []byte, err error) {
	for end := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		key, err = readLockedKey(path)
		if !errors.Is(err, io.EOF) || !time.Now().Before(end) { // empty: its maker has not locked it yet
			return key, err
		}
	}
}

func readLockedKey(path string) ([]byte, error) {
	file, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	_, _ = lock(file, path, lockPatience) // where it cannot be locked, it is read as it is
	raw := make([]byte, 128)
	n, err := file.Read(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, err := parseKey(raw[:n])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// keepKey writes the install key. The caller closes the new file, which is locked until
// then, after it has begun the journal. If another process was faster, its key is used,
// and made is nil.
func (f *files) keepKey(g *Guard) (made *os.File, err error) {
	path := f.path + ".key"
	file, err := openRegular(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrExist) {
		return nil, f.awaitKey(g, path)
	}
	if err != nil {
		return nil, err
	}
	giveTo(file, f.journal.owner)
	if _, err = lock(file, path, lockPatience); err == nil {
		_, err = file.Write(formatKey(g.key))
	}
	if err = errors.Join(err, file.Sync()); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(path))
	}
	f.keyKept = true
	return file, nil
}

// awaitKey waits for the key that another process is writing, and uses it.
func (f *files) awaitKey(g *Guard, path string) error {
	for end := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		key, err := readKey(path)
		if err == nil && key != nil {
			g.key, f.keyKept = key, true
			return nil
		}
		if time.Now().After(end) {
			return err
		}
	}
}

func copyFile(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}
