package prober

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// handshakeRow is one odd TLS server and what it means. The numbers are those
// of the catalogue of faults.
type handshakeRow struct {
	name   string
	serve  func(*testing.T, *mailtest.CA, net.Conn) // plays the server; the conn is closed after it
	client func(*tls.Config)                        // changes the client's good set-up
	phase  mail.Phase                               // where it must show; PhaseTLS by default
	want   mail.Reason
	others []mail.Reason // what else is wrong with the certificate
}

// presenting is a TLS server with the certificate that o describes.
func presenting(o mailtest.CertOptions, change ...func(*tls.Config)) func(*testing.T, *mailtest.CA, net.Conn) {
	return func(t *testing.T, ca *mailtest.CA, conn net.Conn) {
		if o.Names == nil && o.IPs == nil && o.CommonName == "" {
			o.Names, o.IPs = mailtest.Loopback().Names, mailtest.Loopback().IPs
		}
		config := &tls.Config{Certificates: []tls.Certificate{ca.MustIssue(o)}, MinVersion: tls.VersionTLS10}
		for _, f := range change {
			f(config)
		}
		server := tls.Server(conn, config)
		_, _ = server.Write([]byte("* OK\r\n"))
		_, _ = io.Copy(io.Discard, server) // until the client has seen the alert
	}
}

// saying is a server that answers the ClientHello with raw bytes.
func saying(text string) func(*testing.T, *mailtest.CA, net.Conn) {
	return func(_ *testing.T, _ *mailtest.CA, conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
		_, _ = io.Copy(io.Discard, conn)
	}
}

// alert is a TLS record with a fatal alert.
func alert(code byte) string { return string([]byte{0x15, 3, 3, 0, 2, 2, code}) }

func maxVersion(v uint16) func(*tls.Config) { return func(c *tls.Config) { c.MaxVersion = v } }
func wantClientCert(c *tls.Config)          { c.ClientAuth = tls.RequireAnyClientCert }

