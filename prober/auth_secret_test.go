package prober

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailprobe/mail"
)

func TestTokenRefusals(t *testing.T) {
	type no struct {
		protocol mail.Protocol
		status   string
		code     string
	}
	const why = `{"status":"401","schemes":"bearer"}`
	tests := []struct {
		name      string
		method    mail.AuthMethod
		challenge string
		verdict   no
		want      mail.Reason
		wantSaid  string // the answer to the error challenge
	}{
		{"xoauth2 says why first", mail.AuthXOAuth2, why, no{mail.SMTP, "535", "5.7.8"}, mail.TokenRejected, ""},
		{"oauthbearer says why first", mail.AuthOAuthBearer, why, no{mail.IMAP, "NO", ""}, mail.TokenRejected, "\x01"},
		{"garbage instead of JSON", mail.AuthXOAuth2, strings.Repeat("\xff{", 4000), no{mail.IMAP, "NO", ""}, mail.TokenRejected, ""},
		{"a temporary 4yz stays temporary", mail.AuthXOAuth2, why, no{mail.SMTP, "454", "4.7.0"}, mail.AuthTemporary, ""},
		{"UNAVAILABLE stays temporary", mail.AuthOAuthBearer, why, no{mail.IMAP, "NO", "UNAVAILABLE"}, mail.AuthTemporary, "\x01"},
		{"SYS/TEMP stays temporary", mail.AuthXOAuth2, why, no{mail.POP3, "-ERR", "SYS/TEMP"}, mail.AuthTemporary, ""},
		{"no challenge at all", mail.AuthXOAuth2, "-", no{mail.IMAP, "NO", ""}, mail.TokenRejected, "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := alice(func(c *mail.Connection) { c.Auth, c.Protocol = tt.method, tt.verdict.protocol })
			server := &fakeServer{room: 1 << 10, offers: offering("XOAUTH2", "OAUTHBEARER"),
				refuse: refuses(c, "AUTH", reply{status: tt.verdict.status, code: tt.verdict.code})}
			if tt.challenge != "-" {
				server.challenges = []string{tt.challenge}
			}
			_, err := authenticate(c, mail.NewSecret("tok"), true, server)
			var refused *refusal
			if d := classify(mail.PhaseAuth, c, err); d.reason != tt.want || !errors.As(err, &refused) || !refused.login.token {
				t.Errorf("%q (%v), want %q and the refusal marked", d.reason, err, tt.want)
			}
			if tt.wantSaid != "-" && server.said[len(server.said)-1] != tt.wantSaid {
				t.Errorf("answered %q, want %q", server.said, tt.wantSaid)
			}
			if strings.Contains(err.Error(), "schemes") {
				t.Errorf("the challenge is in the error: %v", err)
			}
		})
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	good, empty := filepath.Join(dir, "good"), filepath.Join(dir, "empty")
	for path, text := range map[string]string{good: "hunter2\n", empty: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token := func(value string, err error) mail.TokenSource {
		return func(context.Context, bool) (mail.Secret, error) { return mail.NewSecret(value), err }
	}
	tests := []struct {
		name   string
		change func(*mail.Connection)
		want   string
		reason mail.Reason
	}{
		{"a file", func(c *mail.Connection) { c.Password = mail.FileSecret(good) }, "hunter2", ""},
		{"an empty file", func(c *mail.Connection) { c.Password = mail.FileSecret(empty) }, "", mail.LocalSecret},
		{"a missing file", func(c *mail.Connection) { c.Password = mail.FileSecret(good + "x") }, "", mail.LocalSecret},
		{"a directory", func(c *mail.Connection) { c.Password = mail.FileSecret(dir) }, "", mail.LocalSecret},
		{"none needs none", func(c *mail.Connection) { c.Auth = mail.AuthNone }, "", ""},
		{"external needs none", func(c *mail.Connection) { c.Auth = mail.AuthExternal }, "", ""},
		{"a token", func(c *mail.Connection) { c.Token = token("ya29.x", nil) }, "ya29.x", ""},
		{"a token that breaks the frame", func(c *mail.Connection) { c.Token = token("ya29\x01auth", nil) }, "", mail.LocalSecret},
		{"an empty token", func(c *mail.Connection) { c.Token = token("", nil) }, "", mail.LocalSecret},
		{"endpoint down", func(c *mail.Connection) { c.Token = token("", fmt.Errorf("x: %w", mail.ErrTokenUnavailable)) }, "", mail.TokenUnavailable},
		{"endpoint refuses", func(c *mail.Connection) { c.Token = token("", mail.ErrTokenRejected) }, "", mail.TokenRejected},
		{"client secret unreadable", func(c *mail.Connection) { c.Token = token("", mail.ErrTokenSecret) }, "", mail.LocalSecret},
		{"an error nobody named", func(c *mail.Connection) { c.Token = token("", context.Canceled) }, "", mail.TokenUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readSecret(t.Context(), alice(tt.change), false)
			if got.Reveal() != tt.want || reasonIn(err) != tt.reason || (err == nil) != (tt.reason == "") {
				t.Errorf("read %q with %q (%v), want %q with %q", got.Reveal(), reasonIn(err), err, tt.want, tt.reason)
			}
		})
	}
}
