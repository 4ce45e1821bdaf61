package main

// connectionAlerts are about single connections: whether they work, how
// quickly, and whether they are still probed.
func connectionAlerts() group {
	return group{name: "mailprobe-connections", alerts: []alert{
		connectionDown(), loginRefused(), loginWithheld(), connectionFlapping(), connectionSlow(), connectionNearTimeout(), resultsStale(),
	}}
}

func connectionDown() alert {
	return alert{
		name: "MailprobeConnectionDown", severity: "critical", pending: "3m",
		fires: "three minutes after the second failed probe in a row, unless an alert below says more",
		comment: `Two probes in a row failed: the stamps of the last probe and of the last
success are one and a half intervals apart. Both are stamps of mailprobe's
clock, so it does not matter whether that clock is right. A connection that
never worked has no last success.
Not where another critical alert already says more about the same failure;
and not where the login is only withheld because others were refused.`,
		expr: `mailprobe_up == 0
unless on (` + identity + `)
(
  mailprobe_last_probe_timestamp_seconds - mailprobe_last_success_timestamp_seconds <= 1.5 * mailprobe_interval_seconds
  or
  (
    time() - mailprobe_last_success_timestamp_seconds <= 2 * mailprobe_interval_seconds
    unless on (` + identity + `)
    mailprobe_last_probe_timestamp_seconds
  )
)
unless on (` + identity + `)
ALERTS{alertname=~"MailprobeLoginRefused|MailprobeCertificateExpired|MailprobeTLSWeakened", alertstate="firing", severity="critical"}
unless on (` + identity + `)
(
  mailprobe_failure_info{reason="auth_held"}
  and on (job)
  ALERTS{alertname="MailprobeLoginRefused", alertstate="firing"}
)`,
		summary: who + " has not worked" + sinceWhen + ".",
		text: []string{
			"The {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " has not worked" + sinceWhen + ".",
			whyFailing,
		},
		board: connectionUID, page: connectionPage,
	}
}

func loginRefused() alert {
	return alert{
		name: "MailprobeLoginRefused", severity: "critical", fires: "at once",
		comment: `At once: the server refused the account itself, and a person has to act.
mailprobe withholds the login, so nothing gets worse meanwhile. The reason
auth_held is left out: there others were refused on the same server, and this
account was not even tried.`,
		expr: `max without (phase, reason) (
  mailprobe_failure_info{reason=~"` + definitive() + `"}
)
or
(
  mailprobe_auth_held == 1
  unless on (` + identity + `)
  mailprobe_failure_info{reason="auth_held"}
)`,
		summary: "The server refuses the login of " + who + ".",
		text: []string{
			"The server refused the login of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where + ".",
			whyFailing,
			lookup("ceil(mailprobe_auth_next_attempt_timestamp_seconds$)", " The login is not repeated before "+clock+", unless the secret changes."),
			workedLast,
		},
		board: connectionUID, page: connectionPage,
	}
}

func loginWithheld() alert {
	refusedThere := `count by (connection) (mailprobe_failure_info{job=%q,reason=~"` + definitive() + `"})`
	return alert{
		name: "MailprobeLoginWithheld", severity: "warning", pending: "5m",
		fires:   "after 5 minutes in which the login is not tried because others were refused",
		expr:    `max without (phase, reason) (mailprobe_failure_info{reason="auth_held"})`,
		summary: "The login of " + who + " is withheld because others were refused.",
		text: []string{
			"mailprobe does not try the login of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where +
				": other logins to the same server were refused, and one more could lock an account or ban this address.",
			`{{- with printf ` + quote(refusedThere) + ` $labels.job | query | sortByLabel "connection" }} Refused:{{ range . }} {{ .Labels.connection }}{{ end }}.{{ end }}`,
			"Its status page names the refused connection and when it was refused. The login is tried again when that ends.",
			workedLast,
		},
		board: connectionUID, page: connectionPage,
	}
}

