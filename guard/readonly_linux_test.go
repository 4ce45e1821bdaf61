package guard

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailprobe/mail"
)

// readOnlyDisk returns a directory and a function that makes it read-only, or writable
// again. Files that are open already stay writable.
func readOnlyDisk(t *testing.T) (dir string, readOnly func(bool)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir = t.TempDir()
	mounted := 0
	leave := func() {
		for ; mounted > 0; mounted-- {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(leave)
	return dir, func(yes bool) {
		if !yes {
			leave()
			return
		}
		if mounted > 0 {
			return
		}
		if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
			t.Skip("needs the right to mount:", err)
		}
		mounted++
		if err := syscall.Mount("none", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// The disk turns read-only, as a broken one does on Linux, while the program is killed and
// started again ten times in ten minutes.
func TestAttacksReadOnlyDisk(t *testing.T) {
	for _, a := range readOnlyAttacks {
		t.Run(a.number, func(t *testing.T) {
			dir, readOnly := readOnlyDisk(t)
			path := filepath.Join(dir, "state")
			h := newFixture(t, path)
			ann := user("a", "mail.example", "ann")
			if a.known {
				h.probe(ann, "bad", right)
				h.sleep(time.Minute)
			}
			attempts := 0
			send := func() *Permit {
				p := h.Enter(context.Background(), ann, mail.NewSecret("bad"))
				if p.Allowed && p.Login(context.Background()) {
					attempts++
					return p
				}
				p.Done(AuthVerdict{})
				return nil
			}
			var open *Permit
			if a.open {
				open = send()
			}
			h.written()
			for i := range 10 {
				if i == 0 && !a.open {
					_ = h.Close()
				}
				readOnly(true)
				if open != nil && a.answered {
					open.Done(wrong)
				}
				h.restart(path) // the old process can write no more
				open = nil
				if p := send(); p != nil {
					p.Done(wrong)
				}
				h.sleep(time.Minute)
			}
			if attempts > a.attempts || a.open && attempts == 0 {
				t.Errorf("%s: %d attempts, want at most %d", a.name, attempts, a.attempts)
			}
			if h.Unkept().IsZero() {
				t.Error("Unkept reports that holds are kept")
			}
			if p := h.probe(ann, "bad", right); p.Allowed || p.Hold.Reason == "" {
				t.Errorf("allowed %v, hold %+v", p.Allowed, p.Hold)
			}
			readOnly(false)
			h.catchUpUntilKept()
			if p := h.probe(user("b", "other.example", "bob"), "p", right); !p.Allowed {
				t.Errorf("held with %+v although it can be written again", p.Hold)
			}
		})
	}
}

// catchUpUntilKept waits until the writer has found that it can write.
func (h *fixture) catchUpUntilKept() {
	h.t.Helper()
	for end := time.Now().Add(5 * time.Second); !h.Unkept().IsZero(); h.written() {
		if time.Now().After(end) {
			h.t.Fatal("still not kept")
		}
	}
}

// If nothing can be written from the start, a login that works is allowed after half an
// hour.
func TestStartOnAReadOnlyDiskHoldsLoginsForHalfAnHour(t *testing.T) {
	dir, readOnly := readOnlyDisk(t)
	path := filepath.Join(dir, "state")
	h := newFixture(t, path)
	ann := user("a", "mail.example", "ann")
	refused := user("c", "mail.example", "cid")
	h.probe(ann, "p", right)
	h.probe(refused, "p", right)
	h.store.save()
	h.written()
	h.sleep(time.Second)
	h.probe(refused, "p", wrong)
	h.written() // to the journal
	readOnly(true)
	h.restart(path)
	p := h.probe(ann, "p", right)
	if p.Allowed || !strings.Contains(p.Hold.Because, "nothing can be written") || !p.Hold.Until.Equal(h.at.Add(halfHour)) {
		t.Errorf("allowed %v, %+v, want it held for half an hour", p.Allowed, p.Hold)
	}
	h.sleep(halfHour)
	h.wantAllowed(ann, "p")
	if p := h.probe(refused, "p", wrong); p.Allowed {
		t.Error("a login was tried although the journal, which can be read, has its refusal")
	}
	if p := h.probe(user("b", "mail.example", "bob"), "new", wrong); p.Allowed {
		t.Error("a login that is not known to work, and cannot be recorded, was tried")
	}
}
