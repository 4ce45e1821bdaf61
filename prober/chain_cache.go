package prober

// This file verifies certificate chains, and remembers the ones that passed: the
// signatures of a chain do not change, and checking them is the dearest part of
// a probe. crypto/tls still checks in every handshake that the server holds the
// key of the certificate.

import (
	"crypto/fips140"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"runtime"
	"sync"
	"time"
)

// maxChains bounds the cache. An entry takes about 200 bytes.
const maxChains = 16384

// chainCache holds chains that passed verification. Its zero value is empty and
// works. Failures are never kept.
type chainCache struct {
	mu      sync.Mutex
	entries map[chainKey]chainDates
}

// chainKey is all that a verification depends on but the time. It keeps the pool
// alive, so that no other one can have its address while the entry exists. A
// pool is complete before its first probe, and not changed afterwards.
type chainKey struct {
	sum   [sha256.Size]byte // over the server name and each certificate presented
	roots *x509.CertPool    // nil: the system's
}

// chainDates are the dates of one verified chain.
type chainDates struct {
	from      time.Time // when the last of its certificates becomes valid
	notAfter  time.Time // when the first of them ends
	notBefore time.Time // when that one became valid
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

// verify does what crypto/tls does of itself. Its errors are
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
	dates, found := c.entries[key]
	return dates, found
}

// put keeps a chain; a full cache loses an arbitrary one.
func (c *chainCache) put(key chainKey, dates chainDates) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[chainKey]chainDates)
	}
	for old := range c.entries {
		if len(c.entries) < maxChains {
			break
		}
		delete(c.entries, old)
	}
	c.entries[key] = dates
}

// lastingChain returns the chain that lasts longest, of those without weak keys:
// clients take any chain that is valid, so that one ending sooner, such as
// through an expired cross-signed root, harms nobody.
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
