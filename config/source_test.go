package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailprobe/mail"
)

// put writes a file below the working directory.
func put(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// one is a file with one connection.
func one(name string) string {
	return "connections:\n  - {name: " + name + ", protocol: imap, host: mail.example.org}\n"
}

func TestManyFilesAreOneConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "conf/10-pool.yml", "pool: {max_in_flight: 7}\nmetrics: {histograms: none}\n")
	put(t, "conf/20-a.yaml", "defaults: {interval: 5m}\n"+one("a"))
	put(t, "conf/30-b.yml", one("b"))
	put(t, "conf/sub/secret", "hunter2\n")
	put(t, "conf/40-c.yml", "connections:\n  - {name: c, protocol: imap, host: h, username: bob, password_file: sub/secret}\n")
	put(t, "conf/empty.yml", "# later\n")
	put(t, "conf/.hidden.yml", one("hidden"))
	put(t, "conf/notes.txt", "no YAML: [")
	for path, want := range map[string]string{
		"conf":          "a 5m0s, b 1m0s, c 1m0s, ",
		"conf/[23]*.y*": "a 5m0s, b 1m0s, ",
		"conf/30-b.yml": "b 1m0s, ",
	} {
		config, warnings, err := Load(path, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got := ""
		for _, c := range config.Connections {
			got += fmt.Sprint(c.Name, " ", c.Interval, ", ")
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
		if path == "conf" {
			if config.Pool.MaxInFlight != 7 || config.Pool.MaxInFlightPerHost != 10 || config.Metrics.Histograms != mail.HistogramsNone {
				t.Errorf("settings of the first file: %+v", config)
			}
			if secret := config.Connections[2].Password.Path(); secret != "conf/sub/secret" {
				t.Errorf("the secret is at %s, want it beside the file that names it", secret)
			}
			if len(warnings) != 1 || warnings[0].File != "conf/empty.yml" {
				t.Errorf("warnings %v, want one about the empty file", warnings)
			}
		}
	}
}

func TestManyFilesNameTheFileOfEachFault(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "conf/a.yml", "pool: {max_in_flight: 7}\n"+one("a"))
	put(t, "conf/b.yml", "pool: {max_in_flight: 8}\n"+one("a")+"  - {name: b, protocol: imap, host: mail.example.org, porr: 1}\n")
	put(t, "conf/c.yml", "connections: [\n")
	put(t, "many/a.yml", "pool: {}\n")
	put(t, "many/b.yml", "metrics: {}\n")
	for path, want := range map[string]string{
		"conf": `conf/b.yml:1: pool: is for all files, and set in conf/a.yml:1 already
conf/b.yml:3: connection "a": name: is used twice (also in conf/a.yml:3)
conf/b.yml:4: connection "b": porr: unknown field, did you mean "port"?
conf/c.yml:1: is not valid YAML: did not find expected node content`,
		"many":      "many: connections: is missing",
		"none*.yml": "none*.yml: no file matches this pattern",
		"none.yml":  "none.yml: no such file or directory",
		"empty":     "empty: the directory has no *.yml or *.yaml file",
		"[":         "[: is not a valid pattern",
	} {
		if err := os.MkdirAll("empty", 0o700); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Load(path, nil); err == nil || err.Error() != want {
			t.Errorf("%s: got\n%v\nwant\n%s", path, err, want)
		}
	}
}

// A file whose name looks like a pattern is read as that file.
func TestFileNamedLikeAPattern(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "a[1].yml", one("a"))
	put(t, "a1.yml", one("b"))
	config, _, err := Load("a[1].yml", nil)
	if err != nil || config.Connections[0].Name != "a" {
		t.Errorf("got %+v, %v", config, err)
	}
}

