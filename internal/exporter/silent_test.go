package exporter_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"mailprobe/internal/promtest"
)

// Silent servers must not silence the alerts: through /sd, a real Prometheus gets a
// result of every connection within two intervals, no scrape fails, and healthy
// connections stay up. Interval and timeout are a tenth of the defaults.
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
			promtest.Eventually(t, "every connection is discovered", func() bool {
				return count(t, p, `count({__name__="up"})`) == len(list)
			})
			promtest.Eventually(t, "every silent connection has a real result", func() bool {
				return count(t, p, `count(mailprobe_failure_info{reason="timeout"})`) == test.silent
			})
			// A busy machine fails scrapes too, now and then; silent servers would fail
			// them in every span of two intervals.
			var faults []string
			for range 10 {
				time.Sleep(2 * interval) // what is asked is about all scrapes of a time
				if faults = scrapeFaults(t, p, interval, len(list), test.healthy); len(faults) == 0 {
					return
				}
				t.Log(faults)
			}
			t.Errorf("in ten spans of two intervals, each time: %q", faults)
		})
	}
}

// scrapeFaults returns what was wrong in the last two intervals.
func scrapeFaults(t *testing.T, p *promtest.Prometheus, interval time.Duration, connections, healthy int) (faults []string) {
	t.Helper()
	span := (2 * interval).String()
	if n := count(t, p, `count(count_over_time(mailprobe_up[`+span+`]))`); n != connections {
		faults = append(faults, fmt.Sprintf("%d of %d connections have results", n, connections))
	}
	if n := count(t, p, `sum(count_over_time(up[`+span+`]) - sum_over_time(up[`+span+`]))`); n != 0 {
		faults = append(faults, fmt.Sprintf("%d scrapes failed", n))
	}
	if n := count(t, p, `count(min_over_time(mailprobe_up{connection=~"healthy.*"}[`+span+`]) == 1) or vector(0)`); n != healthy {
		faults = append(faults, fmt.Sprintf("%d of %d healthy connections were up all the time", n, healthy))
	}
	if oldest := count(t, p, `max(time() - mailprobe_last_probe_timestamp_seconds)`); oldest > int(4*interval/time.Second) {
		faults = append(faults, fmt.Sprintf("the oldest result is %d s old", oldest))
	}
	return faults
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
