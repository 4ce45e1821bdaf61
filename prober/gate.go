package prober

// This file stands between the wire and go-imap. The library ends a session at
// an untagged response it does not know, asks for capabilities by itself when
// it believes them stale, and one "(" in a capability list makes it spin for
// ever; so it is shown only what the probe needs, written by us.

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// imapGate is the lineFilter of IMAP, and remembers the replies it passed: the
// library flattens them. The library's reader passes lines through it while the
// dialect looks at what was heard.
type imapGate struct {
	mu        sync.Mutex // guards everything below
	heard     heard
	login     bool   // a login is under way
	initial   bool   // the next empty "+" asks for the initial response
	answered  bool   // a tagged reply has come
	waiting   string // tag of the command under way; empty: none
	asking    bool   // a literal of ours waits for the server's leave
	owed      int    // bytes of it still to be written
	inLiteral bool   // a literal is being dropped
	skip      int    // bytes of it still to come
}

// heard is what a server said that a probe wants to know.
type heard struct {
	tagged  reply           // last tagged reply
	bye     *reply          // nil: no goodbye
	bad     *reply          // untagged BAD since the last tagged reply; nil: none
	exists  uint64          // messages of the examined mailbox
	counted bool            // exists is known
	caps    map[string]bool // in upper case
	others  []namespace     // the Other Users' and Shared namespaces
}

// now is what was heard up to now.
func (g *imapGate) now() heard {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.heard
}

// forgetCount is for another EXAMINE.
func (g *imapGate) forgetCount() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard.counted = false
}

// expectLogin begins and ends a login.
func (g *imapGate) expectLogin(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.login, g.initial = on, false
}

// expectInitial says that an empty "+" asks for the initial response.
func (g *imapGate) expectInitial(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.initial = on
}

// isAsking reports whether a literal of ours waits for the server's "+".
func (g *imapGate) isAsking() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asking
}

// inLogin reports whether a login is under way.
func (g *imapGate) inLogin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.login
}

// pass is the lineFilter.
func (g *imapGate) pass(line []byte) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inLiteral {
		return g.dropLiteral(line)
	}
	text := string(trimEOL(line))
	tag, rest, _ := strings.Cut(text, " ")
	switch {
	case tag == "+":
		return g.continuation(rest), nil
	case tag == "*":
		return g.untagged(text, rest)
	}
	r, ok := parseTagged(text)
	if !ok || !strings.EqualFold(tag, g.waiting) {
		// Also a second answer: it must not take the place of the first.
		return nil, malformedf("not an IMAP response to this command")
	}
	g.heard.tagged, g.heard.bad, g.answered, g.waiting = r, nil, true, ""
	return g.taggedLine(tag, r.status), nil
}

// parseTagged reads a tagged OK, NO or BAD.
func parseTagged(text string) (reply, bool) {
	tag, r, ok := parseIMAPStatus(text)
	ok = ok && tag != "*" && (r.status == "OK" || r.status == "NO" || r.status == "BAD")
	return r, ok
}

// taggedLine writes a tagged reply anew, with the tag in the library's letters:
// some servers give it back in their own. The capability code after a login keeps
// the library from asking for capabilities beside our next command.
func (g *imapGate) taggedLine(tag, status string) []byte {
	code := ""
	if g.login && status == "OK" {
		code = "[CAPABILITY IMAP4rev1] "
	}
	return fmt.Appendf(nil, "%s %s %sreply\r\n", upperASCII(tag), status, code)
}

// continuation passes a "+" line. The library takes an empty challenge for a
// call for the initial response; where there is none left to send, "=" says
// the empty challenge in a way it understands.
func (g *imapGate) continuation(challenge string) []byte {
	g.asking = false
	if challenge == "" && g.login && !g.initial {
		challenge = "="
	}
	g.initial = false
	return []byte("+ " + challenge + "\r\n")
}

// sent follows what the library writes: the tag of a command, and its literals,
// to know whether a tagged reply comes instead of the "+" that allows one: then
// the password has not been sent, and the library can say nothing more.
func (g *imapGate) sent(p []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	skip := min(g.owed, len(p))
	g.owed -= skip
	p = p[skip:]
	if tag, _, ok := bytes.Cut(p, []byte(" ")); ok && skip == 0 && libraryTag(tag) {
		g.waiting = string(tag)
	}
	open := bytes.LastIndexByte(p, '{')
	if open < 0 || !bytes.HasSuffix(p, []byte("}\r\n")) {
		return
	}
	size, err := strconv.Atoi(string(p[open+1 : len(p)-3]))
	if err == nil {
		g.asking, g.owed = true, size
	}
}