func TestSourceNoticesEveryChange(t *testing.T) {
	workspace(t)
	certificate, key := clientCertificate(t)
	put(t, "conf/a.yml", "connections:\n  - {name: a, protocol: imap, host: h, username: bob, password_file: ../secrets/good,\n"+
		"     tls_config: {ca_file: ../certs/ca.pem, cert_file: ../certs/client.pem, key_file: ../certs/client.key}}\n")
	put(t, "conf/b.yml", one("b"))
	put(t, "conf/..v1/c.yml", one("c"))
	put(t, "conf/..v2/c.yml", one("d"))
	link := func(to string) {
		if err := errors.Join(os.Symlink(to, "conf/..next"), os.Rename("conf/..next", "conf/c.yml")); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1/c.yml")
	source := NewSource("conf")
	for _, step := range []struct {
		name   string
		change func()
		want   bool
	}{
		{"nothing", func() {}, false},
		{"a YAML file", func() { put(t, "conf/b.yml", one("bb")) }, true},
		{"a new YAML file", func() { put(t, "conf/d.yml", one("new")) }, true},
		{"a YAML file is gone", func() { _ = os.Remove("conf/d.yml") }, true},
		{"a file of another kind", func() { put(t, "conf/notes", "x") }, false},
		{"the link of a ConfigMap", func() { link("..v2/c.yml") }, true},
		{"the CA", func() { put(t, "certs/ca.pem", string(certificate)) }, true},
		{"the client certificate and its key", func() { put(t, "certs/client.pem", string(certificate)); put(t, "certs/client.key", string(key)) }, true},
		{"a password", func() { put(t, "secrets/good", "hunter3\n") }, false},
		{"a YAML file becomes faulty", func() { put(t, "conf/b.yml", "connections: [") }, true},
		{"the CA is gone", func() { _ = os.Remove("certs/ca.pem") }, true},
		{"the CA is there again", func() { put(t, "certs/ca.pem", string(certificate)) }, true},
		{"everything is gone", func() { _ = os.RemoveAll("conf") }, true},
		{"still gone", func() {}, false},
	} {
		_, _, _ = source.Load() // faulty or not
		step.change()
		if got := source.Changed(); got != step.want {
			t.Errorf("%s: changed %t, want %t", step.name, got, step.want)
		}
	}
}

func TestCheckSyntaxNeedsNoSecrets(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	put(t, "c.yml", `connections:
  - {name: a, protocol: imap, host: h, username: bob, password_file: secrets/none}
  - {name: b, protocol: imap, host: h, username: bob, password_file: '${CREDENTIALS_DIRECTORY}/none'}
  - {name: c, protocol: imap, host: h, username: bob, auth: external, tls_config: {ca_file: none, cert_file: none, key_file: none}}
  - {name: d, protocol: imap, host: h, username: bob, auth: xoauth2, oauth2: {access_token_file: none}}
  - {name: e, protocol: imap, host: h, username: bob, auth: xoauth2, oauth2: {token_url: 'https://login.example.org/', client_id: a, client_secret_file: none}}
`)
	config, warnings, err := CheckSyntax("c.yml")
	if err != nil || len(warnings) > 0 || len(config.Connections) != 5 {
		t.Errorf("got %v, %v, %v", config, warnings, err)
	}
	if _, _, err := Load("c.yml", nil); err == nil {
		t.Error("Load does not miss the files")
	}
	put(t, "c.yml", one("a")+"  - {name: b, protocol: imap, host: h, username: bob}\n")
	if _, _, err := CheckSyntax("c.yml"); err == nil || !strings.Contains(err.Error(), "password_file: is missing") {
		t.Errorf("a fault that needs no files: %v", err)
	}
}

func TestDisabledConnectionIsCheckedAndNotProbed(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "c.yml", one("a")+"  - {name: b, protocol: imap, host: h, enabled: false}\n")
	config, _, err := Load("c.yml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Connections) != 1 || len(config.Disabled) != 1 || config.Disabled[0].Name != "b" {
		t.Errorf("got %+v", config)
	}
	put(t, "c.yml", one("a")+"  - {name: a, protocol: imap, host: h, enabled: false, port: x}\n")
	_, _, err = Load("c.yml", nil)
	for _, want := range []string{"is used twice", "port: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
