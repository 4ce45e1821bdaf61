package prober

// This file holds the advice about sentences in texts.go. One sentence of a
// server may stand for several causes: then the advice begins with the commonest.

const (
	dailyAdvice = "The server's quota for this account is used up: it is open again after a while, mostly after a day. " +
		"Look for another program that uses the account, and probe less often."
	lockedOutAdvice = "The server counts failed logins of this account or from this machine's address and refuses more for now: find the program with the wrong password. " +
		"It may be this configuration: check the user name and the password in it."
	proxyAdvice = "Look at the log of the server and of the mail server behind it: proxies say the same when that server is down and when it refused the login, nginx unless its " +
		"proxy_pass_error_message is on. After the second such answer the login is not repeated before the time shown."
	notConnectedAdvice = "Check the password in the configuration first: Exchange accepts a login and then says this, also of a wrong password. " +
		"If the password is right, the mailbox does not exist or IMAP is off for it, or the user has no permission for the shared mailbox."

	switchedOffOrWrongAdvice = "This server says the same of a wrong user name or password and of mail programs that are not enabled: check that IMAP, POP3 or SMTP access is switched on in the settings of the account, " +
		"and that the password in the configuration is the one for mail programs (an app password or authorization code, where the provider has these)."
	authorizationCodeOrWrongAdvice = "The user name or the password in the configuration is wrong. This provider accepts an authorization code from the settings of the account, not its web password."
	googleAdvice                   = "The user name or the password in the configuration is wrong. Google does not accept the password of the account itself: use an app password, or OAuth2 (`auth: xoauth2`)."
	appPasswordOrWrongAdvice       = "The user name or the password in the configuration is wrong. This provider does not accept the password of the account itself: create an app password in its settings."
	fullAddressAdvice              = "The user name or the password in the configuration is wrong. This server wants the whole mail address as the user name."

	appPasswordAdvice       = "Create an app password (application-specific password) in the security settings of the account, and use it as the password in the configuration."
	authorizationCodeAdvice = "Create an authorization code in the settings of the account, and use it as the password in the configuration."
	webLoginAdvice          = "Log in once as this user in a web browser, and confirm what the provider asks there. If it goes on, use an app password or OAuth2 (`auth: xoauth2`)."
	basicAuthAdvice         = "Use OAuth2 (`auth: xoauth2`) where the provider has retired passwords (basic authentication), as Exchange Online did: a right password is refused, too. " +
		"If passwords are still allowed there, the user name or the password in the configuration is wrong."
	tenantSMTPAdvice = "Authenticated SMTP is switched off for the whole tenant: an administrator of the tenant allows it with Set-TransportConfig -SmtpClientAuthenticationDisabled $false, " +
		"or for one mailbox with Set-CASMailbox. Neither another password nor a token changes it."
	mailboxSMTPAdvice = "Authenticated SMTP is switched off for this mailbox: an administrator allows it in the mailbox's mail apps settings, or with Set-CASMailbox -SmtpClientAuthenticationDisabled $false. " +
		"Neither another password nor a token changes it."
	securityDefaultsAdvice = "The security defaults of the tenant forbid logins with a password: use OAuth2 (`auth: xoauth2`), or have an administrator replace the security defaults by conditional access policies."
	policyAdvice           = "A policy of the tenant forbids this login (conditional access, authentication policy, or authenticated SMTP): look at the sign-in log of the user in Entra ID, which names the policy."

	switchedOffAdvice = "Switch on access for mail programs with this protocol in the settings of the account, or ask the administrator of the account or its domain to do so. The password was not judged."
	unnamedAdvice     = "This provider opens no mailbox for a client it considers unsafe: allow IMAP in the settings of the account, use an authorization code as the password, and ask the provider if it goes on."

	clientNameAdvice = "The server refused the name {ehlo} that the probe greeted it with: set `ehlo` to a host name with dots that the name servers know."
	senderAdvice     = "The server lets this user send only from the user's own addresses: set `sender` (or `shared_mailbox`) to one of them, or grant the user permission to send as this address."
	loginFirstAdvice = "The server takes no mail without a login: set username and password."
	greylistAdvice   = "The server works: it greylists clients and senders that it has not seen before. Exempt this machine's address there, or do not set `recipient`."
	blockListAdvice  = "This machine's address is on a block list that the server uses: have it removed there, exempt it at the server, or probe from another address."
	relayAdvice      = "The server accepts mail for this recipient's domain only after a login, or not at all: set `recipient` to an address of this server, or set username and password."
	noSenderAdvice   = "The server refused the sender address: set `sender` to an address that exists and whose domain accepts mail."
)
