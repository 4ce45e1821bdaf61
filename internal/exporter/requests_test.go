package exporter_test

// These tests run the built program with scrapers and other clients that behave badly.

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/crypto/bcrypt"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/promtest"
	"mailprobe/internal/subprocess"
)

// A scraper that disconnects leaves no goroutine behind, and its probe ends.
func TestScraperLeavesMidScrape(t *testing.T) {
	t.Parallel()
	stalled, _ := silent(t)
	url := serve(t, configure(t, connection(t, "stalled", stalled, "probe_on_scrape", true, "username", "", "password", "")))
	before := value(t, url, "go_goroutines")
	var scrapers sync.WaitGroup
	for range 30 {
		scrapers.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			request, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
			if response, err := client.Do(request); err == nil {
				_ = response.Body.Close()
			}
		})
	}
	scrapers.Wait()
	promtest.Eventually(t, "as many goroutines as before", func() bool {
		return value(t, url, "go_goroutines") <= before+2
	})
}

// Scraping often costs the mail servers nothing, and scrapes at the same time
// share one probe.
func TestManyScrapes(t *testing.T) {
	t.Parallel()
	server := honest(t)
	stalled, accepted := silent(t)
	url := serve(t, configure(t, connection(t, "timed", server.Addr),
		connection(t, "stalled", stalled, "probe_on_scrape", true, "username", "", "password", "")))
	promtest.Eventually(t, "the first probe", func() bool {
		return value(t, url, `mailprobe_up{connection="timed",protocol="imap"}`) == 1
	})
	for range 200 {
		get(t, url+"/metrics?probe=false")
	}
	if n := server.Connections(); n != 1 {
		t.Errorf("200 scrapes made %d connections to the server, want the first alone", n)
	}
	results := make([]int, 60)
	var scrapers sync.WaitGroup
	for i := range results {
		scrapers.Go(func() {
			response, err := client.Get(url + "/metrics") // 5 s, until the probe is given up
			if err == nil {
				results[i] = response.StatusCode
				_ = response.Body.Close()
			}
		})
	}
	scrapers.Wait()
	for _, status := range results {
		if status != http.StatusOK {
			t.Errorf("one of %d scrapes at once got %d", len(results), status)
		}
	}
	if accepted() != 1 {
		t.Errorf("%d probes for %d scrapes at once, want one", accepted(), len(results))
	}
}

// Two thousand requests with half a header block no other client.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	url := serve(t, configure(t, connection(t, "inbox", honest(t).Addr)))
	address := strings.TrimPrefix(url, "http://")
	for range 2000 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	}
	start := time.Now()
	status, _ := get(t, url+"/metrics")
	t.Logf("the scrape took %v", time.Since(start))
	if status != http.StatusOK || time.Since(start) > 20*time.Second { // 1 s on a machine with nothing else to do
		t.Errorf("status %d after %v", status, time.Since(start))
	}
	if open := value(t, url, "process_open_fds"); open > 300 {
		t.Errorf("%v descriptors are open", open)
	}
}

// A client that does not read its answer is disconnected.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	connections := make([]map[string]any, 4000)
	for i := range connections {
		connections[i] = map[string]any{"name": fmt.Sprintf("%s-%d", strings.Repeat("long", 40), i), "protocol": "smtp",
			"host": "127.0.0.1", "port": 1, "probe_on_scrape": true, "labels": map[string]string{"story": strings.Repeat("x", 250)}}
	}
	url := serve(t, configure(t, connections...))
	before := value(t, url, "go_goroutines")
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprint(conn, "GET /metrics?probe=false HTTP/1.1\r\nHost: x\r\n\r\n")
	// The answer is larger than all buffers between the two, so a goroutine waits for
	// the client until it is disconnected.
	promtest.Eventually(t, "the answer waits for its reader", func() bool { return value(t, url, "go_goroutines") > before })
	promtest.Eventually(t, "the answer is given up", func() bool { return value(t, url, "go_goroutines") <= before })
}

