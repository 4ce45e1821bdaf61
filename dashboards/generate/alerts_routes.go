package main

// This file holds the alerts about routes: messages that mailprobe sends itself
// and looks for. They must not be sent by mail through the path they are about.

// routeIdentity are the labels that tell routes apart.
const routeIdentity = "job, instance, mailprobe, route"

// mild are the reasons of messages that arrived. Each has an alert of its own.
const mild = "late|filed_as_spam|authentication_failed|cleanup_failed"

// whyRoute names leg and reason of the last message, with meaning and advice.
var whyRoute = lookup("mailprobe_route_failure_info$", " The last message failed on the leg {{ .Labels.leg }} with {{ .Labels.reason }}"+
	`{{ with printf "max by (meaning, advice) (mailprobe:reason_info{reason=%q})" .Labels.reason | query }}{{ with first . }}: {{ .Labels.meaning }} {{ .Labels.advice }}{{ end }}{{ else }}.{{ end }}`)

// tookLast and checkedLast are sentences about the last message of a late or of an
// unauthenticated route.
var (
	tookLast    = lookup("max(mailprobe_route_leg_duration_seconds$)", " The last one took {{ .Value | humanizeDuration }}.")
	checkedLast = "{{- with " + ask("mailprobe_route_authentication_result$") + ` | sortByLabel "method" }} Results:{{ range . }} {{ .Labels.method }}={{ .Labels.result }}{{ end }}.{{ end }}`
)

// lastDelivered is a sentence about the last message that arrived.
var lastDelivered = lookupOr("max(max_over_time(mailprobe_route_last_success_timestamp_seconds$[1d]))",
	" A message last arrived as configured at "+clock+".", " No message has arrived as configured since mailprobe began to send.")

func routeAlerts() group {
	return group{name: "mailprobe-routes",
		comment: "Routes: a message is sent and looked for.",
		alerts:  []alert{routeBroken(), routeSlow(), routeSpam(), routeUnauthenticated(), routeLitter()}}
}

// routeClock is the time of each mailprobe's last probe by its own clock. Where the probes
// are in a job of their own (/sd), it is the time of Prometheus.
const routeClock = `(
    max by (` + exporter + `) (mailprobe_last_probe_timestamp_seconds)
    or
    0 * max by (` + exporter + `) (mailprobe_route_deadline_seconds) + time()
  )`

func routeBroken() alert {
	return alert{
		name: "MailprobeRouteBroken", severity: "critical", pending: "1m", subject: "route",
		fires: "when two messages in a row did not arrive as configured, or the first one, unless an alert about one of its connections says so",
		comment: `The deadline and two intervals without a success are two messages, by the clock of
mailprobe and for a day beyond its restart. A message that arrived late, as
spam, unauthenticated or could not be deleted has an alert below. Where a
connection of the same mailprobe fails for the same reason and pages, that is
the one page.`,
		expr: `mailprobe_route_up == 0
unless on (` + routeIdentity + `) mailprobe_route_failure_info{reason=~"` + mild + `"}
unless on (` + routeIdentity + `) (
  max_over_time(mailprobe_route_last_success_timestamp_seconds[1d])
  + on (` + routeIdentity + `) mailprobe_route_deadline_seconds
  + on (` + routeIdentity + `) 2 * mailprobe_route_interval_seconds
  >= on (` + exporter + `) group_left ()
  ` + routeClock + `
)
unless on (` + routeIdentity + `) (
  mailprobe_route_failure_info
  and on (` + exporter + `, reason)
  (
    mailprobe_failure_info
    and on (` + identity + `)
    ALERTS{alertname=~"MailprobeConnectionDown|MailprobeLoginRefused|MailprobeCertificateExpired|MailprobeTLSWeakened", alertstate="firing", severity="critical"}
  )
)`,
		summary: "Mail of the route {{ $labels.route }} does not arrive as it should.",
		text:    []string{"Messages of the route {{ $labels.route }} do not arrive as they should." + whyRoute + lastDelivered},
		board:   overviewUID, page: "/routes",
	}
}

// ofReason is an alert about messages that arrived and have a reason all the same.
func ofReason(name, reason, pending, fires, summary, sentence string) alert {
	return alert{
		name: name, severity: "warning", pending: pending, fires: fires, subject: "route",
		expr:    `max without (leg, reason) (mailprobe_route_failure_info{reason="` + reason + `"})`,
		summary: summary,
		text:    []string{sentence + whyRoute + lastDelivered},
		board:   overviewUID, page: "/routes",
	}
}

func routeSlow() alert {
	return ofReason("MailprobeRouteSlow", "late", "15m", "15 minutes after messages began to arrive later than `slow`",
		"Mail is late on the route {{ $labels.route }}.", "Messages of the route {{ $labels.route }} arrive later than configured."+tookLast)
}

func routeSpam() alert {
	return ofReason("MailprobeRouteSpam", "filed_as_spam", "10m", "10 minutes after a message was filed as spam",
		"Mail is filed as spam on the route {{ $labels.route }}.", "Messages of the route {{ $labels.route }} land in the junk folder.")
}

func routeUnauthenticated() alert {
	return ofReason("MailprobeRouteUnauthenticated", "authentication_failed", "10m", "10 minutes after a message lacks a required result",
		"Mail is not authenticated on the route {{ $labels.route }}.", "Messages of the route {{ $labels.route }} lack a required result of SPF, DKIM, DMARC or ARC."+checkedLast)
}

func routeLitter() alert {
	return alert{
		name: "MailprobeRouteLitter", severity: "warning", pending: "15m", subject: "route",
		fires:   "15 minutes after more than 10 messages were left behind",
		expr:    "mailprobe_route_left_behind > 10",
		summary: "The route {{ $labels.route }} leaves messages behind.",
		text:    []string{"{{ $value }} messages of the route {{ $labels.route }} were found and could not be deleted." + whyRoute},
		board:   overviewUID, page: "/routes",
	}
}
