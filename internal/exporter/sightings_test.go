package exporter_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/firstseen"
	"mailprobe/internal/mailtest"
	"mailprobe/internal/promtest"
)

// POP3 does not say since when a message waits, so mailprobe remembers when it first saw
// it. The memory survives an orderly restart and a kill, and the command probe reads it.
func TestSightingsSurviveRestarts(t *testing.T) {
	t.Parallel()
	server, err := mailtest.Start(mailtest.Options{Protocol: mailtest.POP3, Encryption: mailtest.NoEncryption, Messages: 2,
		Users: map[string]string{"user@example.org": password}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	config := configure(t, connection(t, "fax", server.Addr, "protocol", "pop3", "interval", "1s", "watch", "all"))
	state := filepath.Join(t.TempDir(), "state.json")
	flags := []string{"--config.file=" + config, "--state.file=" + state}
	const probes = `mailprobe_probes_total{connection="fax",protocol="pop3"}`
	since := func(url string) float64 {
		becomes(t, url, "fax", "up") // after a restart that is known before a probe
		promtest.Eventually(t, "a probe", func() bool { return value(t, url, probes) >= 1 })
		return value(t, url, `mailprobe_mailbox_oldest_waiting_timestamp_seconds{connection="fax",protocol="pop3"}`)
	}

	url, program := begin(t, nil, flags...)
	first := since(url)
	if age := time.Now().Unix() - int64(first); age < -1 || age > 60 {
		t.Fatalf("at first the oldest message is of %v, which is %d s ago", first, age)
	}
	terminate(t, program)
	for _, end := range []string{"terminated", "killed"} {
		url, program = begin(t, nil, flags...)
		if again := since(url); again != first {
			t.Errorf("%s before: the oldest message is of %v, want %v", end, again, first)
		}
		// By then the answer to the first login is kept, so that the next process does not wait for it.
		promtest.Eventually(t, "a second probe", func() bool { return value(t, url, probes) >= 2 })
		killed(t, program)
	}
	out, _ := exec.Command(binary(t), append([]string{"probe"}, flags...)...).CombinedOutput()
	if !strings.Contains(string(out), "2 waiting, oldest at least ") {
		t.Errorf("the command says\n%s", out)
	}
	if raw, err := os.ReadFile(firstseen.Path(state)); err != nil || strings.Contains(string(raw), "mailtest-1") || strings.Contains(string(raw), "example") {
		t.Errorf("the memory is %s, %v: no id and no name may be in it", raw, err)
	}

	// Without a state file it begins anew at each start, and says so.
	url, program = begin(t, nil, "--config.file="+config)
	if fresh := since(url); fresh <= first {
		t.Errorf("without a state file the oldest message is of %v", fresh)
	}
	terminate(t, program)
	if !strings.Contains(program.Output(), "without --state.file: after a restart the ages of its messages begin anew") {
		t.Errorf("the log says\n%s", program.Output())
	}
}
