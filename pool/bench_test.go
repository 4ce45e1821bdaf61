package pool

import (
	"context"
	"fmt"
	"testing"
	"time"

	"mailprobe/internal/systest"
	"mailprobe/mail"
)

// BenchmarkPoolSchedule measures what the pool adds to one probe among ten thousand: from
// the moment it is due, through its worker, to its report. The probe itself takes no
// time, and the benchmark sets the clock: each entry is due as soon as the one before it
// is reported.
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
		due := p.timeOf(p.schedule.first().next)
		p.mu.Unlock()
		p.startDue(due)
		<-reported
	}
}

// BenchmarkPoolSkip measures a start that is only counted, because the probe before it
// has not ended.
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
		due := p.timeOf(p.schedule.first().next)
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

// reportCPU reports the processor time of an operation, which other programs on the
// machine disturb less than the time on the clock.
func reportCPU(b *testing.B) (report func()) {
	before := systest.ProcessorTime()
	return func() { b.ReportMetric(float64(systest.ProcessorTime()-before)/float64(b.N), "cpu-ns/op") }
}
