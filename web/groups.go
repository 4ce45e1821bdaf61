package web

// This file groups the connections that are down for the same cause: if a server with
// sixty mailboxes is unreachable, that is one problem, not sixty.

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"

	"mailprobe/history"
	"mailprobe/mail"
)

// cause is why a connection is down, and where.
type cause struct {
	address string
	phase   mail.Phase
	reason  mail.Reason
}

func causeOf(m *history.Snapshot) cause {
	f := m.Last.Failure
	return cause{m.Connection.Address(), f.Phase, f.Reason}
}

// group is the connections that are down for one cause.
type group struct {
	Items   []listItem // those of this page
	Address string
	Down    int // all that match, on this page and on others
	Total   int // all that are configured with this address
}

// Single reports whether the group has one connection only, so that the page needs
// nothing to unfold.
func (g group) Single() bool { return g.Down == 1 }

// First returns the connection of the group that went down last.
func (g group) First() listItem { return g.Items[0] }

// ID returns the name of the group in the page. It is the same at each refresh.
func (g group) ID() string {
	f := g.First().Failure
	hash := fnv.New64a()
	_, _ = fmt.Fprintf(hash, "%s %s %s", g.Address, f.Phase, f.Reason) // a hash takes everything
	return fmt.Sprintf("cause-%x", hash.Sum64())
}

// groupByCause moves the connections of one cause together, to the place of the first
// of them, and returns the number of connections of each cause. In found, connections
// that are down must come first.
func groupByCause(found []history.Snapshot) map[cause]int {
	sizes, places := map[cause]int{}, map[cause]int{}
	down := found
	for i := range found {
		if found[i].State() != history.StateDown {
			down = found[:i]
			break
		}
		c := causeOf(&found[i])
		if sizes[c] == 0 {
			places[c] = i
		}
		sizes[c]++
	}
	slices.SortStableFunc(down, func(a, b history.Snapshot) int {
		return cmp.Compare(places[causeOf(&a)], places[causeOf(&b)])
	})
	return sizes
}

// attend adds a connection that is down to its group.
func (o *overview) attend(item listItem, c cause, sizes map[cause]int) {
	if n := len(o.Attention); n > 0 && o.Attention[n-1].cause() == c {
		o.Attention[n-1].Items = append(o.Attention[n-1].Items, item)
		return
	}
	o.Attention = append(o.Attention, group{Items: []listItem{item}, Address: c.address,
		Down: max(sizes[c], 1), Total: o.atAddress[c.address]})
}

func (g group) cause() cause {
	f := g.First().Failure
	return cause{g.Address, f.Phase, f.Reason}
}
