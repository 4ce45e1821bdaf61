package prober

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// chainOf parses what a server would present.
func chainOf(t testing.TB, cert tls.Certificate) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range cert.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, parsed)
	}
	return chain
}

func TestCertificateFacts(t *testing.T) {
	soon := time.Now().Add(2 * time.Hour).Truncate(time.Second).UTC()
	ca := mailtest.MustCA(mailtest.CAOptions{Name: "House CA"})
	chain := chainOf(t, ca.MustIssue(mailtest.CertOptions{Names: []string{"mail.example.org", "imap.example.org"}, Intermediates: 1, NotAfter: soon}))

	var facts mail.TLSFacts
	addCertificates(&facts, chain)

	sum := sha256.Sum256(chain[0].Raw)
	if want := hex.EncodeToString(sum[:]); facts.FingerprintSHA256 != want {
		t.Errorf("fingerprint %q, want %q", facts.FingerprintSHA256, want)
	}
	if !facts.NotAfter.Equal(soon) {
		t.Errorf("earliest end %v, want the leaf's %v", facts.NotAfter, soon)
	}
	leaf := facts.Chain[0]
	if len(facts.Chain) != 2 || leaf.Subject != "CN=mail.example.org" || leaf.Issuer != "CN=mailtest intermediate 1" ||
		strings.Join(leaf.DNSNames, " ") != "mail.example.org imap.example.org" || leaf.Key != x509.ECDSA || leaf.KeyBits != 256 {
		t.Errorf("chain is %+v", facts.Chain)
	}
}

func TestCertificateFactsTakeTheEarliestEnd(t *testing.T) {
	sooner := time.Now().Add(time.Hour).Truncate(time.Second)
	ca := mailtest.MustCA(mailtest.CAOptions{NotAfter: sooner})
	chain := append(chainOf(t, ca.MustIssue(mailtest.Loopback())), ca.Certificate)
	var facts mail.TLSFacts
	addCertificates(&facts, chain)
	if !facts.NotAfter.Equal(sooner) {
		t.Errorf("earliest end %v, want the issuer's %v", facts.NotAfter, sooner)
	}
}

func TestCertificateFactsOfNothing(t *testing.T) {
	var facts mail.TLSFacts
	addCertificates(&facts, nil)
	if !facts.NotAfter.IsZero() || facts.FingerprintSHA256 != "" || facts.Chain != nil {
		t.Errorf("no chain gives %+v", facts)
	}
}

// Fault 60: texts are cleaned and cut, lists are bounded, and
// fingerprint and dates come all the same.
func TestCertificateFactsOfHostileCertificate(t *testing.T) {
	var names []string
	for i := range 8000 { // about 200 KB
		names = append(names, fmt.Sprintf("%s-%05d.example.org", strings.Repeat("n", 8), i))
	}
	ca := mailtest.MustCA(mailtest.CAOptions{Name: strings.Repeat("long ", 400)})
	chain := chainOf(t, ca.MustIssue(mailtest.CertOptions{
		Names: names, RawSubject: latin1Subject(t, "<script>\xe9\x1b[2J\x00"), Filler: 30}))

	var facts mail.TLSFacts
	addCertificates(&facts, chain)

	if len(chain[0].Raw) < 200_000 || len(facts.Chain) != maxChain || facts.FingerprintSHA256 == "" || facts.NotAfter.IsZero() {
		t.Errorf("%d bytes of leaf: %d certificates kept, fingerprint %q, end %v",
			len(chain[0].Raw), len(facts.Chain), facts.FingerprintSHA256, facts.NotAfter)
	}
	if got := len(facts.Chain[0].DNSNames); got != maxDNSNames {
		t.Errorf("%d names kept, want %d", got, maxDNSNames)
	}
	checkFacts(t, facts)
}

// latin1Subject is a distinguished name of the obsolete type T61String, which
// x509 hands out unchecked.
func latin1Subject(t *testing.T, name string) []byte {
	t.Helper()
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	value := attribute{asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.RawValue{Tag: asn1.TagT61String, Bytes: []byte(name)}}
	set, err := asn1.MarshalWithParams([]attribute{value}, "set")
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: set})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// checkFacts holds what the facts promise of any certificate at all.
func checkFacts(t *testing.T, facts mail.TLSFacts) {
	t.Helper()
	for _, cert := range facts.Chain {
		for _, text := range append([]string{cert.Subject, cert.Issuer}, cert.DNSNames...) {
			if len(text) > maxName || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7F }) {
				t.Errorf("%q is not clean", text)
			}
		}
	}
}

func TestCheckKeys(t *testing.T) {
	ca := mailtest.MustCA(mailtest.CAOptions{})
	leaf := mailtest.Loopback()
	if err := checkKeys(chainOf(t, ca.MustIssue(leaf))); err != nil {
		t.Errorf("ECDSA P-256: %v", err)
	}
	leaf.RSABits = 2048
	if err := checkKeys(chainOf(t, ca.MustIssue(leaf))); err != nil {
		t.Errorf("RSA 2048: %v", err)
	}
	leaf.RSABits = 1024
	err := checkKeys(append([]*x509.Certificate{ca.Certificate}, chainOf(t, ca.MustIssue(leaf))...))
	d := classify(mail.PhaseTLS, nil, err)
	reason, hint := d.reason, d.hint
	if reason != mail.CertInvalid || !strings.Contains(hint, "1024 bit") {
		t.Errorf("RSA 1024: %v means %q with %q", err, reason, hint)
	}
}

// Everything x509 can parse, the facts can describe, and every verdict on it
// has a reason.
func FuzzCertificateFacts(f *testing.F) {
	ca := mailtest.MustCA(mailtest.CAOptions{})
	o := mailtest.Loopback()
	f.Add(ca.MustIssue(o).Certificate[0])
	f.Add(ca.Certificate.Raw)
	o.RSABits, o.IPs = 512, []net.IP{net.IPv6loopback}
	f.Add(ca.MustIssue(o).Certificate[0])
	roots := ca.Pool()
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		chain := []*x509.Certificate{cert}
		var facts mail.TLSFacts
		addCertificates(&facts, chain)
		checkFacts(t, facts)
		if err := checkKeys(chain); err != nil && !strings.Contains(err.Error(), "RSA") {
			t.Error(err)
		}
		if err := cert.VerifyHostname("localhost"); err == nil {
			_, err = cert.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: roots})
			if err == nil {
				return
			}
		}
		verdict := &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: errors.Join(err, x509.HostnameError{Certificate: cert})}
		c := &mail.Connection{TLS: &tls.Config{RootCAs: roots}}
		if reason := classify(mail.PhaseTLS, c, verdict).reason; !strings.HasPrefix(string(reason), "cert_") {
			t.Errorf("%v means %q", verdict, reason)
		}
	})
}
