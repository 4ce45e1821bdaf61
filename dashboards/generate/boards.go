package main

// This file holds what both boards share: variables, links and annotations.

import "net/url"

const (
	overviewUID   = "mailprobe-overview"
	connectionUID = "mailprobe-connection"

	// schemaVersion is Grafana 11's; newer ones migrate a board when they load it.
	schemaVersion = 39
)

// newBoard is a board without its panels. choose is the variable `connection`.
func newBoard(uid, title, description string, choose variable, sections []section) dashboard {
	return dashboard{
		UID: uid, Title: title, Description: description,
		Tags: []string{"mailprobe"}, GraphTooltip: 1, SchemaVersion: schemaVersion, Version: 1,
		Refresh: "1m", Timezone: "browser", Time: timeRange{From: "now-6h", To: "now"},
		Links: []link{
			{Title: "mailprobe", Type: "dashboards", Tags: []string{"mailprobe"}, Icon: "external link",
				KeepTime: true, IncludeVars: true, AsDropdown: false},
			{Title: "Status page", Type: "link", URL: "${mailprobe_url}/", Icon: "bolt", Tags: []string{}, TargetBlank: true},
		},
		Annotations: annotations{List: []annotation{
			{Name: "Alerts", Datasource: source, Enable: true, IconColor: "red", Step: "60s",
				Expr:        selectors.Replace(`ALERTS{@exporter, alertname=~"Mailprobe.+", alertstate="firing"}`),
				TitleFormat: "{{alertname}}", TextFormat: "{{connection}}"},
			{Name: "Configuration loaded", Datasource: source, Enable: true, IconColor: "blue", Step: "60s",
				Expr:        selectors.Replace(`changes(mailprobe_config_last_reload_success_timestamp_seconds{@exporter}[2m]) > 0`),
				TitleFormat: "Configuration loaded", TextFormat: "{{instance}}"},
		}},
		Templating: templating{List: []variable{
			{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1},
			labelValues("job", "Job", `label_values(mailprobe_interval_seconds, job)`),
			labelValues("instance", "Instance", `label_values(mailprobe_interval_seconds{job=~"$job"}, instance)`),
			choose,
			{Name: "mailprobe_url", Label: "Status page", Type: "textbox", Query: "http://localhost:10925",
				Current: &current{Text: "http://localhost:10925", Value: "http://localhost:10925"}},
		}},
		Panels: layout(sections),
	}
}

// labelValues is a variable that lists the values of a label, any number of
// which can be chosen.
func labelValues(name, label, query string) variable {
	return variable{Name: name, Label: label, Type: "query", Datasource: &source, Query: query, Definition: query,
		Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: ".+",
		Current: &current{Selected: true, Text: []string{"All"}, Value: []string{"$__all"}}}
}

const connectionValues = `label_values(mailprobe_interval_seconds{job=~"$job", instance=~"$instance"}, connection)`

// anyConnection lets any number of connections be chosen, all of them at first.
func anyConnection() variable { return labelValues("connection", "Connection", connectionValues) }

// oneConnection lets exactly one connection be chosen.
func oneConnection() variable {
	return variable{Name: "connection", Label: "Connection", Type: "query", Datasource: &source,
		Query: connectionValues, Definition: connectionValues, Refresh: 2, Sort: 1}
}

// connectionLinks lead from a connection's name in a table to its board and to
// its page in mailprobe.
func connectionLinks() object {
	keep := url.Values{}
	keep.Set("var-connection", "")
	return object{"links": []object{
		{"title": "Board of this connection",
			"url": "/d/" + connectionUID + "?" + keep.Encode() + "${__value.raw:percentencode}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"},
		{"title": "Status page and transcript", "targetBlank": true,
			"url": "${mailprobe_url}/connections/${__value.raw:percentencode}"},
	}}
}

// Queries that both boards ask.
const (
	// withWords falls back to the bare reason where the rules are not loaded.
	withWords = `connection:mailprobe_failure:info{@connection}
or on (job, instance, connection)
mailprobe_failure_info{@connection}`

	certificateLeft = `mailprobe_tls_certificate_not_after_timestamp_seconds{@connection} - time()`
)

// perConnection drops every label that could differ between two queries about
// one connection, so that a table can merge their rows.
func perConnection(expr string, more string) string {
	return "max by (job, instance, connection, protocol" + more + ") (" + expr + ")"
}

// anyHistogram asks a histogram in its native form, and in its classic form
// where Prometheus did not store a native one. call wraps either rate.
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
