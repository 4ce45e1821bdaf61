package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"mailprobe/mail"
)

// testRoutes are one that works and one that files mail as spam.
func testRoutes() []*mail.Route {
	return []*mail.Route{
		{Name: "good", Interval: 5 * time.Minute, Deadline: 10 * time.Minute, Labels: []mail.Label{{Name: "team", Value: "x"}}},
		{Name: "spam", Interval: 5 * time.Minute, Deadline: 10 * time.Minute, Labels: []mail.Label{{Name: "team", Value: "y"}}},
	}
}

// routeOutcomes are two messages on each of testRoutes.
func routeOutcomes() []mail.RouteOutcome {
	list := testRoutes()
	good := mail.RouteOutcome{Route: list[0], Seq: 1, Sent: noon, Ended: noon.Add(2 * time.Second), Submit: 100 * time.Millisecond,
		Transfer: 400 * time.Millisecond, Total: 500 * time.Millisecond, Uncertainty: 50 * time.Millisecond,
		Delivered: true, Folder: mail.FolderInbox, Copies: 1, Deleted: 1, Hops: make([]mail.Hop, 2), Trusted: true,
		Authentication: map[mail.SenderCheck]mail.CheckResult{mail.CheckDKIM: mail.ResultPass}}
	lost := mail.RouteOutcome{Route: list[1], Seq: 1, Sent: noon, Ended: noon.Add(10 * time.Minute), Submit: 100 * time.Millisecond,
		Failure: &mail.RouteFailure{Leg: mail.LegTransfer, Reason: mail.NotDelivered}}
	spam := good
	spam.Route, spam.Seq, spam.Folder, spam.Trusted = list[1], 2, mail.FolderJunk, false
	spam.Failure = &mail.RouteFailure{Leg: mail.LegTransfer, Reason: mail.FiledAsSpam}
	return []mail.RouteOutcome{good, lost, spam}
}

func TestRouteMetrics(t *testing.T) {
	m := newRoutes(func(route string) mail.RouteCounts {
		if route == "good" {
			return mail.RouteCounts{}
		}
		return mail.RouteCounts{InFlight: 2, Oldest: noon, Left: 3}
	})
	m.observe(routeOutcomes()[0]) // of a route that is not configured yet: ignored
	m.set(testRoutes())
	refused := mail.RouteOutcome{Route: testRoutes()[0], Failure: &mail.RouteFailure{Leg: mail.LegSubmit, Reason: mail.RefusedContent}, Submit: time.Second}
	m.observe(refused)
	for _, o := range routeOutcomes() {
		m.observe(o)
	}
	m.set(testRoutes()) // a reload keeps counters
	want := `
# HELP mailprobe_route_up Whether the last message of the route arrived as configured (1) or not (0); absent before the first.
# TYPE mailprobe_route_up gauge
mailprobe_route_up{route="good",team="x"} 1
mailprobe_route_up{route="spam",team="y"} 0
# HELP mailprobe_route_sent_total Messages that the sending server accepted.
# TYPE mailprobe_route_sent_total counter
mailprobe_route_sent_total{route="good",team="x"} 1
mailprobe_route_sent_total{route="spam",team="y"} 2
# HELP mailprobe_route_lost_total Messages that were accepted for sending and not found before the deadline.
# TYPE mailprobe_route_lost_total counter
mailprobe_route_lost_total{route="good",team="x"} 0
mailprobe_route_lost_total{route="spam",team="y"} 1
# HELP mailprobe_route_failures_total Messages that did not arrive as configured, by reason; a reason appears once it has occurred.
# TYPE mailprobe_route_failures_total counter
mailprobe_route_failures_total{reason="filed_as_spam",route="spam",team="y"} 1
mailprobe_route_failures_total{reason="not_delivered",route="spam",team="y"} 1
mailprobe_route_failures_total{reason="refused_content",route="good",team="x"} 1
# HELP mailprobe_route_failure_info Constant 1 while the last message did not arrive as configured: the leg it failed on and why.
# TYPE mailprobe_route_failure_info gauge
mailprobe_route_failure_info{leg="transfer",reason="filed_as_spam",route="spam",team="y"} 1
# HELP mailprobe_route_folder_info Constant 1: where the last message was filed (inbox, junk, other); absent if it was not found.
# TYPE mailprobe_route_folder_info gauge
mailprobe_route_folder_info{folder="inbox",route="good",team="x"} 1
mailprobe_route_folder_info{folder="junk",route="spam",team="y"} 1
# HELP mailprobe_route_authentication_result Constant 1: results in the Authentication-Results of the configured host (spf, dkim, dmarc, arc) for the last message; absent if that host wrote none.
# TYPE mailprobe_route_authentication_result gauge
mailprobe_route_authentication_result{method="dkim",result="pass",route="good",team="x"} 1
# HELP mailprobe_route_left_behind Messages of the route that were found and could not be deleted, although they should be.
# TYPE mailprobe_route_left_behind gauge
mailprobe_route_left_behind{route="good",team="x"} 0
mailprobe_route_left_behind{route="spam",team="y"} 3
`
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(m); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
