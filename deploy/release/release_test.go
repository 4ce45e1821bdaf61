// Package release holds the scripts that build a release. The test builds a small one
// twice, unpacks it and runs its binary.
package release

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// version is not one that any file of the checkout names.
const version = "1.22.333"

// need skips the test where a tool is not installed; in CI that is a failure.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed; CI must have it", tool)
		}
		t.Skipf("%s is not installed (Debian: apt-get install dpkg rpm cpio systemd)", tool)
	}
}

// run runs a command in a folder and returns its output. It fails the test if the command
// fails. PLATFORMS has one platform, which is enough to compare two builds.
func run(t *testing.T, folder string, command ...string) string {
	t.Helper()
	c := exec.Command(command[0], command[1:]...)
	c.Dir = folder
	c.Env = append(os.Environ(), "PLATFORMS=linux/amd64", "REVISION=0123456789abcdef", "SOURCE_DATE_EPOCH=1700000000")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", command, err, out)
	}
	return string(out)
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestRelease(t *testing.T) {
	need(t, "bash", "tar", "dpkg-deb", "rpm", "rpm2cpio", "cpio", "systemd-analyze")
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	run(t, ".", "./build", version, first)
	checkout := t.TempDir()
	run(t, "../..", "bash", "-c", `tar --exclude=.git -cf - . | tar -C "$1" -xf -`, "-", checkout)
	run(t, checkout, "deploy/release/build", version, second)
	t.Run("two builds are the same", func(t *testing.T) { wantSameFiles(t, first, second) })
	t.Run("checksums", func(t *testing.T) { run(t, first, "sha256sum", "--check", "--strict", "SHA256SUMS") })
	t.Run("archives", func(t *testing.T) { wantArchives(t, first) })
	t.Run("bill of materials", func(t *testing.T) { wantBill(t, first) })
	t.Run("deb", func(t *testing.T) { wantDeb(t, filepath.Join(first, "mailprobe_"+version+"_amd64.deb")) })
	t.Run("rpm", func(t *testing.T) { wantRPM(t, filepath.Join(first, "mailprobe-"+version+"-1.x86_64.rpm")) })
}

func wantSameFiles(t *testing.T, first, second string) {
	names := func(folder string) (names []string) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return names
	}
	want := []string{"SHA256SUMS", "mailprobe-" + version + "-1.x86_64.rpm",
		"mailprobe-" + version + "-linux-amd64.cdx.json", "mailprobe-" + version + "-linux-amd64.tar.gz",
		"mailprobe-chart-" + version + ".tgz", "mailprobe_" + version + "_amd64.deb"}
	if got := names(first); !slices.Equal(got, want) || !slices.Equal(got, names(second)) {
		t.Fatalf("files %q, want %q", got, want)
	}
	for _, name := range want {
		if read(t, filepath.Join(first, name)) != read(t, filepath.Join(second, name)) {
			t.Errorf("%s: the second build differs", name)
		}
	}
}

// unpack returns the files of an archive by their path.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	compressed, err := gzip.NewReader(strings.NewReader(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(compressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.ModTime.Unix() != 1700000000 {
			t.Errorf("%s: of user %d, from %v", header.Name, header.Uid, header.ModTime)
		}
		if header.Typeflag == tar.TypeReg {
			files[header.Name] = string(content)
		} else if header.Typeflag != tar.TypeDir {
			t.Errorf("%s is neither a file nor a folder", header.Name)
		}
	}
}

func wantArchives(t *testing.T, folder string) {
	name := "mailprobe-" + version + "-linux-amd64"
	files := unpack(t, filepath.Join(folder, name+".tar.gz"))
	for _, want := range []string{"mailprobe", "LICENSE", "NOTICES", "config.example.yml"} {
		if files[name+"/"+want] == "" {
			t.Errorf("%s has no %s", name, want)
		}
	}
	chart := unpack(t, filepath.Join(folder, "mailprobe-chart-"+version+".tgz"))
	if !strings.Contains(chart["mailprobe/Chart.yaml"], "\nversion: "+version+"\nappVersion: "+version+"\n") {
		t.Errorf("the chart has another version:\n%s", chart["mailprobe/Chart.yaml"])
	}
	if !strings.Contains(chart["mailprobe/files/prometheusrule.yaml"], "kind: PrometheusRule") {
		t.Error("the chart has no rules")
	}
}

// wantBill checks that the bill lists the modules that `go version -m` finds in the
// binary.
func wantBill(t *testing.T, folder string) {
	name := "mailprobe-" + version + "-linux-amd64"
	var bill struct {
		BOMFormat, SpecVersion string
		Components             []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(folder, name+".cdx.json"))), &bill); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "mailprobe")
	content := unpack(t, filepath.Join(folder, name+".tar.gz"))[name+"/mailprobe"]
	if err := os.WriteFile(binary, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(run(t, ".", "go", "version", "-m", binary)) {
		if fields := strings.Fields(line); fields[0] == "dep" {
			want = append(want, fields[1]+"@"+fields[2])
		}
	}
	var got []string
	for _, c := range bill.Components {
		if c.PURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("%s has the package URL %s", c.Name, c.PURL)
		}
		if c.Name != "std" {
			got = append(got, c.Name+"@"+c.Version)
		}
	}
	notices := unpack(t, filepath.Join(folder, name+".tar.gz"))[name+"/NOTICES"]
	for _, module := range want {
		if head := "==== " + strings.Replace(module, "@", " ", 1) + ": "; !strings.Contains(notices, head) {
			t.Errorf("NOTICES has no licence of %s", module)
		}
	}
	if !slices.Equal(got, want) || len(want) < 10 || bill.BOMFormat != "CycloneDX" || bill.SpecVersion != "1.6" {
		t.Errorf("%s %s: %q, want %q", bill.BOMFormat, bill.SpecVersion, got, want)
	}
}

