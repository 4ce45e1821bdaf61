package realserver

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

// PostfixOptions says how a Postfix differs from the usual one. The zero value
// is valid for all but Users: a server with an ECDSA certificate that accepts
// passwords over TLS only and checks senders at RCPT.
type PostfixOptions struct {
	Users         *Dovecot             // checks the passwords; never nil
	CA            *mailtest.CA         // signs the certificate; nil: the CA of Users
	Certificate   mailtest.CertOptions // without any name: ServerName and Host
	NoTLS         bool                 // the plain port offers no STARTTLS
	PlaintextAuth bool                 // the plain port accepts logins, also in clear text
	RejectAtMail  bool                 // senders are checked at MAIL, not at RCPT
	Deliver       bool                 // mail is delivered to Users by LMTP, not discarded
}

// Postfix is a running private Postfix. It accepts mail to the users of this package, and
// discards it unless PostfixOptions.Deliver is set.
type Postfix struct {
	CA *mailtest.CA // who signed its certificate

	SMTP       int // accepts mail without a login; offers STARTTLS
	Submission int // requires STARTTLS and a login
	SMTPS      int // TLS from the first byte; requires a login

	dir     string
	logFile string
	options PostfixOptions
	extra   []string // lines of main.cf
}

var (
	//go:embed config/postfix.main.cf.tmpl
	postfixMain string
	//go:embed config/postfix.master.cf.tmpl
	postfixMaster string

	postfixTemplates = template.Must(template.Must(
		template.New("main.cf").Parse(postfixMain)).New("master.cf").Parse(postfixMaster))
)

// postfixSettings is what the templates read.
type postfixSettings struct {
	Dir, LogFile, Host, SASL           string
	Users                              []string
	NoTLS, PlaintextAuth, RejectAtMail bool
	SMTP, Submission, SMTPS            int
	LMTP                               int // 0: mail is discarded
	Extra                              []string
}

// StartPostfix runs a private Postfix until the test ends.
func StartPostfix(t testing.TB, options PostfixOptions) *Postfix {
	t.Helper()
	Need(t, "postfix", "dovecot")
	p := &Postfix{CA: options.CA, dir: folder(t, "pf"), options: options}
	if p.CA == nil {
		p.CA = options.Users.CA
	}
	p.logFile = filepath.Join(p.dir, "log")
	p.prepare(t, options)
	daemons := strings.TrimSpace(output(t, "/usr/sbin/postconf", "-h", "daemon_directory"))
	start(t, "postfix", p.logFile, 3, func(ports []int) (*subprocess.Process, error) {
		p.SMTP, p.Submission, p.SMTPS = ports[0], ports[1], ports[2]
		p.configure(t, options)
		// check makes the queue's folders, with the owners that Postfix wants.
		output(t, "/usr/sbin/postfix", "-c", p.etc(), "check")
		// -d keeps master in the foreground, where it can be waited for.
		return run(filepath.Join(daemons, "master"), "-c", p.etc(), "-d")
	})
	return p
}

// prepare makes what does not depend on the ports: folders and certificate.
func (p *Postfix) prepare(t testing.TB, options PostfixOptions) {
	t.Helper()
	for _, sub := range []string{"etc", "queue"} {
		if err := os.Mkdir(filepath.Join(p.dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	issue(t, p.dir, p.CA, options.Certificate)
}

// configure writes main.cf and master.cf for the ports that were found.
func (p *Postfix) configure(t testing.TB, options PostfixOptions) {
	t.Helper()
	settings := postfixSettings{
		Dir: p.dir, LogFile: p.logFile, Host: Host, SASL: options.Users.address(),
		Users: []string{Alice, Bob, Helpdesk},
		NoTLS: options.NoTLS, PlaintextAuth: options.PlaintextAuth, RejectAtMail: options.RejectAtMail,
		SMTP: p.SMTP, Submission: p.Submission, SMTPS: p.SMTPS, Extra: p.extra,
	}
	if options.Deliver {
		settings.LMTP = options.Users.LMTP
	}
	for _, name := range []string{"main.cf", "master.cf"} {
		write(t, p.etc(), name, fill(t, postfixTemplates.Lookup(name), settings), 0o644)
	}
}

// Set adds lines to main.cf and reloads it. A line may change a setting that is there
// already. The lines of an earlier Set are removed.
func (p *Postfix) Set(t testing.TB, lines ...string) {
	t.Helper()
	p.extra = lines
	p.configure(t, p.options)
	output(t, "/usr/sbin/postfix", "-c", p.etc(), "reload")
}

// Flush tries at once to deliver the messages in the queue.
func (p *Postfix) Flush(t testing.TB) {
	t.Helper()
	output(t, "/usr/sbin/postqueue", "-c", p.etc(), "-f")
}

// etc is the folder of the configuration. It holds nothing else, because Postfix requires
// that root owns all of it.
func (p *Postfix) etc() string { return filepath.Join(p.dir, "etc") }

// Log is everything the server logged so far.
func (p *Postfix) Log() string { return wholeLog(p.logFile) }
