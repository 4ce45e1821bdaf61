package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// discover reads the targets of /sd.
func discover(t *testing.T, w *httptest.ResponseRecorder) []targetGroup {
	t.Helper()
	var groups []targetGroup
	if err := json.Unmarshal(w.Body.Bytes(), &groups); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %v: %s", w.Code, err, w.Body)
	}
	return groups
}

func TestDiscoveryNeedsNoRelabelling(t *testing.T) {
	fast := outcometest.Inbox("fast")
	fast.Interval, fast.Timeout = 1500*time.Millisecond, time.Second
	s := newStage(t, outcometest.Inbox("slow \"one\"/ü"), fast)
	groups := discover(t, s.get("/sd"))
	if len(groups) != 2 {
		t.Fatalf("%d targets, want 2", len(groups))
	}
	for i, want := range []map[string]string{
		{"__metrics_path__": "/probe", "__param_connection": "fast", "instance": "fast", "mailprobe": "example.com",
			"__scrape_interval__": "1s500ms", "__scrape_timeout__": "1s500ms"},
		{"__metrics_path__": "/probe", "__param_connection": "slow \"one\"/ü", "instance": "slow \"one\"/ü", "mailprobe": "example.com",
			"__scrape_interval__": "1m", "__scrape_timeout__": "31s"},
	} {
		if groups[i].Targets[0] != "example.com" || len(groups[i].Labels) != len(want) {
			t.Errorf("target %d: %v", i, groups[i])
		}
		for name, value := range want {
			if groups[i].Labels[name] != value {
				t.Errorf("target %d: %s is %q, want %q", i, name, groups[i].Labels[name], value)
			}
		}
	}
	if body := newStage(t).get("/sd").Body.String(); body != "[]\n" {
		t.Errorf("without connections it answers %q, want an empty list", body)
	}
}

func TestDiscoveryBehindAProxy(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	s.options.ExternalURL, _ = url.Parse("https://ops.example.org/mailprobe/")
	w := s.get("/sd", "Host", "backend.internal:10925", "X-Forwarded-Host", "evil.example")
	g := discover(t, w)[0]
	if g.Targets[0] != "ops.example.org" || g.Labels["__scheme__"] != "https" || g.Labels["__metrics_path__"] != "/mailprobe/probe" {
		t.Errorf("target is %v", g)
	}
}

// The Host header is used only if it is a plain host and port, and in no page.
func TestHostHeaderIsChecked(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	for host, want := range map[string]bool{
		"exporter:10925": true, "exporter.example.org": true, "192.0.2.7:10925": true, "[2001:db8::1]:10925": true,
		"[2001:db8::1]": true, "under_score": true, "": false, "a b": false, "evil.example/path": false, "evil@example.org": false,
		"x:0": false, "x:99999": false, "x:1:2": false, "[::1": false, "[fe80::1%25eth0]": false, "[192.0.2.1]": false,
		"<script>": false, "x\r\nX-Evil: 1": false, "-x": false, strings.Repeat("a", 300): false, "x:": false, ":10925": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/sd", nil)
		r.Host = host
		r.Header.Set("X-Forwarded-Host", "evil.example")
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, r)
		if ok := w.Code == http.StatusOK; ok != want {
			t.Errorf("Host %.40q: %d, want accepted %t", host, w.Code, want)
		}
		if strings.Contains(w.Body.String(), "evil") || !want && host != "" && strings.Contains(w.Body.String(), host) {
			t.Errorf("Host %.40q comes back: %s", host, w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = "evil.example"
	r.Header.Set("X-Forwarded-Host", "evil.example")
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, r)
	if strings.Contains(w.Body.String(), "evil") {
		t.Error("the status page shows the Host header")
	}
}

// hostile is a connection whose texts, from the server and from the configuration, are
// attacks.
func hostile() (*mail.Connection, mail.Outcome) {
	const attack = `"><script>document.title='owned'</script><img src=x onerror="document.title='owned'">`
	c := outcometest.Inbox("a/b?c#d&<script>document.title='owned'</script>é", mail.Label{Name: "team", Value: attack})
	c.Host = "attacker.example.net"
	o := outcometest.Refused(c, outcometest.Noon)
	o.Failure.Text, o.Failure.Hint = attack, attack
	o.Address = attack
	o.Transcript = append(outcometest.Dialogue("S "+attack), mail.Line{From: mail.Server, Text: "\xff\xfe</li></ol><script>document.title='owned'</script>"})
	o.TLS.Chain[0].Subject, o.TLS.Chain[0].DNSNames = attack, []string{attack, "javascript:alert(1)"}
	o.TLS.Version, o.TLS.Cipher = attack, attack
	return c, o
}

func TestPagesEscapeWhatOthersWrote(t *testing.T) {
	c, o := hostile()
	s := newStage(t, c)
	s.observe(o)
	for _, target := range []string{"/", "/" + detailPath(c.Name), "/?q=%22%3E%3Cscript%3E", "/?state=%22%3E%3Cscript%3E"} {
		w := s.get(target)
		body := w.Body.String()
		scripts := strings.Count(body, "<script") - strings.Count(body, "<script>"+script+"</script>")
		if w.Code != http.StatusOK || scripts != 0 || strings.Contains(body, "<img") {
			t.Errorf("%s: %d, with %d foreign scripts", target, w.Code, scripts)
		}
		if strings.Contains(body, outcometest.Secret) || strings.Contains(body, "support@example.org") {
			t.Errorf("%s shows the password or the user name", target)
		}
	}
	for _, target := range []string{"/api/v1/connections", "/api/v1/" + detailPath(c.Name), "/sd"} {
		w := s.get(target)
		if w.Code != http.StatusOK || strings.ContainsAny(w.Body.String(), "<>") || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), outcometest.Secret) || strings.Contains(w.Body.String(), "support@example.org") {
			t.Errorf("%s shows the password or the user name", target)
		}
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	for _, target := range []string{"/", "/connections/inbox", "/metrics", "/probe?connection=inbox", "/probe", "/sd", "/nowhere",
		"/api/v1/connections", "/-/healthy", "/-/ready"} {
		h := s.get(target).Header()
		if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") == "" || h.Get("Content-Type") == "" {
			t.Errorf("%s has the headers %v", target, h)
		}
	}
}

