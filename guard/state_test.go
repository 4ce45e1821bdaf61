package guard

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/internal/subprocess"
	"mailprobe/mail"
)

func TestGuardStateSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	ann, bob, cid := user("ann", "mail.example", "ann"), user("bob", "mail.example", "bob"), user("cid", "mail.example", "cid")
	dan, eve := user("dan", "far.example", "dan"), user("eve", "far.example", "eve")
	there := AuthVerdict{Tried: true, Accepted: true, Address: "198.51.100.1:993"}
	h.probe(ann, "p", right)
	h.probe(bob, "p", hungUp)
	h.probe(cid, "p", wrong)
	for _, v := range []AuthVerdict{there, {Tried: true, Class: mail.Definitive, Reason: mail.AuthExpired, Address: there.Address}} {
		h.probe(dan, "p", v)
		h.probe(eve, "p", v)
	}
	restart := func() {
		t.Helper()
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		h.sleep(time.Minute)
		h.open(path)
	}
	restart()
	h.wantHeld(cid, "p", mail.AuthRejected, h.accounts[h.accountHash(cid)].Secrets[0].Next.Sub(h.at))
	h.wantAllowed(cid, "new")
	h.wantHeld(dan, "p", mail.AuthExpired, h.accounts[h.accountHash(dan)].Secrets[0].Next.Sub(h.at))
	if !h.servers[h.serverHash(dan)].Open || h.servers[h.serverHash(user("", "198.51.100.1", ""))] != h.servers[h.serverHash(dan)] {
		t.Error("the mass failure, or the address of the server, is forgotten")
	}
	h.probe(bob, "p", hungUp) // the second in a row
	h.wantHeld(bob, "p", mail.Closed, 35*time.Minute)
	restart()
	h.probe(ann, "p", wrong)
	h.wantHeld(ann, "p", mail.AuthRejected, 5*time.Minute) // proven before the first restart
	if h.stateDamaged() {
		t.Error("an intact file is called damaged")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// An account is refused four times a day at most, whatever it logs in with and
// however often mailprobe is restarted.
func TestGuardStateRemembersTheRefusalsOfTheDay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	ann := user("ann", "mail.example", "ann")
	began := h.at
	for _, secret := range []string{"first", "second", "third"} {
		h.probe(ann, secret, wrong)
		h.sleep(time.Hour)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.open(path)
	h.probe(ann, "fourth", wrong)
	if until := h.accounts[h.accountHash(ann)].Secrets[3].Next; until.Before(began.Add(day)) {
		t.Errorf("the fourth refusal holds until %v, want a day after the first, %v", until, began.Add(day))
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestGuardStateHoldsNoNameAndNoSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	const secret = "correct-horse-battery-staple"
	c := user("canary-connection", "canary-host.example", "canary-user@canary-realm.example")
	h.probe(c, secret, wrong)
	h.probe(c, secret+"2", right)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{secret, "canary", "192.0.2.1", base64.StdEncoding.EncodeToString([]byte(secret)), "horse"} {
		if bytes.Contains(raw, []byte(word)) {
			t.Errorf("the state file holds %q:\n%s", word, raw)
		}
	}
	for _, file := range []string{path, path + ".lock"} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v (%v), want 0600", file, info.Mode(), err)
		}
	}
}

