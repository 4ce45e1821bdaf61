package prober

// This file keeps the dialogue of a probe. Our own lines are not kept while a login
// runs. The server's lines are kept until the probe ends, and are then
// searched for secrets (redactor.go).

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"mailprobe/mail"
)

// The bounds of a kept dialogue; it is kept per connection, twice.
const (
	maxTranscriptLines = 64
	usualLines         = 16  // room for so many is allocated at the beginning
	maxTranscriptText  = 160 // bytes of a line that are shown
	maxSearchedText    = 512 // bytes of a line that are searched for secrets
)

// transcript collects the dialogue of one probe.
type transcript struct {
	protocol mail.Protocol
	start    time.Time

	mu         sync.Mutex
	lines      []rawLine
	login      bool // a login is under way: no client line is kept
	secretSent bool // a byte of a secret was sent
	clear      bool // before STARTTLS: nothing is authentic (rule R09)
}

// rawLine is a line before the search for secrets.
type rawLine struct {
	at     time.Duration
	from   mail.Side
	text   string // at most maxSearchedText bytes
	clear  bool   // of the server, before TLS was up
	isData bool   // a challenge, which is data and not text
}

// client keeps what we sent, line by line.
func (t *transcript) client(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.login {
		t.secretSent = true
		t.addLocked(rawLine{from: mail.Client, text: redacted})
		return
	}
	for line := range bytes.Lines(p) {
		t.addLocked(rawLine{from: mail.Client, text: string(trimEOL(line))})
	}
}

// server keeps one line of the server.
func (t *transcript) server(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(line[:min(len(line), maxSearchedText)])
	_, challenge, _ := strings.Cut(text, " ")
	t.addLocked(rawLine{from: mail.Server, text: text, clear: t.clear, isData: t.login && isExchangeData(challenge)})
}

// note keeps a remark of ours.
func (t *transcript) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(rawLine{from: mail.Note, text: text})
}

// guardSecret switches the keeping of our own lines off (true) and on: during a
// login they contain a secret.
func (t *transcript) guardSecret(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.login = on
}

// inClear sets whether the following lines come before a STARTTLS handshake.
func (t *transcript) inClear(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear = on
}

// isInClear reports whether the session is before a STARTTLS handshake.
func (t *transcript) isInClear() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.clear
}

// secretWasSent reports whether any byte of a secret was sent.
func (t *transcript) secretWasSent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.secretSent
}

func (t *transcript) addLocked(line rawLine) {
	line.at = time.Since(t.start)
	if t.lines == nil {
		t.lines = make([]rawLine, 0, usualLines)
	}
	switch n := len(t.lines); {
	case n == maxTranscriptLines:
		t.lines = append(t.lines, rawLine{at: line.at, from: mail.Note, text: "further lines are not kept"})
	case n < maxTranscriptLines:
		t.lines = append(t.lines, line)
	}
}

// kept returns the dialogue as it may be shown.
func (t *transcript) kept(r *redactor) []mail.Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	split := t.splitSecretsLocked(r)
	lines := make([]mail.Line, len(t.lines))
	for i, line := range t.lines {
		text := line.text
		switch line.from {
		case mail.Server:
			text = t.serverText(r, line, split[i])
		case mail.Client:
			text = clientText(r, line)
		}
		lines[i] = mail.Line{At: line.at, From: line.from, Text: text}
		if line.from == mail.Note {
			lines[i].Text = cleanText(text, maxTranscriptText)
		}
	}
	return lines
}

// clientText returns one of our lines as it may be shown. It is searched for
// secrets too: the server chooses a part of a folder's name.
func clientText(r *redactor, line rawLine) string {
	if r.contains(line.text) {
		command, _, _ := strings.Cut(line.text, " ")
		return cleanText(command, maxTranscriptText/2) + " " + withheld
	}
	return cleanText(line.text, maxTranscriptText)
}

// serverText returns a line of the server as it may be shown. If its text must not
// be shown, the status remains, and the response code if it is a registered one.
func (t *transcript) serverText(r *redactor, line rawLine, isSplit bool) string {
	instead := elided
	switch {
	case line.isData, r.hidden:
	case isSplit, r.contains(line.text):
		instead = withheld
	case line.clear:
		return cleanText(line.text, maxTranscriptText-len(notAuthenticated)-1) + " " + notAuthenticated
	default:
		return cleanText(line.text, maxTranscriptText)
	}
	status, code := protocols[t.protocol].status(line.text)
	return joinWords(status, knownCode(code), instead)
}

// joinWords joins the words that are not empty.
func joinWords(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// splitSecretsLocked returns the indexes of lines over which the server has split
// a secret. The caller holds mu.
func (t *transcript) splitSecretsLocked(r *redactor) map[int]bool {
	whole, isClean := t.isCleanLocked(r)
	if isClean {
		return nil
	}
	size := len(whole)
	letters := make([]byte, 0, size)
	owners := make([]uint8, 0, size) // the line of each letter
	for i, line := range t.lines {
		if line.from != mail.Server {
			continue
		}
		begin := len(letters)
		for word := range strings.FieldsSeq(t.wordsOf(line.text)) {
			letters = lettersOf(letters, []byte(word))
		}
		fold(letters[begin:begin], letters[begin:])
		for len(owners) < len(letters) {
			owners = append(owners, uint8(i))
		}
	}
	var split map[int]bool
	for _, s := range r.servers {
		_, _, version := s.lookUp(whole)
		end, length := s.find(letters, 0)
		if end == 0 {
			s.remember(whole, version)
		}
		for ; end > 0; end, length = s.find(letters, end) {
			if length > maxWholeWord && owners[end-length] != owners[end-1] {
				for _, owner := range owners[end-length : end] {
					if split == nil {
						split = map[int]bool{}
					}
					split[int(owner)] = true
				}
			}
		}
	}
	return split
}

// isCleanLocked returns all server text of the probe as one text, and whether it is
// known that no secret is split over its lines. The caller holds mu.
func (t *transcript) isCleanLocked(r *redactor) (whole string, isClean bool) {
	size := len(t.protocol) + 1
	for i := range t.lines {
		size += len(t.lines[i].text) + 1
	}
	text := make([]byte, 0, size)
	// What counts of a line depends on the protocol. No line holds a line feed, so that
	// no single line is such a text.
	text = append(append(text, t.protocol...), '\n')
	for i := range t.lines {
		if t.lines[i].from == mail.Server {
			text = append(append(text, t.lines[i].text...), '\n')
		}
	}
	whole = string(text)
	for _, s := range r.servers {
		if _, known, _ := s.lookUp(whole); !known {
			return whole, false
		}
	}
	return whole, true
}

// wordsOf returns the text of a server's line, without its tag or status.
func (t *transcript) wordsOf(line string) string {
	if t.protocol == mail.SMTP && len(line) > 4 {
		return line[4:] // "250-word"
	}
	status, _ := protocols[t.protocol].status(line)
	for range max(1, len(strings.Fields(status))) {
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
		end := strings.IndexFunc(line, unicode.IsSpace)
		if end < 0 {
			return ""
		}
		line = line[end:]
	}
	return line
}

// knownCode returns a response code if it is a registered one (RFC 5530 and 9051
// for IMAP, RFC 2449, 3206 and 6856 for POP3) or an enhanced status code (RFC
// 3463); empty: it is neither, and may hold anything.
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
