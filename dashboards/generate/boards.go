package main

// This file holds what both boards share: variables, links and annotations.

import "slices"

const (
	overviewUID   = "mailprobe-overview"
	connectionUID = "mailprobe-connection"

	// schemaVersion is Grafana 11's; newer ones migrate a board when they load it.
	schemaVersion = 39
)

// keepChoice passes the selected variables to another board, all but the connection: an
// overview of one connection would hide the faults of the others.
const keepChoice = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${mailprobe:queryparam}&${mailprobe_url:queryparam}"

// newBoard is a board without its variable `connection`, its panels and alerts.
func newBoard(uid, title, description string) dashboard {
	return dashboard{
		UID: uid, Title: title, Description: description,
		Tags: []string{"mailprobe"}, GraphTooltip: 1, SchemaVersion: schemaVersion, Version: 1,
		Refresh: "1m", Timezone: "browser", Time: timeRange{From: "now-6h", To: "now"},
		Links: []link{
			{Title: "Overview", Type: "link", URL: "/d/" + overviewUID + "?" + keepChoice, Icon: "dashboard", Tags: []string{}, KeepTime: true},
			{Title: "One connection", Type: "link", URL: "/d/" + connectionUID + "?" + keepChoice, Icon: "dashboard", Tags: []string{}, KeepTime: true},
			{Title: "Status page", Type: "link", URL: "${mailprobe_url}/", Icon: "bolt", Tags: []string{}, TargetBlank: true},
		},
		Annotations: annotations{List: []annotation{
			{Name: "Configuration loaded", Datasource: source, Enable: true, IconColor: "blue", Step: "60s",
				Expr:        selectors.Replace(`changes(mailprobe_config_last_reload_success_timestamp_seconds{@exporter}[2m]) > 0`),
				TitleFormat: "Configuration loaded", TextFormat: "{{instance}}"},
		}},
		Templating: templating{List: commonVariables()},
	}
}

// showing adds what a board shows: the variables by which connections are
// chosen, the firing alerts as annotations, and its panels.
func (d dashboard) showing(choose []variable, alerts string, sections []section) dashboard {
	status := len(d.Templating.List) - 1
	d.Templating.List = slices.Insert(d.Templating.List, status, choose...)
	d.Annotations.List = slices.Insert(d.Annotations.List, 0, annotation{
		Name: "Alerts", Datasource: source, Enable: true, IconColor: "red", Step: "60s",
		Expr: selectors.Replace(alerts), TitleFormat: "{{alertname}}", TextFormat: "{{connection}}{{route}}"})
	d.Panels = layout(sections)
	return d
}

// Links from a connection's name in a table.
var (
	toBoard = object{"title": "Board of this connection",
		"url": "/d/" + connectionUID + "?var-connection=${__value.raw:percentencode}&" + keepChoice + "&${__url_time_range}"}
	toStatusPage = object{"title": "Status page and transcript", "targetBlank": true,
		"url": "${mailprobe_url}/connections/${__value.raw:percentencode}"}
)

// The queries of both boards. which selects the connections.

// failureTexts is what fails now, with the meaning and advice of the recording rules. If
// these are not loaded, or still describe an earlier failure, it is the reason alone.
func failureTexts(which string) query {
	return query{expr: withOwnLabels(`connection:mailprobe_failure:info{` + which + `}
and on (` + identity + `, phase, reason)
mailprobe_failure_info{` + which + `}
or on (` + identity + `)
mailprobe_failure_info{` + which + `}`)}
}

// lastSuccess looks back over the shown time, because without a state file mailprobe does
// not know its last success after a restart.
func lastSuccess(which string) string {
	return `max_over_time(mailprobe_last_success_timestamp_seconds{` + which + `}[$__range])`
}

// ofTimeout is the share of its time-out that a probe used.
func ofTimeout(which string) string {
	return `mailprobe_last_probe_duration_seconds{` + which + `} / mailprobe_timeout_seconds{` + which + `}`
}

// perConnection drops every label that could differ between two queries about one
// connection, so that a table can merge their rows. Configured labels are dropped too:
// each would be a column.
func perConnection(expr string, more string) string {
	return "max by (" + identity + ", protocol" + more + ") (" + expr + ")"
}

// withOwnLabels is perConnection for the one query of a table that keeps the configured
// labels as columns. It drops the labels that Prometheus in Kubernetes adds to every
// series.
func withOwnLabels(expr string) string {
	return "max without (container, endpoint, namespace, node, pod, service) (" + expr + ")"
}

// placed adds the label place to the one query of a table that shows where
// mailprobe runs: the address of the mailprobe that probes. Scraped through /sd
// that is the label mailprobe, elsewhere the instance.
func placed(expr string) string {
	return `label_replace(label_join(` + expr + `, "place", "|", "mailprobe", "instance"), "place", "$1", "place", "\\|?([^|]+).*")`
}

// anyHistogram queries a native histogram, or the classic one where Prometheus did not
// store a native one. call wraps the rate of both.
func anyHistogram(metric, selector string, call func(rate string) string) string {
	native := "sum(rate(" + metric + "{" + selector + "}[$__rate_interval]))"
	classic := "sum by (le) (rate(" + metric + "_bucket{" + selector + "}[$__rate_interval]))"
	return call(native) + "\nor\n" + call("("+classic+" unless on () "+native+")")
}

// quantile wraps a rate of a histogram.
func quantile(q string) func(string) string {
	return func(rate string) string { return "histogram_quantile(" + q + ", " + rate + ")" }
}

// itself leaves the rate of a histogram as it is, for a heatmap.
func itself(rate string) string { return rate }
