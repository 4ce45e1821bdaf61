package prober

import "mailprobe/mail"

// fieldRefusals are lines of real servers, from public reports, of which the
// sentence says more than the code: what they mean, and words that the advice
// must have.
var fieldRefusals = []golden{
	// One sentence for several causes.
	{from: "Yandex", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO [AUTHENTICATIONFAILED] LOGIN invalid credentials or IMAP is disabled sc=abc", want: mail.AuthRejected, advice: "switched on"},
	{from: "Yandex", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] login failure or POP3 disabled, try later. sc=abc", want: mail.AuthRejected, advice: "switched on"},
	{from: "QQ", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, or system is busy. More information at https://service.mail.qq.com/detail/0/53", want: mail.AuthRejected, advice: "authorization code"},
	{from: "QQ", protocol: mail.SMTP, command: "AUTH", line: "535 Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, or system is busy. More information at https://service.mail.qq.com/detail/0/53", want: mail.AuthRejected, advice: "authorization code"},
	{from: "NetEase", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO LOGIN Login error or password error", want: mail.AuthRejected, advice: "authorization code"},
	{from: "NetEase", protocol: mail.POP3, command: "PASS", line: "-ERR ERR.LOGIN.PASSERR", want: mail.AuthRejected, advice: "authorization code"},
	{from: "GMX", protocol: mail.SMTP, command: "AUTH", line: "535 Authentication credentials invalid", want: mail.AuthRejected, advice: "switched on"},
	{from: "Gmail", protocol: mail.SMTP, command: "AUTH", line: "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials", want: mail.AuthRejected, advice: "app password"},
	{from: "Gmail", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] Username and password not accepted.", want: mail.AuthRejected, advice: "app password"},
	{from: "Yahoo", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.0 (#MBR1212) Incorrect username or password", want: mail.AuthRejected, advice: "app password"},
	{from: "hMailServer", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Invalid user name or password. Please use full email address as user name.", want: mail.AuthRejected, advice: "whole mail address"},
	{from: "Exchange", protocol: mail.IMAP, command: "STATUS", line: "A1 BAD User is authenticated but not connected.", want: mail.NotAuthorized, doubtful: true, advice: "Check the password"},

	// The password may be right, but not this way.
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "550 5.7.30 Basic authentication is not supported for Client Submission.", want: mail.AuthMethodForbidden, advice: "xoauth2"},
	{from: "code alone", protocol: mail.SMTP, command: "AUTH", line: "550 5.7.30 no", want: mail.AuthMethodForbidden, advice: "xoauth2"},
	{from: "Exchange Online", protocol: mail.POP3, command: "PASS", line: `-ERR Logon failure: unknown user name or bad password. [Error="AuthFailed:LogonDenied-BasicAuthBlocked-"]`, want: mail.AuthMethodForbidden, advice: "xoauth2"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", want: mail.AuthMethodForbidden, advice: "whole tenant"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", want: mail.AuthMethodForbidden, advice: "this mailbox"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.", want: mail.AuthMethodForbidden, advice: "security defaults"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.", want: mail.AuthMethodForbidden, advice: "policy"},
	{from: "code alone", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful", want: mail.AuthMethodForbidden, advice: "policy"},
	{from: "Exchange Online, a valid token", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", token: true, want: mail.AuthMethodForbidden, advice: "tenant"},
	{from: "QQ", protocol: mail.SMTP, command: "AUTH", line: "535 Login Fail. Please enter your authorization code to login. More information in http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=28&&no=1001256", want: mail.AuthMethodForbidden, advice: "authorization code"},
	{from: "QQ", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Login fail. Please using authorized code to login.", want: mail.AuthMethodForbidden, advice: "authorization code"},
	{from: "NetEase", protocol: mail.SMTP, command: "AUTH", line: "535 Error: 请使用授权码登录", want: mail.AuthMethodForbidden, advice: "authorization code"},
	{from: "NetEase", protocol: mail.POP3, command: "PASS", line: "-ERR ERR.LOGIN.REQCODE", want: mail.AuthMethodForbidden, advice: "authorization code"},
	{from: "Gmail", protocol: mail.SMTP, command: "AUTH", line: "534-5.7.14 <https://accounts.google.com/signin/continue> Please log in through your web browser and\n534 5.7.14 then try again.", want: mail.AuthMethodForbidden, advice: "web browser"},
	{from: "code alone", protocol: mail.SMTP, command: "AUTH", line: "534 5.7.14 no", want: mail.AuthMethodForbidden, advice: "web browser"},
	{from: "Yandex", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: Please accept EULA first", want: mail.AuthMethodForbidden, advice: "web browser"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] app-specific password required", want: mail.AuthMethodForbidden, advice: "app password"},

	// The account is off, or off for this protocol.
	{from: "Gmail", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO [ALERT] IMAP access is disabled for your domain. Please contact your domain administrator for questions about this feature. (Failure)", want: mail.AuthDisabled, advice: "Switch on"},
	{from: "Gmail", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/PERM] POP access is disabled for your domain. Please contact your domain administrator for questions about this feature.", want: mail.AuthDisabled, advice: "Switch on"},
	{from: "Yandex", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: This user does not have access rights to this service", want: mail.AuthDisabled, advice: "Switch on"},
	{from: "NetEase", protocol: mail.SMTP, command: "AUTH", line: "550 User has no permission", want: mail.AuthDisabled, advice: "Switch on"},
	{from: "NetEase", protocol: mail.SMTP, command: "AUTH", line: "550 User suspended", want: mail.AuthDisabled},
	{from: "of this kind", protocol: mail.POP3, command: "PASS", line: "-ERR Logon failure: account currently disabled.", want: mail.AuthDisabled},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO LOGIN failed: account not active", want: mail.AuthDisabled},
	{from: "Dovecot", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHORIZATIONFAILED] User is disabled", want: mail.AuthDisabled},

	// A lock on the mailbox.
	{from: "RFC 1939", protocol: mail.POP3, command: "PASS", line: "-ERR unable to lock maildrop", want: mail.MailboxInUse},
	{from: "RFC 1939", protocol: mail.POP3, command: "APOP", line: "-ERR maildrop already locked", want: mail.MailboxInUse},
	{from: "qpopper", protocol: mail.POP3, command: "PASS", line: "-ERR /var/spool/mail/.alice.pop lock busy!  Is another session active? (11)", want: mail.MailboxInUse},
	{from: "UW ipop3d", protocol: mail.POP3, command: "PASS", line: "-ERR Can't get lock.  Mailbox in use", want: mail.MailboxInUse},
	{from: "hMailServer", protocol: mail.POP3, command: "PASS", line: "-ERR Your mailbox is already locked", want: mail.MailboxInUse},
	{from: "Cyrus", protocol: mail.POP3, command: "PASS", line: "-ERR [SYS/TEMP] Unable to lock maildrop: Mailbox is locked by POP server", want: mail.MailboxInUse},
	{from: "Dovecot", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO Timeout while waiting for lock", want: mail.MailboxInUse},
	{from: "POP3", protocol: mail.POP3, command: "STAT", line: "-ERR mailbox is locked by another POP3 session", want: mail.MailboxInUse},

	// Too soon, too many, too much.
	{from: "Outlook.com", protocol: mail.POP3, command: "PASS", line: "-ERR Exceeded the login limit for a 15 minute period. Reduce the frequency of requests to the POP3 server.", want: mail.ServerLimit},
	{from: "Hotmail", protocol: mail.POP3, command: "STAT", line: "-ERR login allowed only every 15 minutes", want: mail.AuthTooSoon},
	{from: "Yahoo", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.0 (#AUTH005) Too many bad auth attempts.", want: mail.AuthTooSoon, doubtful: true, advice: "counts failed logins"},
	{from: "Yahoo", protocol: mail.SMTP, command: "AUTH", line: "454 4.7.0 (#AUTH005) Too many bad auth attempts.", want: mail.AuthTooSoon, doubtful: true, advice: "counts failed logins"},
	{from: "of this kind", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO Too many failed login attempts", want: mail.AuthTooSoon, doubtful: true},
	{from: "hMailServer", protocol: mail.POP3, command: "PASS", line: "-ERR Invalid user name or password. Too many invalid logon attempts.", want: mail.AuthTooSoon, doubtful: true},
	{from: "Gmail", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", want: mail.ServerLimit, advice: "quota"},
	{from: "Yahoo", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO [LIMIT] LOGIN Rate limit hit.", want: mail.ServerLimit},
	{from: "Gmail", protocol: mail.SMTP, command: "MAIL", line: "550 5.4.5 Daily user sending quota exceeded. z1-20020", want: mail.ServerLimit, advice: "quota"},
	{from: "code alone", protocol: mail.SMTP, command: "MAIL", line: "550 5.4.5 no", want: mail.ServerLimit, advice: "quota"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "MAIL", line: "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", want: mail.ServerLimit},
	{from: "QQ", protocol: mail.SMTP, command: "GREETING", line: "550 Connection frequency limited", want: mail.ServerLimit},
	{from: "Postfix", protocol: mail.SMTP, command: "GREETING", line: "450 4.7.1 Error: too many connections from 192.0.2.1", want: mail.ServerLimit},
	{from: "limit before STARTTLS", protocol: mail.SMTP, command: "STARTTLS", line: "450 4.7.1 Error: too many connections", want: mail.ServerLimit},

	{from: "Exim (cPanel)", protocol: mail.SMTP, command: "MAIL", line: "550 Domain example.org has exceeded the max emails per hour (101/100 (101%)) allowed.  Message discarded.", want: mail.ServerLimit, advice: "quota"},
	{from: "code alone", protocol: mail.POP3, command: "STAT", line: "-ERR [LOGIN-DELAY] no", want: mail.AuthTooSoon},
	{from: "code alone", protocol: mail.POP3, command: "PASS", line: "-ERR [IN-USE] no", want: mail.MailboxInUse},
	{from: "code alone", protocol: mail.POP3, command: "PASS", line: "-ERR [LOGIN-DELAY] no", want: mail.AuthTooSoon},

	// The server's own trouble.
	{from: "code alone", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [SERVERBUG] no", want: mail.AuthTemporary},
	{from: "Dovecot", protocol: mail.IMAP, command: "AUTHENTICATE", line: "* BYE Internal error occurred. Refer to server log for more information.", want: mail.AuthTemporary},
	{from: "Dovecot 2.0", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO Internal error occurred. Refer to server log for more information. [2026-11-28 12:00:00]", want: mail.ServerUnavailable},
	{from: "Exchange", protocol: mail.IMAP, command: "GREETING", line: "* BYE Connection is closed. 13", want: mail.ServerUnavailable},
	{from: "Exchange", protocol: mail.POP3, command: "GREETING", line: "-ERR Server Unavailable. 21", want: mail.ServerUnavailable},
	{from: "Postfix with Cyrus SASL", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: no mechanism available", want: mail.AuthTemporary},
	{from: "Postfix with Cyrus SASL", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: cannot connect to saslauthd server: Connection refused", want: mail.AuthTemporary},
	{from: "Cyrus", protocol: mail.IMAP, command: "LOGIN", line: "A1 NO [AUTHENTICATIONFAILED] no mechanism available", want: mail.AuthTemporary},
	{from: "Cyrus", protocol: mail.POP3, command: "PASS", line: "-ERR [AUTH] no mechanism available", want: mail.AuthTemporary},
	{from: "Postfix with Dovecot SASL", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.8 Error: authentication failed: Invalid authentication mechanism", want: mail.AuthMechanism},
	{from: "perdition", protocol: mail.POP3, command: "PASS", line: "-ERR failed: Re-Authentication Failure", want: mail.AuthTemporary, doubtful: true, advice: "behind it"},
	{from: "POP3", protocol: mail.POP3, command: "STAT", line: "-ERR temporary failure", want: mail.ServerUnavailable},
	{from: "qmail-pop3d", protocol: mail.POP3, command: "PASS", line: "-ERR this user has no $HOME/Maildir", want: mail.MailboxFailed},

	// No login in clear text, and mechanisms refused before the password left.
	{from: "Exchange", protocol: mail.IMAP, command: "LOGIN", line: "A1 BAD Command received in Invalid state.", want: mail.AuthNeedsTLS, clear: true},
	{from: "Exchange", protocol: mail.POP3, command: "PASS", line: "-ERR Command is not valid in this state.", want: mail.AuthNeedsTLS, clear: true},
	{from: "mail.ru", protocol: mail.SMTP, command: "MAIL", line: "550 SMTP is available only with SSL or TLS connection enabled", want: mail.AuthNeedsTLS},
	{from: "unsent", protocol: mail.IMAP, command: "AUTHENTICATE", line: "A1 NO Authentication failed", unsent: true, want: mail.AuthMechanism},
	{from: "unsent", protocol: mail.SMTP, command: "AUTH", line: "535 5.7.3 Authentication unsuccessful", unsent: true, want: mail.AuthMechanism},
	{from: "unsent", protocol: mail.POP3, command: "AUTH", line: "-ERR Protocol error. 15", unsent: true, want: mail.AuthMechanism},
	{from: "unsent, but not the mechanism's fault", protocol: mail.SMTP, command: "AUTH", line: "454 4.7.0 Temporary authentication failure", unsent: true, want: mail.AuthTemporary},

	// The name in EHLO.
	{from: "Exchange", protocol: mail.SMTP, command: "EHLO", line: "501 5.5.4 Invalid domain name", want: mail.CommandRejected, advice: "`ehlo`"},
	{from: "code alone", protocol: mail.SMTP, command: "EHLO", line: "501 5.5.4 no", want: mail.CommandRejected, advice: "`ehlo`"},
	{from: "code alone", protocol: mail.SMTP, command: "EHLO", line: "504 no", want: mail.CommandRejected, advice: "`ehlo`"},
	{from: "Exim", protocol: mail.SMTP, command: "EHLO", line: "501 Syntactically invalid EHLO argument(s)", want: mail.CommandRejected, advice: "`ehlo`"},
	{from: "Exim (cPanel)", protocol: mail.SMTP, command: "MAIL", line: "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", want: mail.CommandRejected, advice: "`ehlo`"},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "504 5.5.2 <probe>: Helo command rejected: need fully-qualified hostname", want: mail.CommandRejected, advice: "`ehlo`"},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "450 4.7.1 <probe.invalid>: Helo command rejected: Host not found", want: mail.CommandRejected, advice: "`ehlo`"},
	{from: "no words", protocol: mail.SMTP, command: "EHLO", line: "550 no", want: mail.ServerRefused},

	// Sender and recipient.
	{from: "NetEase", protocol: mail.SMTP, command: "MAIL", line: "553 Mail from must equal authorized user", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "QQ", protocol: mail.SMTP, command: "MAIL", line: "501 mail from address must be same as authorization user", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "Yandex", protocol: mail.SMTP, command: "MAIL", line: "553 5.7.1 Sender address rejected: not owned by auth user.", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "mail.ru", protocol: mail.SMTP, command: "MAIL", line: "550 not local sender over smtp", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "iCloud", protocol: mail.SMTP, command: "MAIL", line: "550 5.7.0 From address is not one of your addresses.", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "Zoho", protocol: mail.SMTP, command: "MAIL", line: "553 Relaying disallowed as info@example.org", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "GMX", protocol: mail.SMTP, command: "MAIL", line: "550-Requested action not taken: mailbox unavailable\n550 Sender address is not allowed.", want: mail.NotAuthorized, advice: "`sender`"},
	{from: "Exchange Online", protocol: mail.SMTP, command: "MAIL", line: "530 5.7.57 Client not authenticated to send mail.", want: mail.NotAuthorized, advice: "username"},
	{from: "Gmail", protocol: mail.SMTP, command: "MAIL", line: "530 5.7.0 no", want: mail.NotAuthorized, advice: "username"},
	{from: "of this kind", protocol: mail.SMTP, command: "RCPT", line: "550 Authentication is required to send mail", want: mail.NotAuthorized, advice: "username"},
	{from: "Postgrey", protocol: mail.SMTP, command: "RCPT", line: "450 4.2.0 <a@example.org>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.org.html", want: mail.ServerUnavailable, advice: "greylists"},
	{from: "of this kind", protocol: mail.SMTP, command: "RCPT", line: "451 Graylisting in effect, please come back later", want: mail.ServerUnavailable, advice: "greylists"},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", want: mail.ServerRefused, advice: "block list"},
	{from: "Exim", protocol: mail.SMTP, command: "GREETING", line: "554 5.7.1 192.0.2.1 is listed in a block list, see spamhaus", want: mail.ServerRefused, advice: "block list"},
	{from: "Postfix", protocol: mail.SMTP, command: "RCPT", line: "554 5.7.1 <a@example.net>: Relay access denied", want: mail.MailboxDenied, advice: "`recipient`"},
	{from: "Exchange", protocol: mail.SMTP, command: "RCPT", line: "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", want: mail.MailboxDenied, advice: "`recipient`"},
	{from: "Exim", protocol: mail.SMTP, command: "MAIL", line: "550 Sender verify failed", want: mail.MailboxDenied, advice: "`sender`"},
	{from: "Domino", protocol: mail.SMTP, command: "RCPT", line: "550 5.1.1 x@example.org User unknown; not listed in Domino Directory", want: mail.MailboxMissing},
	{from: "code alone", protocol: mail.SMTP, command: "RCPT", line: "550 5.7.1 no", want: mail.MailboxDenied},
	{from: "NetEase before it asked for ID", protocol: mail.IMAP, command: "EXAMINE", line: "A1 NO The login is not safe! Please update your mail client: http://mail.163.com/dashi", want: mail.MailboxDenied, advice: "authorization code"},
}
