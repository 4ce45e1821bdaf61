package config

// This file is the only one that imports the YAML library. It uses the parser
// alone and walks the nodes: the library's decoder quotes values in its errors,
// secrets too, and gives no line for ours.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	// maxFile bounds a file, in bytes. 10,000 connections take 5 MiB.
	maxFile = 16 << 20
	// maxNodes bounds the keys and values of a file: the library needs about 350
	// bytes for each. 10,000 connections of 20 fields have 400,000.
	maxNodes = 1 << 20
	// maxMerged bounds the fields that merge keys (<<) may copy.
	maxMerged = 1 << 20
	// maxMergeDepth bounds merges within merges, and so ends cycles.
	maxMergeDepth = 16
)

type node = yaml.Node

// pair is one field of a mapping.
type pair struct {
	key   string
	line  int // of the key
	value *node
}

// readBounded reads a regular file of at most limit bytes. O_NONBLOCK keeps a
// FIFO from blocking the open.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s: larger than %d KiB", path, limit>>10)
	}
	// The file may grow while it is read.
	raw, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s: larger than %d KiB", path, limit>>10)
	}
	return raw, err
}

// parse returns the one document of a file, a null value for an empty file, or
// nil and a fault.
func (r *reader) parse(raw []byte) (root *node) {
	// The library is known to panic while decoding, on a merge key beside a key
	// with a list. No panic while parsing is known; a bad file must not end the
	// program in any case.
	defer func() {
		if recover() != nil {
			r.fault(position{}, "is not valid YAML")
			root = nil
		}
	}()
	if line, what := unreadable(raw); what != "" {
		r.fault(position{line: line}, what)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var document, second node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return &node{Kind: yaml.ScalarNode, Tag: "!!null"}
	} else if err != nil {
		r.syntaxFault(raw, err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		r.fault(position{line: second.Line}, "a second document starts here: a file holds one configuration")
	case !errors.Is(err, io.EOF):
		r.syntaxFault(raw, err)
	}
	return document.Content[0]
}

// unreadable finds a byte that no YAML file may contain, before the library reads
// it. It returns the line and what is wrong; empty: nothing.
func unreadable(raw []byte) (line int, what string) {
	separators := 0
	for n, text := range bytes.Split(raw, []byte("\n")) {
		if !utf8.Valid(text) {
			return n + 1, "is not valid UTF-8"
		}
		// Tabs between words are allowed by YAML, and CR ends lines.
		control := func(c rune) bool { return c < ' ' && c != '\t' && c != '\r' || c == 0x7f }
		if at := bytes.IndexFunc(text, control); at >= 0 {
			return n + 1, fmt.Sprintf("contains the control character %#02x", text[at])
		}
		indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
		if bytes.ContainsRune(indent, '\t') && len(indent) < len(bytes.TrimRight(text, "\r")) {
			return n + 1, "is indented with a tab: YAML needs spaces"
		}
		separators += 1 + bytes.Count(text, []byte(",")) + bytes.Count(text, []byte(":")) +
			bytes.Count(text, []byte("- ")) + bytes.Count(text, []byte("[")) + bytes.Count(text, []byte("{"))
		if separators > maxNodes {
			return n + 1, fmt.Sprintf("contains more than %d values: split it across several mailprobes", maxNodes)
		}
	}
	return 0, ""
}

var (
	syntaxLine    = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	// plainProblem matches the library's messages that are fixed text. Other
	// messages may quote the file, and so a secret.
	plainProblem = regexp.MustCompile(`^(did not find|could not find|found|mapping values|mapping keys|` +
		`block sequence entries|exceeded max depth) ?[a-zA-Z0-9 '":,.<>{}\[\]%-]*$`)
)

// problemAdvice maps a message of the library to the usual cause.
var problemAdvice = map[string]string{
	"found character that cannot start any token":    "a value that begins with % or @ or ` needs quotes",
	"mapping values are not allowed in this context": "the indentation is wrong, or a value with a colon and a space in it needs quotes",
	"could not find expected ':'":                    "a field needs a colon and a space after its name",
	"found unexpected end of stream":                 "a quote is never closed",
}

// syntaxFault reports where the library could not parse the file. It does not
// show the file's text.
func (r *reader) syntaxFault(raw []byte, err error) {
	match := syntaxLine.FindStringSubmatch(err.Error())
	if match == nil {
		r.fault(position{}, "is not valid YAML")
		return
	}
	line, _ := strconv.Atoi(match[1])
	problem := match[2]
	if anchor := unknownAnchor.FindStringSubmatch(problem); anchor != nil {
		// A password that begins with * is read as an alias: not quoted.
		at := bytes.Index(raw, []byte("*"+anchor[1]))
		line = 1 + bytes.Count(raw[:max(at, 0)], []byte("\n"))
		r.fault(position{line: line}, "refers to an anchor that does not exist: a value that begins with * needs quotes")
		return
	}
	if !plainProblem.MatchString(problem) {
		problem = "unknown problem"
	}
	// The parser counts lines from 0 and names where the block began; the
	// scanner counts from 1 and names where it stopped.
	hint := ""
	if advice := problemAdvice[problem]; advice != "" {
		hint = ": " + advice
	}
	if strings.HasPrefix(problem, "did not find expected") && line < bytes.Count(raw, []byte("\n")) {
		line++
		hint = " in the block that begins here"
	}
	r.fault(position{line: line}, "is not valid YAML: "+problem+hint)
}

// resolve returns the node that an alias stands for, or n if it is none.
func resolve(n *node) *node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// mappingOf returns the mapping that a file with these settings would contain.
func mappingOf(settings []Setting) *node {
	root := &node{Kind: yaml.MappingNode}
	inner := map[string]*node{"": root}
	add := func(to *node, key string, value *node) {
		to.Content = append(to.Content, &node{Kind: yaml.ScalarNode, Value: key}, value)
	}
	for _, s := range settings {
		block, field, nested := strings.Cut(s.Field, ".")
		if !nested {
			block, field = "", s.Field
		}
		if inner[block] == nil {
			inner[block] = &node{Kind: yaml.MappingNode}
			add(root, block, inner[block])
		}
		if !isList(s.Field) {
			add(inner[block], field, quoted(s.Value))
			continue
		}
		list := &node{Kind: yaml.SequenceNode}
		for word := range strings.FieldsSeq(s.Value) {
			list.Content = append(list.Content, quoted(word))
		}
		add(inner[block], field, list)
	}
	return root
}

// quoted returns a node in quotes, which is always text.
func quoted(text string) *node {
	return &node{Kind: yaml.ScalarNode, Value: text, Style: yaml.DoubleQuotedStyle}
}

// isNull reports whether a value is left blank.
func isNull(n *node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// isPlain reports whether a value is written without quotes.
func isPlain(n *node) bool {
	return n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

func isMapping(n *node) bool  { return n.Kind == yaml.MappingNode }
func isSequence(n *node) bool { return n.Kind == yaml.SequenceNode }

// scalar returns a single value as it is written: 0143 stays 0143. It returns
// false for a list, a mapping, and a value with an explicit tag such as !!int.
func scalar(n *node) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Style&yaml.TaggedStyle != 0 || strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return "", false
	}
	return n.Value, true
}

// nameOf returns the name of a connection for messages, before the connection is
// read. It does not look into merge keys: names are unique, so none comes from
// there.
func nameOf(n *node) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if value := resolve(n.Content[i+1]); n.Content[i].Value == "name" && !isNull(value) {
			name, _ := scalar(value)
			return name
		}
	}
	return ""
}

