package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailprobe/config"
	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

// office is a mail server of example.org, and a person at a terminal with an empty folder.
type office struct {
	*person
	imap *mailtest.Server
	dir  string
	asks *Terminal
	done chan error
	stop context.CancelFunc
}

func newOffice(t *testing.T, encryption mail.Encryption) *office {
	t.Helper()
	t.Parallel() // it waits for time-outs
	ca, err := mailtest.NewCA(mailtest.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := mailtest.Start(mailtest.Options{Protocol: mailtest.IMAP, Encryption: string(encryption), Certificate: ca.MustIssue(mailtest.Loopback()),
		Users: map[string]string{"anna@example.org": password}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	o := &office{person: newPerson(t), imap: server, dir: t.TempDir(), done: make(chan error, 1)}
	if err := ca.WriteCertificate(o.file("ca.pem")); err != nil {
		t.Fatal(err)
	}
	return o
}

// file is the path of a file in the folder.
func (o *office) file(name string) string { return filepath.Join(o.dir, name) }

// add starts the command.
func (o *office) add(t *testing.T, settings ...config.Setting) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	o.stop = cancel
	o.asks = NewTerminal(o.terminal, o.terminal)
	options := AddOptions{Settings: append(settings, config.Setting{Field: "tls_config.ca_file", Value: o.file("ca.pem")}),
		SetupOptions: SetupOptions{ConfigFile: o.file("mailprobe.yml"), Output: "table", Timeout: 2 * time.Second, Ask: o.asks, Stdout: o.terminal, Stderr: o.terminal}}
	go func() { o.done <- Add(ctx, options) }()
}

// ends waits for the end of the command, and returns its exit code.
func (o *office) ends(t *testing.T) int {
	t.Helper()
	err := <-o.done
	if strings.Contains(o.screen(), password) {
		t.Errorf("the password is shown:\n%s", o.screen())
	}
	var exit *ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	}
	t.Fatal(err)
	return 0
}

// left lists what is in a folder, apart from the CA.
func left(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && path != dir && entry.Name() != "ca.pem" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A person answers the form with mistakes: a port out of range, a wrong encryption, a
// wrong password. At last the connection is added.
func TestAddAsksAndCorrects(t *testing.T) {
	o := newOffice(t, mail.StartTLS)
	port := strconv.Itoa(o.imap.Port)
	o.add(t)
	o.answer("Protocol (imap, pop3, smtp) [imap]: ", "imaps")
	o.wait(`protocol: "imaps" is not imap, pop3 or smtp`)
	o.answer("Protocol (imap, pop3, smtp) [imap]: ", "")
	o.answer("Host: ", "")
	o.wait("host: is missing")
	o.answer("Host: ", "127.0.0.1")
	o.answer("Encryption (ssl/tls, starttls, none) [ssl/tls]: ", "")
	o.answer("Port (0: the default) [0]: ", "99999")
	o.wait(`port: "99999" is not between 0 and 65535`)
	o.answer("Port (0: the default) [0]: ", port)
	o.answer("User name (blank: no login): ", "anna@example.org")
	o.answer("Shared mailbox (blank: the user's own): ", "")
	o.answer("Name of the connection [127.0.0.1-imap]: ", "support inbox")
	o.answer("Password: ", "not-the-password")
	o.wait("trying 127.0.0.1:" + port)
	o.wait("down")
	o.wait("port " + port + " of 127.0.0.1 answers with encryption starttls: take that? [Y/n] ")
	if n := len(o.imap.Logins()); n != 0 {
		t.Errorf("%d logins before the encryption was right", n)
	}
	o.answer("", "n")
	o.answer("Correct it and try again? [Y/n] ", "")
	o.answer("Protocol (imap, pop3, smtp) [imap]: ", "")
	o.answer("Host [127.0.0.1]: ", "")
	o.answer("Encryption (ssl/tls, starttls, none) [ssl/tls]: ", "")
	o.answer("Port (0: the default) ["+port+"]: ", "")
	o.answer("[anna@example.org]: ", "")
	o.answer("Shared mailbox", "")
	o.answer("[support inbox]: ", "")
	o.answer("Password (blank: as before): ", "")
	o.answer("answers with encryption starttls: take that? [Y/n] ", "")
	o.wait("auth_rejected")
	o.answer("Correct it and try again? [Y/n] ", "y")
	o.answer("User name (blank: no login) [anna@example.org]: ", "") // the server is right: only the login is asked for
	o.answer("Shared mailbox", "")
	o.answer("Password (blank: as before): ", password)
	o.wait("mailprobe.yml: added support inbox")
	if code := o.ends(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, o.screen())
	}
	loaded, _, err := config.Load(o.file("mailprobe.yml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := loaded.Connections[0]
	if secret, err := os.ReadFile(o.file("secrets/support-inbox")); err != nil || string(secret) != password+"\n" || c.Name != "support inbox" || c.Port != o.imap.Port {
		t.Errorf("added %+v, %v", c, err)
	}
	if n := len(o.imap.Logins()); n != 2 {
		t.Errorf("%d logins", n)
	}
}

// A refused password is reported, and nothing is written if the person gives up.
func TestAddWithAWrongPassword(t *testing.T) {
	o := newOffice(t, mail.ImplicitTLS)
	o.add(t, config.Setting{Field: "protocol", Value: "imap"}, config.Setting{Field: "host", Value: "127.0.0.1"}, config.Setting{Field: "port", Value: strconv.Itoa(o.imap.Port)},
		config.Setting{Field: "encryption", Value: "ssl/tls"}, config.Setting{Field: "username", Value: "anna@example.org"}, config.Setting{Field: "name", Value: "a"})
	o.answer("Shared mailbox", "")
	o.answer("Password: ", "nonsense")
	o.wait("auth_rejected")
	o.answer("Correct it and try again? [Y/n] ", "n")
	if code := o.ends(t); code != ExitDown || len(left(t, o.dir)) != 0 {
		t.Errorf("exit code %d, left behind: %v", code, left(t, o.dir))
	}
}

// Ctrl-C at any question leaves nothing behind, and the terminal as it was.
func TestAddInterruptedAtEachQuestion(t *testing.T) {
	questions := []struct{ question, answer string }{
		{"Protocol", ""}, {"Host", "127.0.0.1"}, {"Encryption", ""}, {"Port", "1"}, {"User name", "anna@example.org"},
		{"Shared mailbox", ""}, {"Name of", ""}, {"Password: ", password}, {"Correct it and try again?", "y"}, {"Protocol", ""},
	}
	for stop := range questions {
		t.Run(strconv.Itoa(stop)+" "+questions[stop].question, func(t *testing.T) {
			o := newOffice(t, mail.ImplicitTLS)
			o.add(t)
			for _, q := range questions[:stop] {
				o.answer(q.question, q.answer)
			}
			o.wait(questions[stop].question)
			if strings.HasPrefix(questions[stop].question, "Password") {
				o.waitForNoEcho()
			}
			o.stop()
			if code := o.ends(t); code != ExitNotRun || len(left(t, o.dir)) != 0 {
				t.Errorf("exit code %d, left behind: %v", code, left(t, o.dir))
			}
			if !o.echoes() {
				t.Error("the terminal still hides what is typed")
			}
			_, _ = o.keyboard.WriteString("\n")
			o.asks.reading.Wait() // the read of the terminal goes on until there is a line
		})
	}
}

// Without a terminal, the flags are all answers.
func TestAddInAScript(t *testing.T) {
	o := newOffice(t, mail.ImplicitTLS)
	if err := os.WriteFile(o.file("password"), []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(output, file string, settings ...config.Setting) (int, string) {
		var out bytes.Buffer
		err := Add(t.Context(), AddOptions{Settings: append([]config.Setting{{Field: "name", Value: "a"}, {Field: "host", Value: "127.0.0.1"},
			{Field: "port", Value: strconv.Itoa(o.imap.Port)}, {Field: "tls_config.ca_file", Value: o.file("ca.pem")}, {Field: "labels.team", Value: "x"}}, settings...),
			SetupOptions: SetupOptions{ConfigFile: o.file("conf/mailprobe.yml"), PasswordFile: file, Output: output, Timeout: 2 * time.Second, Stdout: &out, Stderr: &out}})
		var exit *ExitError
		switch {
		case errors.As(err, &exit) && exit.Err != nil:
			return exit.Code, out.String() + exit.Err.Error()
		case errors.As(err, &exit):
			return exit.Code, out.String()
		case err != nil:
			t.Fatal(err)
		}
		return 0, out.String()
	}
	if err := os.Mkdir(o.file("conf"), 0o700); err != nil {
		t.Fatal(err)
	}
	user := config.Setting{Field: "username", Value: "anna@example.org"}
	for _, step := range []struct {
		name         string
		output, file string
		settings     []config.Setting
		code         int
		want         string // regular expression
	}{
		{"a user without a password", "table", "", []config.Setting{user}, ExitNotRun, "a user name needs --password-file"},
		{"a password as a flag", "table", "", []config.Setting{{Field: "password", Value: password}}, ExitNotRun, "every user of this machine could read it"},
		{"a wrong word", "table", "", []config.Setting{{Field: "encryption", Value: "tsl"}}, ExitNotRun, `add: encryption: "tsl" is not`},
		{"something is down", "table", "", []config.Setting{{Field: "encryption", Value: "starttls"}}, ExitDown, `(?s)a +imap .* down .*answers with encryption ssl/tls.*nothing was added`},
		{"only to print", "yaml", o.file("password"), []config.Setting{user}, 0, `(?m)^  - name: a\n    protocol: imap\n    host: 127.0.0.1\n    encryption: ssl/tls\n    port: \d+\n    username: anna@example.org\n    tls_config:\n      ca_file: /.*/ca.pem\n    labels:\n      team: x\n    password_file: /.*/password\n$`},
		{"all is well", "table", o.file("password"), []config.Setting{user}, 0, `(?s) up .*conf/mailprobe.yml: added a\n`},
		{"the name is taken", "table", o.file("password"), []config.Setting{user}, ExitNotRun, `is used twice`},
	} {
		code, out := run(step.output, step.file, step.settings...)
		if code != step.code || !regexp.MustCompile(step.want).MatchString(out) || strings.Contains(out, password) {
			t.Errorf("%s: exit code %d, want %d and %s in\n%s", step.name, code, step.code, step.want, out)
		}
	}
	if loaded, _, err := config.Load(o.file("conf/mailprobe.yml"), nil); err != nil || loaded.Connections[0].TLS.RootCAs == nil || len(loaded.Connections[0].Labels) != 1 {
		t.Errorf("%+v, %v", loaded, err)
	}
}
