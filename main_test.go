package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"mailprobe/internal/subprocess"
	"mailprobe/metrics"
)

// TestMain lets the sessions of testdata/cli run this test binary as mailprobe.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"mailprobe": session})
}

// leakChecked fails a run whose tests leave goroutines behind.
type leakChecked struct{ m *testing.M }

func (c leakChecked) Run() int {
	code := c.m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// output is a writer for a program that runs at the same time as the test.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// write puts a configuration into a file of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mailprobe.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunChecksAConfiguration(t *testing.T) {
	tests := []struct {
		name     string
		text     string
		wantCode int
		want     []string // in what is printed
	}{
		{"good", "connections: [{name: inbox, protocol: imap, host: mail.example.org, username: a, password: looking-glass, interval: 90s}]", 0,
			[]string{"inbox", "mail.example.org:993", "tls", "inline", " 1m30s ", " 30s\n", "1 connection, 0 warnings"}},
		{"all faults at once, each with its place", "connections: [{name: a, hots: x, protocol: imapp}]", 1,
			[]string{`mailprobe.yml:1: connection "a": hots: unknown field, did you mean "host"?`, `"imapp"`, "host: is missing"}},
		{"no connection yet", "connections: []", 0, []string{"0 connections"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out output
			code := run(t.Context(), []string{"--config.check", "--config.file=" + write(t, test.text)}, &out, &out)
			if code != test.wantCode {
				t.Errorf("exit code %d, want %d", code, test.wantCode)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("want %q in\n%s", want, out.String())
				}
			}
			if strings.Contains(out.String(), "looking-glass") {
				t.Errorf("the password is printed:\n%s", out.String())
			}
		})
	}
}

// --config.check checks and exits, with any command: nothing is probed or served.
func TestEveryCommandObeysConfigCheck(t *testing.T) {
	file := write(t, "connections: [{name: inbox, protocol: imap, host: mail.example.org}]")
	for _, command := range []string{"serve", "probe", "demo"} {
		var out output
		if code := run(t.Context(), []string{command, "--config.check", "--config.file=" + file}, &out, &out); code != 0 ||
			!strings.Contains(out.String(), "1 connection, 0 warnings") {
			t.Errorf("%s: exit code %d: %s", command, code, out.String())
		}
	}
}

func TestRunRefusesACommandLine(t *testing.T) {
	tests := []struct {
		args string
		want int
	}{
		{"--no.such.flag", 2}, {"no-such-command", 2},
		{"probe --no.such.flag", 3}, // to monitoring plugins 2 means that something is down
	}
	for _, test := range tests {
		var out output
		code := run(t.Context(), strings.Fields(test.args), &out, &out)
		if code != test.want || !strings.Contains(out.String(), "mailprobe:") {
			t.Errorf("%s: exit code %d, want %d; %q", test.args, code, test.want, out.String())
		}
	}
}

func TestRunWithoutAConfigurationSaysSo(t *testing.T) {
	var out output
	missing := filepath.Join(t.TempDir(), "none.yml")
	if code := run(t.Context(), []string{"--config.file=" + missing}, &out, &out); code != 1 || !strings.Contains(out.String(), missing) ||
		!strings.Contains(out.String(), "mailprobe demo needs none") {
		t.Errorf("exit code %d: %s", code, out.String())
	}
}

// get returns the body of an answer; empty after an error.
func get(t *testing.T, url string) string {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	response, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return string(body)
}