func handshakeRows() []handshakeRow {
	day := 24 * time.Hour
	now := time.Now()
	return []handshakeRow{
		{name: "33 IMAP in clear", serve: saying("* OK ready\r\n"), want: mail.TLSPlaintext},
		{name: "33 POP3 in clear", serve: saying("+OK ready\r\n"), want: mail.TLSPlaintext},
		{name: "33 SMTP in clear", serve: saying("220 ready\r\n"), want: mail.TLSPlaintext},
		{name: "33 HTTP in clear", serve: saying("HTTP/1.1 400 Bad Request\r\n\r\n"), want: mail.TLSPlaintext},
		{name: "35 handshake_failure", serve: saying(alert(40)), want: mail.TLSHandshake},
		{name: "36 random bytes", serve: saying("\x8f\x01\xff\x00\x93\x12\x77\xe0\x41"), want: mail.TLSHandshake},
		{name: "36 random bytes that look like a record", serve: saying("\x16\x03\x03\x00\x04\x8f\x01\xff\x00"), want: mail.TLSHandshake},
		{name: "38 closed in the handshake", serve: func(_ *testing.T, _ *mailtest.CA, conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }, want: mail.Closed},
		{name: "39 TLS 1.1 at most", serve: presenting(mailtest.CertOptions{}, maxVersion(tls.VersionTLS11)), want: mail.TLSVersion},
		{name: "39 alert protocol_version", serve: saying(alert(70)), want: mail.TLSVersion},
		{name: "39 server picks an old version", serve: saying("\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01" + strings.Repeat("r", 32) + "\x00\x00\x2f\x00"), want: mail.TLSVersion},
		{name: "40 no common cipher", serve: presenting(mailtest.CertOptions{}, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} // the key is ECDSA
		}), want: mail.TLSHandshake},

		{name: "41 expired", serve: presenting(mailtest.CertOptions{NotBefore: now.Add(-9 * day), NotAfter: now.Add(-day)}), want: mail.CertExpired},
		{name: "41 expired, unknown and misnamed", serve: presenting(mailtest.CertOptions{
			Names: []string{"other.example"}, SelfSigned: true, NotBefore: now.Add(-9 * day), NotAfter: now.Add(-day)}), want: mail.CertExpired, others: []mail.Reason{mail.CertUntrusted, mail.CertName}},
		{name: "41 expired and misnamed", serve: presenting(mailtest.CertOptions{
			Names: []string{"other.example"}, NotBefore: now.Add(-9 * day), NotAfter: now.Add(-day)}), want: mail.CertExpired, others: []mail.Reason{mail.CertName}},
		{name: "42 not yet valid", serve: presenting(mailtest.CertOptions{NotBefore: now.Add(day), NotAfter: now.Add(9 * day)}), want: mail.CertNotYetValid},
		{name: "43 wrong name", serve: presenting(mailtest.CertOptions{Names: []string{"other.example"}}), want: mail.CertName},
		{name: "44 IP literal without its SAN", serve: presenting(mailtest.CertOptions{Names: []string{"localhost"}}),
			client: func(c *tls.Config) { c.ServerName = "127.0.0.1" }, want: mail.CertName},
		{name: "45 self-signed", serve: presenting(mailtest.CertOptions{SelfSigned: true}), want: mail.CertUntrusted},
		{name: "45 unknown authority", serve: presenting(mailtest.CertOptions{}),
			client: func(c *tls.Config) { c.RootCAs = mailtest.MustCA(mailtest.CAOptions{Name: "another"}).Pool() }, want: mail.CertUntrusted},
		{name: "45 unknown authority and wrong name", serve: presenting(mailtest.CertOptions{Names: []string{"other.example"}}),
			client: func(c *tls.Config) { c.RootCAs = mailtest.MustCA(mailtest.CAOptions{Name: "another"}).Pool() }, want: mail.CertUntrusted, others: []mail.Reason{mail.CertName}},
		{name: "45 missing intermediate", serve: presenting(mailtest.CertOptions{Intermediates: 1, HideIntermediates: true}), want: mail.CertUntrusted},
		{name: "46 certificate of a client", serve: presenting(mailtest.CertOptions{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), want: mail.CertInvalid},
		{name: "46 no SAN", serve: presenting(mailtest.CertOptions{CommonName: "localhost"}), want: mail.CertName},
		{name: "46 SHA-1 signature", serve: presenting(mailtest.CertOptions{SHA1: true}), want: mail.CertUntrusted},
		{name: "46 RSA of 512 bit", serve: presenting(mailtest.CertOptions{RSABits: 512}, maxVersion(tls.VersionTLS12)), want: mail.TLSHandshake},
		{name: "46 RSA of 1024 bit", serve: presenting(mailtest.CertOptions{RSABits: 1024}), want: mail.CertInvalid},
		{name: "47 revoked is not judged", serve: presenting(mailtest.CertOptions{}), phase: mail.PhaseGreeting, want: ""},
		{name: "48 chain of 300", serve: presenting(mailtest.CertOptions{Filler: 300}), phase: mail.PhaseGreeting, want: ""},
		{name: "48 chain beyond the bound of crypto/tls", serve: presenting(mailtest.CertOptions{Filler: 500}), want: mail.TLSHandshake},
		{name: "49 RSA of 16384 bit", serve: presenting(mailtest.CertOptions{RSABits: 16384}), want: mail.TLSHandshake},
		{name: "51 client certificate wanted, TLS 1.2", serve: presenting(mailtest.CertOptions{}, wantClientCert, maxVersion(tls.VersionTLS12)), want: mail.TLSClientCert},
		{name: "51 and refused by handshake_failure", serve: presenting(mailtest.CertOptions{}, wantClientCert, maxVersion(tls.VersionTLS12),
			func(c *tls.Config) {
				c.ClientAuth = tls.RequestClientCert
				c.VerifyConnection = func(tls.ConnectionState) error { return tls.AlertError(40) }
			}), want: mail.TLSClientCert},
		{name: "52 client certificate wanted, TLS 1.3", serve: presenting(mailtest.CertOptions{}, wantClientCert), phase: mail.PhaseGreeting, want: mail.TLSClientCert},
		{name: "53 alert about ALPN", serve: saying(alert(120)), want: mail.TLSHandshake},
		{name: "53 alert about a certificate nobody asked for", serve: saying(alert(42)), want: mail.TLSHandshake},
		{name: "58 clock ten years ahead", serve: presenting(mailtest.CertOptions{}),
			client: func(c *tls.Config) { c.Time = func() time.Time { return time.Now().AddDate(10, 0, 0) } }, want: mail.CertExpired},
		{name: "58 clock ten years behind", serve: presenting(mailtest.CertOptions{}),
			client: func(c *tls.Config) { c.Time = func() time.Time { return time.Now().AddDate(-10, 0, 0) } }, want: mail.CertNotYetValid},
	}
}