func TestGuardstateDamaged(t *testing.T) {
	good := validState()
	tests := []struct{ name, content string }{
		{"empty", ""},
		{"cut off", good[:len(good)/2]},
		{"another program's", "root:x:0:0:root:/root:/bin/sh\n"},
		{"a later version's", strings.Replace(good, `"version":1`, `"version":99`, 1)},
		{"no key", `{"version":1,"accounts":{}}`},
		{"a negative count", strings.Replace(good, `"refusals":2`, `"refusals":-2`, 1)},
		{"an account that is no hash", `{"version":1,"key":"` + strings.Repeat("A", 43) + `=","accounts":{"ann":{"secrets":[]}}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			h := newFixture(t, path)
			if !h.stateDamaged() || h.said("unusable") != 1 {
				t.Errorf("damaged %v, log %q; want it said", h.stateDamaged(), h.lines)
			}
			ann := user("ann", "mail.example", "ann")
			h.wantAllowed(ann, "p")
			h.probe(ann, "p", wrong)
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != test.content {
				t.Errorf("the damaged file is not kept: %q, %v", kept, err)
			}
			h.open(path)
			h.wantHeld(ann, "p", mail.AuthRejected, 35*time.Minute)
			if h.stateDamaged() {
				t.Error("still damaged after a good write")
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGuardStateSecondProcessRefuses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no flock")
	}
	path := filepath.Join(t.TempDir(), "state")
	first := newFixture(t, path)
	if _, err := New(Options{StatePath: path}); err == nil || !strings.Contains(err.Error(), "another mailprobe is using this state file") {
		t.Errorf("second guard: %v, want a refusal that says why", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := New(Options{StatePath: path})
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestGuardStateThatCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := New(Options{StatePath: filepath.Join(dir, "missing", "state")}); err == nil {
		t.Error("a directory that does not exist is no error")
	}
	path := filepath.Join(dir, "state")
	h := newFixture(t, path)
	ann := user("ann", "mail.example", "ann")
	if err := os.Mkdir(path+".new", 0o700); err != nil { // in the way of the next write
		t.Fatal(err)
	}
	h.probe(ann, "p", wrong)
	h.sleep(time.Hour)
	h.probe(ann, "p", wrong)
	if !h.stateDamaged() || h.said("not kept") != 1 {
		t.Errorf("damaged %v, log %q; want it said once", h.stateDamaged(), h.lines)
	}
	h.wantHeld(ann, "p", mail.AuthRejected, 6*time.Hour) // it goes on in memory
	if err := os.Remove(path + ".new"); err != nil {
		t.Fatal(err)
	}
	h.sleep(7 * time.Hour)
	h.probe(ann, "p", wrong)
	if h.stateDamaged() || h.said("kept again") != 1 {
		t.Errorf("damaged %v, log %q; want the recovery said", h.stateDamaged(), h.lines)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// TestGuardStateSavesSuccessesLazily: 10,000 good logins a minute must not mean
// 10,000 writes.
func TestGuardStateSavesSuccessesLazily(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	writes, last := 0, fs.FileInfo(nil)
	for i := range 300 {
		h.sleep(time.Second)
		h.probe(user("u", "mail.example", fmt.Sprint("u", i)), "p", right)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if last == nil || !os.SameFile(info, last) {
			writes, last = writes+1, info
		}
	}
	if writes < 4 || writes > 7 {
		t.Errorf("%d writes for 300 first successes in five minutes, want one a minute", writes)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.open(path)
	if len(h.accounts) != 300 {
		t.Errorf("%d of 300 accounts kept", len(h.accounts))
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// TestGuardStateSurvivesKill kills a process that does nothing but write.
func TestGuardStateSurvivesKill(t *testing.T) {
	if path := os.Getenv("GUARD_STATE_VICTIM"); path != "" {
		writeForEver(path)
		return
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	path := filepath.Join(t.TempDir(), "state")
	for round := range 8 {
		command := exec.Command(os.Args[0], "-test.run=^TestGuardStateSurvivesKill$")
		command.Env = append(os.Environ(), "GUARD_STATE_VICTIM="+path)
		victim := subprocess.StartFor(t, command)
		for range 3 { // the first one is that of its start
			awaitWrite(t, path)
		}
		time.Sleep(time.Duration(3*round) * time.Millisecond)
		victim.Signal(t, os.Kill)
		_ = victim.Wait() // it was killed
		if raw, err := os.ReadFile(path); err == nil {
			if _, err := readState(bytes.NewReader(raw)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
	state, err := readState(mustOpen(t, path))
	if err != nil || len(state.Accounts) < 2 {
		t.Errorf("%d accounts kept (%v), want those of before the kills", len(state.Accounts), err)
	}
}

// awaitWrite waits until somebody replaces the file.
func awaitWrite(t *testing.T, path string) {
	t.Helper()
	before, _ := os.Stat(path) // nil at first
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, err := os.Stat(path); err == nil && (before == nil || !os.SameFile(before, now)) {
			return
		}
	}
	t.Fatal("the process to be killed wrote nothing within 20 s")
}

func writeForEver(path string) {
	g, err := New(Options{StatePath: path})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		c := user("c", fmt.Sprint("host-", i), fmt.Sprint("user-", i))
		g.mu.Lock()
		e := (&Permit{guard: g, connection: c, account: g.accountHash(c), host: g.serverHash(c)}).event(wrong, time.Now())
		e.Address = keyedHash{}
		urgent := g.apply(e, c.Name)
		g.unlock()
		g.keep(e, urgent)
	}
}

// TestGuardStateConcurrentVerdicts shares writes and loses none.
func TestGuardStateConcurrentVerdicts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	g, err := New(Options{StatePath: path})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	for i := range 100 {
		done.Go(func() {
			p := g.Enter(context.Background(), user("u", fmt.Sprintf("host-%d.example", i), "user"), mail.NewSecret("p"))
			p.Login(t.Context())
			p.Done(AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.AuthRejected})
		})
	}
	done.Wait()
	state, err := readState(mustOpen(t, path)) // before Close: urgent means now
	if err != nil || len(state.Accounts) != 100 {
		t.Errorf("%d accounts on disk (%v), want 100", len(state.Accounts), err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	ann, bob := user("ann", "mail.example", "ann"), user("bob", "bob.example", "bob")
	tests := []struct {
		name string
		run  func(t *testing.T, path string, h *fixture, hand *Guard)
	}{
		{"obeys the holds of the serving process", func(t *testing.T, _ string, _ *fixture, hand *Guard) {
			if p := hand.Enter(context.Background(), ann, mail.NewSecret("bad")); p.Allowed || p.Hold.Reason != mail.AuthRejected {
				t.Errorf("allowed %v with %+v, want held", p.Allowed, p.Hold)
			}
		}},
		{"its refusal holds the serving process", func(t *testing.T, _ string, h *fixture, hand *Guard) {
			p := hand.Enter(context.Background(), bob, mail.NewSecret("bad"))
			p.Done(wrong)
			h.sleep(journalPoll)
			h.probe(bob, "bad", dead)
			h.wantHeld(bob, "bad", mail.AuthRejected, h.accounts[h.accountHash(bob)].Secrets[0].Next.Sub(h.at))
			if h.said("login refused") != 2 {
				t.Errorf("log %q, want the refusal by hand too", h.lines)
			}
		}},
		{"its refusal holds the next run by hand", func(t *testing.T, path string, h *fixture, hand *Guard) {
			p := hand.Enter(context.Background(), bob, mail.NewSecret("bad"))
			p.Done(wrong)
			again, err := Open(Options{StatePath: path, Now: h.now})
			if err != nil {
				t.Fatal(err)
			}
			if p := again.Enter(context.Background(), bob, mail.NewSecret("bad")); p.Allowed {
				t.Error("tried again at once")
			}
		}},
		{"its success ends a hold", func(t *testing.T, _ string, h *fixture, hand *Guard) {
			h.sleep(40 * time.Minute)
			p := hand.Enter(context.Background(), ann, mail.NewSecret("bad"))
			if !p.Allowed {
				t.Fatalf("held: %+v", p.Hold)
			}
			p.Done(right)
			h.sleep(journalPoll)
			h.probe(ann, "bad", dead)
			if h.said("accepted again") != 1 {
				t.Errorf("log %q, want the success by hand", h.lines)
			}
		}},
		{"it never writes the state file", func(t *testing.T, path string, h *fixture, hand *Guard) {
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				p := hand.Enter(context.Background(), user("u", fmt.Sprint("h", i), "u"), mail.NewSecret("p"))
				p.Done(AuthVerdict{Tried: true, Accepted: true})
			}
			if err := hand.Close(); err != nil {
				t.Error(err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the state file changed (%v)", err)
			}
			if info, err := os.Stat(journalPath(path)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the journal: %v, %v; want mode 0600", info, err)
			}
			_ = h
		}},
		{"it follows no link that lies where the journal should", func(t *testing.T, path string, _ *fixture, hand *Guard) {
			victim := filepath.Join(t.TempDir(), "victim")
			if err := os.Symlink(victim, journalPath(path)); err != nil {
				t.Fatal(err)
			}
			p := hand.Enter(context.Background(), bob, mail.NewSecret("bad"))
			p.Done(wrong)
			if _, err := os.Lstat(victim); err == nil || !hand.stateDamaged() {
				t.Errorf("the link's target: %v, holds not kept: %v; want none written, and that said", err, hand.stateDamaged())
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			h := newFixture(t, path)
			h.probe(ann, "bad", wrong)
			hand, err := Open(Options{StatePath: path, Now: h.now})
			if err != nil {
				t.Fatal(err)
			}
			test.run(t, path, h, hand)
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenWithoutState(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"", filepath.Join(dir, "missing")} {
		g, err := Open(Options{StatePath: path})
		if err != nil {
			t.Fatal(err)
		}
		p := g.Enter(context.Background(), user("a", "a.example", "a"), mail.NewSecret("p"))
		p.Done(wrong)
	}
	damaged := filepath.Join(dir, "damaged")
	if err := os.WriteFile(damaged, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if g, err := Open(Options{StatePath: damaged}); err != nil || !g.stateDamaged() {
		t.Errorf("a damaged file: %v, want a guard that says so", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files (%v), want only the damaged one: a hand-run probe makes none", len(entries), err)
	}
}

// validState is a state file with everything in it.
func validState() string {
	g := newGuard(Options{})
	g.key = newInstallKey()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one, two := keyedHash{1}, keyedHash{2}
	g.apply(event{At: at, Account: one, Tag: 7, Host: one, Address: two, Result: accepted}, "")
	g.apply(event{At: at, Account: two, Tag: 7, Host: one, Result: refused, Reason: mail.AuthExpired}, "")
	g.apply(event{At: at.Add(time.Second), Account: two, Tag: 7, Host: one, Result: refused, Reason: mail.AuthRejected}, "")
	g.apply(event{At: at.Add(time.Second), Account: one, Tag: 8, Host: two, Result: doubtful, Reason: mail.Reset}, "")
	raw, err := json.Marshal(g.snapshot(at))
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// FuzzReadState: whatever is in the file, it is refused, or gives a guard that
// works and whose state can be written and read again.
func FuzzReadState(f *testing.F) {
	f.Add([]byte(validState()))
	f.Add([]byte(`{"version":1,"key":"` + strings.Repeat("A", 43) + `=","accounts":{},"destinations":[{"names":[]},{"names":null,"mass":true}]}`))
	f.Add([]byte(`{"version":1,"key":"` + strings.Repeat("A", 43) + `=","accounts":{"` + strings.Repeat("00", 16) + `":{"secrets":[{"tag":1,"next":"9999-12-31T23:59:59Z","refusals":3}]}}}`))
	f.Add([]byte(`[]`))
	path := filepath.Join(f.TempDir(), "state")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		g := newGuard(Options{Now: func() time.Time { return now }})
		if g.load(path) != nil {
			return
		}
		for id := range g.accounts {
			for _, s := range g.accounts[id].Secrets {
				if hold := s.hold(mail.LockoutNormal, now); s.Refusals > 0 && hold.Until.After(now.Add(maxWait)) {
					t.Errorf("held until %v", hold.Until)
				}
			}
		}
		p := g.Enter(context.Background(), user("a", "a.example", "a"), mail.NewSecret("p"))
		p.Done(wrong)
		again, err := json.Marshal(g.snapshot(now))
		if err != nil {
			t.Fatalf("the state cannot be written: %v", err)
		}
		if _, err := readState(bytes.NewReader(again)); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}

// FuzzReadJournal: nothing in it may stop the guard.
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
		for _, e := range readJournal(bytes.NewReader(raw)) {
			if e.sane(time.Unix(1e9, 0)) {
				g.apply(e, "")
			}
		}
		if _, err := json.Marshal(g.snapshot(time.Unix(1e9, 0))); err != nil {
			t.Fatalf("the state cannot be written: %v", err)
		}
	})
}

// mustOpen opens a file for the length of a test.
func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}
