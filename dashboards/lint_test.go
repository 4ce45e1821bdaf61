package dashboards

// This file holds the 17 rules of Grafana's dashboard-linter, as they are
// described in its documentation (grafana/dashboard-linter, docs/index.md), in
// its order. None is waived for any panel.

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// lint is one rule. Its check calls complain for each fault.
type lint struct {
	name  string
	check func(b board, complain func(format string, args ...any))
}

// rateRange finds the range of each rate.
var rateRange = regexp.MustCompile(`rate\([^\[\]]*\[([^\]]*)\]`)

// units are the units of Grafana that the boards may use.
var units = []string{"none", "short", "percentunit", "s", "cps", "cpm", "ops", "reqps", "bytes", "dateTimeAsIso"}

// onTargets checks each target of each panel.
func onTargets(b board, check func(p panel, refID, expr string)) {
	for _, p := range b.graphs() {
		for _, target := range p.Targets {
			check(p, target.RefID, target.Expr)
		}
	}
}

// wantMatcher checks that every metric asked for is narrowed by a variable. An
// alert about all exporters has neither label, so a matcher of ALERTS allows that.
func wantMatcher(label string) func(b board, complain func(string, ...any)) {
	return func(b board, complain func(string, ...any)) {
		onTargets(b, func(p panel, refID, expr string) {
			for _, r := range references(expr) {
				want := `=~"$` + label + `"`
				if strings.HasPrefix(r.metric, "ALERTS") {
					want = `=~"$` + label + `|"`
				}
				if r.matchers[label] != want {
					complain("%s %s: %s has no matcher %s=~\"$%s\"", p.where(b), refID, r.metric, label, label)
				}
			}
		})
	}
}

// wantVariable checks a variable that lists the values of a label.
func wantVariable(name, label string) func(b board, complain func(string, ...any)) {
	return func(b board, complain func(string, ...any)) {
		v := b.variable(name)
		if v.Type != "query" || v.Label != label || !v.Multi || !v.IncludeAll || v.AllValue != ".+" || v.Datasource.UID != "${datasource}" {
			complain("%s: the variable %s is %+v", b.file, name, v)
		}
	}
}

