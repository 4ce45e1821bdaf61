package realserver

import (
	_ "embed"
	"os"
	"path/filepath"
	"testing"
	"text/template"

	"mailprobe/internal/subprocess"
)

// EximRules says how an Exim differs from one that delivers everything to Bob. The texts
// are parts of its configuration.
type EximRules struct {
	Recipient string // an ACL statement at RCPT
	Content   string // an ACL statement after DATA
	Aliases   string // what Bob's address is redirected to
	Filter    string // a shell script that rewrites each message on its way out
	LMTP      int    // the port to deliver to; 0: that of Dovecot
}

// Exim is a running private Exim: a server that accepts mail without a login and
// offers delivery status notifications.
type Exim struct {
	SMTP int // on Host, without TLS

	dir string
}

// eximSettings is what the template reads.
type eximSettings struct {
	Program, Dir, Host string
	Port, LMTP         int
	Rules              EximRules
}

var (
	//go:embed config/exim.conf.tmpl
	eximConfig string

	eximTemplate = template.Must(template.New("exim").Parse(eximConfig))
)

// StartExim runs a private Exim until the test ends, in front of a Dovecot with
// LMTP. The test is skipped where .ci/servers has not unpacked Exim, which cannot be
// installed beside Postfix.
func StartExim(t testing.TB, users *Dovecot, rules EximRules) *Exim {
	t.Helper()
	program := unpacked(t, "usr/sbin/exim4")
	e := &Exim{dir: folder(t, "ex")}
	spool := filepath.Join(e.dir, "spool")
	if err := os.Mkdir(spool, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(spool, serverUsers["Debian-exim"], serverUsers["Debian-exim"]); err != nil {
		t.Fatal(err)
	}
	if rules.LMTP == 0 {
		rules.LMTP = users.LMTP
	}
	write(t, e.dir, "filter", rules.Filter, 0o644)
	start(t, "exim", filepath.Join(spool, "log-main"), 1, func(ports []int) (*subprocess.Process, error) {
		e.SMTP = ports[0]
		config := write(t, e.dir, "exim.conf", fill(t, eximTemplate, eximSettings{Program: program, Dir: e.dir, Host: Host, Port: e.SMTP, LMTP: rules.LMTP, Rules: rules}), 0o644)
		return runAs(t, e.dir, "Debian-exim", program, "-C", config, "-bdf", "-q1s")
	})
	return e
}

// Log is everything the server logged so far.
func (e *Exim) Log() string { return wholeLog(filepath.Join(e.dir, "spool", "log-main")) }
