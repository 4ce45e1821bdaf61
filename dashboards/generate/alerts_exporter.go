package main

// exporterAlerts are about mailprobe itself, and about connections or targets that have
// disappeared.
func exporterAlerts() group {
	return group{name: "mailprobe-exporter", alerts: []alert{
		allConnectionsDown(allOfInstance), allConnectionsDown(allOfJob), allOfOneHost(),
		exporterDown(), fewerExporters(), probesNotScraped(), noConnections(),
		reloadFailed(), clockWrong(), poolOverloaded(),
	}}
}

// extent is a set of connections that may all fail at once.
type extent struct {
	scope   string
	by      string // labels that name the set
	comment string
	guard   string // a further condition, so that one outage fires for one extent only
	whose   string // the set in words
	filter  string // its selector in a template
	args    string // the values for filter
}

var allOfInstance = extent{
	scope: "instance", by: exporter,
	comment: `Sooner than MailprobeConnectionDown, which it inhibits. Three connections to
two hosts at least: fewer may well be broken by themselves. What fails in phase
auth or mailbox does not count, because the way to that server is good; unless
the fault is mailprobe's own, such as secrets that cannot be read.`,
	whose:  "{{ $labels.instance }} (job {{ $labels.job }})",
	filter: "{job=%q,instance=%q,mailprobe=%q}", args: " $labels.job $labels.instance $labels.mailprobe",
}

var allOfJob = extent{
	scope: "job", by: "job, mailprobe",
	comment: `The same for a job discovered through /sd, where each connection is an instance
of its own.`,
	guard: `
and on (job, mailprobe)
count by (job, mailprobe) (count by (` + exporter + `) (mailprobe_up))
== count by (job, mailprobe) (mailprobe_up)`,
	whose:  "the job {{ $labels.job }}",
	filter: "{job=%q,mailprobe=%q}", args: " $labels.job $labels.mailprobe",
}

// unreachable are the connections that are down, possibly because of a fault on the side
// of mailprobe.
const unreachable = `(
  mailprobe_up == 0
  unless on (` + identity + `)
  mailprobe_failure_info{phase=~"auth|mailbox", reason!~"local_.*"}
)`

// hosts counts the hosts of a set of connections.
func hosts(by string) string {
	return "count by (" + by + ") (count by (" + by + ", host) (mailprobe_connection_info))"
}

func (e extent) ask(query string) string { return "printf " + quote(query) + e.args + " | query" }

// reasons lists why the connections of a set fail.
func (e extent) reasons() string {
	return `{{- with ` + e.ask("count by (reason) (mailprobe_failure_info"+e.filter+")") + ` | sortByLabel "reason" }} Reasons:{{ range . }} {{ .Labels.reason }} ({{ .Value }}){{ end }}.{{ end }}`
}

// since says when the last connection of a set worked.
func (e extent) since() string {
	return "{{- range " + e.ask("max(max_over_time(mailprobe_last_success_timestamp_seconds"+e.filter+"[1d]))") + " }} since " + clock + "{{ end }}"
}

func allConnectionsDown(e extent) alert {
	count := "{{ $value }} connections{{- range " + e.ask("count(count by (host) (mailprobe_connection_info"+e.filter+"))") + " }} to {{ .Value }} hosts{{ end }} of " + e.whose
	return alert{
		name: "MailprobeAllConnectionsDown", severity: "critical", pending: "2m", labels: []string{"scope: " + e.scope},
		fires:   map[string]string{"instance": "2 minutes after none of at least 3 connections to 2 hosts works", "job": "the same for a job discovered through `/sd`"}[e.scope],
		comment: e.comment,
		expr: `count by (` + e.by + `) ` + unreachable + `
== count by (` + e.by + `) (mailprobe_up) >= 3
unless on (` + e.by + `)
` + hosts(e.by) + ` == 1` + e.guard,
		summary: "None of the " + count + " works" + e.since() + ".",
		text: []string{
			"All " + count + " fail" + e.since() + ".",
			"More likely than that many broken servers is a fault at the place of mailprobe: its network, its resolver, its clock, its CA certificates.",
			e.reasons(),
		},
		board: overviewUID, page: "/",
	}
}
func allOfOneHost() alert {
	e := extent{by: "job, mailprobe, host", filter: "{job=%q,mailprobe=%q,host=%q}", args: " $labels.job $labels.mailprobe $labels.host"}
	withHost := "* on (" + identity + ") group_left (host) max by (" + identity + ", host) (mailprobe_connection_info" + e.filter + ")"
	return alert{
		name: "MailprobeAllConnectionsDown", severity: "warning", pending: "5m", labels: []string{"scope: host"},
		fires: "5 minutes after none of at least 3 connections to one host works",
		comment: `All connections to one host: the host, and not mailprobe. A warning that adds
the host's name, because MailprobeConnectionDown or what else is wrong with each
connection pages already; it inhibits nothing, and is inhibited by them.`,
		expr: `count by (job, mailprobe, host) (
  (1 - mailprobe_up) * on (` + identity + `) group_left (host) max by (` + identity + `, host) (mailprobe_connection_info) == 1
)
== count by (job, mailprobe, host) (
  mailprobe_up * on (` + identity + `) group_left (host) max by (` + identity + `, host) (mailprobe_connection_info)
) >= 3`,
		summary: "None of the {{ $value }} connections to {{ $labels.host }} works{{- range " + e.ask("max(max_over_time(mailprobe_last_success_timestamp_seconds[1d]) "+withHost+")") + " }} since " + clock + "{{ end }}.",
		text: []string{
			"All {{ $value }} connections to {{ $labels.host }} (job {{ $labels.job }}) fail, so the fault is most likely there: the server, or the way to it.",
			`{{- with ` + e.ask("count by (reason) (mailprobe_failure_info "+withHost+")") + ` | sortByLabel "reason" }} Reasons:{{ range . }} {{ .Labels.reason }} ({{ .Value }}){{ end }}.{{ end }}`,
		},
		board: overviewUID, page: "/",
	}
}

