// Package guard decides which connection may log in and when, so that probing
// with a wrong password neither locks an account nor gets this host banned.
//
// It keeps three counts. An account (a login name) has a budget of attempts:
// two in half an hour, four in a day. A secret of an account is withheld after
// each refusal for a growing time, as far as the verdict reaches: a refused
// password holds the account, a switched-off protocol only itself. A server has
// a circuit breaker, because ban lists count refusals per client address.
//
// The guard sees secrets only as input of a keyed hash, and talks to no server.
// Its state may be kept in a file; see state.go and journal.go.
package guard

// This file holds the Guard, its options and its locking.

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mailprobe/mail"
)

// releaseGap is the time between two releases of one account by hand.
const releaseGap = 10 * time.Minute

// Errors of Release.
var (
	ErrNotHeld        = errors.New("the login of this account is not withheld")
	ErrReleasedLately = errors.New("a hold was ended less than 10 minutes ago")
)

// Options says where a Guard keeps its state. The zero value keeps it in memory.
type Options struct {
	StatePath string           // empty: holds do not survive a restart
	Log       *slog.Logger     // nil: no log
	Now       func() time.Time // nil: time.Now

	// MaxLogins bounds the logins under way to one server, those of SMTP counted
	// twice as in Postfix's log; 0: 4. With more, a large fleet could be refused
	// more than 4 times in 10 minutes if all its passwords turn wrong at once,
	// and servers ban for that.
	MaxLogins int
}

// Guard decides who may log in. A nil *Guard permits every login. Its methods
// may be called by several goroutines at once.
type Guard struct {
	log *slog.Logger
	now func() time.Time // never earlier than the state file; see clock.go

	maxLogins   int                           // see Options
	store       *writer                       // nil: memory alone
	connections atomic.Pointer[connectionSet] // nil until SetConnections

	mu         sync.Mutex
	key        []byte // of every keyed hash; made once per state file
	accounts   map[keyedHash]*account
	servers    map[keyedHash]*server // by each of their names
	changes    uint64                // worth keeping, since the start
	damaged    bool                  // the state file could not be read
	doubtUntil time.Time             // before it, attempts may have been made that are not known, see forget
	blindUntil time.Time             // no login is tried before, see startBlind
	unkept     time.Time             // since when the state cannot be kept; zero: it is kept
	pruned     time.Time
	lastID     uint64
	classified map[keyedHash]bool // connections whose unknown answer was logged
	notes      []note             // log lines to be written outside the lock
}

// New returns the guard of a serving process. It fails if another process uses the
// state file, or if the file is not a state file. A damaged state file is renamed,
// which is logged. If nothing can be written, the guard works, but withholds every
// login that is not known to work, and for half an hour all others too; see Unkept.
func New(opts Options) (*Guard, error) {
	g := newGuard(opts)
	if opts.StatePath == "" {
		g.key = newInstallKey()
		return g, nil
	}
	if err := g.open(opts.StatePath, true); err != nil {
		return nil, err
	}
	return g, nil
}

// Open returns the guard of a process that probes by hand, beside a serving one
// or alone. It obeys the holds of the state file and records its own attempts
// for the others; a missing file is created. It fails if it could not record an
// attempt. Without a path it knows no holds and keeps none.
func Open(opts Options) (*Guard, error) {
	g := newGuard(opts)
	if opts.StatePath == "" {
		g.key = newInstallKey()
		return g, nil
	}
	if info, err := os.Stat(opts.StatePath + ".journal"); err == nil && info.Size() > compactAlone {
		if alone, err := New(Options{StatePath: opts.StatePath, Now: opts.Now}); err == nil {
			_ = alone.Close() // at worst the next run does it
		}
	}
	if err := g.open(opts.StatePath, false); err != nil {
		return nil, err
	}
	return g, nil
}

func newGuard(opts Options) *Guard {
	g := &Guard{
		log:        opts.Log,
		now:        opts.Now,
		maxLogins:  cmp.Or(opts.MaxLogins, defaultMaxLogins),
		accounts:   make(map[keyedHash]*account),
		servers:    make(map[keyedHash]*server),
		classified: make(map[keyedHash]bool),
		lastID:     newID(),
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	g.pruned = g.now()
	return g
}

// Release ends the holds of a connection's account, so that its next probe
// tries to log in; it is for an administrator who has corrected the account at the
// server. It also allows one attempt beyond the account's budget. The server's circuit
// breaker stays as it is. Its errors are ErrNotHeld and ErrReleasedLately.
func (g *Guard) Release(c *mail.Connection) error {
	if g == nil {
		return ErrNotHeld
	}
	id := g.identify(c)
	g.mu.Lock()
	now := g.now()
	a := g.accounts[id.account]
	err := a.releaseByHand(now)
	if err == nil {
		g.changes++
		g.note(slog.LevelInfo, "login released by hand", "connection", c.Name)
		a.queue.wakeFirst()
	}
	g.unlock()
	if err == nil && g.store != nil {
		g.store.save()
	}
	return err
}

// Unkept returns since when holds cannot be written to the state file: a restart
// would forget the newest. It is zero while they are kept, without a state file,
// and for a nil guard.
func (g *Guard) Unkept() time.Time {
	if g == nil {
		return time.Time{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.unkept
}

// Close writes what is not yet written, waits at most 2 s for that, and releases the
// state file for other processes. It fails if the disk does not answer in time. A nil
// guard has nothing to close.
func (g *Guard) Close() error {
	if g == nil || g.store == nil {
		return nil
	}
	return g.store.close()
}

// keeping records whether the state could be written, and logs each change of that
// once.
func (g *Guard) keeping(err error) {
	g.mu.Lock()
	defer g.unlock()
	switch failed := err != nil; {
	case failed && g.unkept.IsZero():
		g.unkept = g.now()
		g.note(slog.LevelWarn, "holds not kept: a restart would forget them; logins that are not known to work are withheld", "err", err)
	case !failed && !g.unkept.IsZero():
		g.unkept, g.blindUntil = time.Time{}, time.Time{}
		g.note(slog.LevelInfo, "holds are kept again")
	}
}

// note keeps a log line until the lock is released, so that a log that blocks does not
// block logins.
func (g *Guard) note(level slog.Level, message string, args ...any) {
	g.notes = append(g.notes, note{level, message, args})
}

type note struct {
	level   slog.Level
	message string
	args    []any
}

// unlock releases the lock and then writes the kept log lines.
func (g *Guard) unlock() {
	notes := g.notes
	g.notes = nil
	g.mu.Unlock()
	for _, n := range notes {
		g.log.Log(context.Background(), n.level, n.message, n.args...)
	}
}
