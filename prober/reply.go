package prober

// This file parses the answers of servers. Its functions have no state, allocate in
// proportion to their input, scan each byte a fixed number of times and do not recurse,
// so that no line can stall or crash them. The wire has bounded the lines before.

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailprobe/mail"
)

// reply is one complete answer of a server.
type reply struct {
	// status is the word that decides: OK, NO, BAD, BYE, PREAUTH (IMAP, upper
	// case), +OK, -ERR, + (POP3), three digits (SMTP).
	status string
	// code is the bracket code of IMAP and POP3, without arguments, in upper
	// case, or SMTP's enhanced code such as 5.7.8; empty if there was none.
	code string
	// text is what is left, of all lines of the reply, joined by a space.
	text string
}

// maxFailureText bounds server text in logs and on pages, in bytes.
const maxFailureText = 200

// maxHeldText bounds the text of a withheld login, in bytes: it is ours, and has the name
// of a connection in it.
const maxHeldText = 500

// malformedLine is a line of the server that breaks the grammar.
type malformedLine struct {
	what string // whose grammar: "SMTP reply"
	line string
}

func (m *malformedLine) Error() string {
	return fmt.Sprintf("%s: malformed: %q", m.what, cleanText(m.line, maxFailureText))
}

// malformed is a fault in the grammar of what a server wrote.
func malformed(what, line string) error {
	return &fault{reason: mail.ProtocolMalformed, err: &malformedLine{what, line}}
}

// parseIMAPStatus reads a status response of IMAP (RFC 9051 section 7.1):
// tagged `TAG OK|NO|BAD [CODE args] text`, or untagged with the tag "*", where
// BYE and PREAUTH are possible too. Any other line is not ok.
func parseIMAPStatus(line string) (tag string, r reply, ok bool) {
	tag, rest, _ := strings.Cut(cutLineEnd(line), " ")
	if tag != "*" && !isIMAPTag(tag) {
		return "", reply{}, false
	}
	status, rest, _ := strings.Cut(rest, " ")
	status = upperASCII(status)
	switch status {
	case "OK", "NO", "BAD":
	case "BYE", "PREAUTH":
		if tag != "*" {
			return "", reply{}, false
		}
	default:
		return "", reply{}, false
	}
	code, _, text := cutIMAPCode(rest)
	return tag, reply{status: status, code: code, text: text}, true
}

// isIMAPTag reports whether s can be a tag: RFC 9051's ASTRING-CHAR except "+".
func isIMAPTag(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F || strings.IndexByte(`(){%*"\+`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// cutIMAPCode takes a leading `[CODE args]` off a response text. A bracket that
// is never closed, or holds no atom, is text: it costs nothing but the code.
func cutIMAPCode(s string) (code, args, text string) {
	if !strings.HasPrefix(s, "[") {
		return "", "", s
	}
	end := closingBracket(s)
	if end < 0 {
		return "", "", s
	}
	code, args, _ = strings.Cut(s[1:end], " ")
	if !isIMAPTag(code) {
		return "", "", s
	}
	return upperASCII(code), args, strings.TrimPrefix(s[end+1:], " ")
}

// closingBracket is the index of the "]" that ends the code s starts with, or
// -1. A "]" inside a quoted string does not count: [BADCHARSET ("a]b")].
func closingBracket(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ']' && !quoted:
			return i
		}
	}
	return -1
}

// parsePOP3Reply reads the first line of an answer: +OK, -ERR, or the "+" that
// asks for more (RFC 1939 section 3, RFC 5034 section 4). The status words are
// upper case in the RFC, and so they must be here; an empty line is no answer.
func parsePOP3Reply(line string) (reply, error) {
	line = cutLineEnd(line)
	status, rest, _ := strings.Cut(line, " ")
	switch status {
	case "+OK", "-ERR":
		code, text := cutPOP3Code(strings.TrimLeft(rest, " "))
		return reply{status: status, code: code, text: text}, nil
	case "+":
		return reply{status: status, text: rest}, nil
	}
	return reply{}, malformed("POP3 reply", line)
}

// cutPOP3Code takes a leading response code off a text (RFC 2449 section 8).
// Its levels are parted by "/"; a detail that is not known is dropped, as the
// RFC asks, so that the first level still counts.
func cutPOP3Code(s string) (code, text string) {
	if !strings.HasPrefix(s, "[") {
		return "", s
	}
	end := strings.IndexByte(s, ']')
	if end < 2 || strings.ContainsFunc(s[1:end], mail.NotVisible) {
		return "", s
	}
	code = upperASCII(s[1:end])
	known := code == "SYS/TEMP" || code == "SYS/PERM" // RFC 3206
	if !known {
		code, _, _ = strings.Cut(code, "/")
	}
	return code, strings.TrimPrefix(s[end+1:], " ")
}

