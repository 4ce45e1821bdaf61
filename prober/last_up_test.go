package prober

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailprobe/guard"
	"mailprobe/mail"
)

// A refused login says first what has changed where the connection worked an hour
// ago; after the secret was replaced, that this is what changed.
func TestRefusedLoginOfAConnectionThatWorked(t *testing.T) {
	fix := newFixture(t)
	server := fix.server(t, mail.IMAP, mail.ImplicitTLS)
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := fix.connection(mail.IMAP, mail.ImplicitTLS, server.Addr, func(c *mail.Connection) { c.Password = mail.FileSecret(file) })
	anHourAgo := time.Now().Add(-time.Hour)
	worked := func(*mail.Connection) time.Time { return anHourAgo }
	newGuard := func() *guard.Guard {
		g, err := guard.New(guard.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	tests := []struct {
		name      string
		lastUp    func(*mail.Connection) time.Time
		before    string // a password accepted before; empty: none
		want, not string
	}{
		{"never worked", nil, "", "The user name or the password in the configuration is wrong", "It last worked"},
		{"nothing known of it", func(*mail.Connection) time.Time { return time.Time{} }, "", "The user name or the password in the configuration is wrong", "It last worked"},
		{"worked an hour ago", worked, "", "the password was changed or has expired", "configuration is wrong"},
		{"worked with another secret", worked, "wonder land", "the secret in the configuration was changed since", "has expired"},
		{"another connection's secret worked", nil, "wonder land", "The user name or the password in the configuration is wrong", "It last worked"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := &Prober{Guard: newGuard(), LastUp: test.lastUp}
			if test.before != "" {
				write(test.before)
				if o := p.Probe(t.Context(), c); !o.Up() {
					t.Fatal(explain(o))
				}
			}
			write("not the password")
			o := p.Probe(t.Context(), c)
			if o.Failure == nil || o.Failure.Reason != mail.AuthRejected {
				t.Fatal(explain(o))
			}
			for range 2 { // while the login is withheld, too
				if advice := o.Failure.Advice(); !strings.Contains(advice, test.want) || strings.Contains(advice, test.not) {
					t.Errorf("advice %q, want %q, not %q", advice, test.want, test.not)
				}
				o = p.Probe(t.Context(), c)
				if !o.Auth.Held {
					t.Fatal(explain(o))
				}
			}
		})
	}
}
