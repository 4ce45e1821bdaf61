package prober

// This file describes the certificates that a server presented, and caches which
// chains were verified. Its only check of its own is the size of keys. It trusts no
// byte of a certificate: texts are cleaned and cut, lists are bounded.

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"mailprobe/mail"
)

// The bounds of what is kept of a presented chain.
const (
	maxChain    = 10  // certificates
	maxDNSNames = 20  // names of one certificate
	maxName     = 200 // bytes of a subject, an issuer or a DNS name

	// minRSABits is our own floor: Go accepts RSA from 1024 bit up.
	minRSABits = 2048
)

// addCertificates stores the facts of a presented chain: the dates of the certificate
// that ends first, the leaf's fingerprint, and the first maxChain certificates. An empty
// chain changes nothing.
func addCertificates(f *mail.TLSFacts, chain []*x509.Certificate) {
	if len(chain) == 0 {
		return
	}
	dates := datesOf(chain)
	f.NotAfter, f.NotBefore = dates.notAfter, dates.notBefore
	sum := sha256.Sum256(chain[0].Raw)
	f.FingerprintSHA256 = hex.EncodeToString(sum[:])
	f.Chain = nil
	for _, cert := range chain[:min(len(chain), maxChain)] {
		f.Chain = append(f.Chain, certificateFacts(cert))
	}
}

// certificateFacts describes one certificate in clean and bounded words.
func certificateFacts(cert *x509.Certificate) mail.CertificateFacts {
	facts := mail.CertificateFacts{
		Subject:   nameText(cert.Subject),
		Issuer:    nameText(cert.Issuer),
		NotBefore: cert.NotBefore,
		NotAfter:  cert.NotAfter,
		Key:       cert.PublicKeyAlgorithm,
		KeyBits:   keyBits(cert),
	}
	for _, name := range cert.DNSNames[:min(len(cert.DNSNames), maxDNSNames)] {
		facts.DNSNames = append(facts.DNSNames, cleanText(name, maxName))
	}
	return facts
}

// nameText writes a distinguished name.
func nameText(name pkix.Name) string { return cleanText(name.String(), maxName) }

// keyBits is the size of the public key, 0 for a kind that is not known.
func keyBits(cert *x509.Certificate) int {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen()
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize
	case ed25519.PublicKey:
		return len(key) * 8
	}
	return 0
}

// checkKeys refuses a chain with an RSA key below 2048 bit. chain is the
// verified one where there is one: a server may present more than it needs.
func checkKeys(chain []*x509.Certificate) error {
	for _, cert := range chain {
		key, isRSA := cert.PublicKey.(*rsa.PublicKey)
		if isRSA && key.N.BitLen() < minRSABits {
			return &fault{
				reason: mail.CertInvalid,
				hint: fmt.Sprintf("Replace the certificate: its RSA key has %d bits, and fewer than %d can be broken.",
					key.N.BitLen(), minRSABits),
				err: fmt.Errorf("certificate %q: RSA key of %d bits is below %d",
					nameText(cert.Subject), key.N.BitLen(), minRSABits),
			}
		}
	}
	return nil
}

// presentedChain is what the server presented when verification failed, leaf
// first; nil for any other error.
func presentedChain(err error) []*x509.Certificate {
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return verification.UnverifiedCertificates
	}
	return nil
}

// maxChains bounds the cache. An entry takes about 100 bytes.
const maxChains = 16384

// chainCache holds chains that passed verification. Its zero value is empty and
// works. Failures are never kept.
type chainCache struct {
	mu      sync.Mutex
	entries map[chainKey]keptDates
}

// chainKey is all that a verification depends on, except the time. It refers to the
// pool, so that no other pool can get the same address while the entry exists. A pool is
// complete before its first probe, and not changed afterwards.
type chainKey struct {
	sum   [sha256.Size]byte // over the server name and each certificate presented
	roots *x509.CertPool    // nil: the system's
}

// chainDates are the dates of one verified chain.
type chainDates struct {
	from      time.Time // from then on all its certificates are valid
	notAfter  time.Time // earliest end of its certificates
	notBefore time.Time // begin of the certificate that ends first
}

// keptDates are chainDates in a third of the space: dates of certificates are whole
// seconds.
type keptDates struct{ from, notAfter, notBefore int64 }

func (d chainDates) keep() keptDates {
	return keptDates{d.from.Unix(), d.notAfter.Unix(), d.notBefore.Unix()}
}

