package exporter_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
	"weak"

	"mailprobe/config"
	"mailprobe/internal/exporter"
	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

// loader builds a new configuration at each load: the same one, as at a reload of an
// unchanged file, or another one that the test has set.
type loader struct {
	mu    sync.Mutex
	build func() []*mail.Connection
	err   error
}

func (l *loader) load() (*config.Config, []config.Finding, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, nil, l.err
	}
	return &config.Config{Connections: l.build()}, nil, nil
}

func (l *loader) set(build func() []*mail.Connection, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.build, l.err = build, err
}

// inboxes makes connections of the server, in clear.
func inboxes(server *mailtest.Server, password string, names ...string) func() []*mail.Connection {
	return func() []*mail.Connection {
		var list []*mail.Connection
		for _, name := range names {
			list = append(list, &mail.Connection{Name: name, Protocol: mail.IMAP, Encryption: mail.NoEncryption,
				Host: server.Host, Port: server.Port, Username: "user@example.org",
				Password: mail.InlineSecret(mail.NewSecret(password)), Auth: mail.AuthAuto, CheckMailbox: true,
				Mailbox: "INBOX", Interval: 50 * time.Millisecond, Timeout: 5 * time.Second, IPProtocol: mail.AnyIP,
				Lockout: mail.LockoutNormal, HeldProbe: true})
		}
		return list
	}
}

// running starts an exporter without a listener; the cleanup ends it.
func running(t *testing.T, l *loader) *exporter.Exporter {
	t.Helper()
	e, err := exporter.New(exporter.Options{Load: l.load, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e)
	return e
}

func ask(e *exporter.Exporter, path string) string {
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Body.String()
}

// untilMetrics makes scrapes until one has a text.
func untilMetrics(t *testing.T, e *exporter.Exporter, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(ask(e, "/metrics"), text); time.Sleep(20 * time.Millisecond) { // a new sample causes no event
		if time.Now().After(end) {
			t.Fatalf("/metrics never showed %q:\n%s", text, ask(e, "/metrics"))
		}
	}
}

// What is kept of a connection for longer than its definition must have its own copy of a
// text: a part of one keeps all of them in memory.
func TestReloadFreesWhatWasLoadedBefore(t *testing.T) {
	server := honest(t)
	var connections []weak.Pointer[mail.Connection]
	var texts []weak.Pointer[byte]
	one := inboxes(server, password, "a")
	l := &loader{build: func() []*mail.Connection {
		list := one()
		c := list[0]
		joined := strings.Join([]string{c.Name, c.Host, c.Username}, "")
		c.Name, c.Host, c.Username = joined[:1], joined[1:1+len(c.Host)], joined[1+len(c.Host):]
		connections, texts = append(connections, weak.Make(c)), append(texts, weak.Make(unsafe.StringData(joined)))
		return list
	}}
	e := running(t, l)
	untilMetrics(t, e, `mailprobe_up{connection="a",protocol="imap"} 1`)
	if err := e.Reload(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	for end := time.Now().Add(10 * time.Second); connections[0].Value() != nil || texts[0].Value() != nil; time.Sleep(20 * time.Millisecond) { // a probe may still use them
		if time.Now().After(end) {
			t.Fatalf("after a reload, the definition of before is freed: %t, its texts: %t", connections[0].Value() == nil, texts[0].Value() == nil)
		}
		runtime.GC()
	}
	if texts[1].Value() == nil {
		t.Error("the texts of the new definition are freed too")
	}
}

// A thousand reloads of an unchanged file during probing change nothing and
// leave nothing behind.
func TestThousandReloads(t *testing.T) {
	server := honest(t)
	l := &loader{build: inboxes(server, password, "a", "b", "c")}
	e := running(t, l)
	untilMetrics(t, e, `mailprobe_up{connection="a",protocol="imap"} 1`)
	since := between(ask(e, "/api/v1/connections/a"), `"since":"`, `"`)
	goroutines := runtime.NumGoroutine()
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 250 {
				if err := e.Reload(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		users.Go(func() {
			for range 20 {
				ask(e, "/metrics")
				ask(e, "/")
				ask(e, "/probe?connection=b")
			}
		})
	}
	users.Wait()
	if after := between(ask(e, "/api/v1/connections/a"), `"since":"`, `"`); after != since || since == "" {
		t.Errorf("up since %q became %q: the history was lost", since, after)
	}
	metrics := ask(e, "/metrics")
	if strings.Contains(metrics, `mailprobe_probes_total{connection="a",protocol="imap"} 1`+"\n") {
		t.Error("the counter began anew")
	}
	// Goroutines end without an event.
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines+10; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines became %d", goroutines, runtime.NumGoroutine())
		}
	}
}

// between is the text after one word and before another.
func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	found, _, _ := strings.Cut(rest, to)
	return found
}

