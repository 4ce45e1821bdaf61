package prober

import (
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// shortTimeout is the time of probes over sockets, where silence is really
// waited for.
const shortTimeout = 300 * time.Millisecond

// TestFaultsLeaveNoDescriptor plays each fault over a socket and counts what is
// left open. Goroutines are counted at the end of all tests.
func TestFaultsLeaveNoDescriptor(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc/self/fd here")
	}
	fix := newFaultFixture(t)
	play := func(fault *faultCase) {
		pair := fault.pairs()[0]
		run := fix.playOnLoopback(t, fault, pair.protocol, pair.encryption, func(run *faultRun, _ *Prober) {
			run.connection.Timeout = shortTimeout
		})
		if f := run.outcome.Failure; f != nil && f.Reason == mail.LocalBug || run.took > shortTimeout+patient {
			t.Errorf("%s: took %v\n%s", fault.story, run.took, explain(run.outcome))
		}
		run.judgeSecrecy(t)
		run.judgeConnection(t)
	}
	cases := faultCases()
	play(&cases[0]) // what the runtime opens once
	before := descriptors(t)
	turns := make(chan *faultCase)
	var players sync.WaitGroup
	for range 16 {
		players.Go(func() {
			for fault := range turns {
				play(fault)
			}
		})
	}
	for i := range cases {
		turns <- &cases[i]
	}
	close(turns)
	players.Wait()
	after := descriptors(t)
	for wait := time.Now(); after > before && time.Since(wait) < patient; after = descriptors(t) {
		time.Sleep(10 * time.Millisecond) // the kernel tells of no closed descriptor
	}
	if after > before {
		t.Errorf("%d descriptors before %d cases, %d after", before, len(cases), after)
	}
}

// descriptors is how many files and sockets are open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// maxAllocated bounds what a probe and its flooding server may allocate
// together, in bytes: buffers of both, two of a window of the pipe, and the
// handshake.
const maxAllocated = 4 << 20

// TestFloodsTakeLittleMemory measures each fault that ends at a bound.
func TestFloodsTakeLittleMemory(t *testing.T) {
	fix := newFaultFixture(t)
	for _, fault := range faultCases() {
		if fault.reason != mail.ProtocolOversize {
			continue
		}
		for _, pair := range fault.pairs() {
			t.Run(faultName(&fault)+"_"+string(pair.protocol)+"_"+string(pair.encryption), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					fix.playInMemory(t, &fault, pair.protocol, pair.encryption)
					runtime.ReadMemStats(&after)
					if n := after.TotalAlloc - before.TotalAlloc; n > maxAllocated {
						t.Errorf("%d KiB were allocated, more than %d", n>>10, maxAllocated>>10)
					} else {
						t.Logf("%d KiB", n>>10)
					}
				})
			})
		}
	}
}
