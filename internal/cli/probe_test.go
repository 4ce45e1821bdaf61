package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"mailprobe/config"
	"mailprobe/guard"
	"mailprobe/internal/mailtest"
	"mailprobe/internal/outcometest"
	"mailprobe/internal/subprocess"
	"mailprobe/mail"
	"mailprobe/prober"
)

func TestMain(m *testing.M) {
	subprocess.InParallel(8)
	goleak.VerifyTestMain(m)
}

const password = "looking-glass-42"

// imap is a server with one user.
func imap(t *testing.T) *mailtest.Server {
	t.Helper()
	s, err := mailtest.Start(mailtest.Options{Protocol: mailtest.IMAP, Encryption: mailtest.NoEncryption,
		Users: map[string]string{"a@b": password}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// inbox is a connection in clear to a server.
func inbox(name string, s *mailtest.Server, secret string) *mail.Connection {
	return &mail.Connection{Name: name, Protocol: mail.IMAP, Encryption: mail.NoEncryption, Host: s.Host, Port: s.Port,
		Username: "a@b", Password: mail.InlineSecret(mail.NewSecret(secret)), Auth: mail.AuthAuto, CheckMailbox: true,
		Mailbox: "INBOX", Interval: time.Minute, Timeout: 10 * time.Second, IPProtocol: mail.AnyIP, Lockout: mail.LockoutNormal, HeldProbe: true}
}

// loading returns a Load function whose configuration has these connections.
func loading(connections ...*mail.Connection) func() (*config.Config, []config.Finding, error) {
	return func() (*config.Config, []config.Finding, error) {
		return &config.Config{Pool: config.Pool{MaxInFlight: 10, MaxInFlightPerHost: 10}, Connections: connections}, nil, nil
	}
}

// probe runs the command and returns its exit code, output and error.
func probe(t *testing.T, o ProbeOptions) (code int, stdout, stderr string, err error) {
	t.Helper()
	var out, progress bytes.Buffer
	o.Stdout, o.Stderr = &out, &progress
	err = Probe(t.Context(), o)
	var exit *ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.Code
	case err != nil:
		t.Fatalf("an error without an exit code: %v", err)
	}
	if all := out.String() + progress.String(); strings.Contains(all, password) {
		t.Errorf("the password is printed:\n%s", all)
	}
	return code, out.String(), progress.String(), err
}

func TestProbeTable(t *testing.T) {
	s := imap(t)
	load := loading(inbox("good", s, password), inbox("wrong", s, "nonsense"))
	code, out, progress, _ := probe(t, ProbeOptions{Load: load, Output: "table", Live: true, Transcript: true})
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, want := range []string{"CONNECTION", "good", "up", "connect ", "auth_rejected", mail.AuthRejected.Advice(), "S * OK", "<redacted>",
		"without --state.file no hold is kept"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
	if !strings.Contains(progress, "up good") || !strings.Contains(progress, "down wrong") || strings.Contains(out+progress, "\x1b") {
		t.Errorf("progress without colours is %q", progress)
	}
	if code, out, _, _ := probe(t, ProbeOptions{Load: load, Output: "table", Names: []string{"good"}, Color: true}); code != 0 ||
		strings.Contains(out, "wrong") || !strings.Contains(out, "\x1b[32mup\x1b[0m") {
		t.Errorf("one that is up: exit code %d\n%s", code, out)
	}
}

// On a narrow terminal no line is broken by the terminal, in the middle of a word.
func TestProbeOnANarrowTerminal(t *testing.T) {
	s := imap(t)
	load := loading(inbox("good", s, password), inbox("wrong", s, "nonsense"))
	for _, width := range []int{40, 80} {
		_, out, _, _ := probe(t, ProbeOptions{Load: load, Output: "table", Width: width})
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d letters in a line of %d: %q", n, width, line)
			}
		}
		words := strings.Join(strings.Fields(out), " ")
		for _, want := range []string{"up good imap " + s.Addr + ", none, ", "down wrong imap ", "auth_rejected", mail.AuthRejected.Advice()} {
			if !strings.Contains(words, want) {
				t.Errorf("%d letters wide: want %q in\n%s", width, want, out)
			}
		}
	}
	if _, out, _, _ := probe(t, ProbeOptions{Load: load, Output: "table", Width: 200}); !strings.HasPrefix(out, "CONNECTION") {
		t.Errorf("there is room for a table:\n%s", out)
	}
}

// If the text of a failure is the meaning of its reason, because the server's words must
// not be shown, it is printed once.
func TestProbeRepeatsNoMeaning(t *testing.T) {
	o := mail.Outcome{Connection: inbox("inbox", imap(t), password), Failure: &mail.Failure{Phase: mail.PhaseMailbox,
		Reason: mail.ProtocolMalformed, Text: "mailbox: " + mail.ProtocolMalformed.Meaning()}}
	text := strings.Join((&ProbeOptions{}).row(&o).below, "\n")
	if n := strings.Count(text, mail.ProtocolMalformed.Meaning()); n != 1 {
		t.Errorf("the meaning is there %d times:\n%s", n, text)
	}
}

func TestProbeJSON(t *testing.T) {
	s := imap(t)
	code, out, _, _ := probe(t, ProbeOptions{Load: loading(inbox("good", s, password)), Output: "json", Transcript: true})
	var answer struct {
		Results []struct {
			Connection string
			Up         bool
			Duration   float64 `json:"duration_seconds"`
			Phases     []struct{ Phase string }
			Transcript []struct{ From, Text string }
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	r := answer.Results[0]
	if r.Connection != "good" || !r.Up || r.Duration <= 0 || len(r.Phases) < 4 || len(r.Transcript) < 4 {
		t.Errorf("result is %+v", r)
	}
}

func TestProbeNagios(t *testing.T) {
	s := imap(t)
	good, wrong, gone := inbox("go'od=1", s, password), inbox("wrong", s, "nonsense"), inbox("gone|", s, password)
	gone.Host, gone.Port, gone.Username = "127.0.0.1", 1, ""
	for _, test := range []struct {
		name        string
		connections []*mail.Connection
		code        int
		want        string // regular expression
	}{
		{"all is well", []*mail.Connection{good}, 0, `^MAILPROBE OK - 1 of 1 connections up \| 'go''od_1'=0\.\d+s;;;0;10\n$`},
		{"one is down", []*mail.Connection{good, wrong}, 2, `^MAILPROBE CRITICAL - wrong: auth_rejected in phase auth: [^|\n]*\. \(without --state.file [^|\n]*\) \| 'go''od_1'=\S+ 'wrong'=\S+\n$`},
		{"two are down", []*mail.Connection{wrong, gone}, 2, `^MAILPROBE CRITICAL - 0 of 2 connections up \| [^|\n]*\nCRITICAL: wrong: [^|\n]*\nCRITICAL: gone/: connect_refused [^|\n]*\n$`},
	} {
		code, out, _, _ := probe(t, ProbeOptions{Load: loading(test.connections...), Output: "nagios"})
		if code != test.code || !regexp.MustCompile(test.want).MatchString(out) {
			t.Errorf("%s: exit code %d, want %d, and output like %s:\n%s", test.name, code, test.code, test.want, out)
		}
	}
	code, out, _, _ := probe(t, ProbeOptions{Output: "nagios", Load: func() (*config.Config, []config.Finding, error) {
		return nil, nil, errors.New("x.yml:1: port: is too large\nx.yml:2: host: is missing")
	}})
	if code != 3 || out != "MAILPROBE UNKNOWN - the configuration is not usable: x.yml:1: port: is too large; x.yml:2: host: is missing\n" {
		t.Errorf("a broken configuration: exit code %d, %q", code, out)
	}
}

// The outcome decides the state of a check.
func TestNagiosState(t *testing.T) {
	now := time.Now()
	ends := func(days int) *mail.TLSFacts {
		return &mail.TLSFacts{NotAfter: now.AddDate(0, 0, days).Add(time.Hour)}
	}
	for _, test := range []struct {
		name    string
		outcome mail.Outcome
		want    int
	}{
		{"up", mail.Outcome{End: now}, 0},
		{"a certificate with time left", mail.Outcome{End: now, TLS: ends(30)}, 0},
		{"a certificate that ends soon", mail.Outcome{End: now, TLS: ends(15)}, 1},
		{"a message that waits too long", outcometest.Stuck(outcometest.Watched("tickets"), outcometest.Noon), 1},
		{"a certificate that ends very soon", mail.Outcome{End: now, TLS: ends(5)}, 2},
		{"down", mail.Outcome{End: now, Failure: &mail.Failure{Phase: mail.PhaseTLS, Reason: mail.CertExpired}, TLS: ends(-2)}, 2},
		{"a fault on this side", mail.Outcome{End: now, Failure: &mail.Failure{Phase: mail.PhaseAuth, Reason: mail.LocalSecret}}, 3},
	} {
		if code, text := nagiosState(&test.outcome); code != test.want {
			t.Errorf("%s: %d %q, want %d", test.name, code, text, test.want)
		}
	}
}

func TestProbeCannotRun(t *testing.T) {
	s := imap(t)
	load := loading(inbox("good", s, password))
	for _, test := range []struct {
		name    string
		options ProbeOptions
		want    string
	}{
		{"an unknown name", ProbeOptions{Names: []string{"goood"}, Output: "table"}, `"goood" is not configured, did you mean "good"? (configured are good)`},
		{"an unknown name like no other", ProbeOptions{Names: []string{"x"}, Output: "table"}, `"x" is not configured (configured are good)`},
		{"a state file in a folder that is not there", ProbeOptions{StateFile: "/none/state", Output: "table"}, "state file: /none/state: its folder /none does not exist: create it first"},
		{"an unknown format", ProbeOptions{Output: "xml"}, "-o xml: not one of table, json, nagios"},
		{"nothing configured", ProbeOptions{Load: loading(), Output: "table"}, "no connection is configured"},
		{"a password in the URL", ProbeOptions{Names: []string{"imaps://u:" + password + "@host"}, Output: "table"}, "use --password-file"},
		{"a URL that is none", ProbeOptions{Names: []string{"imaps://u:" + password + "%zz@ho st"}, Output: "table"}, "the URL cannot be parsed"},
	} {
		if test.options.Load == nil {
			test.options.Load = load
		}
		code, _, _, err := probe(t, test.options)
		if code != 3 || err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: exit code %d, %v; want 3 and %q", test.name, code, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := Probe(ctx, ProbeOptions{Load: load, Output: "table", Stdout: &out, Stderr: &out}); err == nil || err.Error() != "interrupted" {
		t.Errorf("interrupted: %v", err)
	}
	if n := len(s.Logins()); n != 0 {
		t.Errorf("%d logins in commands that could not run", n)
	}
}

// A login that the service withholds is withheld from a probe by hand too, and the other
// way round.
func TestProbeObeysTheStateFile(t *testing.T) {
	s := imap(t)
	wrong := inbox("wrong", s, "nonsense")
	until := regexp.MustCompile(`\n    the login is withheld until 20\S+Z\n`)
	if _, out, _, _ := probe(t, ProbeOptions{Load: loading(wrong), Output: "table", StateFile: filepath.Join(t.TempDir(), "by-hand")}); !until.MatchString(out) {
		t.Errorf("refused by hand: want to read when the next login is allowed in\n%s", out)
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	for _, want := range []string{"the login is withheld until", "held"} {
		if _, out, _, _ := probe(t, ProbeOptions{Load: loading(wrong), Output: "table", StateFile: fresh}); !strings.Contains(out, want) {
			t.Errorf("with a state file that the first probe makes: want %q in\n%s", want, out)
		}
	}
	state := filepath.Join(t.TempDir(), "state")
	guard, err := guard.New(guard.Options{StatePath: state})
	if err != nil {
		t.Fatal(err)
	}
	serving := &prober.Prober{Guard: guard}
	if o := serving.Probe(t.Context(), wrong); o.Failure == nil || o.Failure.Reason != mail.AuthRejected {
		t.Fatalf("the serving process: %+v, want a refused login", o.Failure)
	}
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(s.Logins())
	for range 3 {
		code, out, _, _ := probe(t, ProbeOptions{Load: loading(wrong), Output: "table", StateFile: state})
		if code != 2 || !strings.Contains(out, "held") || !strings.Contains(out, "login withheld until") {
			t.Errorf("exit code %d\n%s", code, out)
		}
	}
	if after := len(s.Logins()); after != before {
		t.Errorf("%d logins became %d", before, after)
	}
}

func TestAdHoc(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		url        string
		protocol   mail.Protocol
		encryption mail.Encryption
		address    string
		user       string
	}{
		{"imaps://a%40b.example@mail.example.org", mail.IMAP, mail.ImplicitTLS, "mail.example.org:993", "a@b.example"},
		{"imap+starttls://user@mail.example.org", mail.IMAP, mail.StartTLS, "mail.example.org:143", "user"},
		{"IMAP://mail.example.org:1143/", mail.IMAP, mail.NoEncryption, "mail.example.org:1143", ""},
		{"pop3s://dom%5Cuser@[2001:db8::1]", mail.POP3, mail.ImplicitTLS, "[2001:db8::1]:995", `dom\user`},
		{"pop3+starttls://u@h", mail.POP3, mail.StartTLS, "h:110", "u"},
		{"pop3://h", mail.POP3, mail.NoEncryption, "h:110", ""},
		{"smtp://mx.example.org", mail.SMTP, mail.NoEncryption, "mx.example.org:25", ""},
		{"smtp+starttls://u@h:2525", mail.SMTP, mail.StartTLS, "h:2525", "u"},
		{"smtps://münchen.example", mail.SMTP, mail.ImplicitTLS, "xn--mnchen-3ya.example:465", ""},
	} {
		secret := ""
		if test.user != "" {
			secret = file
		}
		c, err := adHoc(t.Context(), test.url, URLOptions{PasswordFile: secret})
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		if c.Protocol != test.protocol || c.Encryption != test.encryption || c.Address() != test.address || c.Username != test.user {
			t.Errorf("%s: %s %s %s %q", test.url, c.Protocol, c.Encryption, c.Address(), c.Username)
		}
		if hasTLS := c.TLS != nil; hasTLS != (c.Encryption != mail.NoEncryption) || c.Timeout <= 0 {
			t.Errorf("%s is not complete: TLS %t, timeout %v", test.url, hasTLS, c.Timeout)
		}
	}
	for url, want := range map[string]string{
		"http://h": "not one of", "imaps://": "host", "imaps://u@h": "needs --password-file", "imaps://h/INBOX": "only scheme",
		"imaps://h?x=1": "only scheme", "imaps://h#x": "only scheme", "imaps://h:99999": `imaps://h:99999: port: "99999" is not between 0 and 65535`, "imaps://u:@h": "--password-file", "://": "cannot be parsed",
	} {
		if _, err := adHoc(t.Context(), url, URLOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	_, err := adHoc(t.Context(), "https://u:"+password+"@h:99999/INBOX", URLOptions{CAFile: "none.pem"})
	for _, want := range []string{"not one of", "use --password-file", "only scheme", "port: ", "none.pem: no such file"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), password) {
			t.Errorf("many faults at once: %v, want %q", err, want)
		}
	}
	c, err := adHoc(t.Context(), "imaps://h", URLOptions{InsecureSkipVerify: true})
	if err != nil || !c.TLS.InsecureSkipVerify {
		t.Errorf("any certificate: %+v, %v", c, err)
	}
	if _, err := adHoc(t.Context(), "imaps://h", URLOptions{PasswordFile: file}); err == nil {
		t.Error("a password without a user was taken")
	}
}

// A URL is probed without any configuration.
func TestProbeOfAURL(t *testing.T) {
	s := imap(t)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() (*config.Config, []config.Finding, error) {
		t.Error("the configuration was read")
		return nil, nil, errors.New("no such file")
	}
	code, out, _, err := probe(t, ProbeOptions{Load: load, Output: "table", Names: []string{"imap://a%40b@" + s.Addr}, URL: URLOptions{PasswordFile: file}})
	if code != 0 || !strings.Contains(out, "imap://"+s.Addr) || strings.Contains(out, "a@b") {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
}

// URLs of one host with two schemes are two probes. With two users they are refused,
// because both would have the same name.
func TestURLsOfOneHost(t *testing.T) {
	s := imap(t)
	_, out, _, err := probe(t, ProbeOptions{Output: "table", Names: []string{"imap://" + s.Addr, "imap+starttls://" + s.Addr, "imap://" + s.Addr}})
	for _, name := range []string{"imap://", "imap+starttls://"} {
		if n := strings.Count(out, "\n"+name+s.Addr); n != 1 {
			t.Errorf("%s%s: got %d rows, want 1 (%v)\n%s", name, s.Addr, n, err, out)
		}
	}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, _, err := probe(t, ProbeOptions{Output: "table", Names: []string{"imap://a@" + s.Addr, "imap://b@" + s.Addr}, URL: URLOptions{PasswordFile: file}})
	if code != ExitNotRun || err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("two users: exit code %d, %v", code, err)
	}
}

// The error is that of plain HTTP, not that of the attempt with HTTPS.
func TestHealthcheckNamesTheFault(t *testing.T) {
	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer sick.Close()
	err := Healthcheck(t.Context(), sick.Listener.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v, want the status", err)
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 warnings", 1: "1 warning", 2: "2 warnings"} {
		if got := plural(n, "warning"); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func FuzzAdHoc(f *testing.F) {
	for _, seed := range []string{"imaps://a%40b@h:993", "smtp+starttls://[::1]", "imaps://u:p@h", "pop3://%00@h", "imap://h\n", "x://", "imaps://h:0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		c, err := adHoc(t.Context(), url, URLOptions{})
		if err == nil && (c.Host == "" || c.EffectivePort() == 0 || c.Username != "") {
			t.Errorf("%q became %+v", url, c)
		}
	})
}

// Every output format has the waiting messages of a watched mailbox.
func TestProbeShowsWhatWaits(t *testing.T) {
	s, err := mailtest.Start(mailtest.Options{Protocol: mailtest.IMAP, Encryption: mailtest.NoEncryption,
		Users: map[string]string{"a@b": password}, Messages: 12, Arrived: time.Now().Add(-190 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := inbox("tickets", s, password)
	c.Watch, c.WatchMaxAge = mail.WatchUnread, 15*time.Minute
	for output, wants := range map[string][]string{
		"table":  {"mailbox: 12 waiting, oldest 3 h 10 min (limit 15 min), newest 3 h 10 min old"},
		"json":   {`"mode": "unread"`, `"max_age_seconds": 900`, `"waiting": 12`, `"oldest_waiting": "`},
		"nagios": {"WARNING - tickets: mailbox: 12 waiting, oldest 3 h 10 min (limit 15 min)", "'tickets waiting'=12;;;0;", "'tickets oldest waiting'=114"},
	} {
		code, out, _, err := probe(t, ProbeOptions{Load: loading(c), Output: output})
		if wantCode := map[string]int{"nagios": 1}[output]; code != wantCode {
			t.Errorf("%s: exit code %d, %v", output, code, err)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s", output, want, out)
			}
		}
	}
}
