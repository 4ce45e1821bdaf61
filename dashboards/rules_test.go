package dashboards

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"mailprobe/internal/promtest"
	"mailprobe/mail"
)

// rule is one recording or alerting rule.
type rule struct {
	Record, Alert string
	Expr, For     string
	Labels        map[string]string
	Annotations   map[string]string
}

// rules reads every rule file.
func rules(t *testing.T) []rule {
	t.Helper()
	var out []rule
	for _, file := range glob(t, "rules/*.yml") {
		var content struct {
			Groups []struct{ Rules []rule }
		}
		decode(t, file, &content)
		for _, g := range content.Groups {
			out = append(out, g.Rules...)
		}
	}
	return out
}

func alerts(t *testing.T) []rule {
	t.Helper()
	return slices.DeleteFunc(rules(t), func(r rule) bool { return r.Alert == "" })
}

// recordings lists the names that recording rules give.
func recordings(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, r := range rules(t) {
		if r.Record != "" {
			out = append(out, r.Record)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestRulesPassPromtool(t *testing.T) {
	promtest.Need(t, "promtool")
	promtest.Run(t, "promtool", append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, glob(t, "rules/*.yml")...)...)
}

func TestRulesFireAndResolve(t *testing.T) {
	promtest.Need(t, "promtool")
	for _, file := range glob(t, "rules/tests/*_test.yml") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			t.Parallel()
			promtest.Run(t, "promtool", "test", "rules", file)
		})
	}
}

func TestRulesNameOnlyWhatExists(t *testing.T) {
	v := words(t)
	for _, r := range rules(t) {
		v.check(t, r.Alert+r.Record, r.Expr)
	}
}

// Annotations contain queries. promtool checks them only where a test of the rules
// evaluates them.
func TestAnnotationsNameOnlyWhatExists(t *testing.T) {
	v := words(t)
	query := regexp.MustCompile("(?:printf|print) \"((?:[^\"\\\\]|\\\\.)*)\"((?: \\$own| \"[^\"]*\")*)[^|]*\\| query")
	unquote := strings.NewReplacer("%q", `"x"`, "%f", "1", `\"`, `"`)
	found := 0
	for _, r := range alerts(t) {
		for _, name := range []string{"summary", "description"} {
			for _, m := range query.FindAllStringSubmatch(r.Annotations[name], -1) {
				subject := "connection"
				if strings.HasPrefix(r.Alert, "MailprobeRoute") {
					subject = "route"
				}
				rest := strings.NewReplacer(" $own", `{job="x",instance="x",mailprobe="x",`+subject+`="x"}`, `"`, "").Replace(m[2])
				v.check(t, r.Alert, unquote.Replace(m[1])+rest)
				found++
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d queries found", found)
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	for _, r := range alerts(t) {
		if !strings.HasPrefix(r.Alert, "Mailprobe") {
			t.Errorf("%s: the name does not begin with Mailprobe", r.Alert)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q is neither critical nor warning", r.Alert, s)
		}
		for _, name := range []string{"summary", "description"} {
			if text := r.Annotations[name]; len(text) < 20 {
				t.Errorf("%s: %s %q says nothing", r.Alert, name, text)
			}
		}
		summary := r.Annotations["summary"]
		if !strings.HasSuffix(strings.TrimSuffix(summary, "{{ end }}"), ".") {
			t.Errorf("%s: summary %q is no sentence", r.Alert, summary)
		}
		if strings.Contains(r.Expr, "connection)\n") && !strings.Contains(summary, "$labels.") {
			t.Errorf("%s: summary %q does not say what it is about", r.Alert, summary)
		}
		for _, name := range []string{"runbook_url", "dashboard_url", "status_url"} {
			if !strings.HasPrefix(r.Annotations[name], "http") {
				t.Errorf("%s: %s is %q", r.Alert, name, r.Annotations[name])
			}
		}
	}
}

// headingAnchor is how GitHub makes an anchor of a heading of one word.
func headingAnchor(heading string) string { return strings.ToLower(strings.TrimSpace(heading)) }

// The runbook docs/alerts.md has a section for each alert, with three parts for a reader
// who was just woken, and none for an alert that does not exist.
func TestRunbookHasEveryAlert(t *testing.T) {
	const home = "https://github.com/mailprobe/mailprobe/blob/main/docs/alerts.md#"
	content, err := os.ReadFile("../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(content), "\n## ")[1:] {
		heading, text, _ := strings.Cut(s, "\n")
		sections[headingAnchor(heading)] = text
	}
	seen := map[string]bool{}
	for _, r := range alerts(t) {
		anchor, ok := strings.CutPrefix(r.Annotations["runbook_url"], home)
		if !ok || anchor != strings.ToLower(r.Alert) {
			t.Errorf("%s: runbook_url %q is not its section", r.Alert, r.Annotations["runbook_url"])
		}
		seen[anchor] = true
		for _, part := range []string{"**Meaning.**", "**Impact.**", "**What to do.**"} {
			if !strings.Contains(sections[anchor], part) {
				t.Errorf("docs/alerts.md: the section %s has no %s", r.Alert, part)
			}
		}
	}
	for anchor := range sections {
		if strings.HasPrefix(anchor, "mailprobe") && !seen[anchor] {
			t.Errorf("docs/alerts.md: the section %s is about no alert", anchor)
		}
	}
}

// Every alert, in each of its severities, is seen to fire with its exact texts
// and is asked for at a time when it must not.
func TestEveryAlertIsTested(t *testing.T) {
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, file := range glob(t, "rules/tests/*_test.yml") {
		var content struct {
			Tests []struct {
				AlertRuleTest []struct {
					Alertname string
					ExpAlerts []struct {
						Labels      map[string]string `yaml:"exp_labels"`
						Annotations map[string]string `yaml:"exp_annotations"`
					} `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		decode(t, file, &content)
		for _, test := range content.Tests {
			for _, at := range test.AlertRuleTest {
				if len(at.ExpAlerts) == 0 {
					silent[at.Alertname] = true
				}
				for _, a := range at.ExpAlerts {
					if len(a.Annotations) == 5 {
						fires[variant(at.Alertname, a.Labels)] = true
					}
				}
			}
		}
	}
	for _, r := range alerts(t) {
		if !fires[variant(r.Alert, r.Labels)] {
			t.Errorf("%s: no test sees it fire with its annotations", variant(r.Alert, r.Labels))
		}
		if !silent[r.Alert] {
			t.Errorf("%s: no test sees it silent", r.Alert)
		}
	}
}

// variant tells the rules of one alert's name apart.
func variant(alert string, labels map[string]string) string {
	return fmt.Sprint(alert, " ", labels["severity"], labels["window"], labels["scope"])
}

// A definitive refusal must fire a critical alert at once, whatever its reason.
func TestLoginRefusedKnowsEveryVerdict(t *testing.T) {
	i := slices.IndexFunc(alerts(t), func(r rule) bool { return r.Alert == "MailprobeLoginRefused" })
	listed := regexp.MustCompile(`reason=~"([^"]*)"`).FindStringSubmatch(alerts(t)[i].Expr)
	got := strings.Split(listed[1], "|")
	var want []string
	for _, r := range mail.Reasons() {
		if r.Class() == mail.Definitive {
			want = append(want, string(r))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("MailprobeLoginRefused lists %v, the definitive verdicts are %v", got, want)
	}
}
