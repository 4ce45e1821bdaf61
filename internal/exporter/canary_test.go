package exporter_test

// This test gives secrets to good and hostile servers, and looks for them in every place
// where they could appear.

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"mailprobe/config"
	"mailprobe/internal/canary"
	"mailprobe/internal/exporter"
	"mailprobe/internal/mailtest"
	"mailprobe/mail"
	"mailprobe/prober"
)

// sink is a place that others can read.
type sink struct {
	name string
	text func() string
}

// echoes are answers of servers that repeat what they received. {line} is the command
// with the credential; the others are encodings of the password.
var echoes = []string{
	"{line}", "{secret}", "[{secret}] no", "[AUTHENTICATIONFAILED] {base64}", "{half}", "{hex}", "{url}", "5.7.8 {secret}",
	"[ALERT] {base64}", "{secret}{secret}{secret}", "log in via your web browser: https://evil.example/?p={url}",
}

// hostileScripts are the dialogues in which hostile servers get the password and repeat
// it.
var hostileScripts = map[mail.Protocol]string{
	mail.IMAP: "S: * OK hi\nC: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\nS: {tag} OK\n" +
		"C~ (?P<tag>\\S+) (?P<line>.*)\nS: * {echo}\nS: * OK [{echo}] x\nS: {tag} NO {echo}\nC?: *\nS: * BYE {echo}\nS: {tag} NO {echo}",
	mail.POP3: "S: +OK hi\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN\nS: + \nC~ (?P<line>.*)\nS: -ERR {echo}\nC?: *\nS: -ERR {echo}",
	mail.SMTP: "S: 220 hi\nC: EHLO *\nS: 250-hi\nS: 250 AUTH PLAIN\nC~ (?P<line>.*)\nS: 535-{echo}\nS: 535 {echo}\nC?: *\nS: 221 {echo}",
}

// secretFixture has connections to good and hostile servers, each with its own secret.
type secretFixture struct {
	connections []*mail.Connection
	secrets     []string
	hostile     []*mailtest.Scripted
}

