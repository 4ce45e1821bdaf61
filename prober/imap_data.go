package prober

// This file parses untagged data responses of IMAP, such as FETCH, STATUS, LIST
// and NAMESPACE (RFC 9051 section 7), which the library must not see. Its functions
// have no state, allocate in proportion to their input and do not recurse, so that
// no server can stall or crash them.

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf16"
)

const (
	maxIMAPDepth  = 8    // nesting of lists
	maxIMAPValues = 2000 // values of one response
)

// imapValue is one value of a data response: an atom, a string or a list.
type imapValue struct {
	text   string // of an atom or a string; an atom keeps its case
	isText bool   // quoted string or literal
	list   []imapValue
	isList bool
}

// isNil reports whether a value is NIL.
func (v imapValue) isNil() bool { return !v.isText && !v.isList && strings.EqualFold(v.text, "NIL") }

// number reads an nz-number or number of at most 32 bits (RFC 9051 section 9).
func (v imapValue) number() (uint32, bool) {
	n, err := strconv.ParseUint(v.text, 10, 32)
	return uint32(n), err == nil && !v.isText && !v.isList
}

// number64 reads a number64 (RFC 9051 section 9), which has at most 63 bits.
func (v imapValue) number64() (uint64, bool) {
	n, err := strconv.ParseUint(v.text, 10, 63)
	return n, err == nil && !v.isText && !v.isList
}

// property returns the value after a name in a list of name-value pairs, such as
// the items of FETCH. Upper and lower case of names are the same.
func property(pairs []imapValue, name string) (imapValue, bool) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if !pairs[i].isList && strings.EqualFold(pairs[i].text, name) {
			return pairs[i+1], true
		}
	}
	return imapValue{}, false
}

// parseIMAPData parses one response without its "* " and with its literals in
// place: `12 FETCH (UID 34 BODY[HEADER] {5}CRLF.....)`.
func parseIMAPData(raw []byte) ([]imapValue, error) {
	stack := [][]imapValue{nil}
	count := 0
	for at := 0; at < len(raw); {
		top := &stack[len(stack)-1]
		if count++; count > maxIMAPValues {
			return nil, oversizef("a response has more than %d values", maxIMAPValues)
		}
		switch raw[at] {
		case ' ', '\r', '\n':
			at++
			count--
		case '(':
			if len(stack) > maxIMAPDepth {
				return nil, oversizef("a response is nested deeper than %d lists", maxIMAPDepth)
			}
			stack = append(stack, nil)
			at++
		case ')':
			if len(stack) == 1 {
				return nil, malformedf("a response closes a list that was not opened")
			}
			list := *top
			stack = stack[:len(stack)-1]
			top = &stack[len(stack)-1]
			*top = append(*top, imapValue{list: list, isList: true})
			at++
		case '"':
			text, n, err := quotedString(raw[at:])
			if err != nil {
				return nil, err
			}
			*top = append(*top, imapValue{text: text, isText: true})
			at += n
		case '{':
			text, n, err := literalString(raw[at:])
			if err != nil {
				return nil, err
			}
			*top = append(*top, imapValue{text: text, isText: true})
			at += n
		default:
			n := atomLength(raw[at:])
			*top = append(*top, imapValue{text: string(raw[at : at+n])})
			at += n
		}
	}
	if len(stack) != 1 {
		return nil, malformedf("a response ends inside a list")
	}
	return stack[0], nil
}

// quotedString reads `"text"` and returns the bytes it takes.
func quotedString(raw []byte) (text string, n int, err error) {
	var b strings.Builder
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			return b.String(), i + 1, nil
		case '\\':
			if i++; i < len(raw) {
				b.WriteByte(raw[i])
			}
		case '\r', '\n':
			return "", 0, malformedf("a quoted string with a line break")
		default:
			b.WriteByte(raw[i])
		}
	}
	return "", 0, malformedf("a quoted string without an end")
}

// literalString reads `{n}CRLF` and n bytes.
func literalString(raw []byte) (text string, n int, err error) {
	end := bytes.IndexByte(raw, '}')
	if end < 0 {
		return "", 0, malformedf("a literal without its size")
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(string(raw[1:end]), "+"), 10, 31)
	rest := raw[end+1:]
	if err != nil || !bytes.HasPrefix(rest, []byte("\r\n")) && !bytes.HasPrefix(rest, []byte("\n")) {
		return "", 0, malformedf("a literal without its size")
	}
	rest = rest[bytes.IndexByte(rest, '\n')+1:]
	if size > uint64(len(rest)) {
		return "", 0, malformedf("a literal is shorter than its size")
	}
	return string(rest[:size]), len(raw) - len(rest) + int(size), nil
}