func connectionFlapping() alert {
	return alert{
		name: "MailprobeConnectionFlapping", severity: "warning", pending: "1m",
		fires: "at the fourth change within an hour, or a day if probes are more than 10 minutes apart",
		comment: `Two outages and recoveries within an hour, or within a day where a probe is
too rare for the hour.`,
		expr: `(
  changes(mailprobe_up[1h]) >= 4
  or
  (changes(mailprobe_up[1d]) >= 4 and mailprobe_interval_seconds > 600)
)
` + configured,
		summary: who + " works and fails in turn.",
		text: []string{
			"The {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " changed its state {{ $value }} times.",
			`{{- with ` + ask("count by (reason) (count_over_time(mailprobe_failure_info$[1d]))") + ` | sortByLabel "reason" }} Its failures of the last day, by reason:{{ range . }} {{ .Labels.reason }}{{ end }}.{{ end }}`,
			workedLast,
		},
		board: connectionUID, page: connectionPage,
	}
}

func connectionSlow() alert {
	return alert{
		name: "MailprobeConnectionSlow", severity: "warning", pending: "15m",
		fires: "15 minutes at three times the week's median",
		comment: `Three times the median of its own week and half a second more, so that 2 ms
instead of 0.5 ms is no alert. It needs a day of history. Half an hour that
was mostly down is not called slow.`,
		expr: `quantile_over_time(0.5, mailprobe_last_probe_duration_seconds[30m])
> 3 * connection:mailprobe_last_probe_duration_seconds:median1w + 0.5
and on (` + identity + `)
count_over_time(connection:mailprobe_last_probe_duration_seconds:median1h[1w:1h]) >= 24
and on (` + identity + `)
avg_over_time(mailprobe_up[30m]) > 0.5
and on (` + identity + `)
mailprobe_up == 1`,
		summary: who + " is much slower than it was all week.",
		text: []string{
			"A probe of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " takes {{ $value | humanizeDuration }};",
			lookup("connection:mailprobe_last_probe_duration_seconds:median1w$", " the median of the last week is {{ .Value | humanizeDuration }}."),
			longestPhase,
		},
		board: connectionUID, page: connectionPage,
	}
}

func connectionNearTimeout() alert {
	return alert{
		name: "MailprobeConnectionNearTimeout", severity: "warning", pending: "5m",
		fires: "5 minutes above 80 % of the time-out",
		comment: `Failed probes count with the time they took: a connection that times out
every other minute is near its time-out.`,
		expr: `avg_over_time(mailprobe_last_probe_duration_seconds[15m])
/ mailprobe_timeout_seconds > 0.8
and on (` + identity + `)
mailprobe_up == 1`,
		summary: "The probes of " + who + " nearly time out.",
		text: []string{
			"A probe of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " uses {{ $value | humanizePercentage }} of its time-out.",
			longestPhase,
		},
		board: connectionUID, page: connectionPage,
	}
}

func resultsStale() alert {
	return alert{
		name: "MailprobeResultsStale", severity: "warning", pending: "10m",
		fires: "10 minutes after a result is three intervals old (15 minutes at least), or has been the same for an hour",
		comment: `A gauge that is no longer written looks healthy for ever. The floor of 15
minutes: while a login is withheld a connection is only probed each five
minutes. Where the clock of mailprobe is wrong, an age says nothing: a stamp
that changed lately is new, and one that stood an hour ago already is an hour
old by any clock. Last: configured, but never probed.`,
		expr: `(
  time() - mailprobe_last_probe_timestamp_seconds
  > clamp_min(3 * mailprobe_interval_seconds + mailprobe_timeout_seconds, 900)
  unless on (` + identity + `)
  changes(mailprobe_last_probe_timestamp_seconds[15m]) > 0
  unless on (` + identity + `)
  (changes(mailprobe_last_probe_timestamp_seconds[3h]) > 0 and mailprobe_interval_seconds > 900)
)
or
(
  mailprobe_last_probe_timestamp_seconds == mailprobe_last_probe_timestamp_seconds offset 1h
  and on (` + identity + `)
  mailprobe_interval_seconds <= 900
)
or
(
  mailprobe_interval_seconds
  unless on (` + identity + `)
  mailprobe_last_probe_timestamp_seconds
)`,
		summary: who + " is no longer probed.",
		text: []string{
			"The result of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " is out of date:",
			lookupOr("mailprobe_last_probe_timestamp_seconds$", " the last probe ended at "+clock+".", " it was never probed."),
		},
		board: connectionUID, page: connectionPage,
	}
}
