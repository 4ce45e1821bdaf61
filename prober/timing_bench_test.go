package prober

// How honest the figures are when the machine is busy:
//
//	go test ./prober -run '^$' -bench TimingUnderLoad -benchtime 4000x
//
// The truth is what one probe at a time takes.

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkTimingUnderLoad probes IMAP over TLS with more and more probes at
// once, and returns what the middle one reports of each phase.
func BenchmarkTimingUnderLoad(b *testing.B) {
	c := benchSink(b)
	prober := &Prober{Hostname: "bench"}
	for _, atOnce := range []int{1, 8, 64, 500} {
		b.Run(fmt.Sprintf("%d_at_once", atOnce), func(b *testing.B) {
			var mu sync.Mutex
			figures := map[string][]time.Duration{}
			var group sync.WaitGroup
			probes := make(chan struct{})
			for range atOnce {
				group.Go(func() {
					for range probes {
						o := prober.Probe(context.Background(), c)
						mu.Lock()
						if !o.Up() {
							b.Error(explain(o))
						}
						for _, p := range o.Phases {
							figures[string(p.Phase)] = append(figures[string(p.Phase)], p.Duration)
						}
						figures["whole"] = append(figures["whole"], o.Duration())
						figures["wall"] = append(figures["wall"], o.End.Sub(o.Start))
						mu.Unlock()
					}
				})
			}
			for b.Loop() {
				probes <- struct{}{}
			}
			close(probes)
			group.Wait()
			b.ReportMetric(0, "ns/op")
			for name, times := range figures {
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)/2].Microseconds()), name+"-p50-µs")
			}
		})
	}
}