func TestClassifyHandshake(t *testing.T) {
	ca := mailtest.MustCA(mailtest.CAOptions{})
	for _, row := range handshakeRows() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			config := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
			if row.client != nil {
				row.client(config)
			}
			if row.phase == "" {
				row.phase = mail.PhaseTLS
			}
			address := serveOnce(t, func(conn net.Conn) { row.serve(t, ca, conn) })
			phase, err := handshake(t, address, config)
			c := &mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, TLS: config}
			got := classify(phase, c, err).reason
			if got != row.want || phase != row.phase {
				t.Errorf("%q at %q for %v; want %q at %q", got, phase, err, row.want, row.phase)
			}
			all := certificateReasons(c, err)
			if wants := append([]mail.Reason{row.want}, row.others...); all != nil && !slices.Equal(all, wants) {
				t.Errorf("everything that is wrong: %q for %v; want %q", all, err, wants)
			}
		})
	}
}

// serveOnce plays a server for one connection on loopback.
func serveOnce(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		serve(conn)
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return listener.Addr().String()
}

// handshake does what the wire does with TLS, up to the first byte of the
// greeting, and says how far it came.
func handshake(t *testing.T, address string, config *tls.Config) (mail.Phase, error) {
	t.Helper()
	asked := false
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return new(tls.Certificate), nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return mail.PhaseTLS, &handshakeError{err, asked}
	}
	if err := checkKeys(conn.ConnectionState().VerifiedChains[0]); err != nil {
		return mail.PhaseTLS, err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return mail.PhaseGreeting, &handshakeError{err, asked}
	}
	return mail.PhaseGreeting, nil
}

// The words of real alerts, for a client that was asked for its certificate.
func TestAlertsAboutOurCertificate(t *testing.T) {
	tests := map[byte]mail.Reason{
		40: mail.TLSClientCert, 42: mail.TLSClientCert, 43: mail.TLSClientCert, 44: mail.TLSClientCert, 45: mail.TLSClientCert, 46: mail.TLSClientCert,
		48: mail.TLSClientCert, 49: mail.TLSClientCert, 116: mail.TLSClientCert,
		70: mail.TLSVersion,
		10: mail.TLSHandshake, 47: mail.TLSHandshake, 50: mail.TLSHandshake, 80: mail.TLSHandshake,
	}
	for code, want := range tests {
		address := serveOnce(t, func(conn net.Conn) { saying(alert(code))(t, nil, conn) })
		phase, err := handshake(t, address, &tls.Config{ServerName: "localhost"})
		if got := classify(phase, nil, &handshakeError{err: errors.Unwrap(err), clientCertAsked: true}).reason; got != want {
			t.Errorf("alert %d: %q for %v, want %q", code, got, err, want)
		}
	}
}

