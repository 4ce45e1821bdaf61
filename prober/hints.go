package prober

// This file holds the advice that is more precise than a reason's own: for the
// commonest mistakes made when host, port and encryption are typed in.

import (
	"bytes"
	"fmt"
	"strings"

	"mailprobe/mail"
)

// bannerSignature tells a protocol by the first bytes of its greeting.
type bannerSignature struct {
	prefix   string
	name     string
	protocol mail.Protocol // empty: none that mailprobe speaks
}

// maxSignature is the length of the longest prefix in bannerSignatures.
const maxSignature = 8

// bannerSignatures are tried in order. Prefixes are in upper case.
var bannerSignatures = []bannerSignature{
	{"* OK", "IMAP", mail.IMAP},
	{"* PR", "IMAP", mail.IMAP},
	{"* BY", "IMAP", mail.IMAP}, // and what refuses the connection stands in bannerRefusals, too
	{"+OK", "POP3", mail.POP3},
	{"-ERR", "POP3", mail.POP3},
	{"220", "SMTP", mail.SMTP},
	{"421", "SMTP", mail.SMTP},
	{"554", "SMTP", mail.SMTP},
	{"200 ", "NNTP", ""},
	{"201 ", "NNTP", ""},
	{"SSH-", "SSH", ""},
	{"HTTP", "HTTP", ""},
	{"<!DOC", "HTTP", ""},
	{"<HTML", "HTTP", ""},
	{"OK ", "ManageSieve", ""},
	{`"IMPL`, "ManageSieve", ""},
}

// bannerSignatureOf recognises a protocol by the first bytes a server sent.
func bannerSignatureOf(first []byte) (bannerSignature, bool) {
	first = bytes.ToUpper(first[:min(len(first), maxSignature)])
	for _, s := range bannerSignatures {
		if bytes.HasPrefix(first, []byte(s.prefix)) {
			return s, true
		}
	}
	return bannerSignature{}, false
}

// tlsFirstHint is the advice where a port speaks TLS and we did not.
const tlsFirstHint = "This port speaks TLS from the first byte: use encryption ssl/tls."

// isTLSRecord reports whether bytes start a TLS record: an alert or a handshake
// message of TLS 1.x.
func isTLSRecord(first []byte) bool {
	return len(first) > 0 && (first[0] == 0x15 || first[0] == 0x16) &&
		(len(first) < 2 || first[1] == 0x03)
}

// greetingHint says what a port speaks whose greeting is not c's protocol. first
// is what came, or the start of it. It is empty for bytes that tell nothing.
func greetingHint(c *mail.Connection, first []byte) string {
	if c == nil {
		return ""
	}
	if isTLSRecord(first) {
		return tlsFirstHint
	}
	banner, ok := bannerSignatureOf(first)
	if banner.protocol == mail.SMTP && isFTP(first) {
		banner = bannerSignature{name: "FTP"} // RFC 959 greets with 220, too
	}
	if banner.prefix == "421" && c.Protocol != mail.SMTP {
		return fmt.Sprintf("The server refused the connection with 421, which is a reply of SMTP: it is busy, as SmarterMail then says on every port, or this is a port for SMTP (%s is usually on port %d).",
			protocols[c.Protocol].name, mail.DefaultPort(c.Protocol, c.Encryption))
	}
	if !ok || banner.protocol == c.Protocol {
		return ""
	}
	if banner.protocol == "" {
		return fmt.Sprintf("This port speaks %s, not %s: use port %d.",
			banner.name, protocols[c.Protocol].name, mail.DefaultPort(c.Protocol, c.Encryption))
	}
	return fmt.Sprintf("This port speaks %s, not %s: use port %d, or protocol %s.",
		banner.name, protocols[c.Protocol].name, mail.DefaultPort(c.Protocol, c.Encryption), banner.protocol)
}

