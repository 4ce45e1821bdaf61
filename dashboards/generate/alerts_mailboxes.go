package main

// This file holds the alerts about watched mailboxes: mail that arrives and is not
// fetched, and mail that no longer arrives.

// watched is what each of these alerts is about.
var watched = "the mailbox of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where

// waitingNow says how many messages wait.
var waitingNow = lookup("mailprobe_mailbox_waiting_messages$", " Messages that wait now: {{ .Value }}.")

const (
	oldestAge = "connection:mailprobe_mailbox_oldest_waiting:age_seconds"
	newestAge = "connection:mailprobe_mailbox_newest_message:age_seconds"
)

// ageAtLook is the age that a message had at the last successful probe, or has now if
// Prometheus knows of none.
func ageAtLook(stamp string) string {
	return `mailprobe_last_success_timestamp_seconds - ` + stamp + `
or
(
  time() - ` + stamp + `
  unless on (` + identity + `)
  mailprobe_last_success_timestamp_seconds
)`
}

// tooOldTwice holds when the oldest message was older than watch_max_age in two
// probes: the same message in the last probe and the one before; or another one
// each time, for a quarter of an hour.
const tooOldTwice = `(
  ` + oldestAge + `
  > mailprobe_mailbox_watch_max_age_seconds + mailprobe_interval_seconds
  or
  (
    ` + oldestAge + `
    and on (` + identity + `)
    min_over_time(` + oldestAge + `[15m]) > mailprobe_mailbox_watch_max_age_seconds
    and on (` + identity + `)
    ` + oldestAge + ` offset 15m
    unless on (` + identity + `)
    mailprobe_interval_seconds > 450
  )
)`

// mailboxAlerts are about connections with the field watch.
func mailboxAlerts() group {
	return group{name: "mailprobe-mailboxes",
		comment: `Watched mailboxes: what waits in them, and what no longer arrives. A mailbox
that cannot be opened has the alert of its connection, which inhibits these.`,
		records: []recording{
			{oldestAge, `At the last good probe: the clock of Prometheus does not matter to it, and it does
not grow while a connection is down or withheld, because what waits then is not known.`,
				ageAtLook("mailprobe_mailbox_oldest_waiting_timestamp_seconds")},
			{newestAge, "", ageAtLook("mailprobe_mailbox_newest_message_timestamp_seconds")},
		},
		alerts: []alert{
			mailboxBacklog("warning", "<=", "when the oldest waiting message was older than `watch_max_age` in two probes"),
			mailboxBacklog("critical", ">", "at four times that age"),
			mailboxGrowing(), mailboxSilent(), mailboxAlmostFull(),
		}}
}

func mailboxBacklog(severity, compare, fires string) alert {
	return alert{
		name: "MailprobeMailboxBacklog", severity: severity, fires: fires,
		expr:    tooOldTwice + "\n" + compare + " 4 * mailprobe_mailbox_watch_max_age_seconds",
		summary: "Mail waits in the mailbox of " + who + " for {{ $value | humanizeDuration }}.",
		text: []string{
			"The oldest message in " + watched + " waits to be fetched for {{ $value | humanizeDuration }};",
			lookup("mailprobe_mailbox_watch_max_age_seconds$", " the limit is {{ .Value | humanizeDuration }}."),
			waitingNow,
			"Either the program that fetches mail has stopped or is too slow, or one message blocks it.",
		},
		board: connectionUID, page: connectionPage,
	}
}

// grows compares the fewest waiting messages of the time that just passed with
// the most of an earlier time. There is a gap between them: where a line only
// climbs, the end of one time is the beginning of the next.
func grows(window, before string) string {
	return `min_over_time(mailprobe_mailbox_waiting_messages[` + window + `])
  - max_over_time(mailprobe_mailbox_waiting_messages[` + window + `] offset ` + before + `) >= 10`
}

func mailboxGrowing() alert {
	return alert{
		name: "MailprobeMailboxGrowing", severity: "warning", pending: "5m",
		fires: "5 minutes after at least 10 more messages waited all through half an hour than at any time of that half hour an hour earlier (12 hours and the day before, where `watch_max_age` is more than an hour)",
		comment: `A fetcher that runs and is too slow; or one that stands still, where the server
does not tell which message is the oldest. Days where mail may wait for hours.`,
		expr: `(
  ` + grows("30m", "1h") + `
  and on (` + identity + `)
  mailprobe_mailbox_watch_max_age_seconds <= 3600
)
or
(
  ` + grows("12h", "1d") + `
  and on (` + identity + `)
  mailprobe_mailbox_watch_max_age_seconds > 3600
)`,
		summary: "More and more mail waits in the mailbox of " + who + ".",
		text: []string{
			"At least {{ $value }} more messages than before wait in " + watched + ".",
			waitingNow,
			"Mail arrives faster than the program fetches it, or it has stopped.",
		},
		board: connectionUID, page: connectionPage,
	}
}

func mailboxSilent() alert {
	return alert{
		name: "MailprobeMailboxSilent", severity: "warning", pending: "2m",
		fires: "2 minutes after the newest message was older than `watch_expect_every`",
		comment: `Only where watch_expect_every is configured. Nothing wrong can be seen at the
mailbox itself: the fault is where mail should come from.`,
		expr: newestAge + `
> mailprobe_mailbox_watch_expect_every_seconds`,
		summary: "No mail has arrived in the mailbox of " + who + " for {{ $value | humanizeDuration }}.",
		text: []string{
			"The newest message in " + watched + " arrived {{ $value | humanizeDuration }} ago;",
			lookup("mailprobe_mailbox_watch_expect_every_seconds$", " one is expected each {{ .Value | humanizeDuration }}."),
			"The mailbox can be opened, so the fault is on the way to it: senders, DNS (MX), the receiving server, a filter or a forwarding.",
		},
		board: connectionUID, page: connectionPage,
	}
}

func mailboxAlmostFull() alert {
	return alert{
		name: "MailprobeMailboxAlmostFull", severity: "warning", pending: "5m",
		fires: "5 minutes after 90 % of the quota were used, where the server tells it",
		expr: `mailprobe_mailbox_quota_used_bytes / (mailprobe_mailbox_quota_limit_bytes > 0)
>= 0.9`,
		summary: "{{ $value | humanizePercentage }} of the quota of the mailbox of " + who + " is used.",
		text: []string{
			"{{ $value | humanizePercentage }} of the quota of " + watched + " is used",
			lookup("mailprobe_mailbox_quota_used_bytes$", " ({{ .Value | humanize1024 }}B") + lookup("mailprobe_mailbox_quota_limit_bytes$", " of {{ .Value | humanize1024 }}B)") + ".",
			"When it is full, the server refuses or bounces new mail.",
		},
		board: connectionUID, page: connectionPage,
	}
}
