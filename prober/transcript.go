package prober

// This file decides what of a dialogue may be kept. No client line is kept while
// a login runs, and no server text after the first secret byte was sent: a server
// may echo what it was told, in any encoding, even in a name that we then have to
// send.

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"mailprobe/mail"
)

// The bounds of a kept dialogue; it is kept per connection, twice.
const (
	maxTranscriptLines = 64
	maxTranscriptText  = 160
)

const (
	redacted = "<redacted>"
	elided   = " …" // server text that is not shown
)

// transcript collects the redacted dialogue of one probe.
type transcript struct {
	protocol mail.Protocol
	start    time.Time

	mu         sync.Mutex
	lines      []mail.Line
	secret     bool // a login is under way: no client line is kept
	secretSent bool // a secret byte went out: no server text is kept any more
	clear      bool // before STARTTLS: nothing is authentic (rule R09)

	// repeating is the command in which we send a word of the server; empty: our
	// lines are our own.
	repeating string
}

// client keeps what we said, line by line.
func (t *transcript) client(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.secret {
		t.secretSent = true
		t.addLocked(mail.Client, redacted)
		return
	}
	if t.repeating != "" {
		t.addLocked(mail.Client, t.repeating+elided)
		return
	}
	for line := range bytes.Lines(p) {
		t.addLocked(mail.Client, string(trimEOL(line)))
	}
}

// server keeps one line of the server, as far as it may be shown.
func (t *transcript) server(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(line[:min(len(line), maxTranscriptText+1)])
	if t.secretSent || t.clear {
		text = t.skeletonLocked(text)
	}
	t.addLocked(mail.Server, text)
}

// note keeps a remark of ours.
func (t *transcript) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(mail.Note, text)
}

// guardSecret begins (true) and ends the time in which our lines hold a secret.
func (t *transcript) guardSecret(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.secret = on
}

// repeat begins the time in which our lines hold a word of the server: nothing is
// kept of them but the command. An empty one ends it.
func (t *transcript) repeat(command string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.repeating = command
}

// inClear says whether what comes is before a STARTTLS handshake.
func (t *transcript) inClear(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear = on
}

// secretWasSent reports whether a secret byte has gone out.
func (t *transcript) secretWasSent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.secretSent
}

// mute reports whether no server text may be shown now.
func (t *transcript) mute() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.secretSent || t.clear
}

// kept returns the dialogue.
func (t *transcript) kept() []mail.Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines
}

func (t *transcript) addLocked(side mail.Side, text string) {
	switch n := len(t.lines); {
	case n == maxTranscriptLines:
		t.lines = append(t.lines, mail.Line{At: time.Since(t.start), From: mail.Note, Text: "further lines are not kept"})
	case n < maxTranscriptLines:
		t.lines = append(t.lines, mail.Line{At: time.Since(t.start), From: side, Text: cleanText(text, maxTranscriptText)})
	}
}

// skeletonLocked keeps the words of a reply that are in a closed list: the
// status, and a response code if it is a known one. In clear text capability
// lines stay too, since they say why a STARTTLS was not offered.
func (t *transcript) skeletonLocked(line string) string {
	if !t.secretSent && protocols[t.protocol].capability(line) {
		return line
	}
	status, code := protocols[t.protocol].status(line)
	if code = knownCode(code); code != "" {
		return status + " " + code + elided
	}
	return strings.TrimSpace(status + elided)
}

// knownCode gives back a response code if it is in a registry, so that showing
// it shows nothing else: RFC 5530 and 9051 for IMAP, RFC 2449, 3206 and 6856 for
// POP3; an enhanced code of RFC 3463 is digits. Any other code becomes empty.
func knownCode(code string) string {
	if responseCodes[code] || isEnhanced(code) {
		return code
	}
	return ""
}

var responseCodes = wordSet(`ALERT ALREADYEXISTS APPENDUID AUTH AUTHENTICATIONFAILED AUTHORIZATIONFAILED
	BADCHARSET CANNOT CAPABILITY CLIENTBUG CLOSED CONTACTADMIN CORRUPTION EXPIRED EXPUNGEISSUED HIGHESTMODSEQ
	IN-USE INUSE LIMIT LOGIN-DELAY NONEXISTENT NOPERM OVERQUOTA PARSE PERMANENTFLAGS PRIVACYREQUIRED READ-ONLY
	READ-WRITE REFERRAL SERVERBUG SYS SYS/PERM SYS/TEMP TRYCREATE UIDNEXT UIDVALIDITY UNAVAILABLE UNSEEN UTF8`)

// wordSet is the set of the words of a text.
func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(text) {
		set[word] = true
	}
	return set
}

// isEnhanced reports whether a code looks like 5.7.8.
func isEnhanced(code string) bool {
	digits := func(r rune) bool { return r == '.' || r >= '0' && r <= '9' }
	return len(code) >= 5 && len(code) <= 9 && strings.Count(code, ".") == 2 &&
		!strings.ContainsFunc(code, func(r rune) bool { return !digits(r) })
}
