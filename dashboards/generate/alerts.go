package main

// This file holds what all alerts share: their type, the fragments that their
// texts are made of, and how they are written as a rule file.

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"mailprobe/mail"
)

// Addresses that an installation replaces once in the rule file by its own.
const (
	runbookURL = "https://github.com/mailprobe/mailprobe/blob/main/docs/alerts.md"
	grafanaURL = "http://localhost:3000"
)

// identity are the labels that identify a connection. The label mailprobe comes from
// /sd, where two mailprobes may have connections of the same name; elsewhere it is
// missing, which PromQL and the templates treat as empty. exporter are the labels that
// identify a mailprobe.
const (
	identity = "job, instance, mailprobe, connection"
	exporter = "job, instance, mailprobe"
)

// hold is the keep_firing_for of all alerts: after a restart of mailprobe or a failed
// scrape, series are missing for a while, and one outage must stay one alert. The alert
// of a removed connection goes on for as long.
const hold = "5m"

// group is a rule group. Its recordings are first, because an alert of the same group
// then has their new values; one of another group may have those of the evaluation
// before.
type group struct {
	name    string
	comment string
	records []recording
	alerts  []alert
}

// recording is a recording rule.
type recording struct {
	name, comment, expr string
}

// alert is an alerting rule. Its texts are templates of Prometheus.
type alert struct {
	name     string
	severity string // critical needs a person at once, warning in working hours
	fires    string // when, in the words of the table of docs/alerts.md
	comment  string
	expr     string
	pending  string   // for; empty: fires at once
	labels   []string // further labels as "name: value"
	summary  string   // one sentence that names connection, host and port
	text     []string // the sentences of the description
	board    string   // UID of the board that shows more
	page     string   // path on the status page of mailprobe
	subject  string   // label that names what the alert is about; empty: connection
}

// own declares, in a template, the selector of what the alert is about.
func own(subject string) string {
	return `{{- $own := printf "{job=%q,instance=%q,mailprobe=%q,` + subject + `=%q}" $labels.job $labels.instance $labels.mailprobe $labels.` + subject + ` -}}`
}

// lookup is a template that asks Prometheus when the alert fires. In the query, $ stands
// for the selector of the alert's own connection. text is repeated for each result; it
// has to begin with a space.
//
// Where the text depends on a result, the query names series of mailprobe itself: a
// recording of another group may not exist yet when an alert begins, and the first
// notification is the one that people read.
func lookup(query, text string) string {
	return "{{- range " + ask(query) + " }}" + text + "{{ end }}"
}

// lookupOr is lookup with another text for the case that there is no result.
func lookupOr(query, text, otherwise string) string {
	return "{{- with " + ask(query) + " }}{{ range . }}" + text + "{{ end }}{{ else }}" + otherwise + "{{ end }}"
}

func ask(query string) string {
	before, after, _ := strings.Cut(query, "$")
	asked := "print " + quote(before) + " $own"
	if after != "" {
		asked += " " + quote(after)
	}
	return asked + " | query"
}

// quote writes a query as a string of a template.
func quote(query string) string { return fmt.Sprintf("%q", query) }

// clock is a template that writes a Unix time for people.
const clock = `{{ (.Value | toTime).UTC.Format "2006-01-02 15:04:05 UTC" }}`

// where is the host and port of the connection: " at mail.example.org:993". The port is
// the one that was dialled last; after a failed name lookup, none was.
var where = lookup("mailprobe_connection_info$", ` at {{ if match ":" .Labels.host }}[{{ .Labels.host }}]{{ else }}{{ .Labels.host }}{{ end }}`+
	"{{ range "+ask("max(last_over_time(mailprobe_effective_port$[1d]))")+" }}:{{ .Value }}{{ end }}")

// who names the connection: "inbox (imap at mail.example.org:993)".
var who = "{{ $labels.connection }} ({{ $labels.protocol }}" + where + ")"

// lastSuccessQuery looks back a day, because without a state file mailprobe does not know
// its last success after a restart.
const lastSuccessQuery = "max(max_over_time(mailprobe_last_success_timestamp_seconds$[1d]))"

// sinceWhen follows "has not worked".
var sinceWhen = lookupOr(lastSuccessQuery, " since "+clock, " since mailprobe began to probe it")

// workedLast is a sentence of its own.
var workedLast = lookupOr(lastSuccessQuery, " It last worked at "+clock+".", " It has not worked since mailprobe began to probe it.")

// whyFailing names phase and reason, and the reason's meaning and advice where
// mailprobe-reasons.yml is loaded.
var whyFailing = lookup("mailprobe_failure_info$", " It fails in phase {{ .Labels.phase }} with {{ .Labels.reason }}"+
	`{{ with printf "max by (meaning, advice) (mailprobe:reason_info{reason=%q})" .Labels.reason | query }}{{ with first . }}: {{ .Labels.meaning }} {{ .Labels.advice }}{{ end }}{{ else }}.{{ end }}`)

