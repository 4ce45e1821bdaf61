// Package deploy holds the files for running mailprobe, and tests that check them with the
// real tools.
package deploy

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"mailprobe/config"
	"mailprobe/internal/promtest"
)

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPrometheusConfigurationsAreRight(t *testing.T) {
	promtest.Need(t, "promtool")
	for _, file := range []string{"prometheus/prometheus.yml", "prometheus/prometheus-sd.yml", "compose/prometheus.yml"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			out := promtest.Run(t, "promtool", "check", "config", promtest.WithRules(t, "..", "deploy/"+file))
			if !strings.Contains(out, "SUCCESS: 3 rule files found") {
				t.Errorf("the rules are not found where the comment says:\n%s", out)
			}
		})
	}
}

func TestAlertmanagerConfigurationIsRight(t *testing.T) {
	promtest.Need(t, "amtool")
	for _, file := range []string{"alertmanager/alertmanager.yml", "compose/alertmanager.yml"} {
		promtest.Run(t, "amtool", "check-config", file)
	}
	routes := []struct {
		labels []string
		want   string
	}{
		{[]string{"alertname=MailprobeConnectionDown", "severity=critical"}, "night"},
		{[]string{"alertname=MailprobeConnectionSlow", "severity=warning"}, "day"},
		{[]string{"alertname=MailprobeConnectionDown", "severity=critical", "maintenance=sunday"}, "night"},
		{[]string{"alertname=MailprobeConnectionSlow", "severity=warning", "maintenance=sunday"}, "day"},
		{[]string{"alertname=Other"}, "day"},
	}
	for _, r := range routes {
		args := append([]string{"config", "routes", "test", "--config.file=alertmanager/alertmanager.yml", "--verify.receivers=" + r.want}, r.labels...)
		promtest.Run(t, "amtool", args...)
	}
	if !strings.Contains(read(t, "alertmanager/alertmanager.yml"), "do not send alerts about mail through the mail servers") {
		t.Error("the warning about alerts over the watched mail server is missing")
	}
}

// An inhibition with a misspelled alert inhibits nothing, and no error says so.
func TestInhibitionsNameOnlyAlertsThatExist(t *testing.T) {
	var alerts []string
	for _, m := range regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(read(t, "../dashboards/rules/mailprobe-alerts.yml"), -1) {
		alerts = append(alerts, m[1])
	}
	matchers := regexp.MustCompile(`alertname=(~?)"([^"]+)"`).FindAllStringSubmatch(read(t, "alertmanager/alertmanager.yml"), -1)
	if len(matchers) < 10 {
		t.Fatalf("only %d matchers", len(matchers))
	}
	for _, m := range matchers {
		branches := []string{m[2]}
		if m[1] == "~" && !strings.ContainsAny(m[2], "()") {
			branches = strings.Split(m[2], "|")
		}
		for _, branch := range branches {
			whole := regexp.MustCompile("^(?:" + branch + ")$")
			if !slices.ContainsFunc(alerts, whole.MatchString) {
				t.Errorf("alertname=%s%q matches no alert", m[1], branch)
			}
		}
	}
}

// unit is the systemd unit with a program that exists: systemd-analyze verify requires that.
func unit(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mailprobe.service")
	write(t, path, strings.ReplaceAll(read(t, "systemd/mailprobe.service"), "/usr/local/bin/mailprobe", "/bin/true"))
	return path
}

func TestSystemdUnitIsRight(t *testing.T) {
	promtest.Need(t, "systemd-analyze")
	if out := promtest.Run(t, "systemd-analyze", "verify", unit(t)); strings.Contains(out, "mailprobe.service") {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	text := read(t, "systemd/mailprobe.service")
	for _, line := range []string{"DynamicUser=yes", "StateDirectory=mailprobe", "#LoadCredential=support:",
		"ExecReload=/bin/kill -HUP $MAINPID", "LimitCORE=0", "RestartSec=30", "StartLimitBurst=5"} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("the unit has no %s", line)
		}
	}
}

// systemd hides credentials from ExecReload (systemd#35227): the check has to find faults
// without them.
func TestReloadChecksWithoutCredentials(t *testing.T) {
	command := regexp.MustCompile(`(?m)^ExecReload=/usr/local/bin/mailprobe (.*)$`).FindStringSubmatch(read(t, "systemd/mailprobe.service"))
	if command == nil {
		t.Fatal("the unit has no check before its reload")
	}
	binary, file := mailprobe.Binary(t), filepath.Join(t.TempDir(), "config.yml")
	args := strings.Fields(strings.Replace(command[1], "/etc/mailprobe/config.yml", file, 1))
	const good = "connections:\n  - {name: a, protocol: imap, host: mail.example.org, username: u, password_file: '${CREDENTIALS_DIRECTORY}/a'}\n"
	for _, directory := range []string{"", filepath.Join(t.TempDir(), "hidden")} {
		t.Setenv("CREDENTIALS_DIRECTORY", directory)
		if directory == "" {
			_ = os.Unsetenv("CREDENTIALS_DIRECTORY") // Setenv restores what was there
		}
		write(t, file, good)
		promtest.Run(t, binary, args...)
		write(t, file, strings.Replace(good, "imap", "imapp", 1))
		if out, err := promtest.Try(t, binary, args...); err == nil || !strings.Contains(out, "imapp") {
			t.Errorf("a faulty configuration: %v\n%s", err, out)
		}
	}
}

// The limit of 1.5 is far below what systemd calls OK. Most of the exposure is the access
// to the network, which mailprobe needs.
func TestSystemdUnitIsConfined(t *testing.T) {
	promtest.Need(t, "systemd-analyze")
	const most = 1.5
	out := promtest.Run(t, "systemd-analyze", "security", "--offline=true", "--threshold="+strconv.Itoa(most*10), "--no-pager", unit(t))
	m := regexp.MustCompile(`exposure level for \S+ ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level in:\n%s", out)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > most {
		t.Errorf("exposure level %s, want at most %v", m[1], most)
	}
	t.Logf("exposure level %s", m[1])
}

// kubectl apply keeps a copy of an object in an annotation of at most 256 KiB.
func TestBoardsCanBeApplied(t *testing.T) {
	for i, manifest := range strings.Split(read(t, "kubernetes/dashboards.yaml"), "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
			t.Fatal(err)
		}
		content, err := json.Marshal(object)
		if err != nil || len(content) > 240<<10 {
			t.Errorf("ConfigMap %d has %d bytes, %v", i, len(content), err)
		}
	}
}

// The example in the ConfigMap is a valid configuration, apart from its secret files.
func TestConfigMapHoldsAConfiguration(t *testing.T) {
	var manifest struct{ Data map[string]string }
	if err := yaml.Unmarshal([]byte(read(t, "kubernetes/configmap.yaml")), &manifest); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.yml")
	write(t, file, manifest.Data["config.yml"])
	_, _, err := config.Load(file, nil)
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		t.Fatal(err)
	}
	for _, fault := range faults {
		// Its secrets are mounted there and not here.
		if !strings.HasSuffix(fault.Text, "no such file or directory") {
			t.Error(fault)
		}
	}
}
