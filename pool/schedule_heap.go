package pool

// This file is the priority queue of the schedule. It is used at each start, ten
// thousand times a minute. It keeps the times next to each other in memory, because
// reading each entry's own time would be a cache miss.

import (
	"slices"
	"time"
)

// heapArity is the number of children of a node; four of them share a cache line.
const heapArity = 4

// scheduleHeap is a heap of entries, the next start on top. An entry whose start
// was moved to a later time finds its new place when it comes to the top.
type scheduleHeap struct{ items []scheduledStart }

// scheduledStart is an entry and the offset of its next start, or of an earlier time.
type scheduledStart struct {
	at    time.Duration
	entry *scheduleEntry
}

// first returns the entry that starts next; nil: there is none.
func (h *scheduleHeap) first() *scheduleEntry {
	for len(h.items) > 0 {
		e := h.items[0].entry
		if e.next == h.items[0].at {
			return e
		}
		h.moved()
	}
	return nil
}

// moved moves the first entry to the place of its new time.
func (h *scheduleHeap) moved() {
	h.items[0].at = h.items[0].entry.next
	h.down(0)
}

// pop takes the first entry out.
func (h *scheduleHeap) pop() {
	last := len(h.items) - 1
	h.items[0].entry.scheduled = false
	h.items[0], h.items[last] = h.items[last], scheduledStart{}
	h.items = h.items[:last]
	h.down(0)
}

func (h *scheduleHeap) push(e *scheduleEntry) {
	h.items = append(h.items, scheduledStart{e.next, e})
	e.scheduled = true
	for i := len(h.items) - 1; i > 0; {
		parent := (i - 1) / heapArity
		if h.items[parent].at <= h.items[i].at {
			break
		}
		h.items[parent], h.items[i] = h.items[i], h.items[parent]
		i = parent
	}
}

// keep drops the entries for which wanted returns false.
func (h *scheduleHeap) keep(wanted func(*scheduleEntry) bool) {
	h.items = slices.DeleteFunc(h.items, func(s scheduledStart) bool { return !wanted(s.entry) })
	for i := len(h.items)/heapArity + 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *scheduleHeap) down(i int) {
	for {
		least := i
		for child := heapArity*i + 1; child <= heapArity*i+heapArity && child < len(h.items); child++ {
			if h.items[child].at < h.items[least].at {
				least = child
			}
		}
		if least == i {
			return
		}
		h.items[i], h.items[least] = h.items[least], h.items[i]
		i = least
	}
}