// libraryTag reports whether a word is a tag as go-imap makes them: T1, T2. No
// base64 of a mechanism is followed by a space.
func libraryTag(word []byte) bool {
	_, err := strconv.ParseUint(strings.TrimPrefix(string(word), "T"), 10, 64)
	return err == nil && word[0] == 'T'
}

// untagged passes what a probe needs of the untagged responses.
func (g *imapGate) untagged(text, rest string) ([]byte, error) {
	word, args, _ := strings.Cut(rest, " ")
	switch name := upperASCII(word); name {
	case "CAPABILITY":
		return g.capability(args)
	case "NAMESPACE":
		g.heard.others = otherNamespaces(args)
		return nil, nil
	case "BYE", "PREAUTH", "OK", "NO", "BAD":
		return nil, g.status(name, text)
	case "":
		return nil, malformedf("an empty untagged response")
	}
	if word[0] == '-' || word[0] >= '0' && word[0] <= '9' {
		return g.number(word, args)
	}
	return nil, g.literal(text)
}

// status looks at an untagged status response and lets none pass.
func (g *imapGate) status(name, text string) error {
	_, r, ok := parseIMAPStatus(text)
	switch {
	case !ok:
		return malformedf("a malformed untagged %s", name)
	case name == "BYE":
		g.heard.bye = &r
	case name == "BAD":
		g.heard.bad = &r
	case name == "PREAUTH" || name == "OK" && r.code == "" && !g.answered:
		return malformedf("a second greeting")
	case numericCodes[r.code]:
		return checkNumber(text, r.code)
	}
	return nil
}

// numericCodes are the response codes whose argument is a number.
var numericCodes = map[string]bool{"UIDVALIDITY": true, "UIDNEXT": true, "UNSEEN": true}

// checkNumber refuses a code whose argument is no nz-number of RFC 9051: such a
// server must not be reported as healthy.
func checkNumber(text, code string) error {
	at := strings.Index(upperASCII(text), "["+code)
	arg, _, _ := strings.Cut(strings.TrimSpace(text[at+1+len(code):]), "]")
	if _, err := strconv.ParseUint(strings.TrimSpace(arg), 10, 32); err != nil {
		return malformedf("%s is not a 32-bit number", code)
	}
	return nil
}

// number passes "n EXISTS" and checks the other message data.
func (g *imapGate) number(word, args string) ([]byte, error) {
	kind, _, _ := strings.Cut(upperASCII(args), " ")
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil {
		return nil, malformedf("%s with a number that is not a 32-bit number", cleanText(kind, 20))
	}
	if kind != "EXISTS" {
		return nil, g.literal(args)
	}
	g.heard.exists, g.heard.counted = n, true
	return fmt.Appendf(nil, "* %d EXISTS\r\n", n), nil
}

// capability writes a capability list anew, out of clean atoms.
func (g *imapGate) capability(args string) ([]byte, error) {
	caps, err := capabilityAtoms(args)
	if err != nil {
		return nil, err
	}
	g.heard.caps = make(map[string]bool, len(caps))
	for _, name := range caps {
		g.heard.caps[upperASCII(name)] = true
	}
	return []byte("* CAPABILITY " + strings.Join(caps, " ") + "\r\n"), nil
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
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
}

// literal prepares for the literal that a dropped line may end with.
func (g *imapGate) literal(text string) error {
	open := strings.LastIndexByte(text, '{')
	if open < 0 || !strings.HasSuffix(text, "}") {
		return nil
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(text[open+1:len(text)-1], "+"), 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil // just text that looks a little like one
	}
	if size > maxLiteral {
		return oversizef("a literal is larger than %d bytes", maxLiteral)
	}
	g.inLiteral, g.skip = true, int(size)
	return nil
}

// dropLiteral drops a literal's bytes, and the rest of its response on the line
// where the literal ends, or on the next one if it ends with a line.
func (g *imapGate) dropLiteral(line []byte) ([]byte, error) {
	if len(line) <= g.skip {
		g.skip -= len(line)
		return nil, nil
	}
	rest := string(trimEOL(line[g.skip:]))
	g.inLiteral, g.skip = false, 0
	return nil, g.literal(rest)
}