func TestHostileRequests(t *testing.T) {
	t.Parallel()
	script := mailtest.MustScript("S: * OK <script>alert(1)</script> \xff\xfe\nC?: *\nS: {tag} BAD <script>\nCLOSE")
	hostile, err := mailtest.StartScript(script, mailtest.ScriptOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hostile.Close() })
	url := serve(t, configure(t, connection(t, "in \"box\"\\", hostile.Addr)))
	promtest.Eventually(t, "the first probe", func() bool {
		_, body := get(t, url+"/metrics")
		return strings.Contains(body, `mailprobe_up{connection="in \"box\"\\",protocol="imap"} 0`)
	})

	const unknown = "unknown connection\n"
	for _, test := range []struct {
		name, request string
		want          []string // of which one is in the answer
	}{
		{"a header of 1 MB", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", []string{"HTTP/1.1 431"}},
		{"a URL of 1 MB", "GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", []string{"HTTP/1.1 431", "HTTP/1.1 414"}},
		{"a Host with a path", "GET /sd HTTP/1.1\r\nHost: evil.example/x\r\nConnection: close\r\n\r\n", []string{"HTTP/1.1 400"}},
		{"no Host", "GET /sd HTTP/1.0\r\n\r\n", []string{"HTTP/1.0 400"}},
		{"an upgrade", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", []string{"HTTP/1.1 200"}},
		{"nonsense", "\x16\x03\x01\x02\x00\x01\r\n\r\n", []string{"HTTP/1.1 400"}},
	} {
		answer := raw(t, url, test.request)
		if !containsAny(answer, test.want...) || strings.Contains(answer, "evil") {
			t.Errorf("%s: %.300s", test.name, answer)
		}
	}
	for _, query := range []string{"connection=evil:25", "connection=" + strings.Repeat("A", 12_000), "target=x%0d%0aX-Evil:%201",
		"connection=%3Cscript%3E", "connection=%00", "connection", ""} {
		if status, body := get(t, url+"/probe?"+query); status != http.StatusNotFound || body != unknown {
			t.Errorf("/probe?%.40s: %d %q", query, status, body)
		}
	}
	for _, gone := range []string{"/config", "/debug/pprof/", "/debug/pprof/goroutine", "/debug/vars", "/mailprobe.yml", "/..%2fmailprobe.yml"} {
		if status, _ := get(t, url+gone); status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", gone, status)
		}
	}
	for _, page := range []string{"/", "/connections/in%20%22box%22%5C", "/api/v1/connections", "/api/v1/connections/in%20%22box%22%5C",
		"/metrics", "/sd", "/probe?connection=in%20%22box%22%5C&debug=true"} {
		status, body := get(t, url+page)
		if status != http.StatusOK || strings.Contains(body, password) || strings.Contains(body, "user@example.org") {
			t.Errorf("%s: %d, shows a secret or the user: %t", page, status, strings.Contains(body, password))
		}
		if !strings.HasPrefix(page, "/probe") && strings.Contains(body, "<script>alert") {
			t.Errorf("%s shows a server's script", page)
		}
	}
}

