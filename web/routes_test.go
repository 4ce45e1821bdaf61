package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// testRouteOutcomes are a good message and one that is lost.
func testRouteOutcomes(route *mail.Route, at time.Time) []mail.RouteOutcome {
	return []mail.RouteOutcome{
		{Route: route, Seq: 1, MessageID: "<ABC@example.org>", Sent: at.Add(-time.Hour), Ended: at.Add(-59 * time.Minute), Submit: 120 * time.Millisecond, Transfer: 800 * time.Millisecond,
			Total: 920 * time.Millisecond, Uncertainty: 400 * time.Millisecond, Delivered: true, Folder: mail.FolderInbox, FolderAs: "INBOX",
			Copies: 1, Deleted: 1, Authentication: map[mail.SenderCheck]mail.CheckResult{mail.CheckDKIM: mail.ResultPass},
			Hops: []mail.Hop{{By: "mx.example.org", From: "<script>alert(1)</script>", At: at.Add(-time.Hour)}, {By: "store.example.org"}}},
		{Route: route, Seq: 2, Sent: at.Add(-20 * time.Minute), Ended: at.Add(-10 * time.Minute), Submit: 100 * time.Millisecond,
			Failure: &mail.RouteFailure{Leg: mail.LegTransfer, Reason: mail.LostAfterAcceptance, Text: "relayed by mx.example.org"}},
	}
}

func TestRoutesPageNamesLegAndAdvice(t *testing.T) {
	site := newStage(t)
	route := &mail.Route{Name: "helpdesk <path>", Send: &mail.Connection{Name: "out"}, Receive: &mail.Connection{Name: "in"},
		From: "a@example.org", To: "secret-address@example.org", Interval: 5 * time.Minute, Deadline: 10 * time.Minute,
		Labels: []mail.Label{{Name: "team", Value: "support"}}}
	if page := site.get("/routes").Body.String(); !strings.Contains(page, "No route is configured") || !strings.Contains(page, "docs/routes.md") {
		t.Errorf("without routes: %s", page)
	}
	site.history.SetRoutes([]*mail.Route{route})
	if page := site.get("/routes").Body.String(); !strings.Contains(page, "no message yet") {
		t.Errorf("before the first message: %s", page)
	}
	for _, o := range testRouteOutcomes(route, outcometest.Noon) {
		site.history.ObserveRoute(o)
	}
	page := site.get("/routes").Body.String()
	for _, want := range []string{"helpdesk &lt;path&gt;", "broken for 10 min", string(mail.LostAfterAcceptance), "on leg", "transfer",
		mail.LostAfterAcceptance.Meaning(), "relayed by mx.example.org", "Last good message", "Last failed message", "800 ms", "not finished",
		"mx.example.org", "dkim pass (not by the configured host)", "1 found, 1 deleted", "team=support", "&lt;ABC@example.org&gt;", "1 of the last 2 messages arrived as configured", `href="connections/out"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	if strings.Count(page, "<script>") != 1 || strings.Contains(page, "secret-address") { // our own script
		t.Errorf("a hop's text is not escaped, or an address is shown: %s", page)
	}
	var answer struct {
		Routes []struct {
			Name, State string
			History     []map[string]any
		}
	}
	if err := json.Unmarshal(site.get("/api/v1/routes").Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Routes) != 1 || answer.Routes[0].State != "down" || len(answer.Routes[0].History) != 2 {
		t.Errorf("%+v", answer)
	}
}
