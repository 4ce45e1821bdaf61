package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailprobe/config"
	"mailprobe/internal/mailtest"
)

// postOffice is a server that accepts mail and one where it is read, with a route for
// each way in which a message may end.
type postOffice struct {
	out, in *mailtest.Server
	dir     string
	taken   chan string // recipients of the messages that were sent
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	t.Parallel() // it waits for further copies of a message
	users := map[string]string{"anna@example.org": password}
	p := &postOffice{dir: t.TempDir(), taken: make(chan string, 10)}
	start := func(o mailtest.Options) *mailtest.Server {
		o.Encryption, o.Users = mailtest.NoEncryption, users
		server, err := mailtest.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		return server
	}
	p.in = start(mailtest.Options{Protocol: mailtest.IMAP, Mailboxes: []string{"Junk"}, UIDPlus: true, Messages: 2})
	p.out = start(mailtest.Options{Protocol: mailtest.SMTP, Deliver: func(_ string, to []string, message []byte) error {
		p.taken <- to[0]
		folder, known := map[string]string{"inbox@example.org": "INBOX", "junk@example.org": "Junk"}[to[0]]
		if to[0] == "never@example.org" {
			return errors.New("no probes here")
		}
		if !known {
			return nil
		}
		return p.in.Append("anna@example.org", folder, message)
	}})
	text := fmt.Sprintf(`connections:
  - {name: out, protocol: smtp, encryption: none, host: 127.0.0.1, port: %d, username: anna@example.org, password_file: secret}
  - {name: in, protocol: imap, encryption: none, host: 127.0.0.1, port: %d, username: anna@example.org, password_file: secret}
routes:
`, p.out.Port, p.in.Port)
	for _, name := range []string{"inbox", "junk", "lost", "never"} {
		text += fmt.Sprintf("  - {name: %s, send: out, receive: in, from: anna@example.org, to: %s@example.org, delete: own, deadline: 10s, slow: 10s}\n", name, name)
	}
	if err := errors.Join(os.WriteFile(p.file("mailprobe.yml"), []byte(text), 0o600), os.WriteFile(p.file("secret"), []byte(password+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return p
}

// file is the path of a file beside the configuration.
func (p *postOffice) file(name string) string { return filepath.Join(p.dir, name) }

// load loads the configuration. The deadline of the route whose message is lost is
// shorter than a configuration allows, because the test waits until it is over.
func (p *postOffice) load() (*config.Config, []config.Finding, error) {
	loaded, findings, err := config.Load(p.file("mailprobe.yml"), nil)
	if err == nil {
		for _, r := range loaded.Routes {
			if r.Name == "lost" {
				r.Deadline, r.Slow = time.Second, time.Second
			}
		}
	}
	return loaded, findings, err
}

// send runs probe --send.
func (p *postOffice) send(ctx context.Context, route, output string, change ...func(*ProbeOptions)) (code int, out string) {
	var both bytes.Buffer
	o := ProbeOptions{Send: route, Output: output, StateFile: p.file("state.json"), Stdout: &both, Stderr: &both, Load: p.load}
	for _, c := range change {
		c(&o)
	}
	err := Probe(ctx, o)
	var exit *ExitError
	if errors.As(err, &exit) {
		code = exit.Code
		if exit.Err != nil {
			fmt.Fprintln(&both, exit.Err)
		}
	}
	return code, both.String()
}

// The command sends one message of a route. It reports what became of the message, in each
// output format, and by its exit code.
func TestSend(t *testing.T) {
	p := newPostOffice(t)
	for _, test := range []struct {
		route, output string
		code          int
		want          string // regular expression
	}{
		{"inbox", "table", 0, `(?s)ROUTE +MESSAGE +UP +SUBMIT +TRANSFER +TOTAL +LEG +REASON\ninbox +1 +up +\S+ (µs|m?s) +\S+ (µs|m?s) +\S+ (µs|m?s) +- +-\n +found in INBOX, .*; deleted`},
		{"inbox", "table", ExitNotRun, `route "inbox": enough was sent: the next message may be sent in \d+s`},
		{"junk", "nagios", ExitDown, `^MAILPROBE CRITICAL - route junk: filed_as_spam on leg transfer: .* \| submit=\d\.\d+s transfer=\d\.\d+s total=\d\.\d+s\n$`},
		{"never", "table", ExitDown, `(?s)never +1 +down +\S+ (µs|m?s) +- +- +submit +refused_content\n.*no probes here`},
		{"lost", "json", ExitDown, `"reason": "not_delivered"`},
		{"inbx", "table", ExitNotRun, `route "inbx" is not configured, did you mean "inbox"\? \(configured are inbox, junk, lost, never\)`},
		{"inbox", "xml", ExitNotRun, `-o xml: not one of table, json, nagios`},
	} {
		code, out := p.send(t.Context(), test.route, test.output)
		if code != test.code || !regexp.MustCompile(test.want).MatchString(out) || strings.Contains(out, password) {
			t.Errorf("%s, %s: exit code %d, want %d and %s in\n%s", test.route, test.output, code, test.code, test.want, out)
		}
		if test.output == "json" && !json.Valid([]byte(out)) {
			t.Errorf("not JSON:\n%s", out)
		}
	}
	if code, out := p.send(t.Context(), "junk", "table", func(o *ProbeOptions) { o.StateFile = "" }); code != ExitNotRun || !strings.Contains(out, "delete: own needs --state.file") {
		t.Errorf("without a state file: exit code %d\n%s", code, out)
	}
	if code, out := p.send(t.Context(), "junk", "table", func(o *ProbeOptions) { o.Names = []string{"out"} }); code != ExitNotRun || !strings.Contains(out, "no connection beside it") {
		t.Errorf("with a name: exit code %d\n%s", code, out)
	}
	// Of four messages two arrived, and both are gone again.
	if sent := count(p.out.Verbs(), "DATA"); sent != 4 {
		t.Errorf("%d messages were sent", sent)
	}
	if expunged := count(p.in.Verbs(), "UID EXPUNGE"); expunged != 2 {
		t.Errorf("%d messages were deleted", expunged)
	}
}

func count(list []string, word string) (n int) {
	for _, w := range list {
		if w == word {
			n++
		}
	}
	return n
}

// After an interruption, the message is no longer in flight.
func TestSendInterrupted(t *testing.T) {
	p := newPostOffice(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		select {
		case <-p.taken:
		case <-ctx.Done():
		}
		cancel()
	}()
	code, out := p.send(ctx, "lost", "table")
	if code != ExitNotRun || !strings.Contains(out, "interrupted") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	raw, err := os.ReadFile(p.file("state.json.routes"))
	if err != nil || !strings.Contains(string(raw), `"over":true`) {
		t.Errorf("%v: %s", err, raw)
	}
}
