package mail

// This file holds the words for why a probe failed. Errors become such words
// in classify.go alone.

// Reason says why a probe failed; a closed set, and the `reason` label. The
// empty Reason means that nothing failed.
type Reason string

// The reasons; docs/reasons.md explains them. Adding one is a minor release, renaming
// one a major release.
const (
	DNSNotFound Reason = "dns_not_found"
	DNSFailed   Reason = "dns_failed"
	DNSTimeout  Reason = "dns_timeout"

	ConnectRefused     Reason = "connect_refused"
	ConnectTimeout     Reason = "connect_timeout"
	ConnectUnreachable Reason = "connect_unreachable"

	Reset   Reason = "reset"
	Closed  Reason = "closed"
	Timeout Reason = "timeout"

	TLSPlaintext  Reason = "tls_plaintext"
	TLSVersion    Reason = "tls_version"
	TLSClientCert Reason = "tls_client_cert"
	TLSHandshake  Reason = "tls_handshake"

	CertExpired     Reason = "cert_expired"
	CertNotYetValid Reason = "cert_not_yet_valid"
	CertName        Reason = "cert_name"
	CertUntrusted   Reason = "cert_untrusted"
	CertInvalid     Reason = "cert_invalid"

	StartTLSNotOffered Reason = "starttls_not_offered"
	StartTLSRefused    Reason = "starttls_refused"
	StartTLSInjected   Reason = "starttls_injected"

	ProtocolMalformed Reason = "protocol_malformed"
	ProtocolOversize  Reason = "protocol_oversize"

	ServerRefused     Reason = "server_refused"
	ServerUnavailable Reason = "server_unavailable"
	ServerLimit       Reason = "server_limit"
	CommandRejected   Reason = "command_rejected"

	AuthRejected        Reason = "auth_rejected"
	AuthMethodForbidden Reason = "auth_method_forbidden"
	AuthExpired         Reason = "auth_expired"
	AuthDisabled        Reason = "auth_disabled"
	AuthTemporary       Reason = "auth_temporary"
	AuthTooSoon         Reason = "auth_too_soon"
	AuthNeedsTLS        Reason = "auth_needs_tls"
	AuthMechanism       Reason = "auth_mechanism"
	AuthHeld            Reason = "auth_held"

	TokenRejected    Reason = "token_rejected"
	TokenUnavailable Reason = "token_unavailable"
	NotAuthorized    Reason = "not_authorized"

	MailboxMissing Reason = "mailbox_missing"
	MailboxDenied  Reason = "mailbox_denied"
	MailboxInUse   Reason = "mailbox_in_use"
	MailboxFailed  Reason = "mailbox_failed"

	LocalSecret    Reason = "local_secret"
	LocalResources Reason = "local_resources"
	LocalOverrun   Reason = "local_overrun"
	LocalBug       Reason = "local_bug"
)

// Class says what a reason means for the next login.
type Class byte

// The classes.
const (
	// Transient says nothing about the credential. It is the class of the empty
	// and of an unknown Reason.
	Transient Class = 'T'
	// Definitive is a verdict on the credential: sending it again only brings
	// the account nearer to its lockout.
	Definitive Class = 'D'
	// Possible may be a verdict: some servers drop the connection instead of
	// saying no. Two in a row count as one Definitive.
	Possible Class = 'P'
	// Local is a fault on this side; the server was not asked.
	Local Class = 'L'
)

// reasonFacts is one line of the table of reasons.
type reasonFacts struct {
	reason   Reason
	class    Class
	meaning  string // one sentence
	advice   string // one sentence, an imperative
	evidence string // Markdown: the protocol codes and errors it comes from
}

// Reasons lists every reason of a probe once, in the order of the table.
func Reasons() []Reason { return reasonsOf(reasons) }

// facts is r's line of the table; the zero line for a word that is not in it.
func (r Reason) facts() reasonFacts {
	for _, table := range [][]reasonFacts{reasons, routeReasons} {
		for i := range table {
			if table[i].reason == r {
				return table[i]
			}
		}
	}
	return reasonFacts{}
}

// Meaning is one English sentence that says what the reason means. It is empty
// for the empty Reason.
func (r Reason) Meaning() string { return r.facts().meaning }

// Advice is one English sentence that says what to do about it. It is empty for
// the empty Reason.
func (r Reason) Advice() string { return r.facts().advice }

// Class is the reason's class as it stands in the table. What a failure means
// for the account depends on its phase too: see Failure.Class.
func (r Reason) Class() Class {
	if class := r.facts().class; class != 0 {
		return class
	}
	return Transient
}

