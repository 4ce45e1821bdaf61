package mailtest

// This file issues certificates: valid ones, and ones with each fault that a client must
// detect. Keys stay in memory unless WritePair writes them.

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"
)

// CAOptions describes a certification authority. The zero value is a valid one: ECDSA
// P-256, valid from an hour ago for ten years.
type CAOptions struct {
	Name                string // common name; "mailtest CA" by default
	RSABits             int    // 0: ECDSA P-256
	NotBefore, NotAfter time.Time
}

// CA is a certification authority in memory. It may be used by several
// goroutines at once.
type CA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// CertOptions describes a leaf certificate. The zero value is a certificate without any
// name; each field makes it valid or invalid in one way.
type CertOptions struct {
	Names      []string
	IPs        []net.IP
	CommonName string // the first name by default
	RawSubject []byte // DER of the subject, for one that pkix.Name cannot express; nil: CommonName

	NotBefore, NotAfter time.Time // from an hour ago to a day ahead by default

	// RSABits is the size of an RSA key; 0: ECDSA P-256. Go generates no keys below 1024
	// bits, and larger ones than 8192 take too long: such a key has the right size and
	// form, but its signatures are random bytes.
	RSABits int
	SHA1    bool // signed with SHA-1

	EKU        []x509.ExtKeyUsage // serverAuth by default
	SelfSigned bool               // signed by its own key and not by the CA

	// Intermediates is the number of CAs between this one and the leaf. They
	// are sent with it unless HideIntermediates is set.
	Intermediates     int
	HideIntermediates bool

	Filler int // certificates of about 770 bytes that nothing needs, sent after the chain
}

// NewCA makes an authority with a new key.
func NewCA(o CAOptions) (*CA, error) {
	if o.Name == "" {
		o.Name = "mailtest CA"
	}
	key, err := newKey(o.RSABits)
	if err != nil {
		return nil, err
	}
	template := caTemplate(o)
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &CA{Certificate: cert, key: key}, nil
}

// MustCA is NewCA for tests: it panics where NewCA would return an error.
func MustCA(o CAOptions) *CA {
	ca, err := NewCA(o)
	if err != nil {
		panic(err)
	}
	return ca
}

// Pool returns a pool with this authority only.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	return pool
}

// WriteCertificate writes the authority's certificate as PEM, for `ca_file`.
func (ca *CA) WriteCertificate(path string) error {
	return os.WriteFile(path, pemCertificates(ca.Certificate.Raw), 0o644)
}

