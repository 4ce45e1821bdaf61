package exporter_test

// These tests tell what the built program says before it serves anything.

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

// What somebody asked for is output, to be read by a pager or a script.
func TestHelpAndVersionAreOutput(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--version"}, "mailprobe, version"},
		{[]string{"--help"}, "--config.file"},
		{[]string{"probe", "--help"}, "--password-file"},
	} {
		out, err := exec.Command(binary(t), test.flags...).Output()
		if err != nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%v: %v, want %q on the standard output, which is\n%s", test.flags, err, test.want, out)
		}
	}
}

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

// What a shell and man(1) are told of the program.
func TestCompletionAndManual(t *testing.T) {
	t.Parallel()
	config := configure(t, connection(t, "support-inbox", "127.0.0.1:1"), connection(t, "billing-inbox", "127.0.0.1:1"))
	tests := []struct {
		name  string
		args  []string
		wants []string
	}{
		{"bash", []string{"--completion-script-bash"}, []string{"complete -F", "--completion-bash"}},
		{"zsh", []string{"--completion-script-zsh"}, []string{"#compdef mailprobe"}},
		{"the manual", []string{"--help-man"}, []string{".TH mailprobe 1", "--config.file"}},
		{"commands", []string{"--completion-bash"}, []string{"serve", "probe", "demo"}},
		{"flags", []string{"--completion-bash", "--config.fi"}, []string{"--config.file"}},
		{"connections", []string{"--completion-bash", "--config.file=" + config, "probe", "su"}, []string{"support-inbox", "billing-inbox"}},
		{"connections of a file in two words", []string{"--completion-bash", "--config.file", config, "probe", ""}, []string{"support-inbox"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, err := exec.Command(binary(t), test.args...).CombinedOutput()
			for _, want := range test.wants {
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%v: lacks %q:\n%s", err, want, out)
				}
			}
			if strings.Contains(string(out), password) {
				t.Error("it holds a password")
			}
		})
	}
}
