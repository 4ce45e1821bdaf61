package config

// This file builds the TLS configurations at load, because building one for each
// probe would cost more than the probe. Equal ones are shared.

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"mailprobe/mail"
)

// maxPEM bounds certificate files. Debian's whole CA bundle is 220 KiB.
const maxPEM = 4 << 20

func freshTLS() *tlsEntry { return &tlsEntry{minVersion: tls.VersionTLS12} }

var versions = []keyword[uint16]{
	{"TLS13", tls.VersionTLS13}, {"TLS12", tls.VersionTLS12}, {"TLS11", tls.VersionTLS11}, {"TLS10", tls.VersionTLS10},
	{"1.3", tls.VersionTLS13}, {"1.2", tls.VersionTLS12}, {"1.1", tls.VersionTLS11}, {"1.0", tls.VersionTLS10},
}

var tlsBlock = block[tlsEntry]{
	meaning: "How the server's certificate is verified, and the client's own. The files are read at load.",
	fresh:   freshTLS,
	fields: []field[tlsEntry]{
		{name: "ca_file", is: path(func(t *tlsEntry) *string { return &t.caFile }), def: "the system's",
			meaning: "PEM file of the CA certificates to trust instead of the system's; also the way to trust a self-signed certificate.", example: "ca.pem"},
		{name: "cert_file", is: path(func(t *tlsEntry) *string { return &t.certFile }), def: "none",
			meaning: "PEM file of the client certificate, for servers that ask for one and for `auth: external`.", example: "client.pem"},
		{name: "key_file", is: path(func(t *tlsEntry) *string { return &t.keyFile }), def: "none",
			meaning: "PEM file of its private key, not encrypted.", example: "client.key"},
		{name: "server_name", is: text(func(t *tlsEntry) *string { return &t.serverName }, hostName), def: "the host",
			meaning: "Name that the certificate must be valid for.", example: "mail.example.org"},
		{name: "insecure_skip_verify", is: boolean(func(t *tlsEntry) *bool { return &t.insecureSkipVerify }), def: "`false`",
			meaning: "Accept any certificate. Anyone in the path can then read the password.", example: "true"},
		{name: "min_version", is: oneOf(versions, func(t *tlsEntry) *uint16 { return &t.minVersion }), def: "`TLS12`",
			meaning: "Oldest TLS version to accept.", example: "TLS13"},
		{name: "max_version", is: oneOf(versions, func(t *tlsEntry) *uint16 { return &t.maxVersion }), def: "the newest",
			meaning: "Newest TLS version to offer.", example: "TLS12"},
		{name: "allow_obsolete_tls", is: boolean(func(t *tlsEntry) *bool { return &t.allowObsolete }), def: "`false`",
			meaning: "Allow TLS 1.0 and 1.1 in min_version, which RFC 8997 forbids for mail.", example: "true"},
	},
}

// tlsFiles reads each certificate file once, and makes one tls.Config for equal
// settings.
type tlsFiles struct {
	pools   map[string]loaded[*x509.CertPool]
	keys    map[[2]string]loaded[*tls.Certificate]
	configs map[tlsEntry]*tls.Config
}

type loaded[V any] struct {
	value V
	field string // the field that a fault about err names
	err   error
}

func newTLSFiles() *tlsFiles {
	return &tlsFiles{
		pools:   map[string]loaded[*x509.CertPool]{},
		keys:    map[[2]string]loaded[*tls.Certificate]{},
		configs: map[tlsEntry]*tls.Config{},
	}
}

// config returns the connection's tls.Config, or reports faults.
func (f *tlsFiles) config(r *reader, e *entry, where position) *tls.Config {
	if e.Encryption == mail.NoEncryption {
		return nil
	}
	if c, done := f.configs[e.tls]; done {
		return c
	}
	c := &tls.Config{
		ServerName:         strings.TrimSuffix(e.tls.serverName, "."), // see mail.Connection.ServerName
		MinVersion:         e.tls.minVersion,
		MaxVersion:         e.tls.maxVersion,
		InsecureSkipVerify: e.tls.insecureSkipVerify,
		// The full handshake is what is measured, so no session is resumed.
		SessionTicketsDisabled: true,
	}
	rootsOK, certOK := f.roots(r, e, where, c), f.certificate(r, e, where, c)
	if rootsOK && certOK {
		f.configs[e.tls] = c
	}
	return c
}

func (f *tlsFiles) roots(r *reader, e *entry, where position, c *tls.Config) bool {
	file := e.tls.caFile
	if file == "" || r.syntaxOnly {
		return true // nil: the system's, loaded once by crypto/x509
	}
	pool, done := f.pools[file]
	if !done {
		pool.value, pool.err = readPool(r.seen, file)
		f.pools[file] = pool
	}
	if pool.err != nil {
		r.fault(e.at("tls_config.ca_file", where), pool.err.Error())
	}
	c.RootCAs = pool.value
	return pool.err == nil
}

// readPool returns an error for a certificate that cannot be parsed.
// AppendCertsFromPEM would skip it, and the missing authority would show much
// later, as an untrusted server.
func readPool(seen contents, file string) (*x509.CertPool, error) {
	raw, err := seen.read(file, maxPEM)
	if err != nil {
		return nil, err
	}
	pool, count := x509.NewCertPool(), 0
	for {
		var b *pem.Block
		if b, raw = pem.Decode(raw); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		count++
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", file, count, err)
		}
		pool.AddCert(cert)
	}
	if count == 0 {
		return nil, fmt.Errorf("%s: contains no certificate in PEM format", file)
	}
	return pool, nil
}

func (f *tlsFiles) certificate(r *reader, e *entry, where position, c *tls.Config) bool {
	files := [2]string{e.tls.certFile, e.tls.keyFile}
	if files[0] == "" || files[1] == "" || r.syntaxOnly {
		return true // one without the other is a fault of validate
	}
	key, done := f.keys[files]
	if !done {
		key = readKeyPair(r.seen, files[0], files[1])
		f.keys[files] = key
	}
	r.checkMode(files[1], e.at("tls_config.key_file", where))
	if key.err != nil {
		r.fault(e.at("tls_config."+key.field, where), key.err.Error())
		return false
	}
	c.Certificates = []tls.Certificate{*key.value}
	return true
}

func readKeyPair(seen contents, certFile, keyFile string) loaded[*tls.Certificate] {
	cert, err := seen.read(certFile, maxPEM)
	if err != nil {
		return loaded[*tls.Certificate]{field: "cert_file", err: err}
	}
	key, err := seen.read(keyFile, maxPEM)
	if err != nil {
		return loaded[*tls.Certificate]{field: "key_file", err: err}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		cause := strings.TrimPrefix(err.Error(), "tls: ")
		return loaded[*tls.Certificate]{field: "cert_file", err: errors.New(certFile + " with " + keyFile + ": " + cause)}
	}
	return loaded[*tls.Certificate]{value: &pair}
}

// checkMode reports a file with a secret that every user of the machine can read:
// a fault with strict_permissions, otherwise a warning.
func (r *reader) checkMode(file string, where position) {
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o004 == 0 || runtime.GOOS == "windows" { // Mode does not show permissions on Windows
		return
	}
	text := file + " can be read by every user of this machine: chmod o-r"
	if where == (position{}) {
		text = "contains a secret and" + strings.TrimPrefix(text, file)
	}
	if r.strict {
		r.fault(where, text)
		return
	}
	r.warnf(where, "%s", text)
}
