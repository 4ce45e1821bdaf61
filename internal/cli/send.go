package cli

// This file implements `mailprobe probe --send`, which sends one message of a route
// now. Otherwise only the interval of a route sends messages.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailprobe/config"
	"mailprobe/history"
	"mailprobe/internal/human"
	"mailprobe/mail"
	"mailprobe/prober"
	"mailprobe/routes"
)

// sentFormats prints what became of a message and says which exit code that
// means; read only.
var sentFormats = map[string]func(*ProbeOptions, *mail.RouteOutcome) (int, error){
	"table": (*ProbeOptions).sentTable, "json": (*ProbeOptions).sentJSON, "nagios": (*ProbeOptions).sentNagios,
}

// send sends one message with the holds and the journal of the serving mailprobe.
func (o *ProbeOptions) send(ctx context.Context) error {
	format, known := sentFormats[o.Output]
	if !known {
		return &ExitError{ExitNotRun, fmt.Errorf("-o %s: not one of table, json, nagios", o.Output)}
	}
	if len(o.Names) > 0 {
		return &ExitError{ExitNotRun, errors.New("--send takes the name of a route, and no connection beside it")}
	}
	route, err := o.route()
	if err != nil {
		return &ExitError{ExitNotRun, err}
	}
	outcome, err := o.sendRoute(ctx, route)
	if err != nil {
		return &ExitError{ExitNotRun, err}
	}
	return exit(format(o, &outcome))
}

// route finds the route in the configuration.
func (o *ProbeOptions) route() (*mail.Route, error) {
	loaded, _, err := o.Load()
	if err != nil {
		return nil, fmt.Errorf("the configuration is not usable:\n%w", err)
	}
	var names []string
	for _, r := range loaded.Routes {
		if r.Name == o.Send {
			return r, nil
		}
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return nil, errors.New("no route is configured")
	}
	return nil, fmt.Errorf("route %q is not configured%s (%s)", o.Send, config.DidYouMean(o.Send, names), someOf(names))
}

// sendRoute sends and follows the message.
func (o *ProbeOptions) sendRoute(ctx context.Context, route *mail.Route) (outcome mail.RouteOutcome, err error) {
	if route.Delete && o.StateFile == "" {
		return outcome, fmt.Errorf("route %q: delete: own needs --state.file, or a crash would leave messages behind", route.Name)
	}
	path := ""
	if o.StateFile != "" {
		path = routes.JournalPath(o.StateFile)
	}
	guard, err := o.guard()
	if err != nil {
		return outcome, err
	}
	defer func() { err = errors.Join(err, guard.Close()) }()
	journal, err := routes.OpenJournal(path)
	if err != nil {
		return outcome, err
	}
	if o.Live {
		fmt.Fprintf(o.Stderr, "sending through %s, then looking in %s for at most %s\n", printable(route.Send.Name), printable(route.Receive.Name), human.Duration(route.Deadline))
	}
	tracker := &routes.Tracker{Transport: prober.NewCourier(&prober.Prober{Guard: guard, Log: o.Log}), Journal: journal, Log: o.Log}
	if outcome, err = tracker.SendNow(ctx, route); ctx.Err() != nil && err != nil {
		err = errInterrupted
	}
	return outcome, err
}

// sentTable prints the legs, where the message was found, and its hops.
func (o *ProbeOptions) sentTable(outcome *mail.RouteOutcome) (int, error) {
	code, state, leg, reason := 0, "up", "-", "-"
	row := tableRow{}
	if f := outcome.Failure; f != nil {
		code, state, leg, reason = ExitDown, "down", string(f.Leg), string(f.Reason)
		row.below = append(row.below, string(f.Leg)+": "+f.Reason.Meaning(), f.Advice())
		if f.Text != "" {
			row.below = append(row.below, printable(f.Text))
		}
	}
	row.below = append(row.below, sentFacts(outcome)...)
	row.cells = []string{printable(outcome.Route.Name), fmt.Sprint(outcome.Seq), state, legTime(outcome.Submit.Seconds(), human.Duration(outcome.Submit)),
		legTime(outcome.Transfer.Seconds(), human.Duration(outcome.Transfer)), legTime(outcome.Total.Seconds(), human.Duration(outcome.Total)), leg, reason}
	t := table{header: []string{"ROUTE", "MESSAGE", "UP", "SUBMIT", "TRANSFER", "TOTAL", "LEG", "REASON"}, width: o.Width, state: 2, paint: o.paint, rows: []tableRow{row}}
	return code, t.write(o.Stdout)
}

