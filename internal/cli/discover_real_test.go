package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailprobe/config"
	"mailprobe/internal/mailtest"
	"mailprobe/internal/realserver"
)

// town is several domains below the TLD test, with real servers: dnsmasq serves their
// zones, nginx their autoconfig files, Dovecot and Postfix their mail.
type town struct {
	ca      *mailtest.CA
	dns     *realserver.Dnsmasq
	web     *realserver.Website
	dovecot *realserver.Dovecot
	postfix *realserver.Postfix
}

// clientConfigFile is a file of autoconfig, as providers publish it, with the
// servers' real ports.
const clientConfigFile = `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="auto.test">
    <domain>auto.test</domain>
    <displayName>Mail of the town</displayName>
    <incomingServer type="imap"><hostname>mail.example.test</hostname><port>%d</port><socketType>SSL</socketType>
      <authentication>password-cleartext</authentication><username>%%EMAILLOCALPART%%@example.test</username></incomingServer>
    <incomingServer type="pop3"><hostname>mail.example.test</hostname><port>%d</port><socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication><username>%%EMAILLOCALPART%%@example.test</username></incomingServer>
    <outgoingServer type="smtp"><hostname>mail.example.test</hostname><port>%d</port><socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication><username>%%EMAILLOCALPART%%@example.test</username></outgoingServer>
  </emailProvider>
</clientConfig>`

func newTown(t *testing.T) *town {
	t.Helper()
	realserver.Need(t, "dnsmasq", "nginx", "dovecot", "postfix")
	s := &town{ca: mailtest.MustCA(mailtest.CAOptions{})}
	names := mailtest.CertOptions{Names: []string{realserver.ServerName, "alt.example.test", "out.provider.test"}}
	s.dovecot = realserver.StartDovecot(t, realserver.Options{CA: s.ca, Certificate: names})
	s.postfix = realserver.StartPostfix(t, realserver.PostfixOptions{Users: s.dovecot, CA: s.ca, Certificate: names})
	file := fmt.Sprintf(clientConfigFile, s.dovecot.IMAPS, s.dovecot.POP3, s.postfix.Submission)
	const path, known = "mail/config-v1.1.xml", ".well-known/autoconfig/mail/config-v1.1.xml"
	s.web = realserver.StartWebsite(t, s.ca, map[string]realserver.Site{
		"autoconfig.auto.test":   {Path: path, Text: file},
		"known.test":             {Rules: "location = /" + known + " { return 301 https://www.known.test/elsewhere.xml; }"},
		"www.known.test":         {Path: "elsewhere.xml", Text: file},
		"plain.test":             {Rules: "location = /" + known + " { return 301 http://www.known.test/elsewhere.xml; }"},
		"autoconfig.forged.test": {Path: path, Text: file, Unsigned: true},
	})
	srv := func(service, host string, port, priority, weight int) string {
		return fmt.Sprintf("srv-host=_%s._tcp.%s,%d,%d,%d", service, host, port, priority, weight)
	}
	lines := []string{
		srv("imaps", "example.test,dead.example.test", realserver.ClosedPort, 1, 0),
		srv("imaps", "example.test,missing.example.test", s.dovecot.IMAPS, 2, 0),
		srv("imaps", "example.test,alt.example.test", s.dovecot.IMAPS, 10, 20),
		srv("imaps", "example.test,mail.example.test", s.dovecot.IMAPS, 10, 80),
		srv("imap", "example.test,alt.example.test", s.dovecot.IMAP, 20, 0),
		"srv-host=_pop3s._tcp.example.test", "srv-host=_pop3._tcp.example.test", // the target is "."
		srv("submissions", "example.test,out.provider.test", s.postfix.SMTPS, 0, 1),
		"mx-host=guess.test,mail.example.test,10", // the MX need not be the server of the users
	}
	for _, host := range []string{"mail.example.test", "alt.example.test", "dead.example.test", "out.provider.test", "pop.example.test", "imap.guess.test", "smtp.guess.test",
		"autoconfig.auto.test", "known.test", "www.known.test", "plain.test", "autoconfig.forged.test"} {
		lines = append(lines, "host-record="+host+","+realserver.Host)
	}
	s.dns = realserver.StartDnsmasq(t, lines...)
	return s
}