func containsAny(text string, words ...string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// A GET changes nothing, and a POST ends a hold only if --web.enable-retry is set. Bodies
// of requests are not read, so one that would unpack to 16 MiB takes no memory.
func TestRetryIsOffByDefault(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = zip.Write(make([]byte, 16<<20))
	_ = zip.Close()
	post := func(url string) int {
		request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(bomb.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Encoding", "gzip")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	config := configure(t, connection(t, "inbox", honest(t).Addr))
	off, on := serve(t, config), serve(t, config, "--web.enable-retry", "--web.pprof-address="+subprocess.FreeAddress(t))
	for path, want := range map[string]int{"/-/reload": http.StatusOK, "/-/retry?connection=inbox": http.StatusForbidden} {
		if status := post(off + path); status != want {
			t.Errorf("%s, not enabled: %d, want %d", path, status, want)
		}
		if status, _ := get(t, on+path); status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d, want 405", path, status)
		}
	}
	if status, _ := get(t, on+"/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("profiles on the public listener: %d", status)
	}
	if grown := value(t, on, "process_resident_memory_bytes"); grown > 256<<20 {
		t.Errorf("the program takes %v bytes after the bomb", grown)
	}
	// A reload of a faulty file is answered with its faults, and changes nothing.
	if err := os.WriteFile(config, []byte("connections: [{name: inbox, password: "+password+", prot: imap}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	response, err := client.Post(on+"/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusInternalServerError || !strings.Contains(string(answer), "prot: unknown field") || strings.Contains(string(answer), password) {
		t.Errorf("a broken file: %d %s", response.StatusCode, answer)
	}
	if v := value(t, on, "mailprobe_config_last_reload_successful"); v != 0 {
		t.Errorf("reload_successful is %v", v)
	}
	if status, body := get(t, on+"/api/v1/connections"); status != http.StatusOK || !strings.Contains(body, `"name":"inbox"`) {
		t.Errorf("the old configuration is gone: %d %s", status, body)
	}
}

// TLS and a password for the site itself come from --web.config.file.
func TestTLSAndBasicAuth(t *testing.T) {
	t.Parallel()
	ca := mailtest.MustCA(mailtest.CAOptions{})
	folder := t.TempDir()
	if err := mailtest.WritePair(ca.MustIssue(mailtest.Loopback()), filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")); err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("open-sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	web := filepath.Join(folder, "web.yml")
	text := fmt.Sprintf("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {prometheus: %q}\n", hash)
	if err := os.WriteFile(web, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := subprocess.FreeAddress(t)
	program := subprocess.StartFor(t, exec.Command(binary(t), "--config.file="+configure(t, connection(t, "inbox", honest(t).Addr)),
		"--web.config.file="+web, "--web.listen-address="+address))
	defer func() {
		program.Signal(t, os.Interrupt)
		if err := program.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	}()
	secured := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	ask := func(user, word string) int {
		request, err := http.NewRequest(http.MethodGet, "https://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(user, word)
		response, err := secured.Do(request)
		if err != nil {
			return 0
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	promtest.Eventually(t, "an answer", func() bool { return ask("", "") != 0 })
	if nobody, wrong, right := ask("", ""), ask("prometheus", "sesame"), ask("prometheus", "open-sesame"); nobody != 401 || wrong != 401 || right != 200 {
		t.Errorf("nobody gets %d, a wrong password %d, the right one %d; want 401, 401, 200", nobody, wrong, right)
	}
	if out, err := exec.Command(binary(t), "healthcheck", "--web.listen-address="+address).CombinedOutput(); err != nil {
		t.Errorf("healthcheck: %v %s", err, out)
	}
}

// With every fault of the demo at once, a scrape can be parsed, and the number of series
// does not grow.
func TestSeriesWithEveryFault(t *testing.T) {
	t.Parallel()
	m := promtest.StartMailprobe(t, binary(t), "demo")
	url := "http://" + m.Address
	names := []string{"imap-tls", "wrong-protocol", "expired-certificate", "connection-refused", "mailbox-missing"}
	count := func() (series int) { // of these connections: others may get their first result meanwhile
		_, body := get(t, url+"/metrics")
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, family := range families {
			if !strings.HasPrefix(name, "mailprobe_") {
				continue
			}
			for _, metric := range family.GetMetric() {
				if slices.ContainsFunc(metric.GetLabel(), func(l *dto.LabelPair) bool {
					return l.GetName() == "connection" && slices.Contains(names, l.GetValue())
				}) {
					series++
				}
			}
		}
		return series
	}
	promtest.Eventually(t, "a result of every connection", func() bool {
		_, body := get(t, url+"/api/v1/connections")
		return !strings.Contains(body, `"state":"unknown"`) && strings.Contains(body, `"state":"down"`)
	})
	// On a busy machine a probe may run out of time, and adds the series of that reason.
	// Series that are added by each probe would grow in every five rounds.
	promtest.Eventually(t, "five rounds of probes that add no series", func() bool {
		before := count()
		for range 5 {
			for _, name := range names {
				if status, body := get(t, url+"/probe?connection="+name); status != http.StatusOK || !strings.Contains(body, "mailprobe_up{") {
					t.Errorf("%s: %d %s", name, status, body)
				}
			}
		}
		after := count()
		t.Logf("%d series became %d", before, after)
		return after == before && before > 0
	})
	request, _ := http.NewRequest(http.MethodGet, url+"/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "application/openmetrics-text") || !bytes.HasSuffix(body, []byte("# EOF\n")) {
		t.Errorf("OpenMetrics: %s, %d bytes", response.Header.Get("Content-Type"), len(body))
	}
}
