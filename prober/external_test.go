package prober

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"mailprobe/internal/mailtest"
)

// TestProbeWithAClientCertificate logs in by EXTERNAL, in each protocol; Postfix
// has no such mechanism, so that the real servers test two of them only.
func TestProbeWithAClientCertificate(t *testing.T) {
	b := newBed(t)
	clients := mailtest.MustCA(mailtest.CAOptions{Name: "clients"})
	for _, p := range []Protocol{IMAP, POP3, SMTP} {
		for _, e := range []Encryption{ImplicitTLS, StartTLS} {
			t.Run(string(p)+"_"+string(e), func(t *testing.T) {
				server := b.server(t, p, e, func(o *mailtest.Options) {
					o.ClientCAs, o.Mechanisms = clients.Pool(), []string{"EXTERNAL"}
				})
				o := new(Prober).Probe(t.Context(), b.connection(p, e, server.Addr, func(c *Connection) {
					c.Auth, c.Password = AuthExternal, SecretSource{}
					c.TLS.Certificates = []tls.Certificate{clients.MustIssue(mailtest.CertOptions{
						CommonName: "alice", EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})}
				}))
				if logins := server.Logins(); !o.Up() || o.Auth.Mechanism != AuthExternal || len(logins) != 1 || logins[0].Mechanism != "EXTERNAL" {
					t.Errorf("by %q, %+v\n%s", o.Auth.Mechanism, logins, explain(o))
				}
			})
		}
	}
}
