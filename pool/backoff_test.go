package pool

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// probed runs a pool for the time d, with servers whose answer (judge) depends on the
// time. It returns the gaps between the starts of each connection, in seconds, and the
// outcomes.
func probed(t *testing.T, d time.Duration, judge func(c *mail.Connection, at time.Duration) mail.Outcome, conns ...*mail.Connection) (map[string][]int, map[string][]mail.Outcome) {
	t.Helper()
	gaps, outcomes, last := map[string][]int{}, map[string][]mail.Outcome{}, map[string]time.Time{}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		begun := time.Now()
		pool := New(Options{
			Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
				mu.Lock()
				defer mu.Unlock()
				if before := last[c.Name]; !before.IsZero() {
					gaps[c.Name] = append(gaps[c.Name], int(time.Since(before).Seconds()))
				}
				last[c.Name] = time.Now()
				o := judge(c, time.Since(begun))
				o.Connection, o.Start, o.End = c, time.Now(), time.Now()
				return o
			},
			Report: func(o mail.Outcome) {
				mu.Lock()
				defer mu.Unlock()
				outcomes[o.Connection.Name] = append(outcomes[o.Connection.Name], o)
			},
		})
		pool.Set(conns)
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if err := pool.Run(ctx); err != nil {
			t.Error(err)
		}
		pool.Set(nil)
		if len(pool.backoffSteps) > 0 {
			t.Errorf("hosts that were removed are remembered: %v", pool.backoffSteps)
		}
	})
	return gaps, outcomes
}

func connectionEvery(name, host string, interval time.Duration) *mail.Connection {
	return &mail.Connection{Name: name, Protocol: mail.IMAP, Host: host, Username: "alice", Interval: interval, Timeout: time.Minute}
}

func failed(reason mail.Reason) mail.Outcome {
	return mail.Outcome{Failure: &mail.Failure{Phase: mail.PhaseAuth, Reason: reason}}
}

// While a server limits the rate, its host is probed less often, and afterwards step by
// step as often as before.
func TestBackoffFollowsALimitingServer(t *testing.T) {
	for _, reason := range []mail.Reason{mail.ServerLimit, mail.AuthTooSoon} {
		t.Run(string(reason), func(t *testing.T) {
			gaps, outcomes := probed(t, 90*time.Minute, func(c *mail.Connection, at time.Duration) mail.Outcome {
				if strings.HasPrefix(c.Host, "busy") && at < 40*time.Minute {
					return failed(reason)
				}
				return mail.Outcome{}
			}, connectionEvery("one", "busy.example.org", time.Minute),
				connectionEvery("elsewhere", "calm.example.org", time.Minute),
				connectionEvery("seldom anyway", "busy2.example.org", 15*time.Minute))
			if got := gaps["one"]; !slices.Equal(got[:12], []int{120, 240, 480, 600, 600, 600, 600, 600, 600, 480, 240, 120}) {
				t.Errorf("gaps %v, want them doubled up to 600, then halved", got)
			}
			if got := gaps["one"]; got[len(got)-1] != 60 {
				t.Errorf("gaps %v, want 60 again at the end", got)
			}
			if got := slices.Max(gaps["elsewhere"]); got != 60 {
				t.Errorf("another host is probed every %d s too", got)
			}
			if got := slices.Max(gaps["seldom anyway"]); got != 900 {
				t.Errorf("an interval of 15 minutes became %d s", got)
			}
			last := outcomes["one"][len(outcomes["one"])-1]
			if first := outcomes["one"][1]; first.Spacing() <= time.Minute || last.Spacing() != time.Minute {
				t.Errorf("spacing %v, then %v in the outcomes", first.Spacing(), last.Spacing())
			}
		})
	}
}

// The limit that one connection met holds for every connection to the same host.
func TestBackoffIsPerHost(t *testing.T) {
	gaps, _ := probed(t, 20*time.Minute, func(c *mail.Connection, _ time.Duration) mail.Outcome {
		if c.Name == "limited" {
			return failed(mail.ServerLimit)
		}
		return mail.Outcome{Failure: &mail.Failure{Phase: mail.PhaseAuth, Reason: mail.AuthRejected}}
	}, connectionEvery("limited", "Mail.example.org", time.Minute), connectionEvery("neighbour", "mail.example.org", time.Minute))
	if got := slices.Max(gaps["neighbour"]); got < 480 {
		t.Errorf("gaps of the neighbour %v, want them to grow as well", gaps["neighbour"])
	}
}

// Other failures do not make probes less frequent: the server's return must be seen soon.
func TestBackoffIgnoresOtherFailures(t *testing.T) {
	for _, reason := range []mail.Reason{mail.ServerUnavailable, mail.ServerRefused, mail.AuthRejected, mail.AuthTemporary, mail.Timeout, mail.ConnectRefused} {
		gaps, _ := probed(t, 20*time.Minute, func(*mail.Connection, time.Duration) mail.Outcome { return failed(reason) },
			connectionEvery("one", "mail.example.org", time.Minute))
		if got := slices.Max(gaps["one"]); got != 60 {
			t.Errorf("%s: gaps %v", reason, gaps["one"])
		}
	}
}

func TestBackoffObeysAnAnnouncedLoginDelay(t *testing.T) {
	tests := []struct {
		name  string
		delay time.Duration // that the server announced; 0: none
		want  int           // seconds between two probes; the interval is 60
	}{
		{"Gmail's five minutes", 300 * time.Second, 300},
		{"no whole multiple of the interval", 100 * time.Second, 120},
		{"less than the interval", 10 * time.Second, 60},
		{"for ever", 2147483647 * time.Second, 3600},
		{"none", 0, 60},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			gaps, _ := probed(t, 5*time.Hour, func(*mail.Connection, time.Duration) mail.Outcome {
				return mail.Outcome{Auth: mail.AuthFacts{Sent: true, Accepted: true, Delay: test.delay}}
			}, connectionEvery("one", "pop.example.org", time.Minute))
			if got := gaps["one"]; slices.Min(got) != test.want || slices.Max(got) != test.want {
				t.Errorf("gaps %v, want %d", got, test.want)
			}
		})
	}
}

// Scrapes decide how often such a connection is probed: the pool neither slows it
// nor reports a longer interval.
func TestBackoffLeavesProbesOnScrapesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported []mail.Outcome
		c := connectionEvery("one", "busy.example.org", time.Minute)
		c.ProbeOnScrape = true
		pool := New(Options{
			Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
				o := failed(mail.ServerLimit)
				o.Connection = c
				return o
			},
			Report: func(o mail.Outcome) { reported = append(reported, o) },
		})
		pool.Set([]*mail.Connection{c})
		for range 3 {
			if _, err := pool.ProbeNow(t.Context(), "one"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
		}
		if got := reported[2].Spacing(); got != time.Minute {
			t.Errorf("spacing %v in the third outcome, want one minute", got)
		}
	})
}
