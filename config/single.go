package config

// This file builds a connection from settings that are in no file: from a URL, or
// from answers typed by a person.

import (
	"slices"

	"mailprobe/mail"
	"mailprobe/oauth"
)

// Setting is one field of a connection: its path, such as tls_config.ca_file, and
// its value as in a file, without YAML's quotes. The items of a list are separated
// by spaces.
type Setting struct{ Field, Value string }

// String returns the field's path, and not the value, which may be a password.
func (s Setting) String() string { return s.Field }

// NewConnection builds one connection from settings, by the same rules as for a
// file. The error is Faults, with everything that is wrong; the findings are
// warnings. Both name source in place of a file, and no line. Relative paths start
// in the working directory. With nil tokens the connection has a token source of
// its own.
func NewConnection(source string, settings []Setting, tokens Tokens) (*mail.Connection, []Finding, error) {
	if tokens == nil {
		tokens = new(oauth.Sources).Source
	}
	r := newReader(source)
	r.dir = "."
	b := newBuilder(r, tokens, new(mail.SecretFiles))
	c := b.entry(mappingOf(settings), position{}, freshEntry())
	warnings := r.warnings.sorted()
	if len(r.faults.list) > 0 {
		return nil, warnings, Faults(r.faults.sorted())
	}
	return c, warnings, nil
}

// Field is one field of a connection, for command lines.
type Field struct {
	Name    string // its path, such as tls_config.ca_file
	Meaning string
	List    bool // its value is any number of words
}

// Fields returns all fields of a connection, in the order of the reference.
func Fields() []Field {
	var list []Field
	for _, doc := range connectionBlock.blockDoc().fields {
		if doc.inner == nil {
			list = append(list, Field{doc.name, doc.meaning, doc.word == listWord})
			continue
		}
		for _, inner := range doc.inner.fields {
			list = append(list, Field{doc.name + "." + inner.name, inner.meaning, inner.word == listWord})
		}
	}
	return list
}

// isList reports whether a field of a connection is a list of words.
func isList(name string) bool {
	return slices.ContainsFunc(Fields(), func(f Field) bool { return f.List && f.Name == name })
}
