package prober

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// TestProbeWithAClientCertificate logs in by EXTERNAL, in each protocol; Postfix
// has no such mechanism, so that the real servers test two of them only.
func TestProbeWithAClientCertificate(t *testing.T) {
	fix := newFixture(t)
	clients := mailtest.MustCA(mailtest.CAOptions{Name: "clients"})
	for _, p := range mail.Protocols() {
		for _, e := range []mail.Encryption{mail.ImplicitTLS, mail.StartTLS} {
			t.Run(string(p)+"_"+string(e), func(t *testing.T) {
				server := fix.server(t, p, e, func(o *mailtest.Options) {
					o.ClientCAs, o.Mechanisms = clients.Pool(), []string{"EXTERNAL"}
				})
				o := new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr, func(c *mail.Connection) {
					c.Auth, c.Password = mail.AuthExternal, mail.SecretSource{}
					c.TLS.Certificates = []tls.Certificate{clients.MustIssue(mailtest.CertOptions{
						CommonName: "alice", EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})}
				}))
				if logins := server.Logins(); !o.Up() || o.Auth.Mechanism != mail.AuthExternal || len(logins) != 1 || logins[0].Mechanism != "EXTERNAL" {
					t.Errorf("by %q, %+v\n%s", o.Auth.Mechanism, logins, explain(o))
				}
			})
		}
	}
}
