package cli

// This file prints outcomes: for people, for programs, for Nagios.

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailprobe/history"
	"mailprobe/internal/human"
	"mailprobe/mail"
)

// formats prints outcomes to Stdout and says which exit code they mean; read only.
var formats = map[string]func(*ProbeOptions, []mail.Outcome) (int, error){
	"table": (*ProbeOptions).table, "json": (*ProbeOptions).json, "nagios": (*ProbeOptions).nagios,
}

// table prints a line a connection, and below it the phases and what to do.
func (o *ProbeOptions) table(outcomes []mail.Outcome) (int, error) {
	header := []string{"CONNECTION", "PROTOCOL", "ADDRESS", "ENCRYPTION", "UP", "TIME", "TLS", "CERTIFICATE", "REASON"}
	rows := [][]string{header}
	code := 0
	for i := range outcomes {
		rows = append(rows, cells(&outcomes[i]))
		if !outcomes[i].Up() {
			code = ExitDown
		}
	}
	widths := make([]int, len(header))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	total := gap * (len(widths) - 1)
	for _, width := range widths {
		total += width
	}
	var page strings.Builder
	for i, row := range rows {
		switch {
		case o.Width == 0 || total <= o.Width:
			o.row(&page, row, widths)
		case i > 0:
			o.block(&page, row)
		}
		if i > 0 {
			o.below(&page, &outcomes[i-1])
		}
	}
	_, err := fmt.Fprint(o.Stdout, page.String())
	return code, err
}

// The columns of the table, and the blanks between them.
const (
	columnUp = 4
	gap      = 2
)

// row prints a line of the table.
func (o *ProbeOptions) row(page *strings.Builder, row []string, widths []int) {
	for j, cell := range row {
		pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)+gap)
		if j == len(row)-1 {
			pad = ""
		}
		if j == columnUp {
			cell = o.paint(cell)
		}
		page.WriteString(cell + pad)
	}
	page.WriteString("\n")
}

// block prints a row of the table where the terminal is too narrow for one.
func (o *ProbeOptions) block(page *strings.Builder, row []string) {
	fmt.Fprintf(page, "%s %s\n", o.paint(row[columnUp]), row[0])
	words := []string{row[1] + " " + row[2], row[3]}
	for _, cell := range row[columnUp+1:] {
		if cell != "-" {
			words = append(words, cell)
		}
	}
	o.indented(page, strings.Join(words, ", "))
}

// indented prints a text below a row, as wide as the terminal is.
func (o *ProbeOptions) indented(page *strings.Builder, text string) {
	const indent = "    "
	column := 0
	for _, word := range strings.Fields(text) {
		width := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			page.WriteString(indent)
			column = len(indent)
		case o.Width > 0 && column+1+width > o.Width:
			page.WriteString("\n" + indent)
			column = len(indent)
		default:
			page.WriteString(" ")
			column++
		}
		page.WriteString(word)
		column += width
	}
	page.WriteString("\n")
}

// cells is a row of the table.
func cells(outcome *mail.Outcome) []string {
	c := outcome.Connection
	version, certificate, reason := "-", "-", "-"
	if t := outcome.TLS; t != nil {
		if t.Version != "" {
			version = t.Version
		}
		if !t.NotAfter.IsZero() {
			certificate = human.Expiry(outcome.TLS.NotAfter, outcome.End)
		}
	}
	if outcome.Failure != nil {
		reason = string(outcome.Failure.Reason)
	}
	return []string{printable(c.Name), string(c.Protocol), printable(c.Address()), c.Encryption.Word(),
		verdict(outcome), human.Duration(outcome.Duration()), version, certificate, reason}
}

// below is what does not fit a row.
func (o *ProbeOptions) below(page *strings.Builder, outcome *mail.Outcome) {
	var phases []string
	for _, p := range outcome.Phases {
		phases = append(phases, fmt.Sprintf("%s %s", p.Phase, human.Duration(p.Duration)))
	}
	if len(phases) > 0 {
		o.indented(page, strings.Join(phases, ", "))
	}
	if f := outcome.Failure; f != nil {
		o.indented(page, string(f.Phase)+": "+f.Reason.Meaning())
		o.indented(page, f.Advice())
		if detail := f.Detail(); detail != "" {
			o.indented(page, printable(detail))
		}
	}
	if outcome.Auth.HeldNext {
		o.indented(page, o.nextLogin(outcome))
	}
	if o.Transcript {
		for _, line := range outcome.Transcript {
			fmt.Fprintf(page, "    %10s %c %s\n", human.Duration(line.At), line.From, printable(line.Text))
		}
	}
}

// nextLogin says when a login that was refused is tried again. A probe by hand
// that shares no state file forgets the refusal, and must say so.
func (o *ProbeOptions) nextLogin(outcome *mail.Outcome) string {
	at := outcome.Auth.NextAttempt
	switch {
	case o.StateFile == "" && !outcome.Auth.Held:
		return "without --state.file no hold is kept: the next manual probe tries this login again, and may lock the account"
	case at.IsZero():
		return "the login is withheld until the password changes"
	}
	return "the login is withheld until " + at.UTC().Format(time.RFC3339)
}

