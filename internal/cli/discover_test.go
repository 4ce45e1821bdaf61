package cli

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/config"
	"mailprobe/discover"
	"mailprobe/internal/mailtest"
	"mailprobe/mail"
	"mailprobe/prober"
)

// domain is example.org on loopback: its name server, and mail servers that its
// SRV records name.
type domain struct {
	dns     *mailtest.DNS
	ca      *mailtest.CA
	servers map[string]*mailtest.Server // by service
	taps    map[string]*tap             // what they received, by service
	records map[string]mailtest.DNSName
}

// tap keeps all bytes that clients sent to a server.
type tap struct {
	mu  sync.Mutex
	raw []byte
}

func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raw = append(t.raw, p...)
	return len(p), nil
}

// Bytes are all bytes so far.
func (t *tap) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.raw)
}

// newDomain has good servers for all three protocols, behind worse ones that come
// first in the order of priorities.
func newDomain(t *testing.T, secret string) *domain {
	t.Helper()
	ca, err := mailtest.NewCA(mailtest.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(name string) tls.Certificate {
		o := mailtest.Loopback()
		o.Names, o.IPs = []string{name}, nil
		return ca.MustIssue(o)
	}
	d := &domain{ca: ca, servers: map[string]*mailtest.Server{}, taps: map[string]*tap{}}
	start := func(name string, o mailtest.Options) uint16 {
		o.Users = map[string]string{"anna@example.org": secret}
		server, err := mailtest.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		d.servers[name], d.taps[name] = server, &tap{}
		proxy, err := mailtest.StartProxy(server.Addr, mailtest.Stream{Tee: d.taps[name]}, mailtest.Stream{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = proxy.Close() })
		return uint16(proxy.Port)
	}
	good := certificate("in.example.org")
	d.records = map[string]mailtest.DNSName{
		"_imaps._tcp.example.org": {SRV: []net.SRV{
			{Target: "in.example.org", Priority: 1, Port: start("wrong certificate", mailtest.Options{Protocol: mailtest.IMAP, Encryption: mailtest.ImplicitTLS, Certificate: certificate("else.example.org")})},
			{Target: "in.example.org", Priority: 3, Port: start("imap", mailtest.Options{Protocol: mailtest.IMAP, Encryption: mailtest.ImplicitTLS, Certificate: good})}}},
		"_imap._tcp.example.org": {SRV: []net.SRV{
			{Target: "in.example.org", Priority: 2, Port: start("no STARTTLS", mailtest.Options{Protocol: mailtest.IMAP, Encryption: mailtest.NoEncryption})}}},
		"_pop3s._tcp.example.org": {SRV: []net.SRV{
			{Target: "in.example.org", Port: start("pop3", mailtest.Options{Protocol: mailtest.POP3, Encryption: mailtest.ImplicitTLS, Certificate: good})}}},
		"_submission._tcp.example.org": {SRV: []net.SRV{
			{Target: "out.example.net", Port: start("smtp", mailtest.Options{Protocol: mailtest.SMTP, Encryption: mailtest.StartTLS, Certificate: certificate("out.example.net")})}}},
		"in.example.org":  {Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		"out.example.net": {Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
	}
	for _, service := range []string{"_imaps._tcp.", "_pop3s._tcp."} { // another domain at the same servers
		d.records[service+"example.com"] = d.records[service+"example.org"]
	}
	if d.dns, err = mailtest.StartDNS(d.records); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.dns.Close() })
	return d
}

// discover runs the command in a directory of its own.
func (d *domain) discover(t *testing.T, secret string, change func(*DiscoverOptions)) (code int, out string, err error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := errors.Join(d.ca.WriteCertificate("ca.pem"), os.WriteFile("password", []byte(secret+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	o := DiscoverOptions{Address: "anna@example.org", CAFile: "ca.pem", AcceptForeign: true, Write: true,
		SetupOptions: SetupOptions{ConfigFile: "mailprobe.yml", PasswordFile: "password", Output: "table", Stdout: &stdout, Stderr: &stderr, Resolver: d.dns.Resolver()}}
	if change != nil {
		change(&o)
	}
	err = Discover(t.Context(), o)
	var exit *ExitError
	if errors.As(err, &exit) {
		code = exit.Code
	} else if err != nil {
		t.Fatal(err)
	}
	if out = stdout.String() + stderr.String(); strings.Contains(out, secret) {
		t.Errorf("the password is printed:\n%s", out)
	}
	return code, out, err
}

// logins counts the logins at each server that had one.
func (d *domain) logins() map[string]int {
	count := map[string]int{}
	for name, server := range d.servers {
		if n := len(server.Logins()); n > 0 {
			count[name] = n
		}
	}
	return count
}

// From an address to three connections that are up, in one command.
func TestDiscoverWritesWhatIsUp(t *testing.T) {
	d := newDomain(t, password)
	start := time.Now()
	code, out, err := d.discover(t, password, nil)
	took := time.Since(start)
	if code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	t.Logf("%v\n%s", took, out)
	if took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	for _, want := range []string{`example.org-imap +imap +in.example.org:\d+ +ssl/tls +usable +srv`, `cert_name +srv`, `starttls_not_offered +srv`,
		`example.org-smtp .* up `, `mailprobe.yml: added example.org-imap, example.org-pop3, example.org-smtp`, `reload`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("want %s in\n%s", want, out)
		}
	}
	loaded, warnings, err := config.Load("mailprobe.yml", nil)
	if err != nil || len(loaded.Connections) != 3 {
		t.Fatalf("%v, %v", loaded, err)
	}
	for _, w := range warnings {
		t.Errorf("warns: %v", w)
	}
	for _, c := range loaded.Connections {
		if strings.Contains(c.Name, "anna") {
			t.Errorf("the name %s holds the user", c.Name)
		}
		if o := (&prober.Prober{Resolver: d.dns.Resolver()}).Probe(t.Context(), c); !o.Up() || !o.Auth.Accepted {
			t.Errorf("%s: %+v", c.Name, o.Failure)
		}
	}
	// Nothing but the greeting was asked of servers that are not verified.
	for _, name := range []string{"wrong certificate", "no STARTTLS"} {
		for _, command := range d.servers[name].Commands() {
			if text := strings.ToUpper(command); strings.Contains(text, "LOGIN ") || strings.Contains(text, "AUTH") || strings.Contains(text, "ANNA") || strings.Contains(text, "USER") {
				t.Errorf("%s got %q", name, command)
			}
		}
	}
	if got := d.logins(); got["wrong certificate"]+got["no STARTTLS"] != 0 || len(got) != 3 {
		t.Errorf("logins at %v", got)
	}
	// Once more: the names are taken, and nothing is overwritten.
	before, _ := os.ReadFile("mailprobe.yml")
	o := DiscoverOptions{Address: "anna@example.org", CAFile: "ca.pem", AcceptForeign: true, Write: true,
		SetupOptions: SetupOptions{ConfigFile: "mailprobe.yml", PasswordFile: "password", Output: "yaml", Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer), Resolver: d.dns.Resolver()}}
	if err := Discover(t.Context(), o); err != nil {
		t.Error(err)
	}
	after, _ := os.ReadFile("mailprobe.yml")
	if !bytes.HasPrefix(after, before) || !strings.Contains(string(after), "example.org-imap-2") {
		t.Errorf("the second time:\n%s", after)
	}
}

// A wrong password costs the account one attempt, at one server.
func TestDiscoverTriesAWrongPasswordOnce(t *testing.T) {
	d := newDomain(t, password)
	code, out, _ := d.discover(t, "not-the-password", nil)
	if got := d.logins(); code != ExitDown || len(got) != 1 || got["imap"] != 1 {
		t.Errorf("exit code %d, logins at %v\n%s", code, got, out)
	}
	for _, want := range []string{"auth_rejected", mail.AuthRejected.Meaning(), "example.org-pop3 is not tried and not added: the same password was not accepted by imap"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if _, err := os.Stat("mailprobe.yml"); err == nil {
		t.Error("something was written")
	}
}

// A host that only the DNS names, in another domain, needs a yes.
func TestDiscoverSendsNothingAbroadUnasked(t *testing.T) {
	d := newDomain(t, password)
	code, out, _ := d.discover(t, password, func(o *DiscoverOptions) { o.AcceptForeign = false })
	if got := d.logins(); code != 0 || got["smtp"] != 0 || got["imap"] != 1 {
		t.Errorf("exit code %d, logins at %v\n%s", code, got, out)
	}
	if !strings.Contains(out, "out.example.net is outside of example.org and is not used; --accept-foreign accepts it") {
		t.Errorf("nothing is said of it:\n%s", out)
	}
}

// One answer about a host holds for all that it offers.
func TestDiscoverAsksOnceForEachForeignHost(t *testing.T) {
	d := newDomain(t, password)
	code, out, _ := d.discover(t, password, func(o *DiscoverOptions) { o.Address, o.AcceptForeign = "anna@example.com", false })
	if got := strings.Count(out, "in.example.org is outside of example.com"); got != 1 || strings.Count(out, "usable") != 2 || len(d.logins()) != 0 {
		t.Errorf("exit code %d, said %d times, logins at %v\n%s", code, got, d.logins(), out)
	}
}

// What others publish is no reason to end the search.
func TestDiscoverPassesOverWhatCannotBeUsed(t *testing.T) {
	d := &discovery{o: DiscoverOptions{Address: "anna@example.org"}}
	good := discover.Candidate{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Host: "in.example.org", Port: 993, Username: "anna", Source: discover.FromAutoconfig}
	if _, err := d.connect(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*discover.Candidate){
		"no port":                    func(c *discover.Candidate) { c.Port = 0 },
		"a user name of two lines":   func(c *discover.Candidate) { c.Username = "anna\n  watch: all" },
		"a host that is not a name":  func(c *discover.Candidate) { c.Host = "in example org" },
		"a port beyond the last one": func(c *discover.Candidate) { c.Port = 99999 },
	} {
		c := good
		if change(&c); c == good {
			t.Fatal(name)
		}
		if _, err := d.connect(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// As YAML only what is up is printed: why the rest is not stands beside it.
func TestDiscoverAsYAMLSaysWhatIsMissing(t *testing.T) {
	d := newDomain(t, password)
	code, out, _ := d.discover(t, "not-the-password", func(o *DiscoverOptions) { o.Output, o.Write = "yaml", false })
	if want := "example.org-imap is not printed: auth_rejected: " + mail.AuthRejected.Meaning(); code != ExitDown || !strings.Contains(out, want) {
		t.Errorf("exit code %d, want %q in\n%s", code, want, out)
	}
}

func TestDiscoverWithoutAPassword(t *testing.T) {
	d := newDomain(t, password)
	code, out, _ := d.discover(t, password, func(o *DiscoverOptions) { o.PasswordFile, o.Output, o.Write = "", "json", false })
	var answer struct {
		Candidates []struct {
			Protocol, Source, Reason, Username string
			Verified, Foreign                  bool
		}
		Results []struct{ Up bool }
	}
	text := out[strings.Index(out, "{"):]
	text = text[:strings.LastIndex(text, "}")+1]
	if err := json.Unmarshal([]byte(text), &answer); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	if got := d.logins(); len(got) != 0 {
		t.Errorf("logins at %v", got)
	}
	if n := len(answer.Candidates); n < 5 || !answer.Candidates[0].Verified || answer.Candidates[0].Source != "srv" || len(answer.Results) != 3 {
		t.Errorf("%+v", answer)
	}
	if left, _ := filepath.Glob("*.yml"); len(left) > 0 {
		t.Errorf("wrote %v", left)
	}
}

func TestDiscoverOfNothing(t *testing.T) {
	d := newDomain(t, password)
	code, out, _ := d.discover(t, password, func(o *DiscoverOptions) { o.Address = "anna@nothing.example" })
	if code != ExitDown || !strings.Contains(out, "no server of nothing.example can be used: mailprobe add") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	code, _, err := d.discover(t, password, func(o *DiscoverOptions) { o.Address = "anna" })
	if code != ExitNotRun || err == nil || !strings.Contains(err.Error(), "anna: is not a mail address such as user@example.org") {
		t.Errorf("exit code %d, %v", code, err)
	}
}
