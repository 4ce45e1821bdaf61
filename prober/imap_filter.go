package prober

// This file filters the lines that go-imap reads. The library ends a session at an
// unknown untagged response, sends CAPABILITY by itself, and loops forever on a
// "(" in a capability list. So it gets only the responses that a probe needs, and
// those are written anew.

import (
	"bytes"
	"cmp"
	"errors"
	"strconv"
	"strings"
	"sync"

	"mailprobe/mail"
)

// imapFilter is the lineFilter of IMAP. It also keeps the responses for the
// dialect, because the library drops their codes. The library's reader calls it in
// a goroutine of its own.
type imapFilter struct {
	mu                   sync.Mutex // guards everything below
	responses            responses
	login                bool          // a login is under way
	exchange             *saslExchange // of that login; nil with LOGIN
	answered             bool          // a tagged reply has come
	waiting              string        // tag of the command under way; empty: none
	awaitingContinuation bool          // our literal waits for the server's "+"
	literalRemaining     int           // bytes of our literal still to be written
	inLiteral            bool          // a literal of the server is being dropped
	skip                 int           // bytes of that literal still to come
	maxLiteral           int           // bytes of one literal
	collecting           bool          // data responses are kept for the dialect, not only dropped
	kept                 []byte        // the data response being received, without its "* "
	data                 [][]byte      // complete data responses
	warning              *reply        // untagged NO since the last tagged reply; nil: none
}

// responses are the parts of the server's responses that a probe needs.
type responses struct {
	tagged  reply           // last tagged reply
	warning *reply          // the last untagged NO before it, which may explain it; nil: none
	bye     *reply          // nil: no goodbye
	bad     *reply          // untagged BAD since the last tagged reply; nil: none
	exists  uint64          // messages of the examined mailbox
	counted bool            // exists is known
	opened  openedCodes     // of the answer to EXAMINE
	caps    map[string]bool // in upper case
}

// openedCodes are the numbers of the response codes with which a server opens a
// mailbox (RFC 3501 section 6.3.1); 0: not sent. An IMAP4rev2 server does not send
// unseen.
type openedCodes struct{ unseen, uidNext, uidValidity uint32 }

// now returns the responses received so far.
func (f *imapFilter) now() responses {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.responses
}

// forgetCount drops what the last EXAMINE returned, before another one.
func (f *imapFilter) forgetCount() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.responses.counted, f.responses.opened = false, openedCodes{}
}

// beginLogin marks the begin of a login. x is its SASL exchange, nil for LOGIN.
func (f *imapFilter) beginLogin(x *saslExchange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.login, f.exchange = true, x
}

// endLogin marks the end of a login.
func (f *imapFilter) endLogin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.login, f.exchange = false, nil
}

// isAwaitingContinuation reports whether a literal of ours waits for the server's "+".
func (f *imapFilter) isAwaitingContinuation() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.awaitingContinuation
}

// isWaiting reports whether a command waits for its tagged reply.
func (f *imapFilter) isWaiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting != ""
}

// inLogin reports whether a login is under way.
func (f *imapFilter) inLogin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.login
}

// pass implements lineFilter.
func (f *imapFilter) pass(line []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inLiteral {
		return nil, f.keepRest(line, f.dropLiteral(line))
	}
	text := string(trimEOL(line))
	tag, rest, _ := strings.Cut(text, " ")
	switch {
	case tag == "+":
		return f.continuation(rest), nil
	case tag == "*":
		passed, err := f.untagged(text, rest)
		return passed, f.keep(rest, passed, err)
	}
	r, ok := parseTagged(text)
	if !ok || !strings.EqualFold(tag, f.waiting) {
		// This is also the case of a second reply, which must not replace the first.
		return nil, malformedf("not an IMAP response to this command")
	}
	f.responses.tagged, f.responses.bad, f.answered, f.waiting = r, nil, true, ""
	f.responses.warning, f.warning = f.warning, nil
	if f.login && r.status == "OK" && r.code == "CAPABILITY" {
		f.capabilityCode(rest)
	}
	return f.taggedLine(tag, r.status), nil
}

// capabilityCode takes the capabilities from the reply to a login, "OK [CAPABILITY
// …] text": many servers announce most of them only there. An invalid list changes
// nothing.
func (f *imapFilter) capabilityCode(rest string) {
	_, after, _ := strings.Cut(rest, " ")
	_, args, _ := cutIMAPCode(after)
	if caps, err := capabilityAtoms(args); err == nil {
		f.setCapabilities(caps)
	}
}

// setCapabilities replaces the known capabilities.
func (f *imapFilter) setCapabilities(caps []string) {
	f.responses.caps = make(map[string]bool, len(caps))
	for _, name := range caps {
		f.responses.caps[upperASCII(name)] = true
	}
}