// Pages that only read allow GET and HEAD, those that change something POST.
func TestMethods(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	s.options.Reload = func() error { return nil }
	for target, allowed := range map[string]string{"/": "GET", "/metrics": "GET", "/probe?connection=inbox": "GET", "/sd": "GET",
		"/connections/inbox": "GET", "/api/v1/connections": "GET", "/-/healthy": "GET", "/-/ready": "GET", "/-/reload": "POST"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
			want := http.StatusMethodNotAllowed
			if method == allowed || method == "HEAD" && allowed == "GET" {
				want = http.StatusOK
			}
			if w := s.do(method, target); w.Code != want {
				t.Errorf("%s %s: %d, want %d", method, target, w.Code, want)
			}
		}
	}
	for _, gone := range []string{"/config", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/vars", "/logs"} {
		if w := s.get(gone); w.Code != http.StatusNotFound {
			t.Errorf("%s is there: %d", gone, w.Code)
		}
	}
}

func TestReload(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	s.options.Reload = func() error {
		return errors.New("connections[0] \"x\": port: 99999 is not between 1 and 65535")
	}
	if w := s.do("POST", "/-/reload"); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "99999 is not between") {
		t.Errorf("a broken file: %d %s", w.Code, w.Body)
	}
	if w := s.do("POST", "/-/reload", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("requested by another site: %d", w.Code)
	}
	if w := s.do("POST", "/-/reload", "Origin", "https://evil.example"); w.Code != http.StatusForbidden {
		t.Errorf("from another origin: %d", w.Code)
	}
	s.options.Reload = func() error { return nil }
	if w := s.do("POST", "/-/reload"); w.Code != http.StatusOK || w.Body.String() != "reloaded\n" {
		t.Errorf("a good file: %d %s", w.Code, w.Body)
	}
}

func TestRetry(t *testing.T) {
	c := outcometest.Inbox("in/box")
	s := newStage(t, c)
	o := outcometest.Refused(c, outcometest.Noon)
	o.Auth = mail.AuthFacts{Held: true, NextAttempt: outcometest.Noon.Add(time.Hour)}
	s.observe(o)
	var released []string
	s.options.Release = func(c *mail.Connection) error {
		released = append(released, c.Name)
		if len(released) > 1 {
			return TooSoonError{errors.New("released lately")}
		}
		return nil
	}
	if w := s.do("POST", "/-/retry?connection=in/box"); w.Code != http.StatusForbidden || len(released) != 0 {
		t.Errorf("not enabled: %d", w.Code)
	}
	if strings.Contains(s.get("/connections/in%2Fbox").Body.String(), "<form") {
		t.Error("the page offers what is not enabled")
	}
	s.options.Retry = true
	if !strings.Contains(s.get("/connections/in%2Fbox").Body.String(), `action="../-/retry?from_page&amp;connection=in%2Fbox"`) {
		t.Error("the page does not offer to retry")
	}
	if w := s.do("POST", "/-/retry?connection=nobody"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown name: %d", w.Code)
	}
	w := s.do("POST", "/-/retry?from_page&connection=in%2Fbox")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/connections/in%2Fbox" || len(released) != 1 {
		t.Errorf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	if w := s.do("POST", "/-/retry?connection=in%2Fbox"); w.Code != http.StatusTooManyRequests {
		t.Errorf("again at once: %d %s", w.Code, w.Body)
	}
}

func TestReadiness(t *testing.T) {
	s := newStage(t)
	s.options.Ready = func() bool { return false }
	if w := s.get("/-/ready"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("before the first configuration: %d", w.Code)
	}
	if w := s.get("/-/healthy"); w.Code != http.StatusOK {
		t.Errorf("healthy: %d", w.Code)
	}
	s.options.Ready = nil
	if w := s.get("/-/ready"); w.Code != http.StatusOK {
		t.Errorf("ready: %d", w.Code)
	}
}

