package main

import (
	"fmt"

	"mailprobe/mail"
)

// oneBoard shows a single connection from its state down to its mailbox.
func oneBoard() dashboard {
	return newBoard(connectionUID, "mailprobe / Connection",
		"One mail connection: its state and why, where its time goes, its certificate, its logins and its mailbox.").
		showing(oneConnection(), `ALERTS{@alerts, alertstate="firing", connection="$connection"} or ALERTS{@alerts, alertstate="firing", connection=""}`, []section{
			{"State", []line{{4, stateFigures()}, {4, []panel{whyItFails()}}, {4, levelFigures()}, {4, []panel{upTimeline()}}}},
			{"Time", []line{{9, timeSpent()}, {9, distributions()}}},
			{"TLS and certificate", []line{{4, certificateFigures()}, {6, certificateOverTime()}}},
			{"Login", []line{{4, loginFigures()}, {7, loginOverTime()}}},
			watchedMailbox(),
			{"Mailbox and configuration", []line{{7, mailboxAndFacts()}}},
		})
}

func stateFigures() []panel {
	return []panel{
		stat("State", "Whether the last probe reached the end of its plan.", "none",
			`mailprobe_up{@one}`, mapped(stateWords...)),
		stat("Available", "Share of the shown time in which the connection worked.", "percentunit",
			`avg_over_time(mailprobe_up{@one}[$__range])`, with("decimals", 2), steps("red", 0.99, "orange", 0.995, "green")),
		stat("Last probe took", "Duration of the last probe as a whole.", "s",
			`mailprobe_last_probe_duration_seconds{@one}`, steps("text")),
		stat("Of its time-out", "Share of the time-out that the last probe used.", "percentunit",
			ofTimeout("@one"),
			with("decimals", 1), steps("green", 0.5, "orange", 0.8, "red")),
		stat("Probed ago", "Time since the last probe ended.", "s",
			`time() - mailprobe_last_probe_timestamp_seconds{@one}`, steps("text")),
		stat("Worked ago", "Time since the last probe that succeeded; no value if none has in the shown time.", "s",
			`time() - `+lastSuccess("@one"), steps("text"), absent("Not in this time")),
	}
}

func levelFigures() []panel {
	return []panel{
		stat("Available in 30 days", "Share of the last 30 days in which the connection worked; in the first days, of the time since mailprobe began. From mailprobe's recording rules.", "percentunit",
			`connection:mailprobe_up:avg30d{@one}`, with("decimals", 3), steps("text"), absent("Not recorded yet")),
		stat("Error budget left", "What is left of the error budget of 30 days; negative when more than all of it is used. The budget is what the objective in mailprobe-recording.yml allows.", "percentunit",
			budgetLeft("@one"), with("decimals", 0), steps("red", 0, "orange", 0.25, "green"), absent("Not recorded yet")),
		stat("Failed in this time", "Time in which the connection did not work, of the shown time.", "s",
			`(1 - avg_over_time(mailprobe_up{@one}[$__range])) * $__range_s`, steps("text")),
	}
}

func upTimeline() panel {
	return timeline("State over time", "Up or down over time.", stateWords,
		[]query{{expr: `mailprobe_up{@one}`, legend: "{{connection}} {{mailprobe}}"}})
}

func whyItFails() panel {
	return table("Why it fails", "The phase the last probe failed in, the reason, what that means and what to do about it. The last two come from mailprobe's recording rules.",
		[]query{failureTexts("@one")},
		[]column{
			{"phase", "Phase", wide(90)},
			{"reason", "Reason", wide(190)},
			{"meaning", "Meaning", wrapped(480)},
			{"advice", "What to do", wrapped(680)},
			{"connection", "Status page", object{"links": []object{toStatusPage}}},
			{"protocol", "", nil}, {"instance", "", nil}, {"mailprobe", "", nil}, {"job", "", nil}, {"Value", "", nil},
		}, with("noValue", "It works"))
}

// timeSpent has a query for each phase: one query would return them in alphabetical
// order.
func timeSpent() []panel {
	var phases []query
	for _, phase := range mail.Phases() {
		phases = append(phases, query{legend: "{{phase}}",
			expr: fmt.Sprintf(`mailprobe_phase_duration_seconds{@one, phase="%s"}`, phase)})
	}
	return []panel{
		graph("Phases", "Where the time of each probe goes, phase by phase, in the order of a conversation.", "s",
			phases, stacked("line"), width(16)),
		bars("Phases of the last probe", "Time spent in each phase by the last probe, the longest first.", "s",
			`sort_desc(mailprobe_phase_duration_seconds{@one})`, "{{phase}}", plain()),
	}
}

func distributions() []panel {
	one := chosen + `, connection="$connection"`
	return []panel{
		heatmap("TLS handshakes", "How long completed TLS handshakes took, those at the start of the connection and those after STARTTLS.",
			anyHistogram("mailprobe_tls_handshake_duration_seconds", one, itself), with("noValue", "None completed in this time")),
		heatmap("Probes", "How long whole probes took, good and bad ones.",
			anyHistogram("mailprobe_probe_duration_seconds", one, itself)),
	}
}

