package main

// This file holds what the boards show of watched mailboxes (the field watch of
// a connection): what waits in them for the program that fetches mail.

const notWatched = "No mailbox is watched"

// oldestWaits is how long the oldest waiting message has waited; there is no value where
// none waits.
func oldestWaits(which string) string {
	return `time() - mailprobe_mailbox_oldest_waiting_timestamp_seconds{` + which + `}`
}

// ofMaxAge is that age as a share of watch_max_age.
func ofMaxAge(which string) string {
	return `(` + oldestWaits(which) + `) / mailprobe_mailbox_watch_max_age_seconds{` + which + `}`
}

func quotaUsed(which string) string {
	return `mailprobe_mailbox_quota_used_bytes{` + which + `} / mailprobe_mailbox_quota_limit_bytes{` + which + `}`
}

// mailboxes is the row of all watched mailboxes.
func mailboxes() section {
	return section{"Mailboxes", []line{
		{9, []panel{watchedMailboxes()}},
		{8, []panel{
			graph("Oldest waiting message, of its limit", "Age of the oldest message that waits to be fetched, as a share of the mailbox's `watch_max_age`. Above 100 % the fetcher has stopped, is too slow, or one message blocks it.", "percentunit",
				[]query{{expr: ofMaxAge("@connection"), legend: "{{connection}}"}}, with("noValue", "No message waits")),
			graph("Waiting messages", "Messages that wait to be fetched. A line that only climbs means that the fetcher has stopped.", "none",
				[]query{{expr: `mailprobe_mailbox_waiting_messages{@connection}`, legend: "{{connection}}"}}, with("noValue", notWatched)),
			graph("Arrivals", "Messages that arrived, an hour.", "none",
				[]query{{expr: `3600 * rate(mailprobe_mailbox_arrivals_total{@connection}[$__rate_interval])`, legend: "{{connection}}"}}, with("noValue", notWatched)),
		}},
	}}
}

func watchedMailboxes() panel {
	share := func(orange, red float64) object {
		return object{"unit": "percentunit", "decimals": 0, "min": 0, "max": 1, "custom.width": 140,
			"custom.cellOptions": object{"type": "gauge", "mode": "basic"}, "thresholds": thresholds("green", orange, "orange", red, "red")}
	}
	return table("Watched mailboxes", "Every mailbox that is watched: how many messages wait, how old the oldest is against its limit, how many are in the mailbox, when the newest arrived, and the quota where the server tells it.",
		[]query{
			{expr: perConnection(placed(`mailprobe_mailbox_watch_max_age_seconds{@connection}`), ", place")},
			{expr: perConnection(`mailprobe_mailbox_waiting_messages{@connection}`, "")},
			{expr: perConnection(oldestWaits("@connection"), "")},
			{expr: perConnection(ofMaxAge("@connection"), "")},
			{expr: perConnection(`mailprobe_mailbox_messages{@connection}
and on (`+identity+`)
mailprobe_mailbox_watch_max_age_seconds{@connection}`, "")},
			{expr: perConnection(`time() - mailprobe_mailbox_newest_message_timestamp_seconds{@connection}`, "")},
			{expr: perConnection(quotaUsed("@connection"), "")},
			{expr: perConnection(`mailprobe_mailbox_size_bytes{@connection}`, "")},
		},
		[]column{
			{"connection", "Connection", object{"custom.width": 190, "links": []object{toBoard, toStatusPage}}},
			{"protocol", "Protocol", wide(80)},
			{"Value #B", "Waiting", figure("none", 85)},
			{"Value #C", "Oldest waits", figure("s", 120)},
			{"Value #A", "Limit", figure("s", 90)},
			{"Value #D", "Of its limit", share(0.5, 1)},
			{"Value #E", "Messages", figure("none", 95)},
			{"Value #F", "Newest arrived ago", figure("s", 150)},
			{"Value #G", "Quota used", share(0.8, 0.9)},
			{"Value #H", "Size", figure("bytes", 100)},
			{"place", "mailprobe", nil},
			{"instance", "", nil}, {"mailprobe", "", nil}, {"job", "", nil},
		}, with("noValue", notWatched), sorted("-Of its limit", "Connection"))
}

// watchedMailbox is the row of the one connection.
func watchedMailbox() section {
	return section{"Watched mailbox", []line{
		{4, []panel{
			stat("Waiting", "Messages that wait to be fetched: the unread ones with `watch: unread`, all of them with `watch: all`.", "none",
				`mailprobe_mailbox_waiting_messages{@one}`, steps("text"), absent("Not watched")),
			stat("Oldest waits", "Age of the oldest message that waits; with POP3, since mailprobe first saw it.", "s",
				oldestWaits("@one"), steps("text"), absent("None waits")),
			stat("Of its limit", "That age as a share of `watch_max_age`.", "percentunit",
				ofMaxAge("@one"), with("decimals", 0), steps("green", 0.5, "orange", 1, "red"), absent("None waits")),
			stat("Newest arrived ago", "Time since the newest message arrived.", "s",
				`time() - mailprobe_mailbox_newest_message_timestamp_seconds{@one}`, steps("text"), absent("Unknown")),
			stat("Quota used", "Share of the mailbox's quota that is used, where the server tells it.", "percentunit",
				quotaUsed("@one"), with("decimals", 0), steps("green", 0.8, "orange", 0.9, "red"), absent("Not told")),
		}},
		{8, []panel{
			graph("Oldest waiting message", "Age of the oldest message that waits, and the configured limit.", "s",
				[]query{
					{expr: oldestWaits("@one"), legend: "oldest"},
					{expr: `mailprobe_mailbox_watch_max_age_seconds{@one}`, legend: "limit"},
				}, coloured("oldest", "blue"), coloured("limit", "red"), with("noValue", "Not watched")),
			graph("Waiting and unread", "Messages that wait to be fetched, and unread messages where the server tells them.", "none",
				[]query{
					{expr: `mailprobe_mailbox_waiting_messages{@one}`, legend: "waiting"},
					{expr: `mailprobe_mailbox_unread_messages{@one}`, legend: "unread"},
				}, with("noValue", "Not watched")),
			graph("Arrivals", "Messages that arrived, an hour.", "none",
				[]query{{expr: `3600 * rate(mailprobe_mailbox_arrivals_total{@one}[$__rate_interval])`, legend: "arrived"}}, with("noValue", "Not watched")),
		}},
	}}
}
