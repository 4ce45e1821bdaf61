package main

import "fmt"

// window is one of the four windows of the SRE workbook, chapter 5.
type window struct {
	name, short string  // ranges, as recorded in connection:mailprobe_up:avg…
	reported    string  // how long ago a reported outage may have been that explains the alert
	words       string  // the long one in words
	rate        float64 // how many times faster than allowed the budget is spent
	hours       int
	severity    string
	pending     string
}

var windows = []window{
	{"1h", "5m", "1h", "the last hour", 14.4, 1, "critical", "2m"},
	{"6h", "30m", "6h", "the last 6 hours", 6, 6, "critical", "15m"},
	{"1d", "2h", "2h", "the last day", 3, 24, "warning", "1h"},
	{"3d", "6h", "6h", "the last 3 days", 1, 72, "warning", "3h"},
}

// budgetAlerts are about connections that fail often, but never for long.
func budgetAlerts() group {
	g := group{
		name: "mailprobe-error-budget",
		comment: `The four windows of the SRE workbook, chapter 5: how many times faster than
allowed the error budget of 30 days is spent. The short window ends the alert
soon after the fault ends. Where there is less history than a window is long,
the window is the history.

One outage is reported once. What MailprobeConnectionDown or another critical
alert reported is not reported again: not while it lasts, and not after its
end, when the windows still remember it. A slower window is silent where a
faster one fired. A window has no alert where probes are so rare that a single
failed one is above the rate, nor for a connection that is known for less than a
quarter of an hour: one that never worked, or one of a mailprobe that was
replaced during an outage, which MailprobeConnectionDown will report.`,
	}
	for i, w := range windows {
		g.alerts = append(g.alerts, w.alert(windows[:i]))
	}
	return g
}

func (w window) alert(faster []window) alert {
	allowed := fmt.Sprintf("on () group_left () %v * (1 - mailprobe:availability_objective:ratio)", w.rate)
	rare := fmt.Sprintf("on () group_left () %v * %d * 3600 * (1 - mailprobe:availability_objective:ratio)", w.rate, w.hours)
	spoke := ""
	for _, f := range faster {
		spoke += fmt.Sprintf("\n  or max_over_time(ALERTS{alertname=\"MailprobeErrorBudgetBurn\", alertstate=\"firing\", window=%q}[%s])", f.name, w.name)
	}
	return alert{
		name: "MailprobeErrorBudgetBurn", severity: w.severity, pending: w.pending, labels: []string{"window: " + w.name},
		fires: fmt.Sprintf("%s above %v times the allowed rate in %s", w.pending, w.rate, w.words),
		expr: `1 - connection:mailprobe_up:avg` + w.name + ` > ` + allowed + `
and on (` + identity + `)
1 - connection:mailprobe_up:avg` + w.short + ` > ` + allowed + `
` + configured + `
unless on (` + identity + `)
(mailprobe_up unless on (` + identity + `) last_over_time(mailprobe_up[30m] offset 15m))
unless on (` + exporter + `)
max_over_time(ALERTS{alertname="MailprobeAllConnectionsDown", alertstate="firing", scope="instance"}[` + w.reported + `])
unless on (job, mailprobe)
max_over_time(ALERTS{alertname="MailprobeAllConnectionsDown", alertstate="firing", scope="job"}[` + w.reported + `])
unless on (` + identity + `)
(
  max_over_time(ALERTS{alertname=~"MailprobeConnectionDown|MailprobeLoginRefused|MailprobeCertificateExpired|MailprobeTLSWeakened", alertstate="firing", severity="critical"}[` + w.reported + `])
  or max_over_time(ALERTS{alertname="MailprobeLoginWithheld"}[` + w.reported + `])` + spoke + `
  or mailprobe_interval_seconds > ` + rare + `
)`,
		summary: who + " failed {{ $value | humanizePercentage }} of " + w.words + ".",
		text: []string{
			"The {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " failed {{ $value | humanizePercentage }} of " + w.words + ".",
			`{{- range printf "30 * 86400 * (1 - mailprobe:availability_objective:ratio) / %f" $value | query }} At this rate the error budget of 30 days is spent in {{ .Value | humanizeDuration }}.{{ end }}`,
			whyFailing,
			workedLast,
		},
		board: connectionUID, page: connectionPage,
	}
}
