package prober

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// The times of the simulated fetcher.
const (
	simInterval = time.Hour // between two probes
	simMaxAge   = 8 * time.Hour
	simStep     = 20 * time.Minute // messages come and the fetcher works
	simHours    = 10_000 / slowdown
)

// simFetcher fetches a mailbox as long as it is well, and else stops, becomes slow or
// leaves one message lying.
type simFetcher struct {
	random *rand.Rand
	box    *simMailbox
	mode   mail.WatchMode

	faults []string  // that it can have
	fault  string    // stopped, slow, skips; empty: well
	until  time.Time // the end of the fault, or of the time without one
	stuck  uint32    // the UID of the message that is left lying
	seen   map[string]int
}

// work lets messages arrive and be fetched at this moment.
func (f *simFetcher) work() {
	now := time.Now()
	if f.random.Float64() < 0.3 {
		f.box.deliver(1+f.random.IntN(3), now)
	}
	if now.After(f.until) {
		f.change(now)
	}
	left := 2 // of a slow one, which takes two messages in a step, of more that come
	f.box.fetch(f.mode, func(m *simMessage) bool {
		waits := f.mode == mail.WatchAll || !m.seen
		switch f.fault {
		case "stopped":
			return waits
		case "slow":
			if waits && f.random.Float64() < 0.1 && left > 0 {
				left--
				return false
			}
			return waits
		case "skips":
			return waits && m.uid == f.stuck
		}
		// Within half of the age, at the latest.
		return waits && now.Sub(m.arrived) < simMaxAge/2-simStep && f.random.Float64() < 0.7
	})
}

// change begins a fault or ends it.
func (f *simFetcher) change(now time.Time) {
	f.until = now.Add(time.Duration(2+f.random.IntN(80)) * time.Hour)
	f.stuck = 0
	if f.fault != "" {
		f.fault = ""
		return
	}
	f.fault = f.faults[f.random.IntN(len(f.faults))]
	f.seen[f.fault]++
	for _, m := range f.box.messages {
		if f.mode == mail.WatchAll || !m.seen {
			f.stuck = m.uid // the last of them, if any waits
		}
	}
}

// waiting returns how long the oldest waiting message has waited; 0: none waits.
func (f *simFetcher) waiting() (oldest time.Duration) {
	for _, m := range f.box.messages {
		if f.mode == mail.WatchAll || !m.seen {
			oldest = max(oldest, time.Since(m.arrived))
		}
	}
	return oldest
}

// forget removes what was read, but for the newest, so that the simulation stays quick.
func (f *simFetcher) forget() {
	newest := f.box.lastUID
	f.box.messages = slices.DeleteFunc(f.box.messages, func(m *simMessage) bool { return m.seen && m.uid+10 < newest })
}

// fires is MailprobeMailboxBacklog at a probe: the oldest message was too old already
// at the probe before (dashboards/generate has the expression).
func fires(o *mail.Outcome) bool {
	return o.Backlog() > o.Connection.WatchMaxAge+o.Connection.Interval
}

// TestFetcherThatStopsIsAlertedOn lets a fetcher work and fail for 10,000 hours (2,000
// under the race detector). Each
// message that waits is alerted on within watch_max_age and two intervals, and there
// is no alert while every message is fetched within half of watch_max_age. POP3 knows
// an age one interval later, and that of a message amid others when those before it
// are gone; of a fetcher that is only slow it knows too little.
func TestFetcherThatStopsIsAlertedOn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		protocol mail.Protocol
		mode     mail.WatchMode
		hours    int
		late     time.Duration // beyond watch_max_age
		faults   []string
	}{
		{"imap, unread", mail.IMAP, mail.WatchUnread, simHours, 2 * simInterval, []string{"stopped", "slow", "skips"}},
		{"imap, all", mail.IMAP, mail.WatchAll, simHours * slowdown / 10, 2 * simInterval, []string{"stopped", "slow", "skips"}},
		{"pop3", mail.POP3, mail.WatchAll, simHours * slowdown / 10, 3*simInterval + simMaxAge/2, []string{"stopped", "skips"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box := &simMailbox{validity: 7, before: "ESEARCH"}
				f := &simFetcher{random: rand.New(rand.NewPCG(1, 2)), box: box, mode: test.mode, faults: test.faults, seen: map[string]int{}, until: time.Now().Add(24 * time.Hour)}
				p := box.prober(test.protocol)
				p.Sightings = sightings(t)
				c := watched(test.protocol, test.mode)
				c.Interval, c.WatchMaxAge = simInterval, simMaxAge
				alerts, firing := 0, false
				for step := range test.hours * int(time.Hour/simStep) {
					time.Sleep(simStep) // in a bubble
					f.work()
					f.forget()
					if step%int(simInterval/simStep) == 0 {
						o := p.Probe(t.Context(), c)
						if !o.Up() {
							t.Fatal(explain(o))
						}
						if was := firing; fires(&o) && !was {
							alerts++
						}
						firing = fires(&o)
						box.heard()
					}
					switch oldest := f.waiting(); {
					case oldest > simMaxAge+test.late && !firing:
						t.Fatalf("hour %d: %s: a message waits for %v and there is no alert", step*int(simStep)/int(time.Hour), f.fault, oldest)
					case step%int(simInterval/simStep) == 0 && oldest <= simMaxAge && firing:
						t.Fatalf("hour %d: %s: an alert, but no message waits longer than %v", step*int(simStep)/int(time.Hour), f.fault, oldest)
					}
				}
				t.Logf("%d alerts; faults: %v", alerts, f.seen)
				if alerts < test.hours/400 || len(f.seen) != len(test.faults) {
					t.Errorf("%d alerts in %d hours, faults %v: the simulation is too kind", alerts, test.hours, f.seen)
				}
			})
		})
	}
}
