package guard

import (
	"fmt"
	"testing"
	"time"

	"mailprobe/mail"
)

// family is one password at several hosts, probed in the order of the configuration.
type family struct {
	conns    []*mail.Connection
	refuses  map[string]bool // by host
	refusals []time.Time
	tried    map[string]time.Time // first login, by name
	withheld map[string]int       // by name
}

// oneOfMany is an account that one host accepts, a number of hosts refuse, and the host
// that is last in the file would accept.
func oneOfMany(refusing int) *family {
	f := &family{refuses: map[string]bool{}, tried: map[string]time.Time{}, withheld: map[string]int{}}
	f.conns = append(f.conns, user("works", "works.example", "ann"))
	for i := range refusing {
		host := fmt.Sprintf("no-%d.example", i)
		f.conns, f.refuses[host] = append(f.conns, user(host, host, "ann")), true
	}
	f.conns = append(f.conns, user("untried", "untried.example", "ann"))
	return f
}

// probe probes each connection once, and then waits.
func (f *family) probe(h *fixture, wait time.Duration) {
	for _, c := range f.conns {
		verdict := right
		if verdict.Address = ""; f.refuses[c.Host] {
			verdict = wrong
			verdict.Address = ""
		}
		if !h.probe(c, "p", verdict).Allowed {
			f.withheld[c.Name]++
			continue
		}
		if f.tried[c.Name].IsZero() {
			f.tried[c.Name] = h.at
		}
		if f.refuses[c.Host] {
			f.refusals = append(f.refusals, h.at)
		}
	}
	h.sleep(wait)
}

// Refused connections use up the budget of the account again and again, but a connection
// that was never tried comes before them.
func TestGuardTriesEachConnectionOfAnAccount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		refusing int
		within   time.Duration
	}{{1, 31 * time.Minute}, {2, 62 * time.Minute}, {6, 2*fullDay + 2*time.Minute}} {
		t.Run(fmt.Sprint(test.refusing, " refuse"), func(t *testing.T) {
			f, h := oneOfMany(test.refusing), newFixture(t, "")
			h.SetConnections(f.conns)
			began := h.at
			for range 5 * 24 * 60 {
				f.probe(h, time.Minute)
			}
			if took := f.tried["untried"].Sub(began); f.tried["untried"].IsZero() || took > test.within {
				t.Errorf("the connection that was never tried was tried after %v, want it within %v", took, test.within)
			} else {
				t.Logf("tried after %v", took)
			}
			if len(f.tried) != len(f.conns) {
				t.Errorf("%d of %d connections tried in five days, want all", len(f.tried), len(f.conns))
			}
		})
	}
}

// For a month, six hosts refuse a password and two accept it.
func TestGuardMonthOfOneThatWorks(t *testing.T) {
	t.Parallel()
	f, h := oneOfMany(6), newFixture(t, "")
	h.SetConnections(f.conns)
	var until time.Time
	for range 30 * 24 * 20 {
		f.probe(h, 3*time.Minute)
		if until.IsZero() && !f.tried["untried"].IsZero() {
			until = h.at
			f.withheld["untried"] = 0
		}
	}
	halfHour, day := most(f.refusals, 30*time.Minute), most(f.refusals, 24*time.Hour)
	t.Logf("%d refusals; at most %d in 30 minutes, %d in 24 hours", len(f.refusals), halfHour, day)
	if halfHour > othersPerHalfHour || day > othersPerDay || len(f.refusals) < 60 {
		t.Errorf("%d refusals, at most %d in 30 minutes and %d in 24 hours; want up to %d and %d, and some", len(f.refusals), halfHour, day, othersPerHalfHour, othersPerDay)
	}
	if f.withheld["works"] != 0 || f.withheld["untried"] != 0 {
		t.Errorf("the logins that work were withheld %d and %d times, want never", f.withheld["works"], f.withheld["untried"])
	}
}

