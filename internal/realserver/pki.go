package realserver

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
	"math/big"
	"net"
	"testing"
	"time"
)

// ServerName is the name in every server certificate.
const ServerName = "mail.example.test"

// Authority is a certificate authority of a test's own.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	serial      int64
}

// Leaf says what kind of certificate an authority issues. The zero value is a
// valid ECDSA server certificate.
type Leaf struct {
	RSA        bool   // RSA 2048 instead of ECDSA P-256
	Expired    bool   // ended a day ago
	ClientName string // a client certificate for this user instead of a server's
}

// NewAuthority makes an authority that is valid for some hours around now.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-100 * 24 * time.Hour),
		NotAfter:              time.Now().Add(48 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{certificate: certificate, key: key, serial: 1}
}

// Pool is what a client trusts who trusts this authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// PEM is the authority's certificate as a file holds it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// Issue makes a certificate and its key, both as PEM.
func (a *Authority) Issue(t testing.TB, leaf Leaf) (certificate, key []byte) {
	t.Helper()
	signer := newKey(t, leaf.RSA)
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		Subject:      pkix.Name{CommonName: ServerName},
		NotBefore:    time.Now().Add(-90 * 24 * time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{ServerName},
		IPAddresses:  []net.IP{net.ParseIP(Host)},
	}
	if leaf.Expired {
		template.NotAfter = time.Now().Add(-24 * time.Hour)
	}
	if leaf.ClientName != "" {
		template.Subject.CommonName = leaf.ClientName
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		template.DNSNames, template.IPAddresses = nil, nil
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, signer.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey})
}

// ClientCertificate makes a certificate a client logs in with.
func (a *Authority) ClientCertificate(t testing.TB, user string) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.Issue(t, Leaf{ClientName: user}))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// newKey makes a key that no server or client refuses.
func newKey(t testing.TB, wantRSA bool) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if wantRSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}