var lints = []lint{
	{"template-datasource-rule", func(b board, complain func(string, ...any)) {
		if v := b.variable("datasource"); v.Type != "datasource" || v.Query != "prometheus" || v.Label != "Data source" {
			complain("%s: the variable datasource is %+v", b.file, v)
		}
	}},
	{"template-job-rule", wantVariable("job", "Job")},
	{"template-instance-rule", wantVariable("instance", "Instance")},
	{"template-label-promql-rule", func(b board, complain func(string, ...any)) {
		for _, v := range b.Templating.List {
			function, _, _ := strings.Cut(v.Query, "(")
			if v.Type == "query" && (function != "label_values" && function != "label_names" || len(references(v.Query)) != 1) {
				complain("%s: variable %s: %q", b.file, v.Name, v.Query)
			}
		}
	}},
	{"template-on-time-change-reload-rule", func(b board, complain func(string, ...any)) {
		for _, v := range b.Templating.List {
			if v.Type == "query" && v.Refresh != 2 {
				complain("%s: variable %s is not refreshed when the time range changes", b.file, v.Name)
			}
		}
	}},
	{"panel-datasource-rule", func(b board, complain func(string, ...any)) {
		for _, p := range b.Panels {
			all := []source{p.Datasource}
			for _, target := range p.Targets {
				all = append(all, target.Datasource)
			}
			for _, s := range all {
				if s != (source{"prometheus", "${datasource}"}) {
					complain("%s: data source %+v", p.where(b), s)
				}
			}
		}
	}},
	{"panel-title-description-rule", func(b board, complain func(string, ...any)) {
		for _, p := range b.graphs() {
			if p.Title == "" || !strings.HasSuffix(p.Description, ".") {
				complain("%s: no title, or description %q is no sentence", p.where(b), p.Description)
			}
		}
	}},
	{"panel-units-rule", func(b board, complain func(string, ...any)) {
		for _, p := range b.graphs() {
			if d := p.FieldConfig.Defaults; !slices.Contains(units, d.Unit) {
				complain("%s: unit %q", p.where(b), d.Unit)
			}
		}
	}},
	{"panel-no-targets-rule", func(b board, complain func(string, ...any)) {
		for _, p := range b.graphs() {
			if len(p.Targets) == 0 {
				complain("%s: asks nothing", p.where(b))
			}
		}
	}},
	{"target-promql-rule", func(b board, complain func(string, ...any)) {
		// Prometheus parses it in TestQueries.
		onTargets(b, func(p panel, refID, expr string) {
			if len(references(expr)) == 0 {
				complain("%s %s: %q names no metric", p.where(b), refID, expr)
			}
		})
	}},
	{"target-logql-rule", func(b board, complain func(string, ...any)) {
		onTargets(b, func(p panel, refID, expr string) {
			if strings.Contains(expr, "|=") || strings.Contains(expr, "| ") {
				complain("%s %s: %q is no PromQL", p.where(b), refID, expr)
			}
		})
	}},
	{"target-logql-auto-rule", func(b board, complain func(string, ...any)) {
		// $__auto is Loki's; $__interval is shorter than two scrapes when zoomed in.
		onTargets(b, func(p panel, refID, expr string) {
			if strings.Contains(expr, "$__auto") || strings.Contains(expr, "$__interval") {
				complain("%s %s: %q", p.where(b), refID, expr)
			}
		})
	}},
	{"target-job-rule", wantMatcher("job")},
	{"target-instance-rule", wantMatcher("instance")},
	{"target-rate-interval-rule", func(b board, complain func(string, ...any)) {
		onTargets(b, func(p panel, refID, expr string) {
			for _, m := range rateRange.FindAllStringSubmatch(expr, -1) {
				if m[1] != "$__rate_interval" {
					complain("%s %s: the rate is over %s, not $__rate_interval", p.where(b), refID, m[1])
				}
			}
		})
	}},
	{"target-counter-agg-rule", func(b board, complain func(string, ...any)) {
		onTargets(b, func(p panel, refID, expr string) {
			for _, r := range references(expr) {
				if (strings.HasSuffix(r.metric, "_total") || seriesSuffix.MatchString(r.metric)) && !r.counted() {
					complain("%s %s: %s is not in rate or increase", p.where(b), refID, r.metric)
				}
			}
		})
	}},
	{"uneditable-dashboard-rule", func(b board, complain func(string, ...any)) {
		if b.Editable == nil || *b.Editable {
			complain("%s: editable", b.file)
		}
	}},
}

func TestBoardsPassEveryLint(t *testing.T) {
	if len(lints) != 17 {
		t.Fatalf("%d rules, want 17", len(lints))
	}
	for _, l := range lints {
		t.Run(l.name, func(t *testing.T) {
			for _, b := range boards(t) {
				l.check(b, t.Errorf)
			}
		})
	}
}

// Each rule of the linter complains about a board that breaks all rules.
func TestEveryLintComplains(t *testing.T) {
	editable := true
	wrong := board{file: "wrong.json", Editable: &editable}
	wrong.Templating.List = []variable{{Name: "job", Type: "query", Query: "up"}, {Name: "datasource", Type: "constant"}}
	wrong.Panels = []panel{{ID: 1, Type: "stat"}, {ID: 2, Type: "timeseries"}}
	for _, expr := range []string{"vector(1)", `{a="b"} |= "c"`, "x[$__auto]", `rate(mailprobe_up{job="x"}[5m])`, "mailprobe_probes_total"} {
		target := wrong.Panels[1].Targets
		target = append(target, struct {
			RefID, Expr, LegendFormat, Format string
			Instant                           bool
			Datasource                        source
		}{Expr: expr})
		wrong.Panels[1].Targets = target
	}
	for _, l := range lints {
		count := 0
		l.check(wrong, func(string, ...any) { count++ })
		if count == 0 {
			t.Errorf("%s does not see what is wrong", l.name)
		}
	}
}