func TestReloadTakesWhatChanged(t *testing.T) {
	server := honest(t)
	l := &loader{build: inboxes(server, password, "stays", "goes")}
	e := running(t, l)
	untilMetrics(t, e, `mailprobe_up{connection="goes",protocol="imap"} 1`)

	l.set(nil, errors.New("mailprobe.yml:3: connection \"x\": port: is too large"))
	if err := e.Reload(); err == nil {
		t.Fatal("a broken file was taken")
	}
	for _, want := range []string{"mailprobe_config_last_reload_successful 0\n", `mailprobe_up{connection="goes",protocol="imap"} 1`} {
		if !strings.Contains(ask(e, "/metrics"), want) {
			t.Errorf("after a broken reload %q is missing", want)
		}
	}

	l.set(inboxes(server, password, "comes", "stays"), nil)
	if err := e.Reload(); err != nil {
		t.Fatal(err)
	}
	untilMetrics(t, e, `mailprobe_up{connection="comes",protocol="imap"} 1`)
	if metrics := ask(e, "/metrics"); strings.Contains(metrics, `"goes"`) || !strings.Contains(metrics, "mailprobe_config_last_reload_successful 1\n") {
		t.Errorf("the removed connection is still there:\n%s", metrics)
	}
	for _, path := range []string{"/connections/goes", "/probe?connection=goes", "/api/v1/connections/goes"} {
		if body := ask(e, path); body != "unknown connection\n" && !strings.Contains(body, "not found") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// Each reload warns about changed settings that take effect at the next start only.
func TestReloadWarnsAboutWhatItCannotChange(t *testing.T) {
	loaded := &config.Config{Pool: config.Pool{MaxInFlight: 10, MaxInFlightPerHost: 10}}
	var log bytes.Buffer
	e, err := exporter.New(exporter.Options{Log: slog.New(slog.NewTextHandler(&log, nil)),
		Load: func() (*config.Config, []config.Finding, error) { return loaded, nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	const warning = "takes effect at the next start"
	for _, step := range []struct {
		change func(*config.Config)
		want   bool
	}{
		{func(*config.Config) {}, false},
		{func(c *config.Config) { c.Pool.MaxInFlight = 20 }, true},
		{func(c *config.Config) { c.Pool.MaxInFlight = 10 }, false},
		{func(c *config.Config) { c.Metrics.Histograms = mail.HistogramsNone }, true},
	} {
		changed := *loaded
		step.change(&changed)
		loaded = &changed
		log.Reset()
		if err := e.Reload(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), warning) != step.want {
			t.Errorf("pool %+v, metrics %+v: want the warning: %t; the log says\n%s", loaded.Pool, loaded.Metrics, step.want, log.String())
		}
	}
}

// A reload is no way around the hold of an account: the wrong password is not
// tried again.
func TestReloadKeepsHolds(t *testing.T) {
	server := honest(t)
	l := &loader{build: inboxes(server, "wrong", "inbox")}
	e := running(t, l)
	untilMetrics(t, e, `mailprobe_auth_held{connection="inbox",protocol="imap"} 1`)
	logins := len(server.Logins())
	for range 20 {
		if err := e.Reload(); err != nil {
			t.Fatal(err)
		}
		ask(e, "/probe?connection=inbox")
	}
	if after := len(server.Logins()); after != logins {
		t.Errorf("%d logins became %d", logins, after)
	}
	if page := ask(e, "/"); !strings.Contains(page, "The login is withheld until") {
		t.Error("the page does not show the hold")
	}
}

// A POST ends the hold of an account; a second one within ten minutes does not.
func TestRetryEndsAHoldOnceInTenMinutes(t *testing.T) {
	server := honest(t)
	l := &loader{build: inboxes(server, "wrong", "inbox")}
	e, err := exporter.New(exporter.Options{Load: l.load, Retry: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e)
	post := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/-/retry?connection=inbox", nil))
		return w
	}
	for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		w := post()
		for end := time.Now().Add(20 * time.Second); w.Code == http.StatusConflict && time.Now().Before(end); w = post() {
			time.Sleep(20 * time.Millisecond) // until the probe was refused and the login is held
		}
		if w.Code != want {
			t.Errorf("%d %s, want %d", w.Code, w.Body, want)
		}
	}
	if page := ask(e, "/probe?connection=none"); page != "unknown connection\n" {
		t.Errorf("an unknown connection: %q", page)
	}
}

// A changed configuration is loaded, and a faulty one only once.
func TestWatchedConfigurationReloads(t *testing.T) {
	server := honest(t)
	var mu sync.Mutex
	var text, loaded string
	var loads int
	write := func(names string) {
		mu.Lock()
		defer mu.Unlock()
		text = names
	}
	load := func() (*config.Config, []config.Finding, error) {
		mu.Lock()
		defer mu.Unlock()
		loads++
		loaded = text
		if text == "broken" {
			return nil, nil, errors.New("line 1: broken")
		}
		return &config.Config{Connections: inboxes(server, password, strings.Fields(text)...)()}, nil, nil
	}
	loadedTimes := func() int {
		mu.Lock()
		defer mu.Unlock()
		return loads
	}
	changed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return text != loaded
	}
	write("a")
	e, err := exporter.New(exporter.Options{Load: load, Watch: exporter.Watch{Changed: changed, Interval: 10 * time.Millisecond},
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e)
	untilMetrics(t, e, `mailprobe_up{connection="a",protocol="imap"} 1`)
	if n := loadedTimes(); n != 1 {
		t.Errorf("loaded %d times without a change", n)
	}
	write("a b")
	untilMetrics(t, e, `mailprobe_up{connection="b",protocol="imap"} 1`)
	write("broken")
	untilMetrics(t, e, "mailprobe_config_last_reload_successful 0")
	if n := loadedTimes(); n != 3 {
		t.Errorf("loaded %d times, want 3: a broken file is tried once", n)
	}
	write("c")
	untilMetrics(t, e, `mailprobe_up{connection="c",protocol="imap"} 1`)
}
