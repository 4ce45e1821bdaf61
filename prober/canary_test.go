package prober

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// newCanary is a password that occurs nowhere else. Its special characters make
// URL, JSON and quoted forms differ from it.
func NewCanary() string {
	return `c"n+` + rand.Text()[:20] + ` \é`
}

// secretWords puts the password into the mouth of a server: as it is, in
// base64, and its second half backwards.
func secretWords(secret string) *strings.Replacer {
	half := []rune(secret[len(secret)/2:])
	slices.Reverse(half)
	return strings.NewReplacer("{secret}", secret, "{hex}", hex.EncodeToString([]byte(secret)), "{half}", string(half),
		"{base64}", base64.StdEncoding.EncodeToString([]byte(secret)))
}

// findSecret looks for a secret, or a half of it, in a text and names the
// coding it was found in; empty: it is not there.
func FindSecret(text, secret string) string {
	for _, part := range []string{secret[:len(secret)/2], secret[len(secret)/2:]} {
		for name, coded := range codings(part) {
			if len(coded) >= 8 && strings.Contains(text, coded) {
				return name
			}
		}
	}
	return ""
}

// codings are the forms in which a text can hide.
func codings(s string) map[string]string {
	quoted := strconv.Quote(s)
	inJSON, _ := json.Marshal(s)
	reversed := []rune(s)
	slices.Reverse(reversed)
	forms := map[string]string{
		"as it is":      s,
		"in hex":        hex.EncodeToString([]byte(s)),
		"in HEX":        strings.ToUpper(hex.EncodeToString([]byte(s))),
		"in a URL":      url.QueryEscape(s),
		"in a path":     url.PathEscape(s),
		"in JSON":       string(inJSON[1 : len(inJSON)-1]),
		"quoted":        quoted[1 : len(quoted)-1],
		"backwards":     string(reversed),
		"in lower case": strings.ToLower(s),
	}
	for offset := range 3 {
		// Base64 depends on what stands before; the first and last characters
		// of the coded text on what stands beside, and are cut off.
		padded := strings.Repeat("\x00", offset) + s
		coded := base64.RawStdEncoding.EncodeToString([]byte(padded))
		core := coded[[3]int{0, 2, 3}[offset] : len(coded)-1]
		forms["in base64 at "+strconv.Itoa(offset)] = core
		forms["in URL base64 at "+strconv.Itoa(offset)] = strings.NewReplacer("+", "-", "/", "_").Replace(core)
	}
	return forms
}

// toJSON is what an API would write.
func toJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
