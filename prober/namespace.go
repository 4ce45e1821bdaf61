package prober

// This file reads the IMAP NAMESPACE response (RFC 2342), in which the mailboxes
// of other users are found. The library gets none of it, because the filter passes
// nothing nested.

import "strings"

// namespace is one place where mailboxes of others live.
type namespace struct {
	prefix    string // "Other Users/", "shared."
	delimiter string // "/" or "."; empty for a flat one
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

// otherNamespaces returns the first namespace of Other Users and the first of
// Shared, in this order. It stops at the first malformed word. Brackets are counted,
// without recursion.
func otherNamespaces(args string) []namespace {
	var found []namespace
	var words []string
	group, depth := 0, 0
	for args != "" && group < 3 {
		switch c := args[0]; c {
		case '(':
			depth++
			words, args = nil, args[1:]
		case ')':
			// A description ends at depth 2, a group at depth 1.
			if depth == 2 && len(words) >= 2 && group > 0 && len(found) < group {
				found = append(found, namespace{prefix: words[0], delimiter: words[1]})
			}
			if depth--; depth == 0 {
				group++
			}
			args = args[1:]
		case ' ':
			args = args[1:]
		default:
			word, rest, ok := namespaceWord(args)
			if !ok || depth < 0 {
				return found
			}
			if depth == 0 {
				group++ // NIL in place of a group
			}
			words, args = append(words, word), rest
		}
	}
	return found
}

// namespaceWord cuts a quoted string or an atom from the front; NIL is empty.
func namespaceWord(s string) (word, rest string, ok bool) {
	if s[0] != '"' {
		end := strings.IndexAny(s, " ()")
		if end < 0 {
			end = len(s)
		}
		if word = s[:end]; strings.EqualFold(word, "NIL") {
			word = ""
		}
		return word, s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
