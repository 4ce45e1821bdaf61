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

	auth          mail.AuthMethod // configured; empty: auto
	mechanism     mail.AuthMethod // the one used last; empty: any
	refusedUnsent int             // mechanisms refused before anything of a credential was sent
	unsent        bool            // nothing of a credential was sent at all
	advice        string          // words that the advice must have
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
		{file: "imap-plain-refused-early", encryption: mail.ImplicitTLS, refusedUnsent: 1, mechanism: mail.AuthLogin},
		{file: "imap-plain-refused-early-configured", encryption: mail.ImplicitTLS, auth: mail.AuthPlain, phase: mail.PhaseAuth, reason: mail.AuthMechanism, unsent: true, advice: "`auth: login`"},
		{file: "imap-plain-bad-early", encryption: mail.ImplicitTLS, refusedUnsent: 1, mechanism: mail.AuthLogin},
		{file: "imap-plain-refused-early-then-wrong", encryption: mail.ImplicitTLS, refusedUnsent: 1, mechanism: mail.AuthLogin, phase: mail.PhaseAuth, reason: mail.AuthRejected},
		{file: "imap-prompt-is-text", encryption: mail.ImplicitTLS},
		{file: "imap-logindisabled-scram", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMechanism, unsent: true, advice: "scram-sha-256"},
		{file: "imap-exchange-takes-ok-back", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.NotAuthorized, advice: "password"},
		{file: "imap-exchange-full", encryption: mail.ImplicitTLS, phase: mail.PhaseGreeting, reason: mail.ServerUnavailable},
		{file: "imap-dovecot-internal-error", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthTemporary},
		{file: "imap-gmail-bandwidth", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.ServerLimit, advice: "quota"},
		{file: "imap-uw-other-users", encryption: mail.ImplicitTLS, folder: "helpdesk"},
		{file: "pop3-auth-refused-early", encryption: mail.ImplicitTLS, refusedUnsent: 1, mechanism: mail.AuthLogin},
		{file: "pop3-prompt-is-text", encryption: mail.ImplicitTLS},
		{file: "pop3-qpopper-lock", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.MailboxInUse},
		{file: "pop3-outlook-too-often", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.ServerLimit},
		{file: "pop3-hotmail-stat", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.AuthTooSoon},
		{file: "pop3-perdition-refused", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthTemporary, advice: "behind it"},
		{file: "smtp-login-refused-early", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMechanism, unsent: true},
		{file: "smtp-login-listed-but-unknown", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMechanism, unsent: true, advice: "`auth: cram-md5`"},
		{file: "smtp-prompt-is-text", encryption: mail.ImplicitTLS, mechanism: mail.AuthLogin},
		{file: "smtp-exchange-ehlo-refused", encryption: mail.ImplicitTLS, phase: mail.PhaseHello, reason: mail.CommandRejected, advice: "`ehlo`"},
		{file: "smtp-exim-helo-refused-at-mail", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.CommandRejected, advice: "`ehlo`"},
		{file: "smtp-netease-sender", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.NotAuthorized, advice: "`sender`"},
		{file: "smtp-starttls-421", encryption: mail.StartTLS, phase: mail.PhaseStartTLS, reason: mail.ServerUnavailable},
		{file: "smtp-exchange-online-basic-retired", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMethodForbidden, advice: "xoauth2"},
		{file: "smtp-postfix-no-mechanism", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthTemporary},
		{file: "imap-alert-before-bare-no", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthDisabled, advice: "Switch on"},
		{file: "imap-alert-that-tells-nothing", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthRejected},
		{file: "imap-alert-beside-a-code", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthRejected},
		{file: "imap-prompt-is-base64", encryption: mail.ImplicitTLS},
		{file: "imap-exchange-untagged-not-connected", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.NotAuthorized, advice: "password"},
		{file: "imap-logindisabled-xoauth2", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMechanism, unsent: true, advice: "xoauth2"},
		{file: "imap-folder-literals", encryption: mail.ImplicitTLS, folder: "helpdesk"},
		{file: "imap-folder-missing", encryption: mail.ImplicitTLS, folder: "helpdesk", phase: mail.PhaseMailbox, reason: mail.MailboxMissing, advice: "`mailbox`"},
		{file: "imap-namespace-unknown", encryption: mail.ImplicitTLS, folder: "helpdesk", phase: mail.PhaseMailbox, reason: mail.CommandRejected, advice: "`mailbox`"},
		{file: "smtp-starttls-451", encryption: mail.StartTLS, phase: mail.PhaseStartTLS, reason: mail.ServerUnavailable},
		{file: "smtp-login-refused-after-name", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthRejected},
		{file: "smtp-empty-prompts", encryption: mail.ImplicitTLS, mechanism: mail.AuthLogin},
		{file: "smtp-external-alone", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMechanism, unsent: true, advice: "external"},
		{file: "pop3-off-at-user", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthDisabled, advice: "Switch on"},
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
		{file: "smtp-plain-listed-but-unknown", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthMechanism, advice: "`auth: sasl-login`"},
		{file: "smtp-cisco-inspection", encryption: mail.StartTLS, phase: mail.PhaseStartTLS, reason: mail.StartTLSNotOffered, unsent: true, advice: "SMTP inspection"},
		{file: "smtp-blocked-at-auth", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.ServerRefused, unsent: true, advice: "block list"},
		{file: "imap-interia-not-enabled", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.AuthDisabled, advice: "Switch on"},
		{file: "imap-icewarp-intrusion", encryption: mail.ImplicitTLS, phase: mail.PhaseGreeting, reason: mail.ProtocolMalformed, unsent: true, advice: "ban"},
		{file: "imap-login-referral", encryption: mail.ImplicitTLS, phase: mail.PhaseAuth, reason: mail.AuthRejected, advice: "`host`"},
		{file: "imap-cyrus-dotted-folder", encryption: mail.ImplicitTLS, folder: "help.desk"},
		{file: "imap-web-server", encryption: mail.ImplicitTLS, phase: mail.PhaseGreeting, reason: mail.Timeout, unsent: true, advice: "HTTPS"},
		{file: "pop3-exchange-takes-ok-back", encryption: mail.ImplicitTLS, phase: mail.PhaseMailbox, reason: mail.NotAuthorized, advice: "password"},
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
				token: row.token, phase: row.phase, reason: row.reason, goodbye: row.goodbye,
				refusedUnsent: row.refusedUnsent, unsent: row.unsent}
			fault.change = row.change
			synctest.Test(t, func(t *testing.T) {
				run := fix.playInMemory(t, &fault, protocol, row.encryption)
				run.judge(t)
				if got := run.outcome.Auth.Mechanism; row.mechanism != "" && got != row.mechanism {
					t.Errorf("logged in by %q, want %q", got, row.mechanism)
				}
				if row.advice != "" && !strings.Contains(run.outcome.Failure.Advice(), row.advice) {
					t.Errorf("advice %q, want %q in it", run.outcome.Failure.Advice(), row.advice)
				}
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
	if row.auth != "" {
		c.Auth = row.auth
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
