// Package shard divides connections among several mailprobe processes, without
// any communication between them.
package shard

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"mailprobe/mail"
)

// Ordinal is the word that stands for this process's own number: the last number
// in the host name, as a StatefulSet gives one to each of its pods.
const Ordinal = "ordinal"

// maxShards bounds what a typing error can ask for.
const maxShards = 1000

// Shard is one of Count shares. The zero value is everything.
type Shard struct {
	Index int // from 0
	Count int // 0 or 1: there is only one share
}

// Parse reads "I/N": share I, from 0 to N-1, of N. I may also be the word ordinal,
// or a name that ends in a hyphen and a number. Empty text is everything.
func Parse(text, hostname string) (Shard, error) {
	if text == "" {
		return Shard{}, nil
	}
	which, of, ok := strings.Cut(text, "/")
	count, err := strconv.Atoi(of)
	if !ok || err != nil || count < 1 || count > maxShards {
		return Shard{}, fmt.Errorf("--shard: %q is not I/N, such as 0/3 or %s/3, with N from 1 to %d", text, Ordinal, maxShards)
	}
	if which == Ordinal {
		which = hostname
	}
	hyphen := strings.LastIndexByte(which, '-')
	index, err := strconv.Atoi(which[hyphen+1:])
	if err != nil || hyphen == 0 {
		return Shard{}, fmt.Errorf("--shard: %q is neither a number nor a name that ends in -number", which)
	}
	if index >= count {
		return Shard{}, fmt.Errorf("--shard: share %d of %d does not exist: they are counted from 0 to %d", index, count, count-1)
	}
	return Shard{Index: index, Count: count}, nil
}

// String is the share as it is written.
func (s Shard) String() string { return strconv.Itoa(s.Index) + "/" + strconv.Itoa(max(1, s.Count)) }

// Of returns the connections of this share, in their order. Each connection is in
// exactly one share. All connections of a server are in the same share, because each
// process counts the logins to a server for itself. A server with more connections
// than a share is an exception: its accounts are divided. If a share is added, only
// the connections of the new share move, and those of servers that are now larger than
// a share.
func (s Shard) Of(connections []*mail.Connection) []*mail.Connection {
	if s.Count <= 1 {
		return connections
	}
	sizes := map[string]int{}
	for _, c := range connections {
		sizes[server(c)]++
	}
	share := (len(connections) + s.Count - 1) / s.Count
	var mine []*mail.Connection
	for _, c := range connections {
		key := server(c)
		if sizes[key] > share {
			key += "\x00" + account(c)
		}
		if owner(key, s.Count) == s.Index {
			mine = append(mine, c)
		}
	}
	return mine
}

// Routes returns the routes of a share with these connections, in their order: those
// whose messages arrive at one of them. Each route is in exactly one share: more would
// send its messages several times. Probes and routes of one mailbox take turns, and so
// belong in one process.
func Routes(routes []*mail.Route, connections []*mail.Connection) []*mail.Route {
	mine := make(map[*mail.Connection]bool, len(connections))
	for _, c := range connections {
		mine[c] = true
	}
	return slices.DeleteFunc(slices.Clone(routes), func(r *mail.Route) bool { return !mine[r.Receive] })
}

// owner returns the share with the highest hash for this key (rendezvous hashing). An
// added share takes keys from all others, and none moves between those.
func owner(key string, count int) (best int) {
	var highest uint64
	for i := range count {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(strconv.Itoa(i) + "\x00" + key)) // a hash never fails
		if h := mix(hash.Sum64()); i == 0 || h > highest {
			best, highest = i, h
		}
	}
	return best
}

// mix spreads a hash over all bits (the finalizer of MurmurHash3): FNV leaves the
// high ones alike for keys that differ in their first byte only.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// server names what a ban list or a limit counts: the host, whatever the port.
func server(c *mail.Connection) string { return strings.ToLower(strings.TrimSuffix(c.Host, ".")) }

// account names what must not be locked; a connection without one is its own.
func account(c *mail.Connection) string {
	if c.Username == "" {
		return "connection " + c.Name
	}
	return "user " + strings.ToLower(c.Username)
}