func newSecretFixture(t *testing.T) *secretFixture {
	s := &secretFixture{}
	for protocol, script := range hostileScripts {
		good := canary.New()
		server, err := mailtest.Start(mailtest.Options{Protocol: string(protocol), Encryption: mailtest.NoEncryption,
			Users: map[string]string{"user@example.org": good}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		s.add("good-"+string(protocol), protocol, server.Port, good)
		s.add("wrong-"+string(protocol), protocol, server.Port, canary.New())
		for i, echo := range echoes {
			secret := canary.New()
			text := echoWords(secret).Replace(strings.ReplaceAll(script, "{echo}", echo))
			hostile, err := mailtest.StartScript(mailtest.MustScript(text), mailtest.ScriptOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = hostile.Close() })
			s.hostile = append(s.hostile, hostile)
			s.add(fmt.Sprintf("hostile-%s-%d", protocol, i), protocol, hostile.Port, secret)
		}
	}
	return s
}

// echoWords replaces the placeholders of echoes by encodings of a password.
func echoWords(secret string) *strings.Replacer {
	half := []rune(secret[len(secret)/2:])
	slices.Reverse(half)
	return strings.NewReplacer("{secret}", secret, "{half}", string(half), "{url}", url.QueryEscape(secret),
		"{hex}", hex.EncodeToString([]byte(secret)), "{base64}", base64.StdEncoding.EncodeToString([]byte(secret)))
}

func (s *secretFixture) add(name string, protocol mail.Protocol, port int, secret string) {
	s.secrets = append(s.secrets, secret)
	s.connections = append(s.connections, &mail.Connection{Name: name, Protocol: protocol,
		Encryption: mail.NoEncryption, Host: "127.0.0.1", Port: port, Username: "user@example.org",
		Password: mail.InlineSecret(mail.NewSecret(secret)), Auth: mail.AuthAuto, CheckMailbox: true, Mailbox: "INBOX",
		Interval: time.Hour, Timeout: 20 * time.Second, IPProtocol: mail.AnyIP, Lockout: mail.LockoutOff})
}

func TestSecretsAppearNowhere(t *testing.T) {
	s := newSecretFixture(t)
	var log safeBuffer
	state := filepath.Join(t.TempDir(), "state")
	loaded := &config.Config{Connections: s.connections}
	e, err := exporter.New(exporter.Options{
		Load:      func() (*config.Config, []config.Finding, error) { return loaded, nil, nil },
		Log:       slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		StateFile: state,
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e)
	var outcomes []mail.Outcome
	for _, c := range s.connections {
		if page := ask(e, "/probe?debug=true&connection="+c.Name); !strings.Contains(page, "mailprobe_up") {
			t.Fatalf("%s was not probed:\n%s", c.Name, page)
		}
		outcomes = append(outcomes, new(prober.Prober).Probe(t.Context(), c))
	}
	for _, server := range s.hostile {
		if server.Logins() == 0 {
			t.Error("a hostile server did not get its password")
		}
	}
	secrets := canary.Of(s.secrets...)
	for _, sink := range append(served(e, s), kept(&log, state, loaded, outcomes, e)...) {
		text := sink.text()
		if len(text) == 0 {
			t.Errorf("%s is empty", sink.name)
		}
		if coding, i := secrets.Find(text); coding != "" {
			t.Errorf("the password of %s is in %s, %s", s.connections[i].Name, sink.name, coding)
		}
	}
}

// run runs an exporter until the test ends.
func run(t *testing.T, e *exporter.Exporter) {
	t.Helper()
	ctx, ended := t.Context(), make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// served is everything that is served over HTTP, in all its formats.
func served(e *exporter.Exporter, s *secretFixture) []sink {
	var sinks []sink
	add := func(path, accept string) {
		sinks = append(sinks, sink{path + " " + accept, func() string {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Accept", accept)
			e.Handler().ServeHTTP(w, r)
			return fmt.Sprint(w.Header()) + w.Body.String()
		}})
	}
	for _, accept := range []string{"text/plain", "application/openmetrics-text;version=1.0.0",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		add("/metrics", accept)
	}
	for _, path := range []string{"/", "/sd", "/api/v1/connections", "/-/healthy", "/-/ready"} {
		add(path, "*/*")
	}
	for _, c := range s.connections {
		for _, path := range []string{"/connections/", "/api/v1/connections/"} {
			add(path+c.Name, "*/*")
		}
	}
	return sinks
}

// kept is everything else that leaves the process, or that code or tools can print.
func kept(log *safeBuffer, state string, loaded *config.Config, outcomes []mail.Outcome, e *exporter.Exporter) []sink {
	dump := func(values ...any) string {
		var b strings.Builder
		for _, v := range values {
			fmt.Fprintf(&b, "%v %+v %#v %s %q %x\n", v, v, v, v, v, v)
			raw, err := json.Marshal(v)
			fmt.Fprintln(&b, string(raw), err)
		}
		return b.String()
	}
	return []sink{
		{"the log", log.String},
		{"the state file", func() string { raw, _ := os.ReadFile(state); return string(raw) }},
		{"the goroutines", func() string { stack := make([]byte, 4<<20); return string(stack[:runtime.Stack(stack, true)]) }},
		{"the profiles", func() string {
			var b bytes.Buffer
			for _, p := range pprof.Profiles() {
				_ = p.WriteTo(&b, 2)
			}
			return b.String()
		}},
		{"printed outcomes", func() string { return dump(anys(outcomes)...) }},
		{"printed failures", func() string {
			var all []any
			for _, o := range outcomes {
				all = append(all, o.Failure, o.TLS, o.Auth, o.Mailbox, o.Transcript, o.Phases)
			}
			return dump(all...)
		}},
		{"printed connections", func() string {
			var all []any
			for _, c := range loaded.Connections {
				plain := *c
				all = append(all, plain, struct{ c mail.Connection }{plain}, struct{ s mail.SecretSource }{plain.Password}, plain.Password)
			}
			return dump(all...)
		}},
		{"the printed configuration", func() string { return dump(*loaded) }},
		{"the printed exporter", func() string { return fmt.Sprintf("%+v %#v", e, e) }},
		{"connections in YAML", func() string {
			raw, err := yaml.Marshal([]any{loaded.Connections[0].Password, mail.NewSecret("x")})
			return fmt.Sprint(string(raw), err)
		}},
	}
}

func anys[T any](values []T) []any {
	var all []any
	for _, v := range values {
		all = append(all, v)
	}
	return all
}

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