// parseTagged reads a tagged OK, NO or BAD.
func parseTagged(text string) (reply, bool) {
	tag, r, ok := parseIMAPStatus(text)
	ok = ok && tag != "*" && (r.status == "OK" || r.status == "NO" || r.status == "BAD")
	return r, ok
}

// taggedLine writes a tagged reply anew, with the tag as the library sent it: some
// servers change upper and lower case. A capability code is added after a login,
// so that the library does not send CAPABILITY by itself.
func (f *imapFilter) taggedLine(tag, status string) []byte {
	code := ""
	if f.login && status == "OK" {
		code = "[CAPABILITY IMAP4rev1] "
	}
	return []byte(upperASCII(tag) + " " + status + " " + code + "reply\r\n")
}

// continuation passes a "+" line. The library would take an empty challenge for a
// request for the initial response, so "=" stands for an empty challenge. It also
// stands for a text that the mechanism does not use, which need not be base64.
func (f *imapFilter) continuation(challenge string) []byte {
	f.awaitingContinuation = false
	if x := f.exchange; x != nil && (challenge == "" || x.textless.Load()) {
		challenge = "="
	}
	return []byte("+ " + challenge + "\r\n")
}

// sent follows what the library writes: the tag of each command, and its literals.
// If the server sends a tagged reply instead of the "+" for a literal, the password
// has not left, and the library cannot send another command.
func (f *imapFilter) sent(p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	skip := min(f.literalRemaining, len(p))
	f.literalRemaining -= skip
	p = p[skip:]
	if tag, _, ok := bytes.Cut(p, []byte(" ")); ok && skip == 0 && libraryTag(tag) {
		f.waiting = string(tag)
	}
	open := bytes.LastIndexByte(p, '{')
	if open < 0 || !bytes.HasSuffix(p, []byte("}\r\n")) {
		return
	}
	size, err := strconv.Atoi(string(p[open+1 : len(p)-3]))
	if err == nil {
		f.awaitingContinuation, f.literalRemaining = true, size
	}
}

// libraryTag reports whether a word is a tag of go-imap, such as T1. A mechanism's
// base64 is never taken for one, because no space follows it.
func libraryTag(word []byte) bool {
	_, err := strconv.ParseUint(strings.TrimPrefix(string(word), "T"), 10, 64)
	return err == nil && word[0] == 'T'
}

// untagged passes the untagged responses that a probe needs.
func (f *imapFilter) untagged(text, rest string) ([]byte, error) {
	word, args, _ := strings.Cut(rest, " ")
	switch name := upperASCII(word); name {
	case "CAPABILITY":
		return f.capability(args)
	case "BYE", "PREAUTH", "OK", "NO", "BAD":
		return nil, f.status(name, text)
	case "":
		return nil, malformedf("an empty untagged response")
	}
	if word[0] == '-' || word[0] >= '0' && word[0] <= '9' {
		return f.number(word, args)
	}
	return nil, f.literal(text)
}

// status keeps an untagged status response. The library gets none of them.
func (f *imapFilter) status(name, text string) error {
	_, r, ok := parseIMAPStatus(text)
	switch {
	case !ok:
		return malformedf("a malformed untagged %s", name)
	case name == "BYE":
		f.responses.bye = &r
	case name == "BAD":
		f.responses.bad = &r
	case name == "NO":
		f.warning = &r
	case name == "PREAUTH" || name == "OK" && r.code == "" && !f.answered:
		return malformedf("a second greeting")
	case numericCodes[r.code]:
		return f.openedCode(text, r.code)
	}
	return nil
}

// numericCodes are the response codes whose argument is a 32-bit number.
var numericCodes = map[string]bool{"UIDVALIDITY": true, "UIDNEXT": true, "UNSEEN": true}

// openedCode keeps a code's number. It returns a fault if the argument is not an
// nz-number (RFC 9051 section 9): such a server must not be reported as up.
func (f *imapFilter) openedCode(text, code string) error {
	at := strings.Index(upperASCII(text), "["+code)
	arg, _, _ := strings.Cut(strings.TrimSpace(text[at+1+len(code):]), "]")
	number, err := strconv.ParseUint(strings.TrimSpace(arg), 10, 32)
	if err != nil {
		return malformedf("%s is not a 32-bit number", code)
	}
	switch opened := &f.responses.opened; code {
	case "UIDVALIDITY":
		opened.uidValidity = uint32(number)
	case "UIDNEXT":
		opened.uidNext = uint32(number)
	case "UNSEEN":
		opened.unseen = uint32(number)
	}
	return nil
}

