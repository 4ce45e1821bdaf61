// Package mail holds the types that all packages share: a Connection, the Outcome
// of a probe, the Reasons why one fails, and secrets that do not print.
//
// It imports no other package of this module. A failed service is an Outcome,
// never a Go error.
package mail

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"
)

// Protocol is the mail protocol of a connection; its value is also the
// `protocol` label and the word in the configuration.
type Protocol string

// The protocols a connection can speak.
const (
	IMAP Protocol = "imap"
	POP3 Protocol = "pop3"
	SMTP Protocol = "smtp"
)

// Protocols returns all protocols, in the order in which they are listed and tried.
func Protocols() []Protocol { return []Protocol{IMAP, POP3, SMTP} }

// Encryption says when TLS starts; its value is also the `encryption` label.
type Encryption string

// The kinds of encryption. STARTTLS is mandatory where it is asked for: there
// is no way back to clear text (RFC 8314 section 5.2; rules R01 and R02 of rules_test.go).
const (
	NoEncryption Encryption = "none"
	ImplicitTLS  Encryption = "tls"
	StartTLS     Encryption = "starttls"
)

// Word returns the word for people, which is the one in the documentation of the
// configuration: none, ssl/tls or starttls.
func (e Encryption) Word() string {
	if e == ImplicitTLS {
		return "ssl/tls"
	}
	return string(e)
}

// AuthMethod is the configured word for how to log in; see docs/authentication.md.
type AuthMethod string

// The words of `auth`. AuthAuto is resolved by what the server offers.
const (
	AuthAuto        AuthMethod = "auto"
	AuthLogin       AuthMethod = "login" // the protocol's own password command
	AuthPlain       AuthMethod = "plain"
	AuthCRAMMD5     AuthMethod = "cram-md5"
	AuthSCRAMSHA1   AuthMethod = "scram-sha-1"
	AuthSCRAMSHA256 AuthMethod = "scram-sha-256"
	AuthXOAuth2     AuthMethod = "xoauth2"
	AuthOAuthBearer AuthMethod = "oauthbearer"
	AuthExternal    AuthMethod = "external"
	AuthSASLLogin   AuthMethod = "sasl-login"
	AuthAPOP        AuthMethod = "apop"
	AuthNone        AuthMethod = "none"
)

// AuthMethods returns all words of `auth`, in the order of the documentation.
func AuthMethods() []AuthMethod {
	return []AuthMethod{AuthAuto, AuthLogin, AuthPlain, AuthCRAMMD5, AuthSCRAMSHA1, AuthSCRAMSHA256, AuthXOAuth2, AuthOAuthBearer,
		AuthExternal, AuthSASLLogin, AuthAPOP, AuthNone}
}

// UsesToken reports whether the method sends an access token in place of a password.
func (m AuthMethod) UsesToken() bool { return m == AuthXOAuth2 || m == AuthOAuthBearer }

// CanActForOthers reports whether the method can send an authorization identity (RFC 4422
// section 2): the name of another account. AuthAuto can, because it chooses such a method.
func (m AuthMethod) CanActForOthers() bool {
	switch m {
	case AuthAuto, AuthPlain, AuthSCRAMSHA1, AuthSCRAMSHA256, AuthOAuthBearer, AuthExternal:
		return true
	}
	return false
}

// SharedAccess is the way a shared mailbox is reached; see docs/shared-mailboxes.md.
type SharedAccess string

// The words of `shared_mailbox_access`.
const (
	SharedAuto      SharedAccess = "auto"
	SharedLoginName SharedAccess = "login_name"
	SharedAuthzID   SharedAccess = "authzid"
	SharedFolder    SharedAccess = "folder"
	SharedTokenUser SharedAccess = "token_user"
	SharedSender    SharedAccess = "sender"
)

// IPProtocol restricts the address family that is dialled.
type IPProtocol uint8

// The values of `ip_protocol`.
const (
	AnyIP IPProtocol = iota
	IP4
	IP6
)

// String returns the word of `ip_protocol`.
func (p IPProtocol) String() string { return [...]string{AnyIP: "any", IP4: "ip4", IP6: "ip6"}[p] }

// Lockout says how carefully a refused login is repeated; see package guard.
type Lockout uint8

// The values of `lockout`.
const (
	LockoutNormal Lockout = iota
	LockoutStrict
	LockoutOff
)

// String returns the word of `lockout`.
func (l Lockout) String() string {
	return [...]string{LockoutNormal: "normal", LockoutStrict: "strict", LockoutOff: "off"}[l]
}

// WatchMode says which messages of a mailbox wait for the program that fetches
// them; see docs/watch.md.
type WatchMode string

// The words of `watch`.
const (
	WatchNone   WatchMode = "none"   // the mailbox is opened and counted only
	WatchUnread WatchMode = "unread" // the fetcher marks messages as read: those not read wait
	WatchAll    WatchMode = "all"    // the fetcher deletes messages: all that are there wait
)

// TokenSource returns an OAuth2 access token. It may be called by several
// connections at once and must give up when ctx ends. Its errors wrap
// ErrTokenUnavailable, ErrTokenRejected or ErrTokenSecret, and hold no text of
// the endpoint.
//
// With fresh it must not return the same token as last time, because the server
// has just refused that one.
type TokenSource func(ctx context.Context, fresh bool) (Secret, error)

