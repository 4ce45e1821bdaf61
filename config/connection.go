package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mailprobe/mail"
)

// entry is one connection while it is read. Most fields are written straight into
// the Connection; the others are kept here until build resolves them.
type entry struct {
	mail.Connection // SharedMailboxAccess may be auto until build resolves it

	enabled      bool
	password     mail.Secret
	passwordFile string
	oauth2       oauthEntry
	tls          tlsEntry

	set  map[string]origin // which fields were given
	line int
}

// oauthEntry is the block `oauth2`.
type oauthEntry struct {
	tokenURL         string
	clientID         string
	clientSecret     mail.Secret
	clientSecretFile string
	scopes           []string
	refreshTokenFile string
	accessTokenFile  string
}

// tlsEntry is the block `tls_config`.
type tlsEntry struct {
	caFile, certFile, keyFile string
	serverName                string
	insecureSkipVerify        bool
	minVersion, maxVersion    uint16
	allowObsolete             bool
}

// exchangeLoginName is the default of login_name_format.
const exchangeLoginName = `{username}\{shared_mailbox}`

// freshEntry returns an entry with the built-in defaults.
func freshEntry() *entry {
	return &entry{
		Connection: mail.Connection{
			Encryption: mail.ImplicitTLS, Auth: mail.AuthAuto, SharedMailboxAccess: mail.SharedAuto,
			LoginNameFormat: exchangeLoginName, CheckMailbox: true, Mailbox: "INBOX",
			Interval: time.Minute, Timeout: 30 * time.Second, IPProtocol: mail.AnyIP,
			Lockout: mail.LockoutNormal, HeldProbe: true, Watch: mail.WatchNone, WatchMaxAge: 15 * time.Minute,
		},
		enabled: true, tls: *freshTLS(),
		set: map[string]origin{},
	}
}

// inherit returns a copy of the file's defaults for the connection at a line. Its labels
// are those of the defaults: readLabels copies them before it changes any.
func (e *entry) inherit(line int) *entry {
	c := *e
	c.set, c.line = inherited(e.set), line
	return &c
}

// own reports whether the field is written in the connection itself, also if
// blank.
func (e *entry) own(field string) bool { return e.set[field].own }

// wants reports whether the field has a value in the connection itself, also if
// that is the built-in default.
func (e *entry) wants(field string) bool { return e.set[field].own && !e.set[field].blank }

// at returns the position of a field: where it is written, or else where the
// connection begins.
func (e *entry) at(field string, where position) position {
	where = where.on(e.line)
	if m, given := e.set[field]; given {
		where = where.on(m.line)
		if !m.own {
			where.where = "defaults"
		}
	}
	where.field = field
	return where
}

var (
	imapOnly = []mail.Protocol{mail.IMAP}
	smtpOnly = []mail.Protocol{mail.SMTP}
	readers  = []mail.Protocol{mail.IMAP, mail.POP3}
)

var encryptions = []keyword[mail.Encryption]{
	{"ssl/tls", mail.ImplicitTLS}, {"tls", mail.ImplicitTLS}, {"ssl", mail.ImplicitTLS},
	{"starttls", mail.StartTLS}, {"none", mail.NoEncryption}, {"no encryption", mail.NoEncryption},
}

var watches = same(mail.WatchNone, mail.WatchUnread, mail.WatchAll)

var accesses = same(mail.SharedAuto, mail.SharedLoginName, mail.SharedAuthzID, mail.SharedFolder,
	mail.SharedTokenUser, mail.SharedSender)

// connectionBlock describes a connection, field by field.
var connectionBlock = block[entry]{
	meaning:  "One connection to probe.",
	fresh:    freshEntry,
	required: []string{"name"},
	fields:   slices.Concat(addressFields, loginFields, probeFields, watchFields, settingFields),
}

// defaultPorts lists the ports that are dialled where none is configured.
func defaultPorts() string {
	var list []string
	for _, p := range mail.Protocols() {
		plain, startTLS := mail.DefaultPort(p, mail.NoEncryption), mail.DefaultPort(p, mail.StartTLS)
		text := fmt.Sprintf("%s %d", strings.ToUpper(string(p)), plain)
		if startTLS != plain {
			text += fmt.Sprintf(", with starttls %d", startTLS)
		}
		list = append(list, fmt.Sprintf("%s, with ssl/tls %d", text, mail.DefaultPort(p, mail.ImplicitTLS)))
	}
	return strings.Join(list, "; ")
}

