package realserver

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

// The users of every server here. All their passwords are different, so that a test with
// the password of another user fails.
const (
	Alice    = "alice@example.test"    // an ordinary user; no right on Helpdesk
	Bob      = "bob@example.test"      // may read Helpdesk's INBOX and send in its name
	Carol    = "carol@example.test"    // sees that Helpdesk's INBOX exists, may not open it
	Helpdesk = "helpdesk@example.test" // the shared mailbox
	NoIMAP   = "noimap@example.test"   // may not use IMAP
	NoPOP3   = "nopop3@example.test"   // may not use POP3
)

// HelpdeskMessages is the number of messages in the shared mailbox. Alice has one and
// the others none, so that the count tells whose mailbox was opened.
const HelpdeskMessages = 2

// Password returns the only password of a user.
func Password(user string) string {
	name, _, _ := strings.Cut(user, "@")
	return "pw-of-" + name
}

// AllMechanisms lists every mechanism of mailprobe that Dovecot 2.3 has; APOP is for POP3
// only.
const AllMechanisms = "plain login cram-md5 scram-sha-1 scram-sha-256 oauthbearer xoauth2 apop"

// Options says how a Dovecot differs from the usual one. The zero value is a
// valid server with an ECDSA certificate that accepts passwords over TLS only.
type Options struct {
	CA            *mailtest.CA         // who signs the certificate; nil: one of its own
	Certificate   mailtest.CertOptions // without any name: ServerName and Host
	NoTLS         bool                 // no STARTTLS and no TLS: IMAPS and POP3S are in clear text, too
	PlaintextAuth bool                 // passwords are accepted in clear text, too
	Mechanisms    string               // SASL mechanisms; empty: AllMechanisms
	Clients       *mailtest.CA         // whose client certificates EXTERNAL accepts; nil: no EXTERNAL
	MaxPerUser    int                  // connections of one user at once; 0: 50
	LMTP          bool                 // accepts mail by LMTP, with Sieve, and has a junk folder
}

// Dovecot is a running private Dovecot.
type Dovecot struct {
	CA *mailtest.CA // who signed its certificate

	IMAP, IMAPS, POP3, POP3S int // ports on Host
	SASL                     int // the port where Postfix asks about logins
	LMTP                     int // the port where Postfix delivers; with Options.LMTP

	Tokens *Tokens // which OAuth2 access tokens are valid, and for whom

	dir       string
	logFile   string
	passwords map[string]string // by user
}

//go:embed config/dovecot.conf.tmpl
var dovecotConfig string

var dovecotTemplate = template.Must(template.New("dovecot").Parse(dovecotConfig))

// dovecotSettings is what the template reads.
type dovecotSettings struct {
	Dir, LogFile, Host             string
	NoTLS, PlaintextAuth           bool
	ClientAuthority                bool
	Mechanisms                     string
	MaxPerUser                     int
	Deliver                        bool
	IMAP, IMAPS, POP3, POP3S, SASL int
	LMTP                           int
}

// StartDovecot runs a private Dovecot until the test ends.
func StartDovecot(t testing.TB, options Options) *Dovecot {
	t.Helper()
	Need(t, "dovecot")
	d := &Dovecot{CA: options.CA, dir: folder(t, "dc")}
	if d.CA == nil {
		d.CA = mailtest.MustCA(mailtest.CAOptions{})
	}
	d.logFile = filepath.Join(d.dir, "log")
	d.Tokens = newTokens(t)
	d.writeAccounts(t)
	d.writeCertificates(t, options)
	ports := 5
	if options.LMTP { // start waits until the server listens on every port
		ports = 6
	}
	start(t, "dovecot", d.logFile, ports, func(ports []int) (*subprocess.Process, error) {
		d.IMAP, d.IMAPS, d.POP3, d.POP3S, d.SASL = ports[0], ports[1], ports[2], ports[3], ports[4]
		if options.LMTP {
			d.LMTP = ports[5]
		}
		config := write(t, d.dir, "dovecot.conf", d.config(t, options), 0o644)
		return run("/usr/sbin/dovecot", "-F", "-c", config)
	})
	return d
}

// config fills the template for the ports that were found.
func (d *Dovecot) config(t testing.TB, options Options) string {
	t.Helper()
	settings := dovecotSettings{
		Dir: d.dir, LogFile: d.logFile, Host: Host,
		NoTLS: options.NoTLS, PlaintextAuth: options.PlaintextAuth,
		ClientAuthority: options.Clients != nil,
		Mechanisms:      options.Mechanisms, MaxPerUser: options.MaxPerUser,
		IMAP: d.IMAP, IMAPS: d.IMAPS, POP3: d.POP3, POP3S: d.POP3S, SASL: d.SASL, LMTP: d.LMTP, Deliver: options.LMTP,
	}
	if settings.Mechanisms == "" {
		settings.Mechanisms = AllMechanisms
	}
	if options.Clients != nil {
		settings.Mechanisms += " external"
	}
	if settings.MaxPerUser == 0 {
		settings.MaxPerUser = 50
	}
	return fill(t, dovecotTemplate, settings)
}

