package realserver

import (
	"bufio"
	"crypto/tls"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

// Cyrus is a running private Cyrus IMAP server of Bob, who has an INBOX and nothing
// else. Postfix or Exim deliver to it by LMTP.
type Cyrus struct {
	CA *mailtest.CA // who signed its certificate

	IMAPS, POP3S, LMTP, Sieve int // ports on Host

	dir      string
	programs string
}

// cyrusAdmin is the administrator, who may change every mailbox.
const cyrusAdmin = "cyrus"

// cyrusSettings is what the templates read.
type cyrusSettings struct {
	Dir, Programs, Host, Name string
	IMAPS, POP3S, LMTP, Sieve int
	Extra                     []string
}

var (
	//go:embed config/cyrus.imapd.conf.tmpl
	cyrusImapd string
	//go:embed config/cyrus.conf.tmpl
	cyrusMaster string

	cyrusTemplates = template.Must(template.Must(
		template.New("imapd.conf").Parse(cyrusImapd)).New("cyrus.conf").Parse(cyrusMaster))
)

// StartCyrus runs a private Cyrus until the test ends, with further lines of imapd.conf.
// The test is skipped where .ci/servers has not unpacked it.
func StartCyrus(t testing.TB, extra ...string) *Cyrus {
	t.Helper()
	master := unpacked(t, "usr/lib/cyrus/bin/master")
	c := &Cyrus{CA: mailtest.MustCA(mailtest.CAOptions{}), dir: folder(t, "cy"), programs: filepath.Dir(master)}
	for _, sub := range []string{"state/db", "state/msg", "state/proc", "state/lock", "state/socket", "state/log", "mail", "sieve"} {
		if err := os.MkdirAll(filepath.Join(c.dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	issue(t, c.dir, c.CA, mailtest.CertOptions{})
	servePasswords(t, filepath.Join(c.dir, "passwords"))
	start(t, "cyrus", "", 4, func(ports []int) (*subprocess.Process, error) {
		c.IMAPS, c.POP3S, c.LMTP, c.Sieve = ports[0], ports[1], ports[2], ports[3]
		settings := cyrusSettings{Dir: c.dir, Programs: c.programs, Host: Host, Name: ServerName, IMAPS: c.IMAPS, POP3S: c.POP3S, LMTP: c.LMTP, Sieve: c.Sieve, Extra: extra}
		for _, name := range []string{"imapd.conf", "cyrus.conf"} {
			write(t, c.dir, name, fill(t, cyrusTemplates.Lookup(name), settings), 0o644)
		}
		giveFolder(t, c.dir, serverUsers[cyrusAdmin])
		return runAs(t, c.dir, cyrusAdmin, master, "-D", "-C", filepath.Join(c.dir, "imapd.conf"), "-M", filepath.Join(c.dir, "cyrus.conf"), "-p", filepath.Join(c.dir, "pid"))
	})
	separator := "/"
	if slices.Contains(extra, "unixhierarchysep: no") {
		separator = "."
	}
	c.Admin(t, "CREATE user"+separator+"bob")
	return c
}

// Admin sends IMAP commands as the administrator. Each has to succeed.
func (c *Cyrus) Admin(t testing.TB, commands ...string) { c.Say(t, cyrusAdmin, commands...) }

// Say sends IMAP commands as a user and returns the answers. Each has to succeed.
func (c *Cyrus) Say(t testing.TB, user string, commands ...string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address(c.IMAPS), &tls.Config{RootCAs: c.CA.Pool(), ServerName: ServerName})
	if err != nil {
		t.Fatal(err)
	}
	talk := newTalk(t, conn)
	defer func() { _ = conn.Close() }()
	answers := talk.hear("* OK")
	for _, command := range append([]string{"LOGIN " + user + " " + Password(user)}, commands...) {
		answers += talk.say("a "+command, "a OK")
	}
	return answers
}

// SetSieve sets a user's Sieve script by ManageSieve (RFC 5804); an empty one removes it.
func (c *Cyrus) SetSieve(t testing.TB, user, script string) {
	t.Helper()
	conn, err := net.Dial("tcp", address(c.Sieve))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	talk := newTalk(t, conn)
	talk.hear("OK")
	talk.say(fmt.Sprintf("AUTHENTICATE \"PLAIN\" %q", base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+Password(user)))), "OK")
	name := ""
	if script != "" {
		name = "test"
		talk.say(fmt.Sprintf("PUTSCRIPT %q {%d+}\r\n%s", name, len(script), script), "OK")
	}
	talk.say(fmt.Sprintf("SETACTIVE %q", name), "OK")
}

// talk is a client of IMAP or ManageSieve that sends and reads line by line.
type talk struct {
	testing.TB
	conn  net.Conn
	lines *bufio.Scanner
}

func newTalk(t testing.TB, conn net.Conn) *talk {
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &talk{TB: t, conn: conn, lines: bufio.NewScanner(conn)}
}

// say sends a line and returns the answer, whose last line has to begin with good.
func (k *talk) say(line, good string) string {
	k.Helper()
	if _, err := fmt.Fprintf(k.conn, "%s\r\n", line); err != nil {
		k.Fatal(err)
	}
	return k.hear(good)
}

// hear returns the answer up to the line that begins with good.
func (k *talk) hear(good string) string {
	k.Helper()
	var answer strings.Builder
	for k.lines.Scan() {
		line := k.lines.Text()
		answer.WriteString(line + "\n")
		switch {
		case strings.HasPrefix(line, good):
			return answer.String()
		case strings.HasPrefix(line, "a NO"), strings.HasPrefix(line, "a BAD"), strings.HasPrefix(line, "NO"), strings.HasPrefix(line, "BYE"):
			k.Fatalf("%s; want %s", answer.String(), good)
		}
	}
	k.Fatalf("%s and then %v; want %s", answer.String(), k.lines.Err(), good)
	return ""
}
