package web

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// shots is a folder for pictures of the pages: go test ./web -run Browser -shots /tmp/shots
var shots = flag.String("shots", "", "folder to write screenshots of the pages to")

// browser starts a headless Chromium. If there is none, the test is skipped, in CI it
// fails.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is not installed, and CI must not skip this")
		}
		t.Skip("chromium is not installed (apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the browser, so that its folder can go
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancelTime)
	return ctx
}

// look sets the window and the theme.
func look(ctx context.Context, width, height int64, scheme string) error {
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		return err
	}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	return err
}

// visit opens a page and returns its visible text.
func visit(t *testing.T, ctx context.Context, url string) string {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(ctx, chromedp.Text("body"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// evaluate runs a script in the page and returns its value. The page's
// Content-Security-Policy does not apply to it.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// In a browser, the pages show what is down, why and what to do. Scripts in server text
// do not run, and no page is wider than a phone.
func TestBrowser(t *testing.T) {
	connections, outcomes := fleet()
	c, o := hostile()
	s := newStage(t, append(connections, c)...)
	for _, o := range append(outcomes, o) {
		s.observe(o)
	}
	server := httptest.NewServer(s.handler())
	defer server.Close()
	ctx := browser(t)
	for _, page := range []struct {
		path string
		want []string
	}{
		{"/", []string{"4 connections are down", "legacy-pop", mail.ConnectRefused.Meaning(), mail.ConnectRefused.Advice(),
			"10", "of 15 up", "12 waiting, oldest 3 h 10 min (limit 15 min)", "withheld until 12:25 UTC"}},
		{"/connections/billing-inbox", []string{"billing-inbox", mail.AuthRejected.Advice(), "Last successful probe", "Last failed probe",
			"T3 EXAMINE INBOX", "issued by CN=R11", "<redacted>"}},
		{"/" + detailPath(c.Name), []string{c.Name, "<script>document.title='owned'</script>"}},
	} {
		for _, width := range []int64{1280, 360} {
			if err := look(ctx, width, 800, "dark"); err != nil {
				t.Fatal(err)
			}
			text := visit(t, ctx, server.URL+page.path)
			for _, want := range page.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s, %d wide: %q is not to be seen in:\n%s", page.path, width, want, text)
				}
			}
			if strings.Contains(text, outcometest.Secret) || strings.Contains(text, "support@example.org") {
				t.Errorf("%s shows the password or the user name", page.path)
			}
			if title := evaluate[string](t, ctx, "document.title"); !strings.Contains(title, "mailprobe") {
				t.Errorf("%s: a server's script ran: the title is %q", page.path, title)
			}
			if n := evaluate[int](t, ctx, "document.querySelectorAll('script,img,iframe,object').length"); n != 1 { // our script
				t.Errorf("%s: servers have put %d elements on the page", page.path, n)
			}
			if wide := evaluate[int64](t, ctx, "document.documentElement.scrollWidth"); wide > width {
				t.Errorf("%s is %d wide in a window of %d", page.path, wide, width)
			}
			// The policy allows the style sheet by its hash alone.
			if color := evaluate[string](t, ctx, "getComputedStyle(document.body).backgroundColor"); color != "rgb(20, 23, 27)" {
				t.Errorf("%s: the style sheet does not apply: the background is %s", page.path, color)
			}
		}
	}
	// From the list to the connection by a click.
	if err := look(ctx, 1280, 800, "light"); err != nil {
		t.Fatal(err)
	}
	visit(t, ctx, server.URL+"/?q=legacy")
	evaluate[chromedp.Void](t, ctx, "document.querySelector('.name a').click()")
	path := ""
	for range 100 { // until the browser has loaded the page
		if path = evaluate[string](t, ctx, "location.pathname"); path == "/connections/legacy-pop" {
			return
		}
		time.Sleep(100 * time.Millisecond) // another process; evaluate has nothing to wait for
	}
	t.Errorf("the click led to %s", path)
}

// The button on the page of a held connection works: the browser sends the form's origin,
// and the page's policy allows the form.
func TestBrowserRetry(t *testing.T) {
	c := outcometest.Inbox("held/one")
	s := newStage(t, c)
	o := outcometest.Refused(c, outcometest.Noon)
	o.Auth = mail.AuthFacts{Held: true, NextAttempt: outcometest.Noon.Add(time.Hour)}
	s.observe(o)
	released := make(chan string, 1)
	s.options.Retry = true
	s.options.Release = func(c *mail.Connection) error { released <- c.Name; return nil }
	server := httptest.NewServer(s.handler())
	defer server.Close()
	ctx := browser(t)
	visit(t, ctx, server.URL+"/"+detailPath(c.Name))
	evaluate[chromedp.Void](t, ctx, "document.querySelector('form button').click()")
	select {
	case name := <-released:
		if name != c.Name {
			t.Errorf("released %q", name)
		}
	case <-time.After(20 * time.Second):
		t.Error("the click released nothing")
	}
}

// axeFile is where .ci/run puts axe-core, the accessibility checker.
const axeFile = "../.ci/axe/node_modules/axe-core/axe.min.js"

// accessible reports what axe-core finds critical or serious on the page shown.
func accessible(t *testing.T, ctx context.Context, axe, page string) {
	t.Helper()
	evaluate[chromedp.Void](t, ctx, axe)
	evaluate[chromedp.Void](t, ctx, `axe.run().then(r => { window.found = r.violations.filter(v => v.impact === "critical" || v.impact === "serious").
		map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 160) + " " + n.failureSummary).join(" | ")).join("\n") || "none" })`)
	for range 300 { // axe-core works in the background
		if found := evaluate[string](t, ctx, "window.found || ''"); found != "" {
			if found != "none" {
				t.Errorf("%s:\n%s", page, found)
			}
			return
		}
		time.Sleep(100 * time.Millisecond) // another process
	}
	t.Errorf("%s: axe-core did not finish within 30 s", page)
}

// everyState is a site whose status page shows every state, and a group of connections
// that are down for one cause.
func everyState(t *testing.T) *stage {
	t.Helper()
	connections, outcomes := fleet()
	s := newStage(t, connections...)
	for _, o := range outcomes {
		s.observe(o)
	}
	for i := range 3 {
		c := outcometest.Inbox(fmt.Sprint("group-", i))
		c.Host = "gone.example.org"
		connections = append(connections, c)
		s.history.SetConnections(connections)
		s.observe(outcometest.Failed(c, outcometest.Noon, mail.PhaseResolve, mail.DNSNotFound, "no such host"))
	}
	return s
}

// axe-core has no critical or serious finding, light or dark.
func TestBrowserAccessibility(t *testing.T) {
	axe, err := os.ReadFile(axeFile)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("axe-core is not installed, and CI must not skip this: %v", err)
		}
		t.Skip("axe-core is not installed (npm install --prefix .ci/axe --no-package-lock)")
	}
	s := everyState(t)
	s.options.ReloadFault = func() (time.Time, error) { return outcometest.Noon, errors.New("config.yml:3: unknown field") }
	s.sendMessages()
	server := httptest.NewServer(s.handler())
	defer server.Close()
	ctx := browser(t)
	for _, scheme := range []string{"light", "dark"} {
		for _, path := range []string{"/", "/?q=nothing-like-it", "/connections/billing-inbox", "/connections/fresh-one", "/connections/nobody", "/connections/tickets", "/routes"} {
			if err := look(ctx, 1280, 900, scheme); err != nil {
				t.Fatal(err)
			}
			visit(t, ctx, server.URL+path)
			evaluate[chromedp.Void](t, ctx, "document.querySelectorAll('details').forEach(d => { d.open = true })")
			accessible(t, ctx, string(axe), scheme+" "+path)
		}
	}
}

