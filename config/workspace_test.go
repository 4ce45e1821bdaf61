package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mailprobe/internal/systest"
)

// workspace makes a directory with secrets and certificates, good and bad, and
// goes there. All but secrets/open are the owner's alone.
func workspace(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	certificate, key := clientCertificate(t)
	files := map[string][]byte{
		"secrets/good":      []byte("hunter2\n"),
		"secrets/open":      []byte("hunter2"),
		"secrets/blank":     []byte("hunter2 \n"),
		"secrets/bom":       []byte("\uFEFFhunter2"),
		"secrets/empty":     []byte("\n"),
		"secrets/big":       bytes.Repeat([]byte("hunter2"), 10_000),
		"secrets/twolines":  []byte("hunter2\nhunter3\n"),
		"certs/ca.pem":      certificate,
		"certs/client.pem":  certificate,
		"certs/client.key":  key,
		"certs/garbage.pem": []byte("hunter2\n"),
		"certs/broken.pem":  append(bytes.Clone(certificate), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("hunter2")})...),
	}
	for _, dir := range []string{"secrets/directory", "certs"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.FromSlash(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod("secrets/open", 0o644); err != nil {
		t.Fatal(err)
	}
	systest.MakeFIFO(t, "secrets/fifo")
}

// clientCertificate makes a self-signed certificate and its key, in PEM.
func clientCertificate(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}