func (d keptDates) dates() chainDates {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	return chainDates{at(d.from), at(d.notAfter), at(d.notBefore)}
}

// covers reports whether the chain is valid at a time.
func (d chainDates) covers(now time.Time) bool { return !now.Before(d.from) && !now.After(d.notAfter) }

// verifiesElsewhere reports whether verification looks at more than the chain,
// the roots and the time: the verifiers of some systems do (revocation, policy),
// and FIPS 140 mode removes chains afterwards.
func verifiesElsewhere() bool {
	return runtime.GOOS == "windows" || runtime.GOOS == "darwin" || runtime.GOOS == "ios" || fips140.Enabled()
}

// verifiedChain is the chain that a handshake was verified by.
type verifiedChain struct {
	chainDates
	weak error // a *fault: its keys are too weak
}

// install makes a configuration verify through the cache, and returns where the
// handshake puts its chain. The configuration must be a copy of the connection's.
// It is left alone if it verifies nothing, or elsewhere.
func (c *chainCache) install(config *tls.Config) *verifiedChain {
	chain := new(verifiedChain)
	if config.InsecureSkipVerify || config.VerifyConnection != nil || verifiesElsewhere() {
		return chain
	}
	config.InsecureSkipVerify = true // the callback verifies instead
	config.VerifyConnection = func(state tls.ConnectionState) (err error) {
		*chain, err = c.verify(config, state.PeerCertificates)
		return err
	}
	return chain
}

// verify verifies as crypto/tls does without a callback. Its errors are
// *tls.CertificateVerificationError.
func (c *chainCache) verify(config *tls.Config, presented []*x509.Certificate) (verifiedChain, error) {
	now := time.Now()
	if config.Time != nil {
		now = config.Time()
	}
	key := keyOfChain(config, presented)
	if dates, found := c.get(key); found && dates.covers(now) {
		return verifiedChain{chainDates: dates}, nil
	}
	options := x509.VerifyOptions{Roots: config.RootCAs, CurrentTime: now, DNSName: config.ServerName, Intermediates: x509.NewCertPool()}
	for _, cert := range presented[1:] {
		options.Intermediates.AddCert(cert)
	}
	chains, err := presented[0].Verify(options)
	if err != nil {
		return verifiedChain{}, &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: err}
	}
	chain := lastingChain(chains)
	if chain.weak == nil {
		c.put(key, chain.chainDates)
	}
	return chain, nil
}

// keyOfChain hashes each part with its length, so that no two lists of parts have
// the same bytes.
func keyOfChain(config *tls.Config, presented []*x509.Certificate) chainKey {
	hash := sha256.New()
	add := func(part []byte) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		hash.Write(size[:])
		hash.Write(part)
	}
	add([]byte(config.ServerName))
	for _, cert := range presented {
		add(cert.Raw)
	}
	key := chainKey{roots: config.RootCAs}
	hash.Sum(key.sum[:0])
	return key
}

func (c *chainCache) get(key chainKey) (chainDates, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, found := c.entries[key]
	return kept.dates(), found
}

// put keeps a chain; a full cache loses an arbitrary one.
func (c *chainCache) put(key chainKey, dates chainDates) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[chainKey]keptDates)
	}
	for old := range c.entries {
		if len(c.entries) < maxChains {
			break
		}
		delete(c.entries, old)
	}
	c.entries[key] = dates.keep()
}

// lastingChain returns the chain that lasts longest, of those without weak keys:
// clients take any chain that is valid, so that one ending sooner, such as
// through an expired cross-signed root, does no harm.
func lastingChain(chains [][]*x509.Certificate) verifiedChain {
	var best verifiedChain
	for i, chain := range chains {
		found := verifiedChain{datesOf(chain), checkKeys(chain)}
		stronger := best.weak != nil && found.weak == nil
		lasts := (best.weak == nil) == (found.weak == nil) && found.notAfter.After(best.notAfter)
		if i == 0 || stronger || lasts {
			best = found
		}
	}
	return best
}

// datesOf are the dates of a chain, which is not empty.
func datesOf(chain []*x509.Certificate) chainDates {
	d := chainDates{from: chain[0].NotBefore, notAfter: chain[0].NotAfter, notBefore: chain[0].NotBefore}
	for _, cert := range chain[1:] {
		if cert.NotBefore.After(d.from) {
			d.from = cert.NotBefore
		}
		if cert.NotAfter.Before(d.notAfter) {
			d.notAfter, d.notBefore = cert.NotAfter, cert.NotBefore
		}
	}
	return d
}
