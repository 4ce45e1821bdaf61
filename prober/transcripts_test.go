package prober

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// transcriptRow is one server as it was met, or as its documents show it: a file
// in testdata/transcripts whose first line says where. Its wants are here.
type transcriptRow struct {
	file       string
	encryption mail.Encryption
	token      mail.AuthMethod // log in with a token in this way; empty: with a password
	folder     string          // a shared mailbox, opened as a folder; empty: the user's own
	phase      mail.Phase
	reason     mail.Reason   // empty: it is healthy, odd as it may be
	goodbye    mail.Reason   // why the goodbye went wrong; empty: it did not
	delay      time.Duration // between two logins, as the server announces; 0: none
}

// transcripts are all files; the protocol is the first word of their names.
func transcripts() []transcriptRow {
	return []transcriptRow{
		{file: "imap-gmail", encryption: mail.ImplicitTLS, token: mail.AuthXOAuth2},
		{file: "imap-gmail-token-refused", encryption: mail.ImplicitTLS, token: mail.AuthXOAuth2, phase: mail.PhaseAuth, reason: mail.TokenRejected},
		{file: "imap-gmail-app-password", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMethodForbidden},
		{file: "imap-exchange-online", encryption: mail.ImplicitTLS, token: mail.AuthXOAuth2},
		{file: "imap-exchange-online-not-connected", encryption: mail.ImplicitTLS, token: mail.AuthXOAuth2, phase: mail.PhaseMailbox, reason: mail.NotAuthorized},
		{file: "imap-exchange-2010", encryption: mail.StartTLS},
		{file: "imap-icloud", encryption: mail.ImplicitTLS},
		{file: "imap-netease", encryption: mail.ImplicitTLS},
		{file: "imap-netease-still-unsafe", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.MailboxDenied},
		{file: "imap-courier", encryption: mail.ImplicitTLS},
		{file: "imap-courier-broken-maildir", encryption: mail.NoEncryption, phase: mail.PhaseAuth, reason: mail.MailboxFailed},
		{file: "imap-courier-folder", encryption: mail.StartTLS, folder: "helpdesk"},
		{file: "imap-cyrus", encryption: mail.ImplicitTLS},
		{file: "imap-cyrus-folder-denied", encryption: mail.ImplicitTLS, folder: "helpdesk", phase: mail.PhaseMailbox, reason: mail.MailboxDenied},
		{file: "imap-perdition", encryption: mail.StartTLS},
		{file: "imap-uw", encryption: mail.StartTLS},
		{file: "imap-domino", encryption: mail.ImplicitTLS},
		{file: "imap-hmailserver", encryption: mail.ImplicitTLS},
		{file: "imap-zimbra-proxy", encryption: mail.StartTLS},
		{file: "imap-nginx-backend-down", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthTemporary},
		{file: "imap-closes-at-logout", encryption: mail.NoEncryption},
		{file: "imap-lower-case", encryption: mail.ImplicitTLS},
		{file: "pop3-gmail", encryption: mail.ImplicitTLS, delay: 5 * time.Minute},
		{file: "pop3-gmail-too-soon", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthTooSoon},
		{file: "pop3-exchange-online", encryption: mail.ImplicitTLS, token: mail.AuthXOAuth2},
		{file: "pop3-exchange-online-refused", encryption: mail.ImplicitTLS, token: mail.AuthXOAuth2, phase: mail.PhaseAuth, reason: mail.TokenRejected},
		{file: "pop3-qmail", encryption: mail.ImplicitTLS},
		{file: "pop3-bare-words", encryption: mail.NoEncryption, goodbye: mail.Closed},
		{file: "pop3-sasl-only", encryption: mail.StartTLS},
		{file: "pop3-courier", encryption: mail.StartTLS, delay: 10 * time.Second},
		{file: "pop3-cyrus-no-mailbox", encryption: mail.StartTLS, phase: mail.PhaseAuth, reason: mail.MailboxMissing, delay: time.Minute},
		{file: "pop3-perdition-backend-down", encryption: mail.StartTLS, phase: mail.PhaseAuth, reason: mail.AuthTemporary},
		{file: "pop3-nginx-backend-down", encryption: mail.StartTLS, phase: mail.PhaseAuth, reason: mail.AuthTemporary, goodbye: mail.Closed},
		{file: "smtp-gmail", encryption: mail.StartTLS},
		{file: "smtp-gmail-app-password", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMethodForbidden},
		{file: "smtp-exchange-online", encryption: mail.StartTLS, token: mail.AuthXOAuth2},
		{file: "smtp-exchange-online-basic-off", encryption: mail.StartTLS, phase: mail.PhaseAuth, reason: mail.AuthMethodForbidden},
		{file: "smtp-exchange-online-token-refused", encryption: mail.ImplicitTLS, token: mail.AuthXOAuth2, phase: mail.PhaseAuth, reason: mail.TokenRejected},
		{file: "smtp-gmx", encryption: mail.ImplicitTLS},
		{file: "smtp-qmail-auth", encryption: mail.StartTLS},
		{file: "smtp-exim", encryption: mail.StartTLS},
		{file: "smtp-sendmail", encryption: mail.StartTLS},
		{file: "smtp-courier", encryption: mail.ImplicitTLS},
		{file: "smtp-opensmtpd", encryption: mail.StartTLS},
		{file: "smtp-dovecot-relay-down", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.ServerUnavailable},
		{file: "smtp-junk-in-ehlo", encryption: mail.NoEncryption, goodbye: mail.Closed},
		{file: "smtp-plain-asks-again", encryption: mail.ImplicitTLS},
	}
}

// TestTranscripts plays each server and wants what its users would want: up
// where it is healthy, and else the reason that helps.
func TestTranscripts(t *testing.T) {
	fix := newFaultFixture(t)
	for _, row := range transcripts() {
		t.Run(row.file, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata", "transcripts", row.file+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			word, _, _ := strings.Cut(row.file, "-")
			protocol := mail.Protocol(word)
			fault := faultCase{story: row.file, script: map[mail.Protocol]string{protocol: string(text)},
				token: row.token, phase: row.phase, reason: row.reason, goodbye: row.goodbye}
			fault.change = row.change
			synctest.Test(t, func(t *testing.T) {
				run := fix.playInMemory(t, &fault, protocol, row.encryption)
				run.judge(t)
				if got := run.outcome.Auth.Delay; got != row.delay {
					t.Errorf("delay between logins %v, want %v", got, row.delay)
				}
			})
		})
	}
}

// change takes a password that LOGIN can say in quotes: the files are the
// plain dialogue, without a literal for the letters of a canary.
func (row transcriptRow) change(c *mail.Connection) {
	if row.token == "" {
		c.Password = mail.InlineSecret(mail.NewSecret("correct horse"))
	}
	if row.folder != "" {
		c.SharedMailbox, c.SharedMailboxAccess = row.folder, mail.SharedFolder
	}
}

// TestTranscriptsAreAllPlayed wants a row for every file, and the line at its
// top that says which server it is.
func TestTranscriptsAreAllPlayed(t *testing.T) {
	t.Parallel()
	played := map[string]bool{}
	for _, row := range transcripts() {
		played[row.file+".txt"] = true
	}
	files, err := os.ReadDir(filepath.Join("testdata", "transcripts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("testdata", "transcripts", file.Name()))
		switch {
		case err != nil:
			t.Error(err)
		case !played[file.Name()]:
			t.Errorf("%s: no row plays it", file.Name())
		case !strings.HasPrefix(string(text), "# "):
			t.Errorf("%s: does not say which server it is", file.Name())
		}
	}
}
