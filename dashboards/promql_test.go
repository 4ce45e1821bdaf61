package dashboards

// This file finds the names in a PromQL expression. It is no parser: Prometheus itself
// parses the expressions, in TestQueries and through promtool. The file relies on a
// convention of the boards and rules: every metric of ours begins with a known prefix.

import (
	"regexp"
	"slices"
	"strings"
)

var (
	stringLiteral = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	metricName    = regexp.MustCompile(`\b(?:connection:|route:|job:|mailprobe[:_])[a-zA-Z0-9_:]*|\bup\b|\bALERTS(?:_FOR_STATE)?\b`)
	selector      = regexp.MustCompile(`^\s*\{([^{}]*)\}`)
	labelMatcher  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")`)
	labelList     = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)`)
)

// reference is one place where an expression names a metric.
type reference struct {
	metric   string
	matchers map[string]string // label to operator and literal, such as job to =~"$job"
	before   string            // what stands before it, for the functions around it
	after    string            // what follows the selector, for a range
}

// references lists the metrics that an expression names. A board may have the
// name of a label chosen, as it has its values.
func references(expr string) []reference {
	expr = strings.ReplaceAll(expr, "$label=~", "connection=~")
	blank := stringLiteral.ReplaceAllStringFunc(expr, func(s string) string { return `"` + strings.Repeat("_", len(s)-2) + `"` })
	var out []reference
	for _, at := range metricName.FindAllStringIndex(blank, -1) {
		r := reference{metric: expr[at[0]:at[1]], before: blank[:at[0]], after: blank[at[1]:], matchers: map[string]string{}}
		if s := selector.FindStringIndex(r.after); s != nil {
			for _, m := range labelMatcher.FindAllStringSubmatch(expr[at[1]:at[1]+s[1]], -1) {
				r.matchers[m[1]] = m[2] + m[3]
			}
			r.after = r.after[s[1]:]
		}
		out = append(out, r)
	}
	return out
}

// groupedLabels lists the labels that by, without, on and group_left name.
func groupedLabels(expr string) []string {
	var out []string
	for _, m := range labelList.FindAllStringSubmatch(stringLiteral.ReplaceAllString(expr, `""`), -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if label = strings.TrimSpace(label); label != "" {
				out = append(out, label)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// counted reports whether the reference stands in a function that makes sense
// of a counter.
func (r reference) counted() bool {
	return regexp.MustCompile(`\b(rate|increase|irate|resets|present_over_time)\(\s*$`).MatchString(r.before)
}

// seriesSuffix is what a classic histogram adds to its name.
var seriesSuffix = regexp.MustCompile(`_(bucket|sum|count)$`)
