package main

// oneBoard shows a single connection from its state down to its mailbox.
func oneBoard() dashboard {
	return newBoard(connectionUID, "mailprobe / Connection",
		"One mail connection: its state and why, where its time goes, its certificate, its logins and its mailbox.",
		oneConnection(), []section{
			{"State", []line{{4, stateFigures()}, {4, []panel{upTimeline()}}, {5, []panel{whyItFails()}}}},
			{"Time", []line{{9, timeSpent()}, {9, distributions()}}},
			{"TLS and certificate", []line{{4, certificateFigures()}, {6, certificateOverTime()}}},
			{"Login", []line{{4, loginFigures()}, {7, loginOverTime()}}},
			{"Mailbox and configuration", []line{{7, mailboxAndFacts()}}},
		})
}

func stateFigures() []panel {
	return []panel{
		stat("State", "Whether the last probe reached the end of its plan.", "none",
			`mailprobe_up{@connection}`, mapped(stateWords...)),
		stat("Available", "Share of the shown time in which the connection worked.", "percentunit",
			`avg_over_time(mailprobe_up{@connection}[$__range])`, with("decimals", 2), steps("red", 0.99, "orange", 0.995, "green")),
		stat("Last probe took", "Duration of the last probe as a whole.", "s",
			`mailprobe_last_probe_duration_seconds{@connection}`, steps("text")),
		stat("Of its time-out", "Share of the time-out that the last probe used.", "percentunit",
			`mailprobe_last_probe_duration_seconds{@connection} / mailprobe_timeout_seconds{@connection}`,
			with("decimals", 1), steps("green", 0.5, "orange", 0.8, "red")),
		stat("Probed ago", "Time since the last probe ended.", "s",
			`time() - mailprobe_last_probe_timestamp_seconds{@connection}`, steps("text")),
		stat("Worked ago", "Time since the last probe that succeeded; no value if none has since mailprobe started.", "s",
			`time() - mailprobe_last_success_timestamp_seconds{@connection}`, steps("text"), with("noValue", "Never")),
	}
}

func upTimeline() panel {
	return timeline("State over time", "Up or down over time.", stateWords,
		[]query{{expr: `mailprobe_up{@connection}`, legend: "{{connection}}"}})
}

func whyItFails() panel {
	return table("Why it fails", "The phase the last probe failed in, the reason, what that means and what to do about it. The last two come from mailprobe's recording rules.",
		[]query{{expr: withWords}},
		[]column{
			{"phase", "Phase", nil},
			{"reason", "Reason", nil},
			{"meaning", "Meaning", object{"custom.width": 420}},
			{"advice", "Advice", object{"custom.width": 640}},
			{"connection", "Transcript", connectionLinks()},
			{"protocol", "", nil}, {"instance", "", nil}, {"job", "", nil}, {"__name__", "", nil}, {"Value", "", nil},
		}, with("noValue", "It works"))
}

func timeSpent() []panel {
	return []panel{
		graph("Phases", "Where the time of each probe goes, phase by phase, in the order of a conversation.", "s",
			[]query{{expr: `mailprobe_phase_duration_seconds{@connection}`, legend: "{{phase}}"}}, stacked("line"), width(16)),
		bars("Phases of the last probe", "Time spent in each phase by the last probe.", "s",
			`sort_desc(mailprobe_phase_duration_seconds{@connection})`, "{{phase}}"),
	}
}

func distributions() []panel {
	one := `job=~"$job", instance=~"$instance", connection=~"$connection"`
	return []panel{
		heatmap("TLS handshakes", "How long completed TLS handshakes took, those at the start of the connection and those after STARTTLS.",
			anyHistogram("mailprobe_tls_handshake_duration_seconds", one, itself)),
		heatmap("Probes", "How long whole probes took, good and bad ones.",
			anyHistogram("mailprobe_probe_duration_seconds", one, itself)),
	}
}

func certificateFigures() []panel {
	return []panel{
		stat("Certificate left", "Time until the first certificate of the presented chain expires; negative when it has expired.", "s",
			certificateLeft, with("decimals", 1), steps("red", 7*86400, "orange", 21*86400, "green"), with("noValue", "No TLS")),
		stat("Certificate", "Whether chain, name, dates and key size of the presented certificate were checked and right.", "none",
			`mailprobe_tls_certificate_verified{@connection}`, mapped(verifiedWords...), with("noValue", "No TLS")),
		word("TLS version", "TLS version of the last completed handshake.",
			`mailprobe_tls_info{@connection}`, "{{version}}", steps("text"), with("noValue", "No TLS")),
		word("Cipher suite", "Cipher suite of the last completed handshake.",
			`mailprobe_tls_info{@connection}`, "{{cipher}}", steps("text"), with("noValue", "No TLS"), width(8)),
	}
}

