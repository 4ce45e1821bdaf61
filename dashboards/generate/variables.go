package main

// This file holds the variables by which a reader chooses what a board shows.

// commonVariables are those of both boards, the address of the status page last.
func commonVariables() []variable {
	const page = "http://localhost:10925"
	return []variable{
		{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1},
		labelValues("job", "Job", `label_values(mailprobe_interval_seconds, job)`),
		labelValues("instance", "Instance", `label_values(mailprobe_interval_seconds{job=~"$job"}, instance)`),
		// The label of /sd that tells two mailprobes apart; elsewhere it is missing.
		optional(labelValues("mailprobe", "mailprobe", `label_values(mailprobe_interval_seconds{job=~"$job", instance=~"$instance"}, mailprobe)`)),
		{Name: "mailprobe_url", Label: "Status page", Type: "textbox", Query: page, Current: &current{Text: page, Value: page}},
	}
}

// labelValues is a variable that lists the values of a label, any number of
// which can be chosen.
func labelValues(name, label, query string) variable {
	return variable{Name: name, Label: label, Type: "query", Datasource: &source, Query: query, Definition: query,
		Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: ".+",
		Current: &current{Selected: true, Text: []string{"All"}, Value: []string{"$__all"}}}
}

// optional lets "All" include what has no such label.
func optional(v variable) variable {
	v.AllValue = ".*"
	return v
}

// chosen selects the connections of the mailprobes that are chosen.
const chosen = `job=~"$job", instance=~"$instance", mailprobe=~"$mailprobe"`

// filteredConnections let a reader choose connections by protocol, host, one of
// the labels that they were given, and name. The first three narrow the list of
// names, and the panels ask for the names in that list: "All" is the list itself
// and not a regular expression that would find the others too. So a panel needs
// no join with the hosts.
func filteredConnections() []variable {
	own := variable{Name: "label", Label: "Own label", Type: "query", Datasource: &source,
		Query: "label_names(mailprobe_interval_seconds)", Definition: "label_names(mailprobe_interval_seconds)",
		Regex: `/^(?!(?:__name__|job|instance|mailprobe|protocol)$).+/`, Refresh: 2, Sort: 1,
		Current: &current{Selected: true, Text: "connection", Value: "connection"}}
	name := labelValues("connection", "Connection",
		`label_values(mailprobe_connection_info{`+chosen+`, protocol=~"$protocol", host=~"$host", $label=~"$value"}, connection)`)
	name.AllValue = ""
	return []variable{
		labelValues("protocol", "Protocol", `label_values(mailprobe_interval_seconds{`+chosen+`}, protocol)`),
		labelValues("host", "Host", `label_values(mailprobe_connection_info{`+chosen+`, protocol=~"$protocol"}, host)`),
		own,
		optional(labelValues("value", "Its value", `label_values(mailprobe_interval_seconds{`+chosen+`}, $label)`)),
		name,
	}
}

// oneConnection lets exactly one connection be chosen.
func oneConnection() []variable {
	const query = `label_values(mailprobe_interval_seconds{` + chosen + `}, connection)`
	return []variable{{Name: "connection", Label: "Connection", Type: "query", Datasource: &source,
		Query: query, Definition: query, Refresh: 2, Sort: 1}}
}