func TestTelemetryPath(t *testing.T) {
	s := newStage(t)
	for path, ok := range map[string]bool{"/metrics": true, "/m/x": true, "/": false, "metrics": false, "/probe": false, "/sd": false,
		"/x{y}": false, "/a b": false, "/../x": false, "/connections/x": false, "/-/healthy": false, "/x/": false, "//x": false} {
		s.options.TelemetryPath = path
		if _, err := New(s.options); (err == nil) != ok {
			t.Errorf("%q: %v, want accepted %t", path, err, ok)
		}
	}
}

func TestPanicShowsNoDetails(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	s.options.Now = func() time.Time { panic("the password is " + outcometest.Secret) }
	if w := s.get("/"); w.Code != http.StatusInternalServerError || w.Body.String() != "internal error\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Every valid name of a connection has a page, and the link to it works.
func TestDetailOfOddNames(t *testing.T) {
	for _, name := range []string{"plain", "a b", "a/b", "..", ".", "a%2Fb", "ünï", "日本", "a?b=c&d", "#", "a;b", "%", "a+b", `"`, "<b>"} {
		s := newStage(t, outcometest.Inbox(name))
		server := httptest.NewServer(s.handler())
		link, err := url.Parse(server.URL + "/" + detailPath(name))
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		response, err := server.Client().Get(link.String())
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%q: %s gives %s", name, link, response.Status)
		}
		server.Close()
		if w := s.get("/probe?connection=" + url.QueryEscape(name)); w.Code != http.StatusOK {
			t.Errorf("%q: /probe gives %d", name, w.Code)
		}
	}
}

func TestOverviewPutsTroubleFirstAndFinds(t *testing.T) {
	connections, outcomes := fleet()
	s := newStage(t, connections...)
	for _, o := range outcomes {
		s.observe(o)
	}
	body := s.get("/").Body.String()
	order := []string{"3 connections are down", ">legacy-pop<", ">billing-inbox<", ">partner-relay<", ">tickets<", ">fresh-one<", ">abuse<"}
	at := 0
	for _, word := range order {
		next := strings.Index(body[at:], word)
		if next < 0 {
			t.Fatalf("%q is missing or too early", word)
		}
		at += next
	}
	for _, want := range []string{mail.AuthRejected.Advice(), mail.ConnectRefused.Meaning(), "withheld until", "<title>3 down"} {
		if !strings.Contains(strings.ReplaceAll(body, "&#39;", "'"), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for query, want := range map[string]int{"q=billing": 1, "q=CERT_EXPIRED": 1, "state=up": 10, "state=down": 3, "q=mail.example.org+imap": 4,
		"q=team%3Dsupport": 12, "q=nothing-like-it": 0, "state=down&q=587": 1} {
		if got := strings.Count(s.get("/?"+query).Body.String(), "<article"); got != want {
			t.Errorf("?%s finds %d, want %d", query, got, want)
		}
	}
}

// If the server asks for fewer probes, the page says so and does not call the result old.
func TestServerThatWantsFewerProbes(t *testing.T) {
	c := outcometest.Inbox("gmail-pop")
	s := newStage(t, c)
	o := outcometest.Good(c, outcometest.Noon.Add(-4*time.Minute))
	s.observe(o)
	if body := s.get("/").Body.String(); !strings.Contains(body, `class="age overdue"`) {
		t.Error("four minutes without a probe are not shown as overdue")
	}
	o.Interval = 5 * time.Minute
	s.observe(o)
	for path, want := range map[string]string{
		"/connections/gmail-pop":        "every 5m because the server asks for fewer probes",
		"/api/v1/connections/gmail-pop": `"interval_seconds":60,"spacing_seconds":300,`,
		"/metrics":                      `mailprobe_interval_seconds{connection="gmail-pop",protocol="imap"} 300`,
	} {
		if body := s.get(path).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
	if body := s.get("/").Body.String(); strings.Contains(body, `class="age overdue"`) {
		t.Error("it is shown as overdue")
	}
}

func TestOverviewOfTenThousand(t *testing.T) {
	connections := make([]*mail.Connection, 10_000)
	for i := range connections {
		connections[i] = outcometest.Inbox("inbox-" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + time.Duration(i).String())
	}
	s := newStage(t, connections...)
	for _, c := range connections {
		s.observe(outcometest.Good(c, outcometest.Noon))
	}
	w := s.get("/?page=100")
	if n := strings.Count(w.Body.String(), "<article"); n != pageRows || w.Body.Len() > 1<<20 {
		t.Errorf("the last page has %d rows in %d bytes", n, w.Body.Len())
	}
	for _, page := range []string{"0", "-1", "101", "x", "99999999999999999999"} {
		if w := s.get("/?page=" + page); w.Code != http.StatusOK || strings.Count(w.Body.String(), "<article") != pageRows {
			t.Errorf("page %s: %d", page, w.Code)
		}
	}
}
