package main

// overview is the board of all connections: first what fails and why, then each
// connection, then mailprobe itself.
func overview() dashboard {
	return newBoard(overviewUID, "mailprobe / Overview",
		"Which mail connections work, which do not and why, and whether mailprobe keeps its schedule.").
		showing(filteredConnections(), `ALERTS{@alerts, alertstate="firing", connection=~"$connection|"}`, []section{
			{"Now", []line{{4, nowFigures()}, {10, []panel{failingNow()}}, {8, []panel{firingAlerts()}}}},
			{"Connections", []line{
				{9, []panel{failedTimeline()}},
				{12, []panel{allConnections()}},
			}},
			{"Speed and failures", []line{{9, speedAndFailures()}, {8, overTime()}}},
			{"Service level", []line{{4, thirtyDays()}, {7, serviceLevel()}}},
			mailboxes(),
			routes(),
			{"mailprobe itself", []line{{7, scheduleHealth()}, {4, configurationState()}}},
		})
}

func nowFigures() []panel {
	return []panel{
		stat("Up", "Connections whose last probe reached the end of its plan.", "none",
			`sum(mailprobe_up{@connection})`, steps("red", 1, "green")),
		stat("Configured", "Connections in the configuration, also those that were not probed yet.", "none",
			`count(mailprobe_interval_seconds{@connection})`, steps("text")),
		stat("Failing", "Connections whose last probe failed.", "none",
			`sum(1 - mailprobe_up{@connection})`, steps("green", 1, "red")),
		stat("Available", "Share of the shown time in which the connections worked, averaged over all of them.", "percentunit",
			`avg(avg_over_time(mailprobe_up{@connection}[$__range]))`,
			with("decimals", 2), steps("red", 0.99, "orange", 0.995, "green")),
		stat("Next certificate to expire", "Time until the first of all certificates expires; negative when one has expired.", "s",
			`min(`+certificateLeft("@connection")+`)`, with("decimals", 1), steps("text"), absent("None seen")),
		stat("Certificates", "The state of the certificate that is most due: 21 days before its end, or in the last third of its lifetime where that is shorter, it is due; 7 days before, or in the last tenth, urgent.", "none",
			`max(`+certificateState("@connection")+`)`, mapped(renewalWords...), absent("None seen")),
		stat("Logins withheld", "Connections whose login was refused. mailprobe does not repeat a refused login at once, so that the account is not locked.", "none",
			`sum(mailprobe_auth_held{@connection})`, steps("green", 1, "orange"), absent("No logins")),
		stat("Configuration", "Whether the last attempt to load the configuration succeeded, on every exporter.", "none",
			`min(mailprobe_config_last_reload_successful{@exporter})`,
			mapped(valueWord{"0", "Rejected", "red"}, valueWord{"1", "Loaded", "green"})),
	}
}

func failingNow() panel {
	worked := object{"unit": "dateTimeFromNow", "noValue": "Not in this time", "custom.align": "left", "custom.width": 130}
	failing := `
and on (` + identity + `)
mailprobe_failure_info{@connection}`
	return table("Failing now", "Every connection whose last probe failed, the newest failure first: when it last worked in the shown time, its host and port, the phase it failed in, the reason, what that means and what to do about it, and the labels that you gave it. Meaning and advice come from mailprobe's recording rules.",
		[]query{
			failureTexts("@connection"),
			{expr: perConnection(`1000 * `+lastSuccess("@connection")+failing, "")},
			{expr: perConnection(placed(`(mailprobe_connection_info{@connection}`+failing+`)`), ", host, place")},
			{expr: perConnection(`last_over_time(mailprobe_effective_port{@connection}[$__range])`+failing, "")},
		},
		[]column{
			{"connection", "Connection", object{"custom.width": 165, "links": []object{toBoard, toStatusPage}}},
			{"Value #B", "Worked last", worked},
			{"protocol", "Protocol", wide(75)},
			{"host", "Host", wide(170)},
			{"Value #D", "Port", object{"unit": "none", "decimals": 0, "custom.width": 60}},
			{"phase", "Phase", wide(80)},
			{"reason", "Reason", wide(150)},
			{"meaning", "Meaning", wrapped(340)},
			{"advice", "What to do", wrapped(440)},
			{"place", "mailprobe", nil},
			{"instance", "", nil}, {"mailprobe", "", nil}, {"job", "", nil}, {"Value #A", "", nil}, {"Value #C", "", nil},
		}, with("noValue", "Everything works"), sorted("-Worked last", "Connection"))
}

