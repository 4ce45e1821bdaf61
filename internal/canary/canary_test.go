package canary

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A search that finds nothing proves nothing: it has to find what is there.
func TestFind(t *testing.T) {
	secret := New()
	half := secret[len(secret)/2:]
	for name, text := range map[string]string{
		"raw":                "PASS " + secret,
		"eight bytes":        "…" + secret[3:11] + "…",
		"the second half":    half,
		"half backwards":     backwards(half),
		"PLAIN":              base64.StdEncoding.EncodeToString([]byte("\x00user@example.org\x00" + secret)),
		"PLAIN of another":   base64.StdEncoding.EncodeToString([]byte("\x00user\x00" + secret)),
		"PLAIN of a third":   base64.URLEncoding.EncodeToString([]byte("\x00users\x00" + half + "=")),
		"hex":                hex.EncodeToString([]byte(half)),
		"HEX":                fmt.Sprintf("%X", secret),
		"URL":                "?p=" + url.QueryEscape(secret),
		"JSON":               inJSON(secret),
		"eight in JSON":      strings.Trim(inJSON(secret[10:18]), `"`), // with the "<" that becomes \u003c
		"Go":                 fmt.Sprintf("%+v %#v", struct{ p string }{secret}, struct{ p string }{secret}),
		"bytes":              fmt.Sprintf("%d", []byte(secret)),
		"small letters":      strings.ToLower(secret),
		"between two things": strings.Repeat("x", 10_000) + secret + strings.Repeat("y", 10_000),
	} {
		if Find(text, secret) == "" {
			t.Errorf("not found: %s", name)
		}
	}
	for name, text := range Codings(secret) {
		if Find("x"+text+"y", secret) == "" {
			t.Errorf("not found: %s", name)
		}
	}
	for _, text := range []string{"", secret[:7], New(), "<secret> and <redacted>", fmt.Sprintf("%x", New())} {
		if found := Find(text, secret); found != "" {
			t.Errorf("found in %q %s", text, found)
		}
	}
}
