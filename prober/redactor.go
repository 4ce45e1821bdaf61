package prober

// This file decides which server text may be shown: all but text that contains a
// secret which the server was given, in any usual coding. It cannot find a coding
// that a hostile server invents (SECURITY.md).

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"html"
	"strconv"
	"strings"
	"unicode/utf8"

	"mailprobe/mail"
)

const (
	redacted = "<redacted>"                       // in place of our line with a secret
	withheld = "<withheld: it contains a secret>" // in place of a server's line with one
	elided   = "…"                                // text that is not shown, or cut

	notAuthenticated = "(not authenticated)" // after server text that came before TLS
)

// redactor searches the server text of one probe. Its zero value knows no secret.
type redactor struct {
	hidden  bool             // server_text: hidden
	servers []*serverSecrets // by name and by address; empty: no login is planned
	search  secretSearch     // kept, so that its buffers are reused
}

// contains reports whether a text holds a secret that the server was given.
func (r *redactor) contains(text string) bool {
	for _, s := range r.servers {
		shortest, known, version := s.lookUp(text)
		if shortest == 0 || known {
			continue
		}
		r.search.secrets, r.search.shortest = s, shortest
		if r.search.found([]byte(text), maxCodings) {
			return true
		}
		s.remember(text, version)
	}
	return false
}

// maxCodings bounds nested codings, such as base64 of percent encoding: so many
// are decoded one after the other.
const maxCodings = 2

// secretSearch searches one text in all codings.
type secretSearch struct {
	secrets  *serverSecrets
	shortest int // length in bytes of the shortest secret window

	room [maxCodings + 1][]byte // reused, one for each level of coding
}

// found reports whether the text contains a secret: as it is, in its letters and
// digits alone (the secret may be spaced out or split), or in a coding.
func (s *secretSearch) found(text []byte, codings int) bool {
	if len(text) < s.shortest {
		return false
	}
	room := fold(s.room[codings][:0], text)
	folded := room[:len(text):len(text)]
	room = lettersOf(room, folded)
	letters := room[len(text):]
	s.room[codings] = room
	if s.secrets.has(folded) || len(letters) < len(folded) && s.secrets.has(letters) {
		return true
	}
	if codings == 0 {
		return false
	}
	next := func(decoded []byte) bool { return s.found(decoded, codings-1) }
	return decodeEscapes(text, next) ||
		decodeNumbers(text, s.shortest, next) ||
		decodeHex(letters, 2*s.shortest, next) ||
		decodeBase64(text, (4*s.shortest+2)/3, next) ||
		decodeBase32(text, (8*s.shortest+4)/5, next)
}

// fold appends a text with its ASCII letters in lower case.
func fold(to, text []byte) []byte {
	for _, b := range text {
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		to = append(to, b)
	}
	return to
}

// lettersOf appends the letters and digits of a text. Bytes of non-ASCII
// characters count as letters.
func lettersOf(to, text []byte) []byte {
	for _, b := range text {
		if isAlnum(b) {
			to = append(to, b)
		}
	}
	return to
}

// decodeEscapes decodes percent and quoted-printable escapes, string escapes (\x41
// \u0041 \101 \") and HTML entities, in any mixture.
func decodeEscapes(text []byte, next func([]byte) bool) bool {
	if !bytes.ContainsAny(text, `%=\&`) {
		return false
	}
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		value, size := rune(text[i]), 1
		switch text[i] {
		case '%', '=':
			value, size = hexEscape(text[i:], 1, 2)
		case '\\':
			value, size = stringEscape(text[i:])
		}
		if value < utf8.RuneSelf || size <= 4 && value <= 0xff {
			decoded = append(decoded, byte(value))
		} else {
			decoded = utf8.AppendRune(decoded, value)
		}
		i += size
	}
	if bytes.IndexByte(decoded, '&') >= 0 {
		decoded = []byte(html.UnescapeString(string(decoded)))
	}
	return len(decoded) < len(text) && next(decoded)
}

// hexEscape reads the hexadecimal digits of an escape after its first skip bytes.
// If they are not all there, it returns the first byte alone.
func hexEscape(text []byte, skip, digits int) (value rune, size int) {
	if len(text) < skip+digits {
		return rune(text[0]), 1
	}
	n, err := strconv.ParseUint(string(text[skip:skip+digits]), 16, 32)
	if err != nil {
		return rune(text[0]), 1
	}
	return rune(n), skip + digits
}

// stringEscape reads an escape that begins with a backslash, and returns its
// character and length.
func stringEscape(text []byte) (value rune, size int) {
	if len(text) < 2 {
		return '\\', 1
	}
	switch text[1] {
	case 'x':
		return hexEscape(text, 2, 2)
	case 'u':
		if end := bytes.IndexByte(text, '}'); len(text) > 2 && text[2] == '{' && end > 3 && end <= 9 {
			value, size = hexEscape(text, 3, end-3)
			return value, size + 1
		}
		return hexEscape(text, 2, 4)
	case 'U':
		return hexEscape(text, 2, 8)
	}
	if len(text) >= 4 {
		if n, err := strconv.ParseUint(string(text[1:4]), 8, 8); err == nil {
			return rune(n), 4
		}
	}
	return rune(text[1]), 2 // \" and \\
}

