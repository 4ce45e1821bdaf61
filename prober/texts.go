package prober

// This file is the table of texts: sentences in which real servers say what
// their reply codes do not. They are data; a new one needs its source here and a
// whole line in the golden test.

import (
	"slices"
	"strings"
)

// knownText is a part of a server's sentence, in lower case.
type knownText struct {
	text   string
	source string // the server that says so
}

// textGroup is sentences that mean the same and have the same remedy.
type textGroup struct {
	advice string // more precise than the reason's own; may be empty
	texts  []knownText
	// alike are wordings of this kind that were not seen themselves, neither in a
	// server's source nor in a public report.
	alike []string
}

// textGroups are sentences that have the same reason.
type textGroups []textGroup

// find returns the advice of the first group that has a text of the sentence,
// which is in lower case. No groups at all fit every sentence.
func (g textGroups) find(sentence string) (advice string, found bool) {
	for _, group := range g {
		if group.has(sentence) {
			return group.advice, true
		}
	}
	return "", len(g) == 0
}

func (g textGroup) has(sentence string) bool {
	within := func(text string) bool { return strings.Contains(sentence, text) }
	return slices.ContainsFunc(g.texts, func(k knownText) bool { return within(k.text) }) || slices.ContainsFunc(g.alike, within)
}

var (
	// limitTexts: too many connections, or too fast.
	limitTexts = textGroups{
		{"", []knownText{
			{"too many simultaneous connections", "Gmail"},
			{"maximum number of connections", "Dovecot, mail_max_userip_connections"},
			{"maximum number of concurrent connections", "Exchange"},
			{"maximum number of concurrent server connections", "Exchange"},
			{"too many concurrent", "Exim, smtp_accept_max"},
			{"too many connections", "Postfix anvil, Courier"},
			{"too many open connections", "Sendmail"},
			{"connection rate limit exceeded", "Sendmail"},
			{"concurrent connections limit exceeded", "Exchange Online"},
			{"sender thread limit", "Exchange Online, client submission"},
			{"rate limit", "Yahoo, Postfix policy servers"},
			{"ratelimit", "mail.ru"},
			{"unusual sending activity", "Zoho"},
			{"unusual rate", "Gmail"},
			{"temporarily deferred", "Yahoo"},
			{"hl:icc", "NetEase"},
			{"hl:ifc", "NetEase"},
			{"hl:mep", "NetEase"},
			{"mi:dmc", "NetEase"},
			{"mi:ccl", "NetEase"},
			{"mi:cel", "NetEase"},
			{"mi:sfq", "NetEase"},
			{"rp:drc", "NetEase"},
			{"rp:ccl", "NetEase"},
			{"rp:qrc", "NetEase"},
			{"frequency limited", "QQ"},
			{"too much mail", "Postfix anvil"},
			{"too many messages", "Plesk"},
			{"exceeded the login limit", "Outlook.com POP3"},
			{"throttl", "Exchange Online, SES"},
		}, []string{
			"too many sessions", "too many active", "concurrent connection limit", "connection limit", "connections reached",
			"session limit", "too frequent", "too many recipients",
		}},
		{dailyAdvice, []knownText{
			{"exceeded command or bandwidth limits", "Gmail"},
			{"sending quota exceeded", "Gmail, Yahoo"},
			{"sending limit exceeded", "Gmail"},
			{"submission quota exceeded", "Exchange Online"},
			{"submissionquotaexceeded", "Exchange Online"},
			{"exceeded the maximum number of messages", "cPanel"},
			{"max emails per hour", "cPanel"},
			{"reached your daily limit", "Exchange Online"},
			{"has exceeded threshold", "Exchange Online"},
			{"maximum credits exceeded", "SendGrid"},
			{"relay quota", "GoDaddy"},
			{"mi:stc", "NetEase"},
			{"rp:trc", "NetEase"},
			{"max defers and failures per hour", "cPanel"},
			{"messages limit reached", "Plesk"},
		}, []string{
			"message quota", "hourly quota", "bandwidth limit", "sending limit", "daily limit", "daily quota", "hourly limit", "message rate", "messages per", "maximum daily", "mail limit exceeded",
		}},
		{licenceAdvice, nil, []string{
			"licensed users", "license limit", "licence limit", "license exceeded", "number of licenses", "user license",
		}},
	}
	// tooSoonTexts: the login came too soon after the last one.
	tooSoonTexts = textGroups{{"", []knownText{
		{"try again later", "Gmail"},
		{"too many login attempts", "Gmail"},
		{"too many login failures", "Yahoo, Gmail"},
		{"login allowed only every", "Hotmail POP3"},
		{"login frequen", "QQ, NetEase"},
		{"login freq limit", "QQ"},
	}, []string{
		"interval too short", "minutes between logins", "minimum time between", "logins too fast", "login delay", "login rate", "logging in too",
		"connecting too", "please wait", "you must wait", "try again in", "only every", "minimum interval",
	}}}
	// lockedOutTexts: the server counts failed logins and has had enough of them.
	// They may be ours.
	lockedOutTexts = textGroups{{lockedOutAdvice, []knownText{
		{"too many bad auth", "Yahoo"},
		{"too many invalid", "hMailServer"},
		{"too many authentication failures", "MDaemon"},
		{"too much fail authentication", "NetEase"},
	}, []string{
		"too many failed", "too many auth", "too many unsuccessful", "too many wrong", "too many incorrect",
	}}}
	// inUseTexts: another session has the mailbox.
	inUseTexts = textGroups{{"", []knownText{
		{"unable to lock maildrop", "RFC 1939"},
		{"lock busy", "qpopper"},
		{"maildrop already locked", "RFC 1939"},
		{"mailbox is already locked", "hMailServer"},
		{"mailbox in use", "UW ipop3d"},
		{"another session active", "qpopper"},
		{"being read already", "qpopper"},
		{"maillock error", "qpopper"},
		{"can't get lock", "UW ipop3d"},
		{"timeout while waiting for lock", "Dovecot"},
	}, []string{
		"currently in use", "mailbox busy", "maildrop busy", "maildrop is busy", "maildrop is locked", "maildrop locked", "mailbox is locked", "mailbox locked", "mailbox already locked",
		"mailbox is in use", "mailbox is already in use", "mailbox already in use", "mailbox is busy", "mail drop is locked",
		"maildrop is already", "already in use by another", "being used by another", "another pop3 session", "another pop session",
		"maildrop in use", "in use by", "already logged in", "exclusive lock", "cannot get lock", "can't lock", "cannot lock", "failed to lock", "unable to lock", "could not lock",
	}}}
	// lockedBoxTexts are believed before the words of a locked account.
	lockedBoxTexts = textGroups{{"", nil, []string{
		"mailbox temporarily locked", "mailbox is temporarily locked", "maildrop temporarily locked", "maildrop is temporarily locked",
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
		{"server busy", "Exchange Online"},
		{"system is busy", "QQ"},
		{"shutting down", "Dovecot, Exchange"},
		{"system error", "Gmail"},
		{"internal server error", "nginx mail proxy"},
		{"temporary", "Courier, Exim"},
	}, []string{
		"service unavailable", "service not available", "server is busy", "system busy", "overload", "going down", "maintenance",
		"internal error", "starting up", "restarting", "try later", "system upgrade", "back soon",
	}}, {licenceAdvice, nil, licenceExpired}}
	// temporaryTexts: the user database could not be asked.
	temporaryTexts = textGroups{{"", []knownText{
		{"temporary authentication failure", "Dovecot before response codes, Exim"},
		{"server unavailable", "Exchange"},
		{"temporarily unavailable", "Courier, Zimbra"},
		{"temporary problem", "Courier, where the home directory is missing"},
		{"temporary server problem", "nginx mail proxy, the example in its documentation"},
		{"could not connect to server", "perdition, whose server behind it is down"},
		{"internal error occurred", "Dovecot"},
		{"server busy", "Exchange Online"},
		{"system is busy", "NetEase"},
		{"child crashed", "qmail-popup"},
		{"system error", "Gmail"},
		{"system i/o error", "Cyrus"},
		{"authentication db not available", "qpopper"},
		{"not yet ready", "Kopano"},
	}, []string{
		"unable to connect", "cannot connect", "cannot contact", "unreachable", "connection timed out", "mail store unavailable", "dismounted",
		"service unavailable", "service not available", "temporary failure", "temporary error", "temporary internal",
		"temporary system", "internal error", "server error", "backend error", "server is busy", "system busy", "maintenance",
		"unable to contact", "authentication service", "authentication server",
	}}}
	// serverErrorTexts are believed before the words that ask for longer pauses.
	serverErrorTexts = textGroups{{"", []knownText{
		{"temporary server error", "Exchange Online"},
		{"temporary system problem", "Gmail"},
	}, nil}}
	// leavingTexts: the server is going away, and has judged nothing.
	leavingTexts = textGroups{{"", []knownText{
		{"shutting down", "Dovecot, Exchange"},
	}, []string{"going down", "server is restarting", "server restarting"}}}
	// closedTexts: the server ends the session where its answer is due.
	closedTexts = textGroups{{"", []knownText{
		{"connection is closed", "Exchange"},
	}, nil}}
	// licenceExpired are words about the licence of the server, which has run out.
	licenceExpired = []string{
		"license has expired", "license expired", "license is expired", "licence has expired", "licence expired", "license is invalid",
		"license is not valid", "invalid license", "no valid license",
	}
	licenceTexts = textGroups{{licenceAdvice, nil, licenceExpired}}
	// sessionTexts: what has expired is not the password.
	sessionTexts = textGroups{{"", nil, []string{"session expired", "session has expired"}}}
	// addressTexts: no login from the address of this machine.
	addressTexts = textGroups{{addressAdvice, []knownText{
		{"unauthorized ip address", "Brevo"},
		{"dynamic screening", "MDaemon"},
		{"intrusion prevention", "IceWarp"},
	}, []string{
		"ip address is not allowed", "ip address not allowed", "ip is not allowed", "ip not allowed", "not allowed from", "not permitted from",
		"ip address has been blocked", "ip address is blocked", "ip address blocked", "ip has been blocked", "ip is blocked", "ip blocked",
		"ip address is banned", "ip has been banned", "ip is banned", "from your country", "from this country", "from your location",
		"from this location",
	}}}
	// elsewhereTexts: the mailbox is on another server.
	elsewhereTexts = textGroups{{referralAdvice, []knownText{
		{"(wrong host)", "Zimbra"},
		{"[wrong host]", "Zimbra"},
	}, nil}}
	// argumentTexts: the login itself could not be read.
	argumentTexts = textGroups{{argumentAdvice, []knownText{
		{"command argument error", "Exchange"},
	}, nil}}
	// tokenExpiredTexts: the token ran out within the session.
	tokenExpiredTexts = textGroups{{tokenExpiredAdvice, []knownText{
		{"accesstokenexpired", "Exchange Online"},
	}, nil}}
	// deadBackEndTexts: Cyrus SASL has nothing to check a password with. Servers
	// that use it answer with the code of a wrong password then, too.
	deadBackEndTexts = textGroups{{"", []knownText{
		{"no mechanism available", "Postfix with Cyrus SASL whose plug-ins are missing"},
		{"cannot connect to saslauthd", "Postfix with Cyrus SASL"},
		{"connection lost to authentication server", "Postfix with Dovecot SASL"},
		{"authentication failed, system busy", "NetEase"},
	}, []string{
		"remote authentication server unavailable", "unable to open berkeley db", "unable to open sasldb",
	}}}
	// proxyTexts: proxies say the same of a server behind them that is down and of a
	// login that this server refused.
	proxyTexts = textGroups{{proxyAdvice, []knownText{
		{"internal server error", "nginx mail proxy"},
		{"re-authentication failure", "perdition"},
	}, nil}}
	// saslTexts: Cyrus SASL could not reach its password database, or could not read
	// what it found there.
	saslTexts = textGroups{{"", []knownText{
		{"generic failure", "Cyrus IMAP, Postfix 2, whose saslauthd is down"},
		{"bad protocol / cancel", "Cyrus SASL"},
		{"another step is needed", "Cyrus SASL"},
	}, nil}}
	// severalTexts: one sentence for several causes, of which a wrong password is one.
	severalTexts = textGroups{
		{switchedOffOrWrongAdvice, []knownText{
			{"or imap is disabled", "Yandex IMAP"},
			{"or pop3 disabled", "Yandex POP3"},
			{"service is not open", "QQ"},
			{"authentication credentials invalid", "GMX, web.de"},
		}, []string{
			"or pop3 is disabled", "or smtp is disabled",
		}},
		{authorizationCodeOrWrongAdvice, []knownText{
			{"login error or password error", "NetEase IMAP"},
			{"login error password error", "NetEase IMAP"},
			{"err.login.passerr", "NetEase POP3"},
		}, nil},
		{googleAdvice, []knownText{
			{"username and password not accepted", "Gmail SMTP, POP3"},
			{"invalid credentials (failure)", "Gmail IMAP"},
		}, nil},
		{appPasswordOrWrongAdvice, []knownText{
			{"incorrect username, password or access token", "Fastmail"},
			{"(#mbr1212)", "Yahoo, AOL"},
			{"(#auth012)", "Yahoo, AT&T"},
			{"login invalid credentials", "Yahoo, AOL"},
			{"invalid credentials(failure)", "Zoho"},
			{"invalid user or password!", "Yandex SMTP"},
		}, []string{
			"incorrect username, password or app password", "(#auth005) incorrect",
		}},
		{fullAddressAdvice, []knownText{
			{"use full email address", "hMailServer"},
			{"could not determine server", "perdition"},
		}, []string{
			"full email address as user", "full user name", "domain is missing", "including the domain", "include the domain",
		}},
		{basicAuthAdvice, []knownText{
			{"user credentials were incorrect", "Exchange Online"},
		}, nil},
	}
	// microsoftTexts: Exchange Online says the same where it takes no passwords.
	microsoftTexts = textGroups{{microsoftAdvice, []knownText{
		{"authenticate failed.", "Exchange IMAP"},
		{"login failed.", "Exchange IMAP, Courier"},
		{"unknown user name or bad password", "Exchange POP3"},
	}, nil}}
	// standardTexts is RFC 4954's own sentence for 535 5.7.8. Without that code it is
	// one of severalTexts.
	standardTexts = textGroups{{"", []knownText{
		{"authentication credentials invalid", "RFC 4954"},
	}, nil}}
	// loginWords: an answer that speaks of a login. wrongPasswordWords: one that calls
	// it wrong, whatever its code says.
	loginWords = textGroups{{"", nil, []string{"authenticat", "password", "credential", "login", "log in", "user name", "username"}}}

	wrongPasswordWords = textGroups{{"", nil, []string{
		"invalid username or password", "invalid user name or password", "invalid credentials", "incorrect password", "wrong password",
		"invalid password", "invalid login", "bad username or password", "password is incorrect", "bad password", "incorrect username",
	}}}
	// methodTexts: the password may be right, but not this way.
	methodTexts = textGroups{
		{appPasswordAdvice, []knownText{
			{"application-specific password", "Gmail"},
			{"application password is required", "Mail.ru"},
		}, []string{
			"application specific password", "app-specific password", "app specific password", "application password required",
			"app password required", "use an app password", "create an app password", "use app password", "two-factor", "two factor",
			"two-step", "2-step", "second factor", "2fa is ", "2fa enabled", "2fa required", "requires 2fa", "device password",
		}},
		{authorizationCodeAdvice, []knownText{
			{"authorization code", "QQ"},
			{"authorized code", "NetEase"},
			{"err.login.reqcode", "NetEase"},
			{"授权码", "QQ, NetEase"},
		}, nil},
		{webLoginAdvice, []knownText{
			{"log in via your web browser", "Gmail"},
			{"log in through your web browser", "Gmail"},
			{"web login required", "Gmail"},
			{"accept eula", "Yandex"},
			{"please verify your account", "mail.ru"},
		}, []string{
			"log in with your web browser", "accept the eula", "user agreement",
		}},
		{basicAuthAdvice, []knownText{
			{"basic authentication is", "Exchange Online"},
			{"basicauthblocked", "Exchange Online"},
		}, []string{
			"multi-factor", "multifactor",
			"password authentication is disabled", "password-based authentication", "please use oauth", "less secure app", "password authentication is not", "oauth authentication required", "use oauth2",
		}},
		{tenantSMTPAdvice, []knownText{
			{"smtpclientauthentication is disabled for the tenant", "Exchange Online"},
		}, nil},
		{mailboxSMTPAdvice, []knownText{
			{"smtpclientauthentication is disabled", "Exchange Online"},
		}, nil},
		{securityDefaultsAdvice, []knownText{
			{"security defaults", "Exchange Online"},
		}, nil},
		{policyAdvice, []knownText{
			{"did not meet the criteria", "Exchange Online"},
		}, []string{
			"conditional access", "blocked by policy",
		}},
	}
	// expiredTexts: the password has run out.
	expiredTexts = textGroups{{"", []knownText{
		{"expired", "Courier, Cyrus, directory back ends"},
		{"password is too simple", "Tiscali"},
	}, []string{
		"must change password", "must change your password", "must be changed", "needs to be changed", "has to be changed", "change your password",
		"password change required", "password reset required", "must reset", "reset your password", "password is too weak",
	}}}
	// disabledTexts: the account is off, or off for this protocol.
	disabledTexts = textGroups{
		{switchedOffAdvice, []knownText{
			{"not enabled for imap", "Gmail"},
			{"not enabled for pop", "Gmail"},
			{"enable imap", "Zoho"},
			{"imap access is disabled", "Gmail, for a domain"},
			{"pop access is disabled", "Gmail, for a domain"},
			{"access is disabled for your domain", "Gmail"},
			{"access disabled for this account", "Courier"},
			{"access rights to this service", "Yandex SMTP"},
			{"user has no permission", "NetEase SMTP"},
		}, []string{
			"service not enabled", "service is not enabled", "not allowed to use this service", "does not support imap", "does not support pop",
			"module is disabled", "imap feature disabled", "pop3 feature disabled", "no imap access", "no pop3 access",
			"not included in your plan", "enable pop", "imap is disabled", "pop3 is disabled", "pop is disabled", "smtp is disabled", "imap disabled",
			"pop3 disabled", "imap access disabled", "pop access disabled", "imap access not", "pop access not", "imap is not enabled",
			"pop is not enabled", "pop3 is not enabled", "smtp is not enabled", "imap not enabled", "pop3 not enabled",
			"pop not enabled", "not allowed to use imap", "not allowed to use pop", "protocol is disabled", "protocol disabled",
			"service is disabled", "is not allowed to log in using", "imap access is not",
			"pop3 access is not", "pop access is not", "access not enabled", "auth is disabled", "has disabled imap", "has disabled pop",
		}},
		{bridgeAdvice, []knownText{
			{"account is logged out", "Proton Mail Bridge"},
		}, nil},
		{"", []knownText{
			{"account is disabled", "Zimbra, hMailServer"},
			{"account disabled", "Active Directory, RFC 5248"},
			{"user is disabled", "Dovecot"},
			{"account is locked", "Zimbra, Exchange"},
			{"account has been locked", "Yahoo"},
			{"account locked", "Active Directory"},
			{"currently locked out", "Exchange"},
			{"user is locked", "NetEase"},
			{"user locked", "NetEase"},
			{"account is abnormal", "QQ"},
			{"not yet activated", "Brevo"},
		}, []string{
			"account is frozen", "account has been frozen", "account frozen", "not activated", "temporarily locked",
			"account has been disabled", "account currently disabled", "user disabled", "mailbox is disabled", "mailbox disabled",
			"account is blocked", "account blocked", "account has been blocked", "user blocked", "suspended",
			"deactivated", "not active", "inactive", "login disabled for this account", "login not permitted",
		}},
		{licenceAdvice, nil, []string{"not licensed", "unlicensed", "no license"}},
		{accountExpiredAdvice, nil, []string{
			"account expired", "account has expired", "account is expired", "mailbox expired", "mailbox has expired", "user expired",
			"subscription expired", "subscription has expired", "trial expired", "trial has expired", "trial period has expired",
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
		{"encryption required", "RFC 4954"},
		{"tls-connection is required", "hMailServer"},
		{"cleartext logins disabled", "Zimbra"},
		{"only valid after entering tls", "Zimbra"},
	}, []string{
		"requires ssl", "requires tls", "requires encryption", "encryption is required", "secure connection is required",
		"secure connection required", "tls required", "ssl required", "starttls required", "starttls is required",
		"use starttls first",
	}}}
	// tlsTexts are believed in clear only: under TLS they prove nothing.
	tlsTexts = textGroups{{"", []knownText{
		{"tls", "Cyrus, Courier, Exchange"},
		{"ssl", "Cyrus, Courier, Exchange"},
	}, nil}}
	// stateTexts: Exchange knows no password command before TLS. In clear only.
	stateTexts = textGroups{{"", []knownText{
		{"received in invalid state", "Exchange IMAP"},
		{"not valid in this state", "Exchange POP3"},
	}, nil}}
	// mechanismTexts: the way to log in is unknown there.
	mechanismTexts = textGroups{{"", []knownText{
		{"unsupported authentication", "Dovecot"},
		{"unsupported sasl", "Cyrus, hMailServer"},
		{"mechanism not supported", "mox"},
		{"unrecognized authentication type", "Exchange"},
		{"authentication not enabled", "Postfix"},
		{"auth command used when not advertised", "Exim"},
		{"invalid authentication mechanism", "Postfix with Dovecot SASL"},
		{"unknown command", "POP3 servers without the command"},
		{"command not recognized", "Exchange POP3"},
		{"not implemented", "MDaemon, Courier"},
		{"no verifier for user", "Cyrus, where the password is stored in another form"},
	}, []string{
		"unsupported auth", "mechanism is not supported", "mechanism not available", "authentication type not",
		"authentication method not", "auth not available", "unknown authentication",
	}}}
	// badMechanismTexts are believed beside the code of a wrong password.
	badMechanismTexts = textGroups{{"", []knownText{
		{"invalid authentication mechanism", "Postfix with Dovecot SASL"},
	}, nil}}
	// notConnectedTexts: Exchange takes back the OK to a login. It says so of a wrong
	// password, too.
	notConnectedTexts = textGroups{{notConnectedAdvice, []knownText{
		{"authenticated but not connected", "Exchange"},
	}, nil}}
	// notConnectedByToken are the same words after a login by token: there they mean
	// the mailbox.
	notConnectedByToken = textGroups{{tokenNotConnectedAdvice, notConnectedTexts[0].texts, nil}}
)