// firingAlerts also lists alerts about no connection: they have no such label.
func firingAlerts() panel {
	const firing = `ALERTS{@alerts, alertstate="firing", connection=~"$connection|"}`
	began := object{"unit": "dateTimeFromNow", "custom.align": "left", "custom.width": 130}
	severity := object{"custom.width": 90, "custom.cellOptions": object{"type": "color-text"}, "mappings": []object{
		{"type": "value", "options": object{"critical": object{"color": "red", "index": 0}, "warning": object{"color": "orange", "index": 1}}}}}
	return table("Firing alerts", "The alerts of mailprobe that fire now, the critical ones first, and since when their condition holds. It needs mailprobe's alerting rules.",
		[]query{
			{expr: withOwnLabels(firing)},
			{expr: "1000 * " + withOwnLabels(`ALERTS_FOR_STATE{@alerts, connection=~"$connection|"}
and ignoring (alertstate)
`+firing)},
		},
		[]column{
			{"severity", "Severity", severity},
			{"alertname", "Alert", wide(270)},
			{"connection", "Connection", object{"custom.width": 190, "links": []object{toBoard, toStatusPage}}},
			{"route", "Route", wide(170)},
			{"Value #B", "Since", began},
			{"protocol", "Protocol", wide(80)},
			{"host", "Host", nil},
			{"scope", "All of", wide(80)},
			{"window", "Window", wide(80)},
			{"instance", "Instance", nil},
			{"mailprobe", "mailprobe", nil},
			{"job", "Job", wide(110)},
			{"alertstate", "", nil}, {"Value #A", "", nil},
		}, with("noValue", "No alert fires"), sorted("Severity", "-Since"))
}

func failedTimeline() panel {
	return timeline("Connections that failed in this time", "Up or down over time, for the connections that were down at least once in the shown time.",
		stateWords, []query{{legend: "{{connection}}", expr: `mailprobe_up{@connection}
and on (` + identity + `)
(min_over_time(mailprobe_up{@connection}[$__range] @ end()) == 0)`}},
		with("noValue", "No connection failed in this time"))
}

func phaseNow(phase string) query {
	return query{expr: perConnection(`mailprobe_phase_duration_seconds{@connection, phase="`+phase+`"}`, "")}
}

