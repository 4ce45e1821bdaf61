package dashboards

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"mailprobe/internal/promtest"
	"mailprobe/internal/systest"
)

// shown is a set of values for a board's variables.
type shown struct {
	connection string
	// all: every panel must have data. Otherwise those that say in words what it
	// means to have none may be empty.
	all bool
}

// substitute fills in the variables of a board, as Grafana does.
func (s shown) substitute(expr string) string {
	return strings.NewReplacer(
		`"$job`, `".+`, `"$instance`, `".+`, `"$mailprobe`, `".*`, `"$connection`, `"`+s.connection,
		`"$protocol"`, `".+"`, `"$host"`, `".+"`, "$label", "demo", `"$value"`, `"good|broken"`,
		"$__rate_interval", "30s", "$__range_s", "3600", "$__range", "1h",
	).Replace(expr)
}

// views are what each board is asked to show. The demo has all of it.
var views = map[string][]shown{
	"mailprobe-overview":   {{connection: ".+", all: true}},
	"mailprobe-connection": {{connection: "imap-starttls"}, {connection: "pop3-starttls"}, {connection: "wrong-password"}, {connection: "smtp-none"}, {connection: "watched"}, {connection: "stuck-tickets"}},
}

// ownLabel is the label of the user's that the connections of the demo have; the
// routes of the fixture have another.
var ownLabel = []string{"demo", "team"}

// showsOwnLabels are the tables that have a column for each of them.
var showsOwnLabels = []string{"Failing now", "Firing alerts", "Configuration", "Where routes fail"}

// needRules are the panels that show nothing without our rules; their text for no value
// says so.
var needRules = []string{"Firing alerts", "Available in 30 days", "Least of the budget left", "Without budget",
	"Least of the error budget left", "Error budget left"}

// TestQueries runs every query of every board on three Prometheus servers that scrape the
// demo: one as most people run it, one that stores native histograms and has no rules,
// and one that discovers the connections through /sd. Every panel must have data.
func TestQueries(t *testing.T) {
	promtest.Need(t, "prometheus")
	if testing.Short() {
		t.Skip("runs Prometheus for half a minute")
	}
	demo := promtest.StartDemo(t, "..")
	target := []string{"localhost:10925", demo.Address,
		"scrape_configs:\n", "scrape_configs:\n  - job_name: fixture\n    static_configs: [{targets: [\"" + startFixture(t) + "\"]}]\n",
		// A scrape may take as long as its interval; one of a busy machine takes seconds.
		"scrape_interval: 15s", "scrape_interval: 5s", "evaluation_interval: 1m", "evaluation_interval: 1s"}
	const config = "deploy/prometheus/prometheus.yml"
	const withoutRules = "native histograms, without rules"
	servers := map[string]*promtest.Prometheus{
		"classic histograms, with rules": promtest.StartPrometheus(t, withQuickRules(t, config, target...)),
		withoutRules: promtest.StartPrometheus(t,
			promtest.WithRules(t, "..", config, append(target, "rules/mailprobe-*.yml", "none-*.yml")...), "--enable-feature=native-histograms"),
		"one scrape for each connection": promtest.StartPrometheus(t, withQuickRules(t, "deploy/prometheus/prometheus-sd.yml", target...)),
	}
	for name, server := range servers {
		server.Wait(t, `count(rate(mailprobe_probes_total[30s])) > 20 and on () count(mailprobe_failure_info) > 5`)
		t.Run(name, func(t *testing.T) {
			for _, b := range boards(t) {
				if len(views[b.UID]) == 0 {
					t.Fatalf("%s: nothing says what it is asked to show", b.file)
				}
				// The overview says since when a connection fails that worked before.
				failing := b.UID == "mailprobe-overview"
				if failing {
					demo.Process.Signal(t, systest.ToggleSignal(t))
				}
				checkBoard(t, server, b, name != withoutRules)
				if failing {
					demo.Process.Signal(t, systest.ToggleSignal(t))
				}
			}
		})
	}
}

// withQuickRules evaluates the recording rules each second instead of each five minutes.
func withQuickRules(t *testing.T, config string, pairs ...string) string {
	t.Helper()
	path := promtest.WithRules(t, "..", config, pairs...)
	rules := filepath.Join(filepath.Dir(path), "rules", "mailprobe-recording.yml")
	promtest.Copy(t, rules, rules, "interval: 5m", "interval: 1s")
	return path
}