// isFTP tells a greeting of FTP from one of SMTP.
func isFTP(first []byte) bool {
	first = bytes.ToUpper(first)
	return bytes.Contains(first, []byte("FTP")) || bytes.Contains(first, []byte("FILEZILLA"))
}

// bannerRefusals are the signatures of a server that refuses the connection. One
// that does so in clear text on a TLS port has no certificate, or no room: that
// tells nothing about the encryption to configure.
var bannerRefusals = map[string]bool{"* BY": true, "-ERR": true, "421": true, "554": true}

const refusedInClearHint = "The server refused the connection in clear text before TLS began: look at its log. Likely causes are a missing certificate for this service, a limit on connections, and a block list."

// plaintextHint says what a port speaks that answered a handshake in clear.
func plaintextHint(c *mail.Connection, first []byte) string {
	banner, ok := bannerSignatureOf(first)
	switch {
	case c == nil || !ok:
		return ""
	case c.Encryption == mail.StartTLS:
		return "The server agreed to STARTTLS but went on in clear text: look at its TLS configuration, and check the network path for tampering."
	case banner.protocol == c.Protocol && bannerRefusals[banner.prefix]:
		return refusedInClearHint
	case banner.protocol != c.Protocol:
		return fmt.Sprintf("This port speaks plain %s, not %s: use port %d.",
			banner.name, protocols[c.Protocol].name, mail.DefaultPort(c.Protocol, c.Encryption))
	}
	return fmt.Sprintf("The probe spoke TLS to port %d, but this port speaks plain %s: use starttls or none, or port %d.",
		c.EffectivePort(), banner.name, mail.DefaultPort(c.Protocol, mail.ImplicitTLS))
}

// hashHint is the advice where `auto` chose a method that hides the password.
// Servers also offer these for accounts whose password they store in a form that
// fits none of them: GNU Mailutils does, for system accounts.
const hashHint = "The user name or the password in the configuration is wrong; the login is not repeated before the time shown. If they are right, the server " +
	"may not store the password in a form that this method needs: set `auth` to plain or login, or use TLS."

// doubtHint is the advice where a failure behind the server and a wrong password
// sound alike.
const doubtHint = "Look at the server's log: some servers say the same of a wrong password as of a failure behind them, nginx unless its " +
	"proxy_pass_error_message is on. After the second such answer the login is not repeated before the time shown."

// hintRule is advice for a reason, in a phase and with settings of a connection.
type hintRule struct {
	reason     mail.Reason
	phase      mail.Phase      // empty: any
	encryption mail.Encryption // empty: any
	fits       func(*mail.Connection) bool
	hint       func(*mail.Connection) string
}

