package config

// This file appends connections to a configuration that a person wrote. It
// inserts text, so that comments and order stay. Before it writes anything, it
// loads the whole configuration with the new text in it.

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"mailprobe/internal/durable"
	"mailprobe/mail"
	"mailprobe/oauth"
)

// Addition is a connection to append, with its password.
type Addition struct {
	Stanza
	Password string // written to secrets/NAME beside the file; empty: there is none
}

// String returns the connection's name, and never the password.
func (n Addition) String() string { return n.Value("name") }

// Appended is the result of Append.
type Appended struct {
	File    string   // the file that now holds the new connections
	Secrets []string // the files made for their passwords; nil: none
}

// HandError is returned by Append for a file in which text cannot safely be
// inserted. It holds the YAML to add by hand.
type HandError struct {
	File, Reason, YAML string
}

func (e *HandError) Error() string {
	return fmt.Sprintf("%s is left as it is: %s. Add this to it by hand:\n%s", e.File, e.Reason, e.YAML)
}

// appending is one call of Append.
type appending struct {
	path      string // as given
	file      string // the file to change: path, or a file in that directory
	additions []Addition
	made      []string // new files and folders; removed again on an error

	// Both loads share these, so that an unchanged connection compares as equal.
	files  mail.SecretFiles
	tokens *oauth.Sources
}

// Append adds connections to a configuration, of which there is at least one.
// If path is a file, they are added to the end of its list; a missing file is
// created. If path is a directory, they get a file of their own in it. Each
// password goes to a file that only its owner can read. On any error nothing is
// changed; the error is a *HandError where only a person can make the change.
func Append(path string, additions []Addition) (Appended, error) {
	a := &appending{path: path, file: path, additions: slices.Clone(additions)}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		a.file = filepath.Join(path, fileName(additions[0].Value("name"))+".yml")
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(path, "*?["):
		return Appended{}, fmt.Errorf("%s is a pattern: name one file, or a directory", path)
	}
	done, err := a.run()
	if err != nil {
		for _, made := range slices.Backward(a.made) {
			_ = os.Remove(made)
		}
		return Appended{}, err
	}
	return done, nil
}

func (a *appending) run() (Appended, error) {
	before, err := readBounded(a.file, maxFile)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return Appended{}, err
	}
	var known []*mail.Connection
	if len(bytes.TrimSpace(before)) > 0 || a.file != a.path {
		if known, err = a.load(nil); err != nil {
			return Appended{}, fmt.Errorf("the configuration has faults already:\n%w", err)
		}
	}
	secrets, err := a.writeSecrets()
	if err != nil {
		return Appended{}, err
	}
	after, reason := appended(before, a.additions)
	if reason == "" {
		now, err := a.load(after)
		if err != nil {
			return Appended{}, fmt.Errorf("the configuration would have faults:\n%w", err)
		}
		reason = unlike(known, now, len(a.additions))
	}
	if reason != "" {
		return Appended{}, &HandError{File: a.file, Reason: reason, YAML: listed(a.additions, "  ")}
	}
	target := a.file
	if resolved, err := filepath.EvalSymlinks(target); err == nil {
		target = resolved // the file is replaced, not a link to it
	}
	return Appended{File: a.file, Secrets: secrets}, durable.Replace(target, after, 0o644) // no secret is in it
}

// load returns all connections, disabled ones too. Text stands in for the content
// of the file to change; nil: the file is read.
func (a *appending) load(text []byte) ([]*mail.Connection, error) {
	a.tokens = a.tokens.Next()
	l := newFileLoader(a.path, a.tokens.Source)
	l.files, l.mayBeEmpty = &a.files, true
	if text != nil {
		l.texts, l.added = map[string][]byte{a.file: text}, a.file
	}
	config, _, err := l.load()
	if err != nil {
		return nil, err
	}
	return slices.Concat(config.Connections, config.Disabled), nil
}

// listed returns the YAML of all additions.
func listed(additions []Addition, indent string) string {
	var b strings.Builder
	for _, n := range additions {
		b.WriteString(n.YAML(indent))
	}
	return b.String()
}

// fileName returns a file name for a connection's name: letters, digits and ._-
// stay, anything else becomes a dash.
func fileName(name string) string {
	word := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, name)
	if word = strings.TrimLeft(word, "."); word == "" {
		return "connection"
	}
	return word
}

// writeSecrets makes one file for each different password, and adds its
// path to the settings of the connections that use it.
func (a *appending) writeSecrets() (files []string, err error) {
	known := map[string]string{}
	for i, n := range a.additions {
		if n.Password == "" {
			continue
		}
		file := known[n.Password]
		if file == "" {
			if file, err = a.writeSecret(n); err != nil {
				return nil, err
			}
			known[n.Password] = file
			files = append(files, file)
		}
		a.additions[i].Settings = append(slices.Clone(n.Settings), Setting{"password_file", "secrets/" + filepath.Base(file)})
	}
	return files, nil
}

