package pool

// This file keeps the times at which connections are due. It starts nothing
// but what is due, and never catches up on what was missed.

import (
	"cmp"
	"container/heap"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"mailprobe/mail"
)

const (
	// A start that is later than this is dropped. Otherwise all starts missed
	// while the machine slept would happen at once, and measure each other.
	lateStart = time.Second
	// The first probes begin within shortSpread, or slower where that would be
	// more than spreadRate starts a second: above it timings begin to lie.
	shortSpread = 10 * time.Second
	spreadRate  = 400
	// How long Run sleeps when nothing is due at all.
	idle = time.Hour
)

// scheduleEntry is one connection with its next start.
type scheduleEntry struct {
	connection *mail.Connection
	exclusive  string        // see exclusiveKey
	host       string        // in lower case
	next       time.Time     // the next start; later ones follow at whole intervals
	last       time.Time     // when the last one was due; zero: none yet
	loginDelay time.Duration // that the server announced; see backoff.go
	spacing    time.Duration // between two starts as last said; 0: the interval
	index      int           // in the schedule; -1: not there
	run        *run          // waiting or running; nil if neither
}

func newEntry(c *mail.Connection) *scheduleEntry {
	return &scheduleEntry{connection: c, exclusive: exclusiveKey(c), host: strings.ToLower(c.Host), index: -1}
}

// timed reports whether the connection is probed on its interval at all.
func (s *scheduleEntry) timed() bool {
	return !s.connection.ProbeOnScrape && s.connection.Interval > 0
}

// keptEntries are those of fresh that are still configured.
func keptEntries(fresh []*scheduleEntry, entries map[string]*scheduleEntry) []*scheduleEntry {
	return slices.DeleteFunc(fresh, func(s *scheduleEntry) bool { return entries[s.connection.Name] != s })
}

// spreadLocked gives entries their first starts, evenly spread in the order of a
// hash of the names, so that neighbours in the file, often on one host, are
// apart. Entries probed on scrapes alone get none.
func (p *Pool) spreadLocked(fresh []*scheduleEntry, now time.Time) {
	fresh = slices.DeleteFunc(fresh, func(s *scheduleEntry) bool { return !s.timed() })
	slices.SortFunc(fresh, func(a, b *scheduleEntry) int {
		return cmp.Or(
			cmp.Compare(nameHash(a.connection.Name), nameHash(b.connection.Name)),
			cmp.Compare(a.connection.Name, b.connection.Name))
	})
	n := time.Duration(len(fresh))
	window := max(shortSpread, n*time.Second/spreadRate)
	for i, s := range fresh {
		s.next = now.Add(min(window, s.connection.Interval) / n * time.Duration(i))
		heap.Push(&p.schedule, s)
	}
}

func nameHash(name string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name)) // a hash never fails
	return hash.Sum64()
}

// startDue launches what is due and says how long nothing else will be.
func (p *Pool) startDue(now time.Time) time.Duration {
	p.mu.Lock()
	var overruns []*mail.Connection
	dropped := 0
	for len(p.schedule) > 0 && !p.schedule[0].next.After(now) {
		s := p.schedule[0]
		due, late := s.next, now.Sub(s.next)
		interval := p.spacingLocked(s)
		ticks := 1 + late/interval // due by now, of which one can start
		s.last, s.next = due, due.Add(ticks*interval)
		heap.Fix(&p.schedule, 0)
		switch {
		case late >= min(lateStart, interval):
			p.skipped += uint64(ticks)
			dropped++
		case p.startLocked(s, due):
			overruns = append(overruns, s.connection)
		}
	}
	wait := idle
	if len(p.schedule) > 0 {
		wait = p.schedule[0].next.Sub(now)
	}
	p.mu.Unlock()

	if dropped > 0 {
		p.opts.Log.Warn("starts dropped: the clock jumped or the machine is overloaded", "starts", dropped)
	}
	for _, c := range overruns {
		p.opts.Report(localOutcome(c, mail.LocalOverrun, "no free place for a probe within the interval of "+c.Interval.String()))
	}
	return wait
}

// startLocked enqueues the run of an entry that is due now, unless one is under
// way, which then serves this interval too. It reports whether the run before has
// not even begun: that one keeps its place in the queue, and the interval is lost.
func (p *Pool) startLocked(s *scheduleEntry, due time.Time) (overrun bool) {
	f := s.run
	switch {
	case f == nil:
		p.enqueueLocked(s, &run{timed: true}, due)
	case !f.timed: // somebody asked for it just before; one probe serves both
		f.timed = true
		if !f.started() {
			f.limit, f.due = 0, due
		}
	default:
		p.skipped++
		return !f.started()
	}
	return false
}

// postponeLocked moves the next start of an entry in the schedule to a later time.
func (p *Pool) postponeLocked(s *scheduleEntry, next time.Time) {
	if next.After(s.next) {
		s.next = next
		heap.Fix(&p.schedule, s.index)
	}
}

// scheduleHeap is a heap of entries, the next start on top.
type scheduleHeap []*scheduleEntry

func (a scheduleHeap) Len() int           { return len(a) }
func (a scheduleHeap) Less(i, j int) bool { return a[i].next.Before(a[j].next) }
func (a scheduleHeap) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}

// Push and Pop are for container/heap alone.
func (a *scheduleHeap) Push(x any) {
	s := x.(*scheduleEntry)
	s.index = len(*a)
	*a = append(*a, s)
}

func (a *scheduleHeap) Pop() any {
	last := len(*a) - 1
	s := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	s.index = -1
	return s
}

// remove takes an entry out wherever it is.
func (a *scheduleHeap) remove(s *scheduleEntry) {
	if s.index >= 0 {
		heap.Remove(a, s.index)
	}
}
