package cli

// This file prints outcomes: for people, for programs, for Nagios.

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"mailprobe/history"
	"mailprobe/internal/human"
	"mailprobe/mail"
)

// formats prints outcomes to Stdout and says which exit code they mean; read only.
var formats = map[string]func(*ProbeOptions, []mail.Outcome) (int, error){
	"table": (*ProbeOptions).table, "json": (*ProbeOptions).json, "nagios": (*ProbeOptions).nagios,
}

// table prints one line for each connection, and below it the phases and what to do.
func (o *ProbeOptions) table(outcomes []mail.Outcome) (int, error) {
	t := table{header: []string{"CONNECTION", "PROTOCOL", "ADDRESS", "ENCRYPTION", "UP", "TIME", "TLS", "CERTIFICATE", "REASON"},
		width: o.Width, state: 4, paint: o.paint}
	code := 0
	for i := range outcomes {
		t.rows = append(t.rows, o.row(&outcomes[i]))
		if !outcomes[i].Up() {
			code = ExitDown
		}
	}
	return code, t.write(o.Stdout)
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
		stateWord(outcome), human.Duration(outcome.Duration()), version, certificate, reason}
}

// adviceFor returns the advice of a failure. For a URL, it names the flag in place of the
// field of the configuration.
func adviceFor(outcome *mail.Outcome) string {
	advice := outcome.Failure.Advice()
	if isURL(outcome.Connection.Name) {
		advice = strings.ReplaceAll(advice, "tls_config.ca_file", "--ca-file")
	}
	return advice
}

// row is an outcome in the table, with what does not fit a line below it.
func (o *ProbeOptions) row(outcome *mail.Outcome) tableRow {
	row := tableRow{cells: cells(outcome)}
	var phases []string
	for _, p := range outcome.Phases {
		phases = append(phases, fmt.Sprintf("%s %s", p.Phase, human.Duration(p.Duration)))
	}
	if len(phases) > 0 {
		row.below = append(row.below, strings.Join(phases, ", "))
	}
	if text := waiting(outcome); text != "" {
		row.below = append(row.below, "mailbox: "+text)
	}
	if f := outcome.Failure; f != nil {
		row.below = append(row.below, string(f.Phase)+": "+f.Reason.Meaning(), adviceFor(outcome))
		if detail := f.Detail(); detail != "" {
			row.below = append(row.below, printable(detail))
		}
	}
	if outcome.Auth.HeldNext {
		row.below = append(row.below, o.nextLogin(outcome))
	}
	if o.Transcript {
		for _, line := range outcome.Transcript {
			row.lines = append(row.lines, fmt.Sprintf("%10s %c %s", human.Duration(line.At), line.From, printable(line.Text)))
		}
	}
	return row
}

// waiting describes the waiting messages of a watched mailbox; empty: not known.
func waiting(outcome *mail.Outcome) string {
	w, c := outcome.Mailbox.Watch, outcome.Connection
	if w == nil {
		return ""
	}
	text := human.Waiting(w.Waiting, outcome.Backlog(), c.WatchMaxAge, w.FirstSeen)
	if text != "" && !w.Newest.IsZero() && !w.FirstSeen {
		text += ", newest " + human.Elapsed(outcome.End.Sub(w.Newest)) + " old"
	}
	return text
}

// nextLogin says when a refused login is tried again. A probe by hand without a state
// file cannot withhold it, which the text says.
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

// json prints what the API returns of each connection's last probe.
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
// 0 OK, 1 WARNING for a certificate that ends soon or a message that waits too long, 2 CRITICAL, 3 UNKNOWN for a
// fault on this side.
func (o *ProbeOptions) nagios(outcomes []mail.Outcome) (int, error) {
	words := []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}
	worst, up := 0, 0
	var details, figures []string
	for i := range outcomes {
		outcome := &outcomes[i]
		code, text := nagiosState(outcome)
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

// nagiosState returns the state of one outcome, and why.
func nagiosState(outcome *mail.Outcome) (int, string) {
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
	if code == 0 && outcome.Overdue() {
		code, text = 1, "mailbox: "+waiting(outcome)
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
	return append(figures, watchPerfdata(outcome, label)...)
}

// watchPerfdata is the performance data of a watched mailbox.
func watchPerfdata(outcome *mail.Outcome, label string) (figures []string) {
	w := outcome.Mailbox.Watch
	if w == nil {
		return nil
	}
	if w.Waiting != nil {
		figures = append(figures, fmt.Sprintf("'%s waiting'=%d;;;0;", label, *w.Waiting))
	}
	if age := outcome.Backlog(); age > 0 {
		figures = append(figures, fmt.Sprintf("'%s oldest waiting'=%.0fs;%.0f;;0;", label, age.Seconds(), outcome.Connection.WatchMaxAge.Seconds()))
	}
	return figures
}

// unpiped replaces |, which would begin the performance data.
func unpiped(text string) string { return strings.ReplaceAll(text, "|", "/") }

// stateWord is one word for an outcome: up, held or down.
func stateWord(outcome *mail.Outcome) string {
	switch {
	case outcome.Up():
		return "up"
	case outcome.Auth.Held:
		return "held"
	}
	return "down"
}

// paint colours a state where colours are wanted.
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
