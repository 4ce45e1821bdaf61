//go:build linux

// Package imagetest builds the Dockerfile for real and tries the image. It has
// tests only.
package imagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/realserver"
	"mailprobe/internal/subprocess"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds each step; the build compiles everything on a cold cache.
const patience = 8 * time.Minute

// imageBuilder is buildah with a store of its own: no daemon, no registry.
type imageBuilder struct {
	t   *testing.T
	dir string
}

func newImageBuilder(t *testing.T) *imageBuilder {
	t.Helper()
	realserver.Need(t, "buildah")
	dir, err := os.MkdirTemp("/var/tmp", "mailprobe-image")
	if err != nil {
		t.Fatal(err)
	}
	w := &imageBuilder{t: t, dir: dir}
	t.Cleanup(func() {
		_, _ = w.try("rm", "--all")
		_ = os.RemoveAll(dir)
	})
	return w
}

// command is a buildah command over the builder's store. vfs and chroot need
// neither overlay mounts nor namespaces, which containers may lack.
func (w *imageBuilder) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "buildah",
		append([]string{"--root", w.dir + "/store", "--runroot", w.dir + "/run", "--storage-driver", "vfs"}, args...)...)
	c.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot", "TMPDIR="+w.dir)
	c.WaitDelay = 10 * time.Second
	return c
}

// try runs a command and returns its combined output.
func (w *imageBuilder) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := w.command(ctx, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// do runs a command that has to go well.
func (w *imageBuilder) do(args ...string) string {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.t.Fatalf("buildah %s: %v\n%s", args[0], err, out)
	}
	return out
}

