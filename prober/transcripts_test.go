package prober

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// transcriptRow is one server as it was met, or as its documents show it: a file
// in testdata/transcripts whose first line says where. Its wants are here.
type transcriptRow struct {
	file       string
	encryption Encryption
	token      AuthMethod // log in with a token in this way; empty: with a password
	folder     string     // a shared mailbox, opened as a folder; empty: the user's own
	phase      Phase
	reason     Reason        // empty: it is healthy, odd as it may be
	goodbye    Reason        // why the goodbye went wrong; empty: it did not
	delay      time.Duration // between two logins, as the server announces; 0: none
}

// transcripts are all files; the protocol is the first word of their names.
func transcripts() []transcriptRow {
	return []transcriptRow{
		{file: "imap-gmail", encryption: ImplicitTLS, token: AuthXOAuth2},
		{file: "imap-gmail-token-refused", encryption: ImplicitTLS, token: AuthXOAuth2, phase: PhaseAuth, reason: TokenRejected},
		{file: "imap-gmail-app-password", encryption: ImplicitTLS, phase: PhaseAuth, reason: AuthMethodForbidden},
		{file: "imap-exchange-online", encryption: ImplicitTLS, token: AuthXOAuth2},
		{file: "imap-exchange-online-not-connected", encryption: ImplicitTLS, token: AuthXOAuth2, phase: PhaseMailbox, reason: NotAuthorized},
		{file: "imap-exchange-2010", encryption: StartTLS},
		{file: "imap-icloud", encryption: ImplicitTLS},
		{file: "imap-netease", encryption: ImplicitTLS},
		{file: "imap-netease-still-unsafe", encryption: ImplicitTLS, phase: PhaseMailbox, reason: MailboxDenied},
		{file: "imap-courier", encryption: ImplicitTLS},
		{file: "imap-courier-broken-maildir", encryption: NoEncryption, phase: PhaseAuth, reason: MailboxFailed},
		{file: "imap-courier-folder", encryption: StartTLS, folder: "helpdesk"},
		{file: "imap-cyrus", encryption: ImplicitTLS},
		{file: "imap-cyrus-folder-denied", encryption: ImplicitTLS, folder: "helpdesk", phase: PhaseMailbox, reason: MailboxDenied},
		{file: "imap-perdition", encryption: StartTLS},
		{file: "imap-uw", encryption: StartTLS},
		{file: "imap-domino", encryption: ImplicitTLS},
		{file: "imap-hmailserver", encryption: ImplicitTLS},
		{file: "imap-zimbra-proxy", encryption: StartTLS},
		{file: "imap-nginx-backend-down", encryption: ImplicitTLS, phase: PhaseAuth, reason: AuthTemporary},
		{file: "imap-closes-at-logout", encryption: NoEncryption},
		{file: "imap-lower-case", encryption: ImplicitTLS},
		{file: "pop3-gmail", encryption: ImplicitTLS, delay: 5 * time.Minute},
		{file: "pop3-gmail-too-soon", encryption: ImplicitTLS, phase: PhaseAuth, reason: AuthTooSoon},
		{file: "pop3-exchange-online", encryption: ImplicitTLS, token: AuthXOAuth2},
		{file: "pop3-exchange-online-refused", encryption: ImplicitTLS, token: AuthXOAuth2, phase: PhaseAuth, reason: TokenRejected},
		{file: "pop3-qmail", encryption: ImplicitTLS},
		{file: "pop3-bare-words", encryption: NoEncryption, goodbye: Closed},
		{file: "pop3-sasl-only", encryption: StartTLS},
		{file: "pop3-courier", encryption: StartTLS, delay: 10 * time.Second},
		{file: "pop3-cyrus-no-mailbox", encryption: StartTLS, phase: PhaseAuth, reason: MailboxMissing, delay: time.Minute},
		{file: "pop3-perdition-backend-down", encryption: StartTLS, phase: PhaseAuth, reason: AuthTemporary},
		{file: "pop3-nginx-backend-down", encryption: StartTLS, phase: PhaseAuth, reason: AuthTemporary, goodbye: Closed},
		{file: "smtp-gmail", encryption: StartTLS},
		{file: "smtp-gmail-app-password", encryption: ImplicitTLS, phase: PhaseAuth, reason: AuthMethodForbidden},
		{file: "smtp-exchange-online", encryption: StartTLS, token: AuthXOAuth2},
		{file: "smtp-exchange-online-basic-off", encryption: StartTLS, phase: PhaseAuth, reason: AuthMethodForbidden},
		{file: "smtp-exchange-online-token-refused", encryption: ImplicitTLS, token: AuthXOAuth2, phase: PhaseAuth, reason: TokenRejected},
		{file: "smtp-gmx", encryption: ImplicitTLS},
		{file: "smtp-qmail-auth", encryption: StartTLS},
		{file: "smtp-exim", encryption: StartTLS},
		{file: "smtp-sendmail", encryption: StartTLS},
		{file: "smtp-courier", encryption: ImplicitTLS},
		{file: "smtp-opensmtpd", encryption: StartTLS},
		{file: "smtp-dovecot-relay-down", encryption: ImplicitTLS, phase: PhaseMailbox, reason: ServerUnavailable},
		{file: "smtp-junk-in-ehlo", encryption: NoEncryption, goodbye: Closed},
		{file: "smtp-plain-asks-again", encryption: ImplicitTLS},
	}
}

// TestTranscripts plays each server and wants what its users would want: up
// where it is healthy, and else the reason that helps.
func TestTranscripts(t *testing.T) {
	b := newFaultBed(t)
	for _, row := range transcripts() {
		t.Run(row.file, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata", "transcripts", row.file+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			word, _, _ := strings.Cut(row.file, "-")
			protocol := Protocol(word)
			fault := faultRow{story: row.file, script: map[Protocol]string{protocol: string(text)},
				token: row.token, phase: row.phase, reason: row.reason, goodbye: row.goodbye}
			fault.change = row.change
			synctest.Test(t, func(t *testing.T) {
				run := b.playInMemory(t, &fault, protocol, row.encryption)
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
func (row transcriptRow) change(c *Connection) {
	if row.token == "" {
		c.Password = InlineSecret(NewSecret("correct horse"))
	}
	if row.folder != "" {
		c.SharedMailbox, c.SharedMailboxAccess = row.folder, SharedFolder
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
