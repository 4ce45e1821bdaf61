package main

import (
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/common/version"
)

func TestFactsOf(t *testing.T) {
	settings := func(pairs ...string) (list []debug.BuildSetting) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return list
	}
	const revision, at = "4d8c72bd0d21ba6", "2026-11-28T16:40:37Z"
	tests := []struct {
		name string
		info *debug.BuildInfo
		want buildFacts
	}{
		{"nothing recorded", nil, buildFacts{}},
		{"no checkout", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, buildFacts{}},
		{"a clean checkout", &debug.BuildInfo{Main: debug.Module{Version: "v0.2.0"},
			Settings: settings("vcs.revision", revision, "vcs.time", at, "vcs.modified", "false")}, buildFacts{"0.2.0", revision, at}},
		{"an edited checkout", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"},
			Settings: settings("vcs.modified", "true", "vcs.revision", revision, "vcs.time", at)}, buildFacts{"", revision + "-modified", at}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := factsOf(test.info); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestVersionIsNeverEmpty(t *testing.T) {
	completeVersion()
	text := version.Print("mailprobe")
	for _, empty := range []string{"version  ", "branch: ,", "revision: )", "user:       \n", "date:       \n"} {
		if strings.Contains(text, empty) {
			t.Errorf("--version prints an empty value %q:\n%s", empty, text)
		}
	}
}
