package prober

// This file is the second half of the table of texts: sentences about mailboxes,
// about the name in EHLO, and about senders and recipients.

var (
	// brokenTexts: the login was right, and then the mailbox could not be entered.
	brokenTexts = textGroups{{"", []knownText{
		{"fatal error: ", "Courier IMAP"},
		{"maildir invalid", "Courier POP3"},
		{"unable to open maildrop", "Cyrus POP3"},
		{"this user has no $home/maildir", "qmail-pop3d"},
		{"unable to scan $home/maildir", "qmail-pop3d"},
		{"chdir maildir", "Courier POP3"},
		{"couldn't open inbox", "Dovecot"},
		{"corrupted mail drop", "qpopper"},
		{"failed to fetch messages in inbox", "hMailServer"},
	}, []string{
		"can't open mailbox", "cannot open mailbox", "unable to open mailbox", "could not open mailbox", "couldn't open mailbox", "unable to chdir",
		"mailbox cannot be accessed",
	}}}
	// fullTexts: the mailbox is over its quota.
	fullTexts = textGroups{{quotaAdvice, []knownText{
		{"quota exceeded", "Dovecot, Exim (cPanel)"},
		{"out of storage space", "Gmail"},
		{"mailbox is full", "Exim (cPanel)"},
		{"disk quota", "Domino"},
	}, []string{
		"over quota", "mailbox full", "exceeded its quota", "exceeded storage",
	}}}
	// badNameTexts: there can be no mailbox of this name.
	badNameTexts = textGroups{{nameAdvice, []knownText{
		{"invalid mailbox name", "Dovecot"},
		{"not allowed in mailbox name", "Dovecot"},
		{"does not exist", "Yahoo"},
	}, nil}}
	// damagedTexts: the mailbox is there, and cannot be read.
	damagedTexts = textGroups{{"", []knownText{
		{"system i/o error", "Cyrus"},
		{"invalid format", "Cyrus"},
		{"input/output error", "UW IMAP, Courier"},
	}, []string{
		"corrupt", "disk full", "no space left",
	}}}
	// maildropTexts: the login was right, and there is no mailbox for it.
	maildropTexts = textGroups{{"", []knownText{
		{"maildrop: mailbox does not exist", "Cyrus POP3"},
	}, nil}}
	// deniedTexts: the mailbox is there, and not for this user.
	deniedTexts = textGroups{{"", []knownText{
		{"permission denied", "Cyrus"},
		{"access denied for", "Courier"},
		{"not authorized to access", "Domino"},
	}, []string{
		"does not permit", "sufficient permissions", "not authorised to access", "not allowed to access", "insufficient rights", "access is denied", "access denied", "insufficient privileges", "no permission",
	}}}
	// unnamedTexts: no mailbox is opened for a client that has not said its name.
	unnamedTexts = textGroups{{unnamedAdvice, []knownText{
		{"unsafe login", "NetEase's Coremail"},
		{"login is not safe", "NetEase's Coremail before it asked for ID"},
	}, nil}}
	// clientNameTexts: the name in HELO or EHLO. Postfix says so at RCPT only.
	clientNameTexts = textGroups{{clientNameAdvice, []knownText{
		{"helo command rejected", "Postfix"},
		{"invalid helo", "Exim (cPanel)"},
		{"helo name", "Exim (cPanel)"},
		{"helo argument", "Exim"},
		{"ehlo or helo argument", "Exim"},
		{"helo or ehlo argument", "Exim"},
		{"invalid domain name", "Exchange, Sendmail"},
		{"requires domain", "Sendmail"},
		{"closing connection. (ehlo)", "Gmail's relay"},
		{"fully-qualified hostname", "Postfix"},
	}, []string{
		"invalid ehlo", "ehlo name", "ehlo host", "helo/ehlo", "ehlo/helo", "bad helo", "bad ehlo", "your helo", "your ehlo", "in helo",
		"in ehlo", "helo domain", "ehlo domain", "helo must", "helo is", "helo host", "forged helo",
	}}}
	// senderTexts: the address is not the user's to send from.
	senderTexts = textGroups{{senderAdvice, []knownText{
		{"not owned by", "Postfix, reject_sender_login_mismatch; Yandex"},
		{"sendasdenied", "Exchange Online"},
		{"permissions to send as", "Exchange"},
		{"equal authorized user", "NetEase"},
		{"same as authorization user", "QQ"},
		{"relaying disallowed as", "Zoho"},
		{"not one of your addresses", "iCloud"},
		{"not local sender", "mail.ru"},
		{"sender address is not allowed", "GMX, web.de"},
		{"sender address rejected: not logged in", "Postfix"},
		{"conform with authentication", "Aliyun DirectMail"},
		{"verified sender identity", "SendGrid"},
		{"not authorized to perform", "Amazon SES"},
		{"domain not verified", "SMTP2GO"},
		{"domain is not verified", "Resend"},
	}, []string{
		"sender mismatch", "sender domain mismatch",
		"same as authorized user", "match authenticated user", "match the authenticated", "match authenticated",
		"not match the login", "sender address not allowed", "sender is not allowed", "sender not allowed", "not allowed to send",
		"not permitted to send", "not authorized to send", "not authorised to send", "not authorized to use", "authorised to use",
		"cannot send as", "from address not verified", "from address is not verified", "address is not verified",
	}}, {relayAddressAdvice, []knownText{
		{"invalid credentials for relay", "Gmail's relay"},
	}, nil}}
	// blockedSenderTexts: the provider lets this account send nothing for now.
	blockedSenderTexts = textGroups{{blockedSenderAdvice, []knownText{
		{"email outgoing blocked", "Zoho"},
		{"bad outbound sender", "Exchange Online"},
		{"not yet activated", "Brevo"},
		{"account has been temporarily blocked", "Mailjet"},
	}, []string{
		"account has been suspended", "account is suspended", "account suspended", "account has been blocked", "account is blocked",
		"account has been disabled", "account is disabled", "account disabled",
		"outgoing mail is blocked", "sending is disabled", "sending has been disabled", "blocked from sending",
	}}}
	// loginFirstTexts: no mail without a login.
	loginFirstTexts = textGroups{{loginFirstAdvice, []knownText{
		{"client not authenticated", "Exchange Online"},
		{"authentication required", "Gmail, Yandex"},
		{"smtp authentication is required", "hMailServer"},
		{"mail server requires authentication", "MailEnable"},
		{"turn on smtp authentication", "Exim (cPanel)"},
		{"unauthenticated senders", "SendGrid"},
		{"rfc2554 authentication", "IceWarp"},
	}, []string{
		"client was not authenticated", "authentication is required", "must authenticate", "need to authenticate",
		"authenticate first",
	}}}
	// greylistTexts: not the first time.
	greylistTexts = textGroups{{greylistAdvice, []knownText{
		{"greylist", "Postgrey, Rspamd, Exim"},
		{"graylist", "MDaemon, CommuniGate"},
		{"grey-list", "milter-greylist"},
	}, []string{
		"grey list",
	}}}
	// unwelcomeTexts: the address of this machine is unwelcome, or has no name.
	unwelcomeTexts = textGroups{{reverseNameAdvice, []knownText{
		{"ptr r", "GMX, Gmail"}, // resource record, record
		{"cannot find your", "Postfix"},
	}, []string{
		"reverse dns", "reverse lookup", "reverse hostname", "no ptr", " rdns",
	}}, {blockListAdvice, []knownText{
		{"blocked using", "Postfix, reject_rbl_client"},
		{"spamhaus", "Exim, Sendmail, Exchange Online"},
		{"blacklist", "Exim, Kerio"},
		{"blocklist", "Exim, SpamCop"},
		{"block list", "Exchange Online"},
		{"poor reputation", "Ironport"},
		{"is listed in", "Rspamd, Exim"},
		{"client host rejected", "Postfix"},
		{"dnsbl", "Comcast, AT&T"},
		{"dt:rbl", "NetEase"},
		{"hl:rep", "NetEase"},
		{"spam abuse detected", "Exchange Online"},
		{"traffic not accepted from this ip", "Exchange Online"},
		{"banned sending ip", "Exchange Online"},
	}, []string{
		"black list", "is listed on",
	}}}
	// relayTexts: the recipient is somewhere else.
	relayTexts = textGroups{{relayAdvice, []knownText{
		{"relay access denied", "Postfix"},
		{"relaying denied", "Sendmail"},
		{"relay not permitted", "Exim"},
		{"unable to relay", "Exchange"},
		{"relaying not allowed", "Lotus Domino"},
		{"list of allowed rcpthosts", "qmail"},
		{"delivery is not allowed to this address", "hMailServer"},
		{"we do not relay", "IceWarp"},
	}, []string{
		"not permitted to relay", "relay denied",
	}}}
	// unknownUserTexts: there is no such user. Postfix may say so with 450.
	unknownUserTexts = textGroups{{"", []knownText{
		{"no such user", "Yandex, Exim (cPanel)"},
		{"no mailbox here", "qmail"},
		{"user unknown", "Postfix, Sendmail, Domino"},
	}, []string{
		"unknown user", "unknown recipient", "recipient unknown", "no such recipient", "no such mailbox",
	}}}
	// noRecipientTexts: there is no such mailbox. With 4xx, these mean less.
	noRecipientTexts = textGroups{{"", []knownText{
		{"unrouteable address", "Exim"},
		{"invalid rcptto", "Aliyun"},
		{"invalid user", "NetEase"},
	}, []string{
		"recipient not found", "mailbox not found", "user not found", "does not exist", "doesn't exist", "mailbox unavailable",
	}}}
	// noSenderTexts: the sender's own domain or mailbox is missing.
	noSenderTexts = textGroups{{noSenderAdvice, []knownText{
		{"sender verify failed", "Exim"},
		{"sender address rejected", "Postfix"},
		{"domain of sender", "Sendmail"},
		{"bogus mail from", "qmail"},
		{"badmailfrom", "qmail"},
	}, []string{
		"sender domain", "sender unknown",
	}}}
)