// lately are the series of a metric within a day; and the alert itself, so that
// it does not end with that day.
func lately(metric, alertName string) string {
	return "(last_over_time(" + metric + "[1d]) or ALERTS{alertname=\"" + alertName + "\", alertstate=\"firing\", severity=\"critical\"})"
}

func exporterDown() alert {
	const name = "MailprobeExporterDown"
	return alert{
		name: name, severity: "critical", pending: "5m", fires: "after 5 minutes",
		comment: `A target that once gave mailprobe's build information, whatever the job is
called; or another target of a job in which nothing else is scraped, such as a
new pod that never starts; or no mailprobe left at all. ALERTS lets it go on
after a day.`,
		expr: `up == 0 and on (job, instance) ` + lately("mailprobe_build_info", name) + `
or
(
  up == 0
  and on (job)
  ` + lately("mailprobe_build_info", name) + `
  unless on (job)
  (up == 1 unless on (job, instance) mailprobe_build_info)
)
or
(
  absent(mailprobe_build_info)
  unless on ()
  count(up == 0 and on (job) ` + lately("mailprobe_build_info", name) + `)
)`,
		summary: "{{ if $labels.instance }}mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) cannot be scraped.{{ else }}Prometheus has no mailprobe to scrape.{{ end }}",
		text: []string{
			"{{ if $labels.instance }}Prometheus cannot scrape mailprobe at {{ $labels.instance }} (job {{ $labels.job }}).{{ else }}Prometheus has no mailprobe to scrape.{{ end }}",
			"Until it can, nobody watches the mail connections.",
		},
		board: overviewUID, page: "/",
	}
}

func fewerExporters() alert {
	return alert{
		name: "MailprobeExporterDown", severity: "warning", pending: "15m", labels: []string{"scope: job"},
		fires: "15 minutes after fewer mailprobes answer than did for a quarter of an hour within the last day",
		comment: `One of several vanished from the discovery, such as a pod that gets no address:
there is no target that could be down.`,
		expr: `count by (job) (mailprobe_build_info)
< max_over_time(min_over_time(job:mailprobe_exporters:count[15m])[1d:5m])`,
		summary: "Fewer mailprobes of the job {{ $labels.job }} answer than before: {{ $value }}.",
		text: []string{
			"Of the mailprobes of the job {{ $labels.job }} only {{ $value }} can be scraped;",
			`{{- range printf "max_over_time(min_over_time(job:mailprobe_exporters:count{job=%q}[15m])[1d:5m])" $labels.job | query }} within the last day there were {{ .Value }}.{{ end }}`,
			"If you did not remove one, nobody watches its share of the mail connections. The alert ends a day after a removal.",
		},
		board: overviewUID, page: "/",
	}
}

// otherTargets drops mailprobes themselves from what is down, and what only one
// of them could answer that is down itself: MailprobeExporterDown says so. The
// label mailprobe of a target of /sd is the address of that mailprobe; where it is
// another than the one that is scraped, one mailprobe at least has to answer.
const otherTargets = `unless on (job, instance)
  last_over_time(mailprobe_build_info[1d])
  unless on (mailprobe)
  label_replace(up == 0 and on (job, instance) last_over_time(mailprobe_build_info[1d]), "mailprobe", "$1", "instance", "(.+)")
  and on ()
  mailprobe_build_info`

