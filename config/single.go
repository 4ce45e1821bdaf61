package config

// This file builds one connection of settings that are in no file: of a URL, or
// of what somebody typed.

import (
	"slices"

	"mailprobe/mail"
	"mailprobe/oauth"
)

// Setting is one field of a connection: its path, such as tls_config.ca_file,
// and its value as a file would have it, without YAML's quotes.
type Setting struct{ Field, Value string }

// String leaves the value out, which may be a password.
func (s Setting) String() string { return s.Field }

// NewConnection builds one connection of settings, by the rules of a file. All
// faults come at once; findings name source in place of a file, and no line.
// Relative paths start at the working directory. Without tokens the connection
// has a token source of its own.
func NewConnection(source string, settings []Setting, tokens Tokens) (*mail.Connection, []Finding, error) {
	if tokens == nil {
		tokens = new(oauth.Sources).Source
	}
	r := newReader(source)
	r.dir = "."
	b := newBuilder(r, tokens)
	c := b.entry(mappingOf(settings), position{}, freshEntry())
	warnings := r.warnings.sorted()
	if len(r.faults.list) > 0 {
		return nil, warnings, Faults(r.faults.sorted())
	}
	c.Source = source
	return c, warnings, nil
}

// FieldNames lists the paths of all fields of a connection, in the order of the
// reference.
func FieldNames() []string {
	var names []string
	for _, doc := range connectionBlock.blockDoc().fields {
		if doc.inner == nil {
			names = append(names, doc.name)
			continue
		}
		for _, inner := range doc.inner.fields {
			names = append(names, doc.name+"."+inner.name)
		}
	}
	return slices.Clip(names)
}
