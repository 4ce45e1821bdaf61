package guard

// This file defines the format of the state file: keyed hashes, counts and times. It
// contains no name, and only 16 bits of a keyed hash of each secret. The key is in
// another file, so that a stolen state file does not help to guess a secret.

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"mailprobe/mail"
)

const (
	stateVersion = 2
	maxState     = 128 << 20 // bytes; 10,000 accounts take about 4 MB
	maxAccounts  = 200_000
	statePrefix  = `{"version":` // of state files of every version
)

// savedState is the file.
type savedState struct {
	Version  int                    `json:"version"`
	SavedAt  time.Time              `json:"saved_at"`
	Accounts map[keyedHash]*account `json:"accounts"`
	Servers  []*server              `json:"servers,omitempty"`

	// Attempts before it may be forgotten.
	DoubtUntil time.Time `json:"doubt_until,omitzero"`
}

// version1 is the part of mailprobe 0.1's state that is used: the refusals of the last
// day. Its holds were counted in another way and are not used.
type version1 struct {
	Key      []byte `json:"key"`
	Accounts map[keyedHash]struct {
		Refused time.Time   `json:"refused"`
		Recent  []time.Time `json:"recent"`
	} `json:"accounts"`
}

// errNotState is the error of a file that is not a state file.
var errNotState = errors.New("this is not a state file of mailprobe; name another file, or remove this one")

// readState reads a state file. The key is nil, except for a file of version 1, which
// contained it. An empty file is a new state.
func readState(r io.Reader) (state *savedState, key []byte, err error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxState+1))
	switch {
	case err != nil:
		return nil, nil, err
	case len(bytes.TrimSpace(raw)) == 0:
		return &savedState{}, nil, nil
	case !bytes.HasPrefix(raw, []byte(statePrefix)):
		return nil, nil, errNotState
	case len(raw) > maxState:
		return nil, nil, fmt.Errorf("larger than %d MiB", maxState>>20)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, nil, err
	}
	switch head.Version {
	case 1:
		return readVersion1(raw)
	case stateVersion:
	default:
		return nil, nil, fmt.Errorf("version %d, but this mailprobe reads versions 1 and %d", head.Version, stateVersion)
	}
	state = &savedState{}
	if err := json.Unmarshal(raw, state); err != nil {
		return nil, nil, err
	}
	return state, nil, state.check()
}

func readVersion1(raw []byte) (*savedState, []byte, error) {
	var old version1
	if err := json.Unmarshal(raw, &old); err != nil {
		return nil, nil, err
	}
	if len(old.Key) != len(newInstallKey()) {
		return nil, nil, errors.New("no install key")
	}
	state := &savedState{Accounts: make(map[keyedHash]*account, len(old.Accounts))}
	for id, was := range old.Accounts {
		a := &account{}
		for _, at := range was.Recent {
			a.Attempts = append(a.Attempts, attempt{At: at})
		}
		if !was.Refused.IsZero() && !slices.Contains(was.Recent, was.Refused) {
			a.Attempts = append(a.Attempts, attempt{At: was.Refused})
		}
		state.Accounts[id] = a
	}
	return state, old.Key, state.check()
}

// check returns an error for impossible values. A reason that this version does not
// know counts as a plain refusal.
func (state *savedState) check() error {
	if len(state.Accounts) > maxAccounts {
		return errors.New("too many accounts")
	}
	for _, a := range state.Accounts {
		if a == nil || len(a.Secrets) > maxSecrets || len(a.Attempts) > maxAttempts {
			return errors.New("an account has too many secrets or attempts, or is none")
		}
		slices.SortStableFunc(a.Attempts, func(x, y attempt) int { return x.At.Compare(y.At) })
		for i := range a.Secrets {
			if err := a.Secrets[i].check(); err != nil {
				return err
			}
		}
	}
	for _, d := range state.Servers {
		if d == nil || len(d.Names) == 0 {
			return errors.New("a server has no name")
		}
	}
	return nil
}

func (s *secretState) check() error {
	if len(s.Targets) > maxTargets {
		return errors.New("a secret has too many targets")
	}
	for i := range s.Targets {
		t := &s.Targets[i]
		if t.Refusals < 0 || t.Slow < 0 {
			return errors.New("a secret has a negative number of refusals")
		}
		if t.Refusals > 0 && !slices.Contains(mail.Reasons(), t.Reason) {
			t.Reason = mail.AuthRejected
		}
	}
	return nil
}

// restore replaces the guard's state. Attempts of this process that have no answer yet
// are kept.
func (g *Guard) restore(state *savedState) {
	for id, a := range g.accounts {
		a.queue.wakeAll()
		for _, t := range a.Attempts {
			if !t.live {
				continue
			}
			kept := state.Accounts[id]
			if kept == nil {
				kept = &account{}
				state.Accounts[id] = kept
			}
			kept.Attempts = slices.DeleteFunc(kept.Attempts, func(o attempt) bool { return o.ID == t.ID })
			kept.Attempts = append(kept.Attempts, t)
		}
	}
	g.accounts = state.Accounts
	if g.accounts == nil {
		g.accounts = make(map[keyedHash]*account)
	}
	now := g.now()
	for _, a := range g.accounts {
		a.notAfter(now)
	}
	if doubt := earlierOf(state.DoubtUntil, now.Add(halfHour)); doubt.After(g.doubtUntil) {
		g.doubtUntil = doubt
	}
	for _, d := range state.Servers {
		for _, name := range d.Names {
			if g.servers[name] == nil {
				g.servers[name] = d
			}
		}
	}
}

// snapshot copies the state to be saved.
func (g *Guard) snapshot(now time.Time) *savedState {
	state := &savedState{Version: stateVersion, SavedAt: now, Accounts: make(map[keyedHash]*account, len(g.accounts))}
	for id, a := range g.accounts {
		kept := &account{Attempts: slices.Clone(a.Attempts), Released: a.Released}
		for _, s := range a.Secrets {
			targets := slices.DeleteFunc(slices.Clone(s.Targets), func(t targetState) bool { return t == targetState{ID: t.ID} })
			if len(targets) > 0 {
				kept.Secrets = append(kept.Secrets, secretState{Tag: s.Tag, Seen: s.Seen, Targets: targets})
			}
		}
		if len(kept.Secrets) > 0 || len(kept.Attempts) > 0 {
			state.Accounts[id] = kept
		}
	}
	if now.Before(g.doubtUntil) {
		state.DoubtUntil = g.doubtUntil
	}
	for name, d := range g.servers {
		if name == d.Names[0] && (d.Open || len(d.Refusals) > 0) {
			state.Servers = append(state.Servers, &server{
				Names: slices.Clone(d.Names), Refusals: slices.Clone(d.Refusals), Open: d.Open, NextProbe: d.NextProbe,
			})
		}
	}
	return state
}

// parseKey reads a key file: 64 hex digits.
func parseKey(raw []byte) ([]byte, error) {
	key, err := hex.DecodeString(string(bytes.TrimSpace(raw)))
	if err != nil || len(key) != len(newInstallKey()) {
		return nil, errors.New("not a key file of mailprobe: it has 64 hex digits")
	}
	return key, nil
}

func formatKey(key []byte) []byte { return append(hex.AppendEncode(nil, key), '\n') }
