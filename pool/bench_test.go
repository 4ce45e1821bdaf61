//go:build unix

package pool

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"mailprobe/mail"
)

// BenchmarkPoolSchedule is what the pool adds to one probe among ten thousand: from the
// moment it is due, through its worker, to its report. The probe itself takes no
// time. Time is the benchmark's own: an entry is due as soon as the one before it.
func BenchmarkPoolSchedule(b *testing.B) {
	const connections = 10_000
	reported := make(chan struct{}, 1)
	p := New(Options{
		Probe:  func(_ context.Context, c *mail.Connection) mail.Outcome { return mail.Outcome{Connection: c} },
		Report: func(mail.Outcome) { reported <- struct{}{} },
	})
	conns := make([]*mail.Connection, connections)
	for i := range conns {
		conns[i] = mailbox(fmt.Sprintf("box-%d", i), fmt.Sprintf("mail-%d.example.org", i))
		conns[i].Interval = time.Hour
	}
	p.Set(conns)
	if err := p.begin(); err != nil {
		b.Fatal(err)
	}
	defer p.stop()
	b.ReportAllocs()
	defer reportCPU(b)()
	for b.Loop() {
		p.mu.Lock()
		due := p.schedule.first().next
		p.mu.Unlock()
		p.startDue(due)
		<-reported
	}
}

// BenchmarkPoolSkip is a start that does not happen because the probe before
// it has not ended: it is only counted.
func BenchmarkPoolSkip(b *testing.B) {
	const connections = 10_000
	release := make(chan struct{})
	p := New(Options{MaxInFlight: connections, Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
		<-release
		return mail.Outcome{Connection: c}
	}})
	p.Set(mailboxes(connections, "box", ""))
	if err := p.begin(); err != nil {
		b.Fatal(err)
	}
	step := func() {
		p.mu.Lock()
		due := p.schedule.first().next
		p.mu.Unlock()
		p.startDue(due)
	}
	for range connections {
		step()
	}
	b.ReportAllocs()
	defer reportCPU(b)()
	for b.Loop() {
		step()
	}
	b.StopTimer()
	close(release)
	p.stop()
}

// reportCPU adds the processor time of an operation, which other programs on the
// machine disturb less than the time on the clock.
func reportCPU(b *testing.B) (report func()) {
	used := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}
