package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailprobe/mail"
)

func TestOpen(t *testing.T) {
	ann, bob := user("ann", "mail.example", "ann"), user("bob", "bob.example", "bob")
	tests := []struct {
		name string
		run  func(t *testing.T, path string, h *fixture, hand byHand)
	}{
		{"obeys the holds of the serving process", func(t *testing.T, _ string, _ *fixture, hand byHand) {
			if p := hand.Enter(context.Background(), ann, mail.NewSecret("bad")); p.Allowed || p.Hold.Reason != mail.AuthRejected {
				t.Errorf("allowed %v with %+v, want held", p.Allowed, p.Hold)
			}
		}},
		{"its refusal holds the serving process", func(t *testing.T, _ string, h *fixture, hand byHand) {
			hand.try(bob, "bad", wrong)
			hand.store.catchUp(context.Background())
			h.written()
			h.wantHeld(bob, "bad", mail.AuthRejected, h.nextOf(bob, "bad"))
			if h.logged("login refused") != 2 {
				t.Errorf("log %q, want the refusal by hand too", h.lines)
			}
		}},
		{"its refusal holds the next run by hand", func(t *testing.T, path string, h *fixture, hand byHand) {
			hand.try(bob, "bad", wrong)
			hand.store.catchUp(context.Background())
			again, err := Open(Options{StatePath: path, Now: h.now})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if p := again.Enter(context.Background(), bob, mail.NewSecret("bad")); p.Allowed {
				t.Error("tried again at once")
			}
		}},
		{"its success ends a hold", func(t *testing.T, _ string, h *fixture, hand byHand) {
			h.sleep(40 * time.Minute)
			if p := hand.try(ann, "bad", right); !p.Allowed {
				t.Fatalf("held: %+v", p.Hold)
			}
			hand.store.catchUp(context.Background())
			h.written()
			if h.logged("accepted again") != 1 {
				t.Errorf("log %q, want the success by hand", h.lines)
			}
		}},
		{"it never writes the state file", func(t *testing.T, path string, _ *fixture, hand byHand) {
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				hand.try(user("u", fmt.Sprint("h", i), "u"), "p", AuthVerdict{Tried: true, Accepted: true})
			}
			if err := hand.Close(); err != nil {
				t.Error(err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the state file changed (%v)", err)
			}
			if info, err := os.Stat(path + ".journal"); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the journal: %v, %v; want mode 0600", info, err)
			}
		}},
		{"it sends nothing that it cannot record", func(t *testing.T, path string, _ *fixture, hand byHand) {
			victim := filepath.Join(t.TempDir(), "victim")
			if err := os.Remove(path + ".journal"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(victim, path+".journal"); err != nil {
				t.Fatal(err)
			}
			if p := hand.try(bob, "bad", wrong); p.Allowed {
				t.Error("an attempt without a record")
			}
			if _, err := os.Lstat(victim); err == nil {
				t.Error("a link that lies where the journal should is followed")
			}
			if _, err := Open(Options{StatePath: path}); err == nil {
				t.Error("the next run begins without an error")
			}
		}},
		{"a login under way in another process is waited for", func(t *testing.T, path string, h *fixture, hand byHand) {
			other, err := Open(Options{StatePath: path, Now: h.now})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			first := hand.Enter(context.Background(), bob, mail.NewSecret("bad"))
			if !first.Login(context.Background()) {
				t.Fatalf("held: %+v", first.Hold)
			}
			go func() {
				time.Sleep(200 * time.Millisecond) // by then the other one mostly waits; it need not
				first.Done(wrong)
			}()
			if p := (byHand{other}).try(bob, "bad", wrong); p.Allowed || p.Hold.Reason != mail.AuthRejected {
				t.Errorf("allowed %v with %+v, want the verdict on the first", p.Allowed, p.Hold)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			h := newFixture(t, path)
			h.probe(ann, "bad", wrong)
			h.written()
			hand, err := Open(Options{StatePath: path, Now: h.now})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = hand.Close() }()
			test.run(t, path, h, byHand{hand})
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// byHand is a guard of mailprobe probe.
type byHand struct{ *Guard }

// try makes one probe; a login gets the verdict.
func (hand byHand) try(c *mail.Connection, secret string, v AuthVerdict) *Permit {
	p := hand.Enter(context.Background(), c, mail.NewSecret(secret))
	if !p.Allowed || !p.Login(context.Background()) {
		v = AuthVerdict{}
	}
	p.Done(v)
	return p
}

// Without a serving process, a run by hand makes the file. The next run, or a serving
// process, obeys what is in it.
func TestOpenWithoutAServingProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	ann := user("ann", "mail.example", "ann")
	var until time.Time
	for run := range 4 {
		g, err := Open(Options{StatePath: path})
		if err != nil {
			t.Fatal(err)
		}
		p := byHand{g}.try(ann, "bad", wrong)
		switch {
		case p.Allowed != (run == 0):
			t.Errorf("run %d: allowed %v with %+v", run, p.Allowed, p.Hold)
		case run == 0:
			until = p.Hold.Until
		case !p.Hold.Until.Equal(until):
			t.Errorf("run %d: held until %v, want %v as the first one said", run, p.Hold.Until, until)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
	g, err := New(Options{StatePath: path})
	if err != nil {
		t.Fatal(err)
	}
	if p := (byHand{g}).try(ann, "bad", wrong); p.Allowed {
		t.Error("the serving process does not know the refusal")
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// If no serving process merges the journal into the state file, a run by hand does.
func TestOpenKeepsTheJournalSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	ann := user("ann", "mail.example", "ann")
	g, err := Open(Options{StatePath: path})
	if err != nil {
		t.Fatal(err)
	}
	byHand{g}.try(ann, "bad", wrong)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path+".journal", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(strings.Repeat("{}\n", compactAlone/2)); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if g, err = Open(Options{StatePath: path}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + ".journal"); err != nil || info.Size() > 1000 {
		t.Errorf("the journal has %d bytes (%v), want it taken into the state file", info.Size(), err)
	}
	if p := (byHand{g}).try(ann, "bad", wrong); p.Allowed || p.Hold.Reason != mail.AuthRejected {
		t.Errorf("allowed %v with %+v, want the hold kept", p.Allowed, p.Hold)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// validState is a state file with everything in it.
func validState() string {
	g := newGuard(Options{})
	g.key = newInstallKey()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one, two := keyedHash{1}, keyedHash{2}
	g.apply(event{ID: 1, At: at, Account: one, Tag: 7, Host: one, Address: two, Result: accepted}, "")
	g.apply(event{At: at, Account: two, Tag: 7, Host: one, Result: refused, Reason: mail.AuthExpired}, "")
	g.apply(event{At: at.Add(time.Second), Account: two, Tag: 7, Host: one, Result: refused, Reason: mail.AuthRejected}, "")
	g.apply(event{At: at.Add(time.Second), Account: one, Tag: 8, Host: two, Result: doubtful, Reason: mail.Reset}, "")
	raw, err := json.Marshal(g.snapshot(at))
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// A state file with any content is refused, or leads to a guard that works and whose
// state can be written and read again.
func FuzzReadState(f *testing.F) {
	f.Add([]byte(validState()))
	f.Add([]byte(`{"version":2,"accounts":{},"servers":[{"names":[]},{"names":null,"open":true}]}`))
	f.Add([]byte(`{"version":1,"key":"` + strings.Repeat("A", 43) + `=","accounts":{"` + strings.Repeat("00", 16) + `":{"secrets":[{"tag":1,"next":"9999-12-31T23:59:59Z","refusals":3}]}}}`))
	f.Add([]byte(`[]`))
	path := filepath.Join(f.TempDir(), "state")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		g := newGuard(Options{Now: func() time.Time { return now }})
		f := files{path: path}
		if g.load(&f, false) != nil {
			return
		}
		p := g.Enter(context.Background(), user("a", "a.example", "a"), mail.NewSecret("p"))
		if p.Hold.Until.After(g.now().Add(maxWait)) {
			t.Errorf("held until %v, which is later than any hold", p.Hold.Until)
		}
		p.Done(wrong)
		again, err := json.Marshal(g.snapshot(g.now()))
		if err != nil {
			t.Fatalf("the state cannot be written: %v", err)
		}
		if _, _, err := readState(bytes.NewReader(again)); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}

// Nothing in a journal may stop the guard.
func FuzzReadJournal(f *testing.F) {
	line, err := json.Marshal(event{At: time.Unix(1e9, 0), Account: keyedHash{1}, Host: keyedHash{2}, Result: refused, Interval: time.Minute})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append(line, '\n'), line...))
	f.Add([]byte("\n\n{}\n{\"at\":1}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		g := newGuard(Options{})
		g.key = newInstallKey()
		events, _ := readJournal(bytes.NewReader(raw), true)
		for _, e := range events {
			if e.sane(time.Unix(1e9, 0)) {
				g.apply(e, "")
			}
		}
		if _, err := json.Marshal(g.snapshot(time.Unix(1e9, 0))); err != nil {
			t.Fatalf("the state cannot be written: %v", err)
		}
	})
}