// legTime is the time of a leg, or - for one that did not end.
func legTime(seconds float64, text string) string {
	if seconds <= 0 {
		return "-"
	}
	return text
}

// sentFacts are lines about a message: where it was found, what was deleted, who
// authenticated it, and by which hops it came.
func sentFacts(outcome *mail.RouteOutcome) []string {
	var lines []string
	if outcome.Delivered {
		line := fmt.Sprintf("found in %s, after at most %s without a look", printable(outcome.FolderAs), human.Duration(outcome.Uncertainty))
		switch {
		case outcome.Left > 0:
			line += fmt.Sprintf("; %d left behind", outcome.Left)
		case outcome.Deleted > 0:
			line += "; deleted"
		}
		lines = append(lines, line)
	}
	if outcome.DSN != "" {
		lines = append(lines, "delivery status: "+outcome.DSN)
	}
	var results []string
	for _, check := range mail.SenderChecks() {
		if result, known := outcome.Authentication[check]; known {
			results = append(results, fmt.Sprintf("%s=%s", check, result))
		}
	}
	if len(results) > 0 {
		by := " (not by the configured authserv_id)"
		if outcome.Trusted {
			by = ""
		}
		lines = append(lines, strings.Join(results, ", ")+by)
	}
	for _, hop := range outcome.Hops {
		lines = append(lines, printable(fmt.Sprintf("hop: %s -> %s, %s", hop.From, hop.By, hop.With)))
	}
	return lines
}

// sentJSON prints what the API returns of a route's message.
func (o *ProbeOptions) sentJSON(outcome *mail.RouteOutcome) (int, error) {
	encoder := json.NewEncoder(o.Stdout)
	encoder.SetIndent("", "  ")
	code := 0
	if !outcome.Up() {
		code = ExitDown
	}
	return code, encoder.Encode(history.NewRouteResult(outcome))
}

// degraded are failures of a message that arrived nevertheless; they are warnings.
// Read only.
var degraded = []mail.Reason{mail.Late, mail.CleanupFailed, mail.Duplicated}

// sentNagios prints a plugin's answer.
func (o *ProbeOptions) sentNagios(outcome *mail.RouteOutcome) (int, error) {
	code, text := 0, fmt.Sprintf("delivered in %s", human.Duration(outcome.Total))
	if f := outcome.Failure; f != nil {
		code, text = ExitDown, fmt.Sprintf("%s on leg %s: %s %s", f.Reason, f.Leg, f.Reason.Meaning(), f.Advice())
		if slices.Contains(degraded, f.Reason) {
			code = 1
		} else if f.Reason.Class() == mail.Local {
			code = ExitNotRun
		}
	}
	var figures []string
	for _, leg := range []struct {
		name    mail.Leg
		seconds float64
	}{{mail.LegSubmit, outcome.Submit.Seconds()}, {mail.LegTransfer, outcome.Transfer.Seconds()}, {mail.LegTotal, outcome.Total.Seconds()}} {
		if leg.seconds > 0 {
			figures = append(figures, fmt.Sprintf("%s=%.3fs", leg.name, leg.seconds))
		}
	}
	word := []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[code]
	_, err := fmt.Fprintf(o.Stdout, "MAILPROBE %s - route %s: %s | %s\n", word, unpiped(printable(outcome.Route.Name)), unpiped(text), strings.Join(figures, " "))
	return code, err
}
