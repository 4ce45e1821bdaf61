package guard

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/systest"
	"mailprobe/mail"
)

// kill starts a guard on a copy of what is on the disk now, as after SIGKILL. It is a copy
// because the old guard may still write.
func (h *fixture) kill(path string) (copied string) {
	h.t.Helper()
	copied = filepath.Join(h.t.TempDir(), "state")
	for _, suffix := range []string{"", ".key", ".journal"} {
		if err := copyFile(path+suffix, copied+suffix); err != nil {
			h.t.Fatal(err)
		}
	}
	h.restart(copied)
	return copied
}

// written waits until everything is on the disk.
func (h *fixture) written() {
	h.t.Helper()
	h.store.catchUp(context.Background())
}

// The answer to the first login is on the disk before a kill: the next process neither
// waits for it nor counts the login as one without an answer.
func TestKillAfterTheFirstLoginHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state")
		h, ann := newFixture(t, path), user("ann", "mail.example", "ann")
		for range 6 {
			if p := h.probe(ann, "p", right); !p.Allowed {
				t.Fatalf("held for %+v, want allowed", p.Hold)
			}
			synctest.Wait() // no time passes
			path = h.kill(path)
		}
	})
}

// Several commands may start at once before there is any file, as the checks of a
// monitoring system do. None takes the files that the others are making for damaged.
func TestFirstCommandsAtOnceFindNoDamage(t *testing.T) {
	t.Parallel()
	for range 20 {
		path := filepath.Join(t.TempDir(), "state")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				g, err := Open(Options{StatePath: path})
				if err != nil {
					t.Error(err)
					return
				}
				if g.damaged || !g.doubtUntil.IsZero() {
					t.Errorf("damaged %v, unknown logins withheld until %v", g.damaged, g.doubtUntil)
				}
				_ = g.Close()
			})
		}
		all.Wait()
	}
}

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
		h.restart(path)
	}
	restart()
	h.wantHeld(cid, "p", mail.AuthRejected, h.nextOf(cid, "p"))
	h.wantAllowed(cid, "new")
	h.wantHeld(dan, "p", mail.AuthExpired, h.nextOf(dan, "p"))
	if !h.servers[h.serverHash(dan)].Open || h.servers[h.serverHash(user("", "198.51.100.1", ""))] != h.servers[h.serverHash(dan)] {
		t.Error("the open circuit breaker, or the address of the server, is forgotten")
	}
	h.probe(bob, "p", hungUp) // the second in a row
	h.wantHeld(bob, "p", mail.Closed, 35*time.Minute)
	restart()
	h.probe(ann, "p", wrong)
	h.wantHeld(ann, "p", mail.AuthRejected, 5*time.Minute) // known to work since before the first restart
	if h.damaged || !h.Unkept().IsZero() {
		t.Error("an intact file is called damaged")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// An account gets four attempts a day, with whatever secrets, and however often mailprobe
// is restarted.
func TestGuardStateRemembersTheAttemptsOfTheDay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	ann := user("ann", "mail.example", "ann")
	began := h.at
	for _, secret := range []string{"first", "second", "third", "fourth"} {
		h.probe(ann, secret, wrong)
		h.sleep(time.Hour)
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		h.restart(path)
	}
	p := h.probe(ann, "fifth", wrong)
	if p.Allowed || p.Hold.Until.Before(began.Add(24*time.Hour)) {
		t.Errorf("the fifth: allowed %v, held until %v, want a day after the first, %v", p.Allowed, p.Hold.Until, began.Add(24*time.Hour))
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
	key, err := os.ReadFile(path + ".key")
	if err != nil || bytes.Contains(raw, bytes.TrimSpace(key)) {
		t.Errorf("the key is in the state file (%v)", err)
	}
	for _, word := range []string{secret, "canary", "192.0.2.1", base64.StdEncoding.EncodeToString([]byte(secret)), "horse"} {
		if bytes.Contains(raw, []byte(word)) {
			t.Errorf("the state file holds %q:\n%s", word, raw)
		}
	}
	for _, file := range []string{path, path + ".key", path + ".journal"} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v (%v), want 0600", file, info.Mode(), err)
		}
	}
}

