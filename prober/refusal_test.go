package prober

import (
	"slices"
	"strings"
	"testing"
)

// golden is a server's no, as it came over the wire, and what it means.
type golden struct {
	from     string // the server, or the RFC, that says so
	protocol Protocol
	command  string
	line     string // lines of an SMTP reply are parted by "\n"
	want     Reason

	authzid, token, clear bool

	doubtful bool // it may mean a wrong password although the reason says otherwise
}

// goldenRefusals has at least one line for each rule and for each known text.
var goldenRefusals = []golden{
	// IMAP: greeting and outside of a login.
	{from: "RFC 9051", protocol: IMAP, command: "GREETING", line: "* BYE go away", want: ServerRefused},
	{from: "RFC 5530", protocol: IMAP, command: "GREETING", line: "* BYE [UNAVAILABLE] backend down", want: ServerUnavailable},
	{from: "Dovecot", protocol: IMAP, command: "GREETING", line: "* BYE Too many connections from your IP", want: ServerLimit},
	{from: "Courier", protocol: IMAP, command: "GREETING", line: "* BYE Temporarily unavailable", want: ServerUnavailable},
	{from: "Dovecot 2.4", protocol: IMAP, command: "GREETING", line: "* BYE Auth process broken", want: ServerUnavailable},
	{from: "broken", protocol: IMAP, command: "GREETING", line: "* NO not today", want: ProtocolMalformed},
	{from: "broken", protocol: IMAP, command: "GREETING", line: "* BAD not today", want: ProtocolMalformed},
	{from: "RFC 9051", protocol: IMAP, command: "CAPABILITY", line: "A1 BAD what?", want: CommandRejected},
	{from: "RFC 9051", protocol: IMAP, command: "CAPABILITY", line: "A1 NO [CONTACTADMIN] no", want: CommandRejected},
	{from: "RFC 5530", protocol: IMAP, command: "NAMESPACE", line: "A1 NO [SERVERBUG] oops", want: ServerUnavailable},
	{from: "RFC 5530", protocol: IMAP, command: "NAMESPACE", line: "A1 NO [CLIENTBUG] rate limit", want: CommandRejected},
	{from: "broken", protocol: IMAP, command: "CAPABILITY", line: "A1 OK but not so", want: ProtocolMalformed},
	{from: "RFC 9051", protocol: IMAP, command: "LOGOUT", line: "A1 BAD no", want: CommandRejected},
	// IMAP: STARTTLS.
	{from: "RFC 9051", protocol: IMAP, command: "STARTTLS", line: "A1 NO [UNAVAILABLE] no key", want: StartTLSRefused},
	{from: "RFC 9051", protocol: IMAP, command: "STARTTLS", line: "A1 BAD not now", want: StartTLSRefused},
	// IMAP: login.
	{from: "Dovecot", protocol: IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Authentication failed.", want: AuthRejected},
	{from: "Gmail", protocol: IMAP, command: "AUTHENTICATE", line: "A1 NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", want: AuthRejected},
	{from: "a text softens no code", protocol: IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Too many simultaneous connections", want: AuthRejected},
	{from: "Exchange", protocol: IMAP, command: "LOGIN", line: "A1 NO LOGIN failed.", want: AuthRejected},
	{from: "Exchange Online", protocol: IMAP, command: "AUTHENTICATE", line: "A1 NO AUTHENTICATE failed.", want: TokenRejected, token: true},
	{from: "unknown wording", protocol: IMAP, command: "LOGIN", line: "A1 NO [ALERT] Der Zugang ist vorübergehend gesperrt", want: AuthRejected},
	{from: "unknown code", protocol: IMAP, command: "LOGIN", line: "A1 NO [XVENDOR 5] no", want: AuthRejected},
	{from: "Yahoo", protocol: IMAP, command: "LOGIN", line: "A1 NO [AUTHORIZATIONFAILED] Incorrect username or password", want: AuthRejected},
	{from: "a text softens no code", protocol: IMAP, command: "LOGIN", line: "A1 NO [AUTHORIZATIONFAILED] Too many simultaneous connections", want: AuthRejected},
	{from: "RFC 5530", protocol: IMAP, command: "AUTHENTICATE", line: "A1 NO [AUTHORIZATIONFAILED] not for you", want: NotAuthorized, authzid: true},
	{from: "RFC 5530", protocol: IMAP, command: "LOGIN", line: "A1 NO [EXPIRED] change it", want: AuthExpired},
	{from: "RFC 5530", protocol: IMAP, command: "LOGIN", line: "A1 NO [PRIVACYREQUIRED] not in clear", want: AuthNeedsTLS, clear: true},
	{from: "directory", protocol: IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Password expired", want: AuthExpired},
	{from: "Cyrus", protocol: IMAP, command: "LOGIN", line: "A1 NO Login failed: password expired", want: AuthExpired},
	{from: "Dovecot", protocol: IMAP, command: "LOGIN", line: "A1 NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", want: AuthNeedsTLS, clear: true},
	{from: "Dovecot 1", protocol: IMAP, command: "LOGIN", line: "A1 BAD Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", want: AuthNeedsTLS, clear: true},
	{from: "Dovecot 2.4", protocol: IMAP, command: "LOGIN", line: "A1 NO Cleartext authentication disallowed on non-secure (SSL/TLS) connections.", want: AuthNeedsTLS, clear: true},
	{from: "Cyrus", protocol: IMAP, command: "LOGIN", line: "A1 NO Login only available under a layer", want: AuthNeedsTLS, clear: true},
	{from: "RFC 5530", protocol: IMAP, command: "LOGIN", line: "A1 NO [CONTACTADMIN] locked", want: AuthDisabled},
	{from: "Gmail", protocol: IMAP, command: "LOGIN", line: "A1 NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page (Failure)", want: AuthDisabled},
	{from: "Zoho", protocol: IMAP, command: "LOGIN", line: "A1 NO [ALERT] You are yet to enable IMAP for your account. Please contact your administrator (Failure)", want: AuthDisabled},
	{from: "Zimbra", protocol: IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] account is locked", want: AuthDisabled},
	{from: "hMailServer", protocol: IMAP, command: "LOGIN", line: "A1 NO The account is disabled.", want: AuthDisabled},
	{from: "Yahoo", protocol: IMAP, command: "LOGIN", line: "A1 NO Your account has been locked", want: AuthDisabled},
	{from: "Gmail", protocol: IMAP, command: "LOGIN", line: "A1 NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)", want: AuthMethodForbidden},
	{from: "Gmail", protocol: IMAP, command: "LOGIN", line: "A1 NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)", want: AuthMethodForbidden},
	{from: "Gmail", protocol: IMAP, command: "LOGIN", line: "A1 NO [WEBALERT https://accounts.google.com/] Web login required.", want: AuthMethodForbidden},
	{from: "Mail.ru", protocol: IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] NEOBHODIM parol prilozheniya / Application password is REQUIRED", want: AuthMethodForbidden},
	{from: "Gmail", protocol: IMAP, command: "LOGIN", line: "A1 NO [ALERT] Too many simultaneous connections. (Failure)", want: ServerLimit},
	{from: "Gmail", protocol: IMAP, command: "LOGIN", line: "A1 NO [ALERT] Account exceeded command or bandwidth limits. (Failure)", want: ServerLimit},
	{from: "Dovecot", protocol: IMAP, command: "LOGIN", line: "A1 NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)", want: ServerLimit},
	{from: "RFC 5530", protocol: IMAP, command: "LOGIN", line: "A1 NO [LIMIT] enough", want: ServerLimit},
	{from: "Exchange Online", protocol: IMAP, command: "LOGIN", line: "A1 BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds", want: ServerLimit},
	{from: "Dovecot", protocol: IMAP, command: "LOGIN", line: "A1 NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", want: ServerLimit},
	{from: "Dovecot", protocol: IMAP, command: "LOGIN", line: "A1 NO [UNAVAILABLE] Temporary authentication failure. [mail:2026-11-23 00:00:00]", want: AuthTemporary},
	{from: "RFC 5530", protocol: IMAP, command: "LOGIN", line: "A1 NO [SERVERBUG] Internal error occurred.", want: AuthTemporary},
	{from: "RFC 5530", protocol: IMAP, command: "LOGIN", line: "A1 NO [UNAVAILABLE] backend down", want: AuthTemporary},
	{from: "RFC 5530", protocol: IMAP, command: "LOGIN", line: "A1 NO [INUSE] locked for now", want: AuthTemporary},
	{from: "Exim", protocol: IMAP, command: "LOGIN", line: "A1 NO Temporary authentication failure.", want: AuthTemporary},
	{from: "Exchange", protocol: IMAP, command: "LOGIN", line: "A1 NO Server Unavailable. 15", want: AuthTemporary},
	{from: "Courier", protocol: IMAP, command: "LOGIN", line: "* BYE Temporary problem, please try again later", want: AuthTemporary},
	{from: "nginx", protocol: IMAP, command: "LOGIN", line: "A1 NO Temporary server problem, try again later", want: AuthTemporary},
	{from: "nginx", protocol: IMAP, command: "LOGIN", line: "* BAD internal server error", want: AuthTemporary, doubtful: true},
	{from: "perdition", protocol: IMAP, command: "LOGIN", line: "A1 NO failed: Could not connect to server", want: AuthTemporary},
	{from: "Cyrus without its saslauthd", protocol: IMAP, command: "LOGIN", line: "A1 NO Login failed: generic failure", want: AuthTemporary, doubtful: true},
	{from: "Cyrus", protocol: IMAP, command: "LOGIN", line: "A1 NO Login failed: authentication failure", want: AuthRejected},
	{from: "perdition", protocol: IMAP, command: "LOGIN", line: "A1 NO failed: Re-Authentication Failure", want: AuthRejected},
	{from: "Gmail", protocol: IMAP, command: "LOGIN", line: "A1 NO Too many login failures, try again later", want: AuthTooSoon},
	{from: "Dovecot", protocol: IMAP, command: "AUTHENTICATE", line: "A1 NO Unsupported authentication mechanism.", want: AuthMechanism},
	{from: "Cyrus", protocol: IMAP, command: "AUTHENTICATE", line: "A1 BAD Unsupported SASL mechanism", want: AuthMechanism},
	{from: "mox", protocol: IMAP, command: "AUTHENTICATE", line: "A1 NO mechanism not supported", want: AuthMechanism},
	{from: "RFC 9051", protocol: IMAP, command: "AUTHENTICATE PLAIN", line: "A1 BAD invalid arguments", want: CommandRejected},
	{from: "a text softens no code", protocol: IMAP, command: "LOGIN", line: "A1 NO [CLIENTBUG] too many connections", want: CommandRejected},
	{from: "Dovecot", protocol: IMAP, command: "LOGIN", line: "* BYE Disconnected for inactivity during authentication.", want: Closed},
	// IMAP: mailbox.
	{from: "Exchange", protocol: IMAP, command: "EXAMINE", line: "A1 BAD User is authenticated but not connected.", want: NotAuthorized},
	{from: "Courier", protocol: IMAP, command: "LOGIN", line: "* BYE [ALERT] Fatal error: Account's mailbox directory is not owned by the correct uid or gid: ", want: MailboxFailed},
	{from: "NetEase", protocol: IMAP, command: "EXAMINE", line: "A1 NO EXAMINE Unsafe Login. Please contact kefu@188.com for help", want: MailboxDenied},
	{from: "RFC 5530", protocol: IMAP, command: "EXAMINE", line: "A1 NO [NONEXISTENT] rate limit", want: MailboxMissing},
	{from: "RFC 9051", protocol: IMAP, command: "STATUS", line: "A1 NO [TRYCREATE] too many connections", want: MailboxMissing},
	{from: "bare", protocol: IMAP, command: "EXAMINE", line: "A1 NO Mailbox doesn't exist: X", want: MailboxMissing},
	{from: "RFC 5530", protocol: IMAP, command: "EXAMINE", line: "A1 NO [NOPERM] no", want: MailboxDenied},
	{from: "Cyrus", protocol: IMAP, command: "EXAMINE", line: "A1 NO Permission denied", want: MailboxDenied},
	{from: "Courier", protocol: IMAP, command: "EXAMINE", line: "A1 NO Access denied for SELECT/EXAMINE on #shared.helpdesk (ACL \"r\" required)", want: MailboxDenied},
	{from: "Courier", protocol: IMAP, command: "EXAMINE", line: "A1 NO Mailbox does not exist, or must be subscribed to.", want: MailboxMissing},
	{from: "RFC 5530", protocol: IMAP, command: "EXAMINE", line: "A1 NO [AUTHORIZATIONFAILED] no", want: MailboxDenied},
	{from: "RFC 5530", protocol: IMAP, command: "SELECT", line: "A1 NO [INUSE] busy", want: MailboxInUse},
	{from: "RFC 5530", protocol: IMAP, command: "EXAMINE", line: "A1 NO [CORRUPTION] damaged", want: MailboxFailed},
	{from: "RFC 5530", protocol: IMAP, command: "EXAMINE", line: "A1 NO [CANNOT] no", want: MailboxFailed},
	{from: "RFC 5530", protocol: IMAP, command: "EXAMINE", line: "A1 NO [OVERQUOTA] full", want: MailboxFailed},
	{from: "RFC 5530", protocol: IMAP, command: "EXAMINE", line: "A1 NO [CONTACTADMIN] ask", want: MailboxFailed},
	{from: "RFC 5530", protocol: IMAP, command: "EXAMINE", line: "A1 NO [UNAVAILABLE] later", want: ServerUnavailable},
	{from: "Dovecot", protocol: IMAP, command: "EXAMINE", line: "* BYE Server shutting down.", want: Closed},

	// POP3: greeting and outside of a login.
	{from: "RFC 1939", protocol: POP3, command: "GREETING", line: "-ERR go away", want: ServerRefused},
	{from: "RFC 3206", protocol: POP3, command: "GREETING", line: "-ERR [SYS/TEMP] later", want: ServerUnavailable},
	{from: "RFC 3206", protocol: POP3, command: "GREETING", line: "-ERR [SYS/PERM] never", want: ServerRefused},
	{from: "unknown detail", protocol: POP3, command: "GREETING", line: "-ERR [SYS/DISK] later", want: ServerUnavailable},
	{from: "Courier", protocol: POP3, command: "GREETING", line: "-ERR Too many connections", want: ServerLimit},
	{from: "Exim", protocol: POP3, command: "GREETING", line: "-ERR busy, try again later", want: ServerUnavailable},
	{from: "Dovecot 2.4", protocol: POP3, command: "GREETING", line: "-ERR Auth process broken", want: ServerUnavailable},
	{from: "Dovecot", protocol: POP3, command: "GREETING", line: "-ERR [SYS/TEMP] Maximum number of connections exceeded", want: ServerLimit},
	{from: "RFC 2449", protocol: POP3, command: "CAPA", line: "-ERR what?", want: CommandRejected},
	{from: "RFC 1939", protocol: POP3, command: "QUIT", line: "-ERR some deleted messages not removed", want: CommandRejected},
	{from: "RFC 2595", protocol: POP3, command: "STLS", line: "-ERR [SYS/TEMP] no key", want: StartTLSRefused},
	{from: "broken", protocol: POP3, command: "STLS", line: "+ go on", want: ProtocolMalformed},
	// POP3: login.
	{from: "Dovecot", protocol: POP3, command: "PASS", line: "-ERR [AUTH] Authentication failed.", want: AuthRejected},
	{from: "a text softens no code", protocol: POP3, command: "PASS", line: "-ERR [AUTH] Too many simultaneous connections", want: AuthRejected},
	{from: "Exchange", protocol: POP3, command: "PASS", line: "-ERR Logon failure: unknown user name or bad password.", want: AuthRejected},
	{from: "Exchange Online", protocol: POP3, command: "AUTH", line: "-ERR Authentication failure: unknown user name or bad password.", want: TokenRejected, token: true},
	{from: "bare", protocol: POP3, command: "USER", line: "-ERR no such user", want: AuthRejected},
	{from: "bare in clear", protocol: POP3, command: "USER", line: "-ERR not here", want: AuthNeedsTLS, clear: true},
	{from: "Dovecot", protocol: POP3, command: "USER", line: "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", want: AuthNeedsTLS, clear: true},
	{from: "Dovecot behind a proxy", protocol: POP3, command: "PASS", line: "-ERR [AUTH] Cleartext authentication disallowed on non-secure (SSL/TLS) connections.", want: AuthNeedsTLS},
	{from: "Dovecot 1", protocol: POP3, command: "PASS", line: "-ERR Plaintext authentication disallowed.", want: AuthNeedsTLS, clear: true},
	{from: "perdition", protocol: POP3, command: "PASS", line: "-ERR failed: Login Disabled", want: AuthNeedsTLS, clear: true},
	{from: "Cyrus", protocol: POP3, command: "PASS", line: "-ERR [AUTH] use SSL first", want: AuthNeedsTLS, clear: true},
	{from: "Cyrus", protocol: POP3, command: "PASS", line: "-ERR [AUTH] use TLS first", want: AuthNeedsTLS, clear: true},
	{from: "the word alone proves nothing under TLS", protocol: POP3, command: "PASS", line: "-ERR [AUTH] wrong password (TLS)", want: AuthRejected},
	{from: "Gmail", protocol: POP3, command: "PASS", line: "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833", want: AuthMethodForbidden},
	{from: "Gmail", protocol: POP3, command: "PASS", line: "-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754", want: AuthMethodForbidden},
	{from: "Gmail", protocol: POP3, command: "PASS", line: "-ERR Please log in via your web browser", want: AuthMethodForbidden},
	{from: "Gmail", protocol: POP3, command: "PASS", line: "-ERR [SYS/PERM] Web login required", want: AuthMethodForbidden},
	{from: "Gmail", protocol: POP3, command: "PASS", line: "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page", want: AuthDisabled},
	{from: "RFC 3206", protocol: POP3, command: "PASS", line: "-ERR [SYS/PERM] password expired", want: AuthDisabled},
	{from: "Zimbra", protocol: POP3, command: "PASS", line: "-ERR [AUTH] account is locked", want: AuthDisabled},
	{from: "bare", protocol: POP3, command: "PASS", line: "-ERR account is disabled", want: AuthDisabled},
	{from: "directory", protocol: POP3, command: "PASS", line: "-ERR [AUTH] password expired", want: AuthExpired},
	{from: "Courier", protocol: POP3, command: "PASS", line: "-ERR password expired", want: AuthExpired},
	{from: "Courier", protocol: POP3, command: "PASS", line: "-ERR Maildir invalid (no 'cur' directory)", want: MailboxFailed},
	{from: "Cyrus", protocol: POP3, command: "AUTH", line: "-ERR [SYS/TEMP] Unable to open maildrop: Mailbox does not exist", want: MailboxMissing},
	{from: "Cyrus", protocol: POP3, command: "PASS", line: "-ERR [SYS/TEMP] Unable to open maildrop: System I/O error", want: MailboxFailed},
	{from: "Courier", protocol: POP3, command: "PASS", line: "-ERR POP3 access disabled for this account.", want: AuthDisabled},
	{from: "RFC 3206", protocol: POP3, command: "PASS", line: "-ERR [SYS/TEMP] Temporary authentication failure.", want: AuthTemporary},
	{from: "unknown detail", protocol: POP3, command: "PASS", line: "-ERR [SYS/LDAP] down", want: AuthTemporary},
	{from: "RFC 3206", protocol: POP3, command: "PASS", line: "-ERR [SYS/TEMP] directory down", want: AuthTemporary},
	{from: "Dovecot 1", protocol: POP3, command: "PASS", line: "-ERR Temporary authentication failure.", want: AuthTemporary},
	{from: "Courier", protocol: POP3, command: "PASS", line: "-ERR Temporary problem, please try again later", want: AuthTemporary},
	{from: "nginx", protocol: POP3, command: "PASS", line: "-ERR internal server error", want: AuthTemporary, doubtful: true},
	{from: "perdition", protocol: POP3, command: "PASS", line: "-ERR failed: Could not connect to server", want: AuthTemporary},
	{from: "Cyrus without its saslauthd", protocol: POP3, command: "AUTH", line: "-ERR [AUTH] authenticating: generic failure", want: AuthTemporary, doubtful: true},
	{from: "Cyrus", protocol: POP3, command: "AUTH", line: "-ERR [AUTH] authenticating: authentication failure", want: AuthRejected},
	{from: "RFC 2449", protocol: POP3, command: "PASS", line: "-ERR [LOGIN-DELAY] minimum time between mail checks violation", want: AuthTooSoon},
	{from: "bare", protocol: POP3, command: "PASS", line: "-ERR try again later", want: AuthTooSoon},
	{from: "Dovecot", protocol: POP3, command: "AUTH", line: "-ERR Unsupported authentication mechanism.", want: AuthMechanism},
	{from: "Exchange", protocol: POP3, command: "APOP", line: "-ERR Command not recognized", want: AuthMechanism},
	{from: "bare", protocol: POP3, command: "AUTH", line: "-ERR unknown command", want: AuthMechanism},
	{from: "bare", protocol: POP3, command: "AUTH", line: "-ERR not implemented", want: AuthMechanism},
	{from: "Dovecot", protocol: POP3, command: "PASS", line: "-ERR [IN-USE] Maximum number of connections from user+IP exceeded", want: ServerLimit},
	{from: "RFC 2449", protocol: POP3, command: "PASS", line: "-ERR [IN-USE] Do you have another POP session running?", want: MailboxInUse},
	{from: "bare", protocol: POP3, command: "STAT", line: "-ERR disk trouble", want: MailboxFailed},
	{from: "RFC 3206", protocol: POP3, command: "STAT", line: "-ERR [SYS/TEMP] later", want: ServerUnavailable},

	// SMTP: greeting and outside of a login.
	{from: "RFC 5321", protocol: SMTP, command: "GREETING", line: "554 no service here", want: ServerRefused},
	{from: "Postfix", protocol: SMTP, command: "GREETING", line: "550 5.7.1 go away", want: ServerRefused},
	{from: "a text softens no code", protocol: SMTP, command: "GREETING", line: "500 no", want: ServerRefused},
	{from: "RFC 5321", protocol: SMTP, command: "GREETING", line: "421 closing", want: ServerUnavailable},
	{from: "bare", protocol: SMTP, command: "GREETING", line: "450 later", want: ServerUnavailable},
	{from: "Postfix", protocol: SMTP, command: "GREETING", line: "421 4.7.0 mail.example.org Error: too many connections from 192.0.2.1", want: ServerLimit},
	{from: "Exim", protocol: SMTP, command: "GREETING", line: "421 Too many concurrent SMTP connections from this IP address; please try again later.", want: ServerLimit},
	{from: "Exchange", protocol: SMTP, command: "GREETING", line: "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel", want: ServerLimit},
	{from: "Sendmail", protocol: SMTP, command: "GREETING", line: "421 4.3.2 Too many open connections.", want: ServerLimit},
	{from: "Sendmail", protocol: SMTP, command: "GREETING", line: "421 4.3.2 Connection rate limit exceeded.", want: ServerLimit},
	{from: "Dovecot 2.4", protocol: SMTP, command: "GREETING", line: "421 4.3.2 mail.example.org Auth process broken", want: ServerUnavailable},
	{from: "broken", protocol: SMTP, command: "GREETING", line: "250 ready", want: ProtocolMalformed},
	{from: "broken", protocol: SMTP, command: "EHLO", line: "354 go on", want: ProtocolMalformed},
	{from: "RFC 5321", protocol: SMTP, command: "EHLO", line: "500 what?", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "EHLO", line: "501 5.5.4 Invalid domain name", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "EHLO", line: "502 5.5.2 Error: command not recognized", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "EHLO", line: "503 bad sequence", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "EHLO", line: "504 5.5.2 need fully-qualified hostname", want: CommandRejected},
	{from: "Postfix", protocol: SMTP, command: "EHLO", line: "554 5.7.1 Client host rejected: Access denied", want: ServerRefused},
	{from: "RFC 5321", protocol: SMTP, command: "QUIT", line: "554 no", want: CommandRejected},
	// SMTP: STARTTLS.
	{from: "RFC 3207", protocol: SMTP, command: "STARTTLS", line: "454 4.7.0 TLS not available due to local problem", want: StartTLSRefused},
	{from: "RFC 3207", protocol: SMTP, command: "STARTTLS", line: "502 5.5.1 no", want: StartTLSRefused},
	{from: "RFC 5321", protocol: SMTP, command: "STARTTLS", line: "421 4.3.0 closing", want: ServerUnavailable},
	{from: "broken", protocol: SMTP, command: "STARTTLS", line: "250 go on", want: ProtocolMalformed},
	// SMTP: login.
	{from: "Postfix", protocol: SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", want: AuthRejected},
	{from: "Gmail", protocol: SMTP, command: "AUTH", line: "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials", want: AuthRejected},
	{from: "Exchange", protocol: SMTP, command: "AUTH", line: "535 5.7.3 Authentication unsuccessful", want: AuthRejected},
	{from: "Exchange Online", protocol: SMTP, command: "AUTH", line: "535 5.7.3 Authentication unsuccessful", want: TokenRejected, token: true},
	{from: "Brevo", protocol: SMTP, command: "AUTH", line: "535 5.7.0 Invalid login or password", want: AuthRejected},
	{from: "Exim", protocol: SMTP, command: "AUTH", line: "535 Incorrect authentication data", want: AuthRejected},
	{from: "a text softens no code", protocol: SMTP, command: "AUTH", line: "535 not implemented", want: AuthRejected},
	{from: "class digit disagrees", protocol: SMTP, command: "AUTH", line: "535 4.7.0 Temporary authentication failure", want: AuthRejected},
	{from: "a text softens no code", protocol: SMTP, command: "AUTH", line: "535 5.7.8 too many connections, not implemented", want: AuthRejected},
	{from: "a text softens no code", protocol: SMTP, command: "AUTH", line: "550 5.7.8 not implemented", want: AuthRejected},
	{from: "a text softens no code", protocol: SMTP, command: "AUTH", line: "550 5.7.3 not implemented", want: AuthRejected},
	{from: "unknown wording", protocol: SMTP, command: "AUTH", line: "554 5.7.1 no", want: AuthRejected},
	{from: "Gmail", protocol: SMTP, command: "AUTH", line: "534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor", want: AuthMethodForbidden},
	{from: "code against reply", protocol: SMTP, command: "AUTH", line: "535 5.7.9 no", want: AuthMethodForbidden},
	{from: "RFC 4954", protocol: SMTP, command: "AUTH", line: "534 too weak", want: AuthMethodForbidden},
	{from: "Exchange Online", protocol: SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [PROD.OUTLOOK.COM]", want: AuthMethodForbidden},
	{from: "Exchange Online", protocol: SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", want: AuthMethodForbidden},
	{from: "Exchange Online", protocol: SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.", want: AuthMethodForbidden},
	{from: "Exchange Online", protocol: SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.", want: AuthMethodForbidden},
	{from: "Exchange Online", protocol: SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [PROD.OUTLOOK.COM]", want: AuthRejected},
	{from: "bare with text", protocol: SMTP, command: "AUTH", line: "535 Basic authentication is disabled", want: AuthMethodForbidden},
	{from: "bare with text", protocol: SMTP, command: "AUTH", line: "550 Please log in via your web browser", want: AuthMethodForbidden},
	{from: "RFC 4954", protocol: SMTP, command: "AUTH", line: "432 4.7.12 A password transition is needed", want: AuthExpired},
	{from: "RFC 4954", protocol: SMTP, command: "AUTH", line: "432 A password transition is needed", want: AuthExpired},
	{from: "a text softens no code", protocol: SMTP, command: "AUTH", line: "432 4.7.12 too many connections", want: AuthExpired},
	{from: "code against reply", protocol: SMTP, command: "AUTH", line: "534 5.7.12 no", want: AuthExpired},
	{from: "directory", protocol: SMTP, command: "AUTH", line: "535 5.7.8 Your password has expired", want: AuthExpired},
	{from: "RFC 5248", protocol: SMTP, command: "AUTH", line: "525 5.7.13 User Account Disabled", want: AuthDisabled},
	{from: "code against reply", protocol: SMTP, command: "AUTH", line: "535 5.7.13 no", want: AuthDisabled},
	{from: "RFC 5248", protocol: SMTP, command: "AUTH", line: "525 no", want: AuthDisabled},
	{from: "Zimbra", protocol: SMTP, command: "AUTH", line: "535 account is disabled", want: AuthDisabled},
	{from: "hMailServer", protocol: SMTP, command: "AUTH", line: "550 account is disabled", want: AuthDisabled},
	{from: "Postfix", protocol: SMTP, command: "AUTH", line: "454 4.7.0 Temporary authentication failure: Connection lost to authentication server", want: AuthTemporary},
	{from: "Exim", protocol: SMTP, command: "AUTH", line: "435 Unable to authenticate at present", want: AuthTemporary},
	{from: "Postfix 2 without its saslauthd", protocol: SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: generic failure", want: AuthTemporary, doubtful: true},
	{from: "nginx", protocol: SMTP, command: "AUTH", line: "451 4.3.2 Internal server error", want: AuthTemporary, doubtful: true},
	{from: "Gmail", protocol: SMTP, command: "AUTH", line: "454 4.7.0 Too many login attempts, please try again later.", want: AuthTooSoon},
	{from: "Gmail", protocol: SMTP, command: "AUTH", line: "421 4.7.0 Try again later, closing connection.", want: AuthTooSoon},
	{from: "Exchange Online", protocol: SMTP, command: "AUTH", line: "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", want: ServerLimit},
	{from: "RFC 3463", protocol: SMTP, command: "AUTH", line: "432 4.3.2 not now", want: ServerLimit},
	{from: "Postfix", protocol: SMTP, command: "AUTH", line: "450 4.7.1 Error: too much mail from 192.0.2.1", want: ServerLimit},
	{from: "RFC 5321", protocol: SMTP, command: "AUTH", line: "421 4.3.0 closing", want: ServerUnavailable},
	{from: "Postfix", protocol: SMTP, command: "AUTH", line: "530 5.7.0 Must issue a STARTTLS command first", want: AuthNeedsTLS, clear: true},
	{from: "RFC 4954", protocol: SMTP, command: "AUTH", line: "538 5.7.11 Encryption required for requested authentication mechanism", want: AuthNeedsTLS, clear: true},
	{from: "RFC 4954", protocol: SMTP, command: "AUTH", line: "538 no", want: AuthNeedsTLS, clear: true},
	{from: "RFC 4954", protocol: SMTP, command: "AUTH", line: "530 5.7.0 encrypt first", want: AuthNeedsTLS, clear: true},
	{from: "RFC 5248", protocol: SMTP, command: "AUTH", line: "523 5.7.10 Encryption needed", want: AuthNeedsTLS, clear: true},
	{from: "RFC 5248", protocol: SMTP, command: "AUTH", line: "523 no", want: AuthNeedsTLS, clear: true},
	{from: "code against reply", protocol: SMTP, command: "AUTH", line: "535 5.7.10 no", want: AuthNeedsTLS, clear: true},
	{from: "code against reply", protocol: SMTP, command: "AUTH", line: "535 5.7.11 no", want: AuthNeedsTLS, clear: true},
	{from: "Exchange", protocol: SMTP, command: "AUTH", line: "554 Must issue a STARTTLS command first", want: AuthNeedsTLS, clear: true},
	{from: "RFC 4954", protocol: SMTP, command: "AUTH", line: "504 5.5.4 Unrecognized authentication type", want: AuthMechanism},
	{from: "Exchange", protocol: SMTP, command: "AUTH", line: "504 5.7.4 Unrecognized authentication type", want: AuthMechanism},
	{from: "RFC 4954", protocol: SMTP, command: "AUTH", line: "504 5.5.4 no", want: AuthMechanism},
	{from: "code against reply", protocol: SMTP, command: "AUTH", line: "535 5.7.4 no", want: AuthMechanism},
	{from: "Postfix", protocol: SMTP, command: "AUTH", line: "503 5.5.1 Error: authentication not enabled", want: AuthMechanism},
	{from: "Exchange", protocol: SMTP, command: "AUTH", line: "534 Unrecognized authentication type", want: AuthMethodForbidden},
	{from: "RFC 5321", protocol: SMTP, command: "AUTH", line: "501 5.5.2 Cannot decode response", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "AUTH", line: "500 5.5.1 what?", want: CommandRejected},
	// SMTP: sender and recipient.
	{from: "Postfix", protocol: SMTP, command: "MAIL", line: "553 5.7.1 <a@example.org>: Sender address rejected: not owned by user b@example.org", want: NotAuthorized},
	{from: "Postfix", protocol: SMTP, command: "RCPT", line: "553 5.7.1 no", want: NotAuthorized},
	{from: "Exchange", protocol: SMTP, command: "MAIL", line: "550 5.7.60 SMTP; Client does not have permissions to send as this sender", want: NotAuthorized},
	{from: "Exchange", protocol: SMTP, command: "RCPT", line: "550 5.7.60 no", want: NotAuthorized},
	{from: "Exchange Online", protocol: SMTP, command: "MAIL", line: "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", want: NotAuthorized},
	{from: "Exchange Online", protocol: SMTP, command: "MAIL", line: "554 5.2.0 no", want: NotAuthorized},
	{from: "bare", protocol: SMTP, command: "MAIL", line: "550 not owned by user", want: NotAuthorized},
	{from: "Gmail", protocol: SMTP, command: "MAIL", line: "530 5.7.0 Authentication Required.", want: NotAuthorized},
	{from: "Postfix", protocol: SMTP, command: "MAIL", line: "530 5.7.0 Must issue a STARTTLS command first", want: AuthNeedsTLS, clear: true},
	{from: "RFC 3463", protocol: SMTP, command: "RCPT", line: "550 5.2.2 mailbox full", want: MailboxFailed},
	{from: "RFC 3463", protocol: SMTP, command: "RCPT", line: "452 4.2.2 mailbox full", want: MailboxFailed},
	{from: "RFC 5321", protocol: SMTP, command: "RCPT", line: "552 full", want: MailboxFailed},
	{from: "Postfix", protocol: SMTP, command: "RCPT", line: "550 5.1.1 <x@example.org>: Recipient address rejected: User unknown", want: MailboxMissing},
	{from: "code against reply", protocol: SMTP, command: "RCPT", line: "554 5.1.1 no", want: MailboxMissing},
	{from: "bare", protocol: SMTP, command: "RCPT", line: "550 no such user", want: MailboxMissing},
	{from: "RFC 5321", protocol: SMTP, command: "RCPT", line: "551 try <y@example.net>", want: MailboxMissing},
	{from: "Exim", protocol: SMTP, command: "RCPT", line: "550 5.7.1 relay not permitted", want: MailboxDenied},
	{from: "Postfix", protocol: SMTP, command: "RCPT", line: "554 5.7.1 Relay access denied", want: MailboxDenied},
	{from: "bare", protocol: SMTP, command: "MAIL", line: "550 no", want: MailboxDenied},
	{from: "Postfix", protocol: SMTP, command: "MAIL", line: "451 4.3.0 later", want: ServerUnavailable},
	{from: "Dovecot submission", protocol: SMTP, command: "MAIL", line: "421 4.4.0 mail.example.org Failed to connect to relay server (connect)", want: ServerUnavailable},
	{from: "Postfix", protocol: SMTP, command: "RCPT", line: "450 4.7.1 Error: too much mail", want: ServerLimit},
	{from: "RFC 5321", protocol: SMTP, command: "MAIL", line: "500 what?", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "MAIL", line: "501 what?", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "MAIL", line: "502 what?", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "MAIL", line: "503 what?", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "MAIL", line: "504 what?", want: CommandRejected},
	{from: "RFC 5321", protocol: SMTP, command: "MAIL", line: "555 BODY?", want: CommandRejected},
}

// refusal reads the line as the dialects do.
func (g golden) refusal(t *testing.T) *refusal {
	t.Helper()
	no := &refusal{protocol: g.protocol, command: g.command, authzid: g.authzid, token: g.token, tls: !g.clear}
	var err error
	switch g.protocol {
	case IMAP:
		var ok bool
		if _, no.reply, ok = parseIMAPStatus(g.line); !ok {
			t.Fatalf("%s: %q is no status response", g.from, g.line)
		}
	case POP3:
		no.reply, err = parsePOP3Reply(g.line)
	case SMTP:
		no.reply, err = parseSMTPReply(strings.Split(g.line, "\n"))
	}
	if err != nil {
		t.Fatalf("%s: %v", g.from, err)
	}
	return no
}

func TestRefusalReason(t *testing.T) {
	for _, g := range goldenRefusals {
		no := g.refusal(t)
		if got, _ := classify("", nil, no); got != g.want {
			t.Errorf("%s %s from %s: %q means %q, want %q", g.protocol, g.command, g.from, g.line, got, g.want)
		}
		if got := isDoubtful("", no); got != g.doubtful {
			t.Errorf("%s %s from %s: %q may mean a wrong password: %t, want %t", g.protocol, g.command, g.from, g.line, got, g.doubtful)
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
				l := decidingRule(without, "", no)
				return l == nil || ofToken(l.reason, no) != g.want || l.doubtful != g.doubtful
			})
			if !matters {
				t.Errorf("%s: nothing changes without rule %d: %+v", protocol, i, rules[i])
			}
		}
	}
}

func TestEachKnownTextHasGoldenLine(t *testing.T) {
	groups := []textGroup{limitTexts, tooSoonTexts, laterTexts, temporaryTexts, proxyTexts, saslTexts, methodTexts, expiredTexts, disabledTexts,
		needsTLSTexts, tlsTexts, mechanismTexts, credentialTexts, notConnectedTexts, brokenTexts, maildropTexts, deniedTexts, unnamedTexts, senderTexts}
	for _, group := range groups {
		for _, known := range group {
			if known.source == "" || known.text != lowerASCII(known.text) || known.text == "" {
				t.Errorf("%q from %q: wants a source, and lower case", known.text, known.source)
			}
			if !slices.ContainsFunc(goldenRefusals, func(g golden) bool {
				return strings.Contains(lowerASCII(g.line), known.text)
			}) {
				t.Errorf("no golden line holds %q", known.text)
			}
		}
	}
}

func TestRefusalOfUnknownCommandTakesThePhase(t *testing.T) {
	no := &refusal{protocol: IMAP, command: "XLOGIN", reply: reply{status: "NO", code: "UNAVAILABLE"}}
	for phase, want := range map[Phase]Reason{PhaseAuth: AuthTemporary, PhaseMailbox: ServerUnavailable} {
		if got, _ := classify(phase, nil, no); got != want {
			t.Errorf("%s: %q, want %q", phase, got, want)
		}
	}
}