// discover runs the command for alice in a domain, in a folder of its own.
func (s *town) discover(t *testing.T, domain string, change func(*DiscoverOptions)) (code int, out string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := errors.Join(s.ca.WriteCertificate("ca.pem"), os.WriteFile("password", []byte(realserver.Password(realserver.Alice)+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var both bytes.Buffer
	o := DiscoverOptions{Address: "alice@" + domain, CAFile: "ca.pem", AcceptForeign: true, Write: true, SetupOptions: SetupOptions{ConfigFile: "mailprobe.yml",
		PasswordFile: "password", Output: "table", Stdout: &both, Stderr: &both, Resolver: s.dns.Resolver(),
		dialWeb: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil || port != "443" {
				return nil, fmt.Errorf("asked for %s: %w", address, err)
			}
			found, err := s.dns.Resolver().LookupHost(ctx, host)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(found[0], fmt.Sprint(s.web.Port)))
		}}}
	if change != nil {
		change(&o)
	}
	err := Discover(t.Context(), o)
	var exit *ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.Code
	case err != nil:
		t.Fatal(err)
	}
	return code, both.String()
}

// The name server, the web server and the mail servers are real ones.
func TestDiscoverRealServers(t *testing.T) {
	s := newTown(t)
	pattern := func(columns ...string) string { return strings.Join(columns, " +") }
	imaps, pop3, submission, smtps := fmt.Sprint(s.dovecot.IMAPS), fmt.Sprint(s.dovecot.POP3), fmt.Sprint(s.postfix.Submission), fmt.Sprint(s.postfix.SMTPS)
	tests := []struct {
		name, domain string
		change       func(*DiscoverOptions)
		code         int
		want         []string // regular expressions
		never        string
		added        int
	}{
		{name: "SRV: priorities, weights, a dead target, a missing one, declined services, a provider", domain: "example.test", added: 2, want: []string{
			pattern("example.test-imap", "imap", "mail.example.test:"+imaps, "ssl/tls", "usable", "srv\n.*alt.example.test:"+imaps, "ssl/tls", "usable", "srv"),
			pattern("dead.example.test:1", "ssl/tls", "connect_refused", "srv"), pattern("missing.example.test:"+imaps, "ssl/tls", "dns_not_found", "srv"),
			pattern("imap", "mail.example.test:"+imaps, "ssl/tls", "up"), pattern("smtp", "out.provider.test:"+smtps, "ssl/tls", "up"),
			"note: example.test says by SRV that it has no pop3s"}, never: "guess"},
		{name: "SRV: the provider needs a yes", domain: "example.test", change: func(o *DiscoverOptions) { o.AcceptForeign = false }, added: 1,
			want: []string{"out.provider.test is outside of example.test and is not used; --accept-foreign accepts it"}, never: "provider.test:" + smtps + " +ssl/tls +up"},
		{name: "autoconfig", domain: "auto.test", added: 3, want: []string{
			pattern("auto.test-imap", "imap", "mail.example.test:"+imaps, "ssl/tls", "usable", "autoconfig"), pattern("auto.test-pop3", "pop3", "mail.example.test:"+pop3, "starttls", "up"),
			pattern("auto.test-smtp", "smtp", "mail.example.test:"+submission, "starttls", "up")}},
		{name: "autoconfig in the well-known place, redirected", domain: "known.test", added: 3, want: []string{"mailprobe.yml: added known.test-imap, known.test-pop3, known.test-smtp"}},
		{name: "autoconfig redirected to http", domain: "plain.test", code: ExitDown, want: []string{"no server of plain.test can be used"}},
		{name: "autoconfig with the certificate of another", domain: "forged.test", code: ExitDown, want: []string{"no server of forged.test can be used",
			"note: the autoconfig file was not read: x509: certificate is valid for .*, not autoconfig.forged.test"}, never: "autoconfig\n"},
		{name: "guesses that are not there, and an MX, which is no guess", domain: "guess.test", code: ExitDown, want: []string{
			pattern("imap.guess.test:993", "ssl/tls", "connect_refused", "guess"), pattern("smtp.guess.test:587", "starttls", "connect_refused", "guess"),
			"note: there is no mail.guess.test, pop.guess.test, pop3.guess.test\n"}, never: "mail.example.test"},
		{name: "nothing at all", domain: "nothing.test", code: ExitDown, want: []string{"no server of nothing.test can be used: mailprobe add asks"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			code, out := s.discover(t, test.domain, test.change)
			t.Logf("%v\n%s", time.Since(start), out)
			if code != test.code || test.never != "" && regexp.MustCompile(test.never).MatchString(out) {
				t.Errorf("exit code %d, want %d, and never %q", code, test.code, test.never)
			}
			for _, want := range test.want {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("want %s", want)
				}
			}
			n := 0
			if loaded, _, err := config.Load("mailprobe.yml", nil); err == nil {
				n = len(loaded.Connections)
			}
			if n != test.added {
				t.Errorf("%d connections were added, want %d", n, test.added)
			}
		})
	}
	if requests := s.web.Requests(); strings.Contains(requests, "forged.test") || !strings.Contains(requests, "autoconfig.auto.test /mail/config-v1.1.xml?emailaddress=alice%40auto.test") {
		t.Errorf("the web server saw\n%s", requests)
	}
}
