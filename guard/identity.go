package guard

// This file names accounts, servers and connections by keyed hashes. The hashes
// of a configured connection are computed once per reload.

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mailprobe/mail"
)

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

// identity is what the guard knows of a connection.
type identity struct {
	connection *mail.Connection
	account    keyedHash // login name, whatever the host and the protocol
	server     keyedHash // host
	target     keyedHash // host, protocol and mechanism: what a verdict on a method reaches
	cause      keyedHash // the connection itself, until its definition changes

	// The last secret and its tag, so that the tag is not computed again at each login.
	// They are protected by the guard's lock.
	secret mail.Secret
	tag    uint16
}

// connectionSet is what is configured now.
type connectionSet struct {
	identities []identity // sorted by cause: that takes less memory than a map
	byPointer  map[*mail.Connection]*identity
}

// SetConnections tells the guard what is configured. It must be called at each
// reload: a refused connection that is no longer there, or is another one now,
// no longer withholds the logins of others. Attempts made stay counted.
func (g *Guard) SetConnections(list []*mail.Connection) {
	if g == nil {
		return
	}
	set := &connectionSet{make([]identity, len(list)), make(map[*mail.Connection]*identity, len(list))}
	for i, c := range list {
		set.identities[i] = g.newIdentity(c)
	}
	slices.SortFunc(set.identities, func(x, y identity) int { return bytes.Compare(x.cause[:], y.cause[:]) })
	for i := range set.identities {
		id := &set.identities[i]
		set.byPointer[id.connection] = id
	}
	g.connections.Store(set)
	g.mu.Lock()
	defer g.unlock()
	for _, a := range g.accounts {
		a.line.keepConfigured(set)
		a.queue.wakeFirst()
	}
}

// find returns the connection that caused a hold; nil: it is not configured.
func (set *connectionSet) find(cause keyedHash) *mail.Connection {
	at, found := slices.BinarySearchFunc(set.identities, cause, func(id identity, cause keyedHash) int {
		return bytes.Compare(id.cause[:], cause[:])
	})
	if !found {
		return nil
	}
	return set.identities[at].connection
}

// identify returns the identity of a connection, computed if it is not configured.
func (g *Guard) identify(c *mail.Connection) *identity {
	if set := g.connections.Load(); set != nil {
		if id := set.byPointer[c]; id != nil {
			return id
		}
	}
	id := g.newIdentity(c)
	return &id
}

func (g *Guard) newIdentity(c *mail.Connection) identity {
	id := identity{connection: c, account: g.accountHash(c.Realm, c.LoginName()), server: g.serverHash(c)}
	id.target = g.hash("target", string(id.server[:]), string(c.Protocol), string(c.Auth))
	actsFor := g.actsForHash(c)
	id.cause = g.hash("connection", string(id.account[:]), string(actsFor[:]), string(id.target[:]),
		string(c.Encryption), strconv.Itoa(c.EffectivePort()), c.Name)
	return id
}

// accountHash names who logs in, whatever the host and the protocol: mail servers
// of one realm mostly share one directory, and count together. The realm is the
// domain of the login name unless one is configured.
func (g *Guard) accountHash(realm, user string) keyedHash {
	user = strings.ToLower(user)
	if _, domain, ok := strings.Cut(user, "@"); ok && realm == "" {
		realm = domain[strings.LastIndexByte(domain, '@')+1:]
	}
	return g.hash("account", strings.ToLower(realm), user)
}

// actsForHash names the authorization identity of a connection; zero: the user's own.
func (g *Guard) actsForHash(c *mail.Connection) keyedHash {
	if c.SharedMailbox == "" || c.SharedMailboxAccess != mail.SharedAuthzID {
		return keyedHash{}
	}
	return g.hash("acts for", strings.ToLower(c.SharedMailbox))
}

// nameOf returns the name of the connection that caused a hold; gone reports that it
// is no longer configured. Before SetConnections the name is empty and gone is false.
func (g *Guard) nameOf(cause keyedHash) (name string, gone bool) {
	set := g.connections.Load()
	if set == nil {
		return "", false
	}
	if c := set.find(cause); c != nil {
		return c.Name, false
	}
	return "", true
}

// tagOf returns 16 bits of a hash of a connection's secret. Nothing else is kept of it, so
// that a stolen state file can rule out guesses but not confirm one. Of 65,536 changes of
// a secret, one is not noticed. Access tokens change all the time, so the credential with
// which they are obtained is hashed instead; if its file cannot be read, it counts as
// unchanged.
func (g *Guard) tagOf(ctx context.Context, id *identity, secret mail.Secret) uint16 {
	c, kind := id.connection, "password"
	g.mu.Lock()
	last, tag := id.secret, id.tag
	g.mu.Unlock()
	if c.Token != nil {
		kind = "token"
		credential, err := c.TokenCredential.Read(ctx)
		if err != nil && !last.IsZero() {
			return tag
		}
		secret = credential // unreadable: as good as none
	}
	if secret == last && !last.IsZero() {
		return tag
	}
	actsFor := g.actsForHash(c)
	full := g.hash("secret", string(id.account[:]), string(actsFor[:]), kind, secret.Reveal())
	tag = binary.BigEndian.Uint16(full[:])
	g.mu.Lock()
	id.secret, id.tag = secret, tag
	g.mu.Unlock()
	return tag
}

// serverHash names the server of a connection by its host, whatever the port; an
// address is itself. On loopback each port is another server: a tunnel, or a test.
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

// hash returns a keyed hash of several parts. It is unambiguous, because only hashes, whose
// length is fixed, and the last part may contain a NUL.
func (g *Guard) hash(parts ...string) (h keyedHash) {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(strings.Join(parts, "\x00")))
	copy(h[:], mac.Sum(nil))
	return h
}

// KeyedHash returns a hash of names for the other files beside the state file, by
// the key of the state file. Only the last part may contain a NUL.
func (g *Guard) KeyedHash(parts ...string) [16]byte { return g.hash(parts...) }

func newInstallKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return key
}

// newID returns a number that no other process uses for its first attempt.
func newID() uint64 {
	var raw [8]byte
	_, _ = rand.Read(raw[:])                     // it never fails
	return binary.BigEndian.Uint64(raw[:]) >> 12 // exact in JSON, with room to count
}
