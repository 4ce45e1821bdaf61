package config

// This file defines how a field is described. The reader, the JSON Schema and the
// reference documentation are made from the same tables.

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"mailprobe/mail"
)

// block is a mapping of the file: its fields and their starting values.
type block[T any] struct {
	fields   []field[T]
	fresh    func() *T       // the built-in defaults
	extra    string          // prefix of further keys that are let through; empty: none
	inner    func() []string // fields of a connection, which may be written here by mistake; nil: none
	meaning  string
	required []string
}

// field is one field of a block.
type field[T any] struct {
	name    string
	is      kind[T]
	only    []mail.Protocol // protocols it is for; nil: all
	def     string          // default, for people
	meaning string          // one or two sentences
	example string          // YAML value
}

// kind is how the value of a field is written, checked and stored.
type kind[T any] struct {
	word   string // for people: "text", "duration", …
	schema func() map[string]any
	secret bool
	read   func(r *reader, n *node, at position, to *T)
	copy   func(to, from *T)
	same   func(a, b *T) bool
	inner  *blockDoc // of a nested block; nil otherwise
}

// blockDoc is a block without its type: what schema and reference need.
type blockDoc struct {
	meaning  string
	extra    string
	required []string
	fields   []fieldDoc
}

// fieldDoc is a field without its type.
type fieldDoc struct {
	name, word, def, meaning, example string
	only                              []mail.Protocol
	secret                            bool
	schema                            func() map[string]any
	inner                             *blockDoc
}

// value returns a kind: at is the place in T where the value is stored, parse
// reads it. parse reports its own faults, and returns false if there is nothing to
// store.
func value[T, V any](at func(*T) *V, parse func(*reader, *node, position) (V, bool)) kind[T] {
	return kind[T]{
		read: func(r *reader, n *node, where position, to *T) {
			if v, ok := parse(r, n, where); ok {
				*at(to) = v
			}
		},
		copy: func(to, from *T) { *at(to) = *at(from) },
		same: func(a, b *T) bool { return reflect.DeepEqual(*at(a), *at(b)) },
	}
}

// nested returns the kind of a block within a block. Its fields are set one by
// one: those that are not written keep their value.
func nested[T, U any](b block[U], at func(*T) *U) kind[T] {
	shape := b.blockDoc()
	return kind[T]{
		word: "mapping",
		read: func(r *reader, n *node, where position, to *T) { b.read(r, n, where, at(to)) },
		copy: func(to, from *T) { *at(to) = *at(from) },
		same: func(a, b *T) bool { return reflect.DeepEqual(*at(a), *at(b)) },

		schema: func() map[string]any { return nullable(shape.schema()) },
		inner:  shape,
	}
}

// names lists the fields in the order of the table.
func (b block[T]) names() []string {
	names := make([]string, len(b.fields))
	for i, f := range b.fields {
		names[i] = f.name
	}
	return names
}

// read stores the fields of a mapping in to, and records in r.set which ones were
// written. A blank value means the built-in default, even where `defaults` says
// something else.
func (b block[T]) read(r *reader, n *node, at position, to *T) {
	if !isMapping(n) {
		r.fault(at.on(n.Line), "must be a mapping of fields")
		return
	}
	for _, p := range r.pairs(n, at) {
		b.readPair(r, p, at, to)
	}
}

func (b block[T]) readPair(r *reader, p pair, at position, to *T) {
	i := slices.IndexFunc(b.fields, func(f field[T]) bool { return f.name == p.key })
	switch {
	case i < 0 && b.extra != "" && strings.HasPrefix(p.key, b.extra):
	case i < 0 && !looksLikeWord(p.key):
		r.fault(at.on(p.line), "unknown field: is there a space after its colon?")
	case i < 0:
		r.fault(at.on(p.line).sub(p.key), "unknown field"+b.hint(p.key))
	default:
		where := at.sub(p.key).on(p.line)
		r.set[where.field] = origin{line: p.line, own: true, blank: isNull(p.value)}
		if isNull(p.value) {
			b.fields[i].is.copy(to, b.fresh())
			return
		}
		b.fields[i].is.read(r, p.value, where, to)
	}
}