// json prints what the API gives of each connection's last probe.
func (o *ProbeOptions) json(outcomes []mail.Outcome) (int, error) {
	list := struct {
		Results []*history.Result `json:"results"`
	}{[]*history.Result{}}
	code := 0
	for i := range outcomes {
		list.Results = append(list.Results, history.NewResult(&outcomes[i], o.Transcript))
		if !outcomes[i].Up() {
			code = ExitDown
		}
	}
	encoder := json.NewEncoder(o.Stdout)
	encoder.SetIndent("", "  ")
	return code, encoder.Encode(list)
}

// nagios prints a plugin's answer after the guidelines of monitoring-plugins.org:
// 0 OK, 1 WARNING for a certificate that ends soon, 2 CRITICAL, 3 UNKNOWN for a
// fault on this side.
func (o *ProbeOptions) nagios(outcomes []mail.Outcome) (int, error) {
	words := []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}
	worst, up := 0, 0
	var details, figures []string
	for i := range outcomes {
		outcome := &outcomes[i]
		code, text := judge(outcome)
		if outcome.Up() {
			up++
		}
		if severity(code) > severity(worst) {
			worst = code
		}
		if outcome.Auth.Withheld() {
			text += " (" + o.nextLogin(outcome) + ")"
		}
		if code > 0 {
			details = append(details, fmt.Sprintf("%s: %s: %s", words[code], printable(outcome.Connection.Name), text))
		}
		figures = append(figures, perfdata(outcome)...)
	}
	summary := fmt.Sprintf("%d of %d connections up", up, len(outcomes))
	if len(details) == 1 {
		summary, details = strings.TrimPrefix(details[0], words[worst]+": "), nil
	}
	var page strings.Builder
	fmt.Fprintf(&page, "MAILPROBE %s - %s | %s\n", words[worst], unpiped(summary), strings.Join(figures, " "))
	for _, detail := range details {
		fmt.Fprintln(&page, unpiped(detail))
	}
	_, err := fmt.Fprint(o.Stdout, page.String())
	return worst, err
}

// judge gives the state of one outcome, and why.
func judge(outcome *mail.Outcome) (int, string) {
	if f := outcome.Failure; f != nil {
		code := 2
		if f.Class() == mail.Local && !outcome.Auth.Held {
			code = 3
		}
		return code, fmt.Sprintf("%s in phase %s: %s %s", f.Reason, f.Phase, f.Reason.Meaning(), f.Advice())
	}
	text := ""
	code := validityCodes[outcome.TLS.ValidityAt(outcome.End)]
	if code > 0 {
		text = "certificate: " + human.Expiry(outcome.TLS.NotAfter, outcome.End)
	}
	return code, text
}

// validityCodes are the states of an outcome that is up, by how near the end of
// its certificate is. Read only.
var validityCodes = map[mail.Validity]int{mail.ValidityWarning: 1, mail.ValidityCritical: 2, mail.ValidityOver: 2}

// severity orders states: something that is down matters more than something unknown.
func severity(code int) int { return []int{0: 0, 1: 1, 3: 2, 2: 3}[code] }

// perfdata is 'label'=value[unit];warn;crit;min;max of one outcome.
func perfdata(outcome *mail.Outcome) []string {
	c := outcome.Connection
	label := strings.NewReplacer("'", "''", "=", "_", "|", "_").Replace(printable(c.Name))
	figures := []string{fmt.Sprintf("'%s'=%.6fs;;;0;%g", label, outcome.Duration().Seconds(), c.Timeout.Seconds())}
	if t := outcome.TLS; t != nil {
		if t.Handshake > 0 {
			figures = append(figures, fmt.Sprintf("'%s tls'=%.6fs;;;0;", label, t.Handshake.Seconds()))
		}
		if !t.NotAfter.IsZero() {
			warning, critical := mail.ExpiryThresholds(t.NotBefore, t.NotAfter)
			figures = append(figures, fmt.Sprintf("'%s certificate days'=%d;%.4g:;%.4g:;;", label,
				human.DaysLeft(t.NotAfter, outcome.End), warning.Hours()/24, critical.Hours()/24))
		}
	}
	return figures
}

// unpiped keeps a text from beginning the performance data.
func unpiped(text string) string { return strings.ReplaceAll(text, "|", "/") }

// verdict is one word for an outcome.
func verdict(outcome *mail.Outcome) string {
	switch {
	case outcome.Up():
		return "up"
	case outcome.Auth.Held:
		return "held"
	}
	return "down"
}

// paint colours a verdict where colours are wanted.
func (o *ProbeOptions) paint(word string) string {
	color, known := map[string]string{"up": "32", "held": "33", "down": "31"}[word]
	if !o.Color || !known {
		return word
	}
	return "\x1b[" + color + "m" + word + "\x1b[0m"
}

// printable removes what could control a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
