package prober

import "mailprobe/mail"

// causeRefusals are lines of real servers that name a cause which is not a wrong
// password: an address, a licence, a full mailbox, another server, a second factor.
var causeRefusals = []golden{
	// The mailbox is on another server.
	{from: "Dovecot", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO [REFERRAL imap://alice@imap2.example.org/] Try this server instead.", want: mail.AuthRejected, advice: "`host`"},
	{from: "RFC 2221", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [REFERRAL IMAP://MIKE@SERVER2/] Specified user is invalid on this server. Try SERVER2.", want: mail.AuthRejected, advice: "`host`"},
	{from: "RFC 2221", protocol: mail.IMAP, command: "GREETING", line: "* BYE [REFERRAL IMAP://user;AUTH=*@SERVER2/] Server not accepting connections.Try SERVER2", want: mail.ServerRefused, advice: "`host`"},
	{from: "RFC 2193", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [REFERRAL IMAP://user;AUTH=*@SERVER2/SHARED/FOO] Remote mailbox. Try SERVER2.", want: mail.MailboxMissing, advice: "`host`"},
	{from: "Zimbra", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO LOGIN failed (wrong host)", want: mail.AuthDisabled, advice: "`host`"},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR login failed [wrong host]", want: mail.AuthDisabled, advice: "`host`"},

	// No login from this address.
	{from: "Brevo", protocol: mail.SMTP, command: "AUTH", line: "525 5.7.1 Unauthorized IP address 192.0.2.1", want: mail.ServerRefused, doubtful: true, advice: "address"},
	{from: "MDaemon", protocol: mail.SMTP, command: "AUTH", line: "550 5.7.0 Access denied: 192.0.2.1 is blocked by dynamic screening", want: mail.ServerRefused, doubtful: true, advice: "address"},
	{from: "Postfix", protocol: mail.SMTP, command: "AUTH", line: "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", want: mail.ServerRefused, doubtful: true, advice: "block list"},
	{from: "Postfix, before the password", protocol: mail.SMTP, command: "AUTH", line: "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", unsent: true, want: mail.ServerRefused, doubtful: true, advice: "block list"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Login from this IP address is not allowed", want: mail.ServerRefused, doubtful: true, advice: "address"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Logins from your country are blocked", want: mail.ServerRefused, doubtful: true, advice: "address"},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR Your IP address has been blocked", want: mail.ServerRefused, doubtful: true, advice: "address"},
	{from: "IceWarp", protocol: mail.POP3, command: "PASS", line: "-ERR Intrusion prevention active for 192.0.2.1", want: mail.ServerRefused, doubtful: true, advice: "address"},
	{from: "IceWarp", protocol: mail.IMAP, command: "GREETING", line: "* NO LOGOUT Intrusion prevention active for 192.0.2.1", want: mail.ProtocolMalformed, advice: "ban"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "MAIL", line: "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP. AS(7230)", want: mail.ServerRefused, advice: "block list"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "MAIL", line: "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", want: mail.ServerRefused, advice: "block list"},

	// A licence, an account or a session has expired, not the password.
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO License has expired", want: mail.AuthTemporary, advice: "licence"},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR License expired", want: mail.AuthTemporary, advice: "licence"},
	{from: "of this kind", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Server license has expired", want: mail.AuthTemporary, advice: "licence"},
	{from: "of this kind", protocol: mail.SMTP, command: "GREETING", line: "554 License has expired", want: mail.ServerUnavailable, advice: "licence"},
	{from: "of this kind", protocol: mail.POP3, command: "GREETING", line: "-ERR Server license has expired", want: mail.ServerUnavailable, advice: "licence"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO The maximum number of licensed users has been reached", want: mail.ServerLimit, advice: "licence"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO User is not licensed for IMAP", want: mail.AuthDisabled, advice: "licence"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Account expired", want: mail.AuthDisabled, advice: "contract"},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR Your mailbox has expired, please renew your subscription", want: mail.AuthDisabled, advice: "contract"},
	{from: "of this kind", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Your trial period has expired", want: mail.AuthDisabled, advice: "contract"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Login session expired, please log in again", want: mail.AuthTemporary, doubtful: true},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR Session has expired", want: mail.AuthTemporary, doubtful: true},
	{from: "Exchange Online", protocol: mail.IMAP, command: "EXAMINE", line: "* BYE Session invalidated - AccessTokenExpired", token: true, want: mail.TokenRejected, advice: "ran out"},
	{from: "Tiscali", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.0 authentication rejected: your password is too simple", want: mail.AuthExpired},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Password reset required", want: mail.AuthExpired},
	{from: "of this kind", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Your password needs to be changed", want: mail.AuthExpired},

	// The account is off, or off for this protocol.
	{from: "Brevo", protocol: mail.SMTP, command: "AUTH", line: "502 5.7.0 Your SMTP account is not yet activated. Please contact us to request activation", want: mail.AuthDisabled},
	{from: "Brevo", protocol: mail.SMTP, command: "MAIL", line: "502 5.7.0 Your SMTP account is not yet activated. Please contact us to request activation", want: mail.NotAuthorized, advice: "provider"},
	{from: "Mailjet", protocol: mail.SMTP, command: "MAIL", line: "550 5.7.1 Your account has been temporarily blocked. Please contact our support team.", want: mail.NotAuthorized, advice: "provider"},
	{from: "of this kind", protocol: mail.SMTP, command: "RCPT", line: "554 5.7.1 Account alice@example.org has been blocked from sending due to abusive activity", want: mail.NotAuthorized, advice: "provider"},
	{from: "MDaemon", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Authentication failed: account is frozen", want: mail.AuthDisabled},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Your account is temporarily locked", want: mail.AuthDisabled},
	{from: "Axigen", protocol: mail.POP3, command: "PASS", line: "-ERR POP3 service not enabled for this account", want: mail.AuthDisabled, advice: "Switch on"},
	{from: "RFC 5530", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [NOPERM] not for you", want: mail.AuthDisabled, advice: "Switch on"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] Your plan does not support IMAP access", want: mail.AuthDisabled, advice: "Switch on"},
	{from: "Interia, after its OK to the login", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [ALERT] Please enable IMAP access in your account settings first.", want: mail.AuthDisabled, advice: "Switch on"},

	// A second factor.
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] 2FA is enabled, generate a password for this app", want: mail.AuthMethodForbidden, advice: "app password"},
	{from: "of this kind", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 2-Step Verification is enabled for this account", want: mail.AuthMethodForbidden, advice: "app password"},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] Second factor required", want: mail.AuthMethodForbidden, advice: "app password"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, you must use multi-factor authentication to access. Contact your administrator.", want: mail.AuthMethodForbidden, advice: "xoauth2"},

	// Exchange says little.
	{from: "Exchange Online", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO AUTHENTICATE failed.", want: mail.AuthRejected, advice: "xoauth2"},
	{from: "Exchange Online", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO LOGIN failed.", want: mail.AuthRejected, advice: "Microsoft 365"},
	{from: "Exchange, a shared mailbox", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO LOGIN failed.", authzid: true, want: mail.AuthRejected},
	{from: "Exchange Online", protocol: mail.POP3, command: "PASS", line: "-ERR Logon failure: unknown user name or bad password.", want: mail.AuthRejected, advice: "Microsoft 365"},
	{from: "Exchange", protocol: mail.POP3, command: "STAT", line: "-ERR User is authenticated but not connected.", want: mail.NotAuthorized, doubtful: true, advice: "Check the password"},
	{from: "Exchange Online", protocol: mail.POP3, command: "STAT", line: "-ERR User is authenticated but not connected.", token: true, want: mail.NotAuthorized, doubtful: true, advice: "token"},
	{from: "Exchange Online", protocol: mail.IMAP, command: "EXAMINE", line: "A1 BAD User is authenticated but not connected.", token: true, want: mail.NotAuthorized, doubtful: true, advice: "token"},
	{from: "Exchange", protocol: mail.POP3, command: "USER", line: "-ERR Protocol error. Connection is closed. 10", want: mail.AuthTemporary, doubtful: true},
	{from: "Exchange", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 BAD Command Argument Error. 12", want: mail.CommandRejected, advice: "access token"},

	{from: "perdition", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Could not determine server", want: mail.AuthRejected, advice: "whole mail address"},
	{from: "of this kind", protocol: mail.POP3, command: "USER", line: "-ERR Please specify the full user name including the domain", want: mail.AuthRejected, advice: "whole mail address"},
	{from: "Exchange", protocol: mail.SMTP, command: "GREETING", line: "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel", want: mail.ServerLimit},
	{from: "of this kind", protocol: mail.SMTP, command: "EHLO", line: "554 5.7.1 The EHLO hostname is not valid", want: mail.CommandRejected, advice: "`ehlo`"},

	// A full mailbox.
	{from: "Dovecot", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [OVERQUOTA] Quota exceeded (mailbox for user is full)", want: mail.MailboxFailed, advice: "quota"},
	{from: "code alone", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [OVERQUOTA] no", want: mail.MailboxFailed, advice: "quota"},
	{from: "Domino", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO Unable to extend an ID table - insufficient disk space: mailbox exceeds its disk quota", want: mail.MailboxFailed, advice: "quota"},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR Mailbox over quota", want: mail.MailboxFailed, advice: "quota"},
	{from: "Exim (cPanel)", protocol: mail.SMTP, command: "RCPT", line: "550 Mailbox is full / Blocks limit exceeded / Inode limit exceeded", want: mail.MailboxFailed, advice: "quota"},
	{from: "of this kind", protocol: mail.SMTP, command: "RCPT", line: "452 Mailbox full, try again later", want: mail.MailboxFailed, advice: "quota"},
	{from: "Gmail", protocol: mail.SMTP, command: "RCPT", line: "452-4.2.2 The recipient's inbox is out of storage space. Please direct the\n452 4.2.2 recipient to https://support.google.com/mail/?p=OverQuotaTemp", want: mail.MailboxFailed, advice: "quota"},
	{from: "of this kind", protocol: mail.SMTP, command: "MAIL", line: "550 5.7.1 Daily message quota exceeded", want: mail.ServerLimit, advice: "quota"},

	{from: "code alone", protocol: mail.SMTP, command: "RCPT", line: "550 5.2.2 no", want: mail.MailboxFailed, advice: "quota"},
	{from: "code alone", protocol: mail.SMTP, command: "RCPT", line: "452 4.2.2 no", want: mail.MailboxFailed, advice: "quota"},

	// A name, a lock, a server that is leaving.
	{from: "Dovecot", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [CANNOT] Invalid mailbox name: Name must not have '/' characters (0.001 + 0.000 secs).", want: mail.MailboxFailed, advice: "separators"},
	{from: "code alone", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [CANNOT] no", want: mail.MailboxFailed},
	{from: "Domino", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO You are not authorized to access that database", want: mail.MailboxDenied},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR Mailbox is temporarily locked, try again", want: mail.MailboxInUse},
	{from: "qpopper", protocol: mail.POP3, command: "PASS", line: "-ERR /var/mail/.alice.pop is being read already", want: mail.MailboxInUse},
	{from: "qpopper", protocol: mail.POP3, command: "PASS", line: "-ERR Maillock error 'Can't create lockfile' (3) on '/var/mail/alice'", want: mail.MailboxInUse},
	{from: "qpopper", protocol: mail.POP3, command: "PASS", line: "-ERR POP authentication DB not available (user alice)", want: mail.AuthTemporary},
	{from: "qpopper", protocol: mail.POP3, command: "PASS", line: "-ERR Unable to process From lines (envelopes), change recognition modes or check for corrupted mail drop.", want: mail.MailboxFailed},
	{from: "Dovecot", protocol: mail.POP3, command: "PASS", line: "-ERR Couldn't open INBOX", want: mail.MailboxFailed},
	{from: "hMailServer", protocol: mail.POP3, command: "PASS", line: "-ERR Server error: Failed to fetch messages in Inbox.", want: mail.MailboxFailed},
	{from: "Cyrus", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/PERM] Fatal error: can't connect to mailbox database", want: mail.MailboxFailed},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR Login interval too short, wait 10 minutes", want: mail.AuthTooSoon},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR Server shutting down.", want: mail.AuthTemporary},
	{from: "Dovecot", protocol: mail.IMAP, command: "AUTHENTICATE", line: "* BYE Server shutting down.", want: mail.AuthTemporary},
	{from: "Cyrus, words of its administrator", protocol: mail.IMAP, command: "GREETING", line: "* BYE [ALERT] System upgrade until 18:00, back soon", want: mail.ServerUnavailable},
	{from: "Gmail", protocol: mail.SMTP, command: "AUTH", line: "421 4.7.0 Temporary System Problem. Try again later (10). a1-20020 - gsmtp", want: mail.AuthTemporary},
	{from: "Gmail", protocol: mail.SMTP, command: "AUTH", line: "454 4.7.0 Temporary System Problem. Try again later (10). a1-20020 - gsmtp", want: mail.AuthTemporary},

	{from: "of this kind", protocol: mail.POP3, command: "STAT", line: "-ERR Server shutting down.", want: mail.ServerUnavailable},

	// A wrong password, whatever the status says, and whatever else is in the sentence.
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 BAD Invalid username or password", want: mail.AuthRejected},
	{from: "of this kind", protocol: mail.SMTP, command: "AUTH", line: "501 5.7.0 authentication aborted: bad password", want: mail.AuthRejected},
	{from: "MailEnable", protocol: mail.SMTP, command: "AUTH", line: "535 Authentication failed. Restarting authentication process.", want: mail.AuthRejected},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Authentication failed. Restarting authentication process.", want: mail.AuthRejected},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Permission denied, wrong password", want: mail.AuthRejected},

	// What is behind the server is missing.
	{from: "Kopano", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO LOGIN Server not yet ready or connection problem", want: mail.AuthTemporary},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Unable to connect to backend", want: mail.AuthTemporary},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR cannot contact backend server", want: mail.AuthTemporary},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Unable to open mail store: no space left on device", want: mail.MailboxFailed},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR No space left on device", want: mail.MailboxFailed},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR unable to open mailbox", want: mail.MailboxFailed},
	{from: "of this kind", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO Mailbox database is dismounted", want: mail.ServerUnavailable},
	{from: "Kopano", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO LOGIN imap feature disabled", want: mail.AuthDisabled, advice: "Switch on"},
	{from: "of this kind", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO You do not have sufficient permissions to perform this operation", want: mail.MailboxDenied},

	// Sender, recipient, and the name in EHLO.
	{from: "Plesk", protocol: mail.SMTP, command: "MAIL", line: "550 5.7.1 Outgoing messages limit reached for mailbox", want: mail.ServerLimit, advice: "quota"},
	{from: "Plesk", protocol: mail.SMTP, command: "MAIL", line: "451 4.7.1 Too many messages from this mailbox", want: mail.ServerLimit},
	{from: "of this kind", protocol: mail.SMTP, command: "MAIL", line: "553 5.7.4 Sender domain mismatch", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "450 4.1.2 <b@nosuch.example>: Recipient address rejected: Domain not found", want: mail.MailboxMissing},
	{from: "Gmail's relay", protocol: mail.SMTP, command: "EHLO", line: "421-4.7.0 Try again later, closing connection. (EHLO) a1-20020\n421 4.7.0  https://support.google.com/a/answer/3221692 - gsmtp", want: mail.CommandRejected, advice: "`ehlo`"},
	{from: "Gmail's relay", protocol: mail.SMTP, command: "MAIL", line: "550-5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address you've\n550 5.7.1 registered in your G Suite SMTP Relay service doesn't match", want: mail.NotAuthorized, advice: "relay service"},
	{from: "Postfix, by default", protocol: mail.SMTP, command: "RCPT", line: "454 4.7.1 <bob@example.net>: Relay access denied", want: mail.MailboxDenied, advice: "`recipient`"},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "450 4.1.1 <bob@example.net>: Recipient address rejected: User unknown in virtual mailbox table", want: mail.MailboxMissing},
	{from: "RFC 5321", protocol: mail.SMTP, command: "RCPT", line: "450 Requested mail action not taken: mailbox unavailable", want: mail.ServerUnavailable},
	{from: "SMTP2GO", protocol: mail.SMTP, command: "MAIL", line: "550 From header sender domain not verified (example.org)", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "Resend", protocol: mail.SMTP, command: "MAIL", line: "550 The example.org domain is not verified. Please, add and verify your domain", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "Amazon SES", protocol: mail.SMTP, command: "MAIL", line: "554 Access denied: User `arn:aws:iam::1:user/x` is not authorized to perform `ses:SendRawEmail`", want: mail.NotAuthorized, advice: "`sender`"},
}
