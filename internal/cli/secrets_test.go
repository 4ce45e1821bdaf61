package cli

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailprobe/config"
	"mailprobe/internal/canary"
	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

// The dialogues of servers that must not learn the password. Each goes on as long as the
// client sends commands, so that a client that would send the password does send it.
const (
	imapWithoutTLS = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN] please log in\nLOOP 9\nC?: {tag} *\nS: * CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN\nS: {tag} OK done\nEND"
	popWithoutTLS  = "S: +OK hello\nLOOP 9\nC?: *\nS: +OK\nS: USER\nS: SASL PLAIN LOGIN\nS: .\nEND"
	smtpWithoutTLS = "S: 220 out.example.org\nLOOP 9\nC?: *\nS: 250-out.example.org\nS: 250 AUTH PLAIN LOGIN\nEND"
	imapGreeting   = "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready\nLOOP 2\nC~ .*(CAPABILITY|STARTTLS)\nS: * CAPABILITY IMAP4rev1 STARTTLS\n"
)

// hostile are servers that must not get the password, by what is wrong with them.
var hostile = map[string]struct {
	protocol   mail.Protocol
	encryption mail.Encryption
	script     string
	cert       string // of TLS: wrong name, unknown CA; empty: there is none
}{
	"IMAP, the certificate of another host":         {mail.IMAP, mail.ImplicitTLS, "TLS\n" + imapWithoutTLS, "name"},
	"IMAP, a certificate that anybody could make":   {mail.IMAP, mail.ImplicitTLS, "TLS\n" + imapWithoutTLS, "self"},
	"IMAP, no TLS where TLS was meant":              {mail.IMAP, mail.ImplicitTLS, imapWithoutTLS, ""},
	"IMAP, no STARTTLS":                             {mail.IMAP, mail.StartTLS, imapWithoutTLS, ""},
	"IMAP, logged in already":                       {mail.IMAP, mail.StartTLS, "S: * PREAUTH welcome\n" + imapWithoutTLS[strings.Index(imapWithoutTLS, "LOOP"):], ""},
	"IMAP, STARTTLS and the certificate of another": {mail.IMAP, mail.StartTLS, "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready\nC?: {tag} *\nS: {tag} OK begin\nTLS\n" + imapWithoutTLS, "name"},
	"POP3, no STLS":                                 {mail.POP3, mail.StartTLS, popWithoutTLS, ""},
	"POP3, the certificate of another host":         {mail.POP3, mail.ImplicitTLS, "TLS\n" + popWithoutTLS, "name"},
	"SMTP, no STARTTLS":                             {mail.SMTP, mail.StartTLS, smtpWithoutTLS, ""},
	"SMTP, the certificate of another host":         {mail.SMTP, mail.ImplicitTLS, "TLS\n" + smtpWithoutTLS, "name"},
	"SMTP, words after STARTTLS": {mail.SMTP, mail.StartTLS, "S: 220 out.example.org\nC?: *\nS: 250-out.example.org\nS: 250 STARTTLS\nC?: *\n" +
		`SEND "220 begin\r\n250 AUTH PLAIN\r\n"` + "\nTLS\n" + smtpWithoutTLS, "good"},
}

// trap plays the conversation of a hostile server.
func trap(t *testing.T, ca *mailtest.CA, script, cert string) *mailtest.Scripted {
	t.Helper()
	options := mailtest.ScriptOptions{}
	if cert != "" {
		o := mailtest.Loopback()
		o.Names = []string{"in.example.org"}
		if cert == "name" {
			o.Names, o.IPs = []string{"else.example.org"}, nil
		}
		o.SelfSigned = cert == "self"
		options.TLS = &tls.Config{Certificates: []tls.Certificate{ca.MustIssue(o)}}
	}
	server, err := mailtest.StartScript(mailtest.MustScript(script), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() }) // the error is that clients end its script early
	return server
}

// srvNames are the SRV names of services.
var srvNames = map[string]string{"imap tls": "_imaps", "imap starttls": "_imap", "pop3 tls": "_pop3s", "pop3 starttls": "_pop3",
	"smtp tls": "_submissions", "smtp starttls": "_submission"}

