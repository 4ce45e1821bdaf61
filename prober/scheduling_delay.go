package prober

// This file measures the scheduling delay: the time between the arrival of bytes
// in the kernel and the moment a goroutine read them. On a busy machine it can be a
// hundred times the server's own response time, so no duration includes it.

import (
	"net"
	"sync"
	"time"

	"mailprobe/internal/kerneltime"
)

// schedulingDelay adds up the scheduling delays of one probe. Its zero value is
// ready to use.
type schedulingDelay struct {
	mu       sync.Mutex
	total    time.Duration
	lastRead time.Time // end of the last read
}

// add adds a delay that was measured elsewhere.
func (l *schedulingDelay) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += d
}

// sum returns the total so far.
func (l *schedulingDelay) sum() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// stopwatch measures a part of a probe, without the scheduling delay.
type stopwatch struct {
	delay  *schedulingDelay
	start  time.Time
	before time.Duration // delay until then
}

// begin returns a stopwatch that begins now.
func (l *schedulingDelay) begin() stopwatch { return stopwatch{l, time.Now(), l.sum()} }

// elapsed returns the time since the begin, without the scheduling delay.
func (w stopwatch) elapsed() time.Duration {
	return max(0, time.Since(w.start)-(w.delay.sum()-w.before))
}

// read records a read that began at began and ends now, of bytes that the kernel
// received at arrival; zero: unknown. Delay from before this read is not counted:
// arrival is a time of the wall clock, which can be set.
func (l *schedulingDelay) read(began, arrival time.Time) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastRead = now
	if !arrival.IsZero() {
		l.total += max(0, min(now.Sub(arrival), now.Sub(began)))
	}
}

// answered ends a step that began at began and ends with a reply of the server. The
// time since the last read is delay too: the library's goroutine waited to run.
func (l *schedulingDelay) answered(began time.Time) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastRead.After(began) {
		l.total += now.Sub(l.lastRead)
		l.lastRead = now // counted once
	}
}

// reader returns the read function of a connection that records the delay, by the
// kernel's receive timestamps where the system has them.
func (l *schedulingDelay) reader(conn net.Conn) func(p []byte) (int, error) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if read := kerneltime.Reader(tcp, l.read); read != nil {
			return read
		}
	}
	return func(p []byte) (int, error) {
		n, err := conn.Read(p)
		l.read(time.Time{}, time.Time{})
		return n, err
	}
}

// connectDelay returns how long a connection had been established before connect
// returned, of which took is the whole time. The kernel measures the round trip
// from SYN to SYN-ACK.
func connectDelay(conn net.Conn, took time.Duration) time.Duration {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	if trip, ok := kerneltime.FirstRoundTrip(tcp); ok {
		return max(0, took-trip)
	}
	return 0
}