// Class says what the failure means for the next login. Only the login can give
// a verdict on the credential, and only there a lost connection may be one. A
// nil Failure is Transient.
func (f *Failure) Class() Class {
	if f == nil {
		return Transient
	}
	class := f.Reason.Class()
	switch {
	case f.Doubtful, f.Phase == PhaseAuth && (f.Reason == Closed || f.Reason == Reset):
		return Possible
	case f.Phase != PhaseAuth && class == Definitive:
		return Transient
	}
	return class
}

// reasons has one line per Reason, in the order of a probe.
var reasons = []reasonFacts{
	{DNSNotFound, Transient,
		"The host name does not exist or has no address.",
		"Check the spelling of host, and that the name has an A or AAAA record for the chosen ip_protocol.",
		"NXDOMAIN; an empty answer; no address of the wanted family"},
	{DNSFailed, Transient,
		"The name server refused the query or could not answer it.",
		"Look up the same name with dig on this machine, and check the resolver in /etc/resolv.conf and the zone's own name servers.",
		"SERVFAIL, REFUSED, a CNAME loop, a garbled answer"},
	{DNSTimeout, Transient,
		"No name server answered in time.",
		"Check that this machine can reach its resolver (UDP and TCP port 53), and that the resolver is up.",
		"deadline in phase `resolve`"},

	{ConnectRefused, Transient,
		"The host answered that nothing is listening on this port.",
		"Check the port, and that the mail service is running and listening on this address.",
		"ECONNREFUSED"},
	{ConnectTimeout, Transient,
		"The host did not answer the connection attempt.",
		"Check host, port and the firewalls in between; many networks block outgoing port 25.",
		"deadline or ETIMEDOUT in phase `connect`"},
	{ConnectUnreachable, Transient,
		"The network reported that the host cannot be reached, or that access is prohibited.",
		"Check routes, firewalls and whether this machine has IPv4 or IPv6 at all; ip_protocol chooses one.",
		"EHOSTUNREACH, ENETUNREACH, EACCES, EPERM"},

	{Reset, Transient,
		"The server reset the connection; the phase says when.",
		"Look at the server's log for this time; likely causes are crashes, firewalls and ban lists.",
		"ECONNRESET, EPIPE"},
	{Closed, Transient,
		"The server closed the connection before its answer was complete; the phase says when.",
		"Look at the server's log for this time; likely causes are overload, ban lists and a wrong port.",
		"end of stream before a complete reply; `* BYE` in the middle of a session"},
	{Timeout, Transient,
		"The server accepted the connection but did not answer in time; the phase says when.",
		"Look at the server's load and log for this time; raise timeout only if the server is slow by design.",
		"deadline after phase `connect`"},

	{TLSPlaintext, Transient,
		"TLS was expected, but the server answered in clear text.",
		"Check that port and encryption match: ssl/tls is for 993, 995 and 465, starttls for 143, 110 and 587.",
		"the first record is readable text"},
	{TLSVersion, Transient,
		"Client and server have no TLS version in common.",
		"Enable TLS 1.2 or newer on the server, or set tls_config.min_version to what it supports.",
		"alert 70 protocol_version; a version below `min_version`"},
	{TLSClientCert, Transient,
		"The server requires a client certificate, or refused the one it got.",
		"Set tls_config.cert_file and key_file to a certificate that the server trusts.",
		"alert 116 certificate_required; alerts 40, 42-46 and 48 after a CertificateRequest"},
	{TLSHandshake, Transient,
		"The TLS handshake failed for a reason other than version or certificate.",
		"Try openssl s_client against this host and port, and look at the server's TLS log; likely causes are a broken key and no common cipher suite.",
		"every other TLS error or alert"},

	{CertExpired, Transient,
		"The server's certificate has expired.",
		"Renew the certificate and make the mail service load it; if it was renewed already, check this machine's clock.",
		"dates of the leaf, or of an issuer the chain needs"},
	{CertNotYetValid, Transient,
		"The server's certificate is not valid yet.",
		"Check the clock of this machine and the certificate's start date.",
		"dates of the leaf, or of an issuer the chain needs"},
	{CertName, Transient,
		"The server's certificate is for a name other than the configured host.",
		"Use a host name that is in the certificate, or get a certificate for this one; tls_config.server_name sets the name to check.",
		"the host is in no SAN; a certificate without SAN"},
	{CertUntrusted, Transient,
		"The server's certificate is not signed by a CA that this machine trusts.",
		"Make the server send its intermediate certificates, or set tls_config.ca_file to your own CA.",
		"unknown authority, self-signed, missing intermediate, SHA-1 signature"},
	{CertInvalid, Transient,
		"The server's certificate is not valid for a server, or its key is too weak.",
		"Get a certificate for server authentication with a key of at least RSA 2048 or ECDSA P-256.",
		"wrong key usage, broken constraints, RSA below 2048 bits"},

	{StartTLSNotOffered, Transient,
		"The server does not offer STARTTLS, so the probe ended before anything secret was sent.",
		"Enable STARTTLS on the server, or use ssl/tls with its port; if it was offered before, something in the network path may strip it.",
		"capability missing; `* PREAUTH` in clear text; EHLO refused"},
	{StartTLSRefused, Transient,
		"The server offers STARTTLS but refused to start it.",
		"Look at the server's TLS configuration and log: a likely cause is a missing key or certificate file.",
		"IMAP `NO`, `BAD` · POP3 `-ERR` · SMTP `454`, `502` and other 5xx to STARTTLS"},
	{StartTLSInjected, Transient,
		"Data arrived between the server's answer to STARTTLS and the handshake: somebody may be injecting commands.",
		"Update the server software (see CVE-2011-0411), and check the network path for tampering.",
		"bytes after the answer to STARTTLS"},

	{ProtocolMalformed, Transient,
		"The server's answer violates the syntax of its protocol.",
		"Check that protocol and port match, then look at the recorded dialogue.",
		"wrong syntax, tag, state or base64"},
	{ProtocolOversize, Transient,
		"The server sent more than any legitimate answer needs, and the probe stopped reading.",
		"Look in the recorded dialogue for what the server sends; the limits are fixed.",
		"8 KiB a line, 100 lines and 64 KiB a reply, 256 KiB a session, 4 SASL rounds"},

	{ServerRefused, Transient,
		"The server turned this client away.",
		"Check whether the server accepts connections from this machine's address; likely causes are block lists and access rules.",
		"IMAP greeting `* BYE` · POP3 greeting `-ERR`, `[SYS/PERM]` · SMTP greeting 5xx, `550`, `554` to EHLO; 5xx with the name of a block list; a refused login whose text is about this machine's address"},
	{ServerUnavailable, Transient,
		"The server says that it is temporarily unavailable.",
		"Look at the server's backends and log; if it lasts, this is an outage.",
		"IMAP `[UNAVAILABLE]`, `[SERVERBUG]` outside the login · POP3 `[SYS/TEMP]` outside the login · SMTP `421`, other 4xx outside the login"},
	{ServerLimit, Transient,
		"The server's limit on connections or their rate is reached.",
		"Probe less often, lower pool.max_in_flight_per_host, or raise the server's limit for this address.",
		"IMAP `[LIMIT]` · POP3 `[IN-USE]` with such a text · SMTP `421 4.7.0` with such a text, `432 4.3.2`, `450`/`452 4.7.1` with such a text"},
	{CommandRejected, Transient,
		"The server rejected a command of the protocol.",
		"Look at the recorded dialogue; likely causes are old servers and filtering proxies.",
		"IMAP `BAD`, `[CLIENTBUG]` · POP3 `-ERR` to CAPA · SMTP `500`-`503`; a refused name in EHLO"},

	{AuthRejected, Definitive,
		"The server refused the user name and password.",
		"The user name or the password in the configuration is wrong; to keep the account from being locked, the login is not repeated before the time shown.",
		"IMAP `[AUTHENTICATIONFAILED]`, `[AUTHORIZATIONFAILED]` without another's mailbox, bare `NO` · POP3 `[AUTH]`, bare `-ERR` · SMTP `535 5.7.8`, `535 5.7.3`, bare `535`"},
	{AuthMethodForbidden, Definitive,
		"The server does not allow this login method for this account.",
		"Use an app password or OAuth2 (auth: xoauth2), or allow password logins for the account at the provider.",
		"SMTP `534 5.7.9`, `535 5.7.139`, `550 5.7.30`; texts such as \"application-specific password required\""},
	{AuthExpired, Definitive,
		"The password has expired or must be changed.",
		"Set a new password for the account and put it into the configuration.",
		"IMAP `[EXPIRED]` · POP3 `[AUTH]` with the text \"expired\" · SMTP `432 4.7.12`, `535` with that text"},
	{AuthDisabled, Definitive,
		"The account is locked, or not enabled for this protocol.",
		"Ask the administrator of the account to unlock it or to enable the protocol for it.",
		"IMAP `[CONTACTADMIN]`, `[NOPERM]` to a login · POP3 `[SYS/PERM]` · SMTP `525 5.7.13`; texts such as \"not enabled for IMAP\""},
	{AuthTemporary, Transient,
		"The server could not check the login for the moment.",
		"Look at the server's log, its user database, and the server behind it if it is a proxy; the password was not judged.",
		"IMAP `[UNAVAILABLE]`, `[SERVERBUG]` · POP3 `[SYS/TEMP]`, other `[SYS/…]` · SMTP `454 4.7.0`, other 4xx to AUTH; texts such as \"internal server error\", Cyrus SASL's \"generic failure\""},
	{AuthTooSoon, Transient,
		"The server requires longer pauses between logins.",
		"Raise interval, or have fewer programs log in to this account.",
		"IMAP text \"try again later\" · POP3 `[LOGIN-DELAY]` · SMTP `4.7.0` with such a text"},
	{AuthNeedsTLS, Transient,
		"The server allows logins only under TLS.",
		"Use encryption starttls or ssl/tls.",
		"IMAP `[PRIVACYREQUIRED]`, `LOGINDISABLED` · POP3 `[AUTH]` with a text about TLS, `USER` refused in clear text · SMTP `530 5.7.0`, `523 5.7.10`, `538 5.7.11`"},
	{AuthMechanism, Transient,
		"The server does not offer the login method, or refused it before a password was sent.",
		"Set auth to auto or to a mechanism that the server offers; some offer them under TLS only.",
		"capability missing; any refusal of a login before a user name or password was sent; IMAP `NO`/`BAD` \"unsupported\" · POP3 `-ERR` \"unsupported\" · SMTP `504 5.5.4`"},
	{AuthHeld, Local,
		"The login was not tried, because other logins of this account or to this server were refused.",
		"Look at the connection that is named first; the time of the next login is shown.",
		"the guard against lockouts"},

	{TokenRejected, Definitive,
		"The OAuth2 token, or the grant behind it, was refused.",
		"Renew the consent or the client secret, and check the scopes and the mailbox's permission for the application.",
		"error challenge, then IMAP `NO` · POP3 `-ERR` · SMTP `535`; `invalid_grant` of the token endpoint"},
	{TokenUnavailable, Transient,
		"No OAuth2 token could be obtained from the token endpoint.",
		"Check oauth2.token_url, and that this machine can reach it.",
		"network error, 5xx, 429 or no JSON from the token endpoint"},
	{NotAuthorized, Definitive,
		"The server does not let this user use this mailbox, or send as this address.",
		"Grant the user access to the shared mailbox, or permission to send as this address; or set `sender` to the user's own address.",
		"IMAP `[AUTHORIZATIONFAILED]` with another's mailbox · IMAP, POP3 \"authenticated but not connected\" · SMTP `553 5.7.1`, `550 5.7.60`, `554 5.2.0`, `530` to MAIL or RCPT; texts such as \"not owned by user\""},

	{MailboxMissing, Transient,
		"The mailbox does not exist, or the user is not allowed to see it.",
		"Check mailbox and shared_mailbox, and the user's rights on them.",
		"IMAP `[NONEXISTENT]`, `[TRYCREATE]`, bare `NO` to EXAMINE · POP3 \"unable to open maildrop: mailbox does not exist\" · SMTP `550 5.1.1` to RCPT"},
	{MailboxDenied, Transient,
		"The server does not let the user open the mailbox, or does not take the sender or the recipient.",
		"Grant the user permission to read the mailbox; for SMTP, check sender and recipient.",
		"IMAP `[NOPERM]`, \"permission denied\" · SMTP other 5xx to MAIL or RCPT"},
	{MailboxInUse, Transient,
		"Another session has locked the mailbox.",
		"Wait, or have fewer programs open it; POP3 allows one at a time.",
		"IMAP `[INUSE]` · POP3 `[IN-USE]`; texts such as \"unable to lock maildrop\""},
	{MailboxFailed, Transient,
		"The server could not open the mailbox.",
		"Look at the server's log and the mailbox's storage; likely causes are corruption and full disks.",
		"IMAP `[CORRUPTION]`, `[CANNOT]`, `[OVERQUOTA]` · POP3 `-ERR` to STAT · SMTP `552`, `5.2.2` to MAIL or RCPT; texts such as \"quota exceeded\""},

	{LocalSecret, Local,
		"The password, token or key of this connection could not be read.",
		"Check the secret file: it must exist, be readable by mailprobe and contain one line.",
		"file missing, unreadable, empty, over 64 KiB or with a line break inside"},
	{LocalResources, Local,
		"This machine has run out of file descriptors, ports or memory for another connection.",
		"Raise the limit (LimitNOFILE, ip_local_port_range) or lower pool.max_in_flight.",
		"EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL"},
	{LocalOverrun, Local,
		"The connection has no result yet: no place for its probe was free in time, or its first probe has not ended.",
		"Wait for the first result; if it does not come, raise interval, pool.max_in_flight or pool.max_in_flight_per_host, or give mailprobe more CPU.",
		"the pool"},
	{LocalBug, Local,
		"mailprobe itself failed in this probe.",
		"Please report it with the log lines of this time.",
		"a recovered panic"},
}
