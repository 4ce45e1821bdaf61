package history

import (
	"crypto/tls"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/outcometest"
	"mailprobe/internal/systest"
	"mailprobe/mail"
)

// restarted saves the states of h in a file and returns a new history that restored them.
func restarted(t *testing.T, h *History, savedAt time.Time, connections ...*mail.Connection) *History {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.json.history")
	raw, err := json.Marshal(h.States(savedAt))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, personal := range []string{"support@example.org", outcometest.Secret} {
		if strings.Contains(string(raw), personal) {
			t.Errorf("the file names %q: %s", personal, raw)
		}
	}
	states, err := ReadStates(path)
	if err != nil {
		t.Fatal(err)
	}
	next := &History{}
	next.Restore(states)
	next.SetConnections(connections)
	return next
}

func TestSinceSurvivesARestart(t *testing.T) {
	noon := outcometest.Noon
	upAt, downAt := noon, noon.Add(10*time.Minute)
	inbox := outcometest.Inbox("inbox")
	edited := func(edit func(*mail.Connection)) *mail.Connection {
		c := outcometest.Inbox("inbox")
		edit(c)
		return c
	}
	refused := func(c *mail.Connection, at time.Time) mail.Outcome { return outcometest.Refused(c, at) }
	tests := []struct {
		name    string
		after   *mail.Connection // its definition after the restart
		gap     time.Duration    // between the saving and the first probe of the new process
		probe   func(*mail.Connection, time.Time) mail.Outcome
		wantOld bool // Since is the time from before the restart
		lastUp  time.Time
	}{
		{"still down", inbox, time.Minute, refused, true, upAt},
		{"up again", inbox, time.Minute, outcometest.Good, false, downAt.Add(2 * time.Minute)},
		{"not probed for two hours", inbox, 2 * time.Hour, refused, false, upAt},
		{"another user", edited(func(c *mail.Connection) { c.Username = "other@example.org" }), time.Minute, refused, false, time.Time{}},
		{"another host", edited(func(c *mail.Connection) { c.Host = "mail.example.net" }), time.Minute, refused, false, time.Time{}},
		{"other trust", edited(func(c *mail.Connection) { c.TLS = &tls.Config{InsecureSkipVerify: true} }), time.Minute, refused, false, time.Time{}},
		{"another password", edited(func(c *mail.Connection) { c.Password = mail.InlineSecret(mail.NewSecret("new")) }), time.Minute, refused, true, upAt},
		{"other labels and interval", edited(func(c *mail.Connection) { c.Interval, c.Labels = time.Hour, []mail.Label{{Name: "a", Value: "b"}} }), time.Minute, refused, true, upAt},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			old := &History{}
			old.SetConnections([]*mail.Connection{inbox})
			old.Observe(outcometest.Good(inbox, upAt))
			if !old.Observe(refused(inbox, downAt)) || old.Observe(refused(inbox, downAt.Add(time.Minute))) {
				t.Error("up becomes down once")
			}
			saved := downAt.Add(time.Minute)
			h := restarted(t, old, saved, test.after)
			if m, _ := h.Get("inbox"); m.State() != StateUnknown {
				t.Errorf("%s before the first probe", m.State())
			}
			at := saved.Add(test.gap)
			if test.lastUp.Equal(upAt) != h.LastUp(test.after).Equal(upAt) && !test.lastUp.After(saved) {
				t.Errorf("before the first probe it was last up at %v", h.LastUp(test.after))
			}
			// A process that ends before its first probe forgets nothing.
			h = restarted(t, h, saved, test.after)
			h.Observe(test.probe(test.after, at))
			want := at
			if test.wantOld {
				want = downAt
			}
			if m, _ := h.Get("inbox"); !m.Since.Equal(want) {
				t.Errorf("since %v, want %v", m.Since, want)
			}
			if test.lastUp.After(saved) {
				test.lastUp = at
			}
			if got := h.LastUp(test.after); !got.Equal(test.lastUp) {
				t.Errorf("last up %v, want %v", got, test.lastUp)
			}
		})
	}
}

// LastUp is about the present settings; after a change they have not worked yet.
func TestLastUpIsForgottenWhenAReloadChangesSettings(t *testing.T) {
	h, before := &History{}, outcometest.Inbox("inbox")
	h.SetConnections([]*mail.Connection{before})
	h.Observe(outcometest.Good(before, outcometest.Noon))
	labels := outcometest.Inbox("inbox", mail.Label{Name: "team", Value: "a"})
	h.SetConnections([]*mail.Connection{labels})
	if got := h.LastUp(labels); !got.Equal(outcometest.Noon) {
		t.Errorf("a label changed: last up %v", got)
	}
	after := outcometest.Inbox("inbox")
	after.TLS = &tls.Config{ServerName: "other.example.org"}
	h.SetConnections([]*mail.Connection{after})
	if got := h.LastUp(after); !got.IsZero() {
		t.Errorf("the name to verify changed: last up %v", got)
	}
	if m, _ := h.Get("inbox"); m.Since.IsZero() || m.LastSuccess == nil {
		t.Error("the history of the same target is lost")
	}
	if got := (&History{}).LastUp(after); !got.IsZero() {
		t.Errorf("not configured: %v", got)
	}
}

func TestReadStatesFromBrokenFiles(t *testing.T) {
	tests := []struct{ name, content, fault string }{
		{"empty", "", "unexpected end"},
		{"cut off", `{"version":1,"saved_at":"2026-11-23T12:0`, "unexpected end"},
		{"another version", `{"version":7}`, "version 7"},
		{"a file of another program", "[Unit]\nDescription=x\n", "invalid character"},
		{"other types", `{"version":1,"connections":[1,2]}`, "cannot unmarshal"},
		{"too large", strings.Repeat(" ", maxStates+2), "larger than 16 MiB"},
		{"times of the future", `{"version":1,"saved_at":"2026-11-23T12:00:00Z","connections":{"inbox":{"since":"2099-01-01T00:00:00Z"}}}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			states, err := ReadStates(path)
			if test.fault == "" && err != nil || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
				t.Errorf("%v, want %q", err, test.fault)
			}
			if states == nil || len(states.Connections) > 0 {
				t.Errorf("got the states %+v, want none", states)
			}
		})
	}
	if states, err := ReadStates(filepath.Join(t.TempDir(), "missing")); err != nil || states == nil {
		t.Errorf("a missing file: %v, %v", states, err)
	}
	if _, err := ReadStates(t.TempDir()); err == nil {
		t.Error("a folder is no file")
	}
	fifo := filepath.Join(t.TempDir(), "history")
	systest.MakeFIFO(t, fifo)
	if _, err := ReadStates(fifo); err == nil {
		t.Error("a FIFO is no file")
	}
}
