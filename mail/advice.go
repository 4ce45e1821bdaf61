package mail

// This file holds the advice about a failure. If the connection worked before with
// the same settings, they are probably right: the advice then begins with what may
// have changed.

// Advice says what to do. It is empty for the zero Failure.
func (f *Failure) Advice() string {
	own := f.Hint
	if own == "" {
		own = f.Reason.Advice()
	}
	changed := f.Reason.AdviceIfChanged()
	if f.NewSecret && secretReasons[f.Reason] {
		changed = newSecretAdvice
	}
	if f.LastUp.IsZero() || changed == "" {
		return own
	}
	advice := "It last worked at " + f.LastUp.UTC().Format("15:04 UTC, 2 Jan 2006") + ": " + changed
	if f.Hint != "" { // more precise than the reason's advice
		advice += " " + f.Hint
	}
	return advice
}

// AdviceIfChanged returns the advice for a connection that worked before with the
// same settings: what has probably changed, and what to do. It is written to follow
// a colon. Empty: the ordinary advice names no setting and is good in this case too.
func (r Reason) AdviceIfChanged() string { return changedAdvice[r] }

// secretReasons are verdicts on the secret itself. Read only.
var secretReasons = map[Reason]bool{AuthRejected: true, AuthExpired: true, TokenRejected: true}

// newSecretAdvice is used if the refused secret is not the one accepted before.
const newSecretAdvice = "the secret in the configuration was changed since. The new one is wrong, or not in effect at the server yet; " +
	"to keep the account from being locked, the login is not repeated before the time shown."

// changedAdvice has a line for each reason whose ordinary advice, or a hint, names
// a setting. Read only.
var changedAdvice = map[Reason]string{
	DNSNotFound:         "the DNS record was removed since, or the domain has expired. Ask who runs the zone before you change host.",
	ConnectRefused:      "the service has stopped since, or listens elsewhere. Check that it is running before you change the port.",
	ConnectTimeout:      "the host or the network is down, or a firewall was changed since. Check these before host and port.",
	ConnectUnreachable:  "a route or a firewall was changed since, or the host is down. Check these before host and ip_protocol.",
	Reset:               "the server, or a firewall in between, was changed since, or it crashes. Look at the server's log for this time.",
	Closed:              "the server, or a firewall in between, was changed since, or it is overloaded. Look at the server's log for this time.",
	Timeout:             "the server has become slow, or something in between was changed since. Look at the server's load and log for this time.",
	TLSPlaintext:        "the server's TLS configuration was changed since, or another service has this port now. Look at the server before you change port or encryption.",
	TLSVersion:          "the TLS versions of the server were changed since. Enable TLS 1.2 or newer there before you change tls_config.",
	TLSClientCert:       "the client certificate has expired or was replaced since, or the server demands one now. Check its dates, and which certificates the server trusts.",
	TLSHandshake:        "the server's key, certificate or TLS settings were changed since. Look at its TLS log, or try openssl s_client against this host and port.",
	CertName:            "the server's certificate was replaced since, or the name leads to another server now. Get a certificate for this name before you change host.",
	CertUntrusted:       "the server's certificate was replaced since, by one of another CA or without its intermediate certificates. Make the server send these, or trust the new CA in tls_config.ca_file.",
	CertInvalid:         "the server's certificate was replaced since. Get one for server authentication with a key of at least RSA 2048 or ECDSA P-256.",
	StartTLSNotOffered:  "the server's TLS configuration was changed since, or something in the network path strips the offer. Look at both before you change encryption.",
	ProtocolMalformed:   "the server was changed since, or another service has this port now. Look at the recorded dialogue before you change protocol or port.",
	ServerRefused:       "the server's access rules were changed since, or this machine's address came onto a block list. Look at the server's log for this time.",
	ServerLimit:         "more connections are made since, or the limit was lowered. Look for other programs that connect from this address or with this account.",
	CommandRejected:     "the server, or a filter in front of it, was changed since. Look at the recorded dialogue.",
	AuthRejected:        "the password was changed or has expired since, or the account was locked or removed. Put the password of today into the configuration; to keep the account from being locked, the login is not repeated before the time shown.",
	AuthMethodForbidden: "the provider or an administrator has changed since how this account may log in. Use an app password or OAuth2 (auth: xoauth2), or have the change undone.",
	AuthTooSoon:         "other programs log in to this account more often since, or the server requires longer pauses now. Find them, or raise interval.",
	AuthNeedsTLS:        "the server was changed since, and allows logins only under TLS. Use encryption starttls or ssl/tls, or have the change undone.",
	AuthMechanism:       "the login methods of the server were changed since. Look at what it offers now before you change auth.",
	TokenRejected:       "the consent was withdrawn since, or the client secret or the refresh token has expired. Renew it; the login is not repeated before the time shown.",
	TokenUnavailable:    "the token endpoint, or the network to it, has changed since. Check that this machine can reach it before you change oauth2.token_url.",
	NotAuthorized:       "the permission for this mailbox or sender address was taken away since, or the mailbox was removed. Grant it again.",
	MailboxMissing:      "the mailbox was renamed or removed since, or the user's rights on it were taken away. Look at the server before you change mailbox or shared_mailbox.",
	MailboxDenied:       "the user's rights were changed since, or what the server takes from this sender and for this recipient. Look at the server's log before you change the configuration.",
	LocalSecret:         "the secret file was moved, emptied or made unreadable since. It must exist, be readable by mailprobe and contain one line.",
}
