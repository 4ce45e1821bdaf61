package guard

// This file and its neighbours (guard_pass.go, guard_account.go,
// guard_destination.go, guard_event.go, guard_state.go, guard_journal.go) decide
// who may log in, so that probing with a wrong password neither locks an account
// nor gets this host banned.
// They see secrets only as input of a keyed hash, and never talk to a server.

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailprobe/mail"
)

// releaseGap keeps impatient retries from locking the account.
const releaseGap = 10 * time.Minute

// Errors of Release.
var (
	ErrNotHeld        = errors.New("the login of this account is not withheld")
	ErrReleasedLately = errors.New("a hold was ended less than 10 minutes ago")
)

// Options says where a Guard keeps what it must not forget.
type Options struct {
	StatePath string           // empty: nothing survives a restart
	Log       *slog.Logger     // nil: no log
	Now       func() time.Time // nil: time.Now

	// MaxLogins bounds the logins under way to one server, those of SMTP counted
	// twice as they are in Postfix's log; 0: 4. More let a large fleet be refused
	// more than 4 times in 10 minutes if all its passwords turn wrong at once,
	// which is what servers ban for.
	MaxLogins int
}

// Guard decides who may log in. A nil *Guard lets everybody through.
type Guard struct {
	log   *slog.Logger
	now   func() time.Time
	store store // nil: memory alone

	maxLogins int // see Options

	mu       sync.Mutex
	key      []byte // of every hash; made once per state file
	accounts map[keyedHash]*account
	servers  map[keyedHash]*server // by each of their names
	changes  uint64                // worth keeping, since the start
	damaged  bool                  // the state file could not be read
	unkept   bool                  // the last change could not be kept
	pruned   time.Time
	notes    []note // log lines to be written outside the lock
}

// keyedHash stands for a name that must not be in the state file.
type keyedHash [16]byte

// MarshalText writes it in hex.
func (h keyedHash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *keyedHash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return errors.New("a keyed hash has 32 hex digits")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// New makes the guard of a serving process. It fails if the state file is
// in use by another one or cannot be kept; a damaged file is no error, see
// stateDamaged.
func New(opts Options) (*Guard, error) {
	g := newGuard(opts)
	if opts.StatePath == "" {
		g.key = newInstallKey()
		return g, nil
	}
	if err := g.own(opts.StatePath); err != nil {
		return nil, err
	}
	return g, nil
}

func newGuard(opts Options) *Guard {
	g := &Guard{
		log:       opts.Log,
		now:       opts.Now,
		maxLogins: cmp.Or(opts.MaxLogins, defaultMaxLogins),
		accounts:  make(map[keyedHash]*account),
		servers:   make(map[keyedHash]*server),
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

func newInstallKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return key
}

// Release ends the holds of a connection's account, so that its next probe
// tries to log in: somebody has put right what was wrong at the server. The
// hold of a server stays. Its errors are ErrNotHeld and ErrReleasedLately.
func (g *Guard) Release(c *mail.Connection) error {
	if g == nil {
		return ErrNotHeld
	}
	g.mu.Lock()
	now := g.now()
	a := g.accounts[g.accountHash(c)]
	err := a.release(now)
	if err == nil {
		g.changes++
		g.note(slog.LevelInfo, "login released by hand", "connection", c.Name)
	}
	g.unlock()
	if err == nil && g.store != nil {
		g.keep(event{At: now}, true)
	}
	return err
}

// stateDamaged reports whether the state file could not be read at the start, or
// the last change could not be written: holds may be forgotten at a restart.
func (g *Guard) stateDamaged() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.damaged || g.unkept
}

// Close keeps what is not yet kept and lets another process have the file.
func (g *Guard) Close() error {
	if g == nil || g.store == nil {
		return nil
	}
	return g.store.close(g)
}

// find gives the account, the secret and the server of a pass.
func (g *Guard) find(p *Permit, now time.Time) (*account, *secretState, *server) {
	a := g.account(p.account)
	return a, a.secret(p.tag, now), g.server(p.host)
}

// accountHash names who logs in, without host or protocol: mail servers of one
// realm mostly share one directory, and count together.
func (g *Guard) accountHash(c *mail.Connection) keyedHash {
	user := strings.ToLower(c.Username)
	realm := strings.ToLower(c.Host)
	if at := strings.LastIndexByte(user, '@'); at >= 0 {
		realm = user[at+1:]
	}
	return g.hash("account", realm, user)
}

// secretTag is all that is kept of a secret: a stolen file cannot confirm a
// guess by it, and a change goes unnoticed once in 65,536 times. Access tokens
// change all the time; what matters is the credential that they are obtained with.
func (g *Guard) secretTag(c *mail.Connection, secret mail.Secret) uint16 {
	kind, value := "password", secret.Reveal()
	if c.Token != nil {
		credential, _ := c.TokenCredential.Read() // unreadable: as good as none
		kind, value = "token", credential.Reveal()
	}
	account := g.accountHash(c)
	full := g.hash("secret", string(account[:]), string(c.Auth), kind, value)
	return binary.BigEndian.Uint16(full[:])
}

// serverHash names the server of a connection by its host, whatever the
// port; an address is itself. On loopback each port is another server: a tunnel,
// or a test.
func (g *Guard) serverHash(c *mail.Connection) keyedHash {
	addr, err := netip.ParseAddr(c.Host)
	switch {
	case err == nil && addr.IsLoopback() || strings.EqualFold(c.Host, "localhost"):
		return g.hash("loopback", strconv.Itoa(c.EffectivePort()))
	case err == nil:
		return g.addressHash(addr)
	}
	return g.hash("host", strings.ToLower(strings.TrimSuffix(c.Host, ".")))
}

func (g *Guard) addressHash(addr netip.Addr) keyedHash {
	return g.hash("address", addr.Unmap().WithZone("").String())
}

// hash is unambiguous: no part holds a NUL but the last, which may hold anything,
// and the account of secretTag, whose length is fixed.
func (g *Guard) hash(parts ...string) (h keyedHash) {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(strings.Join(parts, "\x00")))
	copy(h[:], mac.Sum(nil))
	return h
}

// keep makes an event safe, and says once if that does not work.
func (g *Guard) keep(e event, urgent bool) {
	err := g.store.keep(g, e, urgent)
	g.mu.Lock()
	defer g.unlock()
	if failed := err != nil; failed != g.unkept {
		g.unkept = failed
		if failed {
			g.note(slog.LevelWarn, "holds not kept: a restart would forget them", "err", err)
		} else {
			g.note(slog.LevelInfo, "holds are kept again")
		}
	}
}

// note keeps a log line until the lock is free: a log that blocks must not
// block logins.
func (g *Guard) note(level slog.Level, message string, args ...any) {
	g.notes = append(g.notes, note{level, message, args})
}

type note struct {
	level   slog.Level
	message string
	args    []any
}

// unlock frees the lock and writes what was noted.
func (g *Guard) unlock() {
	notes := g.notes
	g.notes = nil
	g.mu.Unlock()
	for _, n := range notes {
		g.log.Log(context.Background(), n.level, n.message, n.args...)
	}
}