var addressFields = []field[entry]{
	{name: "name", is: text(func(e *entry) *string { return &e.Name }, trimmed, atMost(200)), def: "required",
		meaning: "Unique name; the `connection` label.", example: "support-inbox"},
	{name: "protocol", is: oneOf(same(mail.Protocols()...), func(e *entry) *mail.Protocol { return &e.Protocol }), def: "required",
		meaning: "Mail protocol to speak.", example: "imap"},
	{name: "encryption", is: oneOf(encryptions, func(e *entry) *mail.Encryption { return &e.Encryption }), def: "`ssl/tls`",
		meaning: "When TLS starts: `ssl/tls`, `tls` and `ssl` from the first byte, `starttls` after the STARTTLS command, which is then mandatory, `none` never. Case does not matter.", example: "starttls"},
	{name: "host", is: text(func(e *entry) *string { return &e.Host }, hostName), def: "required",
		meaning: "Host name, IPv4 or IPv6 address of the server, without brackets or port.", example: "mail.example.org"},
	{name: "port", is: number(0, 65535, func(e *entry) *int { return &e.Port }), def: "by protocol and encryption",
		meaning: "Port to dial. Blank or 0: " + defaultPorts() + ".", example: "993"},
	{name: "ip_protocol", is: oneOf(same(mail.AnyIP, mail.IP4, mail.IP6), func(e *entry) *mail.IPProtocol { return &e.IPProtocol }), def: "`any`",
		meaning: "Address family to dial.", example: "ip4"},
	{name: "tls_config", is: nested(tlsBlock, func(e *entry) *tlsEntry { return &e.tls }), def: "verify as browsers do",
		meaning: "How the server's certificate is verified, and the client's own.", example: "{ca_file: ca.pem}"},
	{name: "ehlo", is: text(func(e *entry) *string { return &e.EHLO }, greetingName), only: smtpOnly, def: "this host's name",
		meaning: "Name to greet the server with.", example: "probe.example.org"},
}

var loginFields = []field[entry]{
	{name: "username", is: text(func(e *entry) *string { return &e.Username }, trimmed, atMost(1024)), def: "empty",
		meaning: "User who logs in. Empty: the probe says goodbye before the login.", example: "support@example.org"},
	{name: "password", is: secret(func(e *entry) *mail.Secret { return &e.password }), def: "empty",
		meaning: "Password, in the configuration itself. `password_file` is safer.", example: "'*********'"},
	{name: "password_file", is: path(func(e *entry) *string { return &e.passwordFile }), def: "empty",
		meaning: "File with the password, read again before each login. One trailing line break is removed.", example: "secrets/support"},
	{name: "auth", is: oneOf(same(mail.AuthMethods()...), func(e *entry) *mail.AuthMethod { return &e.Auth }), def: "`auto`",
		meaning: "How to log in; exactly one mechanism is tried. `auto`: under TLS PLAIN if offered, else the protocol's own command (`login`); in clear text one that hides the password, if offered.", example: "scram-sha-256"},
	{name: "oauth2", is: nested(oauthBlock, func(e *entry) *oauthEntry { return &e.oauth2 }), def: "none",
		meaning: "Where the token of `xoauth2` and `oauthbearer` comes from: a token endpoint or a file.", example: "{access_token_file: token}"},
	{name: "realm", is: text(func(e *entry) *string { return &e.Realm }, trimmed, atMost(200)), def: "the domain of the login name",
		meaning: "User directory of the login name. Logins of one name in one realm count as one account, whatever the host; names without a domain are in one realm. Give connections another realm if their hosts have users of the same name that are not the same.", example: "office"},
	{name: "lockout", is: oneOf(same(mail.LockoutNormal, mail.LockoutStrict, mail.LockoutOff), func(e *entry) *mail.Lockout { return &e.Lockout }), def: "`normal`",
		meaning: "How carefully a refused login is repeated. `normal`: at most 4 times in 24 hours; `strict`: not until the password changes; `off`: at every interval, which locks accounts.", example: "strict"},
	{name: "held_probe", is: oneOf([]keyword[bool]{{"probe", true}, {"none", false}}, func(e *entry) *bool { return &e.HeldProbe }), def: "`probe`",
		meaning: "What to do while logins are withheld: `probe` still goes through the phases before the login, `none` does not contact the server.", example: "none"},
	{name: "server_text", is: oneOf([]keyword[bool]{{"shown", false}, {"hidden", true}}, func(e *entry) *bool { return &e.HideServerText }), def: "`shown`",
		meaning: "Whether the server's own words are shown to people (page, CLI, API, debug log). A line that contains a secret is withheld in any case; `hidden`: only statuses and registered codes are shown.", example: "hidden"},
}

