package prober

// This file is the table of texts: sentences in which real servers say what
// their reply codes do not. They are data; a new one needs its source here and a
// whole line in the golden test. Advice about a sentence is in advice.go.

import "strings"

// knownText is a part of a server's sentence, in lower case.
type knownText struct {
	text   string
	source string // the server that says so
}

// textGroup is a group of sentences that mean the same and have the same remedy.
type textGroup struct {
	advice string // more precise than the reason's own; may be empty
	texts  []knownText
}

// textGroups are sentences that have the same reason.
type textGroups []textGroup

// find returns the advice of the first group that has a text of the sentence,
// which is in lower case. No groups at all fit every sentence.
func (g textGroups) find(sentence string) (advice string, found bool) {
	for _, group := range g {
		for _, known := range group.texts {
			if strings.Contains(sentence, known.text) {
				return group.advice, true
			}
		}
	}
	return "", len(g) == 0
}

var (
	// limitTexts: too many connections, or too fast.
	limitTexts = textGroups{
		{"", []knownText{
			{"too many simultaneous connections", "Gmail"},
			{"maximum number of connections", "Dovecot, mail_max_userip_connections"},
			{"maximum number of concurrent connections", "Exchange"},
			{"too many concurrent", "Exim, smtp_accept_max"},
			{"too many connections", "Postfix anvil, Courier"},
			{"too many open connections", "Sendmail"},
			{"too many sessions", "Haraka, Zimbra"},
			{"too many active", "AOL"},
			{"connection rate limit exceeded", "Sendmail"},
			{"concurrent connections limit exceeded", "Exchange Online"},
			{"concurrent connection limit", "Exchange"},
			{"connection limit", "MDaemon, OpenSMTPD"},
			{"connections reached", "Kerio, hMailServer"},
			{"session limit", "Zoho"},
			{"sender thread limit", "Exchange Online, client submission"},
			{"rate limit", "Yahoo, Postfix policy servers"},
			{"frequency limited", "QQ"},
			{"too frequent", "NetEase"},
			{"too much mail", "Postfix anvil"},
			{"throttl", "Exchange Online, SES"},
		}},
		{dailyAdvice, []knownText{
			{"exceeded command or bandwidth limits", "Gmail"},
			{"bandwidth limit", "Gmail, Yahoo"},
			{"sending quota exceeded", "Gmail, Yahoo"},
			{"sending limit exceeded", "Gmail"},
			{"sending limit", "Fastmail, GoDaddy"},
			{"submission quota exceeded", "Exchange Online"},
			{"submissionquotaexceeded", "Exchange Online"},
			{"exceeded the maximum number of messages", "cPanel"},
			{"max emails per hour", "cPanel"},
			{"max defers and failures per hour", "cPanel"},
			{"daily limit", "Zoho, SES"},
			{"daily quota", "SES"},
			{"hourly limit", "MDaemon"},
			{"message rate", "Postfix anvil"},
		}},
	}
	// tooSoonTexts: the login came too soon after the last one.
	tooSoonTexts = textGroups{{"", []knownText{
		{"try again later", "Gmail"},
		{"too many login attempts", "Gmail"},
		{"too many login failures", "Yahoo, Gmail"},
		{"exceeded the login limit", "Outlook.com POP3"},
		{"login allowed only every", "Hotmail POP3"},
		{"minutes between logins", "POP3 servers with LOGIN-DELAY"},
		{"minimum time between", "POP3 servers with LOGIN-DELAY"},
		{"logins too fast", "POP3 servers with LOGIN-DELAY"},
		{"login delay", "Courier, Mirapoint"},
		{"login frequen", "QQ, NetEase"},
		{"login freq limit", "QQ"},
		{"login rate", "Cyrus, popminpoll"},
		{"logging in too", "AOL"},
		{"connecting too", "Mail2World"},
		{"please wait", "MDaemon, Mail2World"},
		{"you must wait", "Mirapoint"},
		{"try again in", "Fastmail, Kerio"},
	}}}
	// lockedOutTexts: the server counts failed logins and has had enough of them.
	// They may be ours.
	lockedOutTexts = textGroups{{lockedOutAdvice, []knownText{
		{"too many bad auth", "Yahoo"},
		{"too many failed", "Kerio, mail.ru"},
		{"too many invalid", "hMailServer"},
		{"too many authentication failures", "MDaemon"},
		{"too many auth", "Haraka"},
		{"too many unsuccessful", "Axigen"},
		{"too many wrong", "Yandex"},
		{"too many incorrect", "Zoho"},
	}}}
	// inUseTexts: another session has the mailbox.
	inUseTexts = textGroups{{"", []knownText{
		{"unable to lock maildrop", "RFC 1939"},
		{"lock busy", "qpopper"},
		{"maildrop already locked", "RFC 1939"},
		{"maildrop is locked", "Exchange 5.5"},
		{"maildrop locked", "Sun mail servers"},
		{"mailbox is locked", "Cyrus"},
		{"mailbox locked", "MDaemon"},
		{"mailbox is already locked", "hMailServer"},
		{"mailbox already locked", "Mercury"},
		{"mailbox in use", "UW ipop3d"},
		{"mailbox is in use", "Kerio"},
		{"mailbox is already in use", "MDaemon"},
		{"mailbox already in use", "VPOP3"},
		{"mailbox is busy", "Lotus Domino"},
		{"mail drop is locked", "CommuniGate"},
		{"maildrop is already", "Novell"},
		{"already in use by another", "Outlook.com"},
		{"being used by another", "Mercury"},
		{"another session active", "qpopper"},
		{"another pop3 session", "Mirapoint"},
		{"another pop session", "Mirapoint"},
		{"can't get lock", "UW ipop3d"},
		{"cannot get lock", "solid-pop3d"},
		{"can't lock", "GNU Mailutils, Courier"},
		{"cannot lock", "popa3d"},
		{"failed to lock", "teapop"},
		{"unable to lock", "popa3d, teapop"},
		{"could not lock", "Cyrus"},
		{"timeout while waiting for lock", "Dovecot"},
	}}}
	// laterTexts: words that are about the server where they stand outside of a
	// login.
	laterTexts = textGroups{{"", []knownText{
		{"try again later", "Exim, Cyrus"},
		{"temporarily unavailable", "Courier, Zimbra"},
		{"server unavailable", "Exchange"},
		{"connection is closed", "Exchange"},
		{"connection closed", "Exchange"},
		{"auth process broken", "Dovecot whose auth process does not start"},
		{"service unavailable", "Zimbra, Kerio"},
		{"service not available", "hMailServer, RFC 5321"},
		{"server is busy", "Kerio, Outlook.com"},
		{"server busy", "Exchange Online"},
		{"system busy", "QQ"},
		{"system is busy", "QQ"},
		{"overload", "CommuniGate"},
		{"shutting down", "Dovecot, Exchange"},
		{"going down", "Cyrus, UW IMAP"},
		{"maintenance", "Zimbra, Fastmail"},
		{"internal error", "Dovecot"},
		{"internal server error", "nginx mail proxy"},
		{"temporary", "Courier, Exim"},
	}}}
	// temporaryTexts: the user database could not be asked.
	temporaryTexts = textGroups{{"", []knownText{
		{"temporary authentication failure", "Dovecot before response codes, Exim"},
		{"server unavailable", "Exchange"},
		{"service unavailable", "Zimbra"},
		{"service not available", "Kerio"},
		{"temporarily unavailable", "Courier, Zimbra"},
		{"temporary problem", "Courier, where the home directory is missing"},
		{"temporary server problem", "nginx mail proxy, the example in its documentation"},
		{"temporary failure", "Courier authlib"},
		{"temporary error", "Yahoo, OpenSMTPD"},
		{"temporary internal", "Yandex"},
		{"temporary system", "Kerio"},
		{"could not connect to server", "perdition, whose server behind it is down"},
		{"internal error occurred", "Dovecot"},
		{"internal error", "Yandex, Kerio"},
		{"server error", "Yahoo"},
		{"backend error", "Yandex, Zimbra"},
		{"server is busy", "Outlook.com"},
		{"server busy", "Exchange Online"},
		{"system busy", "QQ"},
		{"system is busy", "NetEase"},
		{"maintenance", "Zimbra"},
		{"child crashed", "qmail-popup"},
		{"unable to contact", "Lotus Domino"},
		{"no available backend", "Zimbra's nginx"},
		{"authentication service", "Zoho, Rackspace"},
		{"authentication server", "Postfix, perdition"},
	}}}
	// deadBackEndTexts: Cyrus SASL has nothing to check a password with. Servers
	// that use it answer with the code of a wrong password then, too.
	deadBackEndTexts = textGroups{{"", []knownText{
		{"no mechanism available", "Postfix with Cyrus SASL whose plug-ins are missing"},
		{"cannot connect to saslauthd", "Postfix with Cyrus SASL"},
		{"connection lost to authentication server", "Postfix with Dovecot SASL"},
		{"remote authentication server unavailable", "Cyrus SASL"},
		{"service unavailable to", "Cyrus SASL"},
		{"unable to open berkeley db", "Cyrus SASL, sasldb"},
		{"unable to open sasldb", "Cyrus SASL, sasldb"},
	}}}
	// proxyTexts: proxies say the same of a server behind them that is down and of a
	// login that this server refused.
	proxyTexts = textGroups{{proxyAdvice, []knownText{
		{"internal server error", "nginx mail proxy"},
		{"re-authentication failure", "perdition"},
	}}}
	// saslTexts: Cyrus SASL could not reach its password database, or could not read
	// what it found there.
	saslTexts = textGroups{{"", []knownText{
		{"generic failure", "Cyrus IMAP, Postfix 2, whose saslauthd is down"},
		{"bad protocol / cancel", "Cyrus SASL"},
		{"another step is needed", "Cyrus SASL"},
	}}}
	// severalTexts: one sentence for several causes, of which a wrong password is one.
	severalTexts = textGroups{
		{switchedOffOrWrongAdvice, []knownText{
			{"or imap is disabled", "Yandex IMAP"},
			{"or pop3 disabled", "Yandex POP3"},
			{"or pop3 is disabled", "Yandex POP3"},
			{"or smtp is disabled", "Yandex"},
			{"service is not open, password is incorrect", "QQ"},
			{"service is not open", "QQ"},
			{"authentication credentials invalid", "GMX, web.de"},
		}},
		{authorizationCodeOrWrongAdvice, []knownText{
			{"login error or password error", "NetEase IMAP"},
			{"login error password error", "NetEase IMAP"},
			{"err.login.passerr", "NetEase POP3"},
		}},
		{googleAdvice, []knownText{
			{"username and password not accepted", "Gmail SMTP, POP3"},
			{"invalid credentials (failure)", "Gmail IMAP"},
		}},
		{appPasswordOrWrongAdvice, []knownText{
			{"incorrect username, password or access token", "Fastmail"},
			{"incorrect username, password or app password", "Fastmail"},
			{"(#mbr1212)", "Yahoo, AOL"},
			{"(#auth005) incorrect", "Yahoo, AOL"},
		}},
		{fullAddressAdvice, []knownText{
			{"use full email address", "hMailServer"},
			{"full email address as user", "hMailServer"},
		}},
		{basicAuthAdvice, []knownText{
			{"user credentials were incorrect", "Exchange Online"},
		}},
	}
	// methodTexts: the password may be right, but not this way.
	methodTexts = textGroups{
		{appPasswordAdvice, []knownText{
			{"application-specific password", "Gmail"},
			{"application specific password", "Zoho"},
			{"app-specific password", "iCloud"},
			{"app specific password", "Zoho"},
			{"application password is required", "Mail.ru"},
			{"application password required", "Yandex"},
			{"app password required", "Yandex"},
			{"use an app password", "Fastmail"},
			{"create an app password", "Fastmail"},
			{"use app password", "Yandex"},
			{"two-factor", "Zimbra, Kerio"},
			{"two factor", "Zimbra"},
		}},
		{authorizationCodeAdvice, []knownText{
			{"authorization code", "QQ"},
			{"authorized code", "NetEase"},
			{"err.login.reqcode", "NetEase"},
			{"授权码", "QQ, NetEase"},
		}},
		{webLoginAdvice, []knownText{
			{"log in via your web browser", "Gmail"},
			{"log in through your web browser", "Gmail"},
			{"log in with your web browser", "Gmail"},
			{"web login required", "Gmail"},
			{"accept eula", "Yandex"},
			{"accept the eula", "Yandex"},
			{"user agreement", "Yandex, mail.ru"},
		}},
		{basicAuthAdvice, []knownText{
			{"basic authentication is", "Exchange Online"},
			{"basicauthblocked", "Exchange Online"},
			{"password authentication is disabled", "OAuth2-only servers"},
			{"password-based authentication", "OAuth2-only servers"},
			{"please use oauth", "OAuth2-only servers"},
			{"less secure app", "Gmail"},
		}},
		{tenantSMTPAdvice, []knownText{
			{"smtpclientauthentication is disabled for the tenant", "Exchange Online"},
		}},
		{mailboxSMTPAdvice, []knownText{
			{"smtpclientauthentication is disabled", "Exchange Online"},
		}},
		{securityDefaultsAdvice, []knownText{
			{"security defaults", "Exchange Online"},
		}},
		{policyAdvice, []knownText{
			{"did not meet the criteria", "Exchange Online"},
			{"conditional access", "Exchange Online"},
			{"blocked by policy", "Exchange Online"},
		}},
	}
	// expiredTexts: the password has run out.
	expiredTexts = textGroups{{"", []knownText{
		{"expired", "Courier, Cyrus, directory back ends"},
		{"must change password", "Active Directory, Zimbra"},
		{"must change your password", "Zimbra"},
		{"must be changed", "Lotus Domino"},
		{"change your password", "Kerio, Zimbra"},
	}}}
	// disabledTexts: the account is off, or off for this protocol.
	disabledTexts = textGroups{
		{switchedOffAdvice, []knownText{
			{"not enabled for imap", "Gmail"},
			{"not enabled for pop", "Gmail"},
			{"enable imap", "Zoho"},
			{"enable pop", "Zoho"},
			{"imap access is disabled", "Gmail, for a domain"},
			{"pop access is disabled", "Gmail, for a domain"},
			{"access is disabled for your domain", "Gmail"},
			{"access disabled for this account", "Courier"},
			{"imap is disabled", "Zimbra, Rackspace"},
			{"pop3 is disabled", "Zimbra, Rackspace"},
			{"pop is disabled", "Rackspace"},
			{"smtp is disabled", "Rackspace"},
			{"imap disabled", "Kerio"},
			{"pop3 disabled", "Kerio, GMX"},
			{"imap access disabled", "Zoho, MDaemon"},
			{"pop access disabled", "Zoho, MDaemon"},
			{"imap access not", "Fastmail"},
			{"pop access not", "Fastmail"},
			{"imap is not enabled", "Zoho"},
			{"pop is not enabled", "Zoho"},
			{"pop3 is not enabled", "Zimbra"},
			{"smtp is not enabled", "Zoho"},
			{"imap not enabled", "Axigen"},
			{"pop3 not enabled", "Axigen"},
			{"pop not enabled", "AOL"},
			{"not allowed to use imap", "Kerio"},
			{"not allowed to use pop", "Kerio"},
			{"access rights to this service", "Yandex SMTP"},
			{"user has no permission", "NetEase SMTP"},
			{"protocol is disabled", "Kerio"},
			{"protocol disabled", "Exchange"},
			{"service is disabled", "CommuniGate"},
			{"is not allowed to log in using", "Axigen"},
		}},
		{"", []knownText{
			{"account is disabled", "Zimbra, hMailServer"},
			{"account disabled", "Active Directory, RFC 5248"},
			{"account has been disabled", "Yahoo, Gmail"},
			{"account currently disabled", "Exchange"},
			{"user is disabled", "Dovecot"},
			{"user disabled", "Kerio"},
			{"mailbox is disabled", "mail.ru"},
			{"mailbox disabled", "IMail"},
			{"account is locked", "Zimbra, Exchange"},
			{"account has been locked", "Yahoo"},
			{"account locked", "Active Directory"},
			{"currently locked out", "Exchange"},
			{"user is locked", "NetEase"},
			{"temporarily locked", "Zoho"},
			{"account is blocked", "mail.ru, Yandex"},
			{"account blocked", "Yandex"},
			{"account has been blocked", "Outlook.com"},
			{"user blocked", "Rambler"},
			{"suspended", "cPanel, NetEase"},
			{"deactivated", "AOL"},
			{"not active", "Zimbra"},
			{"inactive", "Rambler"},
			{"account is abnormal", "QQ"},
			{"login disabled for this account", "Stalwart"},
			{"login not permitted", "Dovecot"},
		}},
	}
	// needsTLSTexts: whole sentences that mean one thing wherever they stand.
	needsTLSTexts = textGroups{{"", []knownText{
		{"plaintext authentication disallowed", "Dovecot"},
		{"cleartext authentication disallowed", "Dovecot 2.4"},
		{"only available under a layer", "Cyrus"},
		{"must issue a starttls command first", "Postfix, Exchange"},
		{"failed: login disabled", "perdition POP3"},
		{"available only with ssl", "mail.ru"},
		{"requires ssl", "hMailServer, Kerio"},
		{"requires tls", "Kerio"},
		{"requires encryption", "Axigen"},
		{"encryption required", "RFC 4954"},
		{"encryption is required", "MDaemon"},
		{"secure connection is required", "Kerio"},
		{"secure connection required", "Stalwart"},
		{"tls required", "Haraka"},
		{"ssl required", "Courier"},
		{"starttls required", "Exim, OpenSMTPD"},
		{"starttls is required", "hMailServer"},
		{"use starttls first", "mox"},
	}}}
	// tlsTexts are believed in clear only: under TLS they prove nothing.
	tlsTexts = textGroups{{"", []knownText{
		{"tls", "Cyrus, Courier, Exchange"},
		{"ssl", "Cyrus, Courier, Exchange"},
	}}}
	// stateTexts: Exchange knows no password command before TLS. In clear only.
	stateTexts = textGroups{{"", []knownText{
		{"received in invalid state", "Exchange IMAP"},
		{"not valid in this state", "Exchange POP3"},
	}}}
	// mechanismTexts: the way to log in is unknown there.
	mechanismTexts = textGroups{{"", []knownText{
		{"unsupported authentication", "Dovecot"},
		{"unsupported sasl", "Cyrus, hMailServer"},
		{"unsupported auth", "Haraka"},
		{"mechanism not supported", "mox"},
		{"mechanism is not supported", "Stalwart"},
		{"mechanism not available", "Cyrus"},
		{"unrecognized authentication type", "Exchange"},
		{"authentication type not", "hMailServer, Exchange"},
		{"authentication method not", "Kerio, Axigen"},
		{"authentication not enabled", "Postfix"},
		{"auth command used when not advertised", "Exim"},
		{"auth not available", "OpenSMTPD, Haraka"},
		{"invalid authentication mechanism", "Postfix with Dovecot SASL"},
		{"unknown authentication", "Zimbra"},
		{"unknown command", "POP3 servers without the command"},
		{"command not recognized", "Exchange POP3"},
		{"not implemented", "MDaemon, Courier"},
	}}}
	// badMechanismTexts are believed beside the code of a wrong password.
	badMechanismTexts = textGroups{{"", []knownText{
		{"invalid authentication mechanism", "Postfix with Dovecot SASL"},
	}}}
	// notConnectedTexts: Exchange takes back the OK to a login. It says so of a wrong
	// password, too.
	notConnectedTexts = textGroups{{notConnectedAdvice, []knownText{
		{"authenticated but not connected", "Exchange"},
	}}}
	// brokenTexts: the login was right, and then the mailbox could not be entered.
	brokenTexts = textGroups{{"", []knownText{
		{"fatal error: ", "Courier IMAP"},
		{"maildir invalid", "Courier POP3"},
		{"unable to open maildrop", "Cyrus POP3"},
		{"this user has no $home/maildir", "qmail-pop3d"},
		{"can't open mailbox", "UW ipop3d"},
	}}}
	// maildropTexts: the login was right, and there is no mailbox for it.
	maildropTexts = textGroups{{"", []knownText{
		{"maildrop: mailbox does not exist", "Cyrus POP3"},
	}}}
	// deniedTexts: the mailbox is there, and not for this user.
	deniedTexts = textGroups{{"", []knownText{
		{"permission denied", "Cyrus"},
		{"access denied for", "Courier"},
		{"access denied", "Axigen, Kerio"},
		{"insufficient privileges", "CommuniGate"},
		{"no permission", "Axigen"},
	}}}
	// unnamedTexts: no mailbox is opened for a client that has not said its name.
	unnamedTexts = textGroups{{unnamedAdvice, []knownText{
		{"unsafe login", "NetEase's Coremail"},
		{"login is not safe", "NetEase's Coremail before it asked for ID"},
	}}}
	// clientNameTexts: the name in HELO or EHLO. Postfix says so at RCPT only.
	clientNameTexts = textGroups{{clientNameAdvice, []knownText{
		{"helo command rejected", "Postfix"},
		{"invalid helo", "Exim (cPanel)"},
		{"invalid ehlo", "MailEnable"},
		{"helo name", "Exim (cPanel)"},
		{"ehlo name", "OpenSMTPD, Rspamd"},
		{"helo/ehlo", "MDaemon, Kerio"},
		{"ehlo/helo", "hMailServer"},
		{"helo argument", "Exim"},
		{"ehlo or helo argument", "Exim"},
		{"helo or ehlo argument", "Exim"},
		{"invalid domain name", "Exchange, Sendmail"},
		{"requires domain", "Sendmail"},
		{"fully-qualified hostname", "Postfix"},
		{"bad helo", "Haraka, qmail"},
		{"bad ehlo", "Haraka"},
		{"your helo", "Haraka, Exim"},
		{"your ehlo", "Haraka"},
		{"in helo", "Haraka, Exim"},
		{"in ehlo", "Haraka"},
		{"helo must", "Haraka"},
		{"helo is", "Exim"},
		{"helo host", "Haraka, Kerio"},
		{"forged helo", "Exim"},
	}}}
	// senderTexts: the address is not the user's to send from.
	senderTexts = textGroups{{senderAdvice, []knownText{
		{"not owned by", "Postfix, reject_sender_login_mismatch; Yandex"},
		{"sendasdenied", "Exchange Online"},
		{"permissions to send as", "Exchange"},
		{"equal authorized user", "NetEase"},
		{"same as authorization user", "QQ"},
		{"same as authorized user", "QQ"},
		{"match authenticated user", "hMailServer"},
		{"match the authenticated", "MDaemon, Axigen"},
		{"match authenticated", "Kerio"},
		{"not match the login", "Zimbra"},
		{"relaying disallowed as", "Zoho"},
		{"not one of your addresses", "iCloud"},
		{"not local sender", "mail.ru"},
		{"sender address is not allowed", "GMX, web.de"},
		{"sender address not allowed", "IONOS"},
		{"sender is not allowed", "SES, Haraka"},
		{"sender not allowed", "OpenSMTPD"},
		{"not allowed to send", "Mailgun, Exim"},
		{"not permitted to send", "Exim, Rackspace"},
		{"not authorized to send", "Lotus Domino, SendGrid"},
		{"not authorised to send", "Fastmail"},
		{"not authorized to use", "Kerio"},
		{"authorised to use", "Fastmail"},
		{"cannot send as", "CommuniGate"},
		{"from address not verified", "Yahoo"},
		{"from address is not verified", "Yahoo"},
		{"address is not verified", "SES"},
		{"sender address rejected: not logged in", "Postfix"},
	}}}
	// loginFirstTexts: no mail without a login.
	loginFirstTexts = textGroups{{loginFirstAdvice, []knownText{
		{"client was not authenticated", "Exchange"},
		{"client not authenticated", "Exchange Online"},
		{"authentication required", "Gmail, Yandex"},
		{"authentication is required", "Rackspace"},
		{"must authenticate", "MDaemon"},
		{"need to authenticate", "Exim"},
		{"smtp authentication is required", "hMailServer"},
		{"authenticate first", "OpenSMTPD"},
	}}}
	// greylistTexts: not the first time.
	greylistTexts = textGroups{{greylistAdvice, []knownText{
		{"greylist", "Postgrey, Rspamd, Exim"},
		{"graylist", "MDaemon, CommuniGate"},
		{"grey-list", "milter-greylist"},
		{"grey list", "Haraka"},
	}}}
	// blockListTexts: the address of this machine is unwelcome.
	blockListTexts = textGroups{{blockListAdvice, []knownText{
		{"blocked using", "Postfix, reject_rbl_client"},
		{"spamhaus", "Exim, Sendmail, Exchange Online"},
		{"blacklist", "Exim, Kerio"},
		{"black list", "CommuniGate"},
		{"blocklist", "Exim, SpamCop"},
		{"block list", "Exchange Online"},
		{"poor reputation", "Ironport"},
		{"is listed in", "Rspamd, Exim"},
		{"client host rejected", "Postfix"},
	}}}
	// relayTexts: the recipient is somewhere else.
	relayTexts = textGroups{{relayAdvice, []knownText{
		{"relay access denied", "Postfix"},
		{"relaying denied", "Sendmail"},
		{"relay not permitted", "Exim"},
		{"unable to relay", "Exchange"},
		{"relaying not allowed", "Lotus Domino"},
		{"not permitted to relay", "qmail, Exim"},
		{"relay denied", "MDaemon, Haraka"},
		{"list of allowed rcpthosts", "qmail"},
	}}}
	// noSenderTexts: the sender's own domain or mailbox is missing.
	noSenderTexts = textGroups{{noSenderAdvice, []knownText{
		{"sender verify failed", "Exim"},
		{"sender address rejected", "Postfix"},
		{"domain of sender", "Sendmail"},
		{"sender domain", "Haraka, Exim"},
		{"sender unknown", "Kerio"},
		{"bogus mail from", "qmail"},
	}}}
)
