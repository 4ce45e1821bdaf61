package prober

// This file tells people what a server presented. It judges nothing but the
// size of keys, and trusts no byte of a certificate: texts are cleaned and cut,
// lists are bounded.

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"

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

// addCertificates fills in what a presented chain tells: the dates of the
// certificate that ends first, the leaf's fingerprint, and the first maxChain
// certificates. An empty chain changes nothing.
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