// atomLength returns the length of the atom at the beginning of raw. A section in
// brackets is part of it, with its spaces and parentheses: BODY[HEADER.FIELDS
// (X-A)]. The length is at least 1, so that the parser always advances.
func atomLength(raw []byte) int {
	inSection := false
	for i, c := range raw {
		switch {
		case c == '[':
			inSection = true
		case c == ']':
			inSection = false
		case c == '\r' || c == '\n':
			return max(i, 1)
		case inSection:
		case c == ' ' || c == '(' || c == ')' || c == '"' || c == '{':
			return max(i, 1)
		}
	}
	return len(raw)
}

// namespace is one namespace with mailboxes of other users (RFC 2342).
type namespace struct {
	prefix    string // such as "Other Users/" or "shared."
	delimiter string // "/" or "."; empty: no hierarchy
}

// mailbox returns the name of an owner's mailbox in the namespace. The delimiter is
// added unless the prefix ends with it, or is UW IMAP's "~" (RFC 2342 section 5:
// "~fred").
func (n namespace) mailbox(owner string) string {
	if n.delimiter == "" || n.prefix == "" || strings.HasSuffix(n.prefix, n.delimiter) || strings.HasSuffix(n.prefix, "~") {
		return n.prefix + owner
	}
	return n.prefix + n.delimiter + owner
}

// maxSharedNames bounds the names that are tried for a shared mailbox: each costs
// the server a search.
const maxSharedNames = 4

// sharedMailboxNames returns the possible names of an owner's mailbox according to
// a NAMESPACE response, the likeliest first; nil for any other response. In an
// Other Users namespace, some servers use the owner's folder itself and others the
// INBOX in it; in a Shared namespace it is usually a folder.
func sharedMailboxNames(response []imapValue, owner string) (names []string) {
	if len(response) != 4 || !strings.EqualFold(response[0].text, "NAMESPACE") {
		return nil
	}
	var inboxes []string
	for _, n := range namespaces(response[2]) {
		names = append(names, n.mailbox(owner))
		if n.delimiter == "." && strings.Contains(owner, ".") {
			names = append(names, n.mailbox(strings.ReplaceAll(owner, ".", "^"))) // Cyrus writes first.last so
		}
		names = append(names, n.inbox(owner)...)
	}
	for _, n := range namespaces(response[3]) {
		names, inboxes = append(names, n.mailbox(owner)), append(inboxes, n.inbox(owner)...)
	}
	names = append(names, inboxes...)
	return names[:min(len(names), maxSharedNames)]
}

// inbox returns the name of the INBOX in an owner's folder; nil in a namespace
// without hierarchy.
func (n namespace) inbox(owner string) []string {
	if n.delimiter == "" {
		return nil
	}
	return []string{n.mailbox(owner) + n.delimiter + "INBOX"}
}

// namespaces reads one of the three lists of a NAMESPACE response.
func namespaces(group imapValue) (found []namespace) {
	for _, description := range group.list {
		if len(description.list) < 2 {
			continue
		}
		n := namespace{prefix: decodeMailboxName(description.list[0].text)}
		if delimiter := description.list[1]; !delimiter.isNil() {
			n.delimiter = delimiter.text
		}
		found = append(found, n)
	}
	return found
}

// decodeMailboxName decodes modified UTF-7 (RFC 3501 section 5.1.3), which the
// library encodes. A name that is not valid stays as it is.
func decodeMailboxName(name string) string {
	var b strings.Builder
	for rest := name; rest != ""; {
		plain, coded, found := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !found {
			break
		}
		var closed bool
		if coded, rest, closed = strings.Cut(coded, "-"); !closed {
			return name
		}
		if coded == "" { // "&-" is "&"
			b.WriteByte('&')
			continue
		}
		raw, err := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(coded, ",", "/"))
		if err != nil || len(raw)%2 != 0 {
			return name
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(raw[2*i:])
		}
		b.WriteString(string(utf16.Decode(units)))
	}
	return b.String()
}
