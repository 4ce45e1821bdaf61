package dashboards

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"mailprobe/internal/promtest"
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
		`"$job`, `".+`, `"$instance`, `".+`, `"$connection`, `"`+s.connection,
		"$__rate_interval", "30s", "$__range", "1h",
	).Replace(expr)
}

// views are what each board is asked to show. The demo has all of it.
var views = map[string][]shown{
	"mailprobe-overview":   {{connection: ".+", all: true}},
	"mailprobe-connection": {{connection: "imap-starttls"}, {connection: "pop3-starttls"}, {connection: "wrong-password"}, {connection: "smtp-none"}},
}

// TestQueries runs every query of every board on two real Prometheis that
// scrape the demo: one as most people run it, one that stores native histograms
// and has no rules. A panel that should show something and does not is a fault.
func TestQueries(t *testing.T) {
	promtest.Need(t, "prometheus")
	if testing.Short() {
		t.Skip("runs Prometheus for half a minute")
	}
	demo := promtest.StartDemo(t, "..")
	target := []string{"localhost:10925", demo.Address, "scrape_interval: 15s", "scrape_interval: 1s", "evaluation_interval: 1m", "evaluation_interval: 1s"}
	const config = "deploy/prometheus/prometheus.yml"
	servers := map[string]*promtest.Prometheus{
		"classic histograms, with rules": promtest.StartPrometheus(t, promtest.WithRules(t, "..", config, target...)),
		"native histograms, without rules": promtest.StartPrometheus(t,
			promtest.WithRules(t, "..", config, append(target, "rules/mailprobe-*.yml", "none-*.yml")...), "--enable-feature=native-histograms"),
		"one scrape for each connection": promtest.StartPrometheus(t, promtest.WithRules(t, "..", "deploy/prometheus/prometheus-sd.yml", target...)),
	}
	for name, server := range servers {
		server.Wait(t, time.Minute, `count(rate(mailprobe_probes_total[30s])) > 20 and on () count(mailprobe_failure_info) > 5`)
		t.Run(name, func(t *testing.T) {
			for _, b := range boards(t) {
				if len(views[b.UID]) == 0 {
					t.Fatalf("%s: nothing says what it is asked to show", b.file)
				}
				// The overview says since when a connection fails that worked before.
				failing := b.UID == "mailprobe-overview"
				if failing {
					demo.Process.Signal(t, syscall.SIGUSR1)
				}
				checkBoard(t, server, b)
				if failing {
					demo.Process.Signal(t, syscall.SIGUSR1)
				}
			}
		})
	}
}

// checkBoard wants data in every panel for at least one view, and in the panels
// that have no words for an empty one for each view. The demo needs some time
// to make all of it.
func checkBoard(t *testing.T, server *promtest.Prometheus, b board) {
	t.Helper()
	var missing []string
	// Prometheus scrapes on its own clock.
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if missing = b.missing(t, server); len(missing) == 0 {
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
		inner := strings.TrimSuffix(strings.TrimPrefix(v.Query, "label_values("), ")")
		i := strings.LastIndex(inner, ",")
		result, err := server.Query(views[b.UID][0].substitute(inner[:i]))
		if err != nil || len(result) == 0 || result[0].Metric[model.LabelName(strings.TrimSpace(inner[i+1:]))] == "" {
			t.Errorf("%s: variable %s: %v, %v", b.file, v.Name, result, err)
		}
	}
}

// unnamed lists the labels that a table would show under their own names. The
// connections of the demo have a label of the user's.
func (p panel) unnamed(t *testing.T, server *promtest.Prometheus, view shown) []string {
	t.Helper()
	var out []string
	for _, target := range p.Targets {
		result, err := server.Query(view.substitute(target.Expr))
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range result {
			for label := range sample.Metric {
				organized := p.Transformations[len(p.Transformations)-1].Options
				if organized.RenameByName[string(label)] == "" && !organized.ExcludeByName[string(label)] {
					out = append(out, string(label))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// missing lists what a board does not show and should.
func (b board) missing(t *testing.T, server *promtest.Prometheus) []string {
	t.Helper()
	var out []string
	for _, p := range b.graphs() {
		filled := false
		if p.Type == "table" {
			if labels := p.unnamed(t, server, views[b.UID][0]); len(labels) > 0 {
				out = append(out, fmt.Sprintf("%s: nothing says what to do with the columns %v", p.where(b), labels))
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
			if result[0].Histogram == nil && result[0].Metric[model.LabelName(label)] == "" {
				empty = append(empty, target.RefID+" has no "+label)
			}
		}
	}
	slices.Sort(empty)
	return empty
}
