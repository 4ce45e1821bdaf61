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

// addition is a connection with a password that YAML would read otherwise.
func addition(name string) Addition {
	return Addition{Stanza: Stanza{Settings: []Setting{{"name", name}, {"protocol", "imap"}, {"encryption", "starttls"},
		{"host", "mail.example.org"}, {"port", ""}, {"username", "anna: #1"}, {"tls_config.ca_file", "../certs/ca.pem"}, {"tls_config.server_name", "x.example.org"}},
		Comments: []string{"found by srv"}}, Password: "hunter2 # %"}
}

const item = "{name: a, protocol: imap, host: a.example.org}"

// oddFiles are configurations as people write them. Append must keep each of them.
var oddFiles = map[string]string{
	"empty":                            "",
	"only blank lines":                 "\n\n",
	"only comments":                    "# later\n# much later\n",
	"only comments, no line end":       "# later",
	"usual":                            "connections:\n  - " + item + "\n",
	"no line end":                      "connections:\n  - " + item,
	"not indented":                     "connections:\n- " + item + "\n",
	"deeply indented":                  "connections:\n        - " + item + "\n",
	"a blank list":                     "connections:\n",
	"a blank list, no line end":        "connections:",
	"a blank list with a comment":      "connections: # none yet\n",
	"a blank list in the middle":       "connections:\npool: {max_in_flight: 3}\n",
	"no list":                          "pool: {max_in_flight: 3}\n",
	"no list, no line end":             "pool: {max_in_flight: 3}",
	"a key after it":                   "connections:\n  - " + item + "\npool: {max_in_flight: 3}\n",
	"a commented key after it":         "connections:\n  - " + item + "\n\n# The pool,\n# as measured.\n\npool: {max_in_flight: 3}\n",
	"a key after it, not indented":     "connections:\n- " + item + "\npool:\n  max_in_flight: 3\n",
	"comments in the list":             "connections:\n  # first\n  - " + item + " # here\n  # last\n",
	"comments after the list":          "connections:\n  - " + item + "\n# the end\n",
	"comments in place of items":       "connections:\n  - " + item + "\n  #- {name: old, protocol: imap, host: old.example.org}\n",
	"blank lines at the end":           "connections:\n  - " + item + "\n\n\n",
	"blanks at the ends of lines":      "connections:  \n  - " + item + "  \n  \n",
	"line ends of Windows":             "connections:\r\n  - " + item + "\r\n",
	"line ends of Windows, key after":  "connections:\r\n  - " + item + "\r\n\r\npool: {max_in_flight: 3}\r\n",
	"a document start":                 "---\nconnections:\n  - " + item + "\n",
	"a directive":                      "%YAML 1.1\n---\nconnections:\n  - " + item + "\n",
	"a document end":                   "connections:\n  - " + item + "\n...\n",
	"a byte order mark":                "\uFEFFconnections:\n  - " + item + "\n",
	"anchors and merges":               "x-a: &a {protocol: imap, host: h}\nconnections:\n  - &b\n    <<: *a\n    name: a\n  - <<: *b\n    name: b\n",
	"an anchored list":                 "connections: &all\n  - " + item + "\n",
	"quoted keys":                      "\"connections\":\n  - {\"name\": \"a\", \"protocol\": \"imap\", \"host\": \"h\"}\n",
	"a folded text at the end":         "connections:\n  - protocol: imap\n    host: h\n    labels:\n      site: >-\n        two\n        lines\n    name: a\n    mailbox: >-\n      one\n    username: b\n    password: |-\n      hunter2\n",
	"a literal text, no line end":      "connections:\n  - name: a\n    protocol: imap\n    host: h\n    username: b\n    password: |-\n      hunter2",
	"a quoted text over lines":         "connections:\n  - name: a\n    protocol: imap\n    host: h\n    username: \"b\n      c\"\n    password: 'hunter2\n      hunter3'\n",
	"text that looks like keys":        "connections:\n  - name: a\n    protocol: imap\n    host: h\n    labels: {note: 'connections:', other: \"pool: x\"}\n",
	"defaults that would change it":    "defaults: {interval: 5m, timeout: 3s, labels: {team: x}}\nconnections:\n  - " + item + "\n",
	"defaults with other words":        "defaults: {protocol: smtp, encryption: none, mailbox: Archive, sender: a@example.org}\nconnections:\n  - {name: a, host: h}\n",
	"items of many lines, not aligned": "connections:\n  -\n    name: a\n    protocol: imap\n    host: h\n  -   name: b\n      protocol: imap\n      host: h\n",
	"secrets in files":                 "connections:\n  - {name: a, protocol: imap, host: h, username: u, password_file: secret}\n",
	"a token":                          "connections:\n  - {name: a, protocol: imap, host: h, username: u, auth: xoauth2, oauth2: {token_url: 'https://x/token', client_id: i, client_secret_file: secret}}\n",
	"a disabled connection":            "connections:\n  - {name: a, protocol: imap, host: h, enabled: false}\n",
	"unusual letters":                  "# größer — 大\nconnections:\n  - {name: grün, protocol: imap, host: h}\n",
}

