package prober

import (
	"slices"
	"strings"
	"testing"

	"mailprobe/mail"
)

// golden is a server's no, as it came over the wire, and what it means.
type golden struct {
	from     string // the server, or the RFC, that says so
	protocol mail.Protocol
	command  string
	line     string // lines of an SMTP reply are parted by "\n"
	want     mail.Reason

	authzid, token, clear, unsent bool

	doubtful bool   // it may mean a wrong password although the reason says otherwise
	advice   string // words that the advice must have; empty: any
}

// goldenRefusals has at least one line for each rule.
var goldenRefusals = slices.Concat(codeRefusals, fieldRefusals, neighbourRefusals, causeRefusals)

// codeRefusals are about codes, and about the order of evidence.
var codeRefusals = []golden{
	// IMAP: greeting and outside of a login.
	{from: "RFC 9051", protocol: mail.IMAP, command: "GREETING", line: "* BYE go away", want: mail.ServerRefused},
	{from: "RFC 5530", protocol: mail.IMAP, command: "GREETING", line: "* BYE [UNAVAILABLE] backend down", want: mail.ServerUnavailable},
	{from: "Dovecot", protocol: mail.IMAP, command: "GREETING", line: "* BYE Too many connections from your IP", want: mail.ServerLimit},
	{from: "Courier", protocol: mail.IMAP, command: "GREETING", line: "* BYE Temporarily unavailable", want: mail.ServerUnavailable},
	{from: "Dovecot 2.4", protocol: mail.IMAP, command: "GREETING", line: "* BYE Auth process broken", want: mail.ServerUnavailable},
	{from: "broken", protocol: mail.IMAP, command: "GREETING", line: "* NO not today", want: mail.ProtocolMalformed},
	{from: "broken", protocol: mail.IMAP, command: "GREETING", line: "* BAD not today", want: mail.ProtocolMalformed},
	{from: "RFC 9051", protocol: mail.IMAP, command: "CAPABILITY", line: "A1 BAD what?", want: mail.CommandRejected},
	{from: "RFC 9051", protocol: mail.IMAP, command: "CAPABILITY", line: "A1 NO [CONTACTADMIN] no", want: mail.CommandRejected},
	{from: "RFC 5530", protocol: mail.IMAP, command: "NAMESPACE", line: "A1 NO [SERVERBUG] oops", want: mail.ServerUnavailable},
	{from: "RFC 5530", protocol: mail.IMAP, command: "NAMESPACE", line: "A1 NO [CLIENTBUG] rate limit", want: mail.CommandRejected},
	{from: "broken", protocol: mail.IMAP, command: "CAPABILITY", line: "A1 OK but not so", want: mail.ProtocolMalformed},
	{from: "RFC 9051", protocol: mail.IMAP, command: "LOGOUT", line: "A1 BAD no", want: mail.CommandRejected},
	// IMAP: STARTTLS.
	{from: "RFC 9051", protocol: mail.IMAP, command: "STARTTLS", line: "A1 NO [UNAVAILABLE] no key", want: mail.StartTLSRefused},
	{from: "RFC 9051", protocol: mail.IMAP, command: "STARTTLS", line: "A1 BAD not now", want: mail.StartTLSRefused},
	// IMAP: login.
	{from: "Dovecot", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Authentication failed.", want: mail.AuthRejected},
	{from: "Gmail", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", want: mail.AuthRejected},
	{from: "a text softens no code", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Too many simultaneous connections", want: mail.AuthRejected},
	{from: "Exchange", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO LOGIN failed.", want: mail.AuthRejected},
	{from: "Exchange Online", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO AUTHENTICATE failed.", want: mail.TokenRejected, token: true},
	{from: "unknown wording", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [ALERT] Der Zugang ist vorübergehend gesperrt", want: mail.AuthRejected},
	{from: "unknown code", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [XVENDOR 5] no", want: mail.AuthRejected},
	{from: "Yahoo", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHORIZATIONFAILED] Incorrect username or password", want: mail.AuthRejected},
	{from: "a text softens no code", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHORIZATIONFAILED] Too many simultaneous connections", want: mail.AuthRejected},
	{from: "RFC 5530", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO [AUTHORIZATIONFAILED] not for you", want: mail.NotAuthorized, authzid: true},
	{from: "RFC 5530", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [EXPIRED] change it", want: mail.AuthExpired},
	{from: "RFC 5530", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [PRIVACYREQUIRED] not in clear", want: mail.AuthNeedsTLS, clear: true},
	{from: "directory", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Password expired", want: mail.AuthExpired},
	{from: "Cyrus", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Login failed: password expired", want: mail.AuthExpired},
	{from: "Dovecot", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", want: mail.AuthNeedsTLS, clear: true},
	{from: "Dovecot 1", protocol: mail.IMAP, command: "LOGIN", line: "A1 BAD Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", want: mail.AuthNeedsTLS, clear: true},
	{from: "Dovecot 2.4", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Cleartext authentication disallowed on non-secure (SSL/TLS) connections.", want: mail.AuthNeedsTLS, clear: true},
	{from: "Cyrus", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Login only available under a layer", want: mail.AuthNeedsTLS, clear: true},
	{from: "RFC 5530", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [CONTACTADMIN] locked", want: mail.AuthDisabled},
	{from: "Gmail", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page (Failure)", want: mail.AuthDisabled},
	{from: "Zoho", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [ALERT] You are yet to enable IMAP for your account. Please contact your administrator (Failure)", want: mail.AuthDisabled},
	{from: "Zimbra", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] account is locked", want: mail.AuthDisabled},
	{from: "hMailServer", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO The account is disabled.", want: mail.AuthDisabled},
	{from: "Yahoo", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Your account has been locked", want: mail.AuthDisabled},
	{from: "Gmail", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)", want: mail.AuthMethodForbidden},
	{from: "Gmail", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)", want: mail.AuthMethodForbidden},
	{from: "Gmail", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [WEBALERT https://accounts.google.com/] Web login required.", want: mail.AuthMethodForbidden},
	{from: "Mail.ru", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] NEOBHODIM parol prilozheniya / Application password is REQUIRED", want: mail.AuthMethodForbidden},
	{from: "Gmail", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [ALERT] Too many simultaneous connections. (Failure)", want: mail.ServerLimit},
	{from: "Gmail", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [ALERT] Account exceeded command or bandwidth limits. (Failure)", want: mail.ServerLimit},
	{from: "Dovecot", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)", want: mail.ServerLimit},
	{from: "RFC 5530", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [LIMIT] enough", want: mail.ServerLimit},
	{from: "Exchange Online", protocol: mail.IMAP, command: "LOGIN", line: "A1 BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds", want: mail.ServerLimit},
	{from: "Dovecot", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", want: mail.ServerLimit},
	{from: "Dovecot", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [UNAVAILABLE] Temporary authentication failure. [mail:2026-11-23 00:00:00]", want: mail.AuthTemporary},
	{from: "RFC 5530", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [SERVERBUG] Internal error occurred.", want: mail.AuthTemporary},
	{from: "RFC 5530", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [UNAVAILABLE] backend down", want: mail.AuthTemporary},
	{from: "RFC 5530", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [INUSE] locked for now", want: mail.AuthTemporary},
	{from: "Exim", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Temporary authentication failure.", want: mail.AuthTemporary},
	{from: "Exchange", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Server Unavailable. 15", want: mail.AuthTemporary},
	{from: "Courier", protocol: mail.IMAP, command: "LOGIN", line: "* BYE Temporary problem, please try again later", want: mail.AuthTemporary},
	{from: "nginx", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Temporary server problem, try again later", want: mail.AuthTemporary},
	{from: "nginx", protocol: mail.IMAP, command: "LOGIN", line: "* BAD internal server error", want: mail.AuthTemporary, doubtful: true},
	{from: "perdition", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO failed: Could not connect to server", want: mail.AuthTemporary},
	{from: "Cyrus without its saslauthd", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Login failed: generic failure", want: mail.AuthTemporary, doubtful: true},
	{from: "Cyrus", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Login failed: authentication failure", want: mail.AuthRejected},
	{from: "perdition", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO failed: Re-Authentication Failure", want: mail.AuthTemporary, doubtful: true},
	{from: "Gmail", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Too many login failures, try again later", want: mail.AuthTooSoon},
	{from: "Dovecot", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO Unsupported authentication mechanism.", want: mail.AuthMechanism},
	{from: "Cyrus", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 BAD Unsupported SASL mechanism", want: mail.AuthMechanism},
	{from: "mox", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO mechanism not supported", want: mail.AuthMechanism},
	{from: "RFC 9051", protocol: mail.IMAP, command: "AUTHENTICATE PLAIN", line: "A1 BAD invalid arguments", want: mail.CommandRejected},
	{from: "a text softens no code", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [CLIENTBUG] too many connections", want: mail.CommandRejected},
	{from: "Dovecot", protocol: mail.IMAP, command: "LOGIN", line: "* BYE Disconnected for inactivity during authentication.", want: mail.Closed},
	// IMAP: mailbox.
	{from: "Exchange", protocol: mail.IMAP, command: "EXAMINE", line: "A1 BAD User is authenticated but not connected.", want: mail.NotAuthorized, doubtful: true},
	{from: "Courier", protocol: mail.IMAP, command: "LOGIN", line: "* BYE [ALERT] Fatal error: Account's mailbox directory is not owned by the correct uid or gid: ", want: mail.MailboxFailed},
	{from: "NetEase", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO EXAMINE Unsafe Login. Please contact kefu@188.com for help", want: mail.MailboxDenied},
	{from: "RFC 5530", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [NONEXISTENT] rate limit", want: mail.MailboxMissing},
	{from: "RFC 9051", protocol: mail.IMAP, command: "STATUS", line: "A1 NO [TRYCREATE] too many connections", want: mail.MailboxMissing},
	{from: "bare", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO Mailbox doesn't exist: X", want: mail.MailboxMissing},
	{from: "RFC 5530", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [NOPERM] no", want: mail.MailboxDenied},
	{from: "Cyrus", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO Permission denied", want: mail.MailboxDenied},
	{from: "Courier", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO Access denied for SELECT/EXAMINE on #shared.helpdesk (ACL \"r\" required)", want: mail.MailboxDenied},
	{from: "Courier", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO Mailbox does not exist, or must be subscribed to.", want: mail.MailboxMissing},
	{from: "RFC 5530", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [AUTHORIZATIONFAILED] no", want: mail.MailboxDenied},
	{from: "RFC 5530", protocol: mail.IMAP, command: "SELECT", line: "A1 NO [INUSE] busy", want: mail.MailboxInUse},
	{from: "RFC 5530", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [CORRUPTION] damaged", want: mail.MailboxFailed},
	{from: "RFC 5530", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [CANNOT] no", want: mail.MailboxFailed},
	{from: "RFC 5530", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [OVERQUOTA] full", want: mail.MailboxFailed},
	{from: "RFC 5530", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [CONTACTADMIN] ask", want: mail.MailboxFailed},
	{from: "RFC 5530", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [UNAVAILABLE] later", want: mail.ServerUnavailable},
	{from: "Dovecot", protocol: mail.IMAP, command: "EXAMINE", line: "* BYE Server shutting down.", want: mail.Closed},
	{from: "Yandex", protocol: mail.IMAP, command: "EXAMINE", line: "* BYE Autologout; idle for too long", want: mail.Closed},

	// POP3: greeting and outside of a login.
	{from: "RFC 1939", protocol: mail.POP3, command: "GREETING", line: "-ERR go away", want: mail.ServerRefused},
	{from: "RFC 3206", protocol: mail.POP3, command: "GREETING", line: "-ERR [SYS/TEMP] later", want: mail.ServerUnavailable},
	{from: "RFC 3206", protocol: mail.POP3, command: "GREETING", line: "-ERR [SYS/PERM] never", want: mail.ServerRefused},
	{from: "unknown detail", protocol: mail.POP3, command: "GREETING", line: "-ERR [SYS/DISK] later", want: mail.ServerUnavailable},
	{from: "Courier", protocol: mail.POP3, command: "GREETING", line: "-ERR Too many connections", want: mail.ServerLimit},
	{from: "Exim", protocol: mail.POP3, command: "GREETING", line: "-ERR busy, try again later", want: mail.ServerUnavailable},
	{from: "Dovecot 2.4", protocol: mail.POP3, command: "GREETING", line: "-ERR Auth process broken", want: mail.ServerUnavailable},
	{from: "Dovecot", protocol: mail.POP3, command: "GREETING", line: "-ERR [SYS/TEMP] Maximum number of connections exceeded", want: mail.ServerLimit},
	{from: "RFC 2449", protocol: mail.POP3, command: "CAPA", line: "-ERR what?", want: mail.CommandRejected},
	{from: "RFC 1939", protocol: mail.POP3, command: "QUIT", line: "-ERR some deleted messages not removed", want: mail.CommandRejected},
	{from: "RFC 2595", protocol: mail.POP3, command: "STLS", line: "-ERR [SYS/TEMP] no key", want: mail.StartTLSRefused},
	{from: "broken", protocol: mail.POP3, command: "STLS", line: "+ go on", want: mail.ProtocolMalformed},
	// POP3: login.
	{from: "Dovecot", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] Authentication failed.", want: mail.AuthRejected},
	{from: "a text softens no code", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] Too many simultaneous connections", want: mail.AuthRejected},
	{from: "Exchange", protocol: mail.POP3, command: "PASS", line: "-ERR Logon failure: unknown user name or bad password.", want: mail.AuthRejected},
	{from: "Exchange Online", protocol: mail.POP3, command: "AUTH", line: "-ERR Authentication failure: unknown user name or bad password.", want: mail.TokenRejected, token: true},
	{from: "bare", protocol: mail.POP3, command: "USER", line: "-ERR no such user", want: mail.AuthRejected},
	{from: "bare in clear", protocol: mail.POP3, command: "USER", line: "-ERR not here", want: mail.AuthNeedsTLS, clear: true},
	{from: "Dovecot", protocol: mail.POP3, command: "USER", line: "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", want: mail.AuthNeedsTLS, clear: true},
	{from: "Dovecot behind a proxy", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] Cleartext authentication disallowed on non-secure (SSL/TLS) connections.", want: mail.AuthNeedsTLS},
	{from: "Dovecot 1", protocol: mail.POP3, command: "PASS", line: "-ERR Plaintext authentication disallowed.", want: mail.AuthNeedsTLS, clear: true},
	{from: "perdition", protocol: mail.POP3, command: "PASS", line: "-ERR failed: Login Disabled", want: mail.AuthNeedsTLS, clear: true},
	{from: "Cyrus", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] use SSL first", want: mail.AuthNeedsTLS, clear: true},
	{from: "Cyrus", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] use TLS first", want: mail.AuthNeedsTLS, clear: true},
	{from: "the word alone proves nothing under TLS", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] wrong password (TLS)", want: mail.AuthRejected},
	{from: "Gmail", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833", want: mail.AuthMethodForbidden},
	{from: "Gmail", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754", want: mail.AuthMethodForbidden},
	{from: "Gmail", protocol: mail.POP3, command: "PASS", line: "-ERR Please log in via your web browser", want: mail.AuthMethodForbidden},
	{from: "Gmail", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/PERM] Web login required", want: mail.AuthMethodForbidden},
	{from: "Gmail", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page", want: mail.AuthDisabled},
	{from: "RFC 3206", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/PERM] password expired", want: mail.AuthDisabled},
	{from: "Zimbra", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] account is locked", want: mail.AuthDisabled},
	{from: "bare", protocol: mail.POP3, command: "PASS", line: "-ERR account is disabled", want: mail.AuthDisabled},
	{from: "directory", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] password expired", want: mail.AuthExpired},
	{from: "Courier", protocol: mail.POP3, command: "PASS", line: "-ERR password expired", want: mail.AuthExpired},
	{from: "Courier", protocol: mail.POP3, command: "PASS", line: "-ERR Maildir invalid (no 'cur' directory)", want: mail.MailboxFailed},
	{from: "Cyrus", protocol: mail.POP3, command: "AUTH", line: "-ERR [SYS/TEMP] Unable to open maildrop: Mailbox does not exist", want: mail.MailboxMissing},
	{from: "Cyrus", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/TEMP] Unable to open maildrop: System I/O error", want: mail.MailboxFailed},
	{from: "Courier", protocol: mail.POP3, command: "PASS", line: "-ERR POP3 access disabled for this account.", want: mail.AuthDisabled},
	{from: "RFC 3206", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/TEMP] Temporary authentication failure.", want: mail.AuthTemporary},
	{from: "unknown detail", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/LDAP] down", want: mail.AuthTemporary},
	{from: "RFC 3206", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/TEMP] directory down", want: mail.AuthTemporary},
	{from: "Dovecot 1", protocol: mail.POP3, command: "PASS", line: "-ERR Temporary authentication failure.", want: mail.AuthTemporary},
	{from: "Courier", protocol: mail.POP3, command: "PASS", line: "-ERR Temporary problem, please try again later", want: mail.AuthTemporary},
	{from: "nginx", protocol: mail.POP3, command: "PASS", line: "-ERR internal server error", want: mail.AuthTemporary, doubtful: true},
	{from: "perdition", protocol: mail.POP3, command: "PASS", line: "-ERR failed: Could not connect to server", want: mail.AuthTemporary},
	{from: "Cyrus without its saslauthd", protocol: mail.POP3, command: "AUTH", line: "-ERR [AUTH] authenticating: generic failure", want: mail.AuthTemporary, doubtful: true},
	{from: "Cyrus", protocol: mail.POP3, command: "AUTH", line: "-ERR [AUTH] authenticating: authentication failure", want: mail.AuthRejected},
	{from: "RFC 2449", protocol: mail.POP3, command: "PASS", line: "-ERR [LOGIN-DELAY] minimum time between mail checks violation", want: mail.AuthTooSoon},
	{from: "bare", protocol: mail.POP3, command: "PASS", line: "-ERR try again later", want: mail.AuthTooSoon},
	{from: "Dovecot", protocol: mail.POP3, command: "AUTH", line: "-ERR Unsupported authentication mechanism.", want: mail.AuthMechanism},
	{from: "Exchange", protocol: mail.POP3, command: "APOP", line: "-ERR Command not recognized", want: mail.AuthMechanism},
	{from: "bare", protocol: mail.POP3, command: "AUTH", line: "-ERR unknown command", want: mail.AuthMechanism},
	{from: "bare", protocol: mail.POP3, command: "AUTH", line: "-ERR not implemented", want: mail.AuthMechanism},
	{from: "Dovecot", protocol: mail.POP3, command: "PASS", line: "-ERR [IN-USE] Maximum number of connections from user+IP exceeded", want: mail.ServerLimit},
	{from: "RFC 2449", protocol: mail.POP3, command: "PASS", line: "-ERR [IN-USE] Do you have another POP session running?", want: mail.MailboxInUse},
	{from: "bare", protocol: mail.POP3, command: "STAT", line: "-ERR disk trouble", want: mail.MailboxFailed},
	{from: "RFC 3206", protocol: mail.POP3, command: "STAT", line: "-ERR [SYS/TEMP] later", want: mail.ServerUnavailable},

	// SMTP: greeting and outside of a login.
	{from: "RFC 5321", protocol: mail.SMTP, command: "GREETING", line: "554 no service here", want: mail.ServerRefused},
	{from: "Postfix", protocol: mail.SMTP, command: "GREETING", line: "550 5.7.1 go away", want: mail.ServerRefused},
	{from: "a text softens no code", protocol: mail.SMTP, command: "GREETING", line: "500 no", want: mail.ServerRefused},
	{from: "RFC 5321", protocol: mail.SMTP, command: "GREETING", line: "421 closing", want: mail.ServerUnavailable},
	{from: "bare", protocol: mail.SMTP, command: "GREETING", line: "450 later", want: mail.ServerUnavailable},
	{from: "Postfix", protocol: mail.SMTP, command: "GREETING", line: "421 4.7.0 mail.example.org Error: too many connections from 192.0.2.1", want: mail.ServerLimit},
	{from: "Exim", protocol: mail.SMTP, command: "GREETING", line: "421 Too many concurrent SMTP connections from this IP address; please try again later.", want: mail.ServerLimit},
	{from: "Exchange", protocol: mail.SMTP, command: "GREETING", line: "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel", want: mail.ServerLimit},
	{from: "Sendmail", protocol: mail.SMTP, command: "GREETING", line: "421 4.3.2 Too many open connections.", want: mail.ServerLimit},
	{from: "Sendmail", protocol: mail.SMTP, command: "GREETING", line: "421 4.3.2 Connection rate limit exceeded.", want: mail.ServerLimit},
	{from: "Dovecot 2.4", protocol: mail.SMTP, command: "GREETING", line: "421 4.3.2 mail.example.org Auth process broken", want: mail.ServerUnavailable},
	{from: "broken", protocol: mail.SMTP, command: "GREETING", line: "250 ready", want: mail.ProtocolMalformed},
	{from: "broken", protocol: mail.SMTP, command: "EHLO", line: "354 go on", want: mail.ProtocolMalformed},
	{from: "RFC 5321", protocol: mail.SMTP, command: "EHLO", line: "500 what?", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "EHLO", line: "501 5.5.4 Invalid domain name", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "EHLO", line: "502 5.5.2 Error: command not recognized", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "EHLO", line: "503 bad sequence", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "EHLO", line: "504 5.5.2 need fully-qualified hostname", want: mail.CommandRejected},
	{from: "Postfix", protocol: mail.SMTP, command: "EHLO", line: "554 5.7.1 Client host rejected: Access denied", want: mail.ServerRefused},
	{from: "RFC 5321", protocol: mail.SMTP, command: "QUIT", line: "554 no", want: mail.CommandRejected},
	// SMTP: STARTTLS.
	{from: "RFC 3207", protocol: mail.SMTP, command: "STARTTLS", line: "454 4.7.0 TLS not available due to local problem", want: mail.StartTLSRefused},
	{from: "RFC 3207", protocol: mail.SMTP, command: "STARTTLS", line: "502 5.5.1 no", want: mail.StartTLSRefused},
	{from: "RFC 5321", protocol: mail.SMTP, command: "STARTTLS", line: "421 4.3.0 closing", want: mail.ServerUnavailable},
	{from: "broken", protocol: mail.SMTP, command: "STARTTLS", line: "250 go on", want: mail.ProtocolMalformed},
	// SMTP: login.
	{from: "Postfix", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", want: mail.AuthRejected},
	{from: "Gmail", protocol: mail.SMTP, command: "AUTH", line: "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials", want: mail.AuthRejected},
	{from: "Exchange", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.3 Authentication unsuccessful", want: mail.AuthRejected},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.3 Authentication unsuccessful", want: mail.TokenRejected, token: true},
	{from: "Brevo", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.0 Invalid login or password", want: mail.AuthRejected},
	{from: "Exim", protocol: mail.SMTP, command: "AUTH", line: "535 Incorrect authentication data", want: mail.AuthRejected},
	{from: "a text softens no code", protocol: mail.SMTP, command: "AUTH", line: "535 not implemented", want: mail.AuthRejected},
	{from: "class digit disagrees", protocol: mail.SMTP, command: "AUTH", line: "535 4.7.0 Temporary authentication failure", want: mail.AuthRejected},
	{from: "a text softens no code", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 too many connections, not implemented", want: mail.AuthRejected},
	{from: "a text softens no code", protocol: mail.SMTP, command: "AUTH", line: "550 5.7.8 not implemented", want: mail.AuthRejected},
	{from: "a text softens no code", protocol: mail.SMTP, command: "AUTH", line: "550 5.7.3 not implemented", want: mail.AuthRejected},
	{from: "unknown wording", protocol: mail.SMTP, command: "AUTH", line: "554 5.7.1 no", want: mail.AuthRejected},
	{from: "Gmail", protocol: mail.SMTP, command: "AUTH", line: "534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor", want: mail.AuthMethodForbidden},
	{from: "code against reply", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.9 no", want: mail.AuthMethodForbidden},
	{from: "RFC 4954", protocol: mail.SMTP, command: "AUTH", line: "534 too weak", want: mail.AuthMethodForbidden},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [PROD.OUTLOOK.COM]", want: mail.AuthMethodForbidden},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", want: mail.AuthMethodForbidden},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.", want: mail.AuthMethodForbidden},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.", want: mail.AuthMethodForbidden},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [PROD.OUTLOOK.COM]", want: mail.AuthRejected},
	{from: "bare with text", protocol: mail.SMTP, command: "AUTH", line: "535 Basic authentication is disabled", want: mail.AuthMethodForbidden},
	{from: "bare with text", protocol: mail.SMTP, command: "AUTH", line: "550 Please log in via your web browser", want: mail.AuthMethodForbidden},
	{from: "RFC 4954", protocol: mail.SMTP, command: "AUTH", line: "432 4.7.12 A password transition is needed", want: mail.AuthExpired},
	{from: "RFC 4954", protocol: mail.SMTP, command: "AUTH", line: "432 A password transition is needed", want: mail.AuthExpired},
	{from: "a text softens no code", protocol: mail.SMTP, command: "AUTH", line: "432 4.7.12 too many connections", want: mail.AuthExpired},
	{from: "code against reply", protocol: mail.SMTP, command: "AUTH", line: "534 5.7.12 no", want: mail.AuthExpired},
	{from: "directory", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Your password has expired", want: mail.AuthExpired},
	{from: "RFC 5248", protocol: mail.SMTP, command: "AUTH", line: "525 5.7.13 User Account Disabled", want: mail.AuthDisabled},
	{from: "code against reply", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.13 no", want: mail.AuthDisabled},
	{from: "RFC 5248", protocol: mail.SMTP, command: "AUTH", line: "525 no", want: mail.AuthDisabled},
	{from: "Zimbra", protocol: mail.SMTP, command: "AUTH", line: "535 account is disabled", want: mail.AuthDisabled},
	{from: "hMailServer", protocol: mail.SMTP, command: "AUTH", line: "550 account is disabled", want: mail.AuthDisabled},
	{from: "Postfix", protocol: mail.SMTP, command: "AUTH", line: "454 4.7.0 Temporary authentication failure: Connection lost to authentication server", want: mail.AuthTemporary},
	{from: "Exim", protocol: mail.SMTP, command: "AUTH", line: "435 Unable to authenticate at present", want: mail.AuthTemporary},
	{from: "Postfix 2 without its saslauthd", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: generic failure", want: mail.AuthTemporary, doubtful: true},
	{from: "nginx", protocol: mail.SMTP, command: "AUTH", line: "451 4.3.2 Internal server error", want: mail.AuthTemporary, doubtful: true},
	{from: "Gmail", protocol: mail.SMTP, command: "AUTH", line: "454 4.7.0 Too many login attempts, please try again later.", want: mail.AuthTooSoon},
	{from: "Gmail", protocol: mail.SMTP, command: "AUTH", line: "421 4.7.0 Try again later, closing connection.", want: mail.AuthTooSoon},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", want: mail.ServerLimit},
	{from: "RFC 3463", protocol: mail.SMTP, command: "AUTH", line: "432 4.3.2 not now", want: mail.ServerLimit},
	{from: "Postfix", protocol: mail.SMTP, command: "AUTH", line: "450 4.7.1 Error: too much mail from 192.0.2.1", want: mail.ServerLimit},
	{from: "RFC 5321", protocol: mail.SMTP, command: "AUTH", line: "421 4.3.0 closing", want: mail.ServerUnavailable},
	{from: "Postfix", protocol: mail.SMTP, command: "AUTH", line: "530 5.7.0 Must issue a STARTTLS command first", want: mail.AuthNeedsTLS, clear: true},
	{from: "RFC 4954", protocol: mail.SMTP, command: "AUTH", line: "538 5.7.11 Encryption required for requested authentication mechanism", want: mail.AuthNeedsTLS, clear: true},
	{from: "RFC 4954", protocol: mail.SMTP, command: "AUTH", line: "538 no", want: mail.AuthNeedsTLS, clear: true},
	{from: "RFC 4954", protocol: mail.SMTP, command: "AUTH", line: "530 5.7.0 encrypt first", want: mail.AuthNeedsTLS, clear: true},
	{from: "RFC 5248", protocol: mail.SMTP, command: "AUTH", line: "523 5.7.10 Encryption needed", want: mail.AuthNeedsTLS, clear: true},
	{from: "RFC 5248", protocol: mail.SMTP, command: "AUTH", line: "523 no", want: mail.AuthNeedsTLS, clear: true},
	{from: "code against reply", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.10 no", want: mail.AuthNeedsTLS, clear: true},
	{from: "code against reply", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.11 no", want: mail.AuthNeedsTLS, clear: true},
	{from: "Exchange", protocol: mail.SMTP, command: "AUTH", line: "554 Must issue a STARTTLS command first", want: mail.AuthNeedsTLS, clear: true},
	{from: "RFC 4954", protocol: mail.SMTP, command: "AUTH", line: "504 5.5.4 Unrecognized authentication type", want: mail.AuthMechanism},
	{from: "Exchange", protocol: mail.SMTP, command: "AUTH", line: "504 5.7.4 Unrecognized authentication type", want: mail.AuthMechanism},
	{from: "RFC 4954", protocol: mail.SMTP, command: "AUTH", line: "504 5.5.4 no", want: mail.AuthMechanism},
	{from: "code against reply", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.4 no", want: mail.AuthMechanism},
	{from: "Postfix", protocol: mail.SMTP, command: "AUTH", line: "503 5.5.1 Error: authentication not enabled", want: mail.AuthMechanism},
	{from: "Exchange", protocol: mail.SMTP, command: "AUTH", line: "534 Unrecognized authentication type", want: mail.AuthMethodForbidden},
	{from: "RFC 5321", protocol: mail.SMTP, command: "AUTH", line: "501 5.5.2 Cannot decode response", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "AUTH", line: "500 5.5.1 what?", want: mail.CommandRejected},
	// SMTP: sender and recipient.
	{from: "Postfix", protocol: mail.SMTP, command: "MAIL", line: "553 5.7.1 <a@example.org>: Sender address rejected: not owned by user b@example.org", want: mail.NotAuthorized},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "553 5.7.1 no", want: mail.NotAuthorized},
	{from: "Exchange", protocol: mail.SMTP, command: "MAIL", line: "550 5.7.60 SMTP; Client does not have permissions to send as this sender", want: mail.NotAuthorized},
	{from: "Exchange", protocol: mail.SMTP, command: "RCPT", line: "550 5.7.60 no", want: mail.NotAuthorized},
	{from: "Exchange Online", protocol: mail.SMTP, command: "MAIL", line: "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", want: mail.NotAuthorized},
	{from: "Exchange Online", protocol: mail.SMTP, command: "MAIL", line: "554 5.2.0 no", want: mail.NotAuthorized},
	{from: "bare", protocol: mail.SMTP, command: "MAIL", line: "550 not owned by user", want: mail.NotAuthorized},
	{from: "Gmail", protocol: mail.SMTP, command: "MAIL", line: "530 5.7.0 Authentication Required.", want: mail.NotAuthorized},
	{from: "Postfix", protocol: mail.SMTP, command: "MAIL", line: "530 5.7.0 Must issue a STARTTLS command first", want: mail.AuthNeedsTLS, clear: true},
	{from: "RFC 3463", protocol: mail.SMTP, command: "RCPT", line: "550 5.2.2 mailbox full", want: mail.MailboxFailed},
	{from: "RFC 3463", protocol: mail.SMTP, command: "RCPT", line: "452 4.2.2 mailbox full", want: mail.MailboxFailed},
	{from: "RFC 5321", protocol: mail.SMTP, command: "RCPT", line: "552 full", want: mail.MailboxFailed},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "550 5.1.1 <x@example.org>: Recipient address rejected: User unknown", want: mail.MailboxMissing},
	{from: "code against reply", protocol: mail.SMTP, command: "RCPT", line: "554 5.1.1 no", want: mail.MailboxMissing},
	{from: "bare", protocol: mail.SMTP, command: "RCPT", line: "550 no such user", want: mail.MailboxMissing},
	{from: "RFC 5321", protocol: mail.SMTP, command: "RCPT", line: "551 try <y@example.net>", want: mail.MailboxMissing},
	{from: "Exim", protocol: mail.SMTP, command: "RCPT", line: "550 5.7.1 relay not permitted", want: mail.MailboxDenied},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "554 5.7.1 Relay access denied", want: mail.MailboxDenied},
	{from: "bare", protocol: mail.SMTP, command: "MAIL", line: "550 no", want: mail.MailboxDenied},
	{from: "Postfix", protocol: mail.SMTP, command: "MAIL", line: "451 4.3.0 later", want: mail.ServerUnavailable},
	{from: "Dovecot submission", protocol: mail.SMTP, command: "MAIL", line: "421 4.4.0 mail.example.org Failed to connect to relay server (connect)", want: mail.ServerUnavailable},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "450 4.7.1 Error: too much mail", want: mail.ServerLimit},
	{from: "RFC 5321", protocol: mail.SMTP, command: "MAIL", line: "500 what?", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "MAIL", line: "501 what?", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "MAIL", line: "502 what?", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "MAIL", line: "503 what?", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "MAIL", line: "504 what?", want: mail.CommandRejected},
	{from: "RFC 5321", protocol: mail.SMTP, command: "MAIL", line: "555 BODY?", want: mail.CommandRejected},
}

// refusal reads the line as the dialects do.
func (g golden) refusal(t *testing.T) *refusal {
	t.Helper()
	no := &refusal{protocol: g.protocol, command: g.command, tls: !g.clear,
		login: loginFacts{authzid: g.authzid, token: g.token, byToken: g.token, unsent: g.unsent}}
	var err error
	switch g.protocol {
	case mail.IMAP:
		var ok bool
		if _, no.reply, ok = parseIMAPStatus(g.line); !ok {
			t.Fatalf("%s: %q is no status response", g.from, g.line)
		}
	case mail.POP3:
		no.reply, err = parsePOP3Reply(g.line)
	case mail.SMTP:
		no.reply, err = parseSMTPReply(strings.Split(g.line, "\n"))
	}
	if err != nil {
		t.Fatalf("%s: %v", g.from, err)
	}
	no.diagnosis = diagnose(no)
	return no
}

// diagnosed completes a refusal as newRefusal does.
func diagnosed(no refusal) *refusal {
	no.diagnosis = diagnose(&no)
	return &no
}

func TestRefusalReason(t *testing.T) {
	for _, g := range goldenRefusals {
		no := g.refusal(t)
		if got := classify("", nil, no); got.reason != g.want || got.doubtful != g.doubtful {
			t.Errorf("%s %s from %s: %q means %q (doubtful %t), want %q (%t)",
				g.protocol, g.command, g.from, g.line, got.reason, got.doubtful, g.want, g.doubtful)
		} else if !strings.Contains(got.hint, g.advice) {
			t.Errorf("%s %s from %s: %q has the advice %q, want %q in it", g.protocol, g.command, g.from, g.line, got.hint, g.advice)
		}
	}
}

// A rule that can be taken out without a golden line changing is either not
// tested or not needed.
func TestEachRefusalRuleMatters(t *testing.T) {
	for protocol, rules := range refusalRules {
		for i := range rules {
			without := slices.Delete(slices.Clone(rules), i, i+1)
			matters := slices.ContainsFunc(goldenRefusals, func(g golden) bool {
				if g.protocol != protocol {
					return false
				}
				no := g.refusal(t)
				got := diagnoseBy(without, no)
				return got.reason != g.want || got.doubtful != g.doubtful || got.hint != no.hint
			})
			if !matters {
				t.Errorf("%s: nothing changes without rule %d: at %d %s %s %q %s", protocol, i, rules[i].at, rules[i].status, rules[i].code, rules[i].reason, rules[i].command)
			}
		}
	}
}

func TestEachKnownTextHasSource(t *testing.T) {
	seen := map[string]bool{}
	for _, rules := range refusalRules {
		for _, rule := range rules {
			for _, group := range rule.texts {
				for _, known := range group.texts {
					if known.source == "" || known.text != lowerASCII(known.text) || len(known.text) < 3 {
						t.Errorf("%q from %q: wants a source, and lower case", known.text, known.source)
					}
					seen[known.text] = true
				}
				for _, text := range group.alike {
					if text != lowerASCII(text) || len(text) < 3 {
						t.Errorf("%q: wants lower case", text)
					}
				}
			}
		}
	}
	if len(seen) < 150 {
		t.Errorf("%d texts, want those of the tables", len(seen))
	}
}

// FuzzDiagnose: whatever a server says, to whatever command, has a reason with
// advice, and the advice has none of the server's words.
func FuzzDiagnose(f *testing.F) {
	protocols := mail.Protocols()
	commands := []string{"GREETING", "EHLO", "STARTTLS", "LOGIN", "AUTH", "PASS", "EXAMINE", "STAT", "MAIL", "RCPT", "QUIT", "?"}
	for i, g := range goldenRefusals {
		f.Add(byte(slices.Index(protocols, g.protocol)), byte(i), "NO", "", g.line)
	}
	f.Fuzz(func(t *testing.T, protocol, command byte, status, code, text string) {
		no := refusal{protocol: protocols[int(protocol)%3], command: commands[int(command)%len(commands)],
			reply: reply{status: status, code: code, text: text}}
		d := diagnose(&no)
		if d.reason.Advice() == "" {
			t.Errorf("%+v has no reason", no)
		}
		if other := (refusal{protocol: no.protocol, command: no.command, reply: reply{status, code, text + " hunter2!"}}); strings.Contains(diagnose(&other).hint, "hunter2!") {
			t.Errorf("the advice repeats the server: %q", diagnose(&other).hint)
		}
	})
}
