package mail

// This file is the only code that takes a list of connections over at a reload
// for the packages that keep something about each of them.

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// ConnectionSet holds one value per configured connection, for instance its
// metrics or its history. Each package has a set of its own, so that no package sees
// what another one keeps; the code for a reload is the same everywhere and is
// here. (The pool has its own map: a reload changes its schedule under the same
// lock.) The zero value is an empty set. All methods are safe for concurrent
// use; readers take no lock.
type ConnectionSet[T any] struct {
	reload  sync.Mutex // held by Replace alone
	current atomic.Pointer[setVersion[T]]
}

// setVersion is immutable; a reload stores the next one. A map would take twice the
// memory of the two tables.
type setVersion[T any] struct {
	names  []string // sorted
	values []T      // in the order of the names
	seed   maphash.Seed
	places []uint32 // hash table of 1 + index, with linear probing; 0: free
}

func newSetVersion[T any](names []string) *setVersion[T] {
	v := &setVersion[T]{names: names, values: make([]T, len(names)), seed: maphash.MakeSeed(), places: make([]uint32, 1+len(names)*3/2)}
	for i, name := range names {
		*v.place(name) = uint32(i + 1)
	}
	return v
}

// place returns the place in the table where the index of a name is, or would be.
func (v *setVersion[T]) place(name string) *uint32 {
	at, _ := bits.Mul64(maphash.String(v.seed, name), uint64(len(v.places)))
	for v.places[at] != 0 && v.names[v.places[at]-1] != name {
		if at++; at == uint64(len(v.places)) {
			at = 0
		}
	}
	return &v.places[at]
}

// get returns the value of a name; false: there is none.
func (v *setVersion[T]) get(name string) (value T, ok bool) {
	if v == nil {
		return value, false
	}
	at := *v.place(name)
	if at == 0 {
		return value, false
	}
	return v.values[at-1], true
}

// Replace makes connections the configured ones. The value of each is what next
// returns; old is the value of the same name so far, the zero value where there
// was none. Of several connections of one name, which config refuses, the first
// counts.
func (s *ConnectionSet[T]) Replace(connections []*Connection, next func(c *Connection, old T) T) {
	s.reload.Lock()
	defer s.reload.Unlock()
	names := make([]string, len(connections))
	for i, c := range connections {
		names[i] = c.Name
	}
	slices.Sort(names)
	before, version := s.current.Load(), newSetVersion[T](slices.Clip(slices.Compact(names)))
	done := make([]bool, len(version.names))
	for _, c := range connections {
		i := *version.place(c.Name) - 1
		if done[i] {
			continue
		}
		done[i] = true
		old, _ := before.get(c.Name)
		version.values[i] = next(c, old)
	}
	s.current.Store(version)
}

// Get returns the value of one connection; false: it is not configured.
func (s *ConnectionSet[T]) Get(name string) (T, bool) { return s.current.Load().get(name) }

// All returns the values of all connections, sorted by name. The slice is shared
// and must not be written to.
func (s *ConnectionSet[T]) All() []T {
	if v := s.current.Load(); v != nil {
		return v.values
	}
	return nil
}
