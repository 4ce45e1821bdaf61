package web

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// docs/api.md names every field that an answer can have, and no other.
func TestAPIDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, word := range regexp.MustCompile("`([a-z_.0-9]+)`").FindAllStringSubmatch(string(page), -1) {
		documented[word[1]] = true
	}
	c := outcometest.Inbox("inbox", mail.Label{Name: "team", Value: "support"})
	s := newStage(t, c, outcometest.Inbox("next"))
	up, down := outcometest.Good(c, outcometest.Noon), outcometest.Refused(c, outcometest.Noon)
	up.Goodbye = mail.Closed
	c.Watch, c.WatchMaxAge, c.WatchExpectEvery = mail.WatchUnread, time.Hour, 24*time.Hour
	up.Mailbox.Watch = outcometest.Stuck(c, outcometest.Noon).Mailbox.Watch
	up.Mailbox.Watch.FirstSeen = true
	down.Auth.HeldBy, down.Auth.HeldSince = "other", outcometest.Noon
	down.Failure.LastUp = outcometest.Noon
	down.Auth.NextAttempt, down.Interval = outcometest.Noon.Add(time.Hour), 2*time.Minute
	s.observe(up)
	s.observe(down)
	fields := map[string]bool{}
	route := &mail.Route{Name: "path", Send: c, Receive: c, Labels: c.Labels}
	s.history.SetRoutes([]*mail.Route{route})
	for _, o := range testRouteOutcomes(route, outcometest.Noon) {
		o.Trusted, o.DSN, o.Left = true, "relayed", 1
		if o.Failure != nil {
			o.Failure.Phase = mail.PhaseAuth
		}
		for i := range o.Hops {
			o.Hops[i].With = "ESMTP"
		}
		s.history.ObserveRoute(o)
	}
	for _, path := range []string{"/api/v1/connections?limit=1", "/api/v1/connections/inbox", "/api/v1/routes"} {
		var answer any
		if err := json.Unmarshal(s.get(path).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		collect(answer, fields)
	}
	delete(fields, "team") // a label's name is the user's
	for field := range fields {
		if !documented[field] && field != "connections" && field != "routes" {
			t.Errorf("%s is not in docs/api.md", field)
		}
	}
	others := []string{"none", "tls.chain", "client", "server", "note", "down", "unknown", "starttls",
		"all", "submit", "transfer", "inbox", "junk", "other", "spf", "arc", "dmarc", "relayed", "delayed", "failed"}
	for word := range documented {
		if !fields[word] && !slices.Contains(others, word) {
			t.Errorf("docs/api.md names %s, which no answer has", word)
		}
	}
}

// collect gathers the names of all fields.
func collect(value any, fields map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			fields[name] = true
			collect(inner, fields)
		}
	case []any:
		for _, inner := range v {
			collect(inner, fields)
		}
	}
}
