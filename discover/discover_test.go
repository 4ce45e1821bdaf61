package discover

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a search can find: names, web sites, mail servers.
type world struct {
	dns     map[string]mailtest.DNSName
	sites   map[string]http.HandlerFunc // by host and path
	servers map[string]bool             // "imap tls host:port": whether its certificate is right

	mu     sync.Mutex
	probed []string
}

// search runs a search in a world.
func (w *world) search(t *testing.T, address string, change func(*Options)) *Report {
	t.Helper()
	dns, err := mailtest.StartDNS(w.dns)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	web := httptest.NewTLSServer(http.HandlerFunc(func(response http.ResponseWriter, r *http.Request) {
		if site := w.sites[r.Host+r.URL.Path]; site != nil {
			site(response, r)
			return
		}
		http.NotFound(response, r)
	}))
	defer web.Close()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // one server plays all web sites
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, web.Listener.Addr().String())
		}}
	defer transport.CloseIdleConnections()
	o := Options{Connect: connect, Probe: w.probe, Resolver: dns.Resolver(), Transport: transport}
	if change != nil {
		change(&o)
	}
	report, err := Search(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func connect(c Candidate) (*mail.Connection, error) {
	if strings.ContainsAny(c.Host, " /_") || c.Port <= 0 || c.Port > 65535 {
		return nil, errors.New("no host or no port")
	}
	return &mail.Connection{Protocol: c.Protocol, Encryption: c.Encryption, Host: c.Host, Port: c.Port, Auth: mail.AuthAuto}, nil
}

func (w *world) probe(_ context.Context, c *mail.Connection) mail.Outcome {
	name := fmt.Sprint(c.Protocol, " ", c.Encryption, " ", c.Address())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probed = append(w.probed, name)
	if c.Username != "" || !c.Password.IsZero() {
		w.probed = append(w.probed, "A CREDENTIAL")
	}
	verified, there := w.servers[name]
	switch {
	case !there:
		return mail.Outcome{Connection: c, Failure: &mail.Failure{Phase: mail.PhaseResolve, Reason: mail.DNSNotFound}}
	case !verified:
		return mail.Outcome{Connection: c, TLS: &mail.TLSFacts{}, Failure: &mail.Failure{Phase: mail.PhaseTLS, Reason: mail.CertName}}
	}
	if c.Encryption == mail.NoEncryption {
		return mail.Outcome{Connection: c}
	}
	return mail.Outcome{Connection: c, TLS: &mail.TLSFacts{Verified: true}}
}

// best is what a report recommends, protocol by protocol.
func best(r *Report) string {
	var list []string
	for _, p := range mail.Protocols() {
		if f := r.Best(p); f != nil {
			text := fmt.Sprintf("%s %s %s:%d %s %s", f.Protocol, f.Encryption, f.Host, f.Port, f.Source, f.Username)
			if f.Foreign {
				text += " foreign"
			}
			list = append(list, text)
		}
	}
	return strings.Join(list, "; ")
}

func srv(records ...net.SRV) mailtest.DNSName { return mailtest.DNSName{SRV: records} }

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

const thunderbird = `<?xml version="1.0"?>
<clientConfig version="1.1"><emailProvider id="example.org">
<incomingServer type="imap"><hostname>in.%EMAILDOMAIN%</hostname><port>143</port><socketType>plain</socketType><username>x</username></incomingServer>
<incomingServer type="imap"><hostname> in.%EMAILDOMAIN% </hostname><port>993</port><socketType>SSL</socketType><username>%EMAILLOCALPART%</username></incomingServer>
<incomingServer type="exchange"><hostname>owa.example.org</hostname></incomingServer>
<outgoingServer type="smtp"><hostname>out.example.org</hostname><port>587</port><socketType>STARTTLS</socketType><username>%EMAILADDRESS%</username></outgoingServer>
</emailProvider></clientConfig>`

const exchange = `<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
<Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"><Account>
<Protocol><Type>IMAP</Type><Server>ex.example.org</Server><Port>993</Port><SSL>on</SSL><LoginName>EX\anna</LoginName></Protocol>
<Protocol><Type>SMTP</Type><Server>ex.example.org</Server><Port>587</Port><Encryption>TLS</Encryption></Protocol>
<Protocol><Type>POP3</Type><Server>ex.example.org</Server><Port>110</Port><SSL>off</SSL></Protocol>
</Account></Response></Autodiscover>`

func TestSearch(t *testing.T) {
	const address = "anna@example.org"
	tests := []struct {
		name   string
		world  *world
		change func(*Options)
		want   string
	}{
		{name: "nothing at all"},
		{name: "SRV records: the lowest priority that works, TLS first", world: &world{
			dns: map[string]mailtest.DNSName{
				"_imaps._tcp.example.org": srv(net.SRV{Target: "c.example.org.", Port: 993, Priority: 30}, net.SRV{Target: "a.example.org.", Port: 993, Priority: 10},
					net.SRV{Target: "b.example.org.", Port: 1993, Priority: 20, Weight: 5}),
				"_imap._tcp.example.org":        srv(net.SRV{Target: "b.example.org.", Port: 143, Priority: 20}),
				"_submissions._tcp.example.org": srv(net.SRV{Target: "smtp.example.org.", Port: 465}),
			},
			servers: map[string]bool{"imap tls a.example.org:993": false, "imap tls b.example.org:1993": true, "imap starttls b.example.org:143": true,
				"imap tls c.example.org:993": true, "smtp tls smtp.example.org:465": true},
		}, want: "imap tls b.example.org:1993 srv anna@example.org; smtp tls smtp.example.org:465 srv anna@example.org"},
		{name: "SRV records of a provider are foreign", world: &world{
			dns:     map[string]mailtest.DNSName{"_imaps._tcp.example.org": srv(net.SRV{Target: "imap.example.net.", Port: 993}), "_pop3s._tcp.example.org": srv(net.SRV{Target: "notexample.org.", Port: 995})},
			servers: map[string]bool{"imap tls imap.example.net:993": true, "pop3 tls notexample.org:995": true},
		}, want: "imap tls imap.example.net:993 srv anna@example.org foreign; pop3 tls notexample.org:995 srv anna@example.org foreign"},
		{name: "what SRV declines is not guessed", world: &world{
			dns:     map[string]mailtest.DNSName{"_pop3._tcp.example.org": srv(net.SRV{Target: "."}), "_pop3s._tcp.example.org": srv(net.SRV{Target: "."})},
			servers: map[string]bool{"pop3 tls mail.example.org:995": true, "imap tls mail.example.org:993": true},
		}, want: "imap tls mail.example.org:993 guess anna@example.org"},
		{name: "autoconfig of the domain", world: &world{
			sites:   map[string]http.HandlerFunc{"autoconfig.example.org/mail/config-v1.1.xml": text(thunderbird)},
			servers: map[string]bool{"imap tls in.example.org:993": true, "smtp starttls out.example.org:587": true},
		}, want: "imap tls in.example.org:993 autoconfig anna; smtp starttls out.example.org:587 autoconfig anna@example.org"},
		{name: "autoconfig in the well-known place, after a redirect", world: &world{
			sites: map[string]http.HandlerFunc{
				"example.org/.well-known/autoconfig/mail/config-v1.1.xml": http.RedirectHandler("https://www.example.org/c.xml", http.StatusFound).ServeHTTP,
				"www.example.org/c.xml":                                   text(thunderbird)},
			servers: map[string]bool{"imap tls in.example.org:993": true},
		}, want: "imap tls in.example.org:993 autoconfig anna"},
		{name: "no redirect to http", world: &world{
			sites: map[string]http.HandlerFunc{
				"example.org/.well-known/autoconfig/mail/config-v1.1.xml": http.RedirectHandler("http://www.example.org/c.xml", http.StatusFound).ServeHTTP,
				"www.example.org/c.xml":                                   text(thunderbird)},
			servers: map[string]bool{"imap tls in.example.org:993": true},
		}},
		{name: "SRV comes before autoconfig", world: &world{
			dns:     map[string]mailtest.DNSName{"_imaps._tcp.example.org": srv(net.SRV{Target: "srv.example.org.", Port: 993, Priority: 9})},
			sites:   map[string]http.HandlerFunc{"autoconfig.example.org/mail/config-v1.1.xml": text(thunderbird)},
			servers: map[string]bool{"imap tls srv.example.org:993": true, "imap tls in.example.org:993": true},
		}, want: "imap tls srv.example.org:993 srv anna@example.org"},
		{name: "others are asked only if wanted", world: &world{
			sites:   map[string]http.HandlerFunc{"autoconfig.thunderbird.net/v1.1/example.org": text(thunderbird), "example.org/autodiscover/autodiscover.xml": text(exchange)},
			servers: map[string]bool{"imap tls in.example.org:993": true, "imap tls ex.example.org:993": true},
		}},
		{name: "Autodiscover before the directory", world: &world{
			sites:   map[string]http.HandlerFunc{"autoconfig.thunderbird.net/v1.1/example.org": text(thunderbird), "autodiscover.example.org/autodiscover/autodiscover.xml": text(exchange)},
			servers: map[string]bool{"imap tls in.example.org:993": true, "imap tls ex.example.org:993": true, "smtp starttls ex.example.org:587": true},
		}, change: func(o *Options) { o.Autodiscover, o.ISPDB = true, true },
			want: `imap tls ex.example.org:993 autodiscover EX\anna; smtp starttls ex.example.org:587 autodiscover anna@example.org`},
		{name: "guesses, but only where nothing is published", world: &world{
			dns: map[string]mailtest.DNSName{"_imaps._tcp.example.org": srv(net.SRV{Target: "srv.example.org.", Port: 993})},
			servers: map[string]bool{"imap tls srv.example.org:993": true, "imap tls imap.example.org:993": true, "smtp starttls smtp.example.org:587": true,
				"smtp tls mail.example.org:465": true},
		}, want: "imap tls srv.example.org:993 srv anna@example.org; smtp tls mail.example.org:465 guess anna@example.org"},
		{name: "clear text only if wanted", world: &world{servers: map[string]bool{"imap none imap.example.org:143": true}}},
		{name: "clear text where there is nothing better", world: &world{
			dns:   map[string]mailtest.DNSName{"_submission._tcp.example.org": srv(net.SRV{Target: "out.example.org.", Port: 2587})},
			sites: map[string]http.HandlerFunc{"autoconfig.example.org/mail/config-v1.1.xml": text(thunderbird)},
			servers: map[string]bool{"imap none in.example.org:143": true, "imap tls mail.example.org:993": true, "smtp none out.example.org:2587": true,
				"pop3 none pop.example.org:110": true},
		}, change: func(o *Options) { o.AllowClear = true },
			want: "imap tls mail.example.org:993 guess anna@example.org; pop3 none pop.example.org:110 guess anna@example.org; smtp none out.example.org:2587 srv anna@example.org"},
		{name: "no clear text where a certificate is wrong", world: &world{
			servers: map[string]bool{"imap tls imap.example.org:993": false, "imap none imap.example.org:143": true},
		}, change: func(o *Options) { o.AllowClear = true }},
		{name: "an international domain", world: &world{servers: map[string]bool{"imap tls imap.xn--mnchen-3ya.example:993": true}},
			want: "imap tls imap.xn--mnchen-3ya.example:993 guess anna@xn--mnchen-3ya.example"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			of := address
			if strings.Contains(test.want, "xn--") {
				of = "anna@münchen.example"
			}
			w := test.world
			if w == nil {
				w = &world{}
			}
			report := w.search(t, of, test.change)
			if got := best(report); got != test.want {
				t.Errorf("got  %s\nwant %s\nprobed %v\nnotes %v", got, test.want, w.probed, report.Notes)
			}
			if slices.Contains(w.probed, "A CREDENTIAL") {
				t.Error("a search sent a credential")
			}
			if n := len(w.probed); n > maxDials {
				t.Errorf("%d probes", n)
			}
		})
	}
}