func allConnections() panel {
	// Without min and max, a gauge takes its ends from all figures of the table; the
	// seconds until a certificate expires would be the largest by far.
	gauge := object{"unit": "percentunit", "decimals": 0, "min": 0, "max": 1, "custom.width": 140,
		"custom.cellOptions": object{"type": "gauge", "mode": "basic"}, "thresholds": thresholds("green", 0.5, "orange", 0.8, "red")}
	renewal := object{"mappings": mappings(renewalWords), "custom.cellOptions": object{"type": "color-text"}, "custom.width": 80}
	state := object{"mappings": mappings(stateWords), "custom.cellOptions": object{"type": "color-background", "mode": "basic"},
		"custom.align": "center", "custom.width": 70}
	return table("All connections", "The last probe of every connection, failed ones first: state, duration as a whole and by phase, certificate, TLS version, and how long ago it was.",
		[]query{
			{expr: perConnection(`mailprobe_up{@connection}`, "")},
			{expr: perConnection(`mailprobe_last_probe_duration_seconds{@connection}`, "")},
			phaseNow("connect"), phaseNow("tls"), phaseNow("auth"), phaseNow("mailbox"),
			{expr: perConnection(certificateLeft("@connection"), "")},
			{expr: perConnection(`mailprobe_tls_info{@connection}`, ", version")},
			{expr: perConnection(`time() - mailprobe_last_probe_timestamp_seconds{@connection}`, "")},
			{expr: perConnection(placed(`mailprobe_connection_info{@connection}`), ", host, encryption, place")},
			{expr: perConnection(`mailprobe_effective_port{@connection}`, "")},
			{expr: perConnection(ofTimeout("@connection"), "")},
			{expr: perConnection(certificateState("@connection"), "")},
		},
		[]column{
			{"connection", "Connection", object{"custom.width": 180, "links": []object{toBoard, toStatusPage}}},
			{"Value #A", "State", state},
			{"protocol", "Protocol", wide(80)},
			{"host", "Host", nil},
			{"Value #K", "Port", object{"unit": "none", "decimals": 0, "custom.width": 70}},
			{"encryption", "Encryption", wide(90)},
			{"version", "TLS", wide(75)},
			{"Value #B", "Duration", figure("s", 90)},
			{"Value #L", "Of its time-out", gauge},
			{"Value #C", "Connect", figure("s", 90)},
			{"Value #D", "TLS handshake", figure("s", 110)},
			{"Value #E", "Login", figure("s", 90)},
			{"Value #F", "Mailbox", figure("s", 90)},
			{"Value #G", "Certificate left", object{"unit": "s", "decimals": 1, "custom.width": 115}},
			{"Value #M", "Renewal", renewal},
			{"Value #I", "Probed ago", figure("s", 95)},
			{"place", "mailprobe", nil},
			{"instance", "", nil}, {"mailprobe", "", nil}, {"job", "", nil}, {"Value #H", "", nil}, {"Value #J", "", nil},
		}, sorted("State", "Connection"))
}

func speedAndFailures() []panel {
	return []panel{
		bars("Slowest connections", "The ten connections whose last probe took longest.", "s",
			`topk(10, mailprobe_last_probe_duration_seconds{@connection})`, "{{connection}}", plain()),
		bars("Nearest to their time-out", "The ten connections whose last probe used most of its time-out.", "percentunit",
			`topk(10, `+ofTimeout("@connection")+`)`, "{{connection}}",
			with("max", 1), steps("green", 0.5, "orange", 0.8, "red")),
		graph("Failing by reason", "How many connections fail, by reason.", "none",
			[]query{{expr: `count by (reason) (mailprobe_failure_info{@connection})`, legend: "{{reason}}"}},
			stacked("line"), with("noValue", "No connection failed in this time")),
	}
}

func overTime() []panel {
	all := chosen + `, connection=~"$connection"`
	probes := func(q string) string {
		return quantile(q)("sum(rate(mailprobe_probe_duration_seconds{@connection}[$__rate_interval]))") +
			"\nor\nquantile(" + q + ", mailprobe_last_probe_duration_seconds{@connection})"
	}
	return []panel{
		graph("Probe duration", "Half, 95 and 99 of 100 probes of the chosen connections took no longer than this, good and bad ones; where Prometheus stores no native histograms, of the last probe of each.", "s",
			[]query{{expr: probes("0.5"), legend: "p50"}, {expr: probes("0.95"), legend: "p95"}, {expr: probes("0.99"), legend: "p99"}}),
		heatmap("TLS handshakes", "How long completed TLS handshakes of the chosen connections took.",
			anyHistogram("mailprobe_tls_handshake_duration_seconds", all, itself)),
	}
}

