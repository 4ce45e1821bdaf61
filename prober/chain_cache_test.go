package prober

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

// verifying is a client that trusts roots, at a time.
func verifying(roots *x509.CertPool, name string, at time.Time) *tls.Config {
	return &tls.Config{RootCAs: roots, ServerName: name, Time: func() time.Time { return at }}
}

// isRemembered reports whether the cache holds a chain for a client.
func (c *chainCache) isRemembered(config *tls.Config, chain []*x509.Certificate) bool {
	_, found := c.get(keyOfChain(config, chain))
	return found
}

func TestChainCacheVerifiesAgainWhateverChanges(t *testing.T) {
	now := time.Now()
	ends := now.Add(48 * time.Hour).Truncate(time.Second)
	ca, other := mailtest.MustCA(mailtest.CAOptions{}), mailtest.MustCA(mailtest.CAOptions{})
	roots := ca.Pool()
	names := mailtest.CertOptions{Names: []string{"mail.example.org"}, Intermediates: 1, NotAfter: ends}
	chain := chainOf(t, ca.MustIssue(names))
	another := chainOf(t, other.MustIssue(names))
	tests := []struct {
		name   string
		config *tls.Config
		chain  []*x509.Certificate
		want   mail.Reason
	}{
		{"the same again", verifying(roots, "mail.example.org", now), chain, ""},
		{"another name", verifying(roots, "www.example.org", now), chain, mail.CertName},
		{"other roots", verifying(other.Pool(), "mail.example.org", now), chain, mail.CertUntrusted},
		{"no roots", verifying(x509.NewCertPool(), "mail.example.org", now), chain, mail.CertUntrusted},
		{"after its end", verifying(roots, "mail.example.org", ends.Add(time.Second)), chain, mail.CertExpired},
		{"before its begin", verifying(roots, "mail.example.org", now.Add(-10*365*24*time.Hour)), chain, mail.CertNotYetValid},
		{"another leaf", verifying(roots, "mail.example.org", now), another, mail.CertUntrusted},
		{"another leaf before the same issuer", verifying(roots, "mail.example.org", now), append(another[:1:1], chain[1:]...), mail.CertUntrusted},
		{"without its issuer", verifying(roots, "mail.example.org", now), chain[:1], mail.CertUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var cache chainCache
			first := verifying(roots, "mail.example.org", now)
			if found, err := cache.verify(first, chain); err != nil || !found.notAfter.Equal(ends) || !cache.isRemembered(first, chain) {
				t.Fatalf("%v, ends %v, want it remembered until %v", err, found.notAfter, ends)
			}
			_, err := cache.verify(tt.config, tt.chain)
			c := &mail.Connection{TLS: tt.config}
			if got := classify(mail.PhaseTLS, c, err).reason; got != tt.want {
				t.Errorf("%q (%v), want %q", got, err, tt.want)
			}
			var verification *tls.CertificateVerificationError
			if err != nil && (!errors.As(err, &verification) || len(verification.UnverifiedCertificates) != len(tt.chain)) {
				t.Errorf("%T, want a *tls.CertificateVerificationError with the presented chain", err)
			}
			if len(cache.entries) != 1 {
				t.Errorf("%d entries, want the first one alone: failures are not remembered", len(cache.entries))
			}
		})
	}
}

// A chain of which only another part than the one remembered is still valid is
// verified anew, and may pass by another way.
func TestChainCacheForgetsNothingThatVerifies(t *testing.T) {
	now := time.Now()
	ca := mailtest.MustCA(mailtest.CAOptions{})
	chain := chainOf(t, ca.MustIssue(mailtest.CertOptions{Names: []string{"mail.example.org"}}))
	var cache chainCache
	client := verifying(ca.Pool(), "mail.example.org", now)
	for range 3 {
		if _, err := cache.verify(client, chain); err != nil {
			t.Fatal(err)
		}
	}
	if len(cache.entries) != 1 {
		t.Errorf("%d entries for one chain", len(cache.entries))
	}
}

func TestChainCacheDoesNotRememberWeakKeys(t *testing.T) {
	ca := mailtest.MustCA(mailtest.CAOptions{})
	leaf := mailtest.Loopback()
	leaf.RSABits = 1024
	var cache chainCache
	for range 2 {
		found, err := cache.verify(verifying(ca.Pool(), "localhost", time.Now()), chainOf(t, ca.MustIssue(leaf)))
		if err != nil || found.weak == nil || len(cache.entries) != 0 {
			t.Fatalf("%v, weak %v, %d entries", err, found.weak, len(cache.entries))
		}
	}
}

func TestChainCacheIsBounded(t *testing.T) {
	var cache chainCache
	for i := range maxChains + 100 {
		cache.put(chainKey{sum: [32]byte{byte(i), byte(i >> 8), byte(i >> 16)}}, chainDates{})
	}
	if len(cache.entries) != maxChains {
		t.Errorf("%d entries, want %d", len(cache.entries), maxChains)
	}
}

// The key of a chain has no two readings: a byte may not wander from one
// certificate, or from the name, into the next.
func TestChainKeyTellsPartsApart(t *testing.T) {
	raw := func(parts ...string) (chain []*x509.Certificate) {
		for _, part := range parts {
			chain = append(chain, &x509.Certificate{Raw: []byte(part)})
		}
		return chain
	}
	seen := map[chainKey]bool{}
	for _, key := range []chainKey{
		keyOfChain(&tls.Config{ServerName: "a"}, raw("bc", "d")),
		keyOfChain(&tls.Config{ServerName: "ab"}, raw("c", "d")),
		keyOfChain(&tls.Config{ServerName: "a"}, raw("b", "cd")),
		keyOfChain(&tls.Config{ServerName: "a"}, raw("bcd")),
		keyOfChain(&tls.Config{ServerName: "a"}, raw("d", "bc")),
		keyOfChain(&tls.Config{ServerName: "a", RootCAs: x509.NewCertPool()}, raw("bc", "d")),
	} {
		if seen[key] {
			t.Error("two chains have one key")
		}
		seen[key] = true
	}
}