// parseSMTPReply reads a whole reply (RFC 5321 section 4.2): every line has the
// same three digits, and all but the last a hyphen after them. A code without
// text is accepted, as RFC 5321 section 4.2.1 asks.
func parseSMTPReply(lines []string) (reply, error) {
	if len(lines) == 0 {
		return reply{}, malformed("SMTP reply", "")
	}
	var r reply
	texts := make([]string, 0, len(lines))
	for i, line := range lines {
		code, text, more, err := parseSMTPLine(line)
		if err != nil {
			return reply{}, err
		}
		if more != (i < len(lines)-1) || (i > 0 && code != r.status) {
			return reply{}, malformed("SMTP reply", line)
		}
		r.status = code
		enhanced, rest := cutEnhancedCode(code, text)
		if r.code == "" {
			r.code = enhanced
		}
		texts = append(texts, rest)
	}
	r.text = strings.Join(texts, " ")
	return r, nil
}

// parseSMTPLine reads one line of a reply; more is true with a hyphen.
func parseSMTPLine(line string) (code, text string, more bool, err error) {
	line = cutLineEnd(line)
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigits(line[:3]) {
		return "", "", false, malformed("SMTP reply", line)
	}
	code, rest := line[:3], line[3:]
	if rest == "" {
		return code, "", false, nil
	}
	if rest[0] != ' ' && rest[0] != '-' {
		return "", "", false, malformed("SMTP reply", line)
	}
	return code, rest[1:], rest[0] == '-', nil
}

// cutEnhancedCode takes a leading enhanced status code off a text (RFC 2034,
// RFC 3463). One whose class disagrees with the reply code says nothing that
// could be trusted and stays text.
func cutEnhancedCode(status, text string) (code, rest string) {
	code, rest, _ = strings.Cut(text, " ")
	parts := strings.Split(code, ".")
	if len(parts) != 3 || parts[0] != status[:1] {
		return "", text
	}
	for _, part := range parts {
		if part == "" || len(part) > 3 || !isDigits(part) {
			return "", text
		}
	}
	return code, rest
}

// isDigits reports whether s has only ASCII digits.
func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// cutLineEnd takes the line end off, if it is still there.
func cutLineEnd(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// upperASCII raises ASCII letters alone: strings.ToUpper would turn "ı" into
// "I" and let a word of another alphabet pass for a keyword.
func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

// lowerASCII is the counterpart of upperASCII, for texts.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// cleanText makes foreign text fit for logs and pages: valid UTF-8 of at most
// limit bytes, in which each control character, terminal escape, direction mark
// and invalid byte is a "?". A text that is cut ends with "…".
func cleanText(s string, limit int) string {
	if len(s) <= limit && isPrintableASCII(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s { // an invalid byte comes as U+FFFD, which is printable
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
		if b.Len() > limit {
			return cutText(b.String(), limit)
		}
	}
	return b.String()
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// parsePOP3Capabilities reads the lines of a CAPA answer, without its +OK and
// its final dot, into keyword and arguments (RFC 2449 section 5).
func parsePOP3Capabilities(lines []string) map[string][]string {
	capabilities := make(map[string][]string)
	for _, line := range lines {
		line = strings.TrimPrefix(cutLineEnd(line), ".") // dot-stuffed, RFC 1939 section 3
		addCapability(capabilities, line)
	}
	return capabilities
}

// parseSMTPCapabilities reads the lines of an EHLO reply, with their codes,
// into keyword and arguments (RFC 5321 section 4.1.1.1). The first line is the
// greeting. `AUTH=LOGIN`, which old servers write for old clients, counts as
// AUTH.
func parseSMTPCapabilities(lines []string) map[string][]string {
	capabilities := make(map[string][]string)
	for i, line := range lines {
		_, text, _, err := parseSMTPLine(line)
		if i == 0 || err != nil {
			continue
		}
		if len(text) > 5 && upperASCII(text[:5]) == "AUTH=" {
			text = "AUTH " + text[5:]
		}
		addCapability(capabilities, text)
	}
	return capabilities
}

// maxCapabilityArgs bounds the arguments that are kept of one keyword: a real list has a
// dozen words, and to find duplicates among thousands would take much processor time.
const maxCapabilityArgs = 64

// addCapability adds one line's arguments to its keyword's, each once.
func addCapability(capabilities map[string][]string, line string) {
	words := strings.Fields(upperASCII(line))
	if len(words) == 0 {
		return
	}
	args := capabilities[words[0]]
	for _, word := range words[1:] {
		if len(args) < maxCapabilityArgs && !slices.Contains(args, word) {
			args = append(args, word)
		}
	}
	capabilities[words[0]] = args
}

// cutText cuts valid UTF-8 to limit bytes, the last of which are "…". A limit
// without room for that mark leaves nothing.
func cutText(s string, limit int) string {
	if limit < len(elided) {
		return ""
	}
	end := limit - len(elided)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + elided
}

// trimEOL removes CRLF, or a bare LF, which most clients accept too.
func trimEOL(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}