// decodeNumbers reads a list of decimal numbers as bytes: 115, 101, 99.
func decodeNumbers(text []byte, shortest int, next func([]byte) bool) bool {
	var decoded []byte
	for i := 0; i < len(text); i++ {
		n, digits := 0, 0
		for ; i < len(text) && text[i] >= '0' && text[i] <= '9'; i++ {
			n, digits = min(10*n+int(text[i]-'0'), 256), digits+1
		}
		if digits > 0 && n < 256 {
			decoded = append(decoded, byte(n))
		}
	}
	return len(decoded) >= shortest && next(decoded)
}

// decodeHex reads runs of hex digits in the letters of a text, where bytes that
// were separated are joined ("73:65", "0x73 0x65"). A byte may begin at an odd
// digit, so it tries both starts.
func decodeHex(letters []byte, shortest int, next func([]byte) bool) bool {
	if bytes.Contains(letters, []byte("0x")) {
		letters = bytes.ReplaceAll(letters, []byte("0x"), nil)
	}
	return eachRun(letters, shortest, isHexDigit, func(run []byte) bool {
		for shift := range min(2, len(run)) {
			even := run[shift:]
			even = even[:len(even)&^1]
			decoded := make([]byte, len(even)/2)
			if _, err := hex.Decode(decoded, even); err == nil && next(decoded) {
				return true
			}
		}
		return false
	})
}

func isHexDigit(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// decodeBase64 reads runs of both base64 alphabets. A group may begin at any
// letter, so it tries all four starts.
func decodeBase64(text []byte, shortest int, next func([]byte) bool) bool {
	is := func(b byte) bool { return isAlnum(b) && b < 0x80 || bytes.IndexByte([]byte("+/-_,"), b) >= 0 }
	return eachRun(text, shortest, is, func(run []byte) bool {
		run = bytes.Map(func(r rune) rune {
			switch r {
			case '-':
				return '+'
			case '_', ',':
				return '/'
			}
			return r
		}, run)
		for shift := range min(4, len(run)) {
			if decoded := decodeRun(base64.RawStdEncoding.Decode, run[shift:], 4); next(decoded) {
				return true
			}
		}
		return false
	})
}

// decodeBase32 reads runs of base32 in upper or lower case. It tries all eight
// starts.
func decodeBase32(text []byte, shortest int, next func([]byte) bool) bool {
	is := func(b byte) bool { return isAlnum(b) && b < 0x80 && (b > '9' || b >= '2' && b <= '7') }
	return eachRun(text, shortest, is, func(run []byte) bool {
		run = bytes.ToUpper(run)
		for shift := range min(8, len(run)) {
			if decoded := decodeRun(base32.StdEncoding.WithPadding(base32.NoPadding).Decode, run[shift:], 8); next(decoded) {
				return true
			}
		}
		return false
	})
}

// decodeRun decodes a run. If the last group has a length that no coding ends
// with, its end is left out.
func decodeRun(decode func(to, from []byte) (int, error), run []byte, group int) []byte {
	decoded := make([]byte, len(run))
	for cut := range min(group, len(run)) {
		if n, err := decode(decoded, run[:len(run)-cut]); err == nil {
			return decoded[:n]
		}
	}
	return nil
}

// eachRun calls fn for every longest run of at least shortest bytes until it returns
// true, and reports whether it did.
func eachRun(text []byte, shortest int, is func(byte) bool, fn func(run []byte) bool) bool {
	for begin := 0; begin < len(text); {
		end := begin
		for end < len(text) && is(text[end]) {
			end++
		}
		if end-begin >= max(shortest, 1) && fn(text[begin:end]) {
			return true
		}
		begin = end + 1
	}
	return false
}

// redactCertificates removes names that contain a secret, or all names if no
// server text is shown.
func (r *redactor) redactCertificates(chain []mail.CertificateFacts) {
	for i := range chain {
		cert := &chain[i]
		r.redact(&cert.Subject)
		r.redact(&cert.Issuer)
		for i := range cert.DNSNames {
			r.redact(&cert.DNSNames[i])
		}
	}
}

// redact replaces a text that may not be shown.
func (r *redactor) redact(text *string) {
	switch {
	case *text == "":
	case r.hidden:
		*text = elided
	case r.contains(*text):
		*text = withheld
	}
}

// isExchangeData reports whether a SASL challenge is one of SCRAM (RFC 5802). Such
// a challenge is never shown: it helps to guess the password off line.
func isExchangeData(challenge string) bool {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
	return err == nil && (bytes.HasPrefix(decoded, []byte("r=")) || bytes.HasPrefix(decoded, []byte("v=")))
}
