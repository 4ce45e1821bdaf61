package prober

// This file is the table of texts: sentences in which real servers say what
// their reply codes do not. They are data; a new one needs its source here and
// a whole line in the golden test.

import "strings"

// knownText is a part of a server's sentence, in lower case.
type knownText struct {
	text   string
	source string // the server that says so
}

// textGroup is a group of sentences that mean the same.
type textGroup []knownText

// in reports whether a sentence, in lower case, holds one of the texts. No
// texts at all means that the sentence does not matter.
func (t textGroup) in(sentence string) bool {
	for _, known := range t {
		if strings.Contains(sentence, known.text) {
			return true
		}
	}
	return len(t) == 0
}

var (
	// limitTexts: too many connections, or too fast.
	limitTexts = textGroup{
		{"too many simultaneous connections", "Gmail"},
		{"maximum number of connections", "Dovecot, mail_max_userip_connections"},
		{"maximum number of concurrent connections", "Exchange"},
		{"exceeded command or bandwidth limits", "Gmail"},
		{"too many concurrent", "Exim, smtp_accept_max"},
		{"too many connections", "Postfix anvil, Courier"},
		{"too many open connections", "Sendmail"},
		{"connection rate limit exceeded", "Sendmail"},
		{"concurrent connections limit exceeded", "Exchange Online"},
		{"rate limit", "Postfix policy servers"},
		{"too much mail", "Postfix anvil"},
		{"request is throttled", "Exchange Online"},
	}
	// tooSoonTexts: the login came too soon after the last one.
	tooSoonTexts = textGroup{
		{"try again later", "Gmail"},
		{"too many login attempts", "Gmail"},
		{"too many login failures", "Yahoo, Gmail"},
	}
	// laterTexts: the same words outside of a login are about the server.
	laterTexts = textGroup{
		{"try again later", "Exim, Cyrus"},
		{"temporarily unavailable", "Courier, Zimbra"},
		{"server unavailable", "Exchange"},
		{"auth process broken", "Dovecot whose auth process does not start"},
	}
	// temporaryTexts: the user database could not be asked.
	temporaryTexts = textGroup{
		{"temporary authentication failure", "Dovecot before response codes, Exim"},
		{"server unavailable", "Exchange"},
		{"temporary problem", "Courier, where the home directory is missing"},
		{"temporary server problem", "nginx mail proxy, the example in its documentation"},
		{"could not connect to server", "perdition, whose server behind it is down"},
	}
	// proxyTexts: nginx says the same of a server behind it that is down and, unless
	// proxy_pass_error_message is on, of a login that this server refused.
	proxyTexts = textGroup{
		{"internal server error", "nginx mail proxy"},
	}
	// saslTexts: Cyrus SASL could not reach its password database. Servers that use
	// it answer with the code of a wrong password then, too.
	saslTexts = textGroup{
		{"generic failure", "Cyrus IMAP, Postfix 2, whose saslauthd is down"},
	}
	// methodTexts: the password may be right, but not this way.
	methodTexts = textGroup{
		{"application-specific password required", "Gmail"},
		{"application password is required", "Mail.ru"},
		{"log in via your web browser", "Gmail"},
		{"web login required", "Gmail"},
		{"basic authentication is disabled", "Exchange Online"},
		{"smtpclientauthentication is disabled", "Exchange Online"},
		{"security defaults", "Exchange Online"},
	}
	// expiredTexts: the password has run out.
	expiredTexts = textGroup{
		{"expired", "Courier, Cyrus, directory back ends"},
	}
	// disabledTexts: the account is off, or off for this protocol.
	disabledTexts = textGroup{
		{"not enabled for imap", "Gmail"},
		{"not enabled for pop", "Gmail"},
		{"enable imap for your account", "Zoho"},
		{"account is disabled", "Zimbra, hMailServer"},
		{"access disabled for this account", "Courier"},
		{"account is locked", "Zimbra, Exchange"},
		{"account has been locked", "Yahoo"},
	}
	// needsTLSTexts: whole sentences that mean one thing wherever they stand.
	needsTLSTexts = textGroup{
		{"plaintext authentication disallowed", "Dovecot"},
		{"cleartext authentication disallowed", "Dovecot 2.4"},
		{"only available under a layer", "Cyrus"},
		{"must issue a starttls command first", "Postfix, Exchange"},
		{"failed: login disabled", "perdition POP3"},
	}
	// tlsTexts are believed in clear only: under TLS they prove nothing.
	tlsTexts = textGroup{
		{"tls", "Cyrus, Courier, Exchange"},
		{"ssl", "Cyrus, Courier, Exchange"},
	}
	// mechanismTexts: the way to log in is unknown there.
	mechanismTexts = textGroup{
		{"unsupported authentication mechanism", "Dovecot"},
		{"unsupported sasl", "Cyrus, hMailServer"},
		{"mechanism not supported", "mox"},
		{"unrecognized authentication type", "Exchange"},
		{"authentication not enabled", "Postfix"},
		{"unknown command", "POP3 servers without the command"},
		{"command not recognized", "Exchange POP3"},
		{"not implemented", "MDaemon, Courier"},
	}
	// credentialTexts: Exchange uses one code for two things.
	credentialTexts = textGroup{
		{"user credentials were incorrect", "Exchange Online"},
	}
	// notConnectedTexts: the login is right, the mailbox is not its own.
	notConnectedTexts = textGroup{
		{"authenticated but not connected", "Exchange"},
	}
	// brokenTexts: the login was right, and then the mailbox could not be entered.
	brokenTexts = textGroup{
		{"fatal error: ", "Courier IMAP"},
		{"maildir invalid", "Courier POP3"},
		{"unable to open maildrop", "Cyrus POP3"},
	}
	// maildropTexts: the login was right, and there is no mailbox for it.
	maildropTexts = textGroup{
		{"maildrop: mailbox does not exist", "Cyrus POP3"},
	}
	// deniedTexts: the mailbox is there, and not for this user.
	deniedTexts = textGroup{
		{"permission denied", "Cyrus"},
		{"access denied for", "Courier"},
	}
	// unnamedTexts: no mailbox is opened for a client that has not said its name.
	unnamedTexts = textGroup{
		{"unsafe login", "NetEase's Coremail"},
	}
	// senderTexts: the address is not the user's to send from.
	senderTexts = textGroup{
		{"not owned by user", "Postfix, reject_sender_login_mismatch"},
		{"sendasdenied", "Exchange Online"},
		{"permissions to send as this sender", "Exchange"},
	}
)
