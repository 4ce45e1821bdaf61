package dashboards

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"mailprobe/internal/promtest"
)

// Two mailprobes probe the same connection and are scraped through /sd: job,
// instance and connection are the same, only the label mailprobe is not. No query
// or rule may mix them up, and a user who chooses one sees nothing of the other.
func TestTwoPlacesOfOneConnection(t *testing.T) {
	promtest.Need(t, "prometheus")
	if testing.Short() {
		t.Skip("runs Prometheus")
	}
	target := func(place string) string {
		return "\n      - {targets: [\"" + startFixture(t) + "\"], labels: {instance: watched, mailprobe: " + place + "}}"
	}
	server := promtest.StartPrometheus(t, withQuickRules(t, "deploy/prometheus/prometheus.yml",
		"\n      - targets: [localhost:10925]", target("berlin")+target("munich"),
		"scrape_interval: 15s", "scrape_interval: 1s", "evaluation_interval: 1m", "evaluation_interval: 1s"))
	server.Wait(t, `count(rate(mailprobe_route_sent_total[30s])) == 6
and on () count(ALERTS{alertname="MailprobeMailboxBacklog", alertstate="firing"}) == 2
and on () count(connection:mailprobe_error_budget_left:ratio30d) == 2`)
	for _, b := range boards(t) {
		onTargets(b, func(p panel, refID, expr string) {
			all := shown{connection: "watched"}.substitute(expr)
			if _, err := server.Query(all); err != nil {
				t.Errorf("%s %s: %v\n%s", p.where(b), refID, err, all)
			}
			one := shown{connection: "watched"}.substitute(strings.ReplaceAll(expr, `"$mailprobe`, `"munich`))
			result, err := server.Query(one)
			if err != nil {
				t.Errorf("%s %s: %v\n%s", p.where(b), refID, err, one)
			}
			for _, sample := range result {
				if sample.Metric["mailprobe"] == "berlin" && strings.Contains(expr, `"$mailprobe`) {
					t.Errorf("%s %s: shows %v", p.where(b), refID, sample.Metric)
				}
			}
		})
	}
	for _, fault := range ruleFaults(t, server) {
		t.Error(fault)
	}
}

// ruleFaults are the errors of the last evaluation of all rules.
func ruleFaults(t *testing.T, server *promtest.Prometheus) []string {
	t.Helper()
	response, err := http.Get(server.URL + "/api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	var faults []string
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if r.Health == "err" {
				faults = append(faults, r.Name+": "+r.LastError)
			}
		}
	}
	return faults
}