// thirtyDays shows the last 30 days against the objective.
func thirtyDays() []panel {
	return []panel{
		stat("Available in 30 days", "Share of the last 30 days in which the connections worked, averaged over all of them; in the first days, of the time since mailprobe began. From mailprobe's recording rules.", "percentunit",
			`avg(connection:mailprobe_up:avg30d{@connection})`, with("decimals", 2), steps("text"), absent("Not recorded yet")),
		stat("Least of the budget left", "What is left of the error budget of 30 days, for the connection that used most of it; negative when it used more than all. The budget is what the objective in mailprobe-recording.yml allows.", "percentunit",
			`min(`+budgetLeft("@connection")+`)`, with("decimals", 0), steps("red", 0, "orange", 0.25, "green"), absent("Not recorded yet")),
		stat("Without budget", "Connections that used up their error budget of 30 days.", "none",
			`count(`+budgetLeft("@connection")+` <= 0) or 0 * count(`+budgetLeft("@connection")+`)`, steps("green", 1, "red"), absent("Not recorded yet")),
	}
}

// budgetLeft is 1 before the first failure, 0 when the objective is just met.
func budgetLeft(which string) string {
	return "connection:mailprobe_error_budget_left:ratio30d{" + which + "}"
}

func serviceLevel() []panel {
	return []panel{
		bars("Least of the error budget left", "The ten connections with the least left of their error budget of 30 days; empty bars have none left.", "percentunit",
			`bottomk(10, `+budgetLeft("@connection")+`)`, "{{connection}}",
			with("max", 1), with("decimals", 0), steps("red", 0, "orange", 0.25, "green"), with("noValue", "Not recorded yet")),
		bars("Least available", "The ten connections that worked for the smallest share of the shown time.", "percentunit",
			`bottomk(10, avg_over_time(mailprobe_up{@connection}[$__range]))`, "{{connection}}",
			with("max", 1), with("decimals", 2), steps("red", 0.99, "orange", 0.995, "green")),
		graph("Available, five-minute averages", "Share of the chosen connections that worked, averaged over five minutes.", "percentunit",
			[]query{{expr: `avg by (protocol) (avg_over_time(mailprobe_up{@connection}[5m]))`, legend: "{{protocol}}"}}, with("max", 1)),
	}
}

func scheduleHealth() []panel {
	exporter := `job=~"$job", instance=~"$instance"`
	return []panel{
		graph("Probes a second", "Probes made, and scheduled probes left out because the last one still ran or no place was free.", "cps",
			[]query{
				{expr: `sum by (instance) (rate(mailprobe_probes_total{@exporter}[$__rate_interval]))`, legend: "{{instance}} made"},
				{expr: `sum by (instance) (rate(mailprobe_pool_skipped_total{@exporter}[$__rate_interval]))`, legend: "{{instance}} left out"},
			}, coloured("made", "blue"), coloured("left out", "orange")),
		graph("Probes in flight", "Probes running at the same time, as a share of how many may.", "percentunit",
			[]query{{expr: `mailprobe_pool_in_flight{@exporter} / mailprobe_pool_limit{@exporter}`, legend: "{{instance}}"}}, with("max", 1)),
		graph("Start delay", "How much later than scheduled 99 of 100 probes started at most. Timings are to be trusted while this stays small.", "s",
			[]query{{expr: anyHistogram("mailprobe_pool_start_delay_seconds", exporter, quantile("0.99")), legend: "p99"}}),
	}
}

func configurationState() []panel {
	return []panel{
		stat("Configuration loaded ago", "Time since the configuration was last loaded successfully, the longest of all exporters.", "s",
			`max(time() - mailprobe_config_last_reload_success_timestamp_seconds{@exporter})`, steps("text")),
		stat("Oldest result", "Time since the last probe of the connection that was not probed for longest.", "s",
			`max(time() - mailprobe_last_probe_timestamp_seconds{@connection})`, steps("text")),
		word("Version", "Version of mailprobe on the exporters shown, and the Go release that built it.",
			`count by (version, goversion) (mailprobe_build_info{@exporter})`, "{{version}} {{goversion}}", steps("text")),
	}
}