// standIn makes an image in the place of golang:1.26, so that nothing is pulled:
// a shell, its libraries and the CA bundle. Go itself is mounted at the build.
func (w *imageBuilder) standIn() {
	w.t.Helper()
	base := filepath.Join(w.dir, "base")
	files := []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/resolv.conf"}
	libraries, err := exec.Command("ldd", "/bin/dash").Output()
	if err != nil {
		w.t.Fatalf("ldd: %v", err)
	}
	for _, word := range strings.Fields(string(libraries)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	for _, file := range files {
		copyFile(w.t, file, filepath.Join(base, file))
	}
	copyFile(w.t, "/bin/dash", filepath.Join(base, "/bin/sh"))
	if err := os.MkdirAll(filepath.Join(base, "/tmp"), 0o777); err != nil {
		w.t.Fatal(err)
	}
	recipe := filepath.Join(w.dir, "standin")
	content := "FROM scratch\nCOPY . /\nENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local GOMODCACHE=/cache/modules GOCACHE=/cache/build\n"
	if err := os.WriteFile(recipe, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.do("bud", "--quiet", "-t", "docker.io/library/golang:1.26", "-f", recipe, base)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// goEnv is a setting of this machine's Go.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatalf("go env %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// build builds the Dockerfile with the Go, the modules and the build cache of
// this machine. Docker's format, for OCI's has no HEALTHCHECK.
func (w *imageBuilder) build() {
	w.t.Helper()
	arch := goEnv(w.t, "GOARCH")
	w.do("bud", "--quiet", "--pull-never", "--format", "docker", "-t", "mailprobe",
		"--volume", goEnv(w.t, "GOROOT")+":/usr/local/go:ro",
		"--volume", goEnv(w.t, "GOMODCACHE")+":/cache/modules",
		"--volume", goEnv(w.t, "GOCACHE")+":/cache/build",
		"--build-arg", "BUILDPLATFORM=linux/"+arch, "--build-arg", "TARGETOS=linux", "--build-arg", "TARGETARCH="+arch,
		"--build-arg", "VERSION=1.2.3-test", "--build-arg", "REVISION=0123456789abcdef",
		"../..")
}

func TestImage(t *testing.T) {
	w := newImageBuilder(t)
	w.standIn()
	w.build()
	w.wantSettings()
	container := w.do("from", "--pull-never", "mailprobe")
	w.wantNothingElse(container)

	ca := mailtest.MustCA(mailtest.CAOptions{})
	server, err := mailtest.Start(mailtest.Options{Protocol: "imap", Encryption: "tls",
		Certificate: ca.MustIssue(mailtest.Loopback()), Users: map[string]string{"alice": "wonder land"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	etc := filepath.Join(w.dir, "etc")
	config := fmt.Sprintf(`connections:
  - {name: in-the-image, protocol: imap, host: 127.0.0.1, port: %d, username: alice, password_file: secret, interval: 1s, timeout: 1s}
`, server.Port)
	for name, content := range map[string]string{"config.yml": config, "secret": "wonder land\n"} {
		if err := os.MkdirAll(etc, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(etc, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := ca.WriteCertificate(filepath.Join(w.dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	image := func(args ...string) []string {
		return append([]string{"run", "--volume", etc + ":/etc/mailprobe:ro",
			"--volume", w.dir + "/ca.pem:/etc/ssl/certs/ca-certificates.crt:ro", container, "--", "/mailprobe"}, args...)
	}
	wantIn(t, w.do(image("--version")...), "version 1.2.3-test", "0123456789abcdef")
	wantIn(t, w.do(image("--config.file=/etc/mailprobe/config.yml", "--config.check")...), "in-the-image")
	w.wantProbe(image)
}

// wantIn demands that a text holds each of some words.
func wantIn(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("no %q in\n%s", word, text)
		}
	}
}

// wantSettings looks at what the image says of itself.
func (w *imageBuilder) wantSettings() {
	w.t.Helper()
	var got struct {
		Docker struct {
			Config struct {
				User            string
				ExposedPorts    map[string]any
				Cmd, Entrypoint []string
				Healthcheck     struct{ Test []string }
				Labels          map[string]string
			} `json:"config"`
		}
	}
	inspected := w.do("inspect", "--type", "image", "mailprobe")
	if err := json.Unmarshal([]byte(inspected), &got); err != nil {
		w.t.Fatalf("inspect: %v\n%s", err, inspected)
	}
	c := got.Docker.Config
	if _, exposed := c.ExposedPorts["10925/tcp"]; c.User != "65532:65532" || !exposed ||
		strings.Join(c.Entrypoint, " ") != "/mailprobe" ||
		strings.Join(c.Cmd, " ") != "--config.file=/etc/mailprobe/config.yml" ||
		strings.Join(c.Healthcheck.Test, " ") != "CMD /mailprobe healthcheck" ||
		c.Labels["org.opencontainers.image.licenses"] != "Apache-2.0" ||
		c.Labels["org.opencontainers.image.version"] != "1.2.3-test" {
		w.t.Errorf("settings of the image: %+v", c)
	}
}

// wantNothingElse demands that the image holds the binary, its licence, the CA
// bundle, and no more.
func (w *imageBuilder) wantNothingElse(container string) {
	w.t.Helper()
	root := w.do("mount", container)
	defer w.do("umount", container)
	state, err := os.Stat(filepath.Join(root, "var/lib/mailprobe"))
	if err != nil {
		w.t.Fatal(err)
	}
	if owner := state.Sys().(*syscall.Stat_t).Uid; owner != 65532 {
		w.t.Errorf("the folder of the state belongs to %d", owner)
	}
	var files []string
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if got, want := strings.Join(files, " "), "/LICENSE /NOTICES /etc/ssl/certs/ca-certificates.crt /mailprobe"; got != want {
		w.t.Errorf("files of the image: %s, want %s", got, want)
	}
}

// wantProbe runs the service in the image until a probe over TLS went well,
// which an authority in the image's bundle has to vouch for, and asks it for its
// health as the image itself would.
func (w *imageBuilder) wantProbe(image func(args ...string) []string) {
	w.t.Helper()
	address := subprocess.FreeAddress(w.t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	service := subprocess.StartFor(w.t, w.command(ctx, image("--config.file=/etc/mailprobe/config.yml", "--web.listen-address="+address)...))
	metrics := ""
	// Another process: its page can only be asked for again and again.
	for end := time.Now().Add(time.Minute); !strings.Contains(metrics, "} 1\n") && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		metrics = grep(get("http://"+address+"/metrics"), `mailprobe_up{connection="in-the-image"`)
	}
	health, healthErr := w.try(image("healthcheck", "--web.listen-address="+address)...)
	for _, pid := range descendants(w.t, service.Command.Process.Pid) {
		if uid := uidOf(pid); strings.HasPrefix(commandOf(pid), "/mailprobe") {
			if uid != "65532" {
				w.t.Errorf("the service runs as user %s", uid)
			}
			_ = terminate(pid)
		}
	}
	_ = service.Wait()
	if !strings.Contains(metrics, "} 1\n") {
		w.t.Errorf("up: %q; the service said\n%s", metrics, service.Output())
	}
	if healthErr != nil {
		w.t.Errorf("healthcheck: %v\n%s", healthErr, health)
	}
}

// get is the body of an answer, or nothing.
func get(url string) string {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

// grep is the lines of a text that begin with a word.
func grep(text, prefix string) string {
	var found strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			found.WriteString(line)
		}
	}
	return found.String()
}
