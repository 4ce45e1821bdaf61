package prober

// This file sorts the errors of TLS and of certificates for classify.

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"mailprobe/mail"
)

// alertReason is what an alert of the server means, by the words crypto/tls
// gives it: its alert type is not exported.
type alertReason struct {
	words  string
	reason mail.Reason
	asked  bool // only if a client certificate was asked for
}

// alertReasons follow RFC 8446 section 6.2. The alerts about certificates speak
// of ours, for the server has no other one to judge.
var alertReasons = []alertReason{
	{words: "tls: protocol version not supported", reason: mail.TLSVersion},
	{words: "tls: certificate required", reason: mail.TLSClientCert},
	{words: "tls: bad certificate", reason: mail.TLSClientCert, asked: true},
	{words: "tls: unsupported certificate", reason: mail.TLSClientCert, asked: true},
	{words: "tls: revoked certificate", reason: mail.TLSClientCert, asked: true},
	{words: "tls: expired certificate", reason: mail.TLSClientCert, asked: true},
	{words: "tls: unknown certificate", reason: mail.TLSClientCert, asked: true},
	{words: "tls: unknown certificate authority", reason: mail.TLSClientCert, asked: true},
	{words: "tls: access denied", reason: mail.TLSClientCert, asked: true},
	// Servers of TLS 1.2 refuse a missing certificate so.
	{words: "tls: handshake failure", reason: mail.TLSClientCert, asked: true},
}

// tlsReason sorts what crypto/tls and crypto/x509 return; the reason is empty
// for an error that is none of theirs.
func tlsReason(phase mail.Phase, c *mail.Connection, err error) (mail.Reason, string) {
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		reason := certificateReason(c, verification.UnverifiedCertificates, verification.Err)
		return reason, certificateHint(reason, verification.UnverifiedCertificates)
	}
	if isX509(err) {
		return certificateReason(c, nil, err), ""
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return recordReason(c, record.RecordHeader[:])
	}
	if words, isAlert := alertWords(err); isAlert {
		return alertDiagnosis(phase, words, err)
	}
	text := err.Error()
	if !strings.Contains(text, "tls: ") {
		return "", ""
	}
	if _, fault, found := strings.Cut(text, "tls: failed to parse certificate from server: "); found {
		fault, _, _ = strings.Cut(strings.TrimPrefix(fault, "x509: "), `"`) // what follows may be the server's words
		return mail.CertInvalid, "Get another certificate: this one cannot be parsed (" + cleanText(fault, maxName) + "), which RFC 5280 forbids. Some clients accept it, and others refuse it as mailprobe does."
	}
	for _, words := range versionTexts {
		if strings.Contains(text, words) {
			return mail.TLSVersion, ""
		}
	}
	return mail.TLSHandshake, ""
}

// versionTexts are what crypto/tls says when it refuses a version itself.
var versionTexts = []string{
	"server selected unsupported protocol version",
	"no supported versions satisfy",
}

// recordReason tells clear text from garbage by the first five bytes that came
// in place of a TLS record.
func recordReason(c *mail.Connection, header []byte) (mail.Reason, string) {
	for _, b := range header {
		if (b < ' ' || b >= 0x7F) && b != '\r' && b != '\n' && b != '\t' {
			return mail.TLSHandshake, ""
		}
	}
	return mail.TLSPlaintext, plaintextHint(c, header)
}

// alertWords is the text of an alert that the server sent.
func alertWords(err error) (words string, ok bool) {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" && op.Err != nil {
		return op.Err.Error(), true
	}
	return "", false
}

// alertDiagnosis looks the alert up. With TLS 1.3 the server judges our
// certificate when the handshake is over for us, so that its alert comes with
// the first read; nothing else brings an alert about certificates there.
func alertDiagnosis(phase mail.Phase, words string, err error) (mail.Reason, string) {
	var handshake *handshakeError
	asked := errors.As(err, &handshake) && handshake.clientCertAsked
	for _, alert := range alertReasons {
		late := phase != mail.PhaseTLS && strings.Contains(alert.words, "certificate")
		if alert.words == words && (!alert.asked || asked || late) {
			return alert.reason, ""
		}
	}
	if cipherAlerts[words] {
		return mail.TLSHandshake, cipherHint
	}
	return mail.TLSHandshake, ""
}

