package prober

import (
	"slices"
	"strings"
	"testing"

	"mailprobe/internal/canary"
	"mailprobe/mail"
)

func TestRedactorFindsTheSecretInEveryCoding(t *testing.T) {
	secret := canary.New()
	v := newRedactor(mail.NewSecret(secret))
	for _, part := range []string{secret, secret[:len(secret)/2], secret[len(secret)/2:]} {
		for name, coded := range canary.Codings(part) {
			if slices.Contains([]string{"quoted in ASCII", "in HTML", "as numbers", "in base32", "in JSON"}, name) {
				continue // not searched for yet
			}
			if text := "CN=mx " + coded + " says hello"; !v.contains(text) {
				t.Errorf("not found %s: %q", name, text)
			}
		}
	}
	for _, text := range []string{"", "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] Dovecot ready.", "220 mx.example.org ESMTP Postfix", elided} {
		if v.contains(text) {
			t.Errorf("found in %q", text)
		}
	}
}

func TestRedactorIgnoresShortSecrets(t *testing.T) {
	for _, secret := range []string{"", "a", "mail", "OK", "ready"} {
		if v := newRedactor(mail.NewSecret(secret)); v.contains("* OK mail server ready, MAIL and READY") || v.contains("") {
			t.Errorf("the redactor of %q hides a greeting", secret)
		}
	}
}

func TestRedactorRedactsEachTextOfTheServer(t *testing.T) {
	secret := canary.New()
	said := "CN=" + secret
	o := mail.Outcome{
		Transcript: []mail.Line{{From: mail.Server, Text: said}, {From: mail.Server, Text: "* OK ready"}, {From: mail.Client, Text: redacted}},
		Failure:    &mail.Failure{Phase: mail.PhaseTLS, Reason: mail.CertName, Text: "x509: certificate is valid for " + secret + ", not mail.example.org"},
		TLS:        &mail.TLSFacts{Chain: []mail.CertificateFacts{{Subject: said, Issuer: said, DNSNames: []string{"mail.example.org", secret}}}},
	}
	newRedactor(mail.NewSecret(secret)).redactOutcome(&o)
	if text := toJSON([]any{o.Transcript, o.Failure, o.TLS}); canary.Find(text, secret) != "" {
		t.Errorf("the secret is in %s", text)
	}
	if o.Transcript[1].Text != "* OK ready" || o.TLS.Chain[0].DNSNames[0] != "mail.example.org" || o.Transcript[2].Text != redacted {
		t.Errorf("the redactor lies over an innocent text: %+v", o.Transcript)
	}
	if !strings.HasPrefix(o.Failure.Text, "tls: ") {
		t.Errorf("the failure says %q", o.Failure.Text)
	}
}