// The SRV records name hostile servers first, and a good one of each protocol last. Only
// the good ones get the password. It is neither in what the hostile ones receive, inside
// of TLS or outside, nor on the wire to the good ones, nor in DNS queries.
func TestDiscoverSendsNoHostileServerThePassword(t *testing.T) {
	secret := canary.New()
	d := newDomain(t, secret)
	traps := map[string]*mailtest.Scripted{}
	records := map[string][]net.SRV{}
	for name, h := range hostile {
		traps[name] = trap(t, d.ca, h.script, h.cert)
		service := srvNames[string(h.protocol)+" "+string(h.encryption)] + "._tcp.example.org"
		records[service] = append(records[service], net.SRV{Target: "in.example.org", Priority: 1, Port: uint16(traps[name].Port)})
	}
	for service, list := range records {
		d.dns.Set(service, mailtest.DNSName{SRV: append(list, d.records[service].SRV...)})
	}
	code, out, err := d.discover(t, secret, nil)
	if got := d.logins(); code != 0 || got["imap"] != 1 || got["pop3"] != 1 || got["smtp"] != 1 || len(got) != 3 {
		t.Fatalf("exit code %d, %v, logins at %v\n%s", code, err, got, out)
	}
	for name, server := range traps {
		sessions := server.Sessions()
		if coding := canary.Find(string(server.Received()), secret); coding != "" || len(sessions) == 0 {
			t.Errorf("%s: %d sessions; the password is on the wire %s", name, len(sessions), coding)
		}
	}
	for name, proxy := range d.taps {
		raw := proxy.Bytes()
		if coding := canary.Find(string(raw), secret); coding != "" || len(raw) == 0 && name != "no STARTTLS" { // a search tries eight servers of a protocol, and this is the ninth
			t.Errorf("server %s: %d bytes; the password is on the wire %s", name, len(raw), coding)
		}
	}
	if coding := canary.Find(strings.Join(d.dns.Queries(), "\n"), secret); coding != "" {
		t.Errorf("the password is asked for as a name %s", coding)
	}
}

// The flags of add name one hostile server; add tries it, and then other ports and
// encryptions of its host.
func TestAddSendsNoHostileServerThePassword(t *testing.T) {
	ca, secret, dir := mailtest.MustCA(mailtest.CAOptions{}), canary.New(), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(ca.WriteCertificate(file("ca.pem")), os.WriteFile(file("password"), []byte(secret+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	dns, err := mailtest.StartDNS(map[string]mailtest.DNSName{"in.example.org": {Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dns.Close() })
	for name, h := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits for time-outs
			server := trap(t, ca, h.script, h.cert)
			var out bytes.Buffer
			err := Add(t.Context(), AddOptions{Settings: []config.Setting{{Field: "name", Value: "a"}, {Field: "protocol", Value: string(h.protocol)},
				{Field: "encryption", Value: string(h.encryption)}, {Field: "host", Value: "in.example.org"}, {Field: "port", Value: strconv.Itoa(server.Port)},
				{Field: "username", Value: "anna"}, {Field: "tls_config.ca_file", Value: file("ca.pem")}},
				SetupOptions: SetupOptions{ConfigFile: file("mailprobe.yml"), PasswordFile: file("password"), Output: "table", Timeout: 500 * time.Millisecond, // no login is to succeed
					Stdout: &out, Stderr: &out, Resolver: dns.Resolver()}})
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Code != ExitDown {
				t.Errorf("%v\n%s", err, out.String())
			}
			if coding := canary.Find(string(server.Received())+out.String(), secret); coding != "" {
				t.Errorf("the password is on the wire or shown %s", coding)
			}
			if left, _ := filepath.Glob(file("*.yml")); len(left) > 0 {
				t.Errorf("wrote %v", left)
			}
		})
	}
}

// Only --allow-clear sends the password in clear text. This also shows that the tests
// above would find it.
func TestDiscoverSendsNothingInClearUnasked(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		secret := canary.New()
		d := newDomain(t, secret)
		for service := range d.records {
			if strings.HasPrefix(service, "_") {
				d.dns.Set(service, mailtest.DNSName{})
			}
		}
		d.dns.Set("_imap._tcp.example.org", d.records["_imap._tcp.example.org"])
		code, out, _ := d.discover(t, secret, func(o *DiscoverOptions) { o.AllowClear = allowed })
		coding := canary.Find(string(d.taps["no STARTTLS"].Bytes()), secret)
		if allowed != (coding != "") || allowed != (code == 0) || allowed != strings.Contains(out, "is in clear text") {
			t.Errorf("allowed %v: exit code %d, the password is on the wire %q\n%s", allowed, code, coding, out)
		}
	}
}

// import copies passwords, and opens no connection.
func TestImportOpensNoConnection(t *testing.T) {
	secret := canary.New()
	d := newDomain(t, secret)
	t.Chdir(t.TempDir())
	file := "IMAPAccount a\nHost in.example.org\nPort " + strconv.Itoa(d.servers["imap"].Port) + "\nUser anna\nPass " + strconv.Quote(secret) + "\nTLSType IMAPS\n"
	if err := os.WriteFile("mbsyncrc", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := Import(t.Context(), ImportOptions{Path: "mbsyncrc", Write: true, SetupOptions: SetupOptions{ConfigFile: "mailprobe.yml", Output: "table",
		Stdout: &out, Stderr: &out, Resolver: d.dns.Resolver()}})
	if raw, readErr := os.ReadFile("secrets/a"); err != nil || readErr != nil || string(raw) != secret+"\n" {
		t.Errorf("%v, %v: %q\n%s", err, readErr, raw, out.String())
	}
	if coding := canary.Find(out.String(), secret); coding != "" || len(d.dns.Queries()) != 0 || len(d.taps["imap"].Bytes()) != 0 {
		t.Errorf("%q, asked for %v\n%s", coding, d.dns.Queries(), out.String())
	}
}