// Issue makes a leaf certificate with a new key, and the chain to send with it.
func (ca *CA) Issue(o CertOptions) (tls.Certificate, error) {
	key, err := newKey(o.RSABits)
	if err != nil {
		return tls.Certificate{}, err
	}
	issuer, chain, err := ca.descend(o.Intermediates)
	if err != nil {
		return tls.Certificate{}, err
	}
	if o.HideIntermediates {
		chain = nil
	}
	template := leafTemplate(o)
	parent, signer := issuer.Certificate, issuer.key
	if o.SelfSigned {
		parent, signer, chain = template, key, nil
	}
	if o.SHA1 {
		template.SignatureAlgorithm = sha1With(signer)
	}
	leaf, err := sign(template, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	filler, err := ca.filler(o.Filler)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{
		Certificate: append(append([][]byte{leaf.Raw}, chain...), filler...),
		PrivateKey:  key,
		Leaf:        leaf,
	}, nil
}

// MustIssue is Issue for tests: it panics where Issue would return an error.
func (ca *CA) MustIssue(o CertOptions) tls.Certificate {
	cert, err := ca.Issue(o)
	if err != nil {
		panic(err)
	}
	return cert
}

// WritePair writes a certificate with its chain, and its key, as two PEM files.
func WritePair(cert tls.Certificate, certPath, keyPath string) error {
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return err
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return errors.Join(
		os.WriteFile(certPath, pemCertificates(cert.Certificate...), 0o644),
		os.WriteFile(keyPath, key, 0o600))
}

// Loopback returns the options of a valid certificate for a server on loopback.
func Loopback() CertOptions {
	return CertOptions{
		Names: []string{"localhost"},
		IPs:   []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
}

// descend makes n authorities below ca and returns the last one, and the chain from it
// upwards, without ca.
func (ca *CA) descend(n int) (*CA, [][]byte, error) {
	var chain [][]byte
	issuer := ca
	for i := range n {
		key, err := newKey(0)
		if err != nil {
			return nil, nil, err
		}
		template := caTemplate(CAOptions{Name: fmt.Sprintf("mailtest intermediate %d", i+1),
			NotBefore: ca.Certificate.NotBefore, NotAfter: ca.Certificate.NotAfter})
		cert, err := sign(template, issuer.Certificate, key.Public(), issuer.key)
		if err != nil {
			return nil, nil, err
		}
		issuer = &CA{Certificate: cert, key: key}
		chain = append([][]byte{cert.Raw}, chain...)
	}
	return issuer, chain, nil
}

// filler returns one large certificate n times.
func (ca *CA) filler(n int) ([][]byte, error) {
	if n == 0 {
		return nil, nil
	}
	var names []string
	for i := range 15 {
		names = append(names, fmt.Sprintf("filler-%02d.mailtest.example", i))
	}
	cert, err := sign(leafTemplate(CertOptions{Names: names}), ca.Certificate, ca.key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	chain := make([][]byte, n)
	for i := range chain {
		chain[i] = cert.Raw
	}
	return chain, nil
}

func caTemplate(o CAOptions) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: o.Name},
		NotBefore:             orTime(o.NotBefore, -time.Hour),
		NotAfter:              orTime(o.NotAfter, 10*365*24*time.Hour),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

func leafTemplate(o CertOptions) *x509.Certificate {
	if o.CommonName == "" && len(o.Names) > 0 {
		o.CommonName = o.Names[0]
	}
	if o.EKU == nil {
		o.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: o.CommonName},
		RawSubject:  o.RawSubject,
		DNSNames:    o.Names,
		IPAddresses: o.IPs,
		NotBefore:   orTime(o.NotBefore, -time.Hour),
		NotAfter:    orTime(o.NotAfter, 24*time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: o.EKU,
	}
}

// sign gives the certificate a random serial number and signs it.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

func sha1With(signer crypto.Signer) x509.SignatureAlgorithm {
	if _, ok := signer.(*rsa.PrivateKey); ok {
		return x509.SHA1WithRSA
	}
	return x509.ECDSAWithSHA1
}

func newKey(rsaBits int) (crypto.Signer, error) {
	switch {
	case rsaBits == 0:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case rsaBits < 1024 || rsaBits > 8192:
		return newFakeKey(rsaBits)
	}
	return rsa.GenerateKey(rand.Reader, rsaBits)
}

// fakeKey is an RSA key of a size that Go refuses or takes minutes to generate. Clients
// refuse it because of its size, before they check a signature.
type fakeKey struct{ public *rsa.PublicKey }

func newFakeKey(bits int) (*fakeKey, error) {
	modulus, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	if err != nil {
		return nil, err
	}
	modulus.SetBit(modulus, bits-1, 1) // the full size
	modulus.SetBit(modulus, 0, 1)      // odd, as a product of primes is
	return &fakeKey{&rsa.PublicKey{N: modulus, E: 65537}}, nil
}

func (k *fakeKey) Public() crypto.PublicKey { return k.public }

func (k *fakeKey) Sign(random io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	signature := make([]byte, k.public.Size())
	_, err := io.ReadFull(random, signature)
	return signature, err
}

func pemCertificates(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// orTime returns t, or a time relative to now if t is zero.
func orTime(t time.Time, ahead time.Duration) time.Time {
	if t.IsZero() {
		return time.Now().Add(ahead)
	}
	return t
}
