package prober

// This file knows when bytes arrived, which is not when a goroutine got to read
// them: on a busy machine that can take a hundred times as long. Waiting for the
// scheduler is not part of any duration.

import (
	"net"
	"sync"
	"time"
)

// lateness adds up how much later than the kernel we saw what the server did. It
// belongs to one probe; its zero value is ready to use.
type lateness struct {
	mu    sync.Mutex
	total time.Duration
	heard time.Time // when the last read ended
}

// add takes over what was measured elsewhere.
func (l *lateness) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += d
}

// sum is the lateness so far.
func (l *lateness) sum() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// clock starts a clock: it gives the time since then, without the lateness.
func (l *lateness) clock() func() time.Duration {
	start, before := time.Now(), l.sum()
	return func() time.Duration {
		return max(0, time.Since(start)-(l.sum()-before))
	}
}

// read notes a read that began and has ended now, of bytes that came at arrival;
// zero: that is not known. What was before the read is none of its lateness,
// whatever the clocks say: arrival is by the wall clock, which can be set.
func (l *lateness) read(began, arrival time.Time) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = now
	if !arrival.IsZero() {
		l.total += max(0, min(now.Sub(arrival), now.Sub(began)))
	}
}

// answered ends a step that began at start and ended with the server's answer,
// which was read a while ago if the library's goroutine had to wait for its turn.
func (l *lateness) answered(began time.Time) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard.After(began) {
		l.total += now.Sub(l.heard)
		l.heard = now // it is counted
	}
}

// reader gives what reads from a connection and notes it: with the kernel's
// stamps where the system has them.
func (l *lateness) reader(conn net.Conn) func(p []byte) (int, error) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if read := l.stampedReader(tcp); read != nil {
			return read
		}
	}
	return func(p []byte) (int, error) {
		n, err := conn.Read(p)
		l.read(time.Time{}, time.Time{})
		return n, err
	}
}

// connectLateness is how long a connection that took so long was established
// before we saw it: the kernel itself measures the round trip from SYN to SYN-ACK.
func connectLateness(conn net.Conn, took time.Duration) time.Duration {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	if trip, ok := firstRoundTrip(tcp); ok {
		return max(0, took-trip)
	}
	return 0
}
