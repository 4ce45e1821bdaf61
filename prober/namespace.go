package prober

// This file reads the IMAP NAMESPACE response (RFC 2342), in which the mailboxes
// of other users are found.

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

// maxNamespaces bounds the namespaces that are tried.
const maxNamespaces = 4

// otherNamespaces returns the namespaces of a NAMESPACE response in which mailboxes
// of others can be: those of Other Users, then those of Shared. Of any other
// response it returns none.
func otherNamespaces(response []imapValue) []namespace {
	if len(response) != 4 || !strings.EqualFold(response[0].text, "NAMESPACE") {
		return nil
	}
	var found []namespace
	for _, group := range response[2:] {
		for _, description := range group.list {
			if len(description.list) < 2 || len(found) == maxNamespaces {
				continue
			}
			n := namespace{prefix: decodeMailboxName(description.list[0].text)}
			if delimiter := description.list[1]; !delimiter.isNil() {
				n.delimiter = delimiter.text
			}
			found = append(found, n)
		}
	}
	return found
}