func probesNotScraped() alert {
	const name = "MailprobeProbesNotScraped"
	return alert{
		name: name, severity: "critical", pending: "10m", fires: "10 minutes after a scrape of `/probe` failed, or a connection that mailprobe knows has no result in Prometheus",
		comment: `/probe cannot be scraped, though /metrics can: 401, 503, a certificate. Or a
connection that mailprobe counts has no gauges in any job, because /sd cannot be
read. One alert a job; ALERTS lets it go on after a day.`,
		expr: `count by (job) (
  up == 0
  and on (job, instance, mailprobe)
  last_over_time(mailprobe_up[1d])
  ` + otherTargets + `
)
or
count by (job) (
  up == 0
  and on (job)
  ALERTS{alertname="` + name + `", alertstate="firing"}
  ` + otherTargets + `
)
or
count by (job) (
  present_over_time(mailprobe_probes_total[5m])
  unless on (connection)
  last_over_time(mailprobe_interval_seconds[1h])
)`,
		summary: "Prometheus gets no results of {{ $value }} mail connections (job {{ $labels.job }}).",
		text: []string{
			"{{ $value }} mail connections of the job {{ $labels.job }} have no results in Prometheus, although mailprobe is there.",
			"Nobody watches them. The page /targets of Prometheus says why a scrape fails: credentials that /probe and /sd want, 503 because of too many scrapes at once, a certificate, or an /sd that cannot be read.",
			`{{- with printf "topk(10, count by (instance) (up{job=%q} == 0))" $labels.job | query | sortByLabel "instance" }} Among them:{{ range . }} {{ .Labels.instance }}{{ end }}.{{ end }}`,
		},
		board: overviewUID, page: "/",
	}
}

// has are the mailprobes that have connections. The counters are in the query too,
// because prometheus-sd.yml drops the gauges.
const has = "(mailprobe_interval_seconds or present_over_time(mailprobe_probes_total[5m]))"

func noConnections() alert {
	return alert{
		name: "MailprobeNoConnections", severity: "critical", pending: "5m", fires: "5 minutes after a mailprobe has no connection in its configuration any more, or no mailprobe of the job has one",
		comment: `An empty list is a valid configuration, and silences every other alert. A share
of few servers (--shard) may be empty from the beginning, beside others.`,
		expr: `up == 1
and on (job, instance)
mailprobe_build_info
unless on (job, instance)
` + has + `
and on (job, instance)
(
  last_over_time(mailprobe_interval_seconds[1d])
  or present_over_time(mailprobe_probes_total[1d])
  or (mailprobe_build_info unless on (job) ` + has + `)
)`,
		summary: "mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) has no connection to probe.",
		text: []string{
			"The configuration that mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) loaded has no connections, so nobody watches any.",
			`{{- range printf "mailprobe_config_last_reload_success_timestamp_seconds{job=%q,instance=%q}" $labels.job $labels.instance | query }} It was loaded at ` + clock + `.{{ end }}`,
			"If that is on purpose, stop this mailprobe or silence this alert.",
		},
		board: overviewUID, page: "/",
	}
}

func reloadFailed() alert {
	return alert{
		name: "MailprobeConfigReloadFailed", severity: "warning", pending: "5m", fires: "after 5 minutes",
		expr:    `mailprobe_config_last_reload_successful == 0`,
		summary: "mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) could not load its new configuration.",
		text: []string{
			"The last reload of mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) failed. It goes on with the old configuration",
			`{{- range printf "mailprobe_config_last_reload_success_timestamp_seconds{job=%q,instance=%q}" $labels.job $labels.instance | query }} of ` + clock + `{{ end }}.`,
			"Its log and its status page name file, line and field; so does mailprobe --config.check.",
		},
		board: overviewUID, page: "/",
	}
}

func clockWrong() alert {
	return alert{
		name: "MailprobeClockWrong", severity: "warning", pending: "10m", fires: "10 minutes after its stamps are a minute ahead of Prometheus' clock, or ten minutes behind it",
		comment: `A probe cannot have ended in the future; and a stamp that was written within the
last five minutes cannot be ten minutes old. Certificates are judged by this
clock, so their verdicts are wrong too.`,
		expr: `max by (` + exporter + `) (mailprobe_last_probe_timestamp_seconds) - time() > 60
or
min by (` + exporter + `) (
  mailprobe_last_probe_timestamp_seconds - time()
  and
  changes(mailprobe_last_probe_timestamp_seconds[5m]) > 0
) < -600`,
		summary: "The clock of mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) or that of Prometheus is wrong.",
		text: []string{
			"By the clock of Prometheus, the newest result of mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) is{{- range printf \"abs(vector(%f))\" $value | query }} {{ .Value | humanizeDuration }}{{ end }} {{ if gt $value 0.0 }}in the future{{ else }}old, though it was written just now{{ end }}.",
			"One of the two clocks is wrong. mailprobe judges certificates by its own clock.",
		},
		board: overviewUID, page: "/",
	}
}

func poolOverloaded() alert {
	return alert{
		name: "MailprobePoolOverloaded", severity: "warning", pending: "15m", fires: "after 15 minutes",
		comment: `A probe that is due while the last one still runs, or while no place is free,
is left out and counted.`,
		expr:    `rate(mailprobe_pool_skipped_total[15m]) > 0`,
		summary: "mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) cannot keep its schedule.",
		text: []string{
			`mailprobe at {{ $labels.instance }} (job {{ $labels.job }}) leaves out {{ printf "%.2f" $value }} probes a second, because the last probe still runs or all places are taken.`,
			"Its timings are not to be trusted meanwhile. Raise pool.max_in_flight or the intervals, or share the connections among several mailprobes.",
		},
		board: overviewUID, page: "/",
	}
}
