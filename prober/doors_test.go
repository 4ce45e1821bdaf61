package prober_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestDoorsBetweenTheRooms keeps the packages apart: prober talks to mail
// servers and knows nothing else, config alone knows YAML, metrics alone makes
// metrics. A dependency of a dependency counts, too.
func TestDoorsBetweenTheRooms(t *testing.T) {
	t.Parallel()
	const yaml, prometheus, http = "yaml", "github.com/prometheus/", "net/http"
	for room, shut := range map[string][]string{
		"prober":  {yaml, prometheus, http, "golang.org/x/oauth2", "mailprobe/config", "mailprobe/metrics", "mailprobe/web", "mailprobe/oauth"},
		"config":  {prometheus + "client_golang", "mailprobe/metrics", "mailprobe/web"},
		"oauth":   {yaml, prometheus, "mailprobe/config", "mailprobe/metrics", "mailprobe/web"},
		"metrics": {"mailprobe/config", "mailprobe/oauth", "mailprobe/web"},
	} {
		out, err := exec.Command("go", "list", "-deps", "mailprobe/"+room).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", room, err)
		}
		packages := strings.Fields(string(out))
		for _, word := range shut {
			at := slices.IndexFunc(packages, func(path string) bool {
				return strings.Contains(path, word) && path != "net/http/httptrace"
			})
			if at >= 0 {
				t.Errorf("%s depends on %s", room, packages[at])
			}
		}
	}
}
