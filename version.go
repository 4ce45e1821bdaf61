package main

// This file finds the version of a binary that no release build has set.

import (
	"cmp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/common/version"
)

// buildFacts is what identifies a build. Empty: not known.
type buildFacts struct {
	version  string
	revision string
	time     string // of the revision, RFC 3339
}

// factsOf reads what `go build` and `go install` record in a binary by
// themselves. A binary built outside of a checkout has no revision.
func factsOf(info *debug.BuildInfo) (facts buildFacts) {
	if info == nil {
		return facts
	}
	if v := info.Main.Version; v != "(devel)" { // (devel): built from files that no version control knows
		facts.version = strings.TrimPrefix(v, "v")
	}
	modified := ""
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			facts.revision = setting.Value
		case "vcs.time":
			facts.time = setting.Value
		case "vcs.modified":
			if setting.Value == "true" {
				modified = "-modified"
			}
		}
	}
	if facts.revision != "" {
		facts.revision += modified
	}
	return facts
}

// completeVersion fills in what the linker flags of a release build left empty.
// The package of the version is the one that also makes mailprobe_build_info.
var completeVersion = sync.OnceFunc(func() {
	info, _ := debug.ReadBuildInfo() // nil if there is none
	facts := factsOf(info)
	version.Version = cmp.Or(version.Version, facts.version, "devel")
	version.Revision = cmp.Or(version.Revision, facts.revision)
	version.BuildDate = cmp.Or(version.BuildDate, facts.time, "unknown")
	version.BuildUser = cmp.Or(version.BuildUser, "unknown")
	version.Branch = cmp.Or(version.Branch, "unknown")
})

// versionText is what --version prints, or the one line of it that the head of the manual
// page has.
func versionText(args []string) string {
	if slices.Contains(args, "--help-man") {
		return "mailprobe " + version.Version
	}
	return version.Print("mailprobe")
}
