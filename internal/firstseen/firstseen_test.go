package firstseen

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crypto/hmac"
	"crypto/sha256"

	"go.uber.org/goleak"

	"mailprobe/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func keyed(parts ...string) (h [16]byte) {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(strings.Join(parts, "\x00")))
	copy(h[:], mac.Sum(nil))
	return h
}

func maildropOf(user string) *mail.Connection {
	return &mail.Connection{Name: "pop", Protocol: mail.POP3, Encryption: mail.ImplicitTLS, Host: "mail.example.org", Username: user}
}

func open(t *testing.T, path string) *Store {
	t.Helper()
	m, err := Open(path, keyed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// look is one probe: minutes after noon, the ids of the maildrop, and the ages in
// minutes that it must find.
type look struct {
	at     int
	ids    string // first and last, by a space; empty: no message
	oldest int
	newest int
}

func TestAgesOfMaildrops(t *testing.T) {
	stories := []struct {
		name  string
		looks []look
	}{
		{"one message stays", []look{{0, "a a", 0, 0}, {10, "a a", 10, 10}, {70, "a a", 70, 70}}},
		{"others arrive behind it", []look{{0, "a a", 0, 0}, {5, "a b", 5, 0}, {8, "a c", 8, 0}, {9, "a c", 9, 1}}},
		{"the fetcher takes the first", []look{{0, "a b", 0, 0}, {5, "b b", 5, 5}}},
		{"the fetcher takes all, others arrive", []look{{0, "a b", 0, 0}, {5, "c d", 0, 0}}},
		{"the fetcher takes all, one arrives", []look{{0, "a b", 0, 0}, {5, "c c", 0, 0}, {6, "c c", 1, 1}}},
		{"the first is one that was never at an end", []look{{0, "a c", 0, 0}, {30, "b c", 30, 30}, {31, "b d", 31, 0}}},
		{"one that was the last becomes the first", []look{{0, "a b", 0, 0}, {1, "a c", 1, 0}, {2, "a d", 2, 0}, {9, "c d", 8, 7}, {10, "c e", 9, 0}, {11, "d e", 9, 1}}},
		{"an id is used again after the maildrop was empty", []look{{0, "a a", 0, 0}, {50, "", 0, 0}, {60, "a a", 0, 0}}},
		{"an id is used again behind another", []look{{0, "a b", 0, 0}, {50, "b b", 50, 50}, {60, "b a", 60, 0}}},
		{"the newest is deleted", []look{{0, "a c", 0, 0}, {7, "a b", 7, 0}, {9, "a b", 9, 2}}},
		{"every id changes", []look{{0, "a b", 0, 0}, {60, "x y", 0, 0}}},
		{"the clock is set back", []look{{60, "a a", 0, 0}, {0, "a a", 0, 0}, {5, "a b", 0, 0}}},
	}
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			m, c := open(t, ""), maildropOf("anna")
			for _, l := range story.looks {
				now := noon.Add(time.Duration(l.at) * time.Minute)
				if l.ids == "" {
					m.Empty(c, now)
					continue
				}
				first, last, _ := strings.Cut(l.ids, " ")
				oldest, newest := m.Seen(c, first, last, now)
				if a, b := now.Sub(oldest).Minutes(), now.Sub(newest).Minutes(); a != float64(l.oldest) || b != float64(l.newest) {
					t.Errorf("after %d minutes %q are %v and %v minutes old, want %d and %d", l.at, l.ids, a, b, l.oldest, l.newest)
				}
			}
		})
	}
}

// What is remembered of a maildrop is bounded, and the first message stays.
func TestStoreIsBounded(t *testing.T) {
	m, c := open(t, ""), maildropOf("anna")
	for minute := range 10_000 {
		now := noon.Add(time.Duration(minute) * time.Minute)
		oldest, _ := m.Seen(c, "stuck", fmt.Sprint("id", minute), now)
		if oldest != noon {
			t.Fatalf("minute %d: the first message is there since %v", minute, oldest)
		}
	}
	for _, drop := range m.drops {
		if len(drop.Messages) != maxMessages {
			t.Errorf("%d messages are remembered", len(drop.Messages))
		}
	}
	// Once it is gone, what was last before is at least as old as it was seen.
	oldest, _ := m.Seen(c, "id5000", "id9999", noon.Add(10_000*time.Minute))
	if age := noon.Add(10_000 * time.Minute).Sub(oldest); age < time.Minute {
		t.Errorf("the next one is %v old", age)
	}
}

