package routes

// This file reads delivery status notifications (RFC 3464), in which a server on the
// way reports what happened to the message. A notification is believed only if it
// quotes the mark of the message, which only mailprobe can write, or its envelope ID,
// which cannot be guessed.

import (
	"bytes"
	"strings"
)

// status is what a notification reports about the recipient.
type status struct {
	action string // relayed, delivered, failed, delayed, expanded; lower case
	code   string // the enhanced status code, such as 5.1.1
	text   string // Diagnostic-Code, for people
	by     string // Reporting-MTA, for people
	id     string // Original-Envelope-Id
}

// actionRank orders the actions of notifications: "failed" is final, "delayed" counts
// least.
var actionRank = map[string]int{"delayed": 1, "expanded": 2, "relayed": 3, "delivered": 4, "failed": 5}

// parseStatus reads a whole notification. mark is the X-Mailprobe value that it
// quotes in its last part, if it does. The parts of the multipart are not taken apart: the
// fields have names that occur nowhere else, and servers differ in how they nest
// them.
func parseStatus(message []byte) (s status, mark string, ok bool) {
	fields := parseHeader(message)
	kind := strings.ToLower(first(fields, "Content-Type"))
	if !strings.Contains(kind, "multipart/report") {
		return status{}, "", false
	}
	body := message
	if at := bytes.Index(message, []byte("\r\n\r\n")); at >= 0 {
		body = message[at:]
	} else if at := bytes.Index(message, []byte("\n\n")); at >= 0 {
		body = message[at:]
	}
	for block := range bytes.SplitSeq(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n\n")) {
		found := parseHeader(block)
		if action := strings.ToLower(word(first(found, "Action"))); actionRank[action] > actionRank[s.action] {
			s.action, s.code = action, clean(word(first(found, "Status")), 20)
			s.text = clean(diagnostic(first(found, "Diagnostic-Code")), 200)
		}
		if by := first(found, "Reporting-MTA"); by != "" && s.by == "" {
			s.by = clean(diagnostic(by), 200)
		}
		if id := first(found, "Original-Envelope-Id"); id != "" {
			s.id = clean(id, 100)
		}
		if value := first(found, fieldMailprobe); value != "" && mark == "" {
			mark = value
		}
	}
	return s, mark, s.action != "" && (mark != "" || s.id != "")
}

// word is the first word of a value, without comments.
func word(value string) string {
	words := strings.Fields(withoutComments(value))
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// diagnostic returns a value without its type, such as smtp in "smtp; 550 no such user".
func diagnostic(value string) string {
	if _, text, ok := strings.Cut(value, ";"); ok {
		return strings.TrimSpace(text)
	}
	return value
}