// hintRules are tried in order; the first that fits gives the hint.
var hintRules = []hintRule{
	{mail.Timeout, mail.PhaseGreeting, "", onTLSPort, silentTLSPort},
	{mail.Closed, mail.PhaseGreeting, "", onTLSPort, silentTLSPort},
	{mail.Reset, mail.PhaseGreeting, "", onTLSPort, silentTLSPort},
	{mail.Closed, mail.PhaseGreeting, mail.ImplicitTLS, nil, nothingBehind},
	{mail.Reset, mail.PhaseGreeting, mail.ImplicitTLS, nil, nothingBehind},
	{mail.Closed, mail.PhaseTLS, "", nil, fixed(endedHandshakeHint)},
	{mail.Reset, mail.PhaseTLS, "", nil, fixed(endedHandshakeHint)},
	{mail.Timeout, mail.PhaseGreeting, mail.ImplicitTLS, nil, fixed("The TLS handshake succeeded, but no greeting came: a web server (HTTPS) waits for its client like this, so check host and port. " +
		"Otherwise look at the server's load and log for this time; raise timeout only if it is slow by design.")},
	{mail.Timeout, mail.PhaseTLS, mail.ImplicitTLS, onClearPort, silentClearPort},
	{mail.Timeout, mail.PhaseGreeting, "", onUncommonPort, silentUncommonPort},
	{mail.ConnectTimeout, mail.PhaseConnect, "", onPort25, blockedPort25},
	{mail.StartTLSNotOffered, "", "", onPort25, fixed("The server offers no STARTTLS on port 25: " +
		"submission with STARTTLS is on port 587, and with ssl/tls on 465.")},
	{mail.StartTLSNotOffered, "", "", isSMTP, fixed("The server offers no STARTTLS: " +
		"enable it for submission on the server, or use ssl/tls on port 465. If it was offered before, something in the network path strips it, such as a firewall that inspects SMTP.")},
	{mail.AuthRejected, mail.PhaseAuth, "", byCertificate, fixed("The server did not accept the client certificate for this username: compare both, and how the server " +
		"maps certificates to names. The login is not repeated before the time shown.")},
	{mail.AuthRejected, mail.PhaseAuth, "", byAuthzID, fixed("The user name or the password in the configuration is wrong, or the user may not act for the shared mailbox: correct it, or make the server allow this user to act for the shared mailbox: " +
		"many servers refuse both with the same words. The login is not repeated before the time shown.")},
	{mail.AuthRejected, mail.PhaseAuth, "", byLoginName, fixed("The user name, the shared mailbox or the password in the configuration is wrong; if they are right, the server may not support two names in one login: " +
		"compare shared_mailbox_access and login_name_format. The login is not repeated before the time shown.")},
	{mail.MailboxDenied, mail.PhaseMailbox, "", isSMTP, fixed("The server refused the sender or the recipient: allow the user to send as this address, " +
		"and check that the server accepts mail for the recipient from this user.")},
	{mail.CommandRejected, mail.PhaseHello, "", isSMTP, fixed("The server refused EHLO: check port and protocol, and set `ehlo` to a host name with dots that the name servers know.")},
	{mail.MailboxFailed, mail.PhaseMailbox, "", isPOP3, fixed("Look at the server's log: the login was accepted, and then the mailbox could not be opened.")},
	{mail.MailboxMissing, mail.PhaseMailbox, "", isSMTP, fixed("The server does not know the recipient, or accepts no mail for it: check recipient.")},
	{mail.MailboxMissing, mail.PhaseMailbox, "", bySharedFolder, fixed(sharedFolderAdvice)},
	{mail.CommandRejected, mail.PhaseMailbox, "", bySharedFolder, fixed(sharedFolderAdvice)},
	{mail.MailboxMissing, mail.PhaseMailbox, "", namesFolder, fixed(nameAdvice)},
	{mail.CommandRejected, mail.PhaseMailbox, "", namesFolder, fixed(nameAdvice)},
	{mail.AuthNeedsTLS, "", mail.NoEncryption, nil, tlsWanted},
	{mail.AuthMechanism, "", mail.NoEncryption, nil, tlsPerhaps},
	{mail.AuthNeedsTLS, "", "", nil, fixed("The server requires TLS although TLS is up: " +
		"look for a proxy in front of it that terminates TLS without telling it.")},
}

// hintFor is the advice for a reason that the connection's own settings
// make more precise.
func hintFor(phase mail.Phase, c *mail.Connection, reason mail.Reason) string {
	if c == nil {
		return ""
	}
	for _, s := range hintRules {
		if s.reason == reason && (s.phase == "" || s.phase == phase) &&
			(s.encryption == "" || s.encryption == c.Encryption) &&
			(s.fits == nil || s.fits(c)) {
			return s.hint(c)
		}
	}
	return ""
}

// fixed is a hint that needs no detail.
func fixed(text string) func(*mail.Connection) string {
	return func(*mail.Connection) string { return text }
}

func isSMTP(c *mail.Connection) bool   { return c.Protocol == mail.SMTP }
func isPOP3(c *mail.Connection) bool   { return c.Protocol == mail.POP3 }
func onPort25(c *mail.Connection) bool { return c.Protocol == mail.SMTP && c.EffectivePort() == 25 }

func byCertificate(c *mail.Connection) bool { return c.Auth == mail.AuthExternal }