func wantDeb(t *testing.T, file string) {
	for field, want := range map[string]string{"Package": "mailprobe", "Version": version, "Architecture": "amd64"} {
		if got := strings.TrimSpace(run(t, ".", "dpkg-deb", "--field", file, field)); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	root, control := t.TempDir(), t.TempDir()
	run(t, ".", "dpkg-deb", "--extract", file, root)
	run(t, ".", "dpkg-deb", "--control", file, control)
	if got := strings.TrimSpace(read(t, filepath.Join(control, "conffiles"))); got != "/etc/mailprobe/config.yml" {
		t.Errorf("configuration files %q", got)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		run(t, ".", "sh", "-n", filepath.Join(control, script))
	}
	wantInstalled(t, root)
}

func wantRPM(t *testing.T, file string) {
	query := func(what ...string) string {
		return strings.TrimSpace(run(t, ".", append(append([]string{"rpm", "-qp"}, what...), file)...))
	}
	if got := query("--queryformat", "%{NAME} %{VERSION} %{ARCH}"); got != "mailprobe "+version+" x86_64" {
		t.Errorf("it is %q", got)
	}
	if got := query("--configfiles"); got != "/etc/mailprobe/config.yml" {
		t.Errorf("configuration files %q", got)
	}
	run(t, ".", "rpm", "--checksig", "--nosignature", file) // the digests of header and payload
	root := t.TempDir()
	// rpm2cpio ends with 1 because nfpm states another size of the payload; cpio fails if
	// the payload is not complete.
	run(t, root, "bash", "-c", `rpm2cpio "$1" | cpio --extract --make-directories --quiet --no-absolute-filenames`, "-", file)
	wantInstalled(t, root)
}

// wantInstalled checks the files of a package below root, and runs its binary with its
// configuration.
func wantInstalled(t *testing.T, root string) {
	t.Helper()
	binary, config := filepath.Join(root, "usr/bin/mailprobe"), filepath.Join(root, "etc/mailprobe/config.yml")
	if out := run(t, ".", binary, "--version"); !strings.Contains(out, "version "+version) || !strings.Contains(out, "0123456789abcdef") {
		t.Errorf("--version:\n%s", out)
	}
	if out := run(t, ".", binary, "--config.check", "--config.file="+config); !strings.Contains(out, "0 connections") {
		t.Errorf("--config.check:\n%s", out)
	}
	example := strings.NewReplacer("connections: []", "connections:", "  # - name", "  - name", "  #   ", "    ").Replace(read(t, config))
	if err := os.WriteFile(config, []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run(t, ".", binary, "--config.check", "--syntax-only", "--config.file="+config); !strings.Contains(out, "support-inbox") {
		t.Errorf("the example in config.yml:\n%s", out)
	}
	if secrets, err := os.Stat(filepath.Join(root, "etc/mailprobe/secrets")); err != nil || secrets.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the folder of secrets: %v, %v", secrets, err)
	}
	if user := read(t, filepath.Join(root, "usr/lib/sysusers.d/mailprobe.conf")); !strings.Contains(user, "\nu mailprobe ") {
		t.Errorf("the user:\n%s", user)
	}
	if state := read(t, filepath.Join(root, "usr/lib/tmpfiles.d/mailprobe.conf")); !strings.Contains(state, "\nd /var/lib/mailprobe 0700 mailprobe mailprobe ") {
		t.Errorf("the state:\n%s", state)
	}
	wantUnit(t, filepath.Join(root, "usr/lib/systemd/system/mailprobe.service"), binary)
}

// wantUnit checks that the service runs the package's binary as its user, and that a
// reload checks the configuration first.
func wantUnit(t *testing.T, file, binary string) {
	t.Helper()
	unit := read(t, file)
	for _, want := range []string{"\nUser=mailprobe\n", "\nStateDirectory=mailprobe\n",
		"\nExecReload=/usr/bin/mailprobe --config.check --syntax-only --config.file=/etc/mailprobe/config.yml\nExecReload=/bin/kill -HUP $MAINPID\n"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit has no %q", want)
		}
	}
	if strings.Contains(unit, "DynamicUser") || strings.Contains(unit, "/usr/local") {
		t.Error("the unit is the one for installations by hand")
	}
	here := filepath.Join(t.TempDir(), "mailprobe.service")
	if err := os.WriteFile(here, []byte(strings.ReplaceAll(unit, "/usr/bin/mailprobe", binary)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run(t, ".", "systemd-analyze", "verify", here); strings.Contains(out, "mailprobe.service") {
		t.Errorf("systemd-analyze verify: %s", out)
	}
}
