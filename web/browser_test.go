package web

import (
	"context"
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// shots is a folder for pictures of the pages: go test ./web -run Browser -shots /tmp/shots
var shots = flag.String("shots", "", "folder to write screenshots of the pages to")

// browser starts a headless Chromium. Without one the test is skipped, but not
// where the project's own checks run.
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

// TestBrowserShots takes the pictures that are looked at by hand.
func TestBrowserShots(t *testing.T) {
	if *shots == "" {
		t.Skip("no folder given with -shots")
	}
	connections, outcomes := fleet()
	s := newStage(t, connections...)
	for _, o := range outcomes {
		s.observe(o)
	}
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