// The refresh keeps what the user is typing, and can be paused.
func TestBrowserRefresh(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	var loads atomic.Int32
	handler := s.handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		loads.Add(1)
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	ctx := browser(t)
	visit(t, ctx, server.URL+"/")
	// The page's script runs again with a setInterval that keeps the function in
	// window.tick, so that the test can call it without waiting for 30 s.
	tick := `(() => { const script = document.querySelector("script").textContent;
		const real = window.setInterval; let due; window.setInterval = f => { due = f };
		document.getElementById("pause").replaceWith(document.getElementById("pause").cloneNode(true));
		(0, eval)(script); window.setInterval = real; window.tick = due })()`
	reloads := func(want int32, story string) {
		t.Helper()
		before := loads.Load()
		evaluate[chromedp.Void](t, ctx, "window.tick()")
		for range 50 {
			if loads.Load() > before {
				break
			}
			time.Sleep(20 * time.Millisecond) // until the browser has sent the request
		}
		if got := loads.Load() - before; min(got, 1) != want {
			t.Errorf("%s: %d reloads, want %d", story, got, want)
		}
	}
	evaluate[chromedp.Void](t, ctx, tick)
	evaluate[chromedp.Void](t, ctx, `document.querySelector("input[type=search]").value = "half a na"`)
	reloads(0, "while the user types")
	evaluate[chromedp.Void](t, ctx, `document.querySelector("input[type=search]").value = ""; document.getElementById("pause").click()`)
	reloads(0, "while it is paused")
	evaluate[chromedp.Void](t, ctx, `document.getElementById("pause").click()`)
	reloads(1, "otherwise")
}

// TestBrowserShots writes pictures of the pages, for people to look at.
func TestBrowserShots(t *testing.T) {
	if *shots == "" {
		t.Skip("no folder given with -shots")
	}
	s := everyState(t)
	s.sendMessages()
	server := httptest.NewServer(s.handler())
	defer server.Close()
	ctx := browser(t)
	for _, shot := range []struct {
		name, path    string
		width, height int64
		scheme        string
	}{
		{"overview-light", "/", 1280, 900, "light"}, {"overview-dark", "/", 1280, 900, "dark"},
		{"overview-phone", "/", 390, 844, "light"}, {"overview-tablet", "/", 820, 1100, "dark"},
		{"detail-light", "/connections/billing-inbox", 1280, 900, "light"},
		{"detail-dark", "/connections/billing-inbox", 1280, 900, "dark"},
		{"detail-phone", "/connections/billing-inbox", 390, 844, "dark"},
		{"mailbox-light", "/connections/tickets", 1280, 900, "light"}, {"mailbox-phone", "/connections/tickets", 390, 844, "dark"},
		{"routes-light", "/routes", 1280, 900, "light"}, {"routes-dark", "/routes", 1280, 900, "dark"},
		{"routes-phone", "/routes", 390, 844, "light"},
	} {
		if err := look(ctx, shot.width, shot.height, shot.scheme); err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+shot.path)); err != nil {
			t.Fatal(err)
		}
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*shots, shot.name+".png"), png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