func certificateOverTime() []panel {
	return []panel{
		graph("Certificate left over time", "Time until the certificate expires; each renewal is a step up. Two levels in turn are two servers behind one name.", "s",
			[]query{{expr: certificateLeft, legend: "{{connection}}"}}),
		table("Certificate and TLS seen", "SHA-256 fingerprint of the server's own certificate, as the last probe saw it.",
			[]query{{expr: `mailprobe_tls_certificate_info{@connection}`}},
			[]column{
				{"fingerprint_sha256", "SHA-256 fingerprint", nil},
				{"instance", "Instance", nil},
				{"connection", "", nil}, {"protocol", "", nil}, {"job", "", nil}, {"__name__", "", nil}, {"Value", "", nil},
			}, with("noValue", "No TLS")),
	}
}

func loginFigures() []panel {
	return []panel{
		stat("Login accepted", "Whether the server accepted the login of the last probe; no value if none was tried.", "none",
			`mailprobe_auth_success{@connection}`, mapped(yesWords...), with("noValue", "Not tried")),
		stat("Login", "Whether mailprobe withholds the login because one was refused, so that the account is not locked.", "none",
			`mailprobe_auth_held{@connection}`, mapped(heldWords...), with("noValue", "None configured")),
		stat("Next login in", "Time until the next login is allowed; only while logins are withheld. A changed secret is tried at once.", "s",
			`mailprobe_auth_next_attempt_timestamp_seconds{@connection} - time()`, steps("orange"), with("noValue", "Free")),
		stat("Mailbox opened", "Whether the mailbox was opened, or the sender accepted, by the last probe; no value if it was not tried.", "none",
			`mailprobe_mailbox_success{@connection}`, mapped(yesWords...), with("noValue", "Not tried")),
	}
}

func loginOverTime() []panel {
	return []panel{
		graph("Logins", "Logins sent to the server, and logins it definitively refused, in each five minutes.", "none",
			[]query{
				{expr: `increase(mailprobe_auth_attempts_total{@connection}[5m])`, legend: "sent"},
				{expr: `increase(mailprobe_auth_rejections_total{@connection}[5m])`, legend: "refused"},
			}),
		timeline("Login withheld over time", "When mailprobe withheld the login because one was refused.", heldWords,
			[]query{{expr: `mailprobe_auth_held{@connection}`, legend: "{{connection}}"}}, with("noValue", "None configured")),
		graph("Failures by reason", "Failed probes a second, by reason.", "cps",
			[]query{{expr: `sum by (reason) (rate(mailprobe_probe_failures_total{@connection}[$__rate_interval]))`, legend: "{{reason}}"}},
			stacked("bars"), with("noValue", "No failures")),
	}
}

func mailboxAndFacts() []panel {
	return []panel{
		graph("Messages", "Messages in the mailbox, as the last probe saw it (IMAP EXISTS, POP3 STAT). A mailbox that only grows is one that nobody fetches.", "none",
			[]query{{expr: `mailprobe_mailbox_messages{@connection}`, legend: "{{connection}}"}}, with("noValue", "Not counted")),
		table("Configuration", "What is configured for this connection; never a user name.",
			[]query{
				{expr: perConnection(`mailprobe_connection_info{@connection}`, ", host, encryption, auth, shared_mailbox_access, ip_protocol")},
				{expr: perConnection(`mailprobe_effective_port{@connection}`, "")},
				{expr: perConnection(`mailprobe_interval_seconds{@connection}`, "")},
				{expr: perConnection(`mailprobe_timeout_seconds{@connection}`, "")},
			},
			[]column{
				{"protocol", "Protocol", nil},
				{"host", "Host", nil},
				{"Value #B", "Port", object{"unit": "none", "decimals": 0}},
				{"encryption", "Encryption", nil},
				{"auth", "Login by", nil},
				{"shared_mailbox_access", "Shared mailbox by", nil},
				{"ip_protocol", "IP", nil},
				{"Value #C", "Interval", unit("s")},
				{"Value #D", "Time-out", unit("s")},
				{"connection", "", nil}, {"instance", "", nil}, {"job", "", nil}, {"Value #A", "", nil},
			}),
	}
}
