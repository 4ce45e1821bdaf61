package routes

// This file compares the body that came back with the one that was sent.

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
)

// sameBody reports whether a decoded body is that of the message. Relays may change line
// ends and spaces at the end of lines (RFC 6376 section 3.4.3 calls that relaxed), and
// nothing else.
func (m message) sameBody(fields []field, body []byte) bool {
	return bytes.Equal(relaxed(decoded(fields, body)), relaxed([]byte(m.body())))
}

// decoded returns a body without its transfer encoding. A relay may choose another one
// (RFC 6152 section 3). A body that cannot be decoded is returned as it is.
func decoded(fields []field, body []byte) []byte {
	var r io.Reader
	switch strings.ToLower(word(first(fields, "Content-Transfer-Encoding"))) {
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
	default:
		return body
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return body
	}
	return text
}

// relaxed returns a body without what relays may change.
func relaxed(body []byte) []byte {
	var lines []string
	for line := range strings.Lines(string(body)) {
		lines = append(lines, strings.TrimRight(line, " \t\r\n"))
	}
	return []byte(strings.TrimRight(strings.Join(lines, "\n"), "\n"))
}