// checkBoard wants data in every panel for at least one view, and in the panels without a
// text for no value in each view. The demo needs some time until all data is there.
func checkBoard(t *testing.T, server *promtest.Prometheus, b board, rules bool) {
	t.Helper()
	var missing []string
	// Prometheus scrapes on its own clock, and on a busy machine all of it takes minutes.
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		if missing = b.missing(t, server, rules); len(missing) == 0 {
			break
		}
	}
	for _, m := range missing {
		t.Error(m)
	}
	for _, a := range b.Annotations.List {
		if _, err := server.Query(views[b.UID][0].substitute(a.Expr)); err != nil {
			t.Errorf("%s: annotation %s: %v", b.file, a.Name, err)
		}
	}
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		result, err := server.Query(views[b.UID][0].substitute(v.series()))
		if err != nil || len(result) == 0 {
			t.Errorf("%s: variable %s: %v, %v", b.file, v.Name, result, err)
			continue
		}
		label := views[b.UID][0].substitute(strings.TrimSuffix(v.Query[strings.LastIndex(v.Query, " ")+1:], ")"))
		// Only what is scraped through /sd has the label mailprobe.
		if strings.HasPrefix(v.Query, "label_values") && v.AllValue != ".*" && result[0].Metric[model.LabelName(label)] == "" {
			t.Errorf("%s: variable %s: %v has no %s", b.file, v.Name, result[0], label)
		}
	}
}

// unnamed lists the labels that a table would show under their own names, and
// should not; own reports whether it shows those of the user.
func (p panel) unnamed(t *testing.T, server *promtest.Prometheus, view shown) (own bool, out []string) {
	t.Helper()
	organized := p.Transformations[len(p.Transformations)-1].Options
	for _, target := range p.Targets {
		result, err := server.Query(view.substitute(target.Expr))
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range result {
			for label := range sample.Metric {
				name := string(label)
				switch {
				case slices.Contains(ownLabel, name):
					own = true
				case organized.RenameByName[name] == "" && !organized.ExcludeByName[name]:
					out = append(out, name)
				}
			}
		}
	}
	slices.Sort(out)
	return own, slices.Compact(out)
}

// missing lists what a board does not show and should.
func (b board) missing(t *testing.T, server *promtest.Prometheus, rules bool) []string {
	t.Helper()
	var out []string
	for _, p := range b.graphs() {
		if !rules && slices.Contains(needRules, p.Title) && p.FieldConfig.Defaults.NoValue != "" {
			continue
		}
		filled := false
		if p.Type == "table" {
			own, unnamed := p.unnamed(t, server, views[b.UID][0])
			if len(unnamed) > 0 {
				out = append(out, fmt.Sprintf("%s: nothing says what to do with the columns %v", p.where(b), unnamed))
			}
			if own != slices.Contains(showsOwnLabels, p.Title) {
				out = append(out, fmt.Sprintf("%s: columns of the user's own labels: %v", p.where(b), own))
			}
		}
		for _, view := range views[b.UID] {
			empty := p.emptyTargets(t, b, server, view)
			filled = filled || len(empty) == 0
			if len(empty) > 0 && (view.all || p.FieldConfig.Defaults.NoValue == "" && view.connection == views[b.UID][0].connection) {
				out = append(out, fmt.Sprintf("%s: no data for %q in %v", p.where(b), view.connection, empty))
			}
		}
		if !filled {
			out = append(out, p.where(b)+": no data in any view")
		}
	}
	return out
}

// emptyTargets lists the queries of a panel that have no result, or lack a
// label that the panel shows.
func (p panel) emptyTargets(t *testing.T, b board, server *promtest.Prometheus, view shown) []string {
	t.Helper()
	var empty []string
	for _, target := range p.Targets {
		result, err := server.Query(view.substitute(target.Expr))
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", p.where(b), target.RefID, err, view.substitute(target.Expr))
		}
		if len(result) == 0 {
			empty = append(empty, target.RefID)
			continue
		}
		for _, label := range legendLabels(target.LegendFormat) {
			// A native histogram has no buckets to name.
			// The label mailprobe is only there with /sd, a route is no connection.
			if label != "mailprobe" && result[0].Histogram == nil && result[0].Metric[model.LabelName(label)] == "" {
				empty = append(empty, target.RefID+" has no "+label)
			}
		}
	}
	slices.Sort(empty)
	return empty
}