func TestAppendKeepsEveryByte(t *testing.T) {
	if len(oddFiles) < 35 {
		t.Errorf("%d files", len(oddFiles))
	}
	for name, before := range oddFiles {
		t.Run(name, func(t *testing.T) {
			workspace(t)
			put(t, "conf/c.yml", before)
			put(t, "conf/secret", "old\n")
			if err := os.Chmod("conf/c.yml", 0o604); err != nil {
				t.Fatal(err)
			}
			source := NewSource("conf/c.yml")
			old, _, oldErr := source.Load()
			done, err := Append("conf/c.yml", []Addition{addition("new"), addition("new too")})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile("conf/c.yml")
			if err != nil {
				t.Fatal(err)
			}
			after := string(raw)
			if !holds(after, before) {
				t.Errorf("bytes have changed:\n%q\n%q", before, after)
			}
			if info, _ := os.Stat("conf/c.yml"); info.Mode().Perm() != 0o604 {
				t.Errorf("the mode has become %v", info.Mode())
			}
			if strings.Contains(before, "\r\n") && strings.Count(after, "\r\n") != strings.Count(after, "\n") {
				t.Errorf("line ends are mixed:\n%q", after)
			}
			config, _, err := source.Load()
			if err != nil {
				t.Fatalf("%v\n%s", err, after)
			}
			if oldErr == nil {
				for i, c := range old.Connections {
					if !c.SameProbe(config.Connections[i]) {
						t.Errorf("%s has changed", c.Name)
					}
				}
			}
			c := config.Connections[len(config.Connections)-1]
			secret, err := c.Password.Read(t.Context())
			if c.Name != "new too" || c.Username != "anna: #1" || c.Encryption != mail.StartTLS || c.ServerName() != "x.example.org" ||
				err != nil || secret != mail.NewSecret("hunter2 # %") {
				t.Errorf("the new one is %+v, %v", c, err)
			}
			if strings.Contains(after, "hunter2 # %") {
				t.Errorf("the password is in the file:\n%s", after)
			}
			if want := []string{"conf/secrets/new"}; fmt.Sprint(done.Secrets) != fmt.Sprint(want) || done.File != "conf/c.yml" {
				t.Errorf("did %+v, want the secrets %v", done, want)
			}
			for _, file := range done.Secrets {
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", file, info, err)
				}
			}
		})
	}
}

// holds reports whether after is before with one piece put into it.
func holds(after, before string) bool {
	for i := len(before); i >= 0; i-- {
		if strings.HasPrefix(after, before[:i]) && strings.HasSuffix(after, before[i:]) && len(after) >= len(before) {
			return true
		}
	}
	return false
}

