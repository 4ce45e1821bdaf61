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

// Set finds many secrets in one go.
type Set struct {
	traces map[int]map[string]trace // by length and text
}

// trace is what a piece of text reveals.
type trace struct {
	coding string
	secret int
}

// Of prepares the search for secrets.
func Of(secrets ...string) *Set {
	s := &Set{traces: map[int]map[string]trace{}}
	for i, secret := range secrets {
		for _, coding := range codings {
			s.add(coding.code(secret), coding.window, trace{coding.name, i})
		}
		for shift := range 3 {
			coded := base64At(secret, shift)
			s.add(coded, lettersOf8, trace{"in base64", i})
			s.add(strings.NewReplacer("+", "-", "/", "_").Replace(coded), lettersOf8, trace{"in URL base64", i})
		}
	}
	return s
}

// add notes every window of a coded secret.
func (s *Set) add(coded string, window int, t trace) {
	if s.traces[window] == nil {
		s.traces[window] = map[string]trace{}
	}
	for at := 0; at+window <= len(coded); at++ {
		s.traces[window][coded[at:at+window]] = t
	}
}

// Find gives the coding and the number of a secret of which eight bytes are in
// the text; the coding is empty if there is none.
func (s *Set) Find(text string) (coding string, secret int) {
	for window, traces := range s.traces {
		for at := 0; at+window <= len(text); at++ {
			if t, found := traces[text[at:at+window]]; found {
				return t.coding, t.secret
			}
		}
	}
	return "", 0
}

// escaped is what eight characters take if one of them becomes \u003c. A shorter
// window would hold little but the escape, which is in other texts too.
const escaped = window - 1 + len(`\u003c`)

// coding is a form in which eight bytes take window characters, or a few less.
type coding struct {
	name   string
	window int
	code   func(string) string
}

var codings = []coding{
	{"as it is", window, func(s string) string { return s }},
	{"backwards", window, backwards},
	{"in lower case", window, strings.ToLower},
	{"in a URL", 10, url.QueryEscape},
	{"in a path", 10, url.PathEscape},
	{"in JSON", escaped, inJSON},
	{"quoted", window, strconv.Quote},
	{"quoted in ASCII", escaped, strconv.QuoteToASCII},
	{"in HTML", 11, html.EscapeString},
	{"in hex", 2 * window, func(s string) string { return hex.EncodeToString([]byte(s)) }},
	{"in HEX", 2 * window, func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }},
	{"as numbers", 3 * window, func(s string) string { return strings.Trim(fmt.Sprintf("%d", []byte(s)), "[]") }},
	{"in base32", 13, func(s string) string { return base32.StdEncoding.EncodeToString([]byte(s)) }},
}

// lettersOf8 are the letters of base64 that eight bytes fill, wherever they
// stand.
const lettersOf8 = 10

// base64At is base64 of a text in which the secret stands shift bytes behind a
// boundary, without the letters that depend on its neighbours.
func base64At(secret string, shift int) string {
	coded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
	return coded[[3]int{0, 2, 3}[shift] : len(coded)-1]
}

func backwards(s string) string {
	runes := []rune(s)
	slices.Reverse(runes)
	return string(runes)
}

func inJSON(s string) string {
	coded, _ := json.Marshal(s) // a string cannot fail
	return string(coded)
}