// pairs returns the fields of a mapping: first its own, then those of its merge
// keys that it does not have itself. A key that is written twice is a fault.
func (r *reader) pairs(n *node, at position) []pair {
	seen := make(map[string]int, len(n.Content)/2)
	return r.mergePairs(n, at, seen, 0)
}

func (r *reader) mergePairs(n *node, at position, seen map[string]int, depth int) []pair {
	list := make([]pair, 0, len(n.Content)/2)
	own := make(map[string]int, len(n.Content)/2)
	var merges []*node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, ok := scalar(key)
		switch {
		case key.Tag == "!!merge":
			merges = append(merges, value)
			continue
		case !ok || key.Kind != yaml.ScalarNode:
			r.fault(at.on(key.Line), "a key must be a plain word")
			continue
		case own[name] != 0:
			r.fault(at.on(key.Line).sub(shownKey(name)), fmt.Sprintf("is set twice (also on line %d)", own[name]))
			continue
		}
		own[name] = key.Line
		if depth > 0 {
			r.merged++
		}
		if seen[name] == 0 {
			seen[name] = key.Line
			list = append(list, pair{name, key.Line, resolve(value)})
		}
	}
	for _, merge := range merges {
		list = append(list, r.mergeFrom(resolve(merge), at.on(merge.Line), seen, depth)...)
	}
	return list
}

// mergeFrom returns the fields that `<<: *one` or `<<: [*one, *two]` adds.
func (r *reader) mergeFrom(n *node, at position, seen map[string]int, depth int) []pair {
	sources := []*node{n}
	if isSequence(n) {
		sources = n.Content
	}
	var list []pair
	for _, source := range sources {
		if r.merged > maxMerged || depth >= maxMergeDepth {
			if !r.overflown {
				r.fault(position{line: at.line}, "the merge keys (<<) of this file copy too much, or copy a mapping into itself")
			}
			r.overflown = true
			break
		}
		source = resolve(source)
		r.merged++
		if !isMapping(source) {
			r.fault(at, "a merge key (<<) needs a mapping or a list of mappings")
			continue
		}
		list = append(list, r.mergePairs(source, at, seen, depth+1)...)
	}
	return list
}

// shownKey returns a key for a message, or a placeholder if it may hold a secret.
func shownKey(key string) string {
	if looksLikeWord(key) {
		return key
	}
	return "a field"
}

// rootOf returns the root node of a YAML text, or nil if it has only comments. A
// reader has parsed the same text before, so that the bounds hold.
func rootOf(raw []byte) (*node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil || len(document.Content) == 0 {
		return nil, err
	}
	return document.Content[0], nil
}

func isAliasNode(n *node) bool { return n.Kind == yaml.AliasNode }

// isFlow reports whether a list or mapping is written in brackets or braces.
func isFlow(n *node) bool { return n.Style&yaml.FlowStyle != 0 }

// Untyped decodes a YAML file of another program: mappings become map[string]any,
// lists []any. The same bounds hold as for a configuration. An error names the
// file and does not quote it.
func Untyped(path string) (content any, err error) {
	raw, err := readBounded(path, maxFile)
	if err != nil {
		return nil, err
	}
	r := newReader(path)
	if r.parse(raw) == nil {
		return nil, Faults(r.faults.sorted())
	}
	defer func() {
		if recover() != nil { // see parse
			err = fmt.Errorf("%s: is not valid YAML", path)
		}
	}()
	if yaml.Unmarshal(raw, &content) != nil {
		return nil, fmt.Errorf("%s: is not valid YAML", path)
	}
	return content, nil
}