// Connection is one entry of the configuration, validated and complete: every
// default is filled in. It is immutable after load and shared by all packages.
type Connection struct {
	Name       string // unique; the `connection` label
	Protocol   Protocol
	Encryption Encryption
	Host       string // host name, IPv4 or IPv6 address without brackets
	Port       int    // 0: the default of protocol and encryption

	Username string       // empty: the probe ends before the login
	Password SecretSource // zero with auth none, external or a token

	// Realm is the user directory that the login name belongs to. Logins of one name
	// in one realm are one account, whatever the host. Empty: the domain of the
	// login name, or one realm for all names without a domain.
	Realm string

	Auth  AuthMethod  // never empty; AuthAuto by default
	Token TokenSource // not nil exactly with xoauth2 and oauthbearer
	// TokenCredential is the secret with which Token obtains tokens: the refresh
	// token, the client secret, or the file with the token itself. If it changes, a
	// hold ends.
	TokenCredential SecretSource

	SharedMailbox       string       // empty: the user's own mailbox
	SharedMailboxAccess SharedAccess // never auto where SharedMailbox is set
	LoginNameFormat     string       // with login_name; holds {username} and {shared_mailbox}

	Mailbox   string // IMAP: the mailbox examined; INBOX by default
	Sender    string // SMTP: reverse path tried; empty: none; "<>": the null path
	Recipient string // SMTP: recipient tried after Sender; empty: none

	Watch            WatchMode     // empty: none
	WatchMaxAge      time.Duration // how long a message may wait; 0 exactly if nothing is watched
	WatchExpectEvery time.Duration // within this time a message must arrive; 0: not checked

	Interval time.Duration // start to start
	Timeout  time.Duration // of a whole probe, absolute

	EHLO string      // SMTP: name to greet with; empty: this host's name
	TLS  *tls.Config // built once at load, see ServerName; nil with NoEncryption; read only

	// The small fields share one word of memory.

	IPProtocol     IPProtocol
	Lockout        Lockout
	CheckMailbox   bool // false: stop after the login
	ProbeOnScrape  bool // probed by scrapes, not by the timer
	HeldProbe      bool // while logins are held: go on with the phases before the login
	HideServerText bool // show no server text, only statuses and registered codes (server_text: hidden)

	Labels []Label // sorted by name; added to each metric of the connection
}

// Label is one user-defined label of a connection.
type Label struct{ Name, Value string }

// defaultPorts are the ports of a connection without one.
var defaultPorts = map[Protocol]map[Encryption]int{
	IMAP: {NoEncryption: 143, StartTLS: 143, ImplicitTLS: 993},
	POP3: {NoEncryption: 110, StartTLS: 110, ImplicitTLS: 995},
	SMTP: {NoEncryption: 25, StartTLS: 587, ImplicitTLS: 465},
}

// DefaultPort is the port that is dialled where none is configured. It is 0
// for a pair that does not exist.
func DefaultPort(p Protocol, e Encryption) int { return defaultPorts[p][e] }

// UsualService returns the protocol that usually listens on a port, and whether TLS
// usually starts there with the first byte. p is empty for any other port.
func UsualService(port int) (p Protocol, implicitTLS bool) {
	for _, p := range Protocols() {
		for e, usual := range defaultPorts[p] {
			if usual == port {
				return p, e == ImplicitTLS
			}
		}
	}
	return "", false
}

// EffectivePort is the port that is dialled.
func (c *Connection) EffectivePort() int {
	if c.Port != 0 {
		return c.Port
	}
	return DefaultPort(c.Protocol, c.Encryption)
}

// Address is the host and effective port, in brackets where IPv6 needs them.
func (c *Connection) Address() string {
	return net.JoinHostPort(c.Host, strconv.Itoa(c.EffectivePort()))
}

// ServerName returns the name that the certificate must be valid for: the configured
// one, else the host. Connections with equal settings share one tls.Config, whose
// ServerName is empty if none is configured.
func (c *Connection) ServerName() string {
	if c.TLS != nil && c.TLS.ServerName != "" {
		return c.TLS.ServerName
	}
	// Certificates carry names without the trailing dot of the DNS, and addresses
	// without the zone of a link-local one (RFC 4007).
	name, _, _ := strings.Cut(strings.TrimSuffix(c.Host, "."), "%")
	return name
}

// LoginName is the user name on the wire, which a shared mailbox may change. It
// is personal data: for people and the server, never for a label.
func (c *Connection) LoginName() string {
	switch {
	case c.SharedMailbox == "":
	case c.SharedMailboxAccess == SharedLoginName:
		return strings.NewReplacer("{username}", c.Username, "{shared_mailbox}", c.SharedMailbox).Replace(c.LoginNameFormat)
	case c.SharedMailboxAccess == SharedTokenUser:
		return c.SharedMailbox
	}
	return c.Username
}

// LogsIn reports whether a probe of the connection tries to log in.
func (c *Connection) LogsIn() bool {
	return c.Auth != AuthNone && (c.Username != "" || c.Auth == AuthExternal)
}

// Watches reports whether a probe of the connection looks for waiting messages.
func (c *Connection) Watches() bool { return c.Watch == WatchUnread || c.Watch == WatchAll }