// byAuthzID and byLoginName report how a login names a shared mailbox.
func byAuthzID(c *mail.Connection) bool   { return sharedBy(c, mail.SharedAuthzID) }
func byLoginName(c *mail.Connection) bool { return sharedBy(c, mail.SharedLoginName) }

// bySharedFolder reports whether the folder of a shared mailbox is searched for.
func bySharedFolder(c *mail.Connection) bool {
	return sharedBy(c, mail.SharedFolder) && strings.EqualFold(c.Mailbox, "INBOX")
}

// namesFolder reports whether another folder than the INBOX is opened.
func namesFolder(c *mail.Connection) bool {
	return c.Protocol == mail.IMAP && c.Mailbox != "" && !strings.EqualFold(c.Mailbox, "INBOX")
}

// maskedHint is the advice where a firewall overwrites what it does not allow.
const maskedHint = "A firewall in the network path overwrites the server's offers with XXXX, as the SMTP inspection of Cisco's firewalls does: switch that inspection off for this host, or use ssl/tls on port 465."

// sharedFolderAdvice is for a search that found nothing.
const sharedFolderAdvice = "The shared mailbox was not found among the namespaces that the server lists: check shared_mailbox and the user's rights on it, " +
	"or set `mailbox` to its full path on the server."

func sharedBy(c *mail.Connection, access mail.SharedAccess) bool {
	return c.SharedMailbox != "" && c.SharedMailboxAccess == access
}

// onTLSPort reports whether a connection that starts in clear dials a port that
// is known for TLS from the first byte.
func onTLSPort(c *mail.Connection) bool {
	_, implicitTLS := mail.UsualService(c.EffectivePort())
	return c.Encryption != mail.ImplicitTLS && implicitTLS
}

// onUncommonPort reports whether a connection that starts in clear dials a port that
// is the default of no protocol: what is spoken there can only be guessed.
func onUncommonPort(c *mail.Connection) bool {
	usual, _ := mail.UsualService(c.EffectivePort())
	return c.Encryption != mail.ImplicitTLS && usual == ""
}

// onClearPort reports whether a connection that starts with TLS dials a port that is known
// for clear text or STARTTLS.
func onClearPort(c *mail.Connection) bool {
	usual, implicitTLS := mail.UsualService(c.EffectivePort())
	return c.Encryption == mail.ImplicitTLS && usual != "" && !implicitTLS
}

// endedHandshakeHint is for an end in place of an alert: servers do so whose certificate or
// key cannot be read, and balancers without a server behind them.
const endedHandshakeHint = "The server ended the connection in the TLS handshake without saying why: look at its log for this time. Likely causes are a missing certificate or key there, " +
	"a load balancer or proxy without a mail server behind it, and ban lists."

// nothingBehind is for an end between handshake and greeting: haproxy and stunnel
// close there, or reset, when they cannot reach the mail server.
func nothingBehind(*mail.Connection) string {
	return "The TLS handshake succeeded, but no greeting followed: likely causes are a TLS proxy such as haproxy or stunnel whose mail server is down, and ban lists."
}

func silentTLSPort(c *mail.Connection) string {
	return fmt.Sprintf("Port %d usually speaks TLS from the first byte: use encryption ssl/tls.", c.EffectivePort())
}

func silentUncommonPort(c *mail.Connection) string {
	return fmt.Sprintf("If port %d speaks TLS from the first byte, use encryption ssl/tls; otherwise look at the server's load and log for this time.",
		c.EffectivePort())
}

func silentClearPort(c *mail.Connection) string {
	return fmt.Sprintf("Port %d usually starts in clear text: use starttls, or ssl/tls with port %d.",
		c.EffectivePort(), mail.DefaultPort(c.Protocol, mail.ImplicitTLS))
}

func blockedPort25(*mail.Connection) string {
	return "Port 25 is blocked in many networks: submit through port 587 (starttls) or 465 (ssl/tls)."
}