// mint signs a custom certificate; with a nil parent it is self-signed.
func mint(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// x509 calls a chain with an issuer out of its dates "unknown authority".
func TestIssuerOutOfItsDates(t *testing.T) {
	now := time.Now()
	authority := func(name string, from, to time.Duration) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(from), NotAfter: now.Add(to),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	const day = 24 * time.Hour
	tests := []struct {
		name             string
		from, to         time.Duration // of the intermediate
		host             string
		trusted, shuffle bool
		want             mail.Reason
	}{
		{"expired", -9 * day, -day, "localhost", true, false, mail.CertExpired},
		{"not yet valid", day, 9 * day, "localhost", true, false, mail.CertNotYetValid},
		{"expired and a wrong name", -9 * day, -day, "other.example", true, false, mail.CertExpired},
		{"expired, behind others", -9 * day, -day, "localhost", true, true, mail.CertExpired},
		{"good, but its root is unknown", -day, day, "localhost", false, false, mail.CertUntrusted},
		{"good, but a wrong name", -day, day, "other.example", true, false, mail.CertName},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root, rootKey := mint(t, authority("root", -day, day), nil, nil)
			middle, middleKey := mint(t, authority("middle", test.from, test.to), root, rootKey)
			leaf, _ := mint(t, &x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{"localhost"},
				NotBefore: now.Add(-day), NotAfter: now.Add(day)}, middle, middleKey)
			chain := []*x509.Certificate{leaf, middle}
			if test.shuffle {
				chain = []*x509.Certificate{leaf, root, root, middle}
			}
			c := &mail.Connection{TLS: &tls.Config{RootCAs: x509.NewCertPool()}}
			if test.trusted {
				c.TLS.RootCAs.AddCert(root)
			}
			options := x509.VerifyOptions{DNSName: test.host, Roots: c.TLS.RootCAs, Intermediates: x509.NewCertPool()}
			options.Intermediates.AddCert(middle)
			_, err := leaf.Verify(options)
			if err == nil {
				t.Fatal("x509 likes the chain")
			}
			err = &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
			if got := classify(mail.PhaseTLS, c, err).reason; got != test.want {
				t.Errorf("%q for %v, want %q", got, err, test.want)
			}
			if got := presentedChain(fmt.Errorf("handshake: %w", err)); len(got) != len(chain) {
				t.Errorf("presented chain of %d certificates, want %d", len(got), len(chain))
			}
		})
	}
	if chain := presentedChain(io.EOF); chain != nil {
		t.Errorf("%d certificates from no verification at all", len(chain))
	}
}

func TestCertificateReasonWithoutChain(t *testing.T) {
	past := &x509.Certificate{NotAfter: time.Unix(0, 0)}
	future := &x509.Certificate{NotBefore: time.Now().AddDate(1, 0, 0), NotAfter: time.Now().AddDate(2, 0, 0)}
	tests := []struct {
		name string
		err  error
		want mail.Reason
	}{
		{"expired", x509.CertificateInvalidError{Cert: past, Reason: x509.Expired}, mail.CertExpired},
		{"not yet valid", x509.CertificateInvalidError{Cert: future, Reason: x509.Expired}, mail.CertNotYetValid},
		{"expired, but which", x509.CertificateInvalidError{Reason: x509.Expired}, mail.CertExpired},
		{"unknown authority", x509.UnknownAuthorityError{}, mail.CertUntrusted},
		{"no roots on this machine", x509.SystemRootsError{}, mail.CertUntrusted},
		{"name", x509.HostnameError{Certificate: past}, mail.CertName},
		{"constraint", x509.CertificateInvalidError{Reason: x509.NameConstraintsWithoutSANs}, mail.CertInvalid},
		{"algorithm", x509.InsecureAlgorithmError(x509.MD5WithRSA), mail.CertInvalid},
		{"constraint violated", x509.ConstraintViolationError{}, mail.CertInvalid},
		{"critical extension", x509.UnhandledCriticalExtension{}, mail.CertInvalid},
	}
	for _, test := range tests {
		if got := classify(mail.PhaseTLS, nil, fmt.Errorf("handshake: %w", test.err)).reason; got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// After the handshake crypto/tls has its own words for what it does not bear;
// rows 50, 55 and the like.
func TestTLSErrorsAfterTheHandshake(t *testing.T) {
	for _, text := range []string{"tls: too many ignored records", "local error: tls: no renegotiation", "local error: tls: bad record MAC"} {
		if got := classify(mail.PhaseGreeting, nil, errors.New(text)).reason; got != mail.TLSHandshake {
			t.Errorf("%s: %q, want %q", text, got, mail.TLSHandshake)
		}
	}
}