// The order in which connections log in when the budget of their account has room again.
func TestConnectionsWaitInLine(t *testing.T) {
	two, three := user("two", "two.example", "ann"), user("three", "three.example", "ann")
	works := func(h *fixture) { h.probe(user("one", "one.example", "ann"), "p", right); h.sleep(time.Second) }
	tellStories(t, []story{
		{"a connection that was never tried comes before one that was refused", func(_ *testing.T, h *fixture) {
			works(h)
			h.probe(two, "p", wrong)
			h.sleep(30 * time.Minute)
			h.wantHeld(three, "p", mail.AuthHeld, time.Minute)
			h.sleep(9 * time.Minute)                            // both may be tried now
			h.wantHeld(two, "p", mail.AuthHeld, 31*time.Minute) // it lets the other one go first
			h.wantAllowed(three, "p")
		}},
		{"it comes first also if no host has accepted the password yet", func(_ *testing.T, h *fixture) {
			h.probe(two, "p", wrong)
			h.sleep(30 * time.Minute)
			h.wantHeld(three, "p", mail.AuthHeld, h.nextOf(three, "p"))
			h.sleep(9 * time.Minute)
			h.wantHeld(two, "p", mail.AuthHeld, 31*time.Minute)
			h.wantAllowed(three, "p")
		}},
		{"one that cannot be tried keeps no other one waiting", func(_ *testing.T, h *fixture) {
			works(h)
			h.probe(two, "p", wrong)
			h.sleep(30 * time.Minute)
			h.wantHeld(three, "p", mail.AuthHeld, time.Minute)
			h.sleep(9 * time.Minute)
			h.probe(three, "p", dead) // its host does not answer
			h.wantAllowed(two, "p")
		}},
		{"one that is removed keeps no other one waiting", func(_ *testing.T, h *fixture) {
			works(h)
			h.probe(two, "p", wrong)
			h.sleep(30 * time.Minute)
			h.wantHeld(three, "p", mail.AuthHeld, time.Minute)
			h.SetConnections([]*mail.Connection{two})
			h.sleep(9 * time.Minute)
			h.wantAllowed(two, "p")
		}},
		{"one that is no longer probed is forgotten", func(_ *testing.T, h *fixture) {
			works(h)
			h.probe(two, "p", wrong)
			h.wantHeld(three, "p", mail.AuthHeld, 31*time.Minute)
			h.sleep(40 * time.Minute)
			h.wantAllowed(two, "p")
		}},
		{"one that worked until a moment ago comes first", func(_ *testing.T, h *fixture) {
			one := user("one", "one.example", "ann")
			h.probe(one, "p", right)
			h.sleep(time.Minute)
			h.probe(two, "p", wrong)
			h.sleep(9 * time.Minute)
			h.probe(one, "p", wrong)
			for range 23 {
				h.probe(three, "p", wrong)
				h.sleep(time.Minute)
			}
			h.wantHeld(three, "p", mail.AuthHeld, h.nextOf(three, "p"))
			h.wantAllowed(one, "p")
			h.probe(one, "p", right)
			h.wantAllowed(one, "p")
		}},
		{"another host comes before the one that refused the account", func(t *testing.T, h *fixture) {
			works(h)
			h.probe(two, "p", wrong)
			pop := altered(two, func(c *mail.Connection) { c.Protocol = mail.POP3 })
			h.wantHeld(pop, "p", mail.AuthHeld, 31*time.Minute)
			h.wantHeld(three, "p", mail.AuthHeld, 31*time.Minute)
			h.sleep(15 * time.Minute)
			h.wantHeld(three, "p", mail.AuthHeld, 16*time.Minute)
			if p := h.probe(pop, "p", wrong); p.Allowed || p.Hold.Until.Sub(h.at) < 47*time.Minute {
				t.Errorf("allowed %v until %v, want it after the other one, if that is refused", p.Allowed, p.Hold.Until.Sub(h.at))
			}
			h.sleep(16 * time.Minute)
			if h.probe(pop, "p", wrong).Allowed || !h.probe(three, "p", wrong).Allowed {
				t.Error("the host that refused the account was tried first")
			}
		}},
	})
}
