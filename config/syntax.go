package config

// This file checks host names, mail addresses and labels. A check returns what is
// wrong, and quotes no more than is needed.

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"mailprobe/mail"
)

// dnsName allows underscores, which RFC 1123 does not: such names are in use.
var dnsName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

var hostAndPort = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[^:/@]+):[0-9]+$`)

// hostName accepts a DNS name, also an international one, or an IP address.
func hostName(v string) string {
	if v == "" {
		return ""
	}
	if addr, err := netip.ParseAddr(v); err == nil {
		if addr.Is4In6() {
			return "is an IPv4 address in IPv6 form: write it as IPv4"
		}
		return ""
	}
	switch {
	case strings.Contains(v, "://"):
		return "is a URL: write only the host name"
	case hostAndPort.MatchString(v):
		return "contains a port: use the field port for it"
	case strings.HasPrefix(v, "["):
		return "is in brackets: write only the address"
	}
	ascii, err := asciiHost(v)
	if err != nil || len(ascii) > 253 || !dnsName.MatchString(ascii) {
		return "is not a host name, IPv4 or IPv6 address"
	}
	if labels := strings.Split(ascii, "."); slices.ContainsFunc(labels, func(l string) bool { return len(l) > 63 }) {
		return "is not a host name: one of its labels is longer than 63 characters"
	}
	if strings.Trim(ascii, "0123456789.") == "" {
		return "is not an IPv4 address"
	}
	return ""
}

// asciiHost returns an international name in its ASCII form (RFC 5891). Other
// names are returned unchanged.
func asciiHost(v string) (string, error) {
	if strings.IndexFunc(v, func(r rune) bool { return r > 0x7f }) < 0 {
		return v, nil
	}
	return idna.Lookup.ToASCII(v)
}

var addressLiteral = regexp.MustCompile(`^\[(IPv6:)?[0-9A-Fa-f:.]+\]$`)

// greetingName accepts an argument of EHLO: a domain or an address literal (RFC
// 5321 section 4.1.1.1).
func greetingName(v string) string {
	if v == "" || len(v) <= 253 && (dnsName.MatchString(v) || addressLiteral.MatchString(v)) {
		return ""
	}
	return "is neither a host name nor an address literal such as [192.0.2.1]"
}

// mailAddress accepts what MAIL FROM takes between its angle brackets, and <>.
// Only ASCII: the probe does not use SMTPUTF8.
func mailAddress(v string) string {
	local, domain, found := cutLast(v, "@")
	switch {
	case v == "" || v == "<>":
		return ""
	case strings.ContainsAny(v, "<>"):
		return "is in angle brackets: write only the address"
	case strings.ContainsAny(v, " \t"):
		return "contains a space"
	case strings.IndexFunc(v, func(r rune) bool { return r > 0x7f }) >= 0:
		return "contains characters that are not ASCII (write the domain as xn--…)"
	case !found || local == "" || !dnsName.MatchString(domain) && !addressLiteral.MatchString(domain):
		return "is not a mail address"
	case len(v) > 254:
		return "is longer than 254 characters" // RFC 5321 section 4.5.3.1.3, without the brackets
	}
	return ""
}

// isAlias reports whether v would be a mail address if it had a domain.
func isAlias(v string) bool { return !strings.Contains(v, "@") && mailAddress(v+"@example.org") == "" }

func cutLast(v, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(v, sep); i >= 0 {
		return v[:i], v[i+len(sep):], true
	}
	return v, "", false
}

func notNullPath(v string) string {
	if v == "<>" {
		return "must be an address: <> can only be a sender"
	}
	return ""
}

func notEmpty(v string) string {
	if v == "" {
		return "is empty"
	}
	return ""
}

const (
	holdsUser   = "{username}"
	holdsShared = "{shared_mailbox}"
)

var placeholder = regexp.MustCompile(`\{[^{}]*\}?`)

// loginFormat accepts a format with both placeholders and no other.
func loginFormat(v string) string {
	for _, p := range placeholder.FindAllString(v, -1) {
		if p != holdsUser && p != holdsShared {
			return "contains " + quote(p) + ": there are only " + holdsUser + " and " + holdsShared
		}
	}
	if !strings.Contains(v, holdsUser) || !strings.Contains(v, holdsShared) {
		return "must contain both " + holdsUser + " and " + holdsShared
	}
	return ""
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// maxLabels bounds the labels of one connection.
const maxLabels = 20

// labels is a mapping of names to values. It adds to the labels of `defaults`.
func labels[T any](at func(*T) *[]mail.Label) kind[T] {
	k := value(at, func(*reader, *node, position) ([]mail.Label, bool) { return nil, false })
	k.read = func(r *reader, n *node, where position, to *T) { r.readLabels(n, where, at(to)) }
	k.word = "mapping of names to texts"
	k.schema = func() map[string]any {
		s := types("object", "null")
		s["propertyNames"] = map[string]any{"pattern": labelName.String(), "not": map[string]any{"anyOf": []any{
			map[string]any{"enum": mail.ReservedLabels()}, map[string]any{"pattern": "^__"}}}}
		s["additionalProperties"] = types("string", "number", "boolean", "null")
		s["maxProperties"] = maxLabels
		return s
	}
	return k
}

func (r *reader) readLabels(n *node, where position, to *[]mail.Label) {
	if !isMapping(n) {
		r.fault(where, "must be a mapping, such as {team: support}")
		return
	}
	*to = slices.Clone(*to)
	for _, p := range r.pairs(n, where) {
		r.readLabel(p, where.sub(shownLabel(p.key)).on(p.line), to)
	}
	if len(*to) > maxLabels {
		r.faultf(where, "has more than %d labels", maxLabels)
	}
}

// readLabel sets one label, or removes an inherited one if the value is empty:
// for Prometheus, an empty label is the same as none.
func (r *reader) readLabel(p pair, at position, to *[]mail.Label) {
	switch reserved := mail.ReservedLabel(p.key); {
	case !labelName.MatchString(p.key):
		r.fault(at, "is not a label name: use letters, digits and _, and no digit first")
		return
	case reserved != "":
		r.fault(at, reserved)
		return
	}
	v, ok := r.scalarText(p.value, at)
	switch what := singleLine(v); {
	case !ok:
		return
	case what != "":
		r.fault(at, what)
	case len(v) > 256:
		r.fault(at, "is longer than 256 bytes")
	}
	i, found := slices.BinarySearchFunc(*to, p.key, func(l mail.Label, name string) int { return strings.Compare(l.Name, name) })
	switch {
	case v == "" && found:
		*to = slices.Delete(*to, i, i+1)
	case v != "" && found:
		(*to)[i].Value = v
	case v != "":
		*to = slices.Insert(*to, i, mail.Label{Name: p.key, Value: v})
	}
	if replaced := mail.TargetLabel(p.key); replaced && v != "" {
		r.warnf(at, "is a label that Prometheus often sets on the target itself: this one would become exported_%s; choose another name", p.key)
	}
}

// shownLabel returns the name of a label for a message. Label names hold no
// secret, so it is shown even if it is no valid word.
func shownLabel(name string) string {
	if looksLikeWord(name) {
		return name
	}
	return quote(name)
}
