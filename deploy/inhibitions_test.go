package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"mailprobe/internal/promtest"
)

// labels are those of an alert. job, instance and connection are added if they are
// missing.
type labels map[string]string

// inhibitions are pairs of alerts that fire at the same time, and whether the first one
// inhibits the second.
var inhibitions = []struct {
	name          string
	first, second labels
	inhibited     bool
}{
	{"what waits in a mailbox that cannot be opened", labels{"alertname": "MailprobeConnectionDown", "severity": "critical"},
		labels{"alertname": "MailprobeMailboxBacklog", "severity": "critical"}, true},
	{"a mailbox whose login is withheld", labels{"alertname": "MailprobeLoginWithheld", "severity": "warning"},
		labels{"alertname": "MailprobeMailboxSilent", "severity": "warning"}, true},
	{"a mailbox whose certificate expired", labels{"alertname": "MailprobeCertificateExpired", "severity": "critical"},
		labels{"alertname": "MailprobeMailboxGrowing", "severity": "warning"}, true},
	{"another connection is down", labels{"alertname": "MailprobeConnectionDown", "severity": "critical", "connection": "other"},
		labels{"alertname": "MailprobeMailboxBacklog", "severity": "critical"}, false},
	{"the same connection, probed from another place", labels{"alertname": "MailprobeConnectionDown", "severity": "critical", "mailprobe": "berlin"},
		labels{"alertname": "MailprobeMailboxBacklog", "severity": "critical", "mailprobe": "munich"}, false},
	{"a backlog four times too old", labels{"alertname": "MailprobeMailboxBacklog", "severity": "critical"},
		labels{"alertname": "MailprobeMailboxBacklog", "severity": "warning"}, true},
	{"a backlog that grows", labels{"alertname": "MailprobeMailboxBacklog", "severity": "warning"},
		labels{"alertname": "MailprobeMailboxGrowing", "severity": "warning"}, true},
	{"a backlog in a mailbox that is full", labels{"alertname": "MailprobeMailboxBacklog", "severity": "warning"},
		labels{"alertname": "MailprobeMailboxAlmostFull", "severity": "warning"}, false},
	{"a connection that is slow", labels{"alertname": "MailprobeConnectionSlow", "severity": "warning"},
		labels{"alertname": "MailprobeMailboxBacklog", "severity": "warning"}, false},
	{"everything of this mailprobe is down", labels{"alertname": "MailprobeAllConnectionsDown", "severity": "critical", "scope": "instance", "connection": ""},
		labels{"alertname": "MailprobeRouteBroken", "severity": "critical", "connection": "", "route": "path"}, true},
	{"all connections to one host are down", labels{"alertname": "MailprobeAllConnectionsDown", "severity": "warning", "scope": "host", "host": "h", "connection": ""},
		labels{"alertname": "MailprobeConnectionSlow", "severity": "warning"}, false},
	{"a host that is named beside its connections", labels{"alertname": "MailprobeConnectionDown", "severity": "critical"},
		labels{"alertname": "MailprobeAllConnectionsDown", "severity": "warning", "scope": "host", "host": "h", "connection": ""}, true},
	{"a refused login says more than down", labels{"alertname": "MailprobeLoginRefused", "severity": "critical"},
		labels{"alertname": "MailprobeConnectionDown", "severity": "critical"}, true},
}

// The real Alertmanager decides whether an alert is inhibited.
func TestInhibitions(t *testing.T) {
	promtest.Need(t, "prometheus-alertmanager")
	config, err := filepath.Abs("alertmanager/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + promtest.StartAlertmanager(t, config) + "/api/v2/alerts"
	type posted struct {
		Labels labels `json:"labels"`
	}
	var alerts []posted
	for i, story := range inhibitions {
		for side, l := range []labels{story.first, story.second} {
			all := labels{"job": fmt.Sprint("story-", i), "instance": "mp:10925", "connection": "tickets", "story": fmt.Sprintf("%d/%d", i, side)}
			for name, value := range l {
				all[name] = value
			}
			alerts = append(alerts, posted{all})
		}
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(base, "application/json", bytes.NewReader(body))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", response, err)
	}
	_ = response.Body.Close()
	for i, story := range inhibitions {
		t.Run(story.name, func(t *testing.T) {
			promtest.Eventually(t, fmt.Sprintf("inhibited: %v", story.inhibited), func() bool {
				return inhibited(t, base, fmt.Sprintf("%d/1", i)) == story.inhibited
			})
			if inhibited(t, base, fmt.Sprintf("%d/0", i)) {
				t.Error("the first one is inhibited, too")
			}
		})
	}
}

// inhibited asks Alertmanager about the one alert of a story's side.
func inhibited(t *testing.T, base, side string) bool {
	t.Helper()
	response, err := http.Get(base + `?filter=story%3D%22` + side + `%22`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer []struct {
		Status struct{ InhibitedBy []string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || len(answer) != 1 {
		t.Fatalf("%s: %d alerts, %v", side, len(answer), err)
	}
	return len(answer[0].Status.InhibitedBy) > 0
}
