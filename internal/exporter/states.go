package exporter

// This file keeps, beside the state file, since when each connection is up or down
// and when it was last up. One goroutine writes; probes only wake it.

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"time"

	"mailprobe/history"
	"mailprobe/internal/durable"
)

const (
	// writeAfter collects the changes of one moment, for instance of a server that
	// takes all its connections down.
	writeAfter = time.Second
	// writeEvery is how old the times of connections that stay up may be in the file.
	writeEvery = 5 * time.Minute
)

// stateKeeper writes the states. A nil one keeps nothing.
type stateKeeper struct {
	path    string
	history *history.History
	log     *slog.Logger
	woken   chan struct{}

	writing sync.Mutex
	failed  bool // the last write failed, and that is logged
}

// newStateKeeper lets the history go on as the file says. One that is not ours is
// moved aside, because it will be replaced. Without a state file nothing is kept.
func newStateKeeper(stateFile string, h *history.History, log *slog.Logger) *stateKeeper {
	if stateFile == "" {
		return nil
	}
	k := &stateKeeper{path: history.StatesPath(stateFile), history: h, log: log, woken: make(chan struct{}, 1)}
	states, err := history.ReadStates(k.path)
	if err != nil {
		aside := k.path + ".damaged"
		log.Warn("times of up and down are lost: their file is unusable", "err", err, "kept", aside)
		_ = os.Rename(k.path, aside) // at worst it is replaced
	}
	h.Restore(states)
	return k
}

// wake makes the states of now be written soon.
func (k *stateKeeper) wake() {
	if k == nil {
		return
	}
	select {
	case k.woken <- struct{}{}:
	default: // it is awake
	}
}

// run writes until ctx ends.
func (k *stateKeeper) run(ctx context.Context) {
	if k == nil {
		return
	}
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-k.woken:
			select {
			case <-ctx.Done():
				return
			case <-time.After(writeAfter):
			}
		}
		k.write()
	}
}

// write replaces the file. A failure is logged once, until a write succeeds.
func (k *stateKeeper) write() {
	if k == nil {
		return
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	raw, err := json.Marshal(k.history.States(time.Now()))
	if err == nil {
		err = durable.Replace(k.path, raw, 0o600)
	}
	if err != nil && !k.failed {
		k.log.Warn("times of up and down not saved: a restart would lose them", "err", err)
	}
	k.failed = err != nil
}