func TestAppendLeavesAloneWhatItCannotContinue(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"braces":                {"{connections: [" + item + "]}\n", "it is written in braces. Add this to it by hand:\n  # found by srv\n  - name: new\n"},
		"a list in brackets":    {"connections: [" + item + "]\n", "its list of connections is written in brackets"},
		"an empty list":         {"connections: []\n", "remove the brackets"},
		"null":                  {"connections: null\n", "written as null: leave it blank"},
		"an alias":              {"x-a: &a\n  - " + item + "\nconnections: *a\n", "its list of connections is an alias"},
		"the name is taken":     {"connections:\n  - {name: new, protocol: imap, host: h}\n", "is used twice"},
		"faults":                {"connections:\n  - {name: a, protocol: imap}\n", "the configuration has faults already"},
		"no YAML":               {"connections: [\n", "the configuration has faults already"},
		"two documents":         {"connections:\n---\nconnections:\n", "the configuration has faults already"},
		"defaults forbid it":    {"defaults: {auth: none, tls_config: {cert_file: x}}\nconnections:\n  - " + item + "\n", "faults already"},
		"a password would grow": {"connections:\n  - name: a\n    protocol: imap\n    host: h\n    username: b\n    password: |\n      hunter2", "would have faults"},
	} {
		t.Run(name, func(t *testing.T) {
			workspace(t)
			put(t, "conf/c.yml", test.text)
			_, err := Append("conf/c.yml", []Addition{addition("new")})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("got %v, want %q", err, test.want)
			}
			var byHand *HandError
			if errors.As(err, &byHand) && !strings.Contains(byHand.YAML, "name: new") {
				t.Errorf("nothing to add by hand: %+v", byHand)
			}
			if left, _ := filepath.Glob("conf/*"); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
			if left, _ := filepath.Glob("conf/.*"); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			if raw, _ := os.ReadFile("conf/c.yml"); string(raw) != test.text {
				t.Errorf("the file has become\n%s", raw)
			}
		})
	}
}

func TestAppendMakesWhatIsNotThere(t *testing.T) {
	workspace(t)
	put(t, "conf.d/a.yml", one("a"))
	put(t, "real/c.yml", one("a"))
	if err := errors.Join(os.Mkdir("empty", 0o700), os.Symlink("real/c.yml", "link.yml")); err != nil {
		t.Fatal(err)
	}
	plain := Addition{Stanza: Stanza{Settings: []Setting{{"name", "b/../x y"}, {"protocol", "imap"}, {"host", "h"}}}}
	for path, want := range map[string]struct {
		file string
		n    int
	}{
		"fresh.yml": {"fresh.yml", 1}, "conf.d": {"conf.d/b-..-x-y.yml", 2}, "empty": {"empty/b-..-x-y.yml", 1}, "link.yml": {"link.yml", 2},
	} {
		done, err := Append(path, []Addition{plain})
		if err != nil || done.File != want.file {
			t.Errorf("%s: %+v, %v; want %s", path, done, err, want.file)
			continue
		}
		if config, _, err := Load(path, nil); err != nil || len(config.Connections) != want.n {
			t.Errorf("%s: %+v, %v", path, config, err)
		}
	}
	if info, err := os.Lstat("link.yml"); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is replaced by a file")
	}
	if _, err := Append("*.yml", []Addition{plain}); err == nil || !strings.Contains(err.Error(), "is a pattern") {
		t.Errorf("a pattern: %v", err)
	}
	// A secret file that exists belongs to another connection, so it is not replaced.
	put(t, "two/secrets/new", "hunter9\n")
	done, err := Append("two/c.yml", []Addition{{Stanza: Stanza{Settings: addition("new").Settings[:6]}, Password: "hunter2"}})
	if raw, _ := os.ReadFile("two/secrets/new"); err != nil || string(raw) != "hunter9\n" || done.Secrets[0] != "two/secrets/new-2" {
		t.Errorf("did %+v, %v; the old secret is %q", done, err, raw)
	}
}

// Any value of a stanza is read back as it was.
func FuzzStanza(f *testing.F) {
	for _, seed := range []string{"anna", "0x10", "1e3", "yes", "null", "~", "- a", "a: b", "a #b", "'", "\"", "\\", "{x}", "[a]", "&a", "*a", "!a", "%a", "@a", "`a", "2026-11-28", "é", "\u2028", "<>&", "?", "012"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if singleLine(value) != "" || value != strings.TrimSpace(value) || value == "" || len(value) > 200 {
			t.Skip()
		}
		text := "connections:\n" + Stanza{Settings: []Setting{{"name", value}, {"protocol", "imap"}, {"host", "h"}}}.YAML("  ")
		config, _, err := Parse("c.yml", []byte(text), nil)
		if err != nil || config.Connections[0].Name != value {
			t.Errorf("%q became %v, %v in\n%s", value, config, err, text)
		}
	})
}
