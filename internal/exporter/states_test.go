package exporter_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailprobe/history"
	"mailprobe/internal/promtest"
	"mailprobe/internal/subprocess"
)

// apiConnection is what these tests read of the API.
type apiConnection struct {
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Last  struct {
		Failure *struct {
			Advice string    `json:"advice"`
			LastUp time.Time `json:"last_up"`
		} `json:"failure"`
	} `json:"last"`
}

// becomes waits until a connection has a state, and returns what the API says of it.
func becomes(t *testing.T, url, name, state string) (c apiConnection) {
	t.Helper()
	promtest.Eventually(t, name+" "+state, func() bool {
		_, body := get(t, url+"/api/v1/connections/"+name)
		c = apiConnection{}
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return c.State == state
	})
	return c
}

// killed ends a process as a power cut would.
func killed(t *testing.T, program *subprocess.Process) {
	t.Helper()
	program.Signal(t, syscall.SIGKILL)
	<-program.Exited()
}

// The program is killed while a connection is down, and started again. It then knows
// since when the connection is down and when it last worked; so does the command probe.
func TestSinceSurvivesAKill(t *testing.T) {
	t.Parallel()
	server := honest(t)
	config := configure(t, connection(t, "inbox", server.Addr, "interval", "1s", "timeout", "1s"))
	state := filepath.Join(t.TempDir(), "state.json")
	kept := func() string {
		raw, _ := os.ReadFile(history.StatesPath(state))
		return string(raw)
	}
	flags := []string{"--config.file=" + config, "--state.file=" + state}

	url, program := begin(t, nil, flags...)
	becomes(t, url, "inbox", "up")
	_ = server.Close()
	down := becomes(t, url, "inbox", "down")
	if f := down.Last.Failure; !strings.HasPrefix(f.Advice, "It last worked at ") || f.LastUp.IsZero() {
		t.Fatalf("%+v", down)
	}
	promtest.Eventually(t, "the state kept", func() bool { return strings.Contains(kept(), `"up":false`) })
	killed(t, program)

	url, program = begin(t, nil, flags...)
	again := becomes(t, url, "inbox", "down")
	if f := again.Last.Failure; !again.Since.Truncate(time.Millisecond).Equal(down.Since.Truncate(time.Millisecond)) || !strings.HasPrefix(f.Advice, "It last worked at ") {
		t.Errorf("since %v with the advice %q; it was down since %v before the restart", again.Since, f.Advice, down.Since)
	}
	if got := value(t, url, `mailprobe_last_success_timestamp_seconds{connection="inbox",protocol="imap"}`); got < float64(time.Now().Add(-time.Hour).Unix()) {
		t.Errorf("last success at %v", got)
	}
	killed(t, program)

	out, _ := exec.Command(binary(t), append([]string{"probe"}, flags...)...).CombinedOutput()
	if !strings.Contains(string(out), "It last worked at ") {
		t.Errorf("the command does not know that it worked:\n%s", out)
	}

	// A file of another program is put aside, and the log says so.
	if err := os.WriteFile(history.StatesPath(state), []byte("shopping list\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, program = begin(t, nil, flags...)
	if fresh := becomes(t, url, "inbox", "down"); !fresh.Since.After(down.Since) || strings.HasPrefix(fresh.Last.Failure.Advice, "It last worked") {
		t.Errorf("nothing is known, and yet: %+v", fresh)
	}
	terminate(t, program)
	if aside, _ := os.ReadFile(history.StatesPath(state) + ".damaged"); string(aside) != "shopping list\n" || !strings.Contains(program.Output(), "are lost: their file is unusable") {
		t.Errorf("aside is %q, the log says:\n%s", aside, program.Output())
	}
	if !strings.Contains(kept(), `"inbox"`) {
		t.Errorf("kept at the end: %q", kept())
	}
}
