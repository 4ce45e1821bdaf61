package mail

// This file holds secrets. A Secret's bytes come out through Reveal alone; a test
// lists its callers.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"unique"
)

// hidden stands for a secret wherever one would be printed.
const hidden = "<secret>"

// Secret is a password or a token. Printing, logging or marshalling it in any
// way shows a fixed word. The zero value is the empty secret.
//
// The value is behind a pointer because fmt calls no method on what it finds in
// an unexported field: there it prints an address. The pointer is a unique one,
// so that two secrets are equal (==) exactly if their values are: the token
// sources compare what they read.
type Secret struct{ value unique.Handle[string] }

// NewSecret hides a value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{unique.Make(value)}
}

// Reveal returns the value. Only the mechanisms (prober/auth.go), the redactor of
// server text, the guard's keyed hash and the token sources may call it.
func (s Secret) Reveal() string {
	return s.text()
}

// text is Reveal for this file.
func (s Secret) text() string {
	if s.IsZero() {
		return "" // a zero handle has no value to ask for
	}
	return s.value.Value()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s == Secret{} }

// String hides the value, as do the other printing methods below.
func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, hidden) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (Secret) MarshalYAML() (any, error)    { return hidden, nil }

// SecretSource says where a secret comes from: written in the configuration,
// or a file that is looked at again before each login, so that a rotation needs no
// reload. The zero value has no secret.
type SecretSource struct {
	inline Secret
	path   string
	files  *SecretFiles // nil: the file's content is not remembered
}

// InlineSecret is a source that always returns s.
func InlineSecret(s Secret) SecretSource { return SecretSource{inline: s} }

// FileSecret is a source that reads path at each call; see also SecretFiles.
func FileSecret(path string) SecretSource { return SecretSource{path: path} }

// IsZero reports whether no secret is configured at all.
func (s SecretSource) IsZero() bool { return s.inline.IsZero() && s.path == "" }

// Path is the file's path, or empty for a secret in the configuration.
func (s SecretSource) Path() string { return s.path }

// Read returns the secret as it is now. One trailing newline of a file is cut.
// Its errors name the file and never its content: not a regular file, empty,
// over 64 KiB, or holding CR, LF or NUL, which no mail protocol can carry. A file
// that cannot be read until ctx ends, or within 5 s, is ErrFileStalled.
func (s SecretSource) Read(ctx context.Context) (Secret, error) {
	if s.path == "" {
		return s.inline, CheckSecret(s.inline)
	}
	return s.files.read(ctx, s.path)
}

// CheckSecret says what is wrong with a secret, without quoting it.
func CheckSecret(s Secret) error {
	switch {
	case s.IsZero():
		return errors.New("the secret is empty")
	case strings.ContainsAny(s.text(), "\r\n\x00"):
		return errors.New("the secret contains a line break or NUL")
	}
	return nil
}

// variable matches what other programs would replace.
var variable = regexp.MustCompile(`^\$(\{[^}]*\}|\([^)]*\)|[A-Z_][A-Z0-9_]*$)`)

// LooksLikeVariable reports whether a text looks like ${NAME}, $(NAME) or $NAME,
// which mailprobe does not replace.
func LooksLikeVariable(text string) bool { return variable.MatchString(text) }

// Remarks says what is allowed in a secret but rarely meant, without quoting it:
// each remark goes on after "the secret".
func (s Secret) Remarks() (remarks []string) {
	text := s.text()
	if strings.HasPrefix(text, "\uFEFF") {
		remarks = append(remarks, "begins with a byte order mark, which is sent with it: save the file without BOM")
	}
	if text != strings.TrimSpace(text) {
		remarks = append(remarks, "begins or ends with a blank, which is sent with it")
	}
	if LooksLikeVariable(text) {
		remarks = append(remarks, "looks like the name of a variable: none is replaced, this text itself is sent")
	}
	return remarks
}