// writeAccounts makes the users, what they may do, and their mail.
func (d *Dovecot) writeAccounts(t testing.TB) {
	t.Helper()
	d.passwords = map[string]string{}
	for _, user := range []string{Alice, Bob, Carol, Helpdesk, NoIMAP, NoPOP3} {
		d.passwords[user] = Password(user)
	}
	d.writePasswords(t)
	// Bob may act for others, by SASL authzid or as master user, with his own
	// password; Alice may not.
	write(t, d.dir, "masters", fmt.Sprintf("%s:{PLAIN}%s::::::\n", Bob, Password(Bob)), 0o644)
	write(t, d.dir, "no-imap", NoIMAP+":::::::\n", 0o644)
	write(t, d.dir, "no-pop3", NoPOP3+":::::::\n", 0o644)
	write(t, d.dir, "no-smtp", "", 0o644)
	write(t, d.dir, "no-lmtp", "", 0o644)
	write(t, d.dir, "oauth2.conf", d.Tokens.dovecot(), 0o644)

	// RFC 4314 rights: l sees the mailbox, r opens it, s keeps seen flags.
	write(t, d.dir, "mail/"+Helpdesk+"/maildir/dovecot-acl",
		"owner lrwstipekxa\nuser="+Bob+" lrs\nuser="+Carol+" l\n", 0o644)
	d.writeMail(t, Alice, 1)
	d.writeMail(t, Helpdesk, HelpdeskMessages)
	for _, sub := range []string{"run", "state", "shared", "mail"} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.giveMail(t)
}

// SetPasswords gives each of the users this password. Users that are not there
// yet get a mailbox at their first login. It takes a second.
func (d *Dovecot) SetPasswords(t testing.TB, password string, users ...string) {
	t.Helper()
	for _, user := range users {
		d.passwords[user] = password
	}
	d.writePasswords(t)
	// Dovecot looks at most once a second whether the file has changed.
	time.Sleep(1100 * time.Millisecond)
}

// writePasswords replaces the users' file in one step, so that Dovecot never reads half
// of it.
func (d *Dovecot) writePasswords(t testing.TB) {
	t.Helper()
	var lines strings.Builder
	for _, user := range slices.Sorted(maps.Keys(d.passwords)) {
		fmt.Fprintf(&lines, "%s:{PLAIN}%s::::::\n", user, d.passwords[user])
	}
	whole := write(t, d.dir, "users.new", lines.String(), 0o644)
	if err := os.Rename(whole, filepath.Join(d.dir, "users")); err != nil {
		t.Fatal(err)
	}
}

// writeMail puts messages into a user's INBOX.
func (d *Dovecot) writeMail(t testing.TB, user string, count int) {
	t.Helper()
	for i := range count {
		write(t, d.dir, fmt.Sprintf("mail/%s/maildir/new/%d.first.test", user, i+1),
			"From: "+Bob+"\r\nTo: "+user+"\r\nSubject: hello\r\n\r\nHello.\r\n", 0o644)
	}
}

// giveMail makes the user nobody, as whom Dovecot opens mailboxes, their owner.
func (d *Dovecot) giveMail(t testing.TB) {
	t.Helper()
	const nobody = 65534 // and the group nogroup, both in Debian's base-passwd
	for _, sub := range []string{"mail", "shared"} {
		giveFolder(t, filepath.Join(d.dir, sub), nobody)
	}
}

// writeCertificates issues the server's certificate.
func (d *Dovecot) writeCertificates(t testing.TB, options Options) {
	t.Helper()
	issue(t, d.dir, d.CA, options.Certificate)
	if options.Clients != nil {
		if err := options.Clients.WriteCertificate(filepath.Join(d.dir, "clients.pem")); err != nil {
			t.Fatal(err)
		}
	}
}

// SetSieve sets a user's Sieve script (RFC 5228); an empty one removes it.
func (d *Dovecot) SetSieve(t testing.TB, user, script string) {
	t.Helper()
	home := filepath.Join(d.dir, "mail", user)
	for _, compiled := range []string{".dovecot.sieve", ".dovecot.svbin"} {
		if err := os.Remove(filepath.Join(home, compiled)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if script != "" {
		write(t, d.dir, "mail/"+user+"/.dovecot.sieve", script, 0o644)
	}
	d.giveMail(t)
}

// Log is everything the server logged so far.
func (d *Dovecot) Log() string { return wholeLog(d.logFile) }

// LogFile is where the server logs.
func (d *Dovecot) LogFile() string { return d.logFile }

// address is where Postfix finds the SASL server, in its own notation.
func (d *Dovecot) address() string { return "inet:" + Host + ":" + strconv.Itoa(d.SASL) }

// Doveadm runs a command of the administrator, such as mailbox create -u USER NAME.
func (d *Dovecot) Doveadm(t testing.TB, args ...string) {
	t.Helper()
	output(t, "/usr/bin/doveadm", append([]string{"-c", filepath.Join(d.dir, "dovecot.conf")}, args...)...)
}

// SetRights sets the rights on a user's INBOX (RFC 4314); empty ones are the usual.
func (d *Dovecot) SetRights(t testing.TB, user, rights string) {
	t.Helper()
	file := write(t, d.dir, "mail/"+user+"/maildir/dovecot-acl", rights+"\n", 0o644)
	if rights == "" {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	d.giveMail(t)
}