var probeFields = []field[entry]{
	{name: "shared_mailbox", is: text(func(e *entry) *string { return &e.SharedMailbox }, trimmed, atMost(1024)), def: "empty",
		meaning: "Alias of a mailbox that is shared with the user. Empty: the user's own mailbox.", example: "helpdesk"},
	{name: "shared_mailbox_access", is: oneOf(accesses, func(e *entry) *mail.SharedAccess { return &e.SharedMailboxAccess }), def: "`auto`",
		meaning: "How the shared mailbox is reached. `auto`: `sender` for smtp, `token_user` with a token, else `login_name`.", example: "authzid"},
	{name: "login_name_format", is: text(func(e *entry) *string { return &e.LoginNameFormat }, loginFormat), only: readers, def: "`{username}\\{shared_mailbox}`",
		meaning: "Login name of `login_name` access. The default is for Exchange; Dovecot's master users need `{shared_mailbox}*{username}`.", example: "'{shared_mailbox}*{username}'"},
	{name: "check_mailbox", is: boolean(func(e *entry) *bool { return &e.CheckMailbox }), def: "`true`",
		meaning: "Open the mailbox, read-only, after the login (IMAP EXAMINE, POP3 STAT, SMTP MAIL FROM). `false`: stop after the login.", example: "false"},
	{name: "mailbox", is: text(func(e *entry) *string { return &e.Mailbox }, notEmpty, atMost(1024)), only: imapOnly, def: "`INBOX`",
		meaning: "Mailbox to open; its full path with shared_mailbox_access `folder`.", example: "Archive/2026"},
	{name: "sender", is: text(func(e *entry) *string { return &e.Sender }, mailAddress), only: smtpOnly, def: "empty",
		meaning: "Address tried as MAIL FROM and reset; no mail is sent. `<>` is the null sender. Empty: not tried.", example: "support@example.org"},
	{name: "recipient", is: text(func(e *entry) *string { return &e.Recipient }, mailAddress, notNullPath), only: smtpOnly, def: "empty",
		meaning: "Address tried as RCPT TO after the sender. Empty: not tried.", example: "postmaster@example.org"},
}

var watchFields = []field[entry]{
	{name: "watch", is: oneOf(watches, func(e *entry) *mail.WatchMode { return &e.Watch }), only: readers, def: "`none`",
		meaning: "Which messages wait for the program that fetches this mailbox: `unread` if it marks them as read, `all` if it deletes them (always so with pop3). Nothing is changed, and nothing of a message is read but its arrival time and flags. docs/watch.md explains it.", example: "unread"},
	{name: "watch_max_age", is: duration(time.Minute, 30*24*time.Hour, func(e *entry) *time.Duration { return &e.WatchMaxAge }), only: readers, def: "`15m` with watch",
		meaning: "How long a message may wait before the alert MailprobeMailboxBacklog.", example: "30m"},
	{name: "watch_expect_every", is: duration(time.Minute, 366*24*time.Hour, func(e *entry) *time.Duration { return &e.WatchExpectEvery }), only: readers, def: "no limit",
		meaning: "How old the newest message may become before the alert MailprobeMailboxSilent: for a mailbox in which some mail always arrives.", example: "24h"},
}

var settingFields = []field[entry]{
	{name: "enabled", is: boolean(func(e *entry) *bool { return &e.enabled }), def: "`true`",
		meaning: "`false`: the entry is checked, but not probed, and has no metrics.", example: "false"},
	{name: "interval", is: duration(time.Second, 7*24*time.Hour, func(e *entry) *time.Duration { return &e.Interval }), def: "`1m`",
		meaning: "From the start of one probe to the start of the next. With probe_on_scrape there is no timer; it is then the scrape interval that /sd gives to Prometheus.", example: "5m"},
	{name: "timeout", is: duration(100*time.Millisecond, 10*time.Minute, func(e *entry) *time.Duration { return &e.Timeout }), def: "`30s`",
		meaning: "Longest time that a whole probe may take.", example: "10s"},
	{name: "probe_on_scrape", is: boolean(func(e *entry) *bool { return &e.ProbeOnScrape }), def: "`false`",
		meaning: "Probe this connection at each scrape of /metrics, not on a timer.", example: "true"},
	{name: "labels", is: labels(func(e *entry) *[]mail.Label { return &e.Labels }), def: "none",
		meaning: "Labels added to each metric of the connection. An empty value removes a label set in `defaults`.", example: "{team: support}"},
}
