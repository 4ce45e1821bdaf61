package routes

// This file parses the header of a message that was found. Every server on the way may
// have changed it, and any sender can write one. The parser allocates in proportion to its
// input and does not recurse.

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	domain "mailprobe/mail"
)

const (
	maxHops    = 30  // Received fields that are kept
	maxHopText = 200 // bytes of one part of a hop
	maxFields  = 500 // header fields that are looked at
)

// field is one header field, unfolded.
type field struct{ name, value string }

// parseHeader splits a header into its fields (RFC 5322 section 2.2), in their
// order. Lines that belong to no field are left out; the body is not looked at.
func parseHeader(header []byte) []field {
	var fields []field
	for line := range strings.Lines(string(header)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || len(fields) > maxFields:
			return fields
		case line[0] == ' ' || line[0] == '\t':
			if n := len(fields); n > 0 {
				fields[n-1].value += " " + strings.TrimSpace(line)
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if ok {
			fields = append(fields, field{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return fields
}

// first returns the value of the first field with a name, in whatever case; empty: none.
func first(fields []field, name string) string {
	for _, f := range fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// hops reads the Received fields, the oldest first. Each relay writes its own
// on top (RFC 5321 section 4.4).
func hops(fields []field) []domain.Hop {
	var list []domain.Hop
	for i := len(fields) - 1; i >= 0 && len(list) < maxHops; i-- {
		if strings.EqualFold(fields[i].name, "Received") {
			list = append(list, parseReceived(fields[i].value))
		}
	}
	return list
}

// parseReceived reads the clauses from, by and with, and the date behind the
// last ";". Comments are left out.
func parseReceived(value string) domain.Hop {
	var hop domain.Hop
	clauses, date := value, ""
	if at := strings.LastIndexByte(value, ';'); at >= 0 {
		clauses, date = value[:at], value[at+1:]
	}
	if t, err := mail.ParseDate(strings.TrimSpace(withoutComments(date))); err == nil {
		hop.At = t.UTC()
	}
	words := strings.Fields(withoutComments(clauses))
	for i := 0; i+1 < len(words); i++ {
		target := map[string]*string{"from": &hop.From, "by": &hop.By, "with": &hop.With}[strings.ToLower(words[i])]
		if target != nil && *target == "" {
			*target = clean(words[i+1], maxHopText)
		}
	}
	return hop
}

// withoutComments takes the comments out of a structured field (RFC 5322 section
// 3.2.2). They nest; quoted strings are kept. It does not recurse. A comment that
// is never closed extends to the end.
func withoutComments(value string) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c == '\\' && (quoted || depth > 0) && i+1 < len(value):
			if depth == 0 {
				b.WriteByte(c)
				b.WriteByte(value[i+1])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
			continue
		case c == ')' && !quoted && depth > 0:
			depth--
			b.WriteByte(' ')
			continue
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// clean makes text from outside safe for pages and logs: valid UTF-8 without control
// characters, of at most limit bytes. Text that is cut ends with an ellipsis.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return '?'
		}
		return r
	}, text)
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}
