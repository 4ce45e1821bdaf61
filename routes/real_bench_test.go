package routes_test

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/realserver"
	"mailprobe/internal/systest"
	"mailprobe/mail"
	"mailprobe/prober"
	"mailprobe/routes"
)

// countingTransport counts sessions and notes when a message was accepted.
type countingTransport struct {
	routes.Transport
	sessions int
	answered time.Time
}

func (c *countingTransport) Open(ctx context.Context, conn *mail.Connection, use func(prober.Mailbox) error) mail.Outcome {
	c.sessions++
	return c.Transport.Open(ctx, conn, use)
}

func (c *countingTransport) Submit(ctx context.Context, conn *mail.Connection, e prober.Envelope, message []byte) prober.Submission {
	c.sessions++
	s := c.Transport.Submit(ctx, conn, e, message)
	c.answered = s.Answered
	return s
}

// savedTimes sends the time at which each line about a saved message appears in the
// log of Dovecot's LMTP server, until ctx ends. The log's own times are of seconds.
func savedTimes(ctx context.Context, file string) <-chan time.Time {
	times := make(chan time.Time, 1000)
	go func() {
		log, err := os.Open(file)
		if err != nil {
			return
		}
		defer log.Close()
		_, _ = log.Seek(0, io.SeekEnd)
		for ctx.Err() == nil {
			fresh, _ := io.ReadAll(log)
			if strings.Contains(string(fresh), "saved mail to INBOX") {
				times <- time.Now()
			}
			time.Sleep(time.Millisecond) // the resolution of the comparison
		}
	}()
	return times
}

// BenchmarkRealRoute measures messages through Postfix and Dovecot: how far the
// delivery time is from the receiving server's own log, what a message costs here,
// and how many logins it takes.
func BenchmarkRealRoute(b *testing.B) {
	realserver.Need(b, "dovecot", "postfix")
	p := newPath(b)
	r := p.route(withoutBounces)
	r.Deadline, r.Slow = time.Minute, time.Minute
	counting := &countingTransport{Transport: prober.NewCourier(new(prober.Prober))}
	tracker := &routes.Tracker{Transport: counting, Journal: p.journal}
	send := func(b *testing.B) mail.RouteOutcome {
		o, known := tracker.Send(b.Context(), r)
		if !known || !o.Up() {
			b.Fatalf("%+v", o.Failure)
		}
		return o
	}
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.Run("cost", func(b *testing.B) {
		counting.sessions = 0
		before := systest.ProcessorTime()
		for range b.N {
			send(b)
		}
		b.ReportMetric(milliseconds(systest.ProcessorTime()-before)/float64(b.N), "ms-cpu/message")
		b.ReportMetric(float64(counting.sessions)/float64(b.N), "logins/message")
	})
	b.Run("time", func(b *testing.B) {
		saved := savedTimes(b.Context(), p.dovecot.LogFile())
		var off, uncertain []time.Duration
		for range b.N {
			o := send(b)
			off = append(off, counting.answered.Add(o.Transfer).Sub(<-saved))
			uncertain = append(uncertain, o.Uncertainty)
		}
		slices.Sort(off)
		slices.Sort(uncertain)
		b.ReportMetric(milliseconds(off[len(off)/2]), "ms-off-median")
		b.ReportMetric(milliseconds(off[len(off)*9/10]), "ms-off-p90")
		b.ReportMetric(milliseconds(off[len(off)-1]), "ms-off-max")
		b.ReportMetric(milliseconds(uncertain[len(uncertain)/2]), "ms-uncertain-median")
	})
}
