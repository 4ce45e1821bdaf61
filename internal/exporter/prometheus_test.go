package exporter_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mailprobe/internal/promtest"
	"mailprobe/internal/subprocess"
)

// discovered is the whole configuration that Prometheus needs.
const discovered = `scrape_configs:
  - job_name: mail
    http_sd_configs: [{url: "%s/sd", refresh_interval: 5s}]
`

// sharded is the same for one of two Prometheus servers that share the connections.
const sharded = discovered + `    relabel_configs:
      - {source_labels: [__param_connection], action: hashmod, modulus: 2, target_label: __tmp_shard}
      - {source_labels: [__tmp_shard], action: keep, regex: "%d"}
`

// prometheus runs one with a configuration.
func prometheus(t *testing.T, format string, values ...any) *promtest.Prometheus {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(path, fmt.Appendf(nil, format, values...), 0o600); err != nil {
		t.Fatal(err)
	}
	return promtest.StartPrometheus(t, path)
}

// ups returns the values of an expression of mailprobe_up, by connection.
func ups(t *testing.T, p *promtest.Prometheus, expression string) map[string]float64 {
	t.Helper()
	found := map[string]float64{}
	samples, err := p.Query(expression)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		if s.Metric["instance"] != s.Metric["connection"] {
			t.Errorf("instance is %q for connection %q", s.Metric["instance"], s.Metric["connection"])
		}
		found[string(s.Metric["connection"])] = float64(s.Value)
	}
	return found
}

// A Prometheus that knows nothing but the URL of /sd scrapes every connection,
// each on its own interval.
func TestPrometheusDiscoversEveryConnection(t *testing.T) {
	t.Parallel()
	promtest.Need(t, "prometheus")
	server := honest(t)
	url := serve(t, configure(t,
		connection(t, "fast", server.Addr, "interval", "1s", "timeout", "1s", "probe_on_scrape", true),
		connection(t, "slow", server.Addr, "interval", "4s", "timeout", "1s", "probe_on_scrape", true),
		connection(t, "odd näme/with \"quotes\" & more", server.Addr, "interval", "2s", "timeout", "1s", "probe_on_scrape", true),
		connection(t, "broken", "127.0.0.1:1", "interval", "2s", "timeout", "1s", "probe_on_scrape", true)))
	p := prometheus(t, discovered, url)
	want := map[string]float64{"fast": 1, "slow": 1, "odd näme/with \"quotes\" & more": 1, "broken": 0}
	promtest.Eventually(t, "every connection has its value, from a scrape of its own", func() bool {
		all, err := p.Query(`max_over_time(up[5m]) == 1`)
		return err == nil && len(all) == len(want) && maps.Equal(ups(t, p, "max_over_time(mailprobe_up[5m])"), want)
	})
	intervals := map[string]string{"fast": "1s", "slow": "4s", "odd näme/with \"quotes\" & more": "2s", "broken": "2s"}
	if got := p.ScrapeIntervals(t); !maps.Equal(got, intervals) {
		t.Errorf("the targets are scraped each %v, want %v", got, intervals)
	}
}

// Two Prometheus servers share the connections by hashmod: each is in exactly one.
func TestTwoPrometheusServersShareTheConnections(t *testing.T) {
	t.Parallel()
	promtest.Need(t, "prometheus")
	server := honest(t)
	const connections = 12
	list := make([]map[string]any, connections)
	for i := range list {
		list[i] = connection(t, fmt.Sprint("inbox-", i), server.Addr, "interval", "2s", "timeout", "1s", "probe_on_scrape", true)
	}
	url := serve(t, configure(t, list...))
	first, second := prometheus(t, sharded, url, 0), prometheus(t, sharded, url, 1)
	promtest.Eventually(t, "both together know every connection", func() bool {
		return len(ups(t, first, "mailprobe_up"))+len(ups(t, second, "mailprobe_up")) == connections
	})
	mine, yours := ups(t, first, "mailprobe_up"), ups(t, second, "mailprobe_up")
	if len(mine) == 0 || len(yours) == 0 {
		t.Errorf("the shares are %d and %d", len(mine), len(yours))
	}
	for name := range mine {
		if _, both := yours[name]; both {
			t.Errorf("%s is in both", name)
		}
	}
}

// protected discovers twice: with credentials for /sd alone, and for /probe too.
const protected = `scrape_configs:
  - job_name: forgotten
    http_sd_configs: [{url: "http://%[1]s/sd", refresh_interval: 5s, basic_auth: {username: admin, password: test}}]
  - job_name: mail
    basic_auth: {username: admin, password: test}
    http_sd_configs: [{url: "http://%[1]s/sd", refresh_interval: 5s, basic_auth: {username: admin, password: test}}]
`

// The credentials of http_sd_configs are for /sd only; the scrapes need their own.
func TestDiscoveryAndProbesEachNeedCredentials(t *testing.T) {
	t.Parallel()
	promtest.Need(t, "prometheus")
	config := configure(t, connection(t, "inbox", honest(t).Addr, "interval", "2s", "timeout", "1s", "probe_on_scrape", true))
	address := subprocess.FreeAddress(t)
	subprocess.StartFor(t, exec.Command(binary(t), "--config.file="+config, "--web.listen-address="+address, "--web.config.file="+passwordFile(t)))
	promtest.Eventually(t, address+" answers", func() bool { return healthyOver(t, "tcp", address) == nil })
	p := prometheus(t, protected, address)
	p.Wait(t, `up{job="mail", instance="inbox"} == 1 and on (instance) mailprobe_up == 1`)
	p.Wait(t, `up{job="forgotten", instance="inbox"} == 0`)
}