// cipherAlerts are what servers answer that accept nothing of what we offer.
var cipherAlerts = map[string]bool{"tls: handshake failure": true, "tls: insufficient security level": true}

// cipherHint is the advice where the server accepts nothing that Go offers: no
// RSA key exchange, which has no forward secrecy, and no finite-field DHE.
const cipherHint = "The server accepts no cipher suite that the probe offers. The probe has only ECDHE key exchange: it lacks RSA key exchange and DHE, and a server that is limited to these " +
	"needs ECDHE enabled. Try openssl s_client against this host and port to see what it chooses."

// certificateHint is advice more precise than that of a certificate's reason.
func certificateHint(reason mail.Reason, chain []*x509.Certificate) string {
	chain = chain[:min(len(chain), maxChain)]
	switch reason {
	case mail.CertUntrusted:
		for _, cert := range chain {
			if algorithm, weak := weakSignatures[cert.SignatureAlgorithm]; weak && !bytes.Equal(cert.RawSubject, cert.RawIssuer) {
				return "The certificate " + nameText(cert.Subject) + " is signed with " + algorithm + ", which clients do not accept any more: get a new one, signed with SHA-256."
			}
		}
	case mail.CertName:
		if len(chain) > 0 && !hasNames(chain[0]) {
			return "The certificate has its host name in the common name (CN) only, which clients do not look at any more: get one with the name in the subject alternative names (SAN)."
		}
	}
	return ""
}

// weakSignatures are the algorithms that crypto/x509 takes for no signature.
var weakSignatures = map[x509.SignatureAlgorithm]string{
	x509.MD2WithRSA: "MD2", x509.MD5WithRSA: "MD5",
	x509.SHA1WithRSA: "SHA-1", x509.DSAWithSHA1: "SHA-1", x509.ECDSAWithSHA1: "SHA-1",
}

// hasNames reports whether a certificate has subject alternative names.
func hasNames(cert *x509.Certificate) bool {
	return len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses)+len(cert.URIs) > 0
}

// isX509 reports whether err is a verdict on a certificate.
func isX509(err error) bool {
	var (
		unknown    x509.UnknownAuthorityError
		name       x509.HostnameError
		invalid    x509.CertificateInvalidError
		insecure   x509.InsecureAlgorithmError
		constraint x509.ConstraintViolationError
		unhandled  x509.UnhandledCriticalExtension
		roots      x509.SystemRootsError
	)
	return errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid) ||
		errors.As(err, &insecure) || errors.As(err, &constraint) || errors.As(err, &unhandled) ||
		errors.As(err, &roots)
}

// certificateReason sorts a failed verification. Several faults may apply of
// which x509 names one; the order here is dates, authority, name, the rest,
// because a wrong date is the commonest and a name proves nothing under an
// authority that is not trusted. chain, leaf first, may be empty.
func certificateReason(c *mail.Connection, chain []*x509.Certificate, err error) mail.Reason {
	now := tlsNow(c)
	if len(chain) > 0 {
		if reason := dateReason(chain[0], now); reason != "" {
			return reason
		}
	}
	if reason := chainReason(chain, err, now); reason != "" {
		return reason
	}
	var name x509.HostnameError
	if !errors.As(err, &name) {
		return mail.CertInvalid
	}
	// x509 looks at the name first; ask again what it thinks of the chain.
	if len(chain) > 0 {
		if reason := chainReason(chain, verifyChain(c, chain, now), now); reason != "" {
			return reason
		}
	}
	return mail.CertName
}

