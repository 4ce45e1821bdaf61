package prober

// This file holds the advice that is more precise than a reason's own: for the
// commonest mistakes made when host, port and encryption are typed in.

import (
	"bytes"
	"fmt"

	"mailprobe/mail"
)

// speech is how a protocol is known by its first bytes.
type speech struct {
	prefix   string
	name     string
	protocol mail.Protocol // empty: none that mailprobe speaks
}

// speeches are tried in order.
var speeches = []speech{
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
	{"<html", "HTTP", ""},
	{"OK ", "ManageSieve", ""},
	{`"IMPL`, "ManageSieve", ""},
}

// speechOf recognises a protocol by the first bytes a server sent.
func speechOf(first []byte) (speech, bool) {
	for _, s := range speeches {
		if bytes.HasPrefix(first, []byte(s.prefix)) {
			return s, true
		}
	}
	return speech{}, false
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
	heard, ok := speechOf(first)
	if heard.protocol == mail.SMTP && bytes.Contains(bytes.ToUpper(first), []byte("FTP")) {
		heard = speech{name: "FTP"} // RFC 959 greets with 220, too
	}
	if !ok || heard.protocol == c.Protocol {
		return ""
	}
	if heard.protocol == "" {
		return fmt.Sprintf("This port speaks %s, not %s: use port %d.",
			heard.name, protocols[c.Protocol].name, mail.DefaultPort(c.Protocol, c.Encryption))
	}
	return fmt.Sprintf("This port speaks %s, not %s: use port %d, or protocol %s.",
		heard.name, protocols[c.Protocol].name, mail.DefaultPort(c.Protocol, c.Encryption), heard.protocol)
}

// bannerRefusals are the signatures of a server that refuses the connection. One
// that does so in clear text on a TLS port has no certificate, or no room: that
// tells nothing about the encryption to configure.
var bannerRefusals = map[string]bool{"* BY": true, "-ERR": true, "421": true, "554": true}

const refusedInClearHint = "The server refused the connection in clear text before TLS began: look at its log. Likely causes are a missing certificate for this service, a limit on connections, and a block list."

// plaintextHint says what a port speaks that answered a handshake in clear.
func plaintextHint(c *mail.Connection, first []byte) string {
	heard, ok := speechOf(first)
	switch {
	case c == nil || !ok:
		return ""
	case c.Encryption == mail.StartTLS:
		return "The server agreed to STARTTLS but went on in clear text: look at its TLS configuration, and check the network path for tampering."
	case heard.protocol == c.Protocol && bannerRefusals[heard.prefix]:
		return refusedInClearHint
	case heard.protocol != c.Protocol:
		return fmt.Sprintf("This port speaks plain %s, not %s: use port %d.",
			heard.name, protocols[c.Protocol].name, mail.DefaultPort(c.Protocol, c.Encryption))
	}
	return fmt.Sprintf("The probe spoke TLS to port %d, but this port speaks plain %s: use starttls or none, or port %d.",
		c.EffectivePort(), heard.name, mail.DefaultPort(c.Protocol, mail.ImplicitTLS))
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

// situation is a reason together with where and how it came about.
type situation struct {
	reason     mail.Reason
	phase      mail.Phase      // empty: any
	encryption mail.Encryption // empty: any
	fits       func(*mail.Connection) bool
	hint       func(*mail.Connection) string
}

// situations are tried in order; the first that fits gives the hint.
var situations = []situation{
	{mail.Timeout, mail.PhaseGreeting, "", onTLSPort, silentTLSPort},
	{mail.Closed, mail.PhaseGreeting, "", onTLSPort, silentTLSPort},
	{mail.Reset, mail.PhaseGreeting, "", onTLSPort, silentTLSPort},
	{mail.Closed, mail.PhaseGreeting, mail.ImplicitTLS, nil, nothingBehind},
	{mail.Reset, mail.PhaseGreeting, mail.ImplicitTLS, nil, nothingBehind},
	{mail.Timeout, mail.PhaseTLS, mail.ImplicitTLS, onClearPort, silentClearPort},
	{mail.Timeout, mail.PhaseGreeting, "", onOwnPort, silentOwnPort},
	{mail.ConnectTimeout, mail.PhaseConnect, "", onPort25, blockedPort25},
	{mail.StartTLSNotOffered, "", "", onPort25, fixed("The server offers no STARTTLS on port 25: " +
		"submission with STARTTLS is on port 587, and with ssl/tls on 465.")},
	{mail.StartTLSNotOffered, "", "", isSMTP, fixed("The server offers no STARTTLS: " +
		"enable it for submission on the server, or use ssl/tls on port 465.")},
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
	{mail.AuthNeedsTLS, "", mail.NoEncryption, nil, tlsWanted},
	{mail.AuthMechanism, "", mail.NoEncryption, nil, tlsPerhaps},
	{mail.AuthNeedsTLS, "", "", nil, fixed("The server requires TLS although TLS is up: " +
		"look for a proxy in front of it that terminates TLS without telling it.")},
}

// situationHint is the advice for a reason that the connection's own settings
// make more precise.
func situationHint(phase mail.Phase, c *mail.Connection, reason mail.Reason) string {
	if c == nil {
		return ""
	}
	for _, s := range situations {
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

func sharedBy(c *mail.Connection, access mail.SharedAccess) bool {
	return c.SharedMailbox != "" && c.SharedMailboxAccess == access
}

// onTLSPort reports whether a connection that starts in clear dials a port that
// is known for TLS from the first byte.
func onTLSPort(c *mail.Connection) bool {
	return c.Encryption != mail.ImplicitTLS && isDefaultPort(c.EffectivePort(), mail.ImplicitTLS)
}

// onOwnPort reports whether a connection that starts in clear dials a port that
// is nobody's default: what is spoken there can only be guessed.
func onOwnPort(c *mail.Connection) bool {
	port := c.EffectivePort()
	return c.Encryption != mail.ImplicitTLS && !isDefaultPort(port, mail.ImplicitTLS) &&
		!isDefaultPort(port, mail.NoEncryption) && !isDefaultPort(port, mail.StartTLS)
}

// onClearPort is the counterpart of onTLSPort.
func onClearPort(c *mail.Connection) bool {
	return c.Encryption == mail.ImplicitTLS &&
		(isDefaultPort(c.EffectivePort(), mail.NoEncryption) || isDefaultPort(c.EffectivePort(), mail.StartTLS))
}

// isDefaultPort reports whether any protocol has port as its default with e.
func isDefaultPort(port int, e mail.Encryption) bool {
	for protocol := range protocols {
		if mail.DefaultPort(protocol, e) == port {
			return true
		}
	}
	return false
}

// nothingBehind is for an end between handshake and greeting: haproxy and stunnel
// close there, or reset, when they cannot reach the mail server.
func nothingBehind(*mail.Connection) string {
	return "The TLS handshake succeeded, but no greeting followed: likely causes are a TLS proxy such as haproxy or stunnel whose mail server is down, and ban lists."
}

func silentTLSPort(c *mail.Connection) string {
	return fmt.Sprintf("Port %d usually speaks TLS from the first byte: use encryption ssl/tls.", c.EffectivePort())
}

func silentOwnPort(c *mail.Connection) string {
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
