// Package canary makes secrets for tests and finds them wherever they appear, in
// any coding, whole or in part.
package canary

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// New is a password that occurs nowhere else. Its special characters make URL,
// JSON, HTML and quoted forms differ from it. They stand apart: a window of
// nothing but them would be the same in every secret.
func New() string {
	var secret strings.Builder
	for _, special := range []string{`"`, "<", "+", " ", `\`, "é", ""} {
		secret.WriteString(rand.Text()[:6] + special)
	}
	return secret.String()
}

// window is how many bytes of a secret in a row are a leak.
const window = 8

// Find looks for any eight bytes of a secret in a text and names the coding they
// are in; empty: there are none.
func Find(text, secret string) string {
	coding, _ := Of(secret).Find(text)
	return coding
}

// Set finds many secrets in one go. It is made to read megabytes of text: most
// places of a text are ruled out by one bit.
type Set struct {
	starts [filterBits / 64]uint64 // a bit for the hash of each window's first eight bytes
	traces map[uint64][]trace      // by a window's first eight bytes
}

// filterBits are about 64 for each window of one secret in all codings.
const (
	filterBits     = 1 << filterExponent
	filterExponent = 18
)

// trace is a piece of a coded secret whose presence in a text is a leak.
type trace struct {
	window string
	coding string
	secret int
}

// Of prepares the search for secrets.
func Of(secrets ...string) *Set {
	s := &Set{traces: map[uint64][]trace{}}
	for i, secret := range secrets {
		for _, coding := range codings {
			s.add(coding.code(secret), coding, i)
		}
	}
	return s
}

// Codings returns a text in every coding that Find knows, by the coding's name.
// Of base64, the letters that depend on neighbours are missing.
func Codings(text string) map[string]string {
	coded := map[string]string{}
	for _, coding := range codings {
		coded[coding.name] = coding.code(text)
	}
	return coded
}

// add notes every window of a coded secret.
func (s *Set) add(coded string, c coding, secret int) {
	for at := 0; at+c.window <= len(coded); at++ {
		start := firstEight(coded[at:])
		bit := hashOf(start)
		s.starts[bit/64] |= 1 << (bit % 64)
		s.traces[start] = append(s.traces[start], trace{coded[at : at+c.window], c.name, secret})
	}
}

// Find returns the coding and the number of a secret of which eight bytes are in
// the text; the coding is empty if there is none.
func (s *Set) Find(text string) (coding string, secret int) {
	for at := 0; at+window <= len(text); at++ {
		start := firstEight(text[at:])
		if bit := hashOf(start); s.starts[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		for _, t := range s.traces[start] {
			if strings.HasPrefix(text[at:], t.window) {
				return t.coding, t.secret
			}
		}
	}
	return "", 0
}

// firstEight returns the first eight bytes of a text as a number.
func firstEight(text string) uint64 {
	_ = text[window-1]
	return uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
		uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56
}

// hashOf returns a number below filterBits. The factor is 2^64 divided by the
// golden ratio, which spreads numbers evenly (Knuth, volume 3, section 6.4).
func hashOf(start uint64) uint64 { return start * 0x9E3779B97F4A7C15 >> (64 - filterExponent) }

// escaped is what eight characters take if one of them becomes \u003c. A shorter
// window would hold little but the escape, which is in other texts too.
const escaped = window - 1 + len(`\u003c`)

// coding is a form in which eight bytes take window characters, or a few less.
type coding struct {
	name   string
	window int
	code   func(string) string
}

// codings are all forms that are looked for.
var codings = []coding{
	{"in base64", lettersOf8, base64At(0)},
	{"in base64, one byte later", lettersOf8, base64At(1)},
	{"in base64, two bytes later", lettersOf8, base64At(2)},
	{"in URL base64", lettersOf8, urlBase64At(0)},
	{"in URL base64, one byte later", lettersOf8, urlBase64At(1)},
	{"in URL base64, two bytes later", lettersOf8, urlBase64At(2)},
	{"as it is", window, func(s string) string { return s }},
	{"backwards", window, backwards},
	{"in lower case", window, strings.ToLower},
	{"in a URL", 10, url.QueryEscape},
	{"in a path", 10, url.PathEscape},
	{"in JSON", escaped, inJSON},
	{"quoted", window, quoted},
	{"quoted in ASCII", escaped, quotedInASCII},
	{"in HTML", 11, html.EscapeString},
	{"in hex", 2 * window, func(s string) string { return hex.EncodeToString([]byte(s)) }},
	{"in HEX", 2 * window, func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }},
	{"as numbers", 3 * window, func(s string) string { return strings.Trim(fmt.Sprintf("%d", []byte(s)), "[]") }},
	{"in base32", 13, func(s string) string { return base32.StdEncoding.EncodeToString([]byte(s)) }},
	{"in small base32", 13, func(s string) string { return strings.ToLower(base32.StdEncoding.EncodeToString([]byte(s))) }},
	{"in percent escapes", 3 * window, eachByte("%%%02X")},
	{"in quoted-printable", 3 * window, eachByte("=%02X")},
	{"in numeric entities", 5 * window, eachByte("&#%d;")},
	{"in hexadecimal entities", 6 * window, eachByte("&#x%02x;")},
	{`in \x escapes`, 4 * window, eachByte(`\x%02x`)},
	{`in \u escapes`, 6 * window, eachRune(`\u%04x`)},
	{"in octal escapes", 4 * window, eachByte(`\%03o`)},
	{"spaced", 2*window - 1, spaced(" ")},
	{"split by hyphens", 2*window - 1, spaced("-")},
	{"in spaced hex", 3*window - 1, eachByte("%02x ")},
}

// eachByte formats every byte of a secret for itself.
func eachByte(format string) func(string) string {
	return func(s string) string {
		var coded strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&coded, format, s[i])
		}
		return strings.TrimSpace(coded.String())
	}
}

// eachRune formats every character of a secret for itself.
func eachRune(format string) func(string) string {
	return func(s string) string {
		var coded strings.Builder
		for _, r := range s {
			fmt.Fprintf(&coded, format, r)
		}
		return coded.String()
	}
}

// spaced puts something between all characters of a secret.
func spaced(by string) func(string) string {
	return func(s string) string { return strings.Join(strings.Split(s, ""), by) }
}

// lettersOf8 are the letters of base64 that eight bytes fill, wherever they
// stand.
const lettersOf8 = 10

// base64At encodes a secret that stands shift bytes behind a boundary of base64,
// without the letters that depend on its neighbours.
func base64At(shift int) func(string) string {
	return func(secret string) string {
		coded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
		return coded[[3]int{0, 2, 3}[shift] : len(coded)-1]
	}
}

// urlBase64At is base64At in the alphabet of RFC 4648 section 5.
func urlBase64At(shift int) func(string) string {
	return func(secret string) string {
		return strings.NewReplacer("+", "-", "/", "_").Replace(base64At(shift)(secret))
	}
}

func backwards(s string) string {
	runes := []rune(s)
	slices.Reverse(runes)
	return string(runes)
}

func inJSON(s string) string {
	coded, _ := json.Marshal(s) // a string cannot fail
	return string(coded[1 : len(coded)-1])
}

func quoted(s string) string {
	coded := strconv.Quote(s)
	return coded[1 : len(coded)-1]
}

func quotedInASCII(s string) string {
	coded := strconv.QuoteToASCII(s)
	return coded[1 : len(coded)-1]
}
