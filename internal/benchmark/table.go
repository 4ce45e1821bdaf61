//go:build linux

package main

// This file collects figures and prints them.

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// round is what each client used in one round, by its name.
type round map[string]use

// row is one line of the table.
type row struct {
	figure, of string
	value      float64
	note       string
}

// table is what was measured, in the order of the measuring.
type table struct{ rows []row }

func (t *table) add(figure, of string, value float64, note string) {
	t.rows = append(t.rows, row{figure, of, value, note})
}

// ratios adds, for each client, the processor time of its probes to that of the
// hand-written dialogue: the median over the rounds.
func (t *table) ratios(figure string, rounds []round) {
	for _, name := range clientNames(rounds) {
		var ratios []float64
		var each []time.Duration
		for _, r := range rounds {
			ratios = append(ratios, float64(r[name].perProbe())/float64(r[bareName].perProbe()))
			each = append(each, r[name].perProbe())
		}
		note := fmt.Sprintf("%.0f µs", float64(median(each).Nanoseconds())/1000)
		if len(ratios) > 1 {
			note += fmt.Sprintf("; rounds %.2f to %.2f", slices.Min(ratios), slices.Max(ratios))
		}
		t.add(figure, name, median(ratios), note)
	}
}

// rates adds how many probes fit into a second of a core.
func (t *table) rates(rounds []round) {
	for _, name := range clientNames(rounds) {
		var rates []float64
		for _, r := range rounds {
			rates = append(rates, float64(time.Second)/float64(r[name].perProbe()))
		}
		t.add("probes in a second of one core", name, median(rates), "")
	}
}

// handshake adds the ratio of the time that an exporter reports to the true one.
func (t *table) handshake(when, name string, reported, truth time.Duration) {
	t.add("TLS time reported, "+when+", to the truth", name, float64(reported)/float64(max(1, truth)),
		fmt.Sprintf("%.2f ms to %.2f ms", float64(reported.Microseconds())/1000, float64(truth.Microseconds())/1000))
}

// clientNames are the names in the rounds, the hand-written client first.
func clientNames(rounds []round) []string {
	names := map[string]bool{}
	for _, r := range rounds {
		for name := range r {
			names[name] = true
		}
	}
	sorted := []string{}
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.SortFunc(sorted, func(a, b string) int {
		return strings.Compare(order(a), order(b))
	})
	return sorted
}

// order sorts the hand-written client first and blackbox_exporter last.
func order(name string) string {
	switch name {
	case bareName:
		return "0"
	case "blackbox_exporter":
		return "2"
	}
	return "1" + name
}

// print writes the table as Markdown.
func (t *table) print(w io.Writer) error {
	var text strings.Builder
	text.WriteString("| figure | of | value | |\n|---|---|---|---|\n")
	for _, r := range t.rows {
		format := "| %s | %s | %.2f | %s |\n"
		if r.value >= 100 {
			format = "| %s | %s | %.0f | %s |\n"
		}
		fmt.Fprintf(&text, format, r.figure, r.of, r.value, r.note)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
