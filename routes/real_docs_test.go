package routes_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the page that is generated from the breakages")

// allSeries are those of every test on real servers.
func allSeries() []series {
	return []series{ofPostfix(), ofExim(), ofMilters(), ofRspamd(), ofCyrus(), ofCyrusOtherwise(), ofEximAndCyrus()}
}

// breakagesPage is docs/breakages.md.
func breakagesPage() string {
	var rows strings.Builder
	broken, total := 0, 0
	for _, s := range allSeries() {
		fmt.Fprintf(&rows, "\n## %s\n\n| what is done | leg | reason |\n|---|---|---|\n", s.servers)
		for _, b := range s.breakages {
			leg, reason := "", "up"
			if b.reason != "" {
				broken++
				leg, reason = fmt.Sprintf("`%s`", b.leg), fmt.Sprintf("`%s`", b.reason)
			}
			total++
			fmt.Fprintf(&rows, "| %s | %s | %s |\n", b.name, leg, reason)
		}
	}
	return fmt.Sprintf(`# What was broken to test routes

%d breakages of a [route](routes.md) through Debian 12's mail servers, and %d ways in which it works. `+"`go test ./routes -run RealPath`"+`
makes each one and wants exactly this leg and this reason. Exim, Cyrus, OpenDKIM, postgrey and rspamd are unpacked beside the installed
servers (`+"`.ci/servers DIRECTORY`, then `MAILPROBE_SERVERS=DIRECTORY`"+`); without them their tests are skipped. Unless it says otherwise, delivery
status is asked for. This page is generated from the tests by `+"`make generate`"+`.
`, broken, total-broken) + rows.String()
}

func TestBreakagesPageIsWritten(t *testing.T) {
	const path = "../docs/breakages.md"
	want := breakagesPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is stale (%v): make generate", path, err)
	}
}

func TestEveryBreakageHasItsOwnName(t *testing.T) {
	for _, s := range allSeries() {
		seen := map[string]bool{}
		for _, b := range s.breakages {
			if seen[b.name] || strings.Contains(b.name, "|") || (b.reason == "") != (b.leg == "") {
				t.Errorf("%s: %q is there twice, or has a bar, or a leg without a reason", s.servers, b.name)
			}
			seen[b.name] = true
		}
	}
}