// hint returns where an unknown field belongs, or which field may be meant; empty:
// neither is known.
func (b block[T]) hint(key string) string {
	for _, f := range b.blockDoc().fields {
		if f.inner != nil && slices.ContainsFunc(f.inner.fields, func(inner fieldDoc) bool { return inner.name == key }) {
			return " here: it belongs below " + f.name
		}
	}
	if b.inner != nil && slices.Contains(b.inner(), key) {
		return " here: it belongs below defaults, or to a connection"
	}
	if ours := otherNames[strings.ToLower(key)]; slices.Contains(b.names(), ours) {
		return ", did you mean " + strconv.Quote(ours) + "?"
	}
	return DidYouMean(key, b.names())
}

// otherNames are names that other programs use for our fields. Read only.
var otherNames = map[string]string{
	"ssl": "encryption", "use_ssl": "encryption", "starttls": "encryption", "security": "encryption",
	"type": "protocol", "server": "host", "hostname": "host", "login": "username", "email": "username", "secret": "password",
	"folder": "mailbox", "from": "sender", "to": "recipient", "rcpt": "recipient", "alias": "shared_mailbox",
	"every": "interval", "period": "interval", "method": "auth", "mechanism": "auth", "token": "oauth2",
	"verify": "insecure_skip_verify", "verify_ssl": "insecure_skip_verify", "skip_verify": "insecure_skip_verify",
}

// blockDoc returns the block's description.
func (b block[T]) blockDoc() *blockDoc {
	o := &blockDoc{meaning: b.meaning, extra: b.extra, required: b.required}
	for _, f := range b.fields {
		o.fields = append(o.fields, fieldDoc{name: f.name, word: f.is.word, def: f.def, meaning: f.meaning, example: f.example,
			only: f.only, secret: f.is.secret, schema: f.is.schema, inner: f.is.inner})
	}
	return o
}

// position is the place of a value, for messages.
type position struct {
	file         string // empty: the file being read
	line         int
	where, field string
}

func (p position) on(line int) position {
	p.line = line
	return p
}

// sub returns the position of a field of this block.
func (p position) sub(field string) position {
	if p.field != "" {
		field = p.field + "." + field
	}
	p.field = field
	return p
}

// origin is the place where a field is written.
type origin struct {
	file string // only for fields at the top of a file
	line int
	own  bool // written in the connection itself, not in `defaults`

	blank bool // written without a value
}

// reader reads the files of a configuration, one after the other.
type reader struct {
	file   string // the file being read, as messages show it
	dir    string // its directory, where relative paths start
	strict bool   // strict_permissions
	merged int    // fields copied by merge keys so far

	syntaxOnly bool // do not read secret, certificate and key files

	overflown bool // merged is over its bound, and the fault is reported

	top map[string]origin // fields written at the top of any file
	set map[string]origin // fields written in the block being read

	seen contents // hashes of the files read, except secrets

	faults, warnings findings
}

func newReader(file string) *reader {
	return &reader{file: file, set: map[string]origin{}, top: map[string]origin{}, seen: contents{}}
}

// enter makes file the one being read.
func (r *reader) enter(file string) { r.file, r.dir = file, filepath.Dir(file) }

func (r *reader) fault(at position, text string) { r.faults.add(r.finding(at, text)) }

func (r *reader) faultf(at position, format string, args ...any) {
	r.fault(at, fmt.Sprintf(format, args...))
}

func (r *reader) warnf(at position, format string, args ...any) {
	r.warnings.add(r.finding(at, fmt.Sprintf(format, args...)))
}

func (r *reader) finding(at position, text string) Finding {
	return Finding{File: cmp.Or(at.file, r.file), Line: at.line, Where: at.where, Field: at.field, Text: text}
}

// blames reports whether this field has a fault already.
func (r *reader) blames(at position) bool {
	return r.faults.blamed[position{file: cmp.Or(at.file, r.file), line: at.line, field: at.field}]
}

// inherited returns a copy of the origins of `defaults`, for one connection.
func inherited(set map[string]origin) map[string]origin {
	list := maps.Clone(set)
	for name, m := range list {
		list[name] = origin{line: m.line, blank: m.blank}
	}
	return list
}
