package mail

// This file is the only code that takes a list of connections over at a reload
// for the packages that keep something about each of them.

import (
	"slices"
	"strings"
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

// setVersion is immutable; a reload stores the next one.
type setVersion[T any] struct {
	byName map[string]T
	sorted []T // by the connection's name
}

// Replace makes connections the configured ones. The value of each is what next
// returns; old is the value of the same name so far, the zero value where there
// was none. Of several connections of one name, which config refuses, the first
// counts.
func (s *ConnectionSet[T]) Replace(connections []*Connection, next func(c *Connection, old T) T) {
	s.reload.Lock()
	defer s.reload.Unlock()
	before := s.version()
	byName := make(map[string]T, len(connections))
	names := make([]string, 0, len(connections))
	for _, c := range connections {
		if _, twice := byName[c.Name]; twice {
			continue
		}
		byName[c.Name] = next(c, before.byName[c.Name])
		names = append(names, c.Name)
	}
	slices.SortFunc(names, strings.Compare)
	sorted := make([]T, len(names))
	for i, name := range names {
		sorted[i] = byName[name]
	}
	s.current.Store(&setVersion[T]{byName, sorted})
}

// Get returns the value of one connection; false: it is not configured.
func (s *ConnectionSet[T]) Get(name string) (T, bool) {
	value, ok := s.version().byName[name]
	return value, ok
}

// All returns the values of all connections, sorted by name. The slice is shared
// and must not be written to.
func (s *ConnectionSet[T]) All() []T { return s.version().sorted }

func (s *ConnectionSet[T]) version() *setVersion[T] {
	if v := s.current.Load(); v != nil {
		return v
	}
	return &setVersion[T]{}
}