// A server that presents a remembered chain without having its key does not get
// through: crypto/tls checks the signature of each handshake.
func TestChainCacheDoesNotVouchForTheKey(t *testing.T) {
	ca := mailtest.MustCA(mailtest.CAOptions{})
	honest, thief := ca.MustIssue(mailtest.Loopback()), ca.MustIssue(mailtest.Loopback())
	var cache chainCache
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tt := range []struct {
			name string
			cert tls.Certificate
			ok   bool
		}{
			{"the owner", honest, true},
			{"a thief of the certificate", tls.Certificate{Certificate: honest.Certificate, PrivateKey: thief.PrivateKey}, false},
			{"the owner again", honest, true},
		} {
			client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MaxVersion: version}
			cache.install(client)
			if err := shakeHands(t, client, tt.cert); (err == nil) != tt.ok {
				t.Errorf("%s, %s: %v", tls.VersionName(version), tt.name, err)
			}
		}
	}
}

// shakeHands is the client's error of a handshake with a server.
func shakeHands(t *testing.T, client *tls.Config, cert tls.Certificate) error {
	t.Helper()
	ours, theirs := net.Pipe()
	var ended sync.WaitGroup
	ended.Go(func() {
		defer theirs.Close()
		server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
		if server.HandshakeContext(t.Context()) == nil {
			_, _ = server.Read(make([]byte, 1)) // until the client closes
		}
	})
	err := tls.Client(ours, client).HandshakeContext(t.Context())
	_ = ours.Close()
	ended.Wait()
	return err
}

func TestChainCacheLeavesOtherVerifiersAlone(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"nothing is verified": {InsecureSkipVerify: true},
		"somebody verifies":   {VerifyConnection: func(tls.ConnectionState) error { return errors.New("no") }},
	} {
		var cache chainCache
		before := config.VerifyConnection == nil
		cache.install(config)
		if before != (config.VerifyConnection == nil) {
			t.Errorf("%s: the configuration was changed", name)
		}
	}
}

// An expired cross-signed root that no chain needs does not shorten the life of a
// chain; a weak key is only avoided, never chosen.
func TestLastingChain(t *testing.T) {
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	cert := func(from, to int) *x509.Certificate {
		return &x509.Certificate{NotBefore: year(from), NotAfter: year(to)}
	}
	leaf, issuer, root, cross := cert(2026, 2028), cert(2020, 2029), cert(2015, 2035), cert(2021, 2027)
	got := lastingChain([][]*x509.Certificate{{leaf, issuer, cross}, {leaf, issuer, root}})
	if !got.notAfter.Equal(year(2028)) || !got.notBefore.Equal(year(2026)) || !got.from.Equal(year(2026)) || got.weak != nil {
		t.Errorf("%+v, want the dates of the leaf", got)
	}
	if got := lastingChain([][]*x509.Certificate{{leaf, issuer, cross}}); !got.notAfter.Equal(year(2027)) || !got.notBefore.Equal(year(2021)) {
		t.Errorf("%+v, want the dates of the cross-signed root", got)
	}
}

// Certificates that Go cannot parse, or whose signature it does not take.
func TestCertificateAdvice(t *testing.T) {
	const parse = "tls: failed to parse certificate from server: x509: "
	for text, want := range map[string]string{
		parse + "negative serial number":                 "negative serial number",
		parse + "SAN dNSName is malformed":               "SAN dNSName is malformed",
		parse + `cannot parse URI "http://[hunter2": no`: "cannot parse URI",
	} {
		d := classify(mail.PhaseTLS, nil, errors.New(text))
		if d.reason != mail.CertInvalid || !strings.Contains(d.hint, want) || strings.Contains(d.hint, "hunter2") {
			t.Errorf("%s: %+v, want %q in the advice", text, d, want)
		}
	}
	leaf := &x509.Certificate{RawSubject: []byte("a"), RawIssuer: []byte("b"), SignatureAlgorithm: x509.SHA1WithRSA}
	if hint := certificateHint(mail.CertUntrusted, []*x509.Certificate{leaf}); !strings.Contains(hint, "SHA-1") {
		t.Errorf("SHA-1: %q", hint)
	}
	if hint := certificateHint(mail.CertName, []*x509.Certificate{leaf}); !strings.Contains(hint, "common name") {
		t.Errorf("no SAN: %q", hint)
	}
	if hint := certificateHint(mail.CertName, []*x509.Certificate{{DNSNames: []string{"x"}}}); hint != "" {
		t.Errorf("another name: %q", hint)
	}
}

// What stands in clear text on a TLS port and refuses the connection says
// nothing about the encryption.
func TestRefusalInClearAdvisesNoEncryption(t *testing.T) {
	for banner, protocol := range map[string]mail.Protocol{"* BYE": mail.IMAP, "-ERR ": mail.POP3, "421 4": mail.SMTP, "554 n": mail.SMTP} {
		record := tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}
		copy(record.RecordHeader[:], banner)
		d := classify(mail.PhaseTLS, &mail.Connection{Protocol: protocol, Encryption: mail.ImplicitTLS}, record)
		if d.reason != mail.TLSPlaintext || strings.Contains(d.hint, "none") || !strings.Contains(d.hint, "refused") {
			t.Errorf("%q: %+v", banner, d)
		}
	}
}
