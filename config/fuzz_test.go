package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// canary is the secret that no message may show.
const canary = "cAnArY7q"

// FuzzLoad feeds any text to the loader. It must not panic or hang, must return
// either a configuration or faults, and must never show the value of a secret.
func FuzzLoad(f *testing.F) {
	for _, under := range []string{"good", "bad/yaml", "bad/structure", "bad/rules"} {
		files, err := filepath.Glob(filepath.Join("testdata", under, "*.yml"))
		if err != nil || len(files) == 0 {
			f.Fatal(under, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	file := filepath.Join(f.TempDir(), "config.yml")
	f.Fuzz(func(t *testing.T, raw []byte) {
		tryLoad(t, file, raw)
		// The same with the canary in each secret.
		if planted, ok := plant(raw); ok {
			text := tryLoad(t, file, planted)
			if strings.Contains(text, canary) {
				t.Errorf("shows the secret:\n%s\n--- of ---\n%s", text, planted)
			}
		}
	})
}

// tryLoad loads a file and returns the text of all that Load returns.
func tryLoad(t *testing.T, file string, raw []byte) string {
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	config, warnings, err := Load(file, nil)
	if (config == nil) == (err == nil) {
		t.Fatalf("config %v with error %v", config, err)
	}
	if config == nil {
		return fmt.Sprint(warnings, err)
	}
	names := map[string]bool{}
	for _, c := range config.Connections {
		if c.Name == "" || names[c.Name] || c.EffectivePort() == 0 || c.Interval <= 0 || c.Timeout <= 0 || c.Auth == "" {
			t.Errorf("incomplete: %+v", c)
		}
		names[c.Name] = true
	}
	return fmt.Sprintf("%v %+v", warnings, config)
}

// plant appends the canary to the value of each secret field. ok is false for files
// without a secret, with an anchor or alias, or that cannot be written back.
func plant(raw []byte) (planted []byte, ok bool) {
	defer func() { ok = ok && recover() == nil }()
	var document yaml.Node
	if yaml.Unmarshal(raw, &document) != nil {
		return nil, false
	}
	count := 0
	var walk func(n *yaml.Node) bool
	walk = func(n *yaml.Node) bool {
		if n.Anchor != "" || n.Kind == yaml.AliasNode {
			return false
		}
		for i, inner := range n.Content {
			isSecret := n.Kind == yaml.MappingNode && i%2 == 1 && (n.Content[i-1].Value == "password" || n.Content[i-1].Value == "client_secret")
			if isSecret && inner.Kind == yaml.ScalarNode {
				inner.Value += canary
				count++
			} else if !walk(inner) {
				return false
			}
		}
		return true
	}
	if !walk(&document) || count == 0 {
		return nil, false
	}
	planted, err := yaml.Marshal(&document)
	return planted, err == nil
}

// TestSecretsNeverShow puts the canary where a message of the YAML library or of ours could
// quote it.
func TestSecretsNeverShow(t *testing.T) {
	head := "connections:\n  - name: a\n    protocol: imap\n    host: b\n    username: bob\n"
	for name, tail := range map[string]string{
		"used":                     "    password: " + canary,
		"with a line break":        "    password: \"" + canary + "\\n\"",
		"as an alias":              "    password: *" + canary,
		"as an anchor":             "    password: &" + canary,
		"as a tag":                 "    password: !" + canary,
		"as a directive":           "    password: %" + canary,
		"as a reserved word":       "    password: @" + canary,
		"as a list":                "    password: [" + canary + "]",
		"as a mapping":             "    password: {" + canary + ": 1}",
		"as a key":                 "    password:\n      " + canary + ":\n        x",
		"with a colon":             "    password: " + canary + ": x",
		"without a space":          "    password:" + canary,
		"without a space in flow":  "    oauth2: {client_secret:" + canary + "}",
		"twice":                    "    password: " + canary + "\n    password: " + canary,
		"unclosed":                 "    password: \"" + canary,
		"with a bad escape":        "    password: \"" + canary + "\\q\"",
		"beside a file":            "    password: " + canary + "\n    password_file: x",
		"without use":              "    auth: none\n    password: " + canary,
		"in the token endpoint":    "    auth: xoauth2\n    oauth2: {token_url: 'https://bob:" + canary + "@login.example.org'}",
		"in a strange tag":         "    password: !<tag:" + canary + "> x",
		"wrongly spelt":            "    pasword: " + canary,
		"with the wrong type":      "    password: !!int " + canary,
		"as binary":                "    password: !!binary " + canary,
		"before a wrong indention": "    password: " + canary + "\n     port: 1",
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, head+tail+"\n")
			if text := tryLoad(t, file, []byte(head+tail+"\n")); strings.Contains(text, canary) {
				t.Errorf("shows the secret: %s", text)
			}
		})
	}
}
