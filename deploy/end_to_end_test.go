package deploy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"mailprobe/internal/promtest"
	"mailprobe/internal/systest"
)

// alert is one alert of Alertmanager's message to a webhook.
type alert struct {
	Status              string // firing, resolved
	Labels, Annotations map[string]string
}

// pager is the webhook that Alertmanager calls.
type pager struct {
	mu     sync.Mutex
	alerts map[string][]alert // by receiver, in the order they came
}

func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var message struct {
		Receiver string
		Alerts   []alert
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil || r.URL.Path != "/"+message.Receiver {
		http.Error(w, fmt.Sprintf("%s for %q: %v", r.URL.Path, message.Receiver, err), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alerts[message.Receiver] = append(p.alerts[message.Receiver], message.Alerts...)
}

// got returns the critical alerts about a connection of a job.
func (p *pager) got(job, connection string) []alert {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []alert
	for _, a := range p.alerts["night"] {
		if a.Labels["job"] == job && a.Labels["connection"] == connection {
			out = append(out, a)
		}
	}
	return out
}

// wait waits for an alert with a status.
func (p *pager) wait(t *testing.T, job, connection, name, status string) alert {
	t.Helper()
	var found alert
	promtest.Eventually(t, fmt.Sprintf("the pager gets %s %s: %s %s", job, connection, name, status), func() bool {
		for _, a := range p.got(job, connection) {
			if a.Labels["alertname"] == name && a.Status == status {
				found = a
				return true
			}
		}
		return false
	})
	return found
}

// TestEndToEnd tests the whole way from a mail server to the pager, with mailprobe,
// Prometheus and Alertmanager: a server that stops is reported, with the reason, and so
// is its return.
//
// The files are the examples, with other addresses and shorter times between scrapes,
// evaluations and messages, and a shorter `for:` of each alert. Expressions, windows,
// routes and inhibitions are as shipped.
func TestEndToEnd(t *testing.T) {
	promtest.Need(t, "prometheus", "prometheus-alertmanager")
	if testing.Short() {
		t.Skip("runs Prometheus and Alertmanager for half a minute")
	}
	p := &pager{alerts: map[string][]alert{}}
	webhook := httptest.NewServer(p)
	t.Cleanup(webhook.Close)
	config := filepath.Join(t.TempDir(), "alertmanager.yml")
	promtest.Copy(t, "alertmanager/alertmanager.yml", config, "http://localhost:9095", webhook.URL,
		"group_wait: 30s", "group_wait: 1s", "group_interval: 5m", "group_interval: 1s")
	alertmanager := promtest.StartAlertmanager(t, config)
	binary := mailprobe.Binary(t)

	t.Run("all results from one page", func(t *testing.T) {
		t.Parallel()
		fromOnePage(t, p, binary, alertmanager)
	})
	t.Run("one scrape for each connection", func(t *testing.T) {
		t.Parallel()
		fromDiscovery(t, p, binary, alertmanager)
	})
}

// hurried is an example configuration of Prometheus with the rules beside it.
func hurried(t *testing.T, file, mailprobe, alertmanager string) string {
	t.Helper()
	config := promtest.WithRules(t, "..", file, "localhost:10925", mailprobe, "localhost:9093", alertmanager,
		"\n  scrape_interval: 15s", "\n  scrape_interval: 1s", "evaluation_interval: 1m", "evaluation_interval: 1s")
	path := filepath.Join(filepath.Dir(config), "rules/mailprobe-alerts.yml")
	pending := regexp.MustCompile(`(?m)^( +(?:for|keep_firing_for):) \w+$`)
	rules := read(t, path)
	if n := len(pending.FindAllString(rules, -1)); n < 40 {
		t.Fatalf("%d alerts wait before they fire", n)
	}
	// Not 0: an alert that inhibits others has to fire first.
	if err := os.WriteFile(path, []byte(pending.ReplaceAllString(rules, "$1 3s")), 0o644); err != nil {
		t.Fatal(err)
	}
	return config
}

// fromOnePage tests that Prometheus scrapes all results of the demo from one page. The
// demo has broken servers, and one that stops and starts at a SIGUSR1.
func fromOnePage(t *testing.T, p *pager, binary, alertmanager string) {
	const job, toggled = "mailprobe", "imap-starttls"
	demo := promtest.StartMailprobe(t, binary, "demo")
	prometheus := promtest.StartPrometheus(t, hurried(t, "deploy/prometheus/prometheus.yml", demo.Address, alertmanager))
	prometheus.Wait(t, `mailprobe_up{connection="`+toggled+`"} == 1`)

	demo.Process.Signal(t, systest.ToggleSignal(t))
	wantReport(t, p.wait(t, job, toggled, "MailprobeConnectionDown", "firing"), toggled)
	// By now the demo's own broken servers are reported as well; an inhibited alert sends
	// no message.
	p.wait(t, job, "connection-refused", "MailprobeConnectionDown", "firing")
	p.wait(t, job, "wrong-password", "MailprobeLoginRefused", "firing")
	p.wait(t, job, "expired-certificate", "MailprobeCertificateExpired", "firing")

	demo.Process.Signal(t, systest.ToggleSignal(t))
	p.wait(t, job, toggled, "MailprobeConnectionDown", "resolved")
	for _, connection := range []string{"wrong-password", "expired-certificate"} {
		for _, a := range p.got(job, connection) {
			if a.Labels["alertname"] == "MailprobeConnectionDown" {
				t.Errorf("%s: %v is not inhibited", connection, a.Labels)
			}
		}
	}
	for _, connection := range []string{"imap-tls", "pop3-none", "smtp-starttls", "helpdesk"} {
		if alerts := p.got(job, connection); len(alerts) > 0 {
			t.Errorf("%s works, and the pager got alerts about it: %v", connection, alerts)
		}
	}
}

// wantReport checks that an alert about a server that stopped says that and what to do.
func wantReport(t *testing.T, a alert, connection string) {
	t.Helper()
	for _, words := range []string{connection, "phase connect", "connect_refused", "nothing is listening on this port", "Check the port"} {
		if !strings.Contains(a.Annotations["description"], words) {
			t.Errorf("%s: %q is not in: %s", connection, words, a.Annotations["description"])
		}
	}
	if !strings.HasSuffix(a.Annotations["runbook_url"], "docs/alerts.md#mailprobeconnectiondown") || a.Labels["severity"] != "critical" {
		t.Errorf("%s: labels %v, annotations %v", connection, a.Labels, a.Annotations)
	}
}