func tlsWanted(c *mail.Connection) string {
	return fmt.Sprintf("The server accepts logins only under TLS: use encryption starttls, or ssl/tls with port %d.",
		mail.DefaultPort(c.Protocol, mail.ImplicitTLS))
}

func tlsPerhaps(c *mail.Connection) string {
	return fmt.Sprintf("The server does not offer this login in clear text: use encryption starttls, or ssl/tls with port %d.",
		mail.DefaultPort(c.Protocol, mail.ImplicitTLS))
}

// The advice about sentences in texts.go. One sentence of a server may stand for
// several causes: then the advice begins with the commonest.
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

	clientNameAdvice    = "The server refused the name {ehlo} that the probe greeted it with: set `ehlo` to a host name with dots that the name servers know."
	senderAdvice        = "The server lets this user send only from the user's own addresses: set `sender` (or `shared_mailbox`) to one of them, or grant the user permission to send as this address."
	loginFirstAdvice    = "The server takes no mail without a login: set username and password."
	greylistAdvice      = "The server works: it greylists clients and senders that it has not seen before. Exempt this machine's address there, or do not set `recipient`."
	blockedSenderAdvice = "The provider lets this account send nothing for now, mostly after unusual activity: log in to the account in a web browser and look for its notice, or ask the provider."
	reverseNameAdvice   = "This machine's address has no host name in the DNS, or one that does not lead back to it: have a PTR record made for it, exempt it at the server, or probe from another address."
	bridgeAdvice        = "The bridge is logged out of its account: log in again in the app of the bridge. The password was not judged."
	blockListAdvice     = "This machine's address is on a block list that the server uses: have it removed there, exempt it at the server, or probe from another address."
	relayAdvice         = "The server accepts mail for this recipient's domain only after a login, or not at all: set `recipient` to an address of this server, or set username and password."
	oddGreetingAdvice   = "The server refuses the connection in a form that IMAP does not know; its words are in the recorded dialogue. Likely causes are a ban after failed logins, and overload."
	quotaAdvice         = "The mailbox is over its quota: have messages deleted from it, or its quota raised."
	nameAdvice          = "The server has no mailbox of this name, or does not accept the name: check the spelling of `mailbox`, its capitals, its separators (such as / or .) and its prefix (such as INBOX.)."
	addressAdvice       = "The server takes no login from this machine's address: allow the address in the settings of the server or of the account, or have the block removed. " +
		"After the second such answer the login is not repeated before the time shown."
	referralAdvice       = "The server says that the mailbox is on another server, which its answer names: set `host` to that server if it is the right one. The probe never follows such a reference by itself."
	licenceAdvice        = "The licence of the mail server has expired, or allows no more users: renew it, or have a licence assigned to this user."
	accountExpiredAdvice = "It is not the password that has expired, but the account or its contract: have it renewed by the provider or the administrator."
	relayAddressAdvice   = "Google's relay knows neither this machine's address nor this login: register the address in the relay service's settings, or log in as a user of the domain."
	microsoftAdvice      = "The user name or the password in the configuration is wrong; to keep the account from being locked, the login is not repeated before the time shown. " +
		"If this is Exchange Online (Microsoft 365), it takes no passwords and says the same of a right one: use OAuth2 (`auth: xoauth2`)."
	argumentAdvice          = "The server could not read the login. With a token, check that it is an access token for this server and protocol, and that username is the address of the mailbox; with a password, try another `auth`."
	tokenExpiredAdvice      = "The access token ran out in this session: check that whatever renews the token does so in time, or let mailprobe fetch it (oauth2.token_url)."
	tokenNotConnectedAdvice = "The token was accepted, and then the mailbox was refused: check that username (or shared_mailbox) is the address of an existing mailbox, that IMAP and POP3 are on for it, " +
		"and that the user or the application of the token has permission for it."
	noSenderAdvice = "The server refused the sender address: set `sender` to an address that exists and whose domain accepts mail."
)
