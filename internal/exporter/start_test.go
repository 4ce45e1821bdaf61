package exporter_test

// This test starts the built program with settings that it must refuse.

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/subprocess"
)

// What cannot be served is refused before anything starts.
func TestStartRefusals(t *testing.T) {
	t.Parallel()
	config := configure(t, connection(t, "inbox", "127.0.0.1:1"))
	broken := filepath.Join(t.TempDir(), "broken.yml")
	if err := os.WriteFile(broken, []byte("connections: [{name: \"in\xffbox\", protocol: imap, host: x}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	serve(t, config, "--state.file="+state)
	for _, test := range []struct {
		name  string
		flags []string
		want  string
	}{
		{"a second one with the same state file", []string{"--config.file=" + config, "--state.file=" + state}, "state file"},
		{"profiles for the world", []string{"--config.file=" + config, "--web.pprof-address=0.0.0.0:6060"}, "loopback"},
		{"profiles on a name", []string{"--config.file=" + config, "--web.pprof-address=localhost:6060"}, "loopback"},
		{"metrics in place of the page", []string{"--config.file=" + config, "--web.telemetry-path=/"}, "--web.telemetry-path"},
		{"a URL that is none", []string{"--config.file=" + config, "--web.external-url=mailprobe:10925"}, "--web.external-url"},
		{"a name that is no text", []string{"--config.file=" + broken}, "UTF-8"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		command := exec.CommandContext(ctx, binary(t), append(test.flags, "--web.listen-address="+subprocess.FreeAddress(t))...)
		out, err := command.CombinedOutput()
		cancel()
		if err == nil || !strings.Contains(string(out), test.want) || command.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: %v, want exit code 1 and %q in\n%s", test.name, err, test.want, out)
		}
	}
}
