package prober

// This file takes a secret out of what a server said before it was told one. It
// may know the secret from the session before, and a name or a greeting that
// holds it would stand on a page. What is said after the first secret byte needs
// no redactor: nothing of it is kept (transcript.go).

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mailprobe/mail"
)

// The bytes of a secret, or of a half of it, that are looked for: fewer are in
// every other word, and more would tell nothing new of a token.
const (
	minRedacted = 6
	maxRedacted = 64
)

// redactor lists the forms in which a text can hold a secret, in lower case.
type redactor []string

// newRedactor looks for either half, where the halves are long enough to be none by
// chance, and so finds the whole too.
func newRedactor(secret mail.Secret) redactor {
	text := secret.Reveal()
	parts := []string{text}
	if half := len(text) / 2; half >= minRedacted {
		parts = []string{text[:half], text[half:]}
	}
	var v redactor
	for _, part := range parts {
		if len(part) >= minRedacted {
			v = v.with(part[:min(len(part), maxRedacted)])
		}
	}
	return v
}

// with adds the usual codings of a part.
func (v redactor) with(part string) redactor {
	backwards := []rune(part)
	slices.Reverse(backwards)
	quoted := strconv.Quote(part)
	forms := []string{part, string(backwards), quoted[1 : len(quoted)-1],
		url.QueryEscape(part), url.PathEscape(part), hex.EncodeToString([]byte(part))}
	for before := range 3 {
		forms = append(forms, base64At(base64.RawStdEncoding, part, before), base64At(base64.RawURLEncoding, part, before))
	}
	for _, form := range forms {
		if form = strings.ToLower(form); len(form) >= minRedacted-1 && !slices.Contains(v, form) {
			v = append(v, form)
		}
	}
	return v
}

// base64At is what base64 makes of a part with some bytes before it and any
// behind it: the characters that depend on them are cut off.
func base64At(alphabet *base64.Encoding, part string, before int) string {
	coded := alphabet.EncodeToString([]byte("\x00\x00"[:before] + part))
	return coded[(before*8+5)/6 : len(coded)-1]
}

// hides reports whether a text holds the secret.
func (v redactor) contains(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(v, func(form string) bool { return strings.Contains(text, form) })
}

// over draws the redactor over the texts of a server in an outcome.
func (v redactor) redactOutcome(o *mail.Outcome) {
	for i := range o.Transcript {
		if line := &o.Transcript[i]; line.From == mail.Server {
			v.redact(&line.Text)
		}
	}
	if f := o.Failure; f != nil && v.contains(f.Text) {
		f.Text = string(f.Phase) + ": " + f.Reason.Meaning()
	}
	if o.TLS == nil {
		return
	}
	for i := range o.TLS.Chain {
		cert := &o.TLS.Chain[i]
		v.redact(&cert.Subject)
		v.redact(&cert.Issuer)
		for i := range cert.DNSNames {
			v.redact(&cert.DNSNames[i])
		}
	}
}

// draw withholds a text that holds the secret.
func (v redactor) redact(text *string) {
	if v.contains(*text) {
		*text = strings.TrimSpace(elided)
	}
}
