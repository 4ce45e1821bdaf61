package guard

// This file keeps the guard's memory on disk: keyed hashes, counts and times.
// No name is in it, and of a secret only 16 bits of a keyed hash.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mailprobe/mail"
)

const (
	stateVersion = 1
	maxState     = 64 << 20 // bytes; 10,000 accounts take about 2 MB
	maxAccounts  = 200_000
	lazySave     = time.Minute // how long a change that may be lost stays in memory
	journalPoll  = 2 * time.Second
)

// savedState is the file.
type savedState struct {
	Version  int                   `json:"version"`
	Key      []byte                `json:"key"`
	Accounts map[keyedHash]account `json:"accounts"`
	Servers  []server              `json:"destinations,omitempty"`
}

// store keeps what the guard learns.
type store interface {
	// poll takes in what others learned. The caller holds the guard's lock.
	poll(g *Guard, now time.Time)
	// keep makes an event safe; an urgent one is on disk when it returns.
	keep(g *Guard, e event, urgent bool) error
	close(g *Guard) error
}

// stateFile is the store of the process that owns the file.
type stateFile struct {
	path   string
	lock   io.Closer
	polled time.Time // under the guard's lock

	mu      sync.Mutex // one writer at a time; taken before the guard's lock
	saved   uint64     // the guard's changes that are on disk
	savedAt time.Time
}

// own takes the file for this process and reads it.
func (g *Guard) own(path string) error {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return err
	}
	if err := g.load(path); err != nil {
		g.damaged = true
		g.key = newInstallKey()
		g.log.Warn("state file unusable: holds are forgotten, a copy is kept", "err", err, "kept", path+".damaged")
		_ = os.Rename(path, path+".damaged") // at worst it is overwritten
	}
	f := &stateFile{path: path, lock: lock}
	g.store = f
	g.changes = 1
	f.poll(g, g.now())
	if err := f.save(g, g.changes); err != nil { // better now than at the first refusal
		return errors.Join(err, lock.Close())
	}
	return nil
}

// load reads the state of an earlier process; a missing file is a new state.
func (g *Guard) load(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		g.key = newInstallKey()
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	state, err := readState(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	g.key = state.Key
	for id, a := range state.Accounts {
		g.accounts[id] = &a
	}
	for i := range state.Servers {
		d := &state.Servers[i]
		for _, name := range d.Names {
			g.servers[name] = d
		}
	}
	return nil
}

// readState reads a state file and refuses what no mailprobe has written.
func readState(r io.Reader) (*savedState, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxState+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxState {
		return nil, errors.New("larger than 64 MiB")
	}
	state := &savedState{}
	if err := json.Unmarshal(raw, state); err != nil {
		return nil, err
	}
	switch {
	case state.Version != stateVersion:
		return nil, fmt.Errorf("version %d, but this mailprobe reads version %d", state.Version, stateVersion)
	case len(state.Key) != len(newInstallKey()):
		return nil, errors.New("no install key")
	case len(state.Accounts) > maxAccounts:
		return nil, errors.New("too many accounts")
	}
	for _, a := range state.Accounts {
		if err := a.check(); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// check refuses nonsense; a reason that this version does not know is a plain
// refusal.
func (a *account) check() error {
	if len(a.Secrets) > maxSecrets {
		return errors.New("an account has too many secrets")
	}
	for i := range a.Secrets {
		s := &a.Secrets[i]
		if s.Refusals < 0 {
			return errors.New("an account has a negative number of refusals")
		}
		if s.Refusals > 0 && !slices.Contains(mail.Reasons(), s.Reason) {
			s.Reason = mail.AuthRejected
		}
	}
	return nil
}

// keep writes the whole state if the event is urgent or the last writing was
// some time ago. Events that come while one is written share the next.
func (f *stateFile) keep(g *Guard, e event, urgent bool) error {
	g.mu.Lock()
	mine := g.changes
	g.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saved >= mine || !urgent && e.At.Sub(f.savedAt) < lazySave {
		return nil
	}
	f.savedAt = e.At
	return f.saveLocked(g)
}

func (f *stateFile) save(g *Guard, mine uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saved >= mine {
		return nil
	}
	return f.saveLocked(g)
}

// saveLocked writes the state as it is now.
func (f *stateFile) saveLocked(g *Guard) error {
	g.mu.Lock()
	changes := g.changes
	state := g.snapshot(g.now())
	g.mu.Unlock()
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if err := replaceFile(f.path, raw); err != nil {
		return err
	}
	f.saved = changes
	return nil
}

// snapshot copies what is worth keeping.
func (g *Guard) snapshot(now time.Time) *savedState {
	state := &savedState{Version: stateVersion, Key: g.key, Accounts: make(map[keyedHash]account, len(g.accounts))}
	for id, a := range g.accounts {
		kept := account{Refused: a.Refused, Recent: slices.Clone(a.Recent), Released: a.Released}
		for _, s := range a.Secrets {
			if s.Refusals > 0 || s.Suspected || !s.Accepted.IsZero() {
				kept.Secrets = append(kept.Secrets, s)
			}
		}
		if len(kept.Secrets) > 0 || !kept.Refused.IsZero() {
			state.Accounts[id] = kept
		}
	}
	for name, d := range g.servers {
		if name == d.Names[0] && (d.Open || len(d.Refusals) > 0) {
			state.Servers = append(state.Servers, server{
				Names: slices.Clone(d.Names), Refusals: slices.Clone(d.Refusals), Open: d.Open, NextProbe: d.NextProbe,
			})
		}
	}
	return state
}

// poll takes in what `mailprobe probe` learned meanwhile.
func (f *stateFile) poll(g *Guard, now time.Time) {
	if ago := now.Sub(f.polled); ago >= 0 && ago < journalPoll {
		return
	}
	f.polled = now
	events, err := takeJournal(journalPath(f.path))
	if err != nil {
		g.note(slog.LevelWarn, "journal of hand-run probes not read", "err", err)
	}
	for _, e := range events {
		if e.sane(now) {
			g.apply(e, "probed by hand")
		}
	}
}

// close writes what is not yet written and gives the file free.
func (f *stateFile) close(g *Guard) error {
	g.mu.Lock()
	mine := g.changes
	g.mu.Unlock()
	return errors.Join(f.save(g, mine), f.lock.Close())
}

// replaceFile puts a whole file in the place of the old one: after a crash at
// any moment one of the two is there.
func replaceFile(path string, content []byte) error {
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, bytes.NewReader(content))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(path))
	}
	return err
}
