// Package routes sends a message of its own through one connection, looks for it
// through another, and says on which leg of its way it broke.
//
// It knows neither YAML nor Prometheus nor HTTP, and speaks to servers through
// the Transport alone. A message that did not arrive is an outcome, never a Go
// error.
package routes

// This file composes the message of a route and recognises it when it arrives. The message
// contains no name of this host or of a user.

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailprobe/mail"
)

// The header fields by which a message is recognised.
const (
	fieldMailprobe = "X-Mailprobe"
	fieldMessageID = "Message-ID"
)

// version is the first part of the X-Mailprobe field.
const version = "v1"

// message is one message of a route.
type message struct {
	token string // unguessable; in the Message-ID, and in the journal
	route string
	seq   uint64
	sent  time.Time // to the second
}

func newMessage(r *mail.Route, seq uint64, now time.Time) message {
	return message{token: rand.Text(), route: r.Name, seq: seq, sent: now.UTC().Truncate(time.Second)}
}

// mark is the value of the X-Mailprobe field: the parts of the message, and an
// HMAC-SHA-256 over them, the token and the body, so that only
// this mailprobe can write one.
func (m message) mark(key []byte) string {
	return strings.Join([]string{version, url.PathEscape(m.route), strconv.FormatUint(m.seq, 10), m.sent.Format(time.RFC3339), m.mac(key)}, "; ")
}

func (m message) mac(key []byte) string {
	h := hmac.New(sha256.New, key)
	// No part but the route's name can hold a line break, and the name comes last.
	fmt.Fprintf(h, "%s\n%s\n%d\n%d\n%s", version, m.token, m.seq, m.sent.Unix(), m.route)
	return hex.EncodeToString(h.Sum(nil))
}

// body returns the text of the message. It depends only on the parts of the message, so
// that it need not be stored to detect a change on the way.
func (m message) body() string {
	return "This message was sent by mailprobe to find out whether mail arrives.\r\n" +
		"It belongs to the route named in its subject. It can be deleted.\r\n" +
		"\r\n" +
		fmt.Sprintf("Sequence number: %d\r\nCheck: %s\r\n", m.seq, m.bodyCheck())
}

// bodyCheck is a hash that shows which message the body belongs to.
func (m message) bodyCheck() string {
	sum := sha256.Sum256([]byte("body\n" + m.token))
	return hex.EncodeToString(sum[:8])
}

// id is the message's Message-ID; empty for one that was never composed.
func (m message) id(r *mail.Route) string {
	if m.token == "" {
		return ""
	}
	_, domain, _ := strings.Cut(r.From, "@")
	return "<" + m.token + "@" + domain + ">"
}

// compose writes the whole message (RFC 5322), below 2 KiB.
func (m message) compose(r *mail.Route, key []byte) []byte {
	var b strings.Builder
	for _, field := range [][2]string{
		{"From", "<" + r.From + ">"},
		{"To", "<" + r.To + ">"},
		{"Subject", mime.QEncoding.Encode("utf-8", fmt.Sprintf("[mailprobe] %s %d", m.route, m.seq))},
		{"Date", m.sent.Format(time.RFC1123Z)},
		{fieldMessageID, m.id(r)},
		{fieldMailprobe, m.mark(key)},
		// RFC 3834 section 5, and Exchange's own: vacation notices and the like
		// must not answer.
		{"Auto-Submitted", "auto-generated"},
		{"X-Auto-Response-Suppress", "All"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=us-ascii"},
		{"Content-Transfer-Encoding", "7bit"},
	} {
		b.WriteString(field[0] + ": " + field[1] + "\r\n")
	}
	b.WriteString("\r\n" + m.body())
	return []byte(b.String())
}

var errNotOurs = errors.New("not a mark of mailprobe")

// parseMark reads a value of X-Mailprobe. Its contents are not trusted until verify has
// confirmed them.
func parseMark(value string) (m message, mac string, err error) {
	parts := strings.Split(value, ";")
	if len(parts) != 5 {
		return message{}, "", errNotOurs
	}
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i]) // where a relay folded the line
	}
	route, nameErr := url.PathUnescape(parts[1])
	seq, seqErr := strconv.ParseUint(parts[2], 10, 64)
	sent, timeErr := time.Parse(time.RFC3339, parts[3])
	if parts[0] != version || nameErr != nil || seqErr != nil || timeErr != nil {
		return message{}, "", errNotOurs
	}
	return message{route: route, seq: seq, sent: sent.UTC()}, parts[4], nil
}

// verify reports whether a mark was made with the key, for this message.
func (m message) verify(value string, key []byte) bool {
	claim, mac, err := parseMark(value)
	if err != nil || claim.seq != m.seq || !claim.sent.Equal(m.sent) {
		return false
	}
	return hmac.Equal([]byte(mac), []byte(m.mac(key)))
}
