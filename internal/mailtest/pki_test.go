package mailtest

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// handshake is one TLS handshake of two ends on loopback.
func handshake(t *testing.T, cert tls.Certificate, config *tls.Config) error {
	t.Helper()
	server := start(t, nil, Options{Protocol: POP3, Encryption: ImplicitTLS, Certificate: cert})
	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return tls.Client(conn, config).Handshake()
}

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func reason(want x509.InvalidReason) func(error) bool {
	return func(err error) bool {
		var invalid x509.CertificateInvalidError
		return errors.As(err, &invalid) && invalid.Reason == want
	}
}

func says(text string) func(error) bool {
	return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
}

func TestCertificatesAreWrongInTheWayAskedFor(t *testing.T) {
	good := func(err error) bool { return err == nil }
	now := time.Now()
	loopback := Loopback().Names
	tests := []struct {
		name string
		cert CertOptions
		want func(error) bool
	}{
		{"good ECDSA", Loopback(), good},
		{"good RSA", CertOptions{Names: loopback, RSABits: 2048}, good},
		{"three intermediates", CertOptions{Names: loopback, Intermediates: 3}, good},
		{"long chain", CertOptions{Names: loopback, Filler: 50}, good},
		{"hidden intermediate", CertOptions{Names: loopback, Intermediates: 1, HideIntermediates: true}, as[x509.UnknownAuthorityError]},
		{"self-signed", CertOptions{Names: loopback, SelfSigned: true}, as[x509.UnknownAuthorityError]},
		{"SHA-1", CertOptions{Names: loopback, SHA1: true}, as[x509.UnknownAuthorityError]},
		{"expired", CertOptions{Names: loopback, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Hour)}, reason(x509.Expired)},
		{"not yet valid", CertOptions{Names: loopback, NotBefore: now.Add(time.Hour)}, reason(x509.Expired)},
		{"wrong name", CertOptions{Names: []string{"elsewhere.example"}}, as[x509.HostnameError]},
		{"no name at all", CertOptions{CommonName: "localhost"}, as[x509.HostnameError]},
		{"wrong use", CertOptions{Names: loopback, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, reason(x509.IncompatibleUsage)},
		{"RSA-512", CertOptions{Names: loopback, RSABits: 512}, says("handshake failure")},
		{"RSA-16384", CertOptions{Names: loopback, RSABits: 16384}, says("larger than 8192 bits")},
	}
	ca := MustCA(CAOptions{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := handshake(t, ca.MustIssue(test.cert), trust(ca)); !test.want(err) {
				t.Errorf("handshake: got %v", err)
			}
		})
	}
}

func TestWeakKeyIsMadeAsAsked(t *testing.T) {
	cert := MustCA(CAOptions{RSABits: 2048}).MustIssue(CertOptions{Names: []string{"localhost"}, RSABits: 1024})
	if bits := cert.Leaf.PublicKey.(*rsa.PublicKey).N.BitLen(); bits != 1024 {
		t.Errorf("key: got %d bits, want 1024", bits)
	}
}

func TestFillerIsAsLongAsWanted(t *testing.T) {
	cert := MustCA(CAOptions{}).MustIssue(CertOptions{Names: []string{"localhost"}, Filler: 300})
	size := 0
	for _, der := range cert.Certificate {
		size += len(der)
	}
	if len(cert.Certificate) != 301 || size < 200<<10 || size > 256<<10 {
		t.Errorf("chain: got %d certificates of %d bytes, want 301 of 200 to 256 KiB", len(cert.Certificate), size)
	}
}

func TestPEMFilesLoadAgain(t *testing.T) {
	dir := t.TempDir()
	ca := MustCA(CAOptions{})
	cert := ca.MustIssue(CertOptions{Names: []string{"localhost"}, Intermediates: 1})
	certFile, keyFile, caFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "ca.pem")
	if err := errors.Join(WritePair(cert, certFile, keyFile), ca.WriteCertificate(caFile)); err != nil {
		t.Fatal(err)
	}
	again, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(t, again, trust(ca)); err != nil {
		t.Error(err)
	}
}
