package guard

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/internal/subprocess"
	"mailprobe/mail"
)

func TestGuardStateThatCannotBeKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	ann, bob := user("ann", "mail.example", "ann"), user("bob", "mail.example", "bob")
	h.probe(bob, "p", right)
	h.written()
	breakJournal(t, path)
	for range 3 {
		if p := h.probe(ann, "p", wrong); p.Allowed || !strings.Contains(p.Hold.Because, "could not be recorded") {
			t.Errorf("allowed %v because %q, want no attempt that is not recorded", p.Allowed, p.Hold.Because)
		}
		h.written() // the writer has noted the failure, at this time
		h.sleep(time.Hour)
	}
	if !h.Unkept().Equal(h.at.Add(-3*time.Hour)) || h.logged("not kept") != 1 {
		t.Errorf("not kept since %v, log %q; want it said once", h.Unkept(), h.lines)
	}
	h.wantAllowed(bob, "p") // it is known to work
	if err := os.Remove(path + ".journal"); err != nil {
		t.Fatal(err)
	}
	h.probe(ann, "p", wrong)
	h.written()
	if !h.Unkept().IsZero() || h.logged("kept again") != 1 {
		t.Errorf("not kept since %v, log %q; want the recovery said", h.Unkept(), h.lines)
	}
	h.kill(path)
	h.wantHeld(ann, "p", mail.AuthRejected, 35*time.Minute)
}

// breakJournal replaces the journal by a directory, so that nothing can be recorded.
func breakJournal(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path + ".journal"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".journal", 0o700); err != nil {
		t.Fatal(err)
	}
}

// A disk that does not answer delays no login that is known to work, and others for a
// bounded time.
func TestGuardStateDiskHangs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	ann, bob := user("ann", "mail.example", "ann"), user("bob", "mail.example", "bob")
	h.probe(bob, "p", right)
	h.written()
	hanging := mustOpen(t, path+".journal") // as long as it is locked, nothing is written
	if _, err := lock(hanging, path+".journal", 0); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 20 {
		h.wantAllowed(bob, "p")
		h.probe(bob, "p", right)
	}
	if took := time.Since(began); took > 10*time.Second { // 20 s if each waited for the disk
		t.Errorf("20 logins that are known to work took %v", took)
	}
	if p := h.probe(ann, "p", wrong); p.Allowed {
		t.Error("an attempt that was not recorded")
	}
	if took := time.Since(began); took > 30*time.Second || h.Unkept().IsZero() {
		t.Errorf("withheld after %v, not kept since %v; want it bounded, and known", took, h.Unkept())
	}
}

// 10,000 good logins a minute must not cause 10,000 writes.
func TestGuardStateSavesSuccessesLazily(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h := newFixture(t, path)
	writes, last := 0, fs.FileInfo(nil)
	for i := range 300 {
		h.sleep(time.Second)
		h.probe(user("u", "mail.example", fmt.Sprint("u", i)), "p", right)
		h.written()
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
	h.restart(path)
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
		time.Sleep(time.Duration(3*round) * time.Millisecond) // the kill comes at another moment of a write each time
		victim.Signal(t, os.Kill)
		_ = victim.Wait() // it was killed
		if raw, err := os.ReadFile(path); err == nil {
			if _, _, err := readState(bytes.NewReader(raw)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
	state, _, err := readState(mustOpen(t, path))
	if err != nil || len(state.Accounts) < 2 {
		t.Fatalf("%d accounts kept (%v), want those of before the kills", len(state.Accounts), err)
	}
	if !state.DoubtUntil.IsZero() {
		t.Errorf("a kill is taken for damage: unknown logins are withheld until %v", state.DoubtUntil)
	}
}

// awaitWrite waits until the file is replaced.
func awaitWrite(t *testing.T, path string) {
	t.Helper()
	before, _ := os.Stat(path)                                                                          // nil at first
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) { // a file: nothing to wait on
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
		p := g.Enter(context.Background(), user("c", fmt.Sprint("host-", os.Getpid(), i), fmt.Sprint("user-", os.Getpid(), i)), mail.NewSecret("p"))
		p.Login(context.Background())
		p.Done(AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.AuthRejected})
		if i%10 == 0 {
			g.store.save()
		}
	}
}

// Concurrent verdicts share writes, and none is lost.
func TestGuardStateConcurrentVerdicts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	g, err := New(Options{StatePath: path})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	for i := range 100 {
		done.Go(func() {
			p := g.Enter(context.Background(), user("u", fmt.Sprintf("host-%d.example", i), fmt.Sprint("user-", i)), mail.NewSecret("p"))
			p.Login(t.Context())
			p.Done(AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.AuthRejected})
		})
	}
	done.Wait()
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	state, _, err := readState(mustOpen(t, path))
	if err != nil || len(state.Accounts) != 100 {
		t.Errorf("%d accounts on disk (%v), want 100", len(state.Accounts), err)
	}
}
