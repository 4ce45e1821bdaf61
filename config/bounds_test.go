package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/systest"
	"mailprobe/mail"
	"mailprobe/oauth"
)

// write makes a file in a directory of its own.
func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoadRefusesWhatIsTooMuch(t *testing.T) {
	merges := "x-a0: &a0 {name: a, protocol: imap, host: b, port: 1}\n"
	for i := 1; i < 30; i++ {
		merges += fmt.Sprintf("x-a%d: &a%d {<<: [%s*a%d]}\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 20), i-1)
	}
	lists := "x-a0: &a0 [lol]\n"
	for i := 1; i < 30; i++ {
		lists += fmt.Sprintf("x-a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 20), i-1)
	}
	tests := []struct{ name, content, want string }{
		{"merges of merges", merges + "connections:\n  - <<: *a12\n", "copy too much"},
		{"deep merges", merges + "connections:\n  - <<: *a29\n", "copy too much"},
		{"lists of lists", lists + "connections: *a29\n", "must be a mapping"},
		{"lists of lists as a scope", lists + "connections:\n  - {name: a, protocol: imap, host: b, oauth2: {scopes: *a29}}\n", "single value"},
		{"a million values", "connections: [" + strings.Repeat("a,", 1<<20) + "a]\n", "more than"},
		{"nested too deep", "connections: " + strings.Repeat("[", 20_000) + "\n", "exceeded max depth"},
		{"one long line", "connections: \"" + strings.Repeat("a", 1<<20) + "\"\n", "must be a list"},
		{"a long name", "connections:\n  - {name: " + strings.Repeat("a", 1<<20) + ", protocol: imap, host: b}\n", "longer than"},
		{"a thousand faults and more", "connections:\n" + strings.Repeat("  - {nam: a}\n", 5000), "and 19000 more"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, test.content)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := systest.ProcessorTime()
			_, _, err := Load(file, nil)
			took := systest.ProcessorTime() - start
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				text := fmt.Sprint(err)
				t.Fatalf("got %.300s, want %q", text, test.want)
			}
			// All that was ever allocated is more than what was held at once.
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%v, %d MiB", took, allocated)
			if took > 5*time.Second || allocated > 64 {
				t.Errorf("took %v and %d MiB", took, allocated)
			}
		})
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	systest.MakeFIFO(t, fifo)
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 100<<20); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		big:                               "larger than 16384 KiB",
		filepath.Join(dir, "missing.yml"): "no such file",
		dir:                               "the directory has no *.yml or *.yaml file",
		fifo:                              "not a regular file",
	} {
		if _, _, err := Load(file, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

func TestConnectionsShareWhatIsEqual(t *testing.T) {
	workspace(t)
	var b bytes.Buffer
	b.WriteString("connections:\n")
	for i, tail := range []string{
		"host: a.example.org, tls_config: {ca_file: certs/ca.pem}",
		"host: a.example.org, tls_config: {ca_file: ./certs/ca.pem}",
		"host: b.example.org, tls_config: {ca_file: certs/ca.pem, cert_file: certs/client.pem, key_file: certs/client.key}",
		"host: a.example.org",
	} {
		fmt.Fprintf(&b, "  - {name: c%d, protocol: imap, %s}\n", i, tail)
	}
	if err := os.WriteFile("config.yml", b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	config, _, err := Load("config.yml", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Connections
	if c[0].TLS != c[1].TLS {
		t.Error("equal settings do not share one tls.Config")
	}
	if c[0].TLS.RootCAs == nil || c[0].TLS.RootCAs != c[2].TLS.RootCAs {
		t.Error("connections with one ca_file do not share its certificates")
	}
	if c[3].TLS == c[0].TLS || c[3].TLS.RootCAs != nil {
		t.Error("a connection without ca_file trusts the CA of another one")
	}
	if len(c[2].TLS.Certificates) != 1 {
		t.Error("the client certificate is missing")
	}
	if !c[0].TLS.SessionTicketsDisabled || c[0].TLS.ClientSessionCache != nil {
		t.Error("sessions would be resumed")
	}
}

func TestConnectionsWithOneCredentialShareItsToken(t *testing.T) {
	workspace(t)
	oauth2 := "username: bob, auth: xoauth2, oauth2: {token_url: 'https://login.example.org/t', client_id: a, client_secret_file: secrets/good, scopes: [b, c]}"
	content := "connections:\n"
	for _, name := range []string{"one", "two"} {
		content += "  - {name: " + name + ", protocol: imap, host: a.example.org, " + oauth2 + "}\n"
	}
	if err := os.WriteFile("config.yml", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked []oauth.Settings
	tokens := func(s oauth.Settings) (mail.TokenSource, error) {
		asked = append(asked, s)
		return new(oauth.Sources).Source(s)
	}
	loaded, _, err := Load("config.yml", tokens)
	if err != nil {
		t.Fatal(err)
	}
	if path := loaded.Connections[0].TokenCredential.Path(); path != "secrets/good" {
		t.Errorf("the guard looks for another secret at %q", path)
	}
	want := oauth.Settings{TokenURL: "https://login.example.org/t", ClientID: "a", Scopes: []string{"b", "c"},
		ClientSecret: loaded.Connections[0].TokenCredential}
	if len(asked) != 2 || fmt.Sprintf("%+v", asked[0]) != fmt.Sprintf("%+v", want) || fmt.Sprintf("%+v", asked[1]) != fmt.Sprintf("%+v", want) {
		t.Errorf("asked for %+v, want twice %+v", asked, want)
	}
	sources := new(oauth.Sources)
	if _, _, err := Load("config.yml", sources.Source); err != nil {
		t.Error(err)
	}
}

func TestCredentialsDirectoryOfSystemd(t *testing.T) {
	workspace(t)
	dir := filepath.Join(mustGetwd(t), "secrets")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	content := "connections:\n  - {name: a, protocol: imap, host: b, username: bob, password_file: '${CREDENTIALS_DIRECTORY}/good'}\n"
	config, warnings, err := Load(write(t, content), nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if got := config.Connections[0].Password.Path(); got != filepath.Join(dir, "good") {
		t.Errorf("reads %s", got)
	}
}

// TestTenThousandConnections logs how long a large file takes. The limit is far higher,
// for busy machines.
func TestTenThousandConnections(t *testing.T) {
	var b strings.Builder
	b.WriteString("defaults: {interval: 5m, timeout: 10s}\nconnections:\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "  - name: c%d\n    protocol: imap\n    encryption: starttls\n    host: mail%d.example.org\n    username: user%d\n    password: hunter2\n    labels: {team: a}\n", i, i%500, i)
	}
	start := time.Now()
	config, _, err := Load(write(t, b.String()), nil)
	took := time.Since(start)
	if err != nil || len(config.Connections) != 10_000 {
		t.Fatal(err)
	}
	t.Logf("%v for %d KiB", took, b.Len()>>10)
	if took > 2*time.Minute {
		t.Errorf("took %v", took)
	}
}

// Many warnings about single connections leave room for warnings about the whole file.
func TestFindingsKeepThoseAboutTheWholeFile(t *testing.T) {
	var l findings
	for line := range 3 * maxFindings {
		l.add(Finding{Line: line + 2, Where: "connection", Text: "is unwise"})
	}
	whole := Finding{Line: 1, Field: "pool.max_in_flight", Text: "is too small"}
	l.add(whole)
	if got := l.sorted(); len(got) != maxFindings+2 || got[0] != whole {
		t.Errorf("%d findings beginning with %q, want %d with %q", len(got), got[0], maxFindings+2, whole)
	}
	for line := range 3 * maxFindings {
		l.add(Finding{Line: line + 2, Field: "pool", Text: "is unwise"})
	}
	if got := len(l.sorted()); got != 2*maxFindings+1 {
		t.Errorf("%d findings, want at most %d", got, 2*maxFindings+1)
	}
}

// maxBytes is what a loaded connection may take that has a name, a host and a user of its
// own.
const maxBytes = 600

func TestLoadedConnectionsAreSmall(t *testing.T) {
	const connections = 1000
	text := "defaults: {protocol: imap, password: x, labels: {team: support, site: berlin}}\nconnections:\n"
	for i := range connections {
		text += fmt.Sprintf("  - {name: inbox-%d, host: mail%d.example.org, port: 1993, username: user-%d@example.org}\n", i, i, i)
	}
	file := write(t, text)
	load := func() (config *Config, held uint64) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		config, _, err := Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		return config, after.HeapAlloc - before.HeapAlloc
	}
	_, _ = load() // so that what is allocated only once is there
	config, held := load()
	if got := held / uint64(len(config.Connections)); got > maxBytes {
		t.Errorf("%d bytes for each of %d connections, want at most %d", got, len(config.Connections), maxBytes)
	}
}
