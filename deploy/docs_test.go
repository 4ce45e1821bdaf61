package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mailprobe/internal/promtest"
)

var (
	markdownLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	markdownHeading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInAnchors    = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are the anchors of the headings of a page, as GitHub names them.
func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	out := map[string]bool{"": true}
	for _, m := range markdownHeading.FindAllStringSubmatch(read(t, file), -1) {
		out[strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return out
}

// documents are the files of all pages.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	return append(files, "../README.md", "../CONTRIBUTING.md", "../SECURITY.md", "../CHANGELOG.md")
}

// An administrator follows these links while an alert fires.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	for _, file := range documents(t) {
		for _, m := range markdownLink.FindAllStringSubmatch(read(t, file), -1) {
			if strings.HasPrefix(m[1], "https://") || strings.HasPrefix(m[1], "http://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s does not exist", file, m[1])
			} else if anchor != "" && !anchors(t, target)[anchor] {
				t.Errorf("%s: %s has no heading %s", file, target, anchor)
			}
		}
	}
}

// The page names every manifest that exists.
func TestRunningNamesEveryManifest(t *testing.T) {
	page := read(t, "../docs/running.md")
	manifests, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(manifests) == 0 {
		t.Fatalf("%v, %v", manifests, err)
	}
	for _, m := range manifests {
		if name := filepath.Base(m); name != "kustomization.yaml" && !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/running.md does not name %s", name)
		}
	}
}

var flagName = regexp.MustCompile(`--((?:config|state|web|log)\.[a-z.-]*[a-z])`)

// With a flag that does not exist, the service would not start.
func TestFlagsInDocumentsExist(t *testing.T) {
	files := append(documents(t), "systemd/mailprobe.service", "kubernetes/deployment.yaml", "../Dockerfile")
	help := promtest.Run(t, mailprobe.Binary(t), "--help")
	exists := map[string]bool{}
	for _, m := range regexp.MustCompile(`--(?:\[no-\])?([a-z.-]+)`).FindAllStringSubmatch(help, -1) {
		exists[m[1]] = true
	}
	for _, file := range files {
		for _, m := range flagName.FindAllStringSubmatch(read(t, file), -1) {
			if !exists[m[1]] {
				t.Errorf("%s: mailprobe has no flag --%s", file, m[1])
			}
		}
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// The examples of Prometheus's configuration in the pages are valid.
func TestPrometheusExamplesInDocuments(t *testing.T) {
	promtest.Need(t, "promtool")
	checked := 0
	for _, page := range documents(t) {
		for _, block := range yamlBlock.FindAllStringSubmatch(read(t, page), -1) {
			if !strings.HasPrefix(block[1], "scrape_configs:\n") {
				continue
			}
			file := filepath.Join(t.TempDir(), "prometheus.yml")
			write(t, file, block[1])
			// --syntax-only: the files that it names are elsewhere.
			if out, err := promtest.Try(t, "promtool", "check", "config", "--syntax-only", file); err != nil {
				t.Errorf("%s: %v\n%s\n%s", page, err, out, block[1])
			}
			checked++
		}
	}
	if checked < 3 {
		t.Errorf("only %d examples found", checked)
	}
}