// writeSecret makes a new file for a password. It never overwrites a file, which
// another connection may use.
func (a *appending) writeSecret(n Addition) (string, error) {
	dir := filepath.Join(filepath.Dir(a.file), "secrets")
	switch err := durable.Mkdir(dir, 0o700, a.reader()); {
	case err == nil:
		a.made = append(a.made, dir)
	case !errors.Is(err, fs.ErrExist):
		return "", err
	}
	base := filepath.Join(dir, fileName(n.Value("name")))
	for i := 1; ; i++ {
		path := base
		if i > 1 {
			path = fmt.Sprintf("%s-%d", base, i)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) && i < 100 {
			continue
		}
		if err != nil {
			return "", err
		}
		a.made = append(a.made, path)
		if err = durable.Adopt(file, a.reader()); err == nil {
			_, err = file.WriteString(n.Password + "\n")
		}
		return path, errors.Join(err, file.Sync(), file.Close())
	}
}

// reader returns a path whose owner also becomes the owner of the secrets: who
// reads the configuration must be able to read them.
func (a *appending) reader() string {
	if _, err := os.Stat(a.file); err == nil {
		return a.file
	}
	return filepath.Dir(a.file)
}

// unlike returns why the connections after the change are not the ones before it
// and n more; empty: they are.
func unlike(before, after []*mail.Connection, n int) string {
	if len(after) != len(before)+n {
		return "its list of connections cannot be continued as text"
	}
	for _, old := range before {
		if !slices.ContainsFunc(after, func(c *mail.Connection) bool { return c.Name == old.Name && c.SameProbe(old) }) {
			return fmt.Sprintf("the connection %q would change", old.Name)
		}
	}
	return ""
}

// appended returns the content of a file with more connections, or the reason why
// text cannot be inserted. It changes no byte of what is there.
func appended(raw []byte, additions []Addition) (after []byte, reason string) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return append(bytes.Clone(raw), "connections:\n"+listed(additions, "  ")...), ""
	}
	root, err := rootOf(raw)
	switch {
	case err != nil:
		return nil, "it is not valid YAML"
	case root == nil: // only comments
		return insert(raw, len(raw), "connections:\n", additions, "  "), ""
	case !isMapping(root) || isFlow(root):
		return nil, "it is written in braces"
	}
	var list *node
	var keyLine int
	var next int // the line of the key after the list; 0: it is the last
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch {
		case root.Content[i].Value == "connections":
			list, keyLine = root.Content[i+1], root.Content[i].Line
			if isNull(list) {
				list.Line = root.Content[i].Line
			}
		case list != nil && next == 0:
			next = root.Content[i].Line
		}
	}
	switch end := sectionEnd(raw, next); {
	case list == nil:
		return insert(raw, end, "connections:\n", additions, "  "), ""
	case isAliasNode(list):
		return nil, "its list of connections is an alias"
	case isNull(list) && list.Value != "":
		return nil, "its list of connections is written as " + list.Value + ": leave it blank"
	case isNull(list):
		return insert(raw, lineEnd(raw, list.Line), "", additions, "  "), ""
	case isSequence(list) && len(list.Content) == 0:
		return nil, "its list of connections is written as []: remove the brackets"
	case isSequence(list) && !isFlow(list):
		return insert(raw, end, "", additions, dashIndent(raw, keyLine)), ""
	}
	return nil, "its list of connections is written in brackets"
}

// dashIndent returns the spaces before the first dash below a line.
func dashIndent(raw []byte, line int) string {
	for text := range bytes.Lines(raw[lineEnd(raw, line):]) {
		if bare := bytes.TrimLeft(text, " "); bytes.HasPrefix(bare, []byte("-")) {
			return string(text[:len(text)-len(bare)])
		}
	}
	return "  "
}

// insert puts connections into a text, with the text's own line ends.
func insert(raw []byte, at int, head string, additions []Addition, indent string) []byte {
	text := head + listed(additions, indent)
	if at > 0 && raw[at-1] != '\n' {
		text = "\n" + text
	}
	if bytes.Contains(raw, []byte("\r\n")) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return slices.Concat(raw[:at], []byte(text), raw[at:])
}

// documentEnd matches the mark that ends a YAML document.
var documentEnd = regexp.MustCompile(`(?m)^\.\.\.`)

// sectionEnd returns the offset where the section above a line ends. Comments and
// blank lines directly above the line belong to the line. Line 0 stands for the
// end of the YAML document.
func sectionEnd(raw []byte, line int) int {
	if line == 0 {
		if at := documentEnd.FindIndex(raw); at != nil {
			return at[0]
		}
		return len(raw)
	}
	end := 0
	if line > 1 {
		end = lineEnd(raw, line-1)
	}
	for end > 0 {
		start := bytes.LastIndexByte(raw[:end-1], '\n') + 1
		text := bytes.TrimSpace(raw[start:end])
		if len(text) > 0 && raw[start] != '#' {
			break
		}
		end = start
	}
	return end
}

// lineEnd returns the offset just after a line, counted from 1.
func lineEnd(raw []byte, line int) int {
	at := 0
	for range line {
		next := bytes.IndexByte(raw[at:], '\n')
		if next < 0 {
			return len(raw)
		}
		at += next + 1
	}
	return at
}