func certificateFigures() []panel {
	return []panel{
		stat("Certificate left", "Time until the certificate chain that clients rely on expires; negative when it has expired.", "s",
			certificateLeft("@one"), with("decimals", 1), steps("text"), absent("None seen")),
		stat("Renewal", "Due 21 days before the certificate's end, or in the last third of its lifetime where that is shorter; urgent 7 days before, or in the last tenth.", "none",
			certificateState("@one"), mapped(renewalWords...), absent("None seen")),
		stat("Certificate", "Whether chain, name, dates and key size of the presented certificate were checked and right.", "none",
			`mailprobe_tls_certificate_verified{@one}`, mapped(verifiedWords...), absent("None seen")),
		word("TLS version", "TLS version of the last completed handshake.",
			`mailprobe_tls_info{@one}`, "{{version}}", steps("text"), absent("None")),
		word("Cipher suite", "Cipher suite of the last completed handshake.",
			`mailprobe_tls_info{@one}`, "{{cipher}}", steps("text"), absent("None"), width(7)),
	}
}

func certificateOverTime() []panel {
	return []panel{
		graph("Certificate left over time", "Time until the certificate expires; each renewal is a step up. Two levels in turn are two servers behind one name.", "s",
			[]query{{expr: certificateLeft("@one"), legend: "{{connection}} {{mailprobe}}"}}, belowZero, with("noValue", "None seen in this time")),
		table("Certificate seen", "SHA-256 fingerprint of the server's own certificate, as the last probe saw it.",
			[]query{{expr: perConnection(`mailprobe_tls_certificate_info{@one}`, ", fingerprint_sha256")}},
			[]column{
				{"fingerprint_sha256", "SHA-256 fingerprint", wide(560)},
				{"instance", "Instance", nil},
				{"mailprobe", "mailprobe", nil},
				{"connection", "", nil}, {"protocol", "", nil}, {"job", "", nil}, {"Value", "", nil},
			}, with("noValue", "None seen by the last probe")),
	}
}

func loginFigures() []panel {
	return []panel{
		stat("Login accepted", "Whether the server accepted the login of the last probe; no value if none was tried.", "none",
			`mailprobe_auth_success{@one}`, mapped(yesWords...), absent("Not tried")),
		stat("Login", "Whether mailprobe withholds the login because one was refused, so that the account is not locked.", "none",
			`mailprobe_auth_held{@one}`, mapped(heldWords...), absent("None configured")),
		stat("Next login in", "Time until the next login is allowed; only while logins are withheld. A changed secret is tried at once.", "s",
			`mailprobe_auth_next_attempt_timestamp_seconds{@one} - time()`, steps("orange"), absent("Not withheld")),
		stat("Mailbox opened", "Whether the mailbox was opened, or the sender accepted, by the last probe; no value if it was not tried.", "none",
			`mailprobe_mailbox_success{@one}`, mapped(yesWords...), absent("Not tried")),
	}
}

func loginOverTime() []panel {
	return []panel{
		graph("Logins", "Logins sent to the server, and logins it definitively refused, in each five minutes.", "none",
			[]query{
				{expr: `increase(mailprobe_auth_attempts_total{@one}[5m])`, legend: "sent"},
				{expr: `increase(mailprobe_auth_rejections_total{@one}[5m])`, legend: "refused"},
			}, coloured("sent", "blue"), coloured("refused", "red")),
		timeline("Login withheld over time", "When mailprobe withheld the login because one was refused.", heldWords,
			[]query{{expr: `mailprobe_auth_held{@one}`, legend: "{{connection}} {{mailprobe}}"}}, with("noValue", "None configured")),
		graph("Failures by reason", "Failed probes a minute, by reason.", "cpm",
			[]query{{expr: `60 * sum by (reason) (rate(mailprobe_probe_failures_total{@one}[$__rate_interval]))`, legend: "{{reason}}"}},
			stacked("bars"), shades("red"), with("noValue", "No failures")),
	}
}

func mailboxAndFacts() []panel {
	return []panel{
		graph("Messages", "Messages in the mailbox, as the last probe saw it (IMAP EXISTS, POP3 STAT). A line that only climbs means that no program fetches the mail.", "none",
			[]query{{expr: `mailprobe_mailbox_messages{@one}`, legend: "{{connection}} {{mailprobe}}"}}, with("noValue", "Not counted")),
		table("Configuration", "What is configured for this connection, with the labels that you gave it; never a user name.",
			[]query{
				{expr: withOwnLabels(`mailprobe_connection_info{@one}`)},
				{expr: perConnection(`mailprobe_effective_port{@one}`, "")},
				{expr: perConnection(`mailprobe_interval_seconds{@one}`, "")},
				{expr: perConnection(`mailprobe_timeout_seconds{@one}`, "")},
			},
			[]column{
				{"protocol", "Protocol", wide(80)},
				{"host", "Host", nil},
				{"Value #B", "Port", object{"unit": "none", "decimals": 0, "custom.width": 70}},
				{"encryption", "Encryption", wide(95)},
				{"auth", "Login by", wide(110)},
				{"shared_mailbox_access", "Shared mailbox by", wide(150)},
				{"ip_protocol", "IP", wide(60)},
				{"Value #C", "Interval", figure("s", 85)},
				{"Value #D", "Time-out", figure("s", 85)},
				{"connection", "", nil}, {"instance", "", nil}, {"mailprobe", "", nil}, {"job", "", nil}, {"Value #A", "", nil},
			}),
	}
}
