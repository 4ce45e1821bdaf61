package exporter_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"mailprobe/internal/promtest"
)

// Silent servers must not silence the alerts: through /sd, a real Prometheus sees
// a result of every connection within two intervals, and no scrape fails, of
// healthy connections least of all. The ratio of timeout to interval is that of
// the defaults, ten times as fast.
func TestSilentServersThroughPrometheus(t *testing.T) {
	t.Parallel()
	promtest.Need(t, "prometheus")
	const interval, timeout = 6 * time.Second, 3 * time.Second
	common := []any{"interval", interval.String(), "timeout", timeout.String(), "probe_on_scrape", true}
	tests := []struct {
		name            string
		hosts           int // that are silent
		silent, healthy int // connections
	}{
		{"thirty connections of one silent host", 1, 30, 0},
		{"a hundred silent servers beside twenty healthy connections", 100, 100, 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addresses := make([]string, test.hosts)
			for i := range addresses {
				// The guard of logins takes each port of loopback for another server,
				// the pool each address for another host.
				silentAddress, _ := silent(t)
				_, port, _ := net.SplitHostPort(silentAddress)
				addresses[i] = net.JoinHostPort(fmt.Sprintf("127.0.0.%d", 1+i), port)
			}
			var list []map[string]any
			for i := range test.silent {
				list = append(list, connection(t, fmt.Sprint("silent-", i), addresses[i%test.hosts],
					append(common[:len(common):len(common)], "username", fmt.Sprintf("user-%d@example.org", i))...))
			}
			if test.healthy > 0 {
				server := honest(t)
				for i := range test.healthy {
					list = append(list, connection(t, fmt.Sprint("healthy-", i), server.Addr,
						append(common[:len(common):len(common)], "username", "", "password", "")...))
				}
			}
			p := prometheus(t, discovered, serve(t, configure(t, list...)))
			promtest.Eventually(t, 30*time.Second, "every connection is discovered", func() bool {
				return count(t, p, `count({__name__="up"})`) == len(list)
			})
			// A first scrape comes within an interval of the discovery.
			limit := 3 * interval
			promtest.Eventually(t, limit, "every silent connection has a real result", func() bool {
				return count(t, p, `count(mailprobe_failure_info{reason="timeout"})`) == test.silent
			})
			time.Sleep(2 * interval) // what is asked below is about all scrapes of a time
			if n := count(t, p, `count(count_over_time(mailprobe_up[2m]))`); n != len(list) {
				t.Errorf("%d of %d connections have results", n, len(list))
			}
			if n := count(t, p, `sum(count_over_time(up[2m]) - sum_over_time(up[2m]))`); n != 0 {
				t.Errorf("%d scrapes failed", n)
			}
			if n := count(t, p, `count(min_over_time(mailprobe_up{connection=~"healthy.*"}[2m]) == 1) or vector(0)`); n != test.healthy {
				t.Errorf("%d of %d healthy connections were up all the time", n, test.healthy)
			}
			oldest := count(t, p, `max(time() - mailprobe_last_probe_timestamp_seconds)`)
			t.Logf("the oldest result is %d s old, with an interval of %v", oldest, interval)
			if oldest > int(4*interval/time.Second) {
				t.Errorf("the oldest result is %d s old", oldest)
			}
		})
	}
}

// count is the value of an expression with at most one; none counts as 0.
func count(t *testing.T, p *promtest.Prometheus, expression string) int {
	t.Helper()
	samples, err := p.Query(expression)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) == 0 {
		return 0
	}
	return int(samples[0].Value)
}