// TestDemoShowsWhatWorksAndWhatDoesNot runs the command that README.md names first.
func TestDemoShowsWhatWorksAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	address := subprocess.FreeAddress(t)
	var out output
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo", "--web.listen-address=" + address}, &out, &out) }()
	wanted := []*regexp.Regexp{
		regexp.MustCompile(`mailprobe_up\{connection="imap-tls".*\} 1\n`),
		regexp.MustCompile(`mailprobe_up\{connection="pop3-starttls".*\} 1\n`),
		regexp.MustCompile(`mailprobe_up\{connection="smtp-none".*\} 1\n`),
		regexp.MustCompile(`mailprobe_failure_info\{connection="wrong-password".*reason="auth_rejected"\} 1\n`),
		regexp.MustCompile(`mailprobe_failure_info\{connection="expired-certificate".*reason="cert_expired"\} 1\n`),
		regexp.MustCompile(`mailprobe_failure_info\{connection="silent-server".*reason="timeout"\} 1\n`),
	}
	deadline := time.Now().Add(60 * time.Second)
	for page := ""; ; page = get(t, "http://"+address+"/metrics") {
		missing := ""
		for _, want := range wanted {
			if !want.MatchString(page) {
				missing = want.String()
			}
		}
		if missing == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s in\n%s\n%s", missing, page, out.String())
		}
		time.Sleep(200 * time.Millisecond) // the probes run in the program, which has no event for the test
	}
	if !strings.Contains(out.String(), "http://"+address+"/metrics") {
		t.Errorf("nothing says what to open:\n%s", out.String())
	}
	stop()
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit code %d\n%s", code, out.String())
		}
	case <-time.After(10 * time.Second):
		t.Error("the demo does not stop")
	}
}

var update = flag.Bool("update", false, "write the generated part of README.md")

// readmeMetrics are the metrics that README.md explains.
var readmeMetrics = []string{"mailprobe_up", "mailprobe_failure_info", "mailprobe_phase_duration_seconds",
	"mailprobe_tls_certificate_not_after_timestamp_seconds", "mailprobe_last_success_timestamp_seconds",
	"mailprobe_auth_success", "mailprobe_auth_held", "mailprobe_probe_failures_total"}

// TestREADMEExplainsMetrics keeps the README's table equal to the code.
func TestREADMEExplainsMetrics(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := slices.DeleteFunc(metrics.Table(), func(doc metrics.MetricDoc) bool { return !slices.Contains(readmeMetrics, doc.Name) })
	if len(docs) != len(readmeMetrics) {
		t.Fatalf("%d of the metrics %q exist", len(docs), readmeMetrics)
	}
	const begin, end = "<!-- metrics: written by make generate -->\n", "<!-- end of metrics -->"
	head, rest, found := strings.Cut(string(readme), begin)
	_, tail, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("README.md holds no %q and %q", begin, end)
	}
	want := head + begin + metrics.Markdown(docs) + end + tail
	if *update {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(readme) != want {
		t.Error("the metrics in README.md differ from the code: run make generate")
	}
}

// Without --config.file the configuration of the working directory comes first,
// then the service's; with the latter a probe by hand obeys the service's holds.
func TestProbeFindsTheFilesOfTheService(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	put := func(path string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		made, config, state string
	}{
		{"", defaultConfig, ""},
		{root + serviceConfig, root + serviceConfig, ""},
		{root + serviceState, root + serviceConfig, root + serviceState},
		{defaultConfig, defaultConfig, ""},
	} {
		if step.made != "" {
			put(step.made)
		}
		p := &program{root: root}
		p.findConfig()
		if p.configFile != step.config || p.probeState() != step.state {
			t.Errorf("with %s: %q and %q, want %q and %q", step.made, p.configFile, p.probeState(), step.config, step.state)
		}
	}
	given := &program{root: root, configFile: root + serviceConfig, stateGiven: true}
	if state := given.probeState(); state != "" {
		t.Errorf("--state.file= is not obeyed: %q", state)
	}
}

// With --log.format=json the last line is JSON too, for programs that parse the log.
func TestLastLineHasTheFormatOfTheLog(t *testing.T) {
	for format, want := range map[string]string{"json": `"err":"--shard: share 3 of 3`, "logfmt": "\nmailprobe: --shard: share 3 of 3"} {
		var out, log bytes.Buffer
		args := []string{"--config.file=" + write(t, "connections: []"), "--shard=3/3", "--log.format=" + format}
		if code := run(t.Context(), args, &out, &log); code != 1 || !strings.Contains(log.String(), want) {
			t.Errorf("%s: exit code %d, want 1 and %q:\n%s", format, code, want, log.String())
		}
		if format != "json" {
			continue
		}
		for line := range strings.Lines(log.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
	}
}