// A domain, or an attacker who answers for it, may publish anything.
func TestSearchSurvivesHostileAnswers(t *testing.T) {
	bomb := `<!DOCTYPE x [<!ENTITY a "` + strings.Repeat("x", 1000) + `"><!ENTITY b "` + strings.Repeat("&a;", 100) + `">]><clientConfig>&b;</clientConfig>`
	many := "<clientConfig><emailProvider>"
	for i := range 300 {
		many += fmt.Sprintf(`<incomingServer type="imap"><hostname>h%d.example.org</hostname><port>993</port><socketType>SSL</socketType></incomingServer>`, i)
	}
	for name, test := range map[string]struct{ body, note string }{
		"a DTD with entities":      {bomb, "DTD"},
		"an unknown entity":        {"<clientConfig>&x;</clientConfig>", "not valid XML"},
		"no XML":                   {"hello", ""},
		"half of it":               {thunderbird[:200], "not valid XML"},
		"too much":                 {"<clientConfig>" + strings.Repeat(" ", maxXML) + "</clientConfig>", "larger than 64 KiB"},
		"nested without end":       {strings.Repeat("<a>", maxXML/4), "not valid XML"},
		"a host that is none":      {strings.ReplaceAll(thunderbird, "in.%EMAILDOMAIN%", "a b/../c"), "cannot be used"},
		"a port that is none":      {strings.ReplaceAll(thunderbird, "993", "99999"), "cannot be used"},
		"a port that is a word":    {strings.ReplaceAll(thunderbird, "993", "x"), "not valid XML"},
		"hundreds of servers":      {many + "</emailProvider></clientConfig>", ""},
		"control characters":       {"<clientConfig>\x00\x1b</clientConfig>", "not valid XML"},
		"another kind of file":     {"<html><body>404</body></html>", ""},
		"a processing instruction": {`<?xml-stylesheet href="https://x"?><clientConfig/>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{sites: map[string]http.HandlerFunc{"autoconfig.example.org/mail/config-v1.1.xml": text(test.body)}}
			report := w.search(t, "anna@example.org", nil)
			if !strings.Contains(strings.Join(report.Notes, "\n"), test.note) || len(report.Notes) == 0 && test.note != "" {
				t.Errorf("notes %q, want %q", report.Notes, test.note)
			}
			if n := len(w.probed); n > maxDials {
				t.Errorf("%d probes", n)
			}
		})
	}
}

// Silence costs time, but not more than was allowed.
func TestSearchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w := &world{}
	start := time.Now()
	_, err := Search(ctx, "anna@example.org", Options{Connect: connect, Probe: w.probe, Resolver: silent{}, Transport: silent{}})
	if took := time.Since(start); err != nil || took > 10*time.Second {
		t.Errorf("%v, %v", took, err)
	}
}

type silent struct{}

func (silent) LookupSRV(ctx context.Context, _, _, _ string) (string, []*net.SRV, error) {
	<-ctx.Done()
	return "", nil, ctx.Err()
}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestSplitAddress(t *testing.T) {
	for address, want := range map[string]string{
		"anna@example.org": "anna example.org", "Anna@EXAMPLE.org": "Anna example.org", "a+b@münchen.example": "a+b xn--mnchen-3ya.example",
		"": "", "anna": "", "@example.org": "", "anna@": "", "anna@localhost": "", "Anna <anna@example.org>": "", "a@b@c.org": "", "anna@192.0.2.1": "",
		"anna@exa mple.org": "", "anna@example.org\r\nx": "",
	} {
		local, domain, err := SplitAddress(address)
		if got := strings.TrimSpace(local + " " + domain); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", address, got, err, want)
		}
	}
}

func FuzzClientConfig(f *testing.F) {
	f.Add([]byte(thunderbird))
	f.Add([]byte(exchange))
	f.Add([]byte("<!DOCTYPE x><a>&b;</a>"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := &search{local: "anna", domain: "example.org", report: &Report{Address: "anna@example.org"}}
		list, _ := s.parseClientConfig(raw, FromAutoconfig)
		more, _ := parseAutodiscover(raw)
		for _, c := range append(list, more...) {
			if c.Protocol == "" || c.Encryption == "" || c.Host != strings.TrimSpace(c.Host) {
				t.Errorf("%+v", c)
			}
		}
	})
}
