package main

// This file holds what the overview shows of routes: messages that mailprobe
// sends through one connection and looks for through another.

const noRoute = "No route is configured"

var toRoutes = object{"title": "Page of the routes", "targetBlank": true, "url": "${mailprobe_url}/routes"}

// perRoute drops every label that could differ between two queries about one
// route, so that a table can merge their rows.
func perRoute(expr, more string) string {
	return "max by (" + routeIdentity + more + ") (" + expr + ")"
}

func legNow(leg string) query {
	return query{expr: perRoute(`mailprobe_route_leg_duration_seconds{@exporter, leg="`+leg+`"}`, "")}
}

// routes is the row of all routes.
func routes() section {
	return section{"Routes", []line{
		{8, []panel{allRoutes()}},
		{6, []panel{failingRoutes()}},
		{8, []panel{
			graph("Delivery time by leg", "Time that the last message of each route spent on each leg: until the sending server took it (submit), and from then until it was seen (transfer).", "s",
				[]query{{expr: `mailprobe_route_leg_duration_seconds{@exporter, leg=~"submit|transfer"}`, legend: "{{route}} {{leg}}"}}, with("noValue", noRoute)),
			timeline("Routes over time", "Whether the last message of each route arrived as configured.", routeWords,
				[]query{{expr: `mailprobe_route_up{@exporter}`, legend: "{{route}}"}}, with("noValue", noRoute)),
			graph("Messages that failed", "Messages that did not arrive as configured, an hour, by reason: lost, late, filed as spam and others.", "none",
				[]query{{expr: `3600 * sum by (route, reason) (rate(mailprobe_route_failures_total{@exporter}[$__rate_interval]))`, legend: "{{route}} {{reason}}"}},
				stacked("bars"), shades("red"), with("noValue", "None in this time")),
		}},
	}}
}

var (
	routeWords  = []valueWord{{"0", "Broken", "red"}, {"1", "Works", "green"}}
	folderWords = object{"inbox": object{"text": "Inbox", "color": "green", "index": 0}, "junk": object{"text": "Junk", "color": "orange", "index": 1}, "other": object{"text": "Other", "color": "orange", "index": 2}}
)

func allRoutes() panel {
	state := object{"mappings": mappings(routeWords), "custom.cellOptions": object{"type": "color-background", "mode": "basic"},
		"custom.align": "center", "custom.width": 80}
	folder := object{"mappings": []object{{"type": "value", "options": folderWords}}, "custom.cellOptions": object{"type": "color-text"}, "custom.width": 80}
	count := func(expr string) query { return query{expr: perRoute(expr, "")} }
	return table("Routes", "Every route: whether its last message arrived as configured, how long each leg took, where it was filed, and what was sent, delivered, lost and late in the shown time.",
		[]query{
			count(`mailprobe_route_up{@exporter}`),
			legNow("submit"), legNow("transfer"), legNow("total"),
			{expr: perRoute(`mailprobe_route_folder_info{@exporter}`, ", folder")},
			count(`increase(mailprobe_route_sent_total{@exporter}[$__range])`),
			count(`increase(mailprobe_route_delivered_total{@exporter}[$__range])`),
			count(`increase(mailprobe_route_lost_total{@exporter}[$__range])`),
			count(`increase(mailprobe_route_failures_total{@exporter, reason="late"}[$__range])`),
			count(`mailprobe_route_in_flight{@exporter}`),
			count(`mailprobe_route_left_behind{@exporter}`),
			count(`time() - max_over_time(mailprobe_route_last_success_timestamp_seconds{@exporter}[$__range])`),
			count(`mailprobe_route_hops{@exporter}`),
			count(`mailprobe_route_interval_seconds{@exporter}`),
		},
		[]column{
			{"route", "Route", object{"custom.width": 200, "links": []object{toRoutes}}},
			{"Value #A", "State", state},
			{"Value #B", "Submit", figure("s", 90)},
			{"Value #C", "Transfer", figure("s", 90)},
			{"Value #D", "Total", figure("s", 90)},
			{"folder", "Filed in", folder},
			{"Value #L", "Worked ago", figure("s", 110)},
			{"Value #F", "Sent", tally(75)},
			{"Value #G", "Delivered", tally(95)},
			{"Value #H", "Lost", tally(75)},
			{"Value #I", "Late", tally(75)},
			{"Value #J", "In flight", tally(90)},
			{"Value #K", "Left behind", tally(110)},
			{"Value #M", "Hops", tally(75)},
			{"Value #N", "Sent each", figure("s", 95)},
			{"instance", "mailprobe", nil},
			{"mailprobe", "", nil}, {"job", "", nil}, {"Value #E", "", nil},
		}, with("noValue", noRoute), sorted("State", "Route"))
}

// tally is the looks of a column of counts: increase() may give fractions.
func tally(pixels int) object {
	return object{"unit": "none", "decimals": 0, "custom.width": pixels}
}

func failingRoutes() panel {
	const failing = `mailprobe_route_failure_info{@exporter}`
	return table("Where routes fail", "Every route whose last message did not arrive as configured: the leg it failed on, the reason, what that means and what to do about it, and the labels that you gave the route. Meaning and advice come from mailprobe's recording rules.",
		[]query{{expr: withOwnLabels(`route:mailprobe_route_failure:info{@exporter}
and on (` + routeIdentity + `, leg, reason)
` + failing + `
or on (` + routeIdentity + `)
` + failing)}},
		[]column{
			{"route", "Route", object{"custom.width": 200, "links": []object{toRoutes}}},
			{"leg", "Leg", wide(90)},
			{"reason", "Reason", wide(180)},
			{"meaning", "Meaning", wrapped(460)},
			{"advice", "What to do", wrapped(620)},
			{"instance", "mailprobe", nil},
			{"mailprobe", "", nil}, {"job", "", nil}, {"Value", "", nil},
		}, with("noValue", "Every route works"), sorted("Route"))
}
