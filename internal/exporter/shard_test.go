package exporter_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Three processes with the same configuration: the union of what they probe is
// everything, and nothing is probed twice. Every connection of a host is in the
// same process.
func TestThreeShardsProbeEverythingOnce(t *testing.T) {
	t.Parallel()
	var list []map[string]any
	for i := range 60 {
		list = append(list, connection(t, fmt.Sprint("inbox-", i), fmt.Sprintf("127.0.0.%d:1", 1+i%20)))
	}
	path := configure(t, list...)
	shards := map[string]int{}
	hosts := map[int]int{}
	for i := range 3 {
		_, body := get(t, serve(t, path, fmt.Sprintf("--shard=mailprobe-%d/3", i))+"/sd")
		var targets []struct{ Labels map[string]string }
		if err := json.Unmarshal([]byte(body), &targets); err != nil {
			t.Fatal(err)
		}
		for _, target := range targets {
			name := target.Labels["__param_connection"]
			if other, twice := shards[name]; twice {
				t.Errorf("%s is in the shards %d and %d", name, other, i)
			}
			shards[name] = i
			var n int
			if _, err := fmt.Sscanf(name, "inbox-%d", &n); err != nil {
				t.Fatal(err)
			}
			if other, known := hosts[n%20]; known && other != i {
				t.Errorf("the connections of one host are in the shards %d and %d", other, i)
			}
			hosts[n%20] = i
		}
	}
	if len(shards) != len(list) {
		t.Errorf("%d of %d connections are in a shard", len(shards), len(list))
	}
}
