package prober

import (
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailprobe/mail"
)

// leakProbes, set in the environment, is how many probes are made instead of the
// few that every run makes:
//
//	MAILPROBE_LEAK_PROBES=100000 go test ./prober -run TestProbesLeaveNothingBehind -v -timeout 60m
const leakProbes = "MAILPROBE_LEAK_PROBES"

// TestProbesLeaveNothingBehind makes many probes of good and broken servers.
// Goroutines, descriptors and live heap must be at the end where they were after
// a tenth of them.
func TestProbesLeaveNothingBehind(t *testing.T) {
	total := 1000
	if text := os.Getenv(leakProbes); text != "" {
		var err error
		if total, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	cases, stop := startLeakCases(t)
	defer stop()
	probe := func(n int) { probeAll(t, cases, n) }
	first := max(total/10, 4*len(cases))
	probe(first)
	before := takeStock()
	start := time.Now()
	probe(total - first)
	after := takeStock()
	t.Logf("after %d probes: %+v", first, before)
	t.Logf("after %d probes: %+v (%.0f probes/s, both ends)", total, after, float64(total-first)/time.Since(start).Seconds())
	if after.goroutines > before.goroutines {
		t.Errorf("%d goroutines more", after.goroutines-before.goroutines)
	}
	if after.descriptors > before.descriptors {
		t.Errorf("%d descriptors more", after.descriptors-before.descriptors)
	}
	// A lost object of 16 bytes in every probe of 100,000 would be 1.4 MiB.
	if grown := after.heap - before.heap; grown > 256<<10 {
		t.Errorf("the live heap grew by %d bytes", grown)
	}
}

// leakCase is a server, what it is probed with, and what must come of it.
type leakCase struct {
	connection *mail.Connection
	reason     mail.Reason // empty: up
}

// startLeakCases starts an honest server for each pair, twice, and one for each
// of some faults. Unlike mailtest's servers they remember nothing.
func startLeakCases(t *testing.T) (cases []leakCase, stop func()) {
	fix := newFaultFixture(t)
	closed := make(chan struct{})
	var servers sync.WaitGroup
	var listeners []net.Listener
	start := func(fault *faultCase, p mail.Protocol, e mail.Encryption) {
		run, script, options := fix.prepare(fault, p, e)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, listener)
		run.connection.Port = listener.Addr().(*net.TCPAddr).Port
		cases = append(cases, leakCase{run.connection, fault.reason})
		servers.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				servers.Go(func() { script.Play(conn, options, closed) })
			}
		})
	}
	for range 2 {
		for _, p := range mail.Protocols() {
			for _, e := range []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS, mail.StartTLS} {
				start(&faultCase{after: opened, script: every("BYE " + string(p))}, p, e)
			}
		}
	}
	for _, fault := range leakFaults() {
		pairs := fault.pairs()
		start(&fault, pairs[len(cases)%len(pairs)].protocol, pairs[len(cases)%len(pairs)].encryption)
	}
	return cases, func() {
		close(closed)
		for _, listener := range listeners {
			_ = listener.Close()
		}
		servers.Wait()
	}
}

// leakFaults end in every way a probe can end, and soon.
func leakFaults() []faultCase {
	silent := faultCase{after: connected, script: every("STALL"), phase: mail.PhaseGreeting, reason: mail.Timeout,
		encryptions: []mail.Encryption{mail.NoEncryption}, change: func(c *mail.Connection) { c.Timeout = 60 * time.Millisecond }}
	cases := []faultCase{silent,
		{after: connected, script: every("S: this is no mail server"), reason: mail.ProtocolMalformed},
		{after: connected, script: every("REPEAT forever SEND \"aaaaaaaaaaaaaaaa\""), reason: mail.ProtocolOversize},
		{after: asked, script: refusals("BYE imap", mail.IMAP), reason: mail.AuthRejected},
	}
	wanted := map[string]bool{"closed_inside_the_verdict": true, "reset_inside_the_verdict": true,
		"an_expired_certificate_from_the_first_byte": true, "another_name_after_starttls": true,
		"imap_in_clear_from_the_first_byte": true, "a_client_certificate_is_wanted_tls_1_3_from_the_first_byte": true,
		"three_hundred_certificates_from_the_first_byte": true, "alert_handshake_failure_after_starttls": true}
	for _, fault := range faultCases() {
		if wanted[fault.story] {
			cases = append(cases, fault)
		}
	}
	return cases
}

// probeAll makes n probes, eight at once, and checks each.
func probeAll(t *testing.T, cases []leakCase, n int) {
	var next atomic.Int64
	var workers sync.WaitGroup
	prober := &Prober{Hostname: "probe.example.org"}
	for range 8 {
		workers.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				c := cases[int(i)%len(cases)]
				o := prober.Probe(t.Context(), c.connection)
				if o.Failure != nil && o.Failure.Reason == mail.ConnectTimeout && c.reason == mail.Timeout {
					continue // a loaded machine takes the little time there is for itself
				}
				if o.Up() != (c.reason == "") || !o.Up() && o.Failure.Reason != c.reason {
					t.Errorf("want %q, got\n%s", c.reason, explain(o))
				}
			}
		})
	}
	workers.Wait()
}

// stock is what a process holds.
type stock struct{ goroutines, descriptors, heap int }

// takeStock waits until the last servers have ended, and counts.
func takeStock() stock {
	var s stock
	for range 20 {
		time.Sleep(50 * time.Millisecond) // two equal looks: nothing is still ending
		now := stock{goroutines: runtime.NumGoroutine(), descriptors: openDescriptors()}
		if now == s {
			break
		}
		s = now
	}
	runtime.GC()
	runtime.GC() // the first only moves sync.Pools aside
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.heap = int(m.HeapAlloc)
	return s
}

// openDescriptors is the number of open files, 0 where /proc does not tell.
func openDescriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