func TestStoreOverRestarts(t *testing.T) {
	path := Path(filepath.Join(t.TempDir(), "state"))
	run := func(use func(*Store)) {
		m := open(t, path)
		use(m)
		m.Save()
	}
	c := maildropOf("anna@example.org")
	run(func(m *Store) { m.Seen(c, "first-id", "last-id", noon) })
	run(func(m *Store) {
		if oldest, _ := m.Seen(c, "first-id", "other", noon.Add(time.Hour)); !oldest.Equal(noon) {
			t.Errorf("after a restart the oldest is of %v", oldest)
		}
		if oldest, _ := m.Seen(maildropOf("bob"), "first-id", "last-id", noon.Add(time.Hour)); !oldest.Equal(noon.Add(time.Hour)) {
			t.Errorf("another account's message is of %v", oldest)
		}
		other := *c
		other.Password = mail.InlineSecret(mail.NewSecret("new"))
		if oldest, _ := m.Seen(&other, "first-id", "other", noon.Add(time.Hour)); !oldest.Equal(noon) {
			t.Errorf("with another password the oldest is of %v", oldest)
		}
	})
	run(func(m *Store) {
		if oldest, newest := m.Seen(c, "first-id", "other", noon.Add(2*time.Hour)); !oldest.Equal(noon) || !newest.Equal(noon.Add(time.Hour)) {
			t.Errorf("after two restarts the messages are of %v and %v", oldest, newest)
		}
	})
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first-id", "last-id", "anna", "example"} {
		if bytes.Contains(raw, []byte(name)) {
			t.Errorf("%s is in the file:\n%s", name, raw)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// IMAP has folders, and its oldest unread message is not the oldest of all.
func TestIMAPFoldersAndModesAreApart(t *testing.T) {
	m := open(t, "")
	mailbox := func(folder string, watch mail.WatchMode) *mail.Connection {
		c := maildropOf("anna@example.org")
		c.Protocol, c.Mailbox, c.Watch = mail.IMAP, folder, watch
		return c
	}
	inbox := mailbox("INBOX", mail.WatchUnread)
	m.Seen(inbox, "2", "3", noon)
	m.Seen(mailbox("INBOX", mail.WatchAll), "1", "3", noon.Add(time.Minute))
	m.Seen(mailbox("Archive", mail.WatchUnread), "7", "8", noon.Add(time.Minute))
	if oldest, newest := m.Seen(inbox, "2", "3", noon.Add(time.Hour)); !oldest.Equal(noon) || !newest.Equal(noon) {
		t.Errorf("of %v and %v, want noon", oldest, newest)
	}
}

func TestMaildropsAreForgottenAfterAMonth(t *testing.T) {
	m := open(t, "")
	m.Seen(maildropOf("gone"), "a", "a", noon)
	m.Seen(maildropOf("here"), "a", "a", noon.Add(31*24*time.Hour))
	if _, err := m.marshal(noon.Add(31 * 24 * time.Hour)); err != nil || len(m.drops) != 1 {
		t.Errorf("%d maildrops, %v", len(m.drops), err)
	}
}

func TestDamagedFiles(t *testing.T) {
	for name, content := range map[string]string{
		"cut off": `{"version":1,"maildr`, "another version": `{"version":9}`, "no maildrop": `{"version":1,"maildrops":{"a":null}}`, "empty": "",
		"too many": `{"version":1,"maildrops":{"a":{"messages":[` + strings.Repeat(`{"id":"x"},`, maxMessages) + `{"id":"x"}]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "seen")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			m, err := Open(path, keyed, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil || !strings.Contains(log.String(), "unusable") {
				t.Fatalf("%v, said %q", err, log.String())
			}
			m.Seen(maildropOf("anna"), "a", "a", noon)
			m.save(noon)
			if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != content {
				t.Errorf("kept %q, %v", kept, err)
			}
			open(t, path)
		})
	}
}

// A folder that cannot be written to is said once.
func TestUnwritableFolderIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	m, err := Open(filepath.Join(t.TempDir(), "missing", "seen"), keyed, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m.Seen(maildropOf("anna"), "a", fmt.Sprint(i), noon)
		m.save(noon)
	}
	if got := strings.Count(log.String(), "not kept"); got != 1 {
		t.Errorf("said %d times:\n%s", got, log.String())
	}
}