func TestGuardStateDamaged(t *testing.T) {
	good := validState()
	tests := []struct{ name, content string }{
		{"cut off", good[:len(good)/2]},
		{"a later version's", strings.Replace(good, `"version":2`, `"version":99`, 1)},
		{"no key", `{"version":1,"accounts":{}}`},
		{"the key file is missing", good},
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
			if !h.damaged || h.logged("unusable") != 1 {
				t.Errorf("damaged %v, log %q; want it said", h.damaged, h.lines)
			}
			ann := user("ann", "mail.example", "ann")
			h.wantHeld(ann, "p", mail.AuthHeld, 31*time.Minute) // how often it was tried is not known
			if h.logged("record of logins was damaged") != 1 {
				t.Errorf("log %q; want it said", h.lines)
			}
			h.sleep(32 * time.Minute)
			h.wantAllowed(ann, "p")
			h.probe(ann, "p", wrong)
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != test.content {
				t.Errorf("the damaged file is not kept: %q, %v", kept, err)
			}
			h.restart(path)
			h.wantHeld(ann, "p", mail.AuthRejected, 35*time.Minute)
			if h.damaged {
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

// A file that is not a state file is left as it is.
func TestGuardStateRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	systest.MakeFIFO(t, fifo)
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		write("passwd", "root:x:0:0:root:/root:/bin/sh\n"): "not a state file",
		write("list", "[]"):                    "not a state file",
		dir:                                    "",
		fifo:                                   "not a regular file",
		dangling:                               "a symbolic link that leads to no file",
		filepath.Join(dir, "missing", "state"): "its folder " + filepath.Join(dir, "missing") + " does not exist",
	} {
		var before []byte
		if path != fifo { // which would block
			before, _ = os.ReadFile(path)
		}
		for _, open := range []func(Options) (*Guard, error){New, Open} {
			if _, err := open(Options{StatePath: path}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want a refusal that says %q", path, err, want)
			}
		}
		if path == fifo || path == dir {
			continue
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was written to", path)
		}
	}
}

// A link to the state file stays. A link at the path of the new file is not followed.
func TestGuardStateBehindALink(t *testing.T) {
	dir := t.TempDir()
	real, link, victim := filepath.Join(dir, "real"), filepath.Join(dir, "link"), filepath.Join(dir, "victim")
	if err := os.WriteFile(real, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{link: real, real + ".new": victim} {
		if err := os.Symlink(to, from); err != nil {
			t.Skip(err)
		}
	}
	h := newFixture(t, link)
	h.probe(user("ann", "mail.example", "ann"), "p", wrong)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != real {
		t.Errorf("the link leads to %q (%v), want %q as before", to, err, real)
	}
	if _, err := os.Lstat(victim); err == nil {
		t.Error("a link beside the state file was followed")
	}
	if state, _, err := readState(mustOpen(t, real)); err != nil || len(state.Accounts) != 1 {
		t.Errorf("%+v (%v), want the account in the real file", state, err)
	}
}

// The refusals of the day are taken over from a state file of version 1.
func TestGuardStateOfVersion1(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, "")
	ann := user("ann", "mail.example", "ann@example.org")
	old := fmt.Sprintf(`{"version":1,"key":%q,"accounts":{"%x":{"secrets":[],"refused":%q,"recent":[%q,%q]}}}`,
		base64.StdEncoding.EncodeToString(h.key), h.accountHash("", "ann@example.org"),
		h.at.Format(time.RFC3339), h.at.Add(-time.Minute).Format(time.RFC3339), h.at.Format(time.RFC3339))
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	h.restart(path)
	h.sleep(time.Minute)
	if p := h.probe(ann, "p", wrong); p.Allowed || p.Hold.Reason != mail.AuthHeld {
		t.Errorf("allowed %v with %+v, want no third attempt in half an hour", p.Allowed, p.Hold)
	}
}

// A machine whose clock starts in 1970 gets no further attempts.
func TestGuardStateClockFarBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	ann := user("ann", "mail.example", "ann")
	h.probe(ann, "p", wrong)
	h.probe(ann, "q", wrong)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	today := h.at
	h.at = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	h.restart(path)
	h.sleep(time.Minute)
	for _, secret := range []string{"p", "q", "r"} {
		if h.probe(ann, secret, dead).Allowed {
			t.Errorf("%s is tried while the clock is in 1970", secret)
		}
	}
	h.at = today.Add(20 * time.Minute) // the clock is set
	if h.probe(ann, "r", dead).Allowed {
		t.Error("a third attempt in half an hour")
	}
	h.at = today.Add(40 * time.Minute)
	h.wantAllowed(ann, "r")
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

// Attempts count even if the clock was set back, so that they are in the future.
func TestGuardClockSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	ann := user("ann", "mail.example", "ann@example.org")
	h.sleep(50 * time.Second)
	h.probe(ann, "bad", wrong)
	h.sleep(time.Second)
	h.probe(ann, "worse", wrong)
	h.written()
	h.sleep(-10 * time.Hour)
	path = h.kill(path) // the state file is older than the journal
	held := func() time.Duration {
		p := h.probe(ann, "worst", wrong)
		if p.Allowed || p.Hold.Reason != mail.AuthHeld {
			t.Fatalf("allowed %v with %+v, want it held", p.Allowed, p.Hold)
		}
		return p.Hold.Until.Sub(h.Guard.now())
	}
	if wait := held(); wait != 31*time.Minute {
		t.Errorf("held for %v, want a whole window from now on", wait)
	}
	h.written()
	h.sleep(20 * time.Minute)
	h.kill(path)
	if wait := held(); wait > 31*time.Minute {
		t.Errorf("held for %v, want at most a window", wait)
	}
}

// The serving process has gone on since its clock was found to be behind, and a run by
// hand begins with the time of the state file. Its attempt counts as of the time in the
// journal, not hours earlier.
func TestGuardClockOfARunByHand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	h.probe(user("a", "mail.example", "ann"), "right", right)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.sleep(-1000 * time.Hour)
	h.restart(path)
	h.sleep(10 * time.Hour)
	h.written()
	if n := h.runByHand(path); n != 1 {
		t.Fatalf("%d attempts by hand, want 1", n)
	}
	h.written()
	if n := h.runByHand(path); n != 0 {
		t.Error("a second attempt by hand")
	}
	bad := user("b", "mail.example", "ann")
	h.wantHeld(bad, "worst", mail.AuthHeld, h.nextOf(bad, "worst"))
	if at := h.accounts[h.identify(bad).account].Attempts[0].At; h.Guard.now().Sub(at) > time.Minute {
		t.Errorf("the attempt of just now counts as of %v ago", h.Guard.now().Sub(at))
	}
}
