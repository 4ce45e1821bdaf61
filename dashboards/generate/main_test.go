package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gopkg.in/yaml.v3"

	"mailprobe/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	files, err := generated("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Errorf("%v; run make generate", err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator makes; run make generate", name)
		}
	}
}

// The texts in the rules equal those of the program, also after quoting and parsing.
func TestReasonRulesSayWhatTheProgramSays(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Labels map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(reasonRules(), &file); err != nil {
		t.Fatal(err)
	}
	rules, reasons := file.Groups[0].Rules, slices.Concat(mail.Reasons(), mail.RouteReasons())
	if len(rules) != len(reasons) {
		t.Fatalf("%d rules for %d reasons", len(rules), len(reasons))
	}
	for i, r := range reasons {
		got := rules[i].Labels
		if got["reason"] != string(r) || got["meaning"] != r.Meaning() || got["advice"] != r.Advice() {
			t.Errorf("%s: got %q", r, got)
		}
	}
}

func TestLayoutFillsLines(t *testing.T) {
	wide := panel{GridPos: gridPos{W: 10}}
	got := layout([]section{{"one", []line{{4, []panel{{}, {}, {}, {}, {}}}, {6, []panel{wide, {}}}}}})
	want := []gridPos{{1, 24, 0, 0}, {4, 4, 0, 1}, {4, 5, 4, 1}, {4, 5, 9, 1}, {4, 5, 14, 1}, {4, 5, 19, 1}, {6, 10, 0, 5}, {6, 14, 10, 5}}
	for i, p := range got {
		if p.GridPos != want[i] || p.ID != i+1 {
			t.Errorf("panel %d: number %d at %+v, want %+v", i, p.ID, p.GridPos, want[i])
		}
	}
}

// The alerts begin when the status page and the Nagios output show that a certificate ends
// soon.
func TestAlertsAndPageHaveOneThreshold(t *testing.T) {
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, days := range []int{1, 6, 30, 60, 90, 365} {
		lifetime := time.Duration(days) * 24 * time.Hour
		begins := func(m moment) time.Duration {
			return min(lifetime/time.Duration(m.part), time.Duration(m.days)*24*time.Hour)
		}
		warning, critical := mail.ExpiryThresholds(issued, issued.Add(lifetime))
		if begins(soon) != warning || begins(urgent) != critical {
			t.Errorf("a certificate of %d days: alerts %v and %v before its end, the page %v and %v",
				days, begins(soon), begins(urgent), warning, critical)
		}
	}
}