// messageData are the untagged responses that begin with a number. Errors use
// these words, not the server's.
var messageData = map[string]string{"EXISTS": "EXISTS", "RECENT": "RECENT", "EXPUNGE": "EXPUNGE", "FETCH": "FETCH"}

// number passes "n EXISTS" and checks the number of all other message data.
func (f *imapFilter) number(word, args string) ([]byte, error) {
	kind, _, _ := strings.Cut(upperASCII(args), " ")
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil {
		return nil, malformedf("untagged %s with a number that is not a 32-bit number", cmp.Or(messageData[kind], "data"))
	}
	if kind == "EXPUNGE" && f.responses.exists > 0 {
		f.responses.exists--
	}
	if kind != "EXISTS" {
		return nil, f.literal(args)
	}
	f.responses.exists, f.responses.counted = n, true
	return []byte("* " + strconv.FormatUint(n, 10) + " EXISTS\r\n"), nil
}

// libraryCapabilities are those by which go-imap decides what it sends. It reads
// other names for nothing, letter by letter. Read only.
var libraryCapabilities = []string{"IMAP4REV1", "IMAP4REV2", "SASL-IR", "LITERAL-", "LITERAL+", "MOVE", "UIDPLUS"}

// libraryList writes those of the capabilities that the library uses, each after a space.
func libraryList(caps map[string]bool) string {
	var list strings.Builder
	for _, name := range libraryCapabilities {
		if caps[name] {
			list.WriteString(" " + name)
		}
	}
	return list.String()
}

// capability writes a capability list anew, out of clean atoms that the library uses.
func (f *imapFilter) capability(args string) ([]byte, error) {
	caps, err := capabilityAtoms(args)
	if err != nil {
		return nil, err
	}
	f.setCapabilities(caps)
	return []byte("* CAPABILITY" + libraryList(f.responses.caps) + "\r\n"), nil
}

// capabilityAtoms splits the arguments of CAPABILITY (RFC 9051 section 9).
func capabilityAtoms(args string) ([]string, error) {
	caps := strings.Fields(args)
	for _, name := range caps {
		if strings.ContainsFunc(name, notAtom) {
			return nil, malformedf("a capability that is not an atom")
		}
	}
	if len(caps) == 0 {
		return nil, malformedf("an empty capability list")
	}
	return caps, nil
}

// notAtom reports the characters that an IMAP atom cannot hold.
func notAtom(r rune) bool {
	return mail.NotVisible(r) || strings.ContainsRune(`(){%*"\]`, r)
}

// literal begins to drop the literal that a dropped line announces, if any.
func (f *imapFilter) literal(text string) error {
	open := strings.LastIndexByte(text, '{')
	if open < 0 || !strings.HasSuffix(text, "}") {
		return nil
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(text[open+1:len(text)-1], "+"), 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil // text that happens to end with a brace
	}
	if size > uint64(f.maxLiteral) {
		return oversizef("a literal is larger than %d bytes", f.maxLiteral)
	}
	f.inLiteral, f.skip = true, int(size)
	return nil
}

// dropLiteral skips a literal's bytes and the rest of its response, which is on
// the line where the literal ends, or on the next one if the literal ends a line.
func (f *imapFilter) dropLiteral(line []byte) error {
	if len(line) <= f.skip {
		f.skip -= len(line)
		return nil
	}
	rest := string(trimEOL(line[f.skip:]))
	f.inLiteral, f.skip = false, 0
	return f.literal(rest)
}

// collect switches the keeping of data responses on or off.
func (f *imapFilter) collect(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.collecting, f.kept, f.data = on, nil, nil
}

// collected returns the data responses that were kept, without their "* ".
func (f *imapFilter) collected() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.data
}

// notData are the untagged responses that are not about a mailbox.
var notData = map[string]bool{"OK": true, "NO": true, "BAD": true, "BYE": true, "PREAUTH": true, "CAPABILITY": true}

// keep keeps the first line of a data response, unless it was passed on to the
// library. It returns err as it is, so that its caller can return the result.
func (f *imapFilter) keep(rest string, passed []byte, err error) error {
	word, _, _ := strings.Cut(rest, " ")
	if !f.collecting || err != nil || passed != nil || notData[upperASCII(word)] {
		return err
	}
	f.kept = append([]byte(rest), "\r\n"...)
	f.keepWhole()
	return nil
}

// keepRest keeps a further line of a response that holds a literal.
func (f *imapFilter) keepRest(line []byte, err error) error {
	if f.collecting && err == nil {
		f.kept = append(f.kept, line...)
		f.keepWhole()
	}
	return err
}

// keepWhole moves a response to data when its last line has come.
func (f *imapFilter) keepWhole() {
	if !f.inLiteral {
		f.data = append(f.data, f.kept)
		f.kept = nil
	}
}