// certificateReasons lists everything that is wrong with a certificate that
// failed verification, in the order of certificateReason; nil for another error.
func certificateReasons(c *mail.Connection, err error) []mail.Reason {
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &verification) || len(verification.UnverifiedCertificates) == 0 {
		return nil
	}
	chain := verification.UnverifiedCertificates
	faults := []mail.Reason{certificateReason(c, chain, verification.Err)}
	note := func(reason mail.Reason) {
		if !slices.Contains(faults, reason) {
			faults = append(faults, reason)
		}
	}
	if unknownAuthority(c, chain) {
		note(mail.CertUntrusted)
	}
	if c != nil && c.TLS != nil && chain[0].VerifyHostname(c.ServerName()) != nil {
		note(mail.CertName)
	}
	return faults
}

// unknownAuthority reports whether no trusted CA has signed a chain. It is asked
// for a time at which the leaf was good: an authority is not unknown because a
// certificate has expired.
func unknownAuthority(c *mail.Connection, chain []*x509.Certificate) bool {
	then := tlsNow(c)
	switch dateReason(chain[0], then) {
	case mail.CertExpired:
		then = chain[0].NotAfter
	case mail.CertNotYetValid:
		then = chain[0].NotBefore
	}
	err := verifyChain(c, chain, then)
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown) && issuerDateReason(chain, err, then) == ""
}

func joinReasons(reasons []mail.Reason) string {
	words := make([]string, len(reasons))
	for i, reason := range reasons {
		words[i] = string(reason)
	}
	return strings.Join(words, ", ")
}

// chainReason is the reason of a verdict on dates or authority, empty for any
// other.
func chainReason(chain []*x509.Certificate, err error, now time.Time) mail.Reason {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return expiryReason(invalid.Cert, now)
	}
	if reason := issuerDateReason(chain, err, now); reason != "" {
		return reason
	}
	var unknown x509.UnknownAuthorityError
	var roots x509.SystemRootsError
	if errors.As(err, &unknown) || errors.As(err, &roots) {
		return mail.CertUntrusted
	}
	return ""
}

// expiryReason is the reason for a certificate that x509 calls expired, by
// which it means either end.
func expiryReason(cert *x509.Certificate, now time.Time) mail.Reason {
	if cert != nil {
		if reason := dateReason(cert, now); reason != "" {
			return reason
		}
	}
	return mail.CertExpired
}

// dateReason compares one certificate's dates with now.
func dateReason(cert *x509.Certificate, now time.Time) mail.Reason {
	switch {
	case now.After(cert.NotAfter):
		return mail.CertExpired
	case now.Before(cert.NotBefore):
		return mail.CertNotYetValid
	}
	return ""
}

// issuerDateReason finds an issuer out of its dates in the presented chain. x509
// calls a chain that breaks there "unknown authority".
func issuerDateReason(chain []*x509.Certificate, err error, now time.Time) mail.Reason {
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) || len(chain) == 0 {
		return ""
	}
	chain = chain[:min(len(chain), maxChain)]
	cert := chain[0]
	for range chain { // certificates may name each other in a circle
		if cert = issuerOf(cert, chain); cert == nil {
			return ""
		}
		if reason := dateReason(cert, now); reason != "" {
			return reason
		}
	}
	return ""
}

// issuerOf finds who signed cert, by name; servers send chains in any order.
func issuerOf(cert *x509.Certificate, chain []*x509.Certificate) *x509.Certificate {
	for _, candidate := range chain {
		if candidate != cert && bytes.Equal(candidate.RawSubject, cert.RawIssuer) {
			return candidate
		}
	}
	return nil
}

// verifyChain verifies a chain without looking at the name.
func verifyChain(c *mail.Connection, chain []*x509.Certificate, now time.Time) error {
	options := x509.VerifyOptions{CurrentTime: now, Intermediates: x509.NewCertPool()}
	if c != nil && c.TLS != nil {
		options.Roots = c.TLS.RootCAs
	}
	for _, cert := range chain[1:min(len(chain), maxChain)] {
		options.Intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(options)
	return err
}

// tlsNow is the time that certificates are judged at.
func tlsNow(c *mail.Connection) time.Time {
	if c != nil && c.TLS != nil && c.TLS.Time != nil {
		return c.TLS.Time()
	}
	return time.Now()
}