// longestPhase names the phase that takes most of a probe's time.
var longestPhase = lookup("topk(1, mailprobe_phase_duration_seconds$)", " The longest phase is {{ .Labels.phase }} with {{ .Value | humanizeDuration }}.")

// configured ends an alert about a connection that left the configuration: a
// range looks back at series that are no longer there.
const configured = "and on (" + identity + ")\n(mailprobe_interval_seconds or mailprobe_up or mailprobe_tls_certificate_not_after_timestamp_seconds)"

// definitive lists the reasons that are a server's final word on a login, as a
// regular expression.
func definitive() string {
	var list []string
	for _, r := range mail.Reasons() {
		if r.Class() == mail.Definitive {
			list = append(list, string(r))
		}
	}
	return strings.Join(list, "|")
}

const alertsHead = `# Code generated by make generate from dashboards/generate; DO NOT EDIT.
#
# Alerts of mailprobe, for Prometheus 2.42 and later. They hold no threshold in
# seconds that depends on the configuration: intervals and time-outs are taken
# from the metrics mailprobe_interval_seconds and mailprobe_timeout_seconds.
#
# severity: critical needs a person at once, warning in working hours.
#
# Three addresses are in each alert. Replace them once for your installation:
#   runbook_url    ` + runbookURL + `
#   dashboard_url  ` + grafanaURL + `, where your browser reaches Grafana
#   status_url     http:// and the address that Prometheus scrapes
#
# Phase and reason are looked up in the annotations and never become labels of
# an alert: a fault that changes its reason (dns_timeout, then connect_timeout)
# would otherwise start as a new alert each time.
groups:
`

// alertRules writes the rule file of all alerts.
func alertRules() []byte {
	var b strings.Builder
	b.WriteString(alertsHead)
	for i, g := range alertGroups() {
		if i > 0 {
			b.WriteString("\n")
		}
		comment(&b, "  ", g.comment)
		fmt.Fprintf(&b, "  - name: %s\n    rules:\n", g.name)
		for _, r := range g.records {
			fmt.Fprintf(&b, "      - record: %s\n", r.name)
			comment(&b, "        ", r.comment)
			block(&b, "        ", "expr: |-", r.expr)
		}
		for j, a := range g.alerts {
			if j+len(g.records) > 0 {
				b.WriteString("\n")
			}
			a.write(&b)
		}
	}
	return []byte(b.String())
}

func (a alert) write(b *strings.Builder) {
	fmt.Fprintf(b, "      - alert: %s\n", a.name)
	comment(b, "        ", a.comment)
	block(b, "        ", "expr: |-", a.expr)
	if a.pending != "" {
		fmt.Fprintf(b, "        for: %s\n", a.pending)
	}
	fmt.Fprintf(b, "        keep_firing_for: %s\n        labels:\n          severity: %s\n", hold, a.severity)
	for _, l := range a.labels {
		fmt.Fprintf(b, "          %s\n", l)
	}
	b.WriteString("        annotations:\n")
	block(b, "          ", "summary: >-", a.declared(a.summary))
	block(b, "          ", "description: >-", a.declared(strings.Join(a.text, "\n")))
	fmt.Fprintf(b, "          runbook_url: %s#%s\n", runbookURL, strings.ToLower(a.name))
	block(b, "          ", "dashboard_url: >-", a.boardURL())
	block(b, "          ", "status_url: >-", `http://{{ or $labels.mailprobe $labels.instance "localhost:10925" }}`+a.page)
}

// declared returns a text with the declaration of $own in front, if the text uses it.
func (a alert) declared(text string) string {
	if !strings.Contains(text, "$own") {
		return text
	}
	return own(cmp.Or(a.subject, "connection")) + "\n" + text
}

// urlOf is a template that writes a label of the alert in a URL. The name of a connection
// may contain spaces, which urlquery turns into +; in a path only %20 is a space.
func urlOf(label string) string {
	return `{{ reReplaceAll "[+]" "%20" (urlquery $labels.` + label + `) }}`
}

// connectionPage is the page of the alert's connection.
var connectionPage = "/connections/" + urlOf("connection")

// boardURL is the URL of the alert's board, with its connection selected.
func (a alert) boardURL() string {
	link := grafanaURL + "/d/" + url.PathEscape(a.board)
	if a.board == connectionUID {
		return link + "?var-job=" + urlOf("job") + "&var-instance=" + urlOf("instance") + "&var-connection=" + urlOf("connection") +
			"{{ if $labels.mailprobe }}&var-mailprobe=" + urlOf("mailprobe") + "{{ end }}"
	}
	return link
}

func comment(b *strings.Builder, indent, text string) {
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight(indent+"# "+line, " ") + "\n")
	}
}

// block writes a key whose value is a block scalar of YAML.
func block(b *strings.Builder, indent, key, text string) {
	b.WriteString(indent + key + "\n")
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(indent + "  " + line + "\n")
	}
}

// alertGroups are all groups of alerts, in the order in which they are written.
func alertGroups() []group {
	return []group{connectionAlerts(), tlsAlerts(), exporterAlerts(), budgetAlerts(), mailboxAlerts(), routeAlerts()}
}
