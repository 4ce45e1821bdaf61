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
	const emersion, knadh = "github.com/emersion/", "github.com/knadh/"
	for room, shut := range map[string][]string{
		"mail":    append(ours("config", "guard", "metrics", "oauth", "pool", "prober", "web"), yaml, prometheus, http, emersion, knadh),
		"guard":   append(ours("config", "metrics", "oauth", "pool", "prober", "web"), yaml, prometheus, http, emersion, knadh),
		"pool":    append(ours("config", "guard", "metrics", "oauth", "prober", "web"), yaml, prometheus, http, emersion, knadh),
		"prober":  append(ours("config", "metrics", "oauth", "pool", "web"), yaml, prometheus, http, "golang.org/x/oauth2"),
		"config":  append(ours("guard", "metrics", "pool", "prober", "web"), prometheus+"client_golang", emersion, knadh),
		"oauth":   append(ours("config", "guard", "metrics", "pool", "prober", "web"), yaml, prometheus, emersion, knadh),
		"metrics": append(ours("config", "guard", "oauth", "pool", "prober", "web"), emersion, knadh),
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

// ours are packages of this module by their folders.
func ours(folders ...string) []string {
	paths := make([]string, len(folders))
	for i, folder := range folders {
		paths[i] = "mailprobe/" + folder
	}
	return paths
}
