package main

// This file keeps the packages apart: what each may reach of this module and of
// other people's. .golangci.yml says the same for direct imports, file by file.

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Libraries that only some packages may reach, also through others.
const (
	mailLibraries    = "mail libraries"    // IMAP, POP3, SMTP
	yamlLibrary      = "YAML"              // configuration files
	metricsLibrary   = "client_golang"     // metrics and registries
	httpLibrary      = "net/http"          // clients and servers
	httpServer       = "exporter-toolkit"  // the HTTP server
	flagLibrary      = "kingpin"           // command lines
	tokenLibrary     = "oauth2"            // OAuth 2.0 clients
	prometheusCommon = "prometheus/common" // durations, log lines, the text format
)

// libraryPaths are the beginnings of the import paths of each library.
var libraryPaths = map[string][]string{
	mailLibraries:    {"github.com/emersion/", "github.com/knadh/"},
	yamlLibrary:      {"gopkg.in/yaml", "go.yaml.in/"},
	metricsLibrary:   {"github.com/prometheus/client_golang/"},
	httpLibrary:      {"net/http"},
	httpServer:       {"github.com/prometheus/exporter-toolkit/"},
	flagLibrary:      {"github.com/alecthomas/kingpin"},
	tokenLibrary:     {"golang.org/x/oauth2"},
	prometheusCommon: {"github.com/prometheus/common/"},
}

// room is what a package may reach, directly or through others.
type room struct {
	packages  string // of this module, without its name
	libraries []string
}

// rooms lists every package of this module, by its path in it; "." is main.
var rooms = map[string]room{
	"mail":     {},
	"guard":    {packages: "mail"},
	"pool":     {packages: "mail"},
	"history":  {packages: "mail"},
	"prober":   {packages: "mail guard internal/kerneltime", libraries: []string{mailLibraries}},
	"routes":   {packages: "mail guard prober internal/kerneltime internal/durable", libraries: []string{mailLibraries}},
	"discover": {packages: "mail", libraries: []string{httpLibrary}},
	"oauth":    {packages: "mail", libraries: []string{httpLibrary, tokenLibrary}},
	"config":   {packages: "mail oauth internal/durable", libraries: []string{yamlLibrary, prometheusCommon, httpLibrary, tokenLibrary}},
	"metrics":  {packages: "mail", libraries: []string{metricsLibrary, prometheusCommon, httpLibrary}},
	"web": {packages: "mail history metrics internal/human",
		libraries: []string{metricsLibrary, prometheusCommon, httpLibrary}},

	// The wiring and the commands.
	"internal/cli": {packages: "mail guard pool prober internal/kerneltime routes history oauth config discover internal/durable internal/firstseen internal/importer internal/human",
		libraries: []string{mailLibraries, yamlLibrary, prometheusCommon, httpLibrary, tokenLibrary}},
	"internal/demo": {packages: "mail internal/mailtest", libraries: []string{mailLibraries, httpLibrary}},
	"internal/exporter": {packages: "mail guard pool prober internal/kerneltime routes internal/durable internal/firstseen history oauth config metrics web internal/human",
		libraries: slices.DeleteFunc(slices.Collect(maps.Keys(libraryPaths)), func(name string) bool { return name == flagLibrary })},
	"internal/durable":    {},
	"internal/firstseen":  {packages: "mail internal/durable"},
	"internal/human":      {},
	"internal/importer":   {packages: "mail"},
	"internal/kerneltime": {},
	"internal/logline":    {},
	"internal/shard":      {packages: "mail"},
	".": {packages: "mail guard pool prober internal/kerneltime routes internal/durable internal/firstseen history oauth config discover internal/importer metrics web internal/human " +
		"internal/cli internal/demo internal/exporter internal/logline internal/mailtest internal/shard",
		libraries: slices.Collect(maps.Keys(libraryPaths))},

	// For tests and for what is generated.
	"internal/benchmark":   {packages: "internal/mailtest internal/subprocess", libraries: []string{mailLibraries, httpLibrary}},
	"internal/canary":      {},
	"internal/imagetest":   {},
	"internal/mailtest":    {libraries: []string{mailLibraries, httpLibrary}},
	"internal/outcometest": {packages: "mail"},
	"internal/promtest":    {packages: "internal/subprocess", libraries: []string{prometheusCommon, httpLibrary}},
	"internal/realserver":  {packages: "internal/mailtest internal/subprocess", libraries: []string{mailLibraries, httpLibrary}},
	"internal/subprocess":  {},
	"internal/systest":     {},
	"dashboards":           {},
	"dashboards/generate":  {packages: "mail", libraries: []string{yamlLibrary}},
	"deploy":               {},
	"deploy/notices":       {},
}

// importers are the packages that may import a library themselves.
var importers = map[string][]string{
	yamlLibrary:    {"config", "dashboards/generate"},
	metricsLibrary: {"metrics", "web"},
	httpServer:     {".", "internal/exporter"},
	flagLibrary:    {"."},
	tokenLibrary:   {"oauth"},
	mailLibraries:  {"prober", "internal/mailtest"},
}

func TestPackagesReachOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	for name, imports := range goList(t) {
		room, known := rooms[name]
		if !known {
			t.Errorf("package %s is not in the table of this test", name)
			continue
		}
		allowed := strings.Fields(room.packages)
		for _, path := range imports.deps {
			if own, ours := strings.CutPrefix(path, "mailprobe/"); ours && !slices.Contains(allowed, own) {
				t.Errorf("%s reaches the package %s; it may reach %q", name, own, allowed)
			}
			if library := libraryOf(path); library != "" && !slices.Contains(room.libraries, library) {
				t.Errorf("%s reaches %s (%s); it may reach %q", name, path, library, room.libraries)
			}
		}
		for _, path := range imports.direct {
			library := libraryOf(path)
			if may, limited := importers[library]; limited && !slices.Contains(may, name) {
				t.Errorf("%s imports %s; only %q may", name, path, may)
			}
		}
	}
}

// TestImageIsBuiltFromEveryPackage reads .dockerignore, which names what goes
// into the build of the image.
func TestImageIsBuiltFromEveryPackage(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range goList(t)["."].deps {
		own, ours := strings.CutPrefix(path, "mailprobe/")
		folder, _, _ := strings.Cut(own, "/")
		if ours && !slices.Contains(strings.Fields(string(raw)), "!"+folder) {
			t.Errorf(".dockerignore leaves out %s, which the binary is built from", folder)
		}
	}
}

// libraryOf returns the library that an import path belongs to, or nothing.
// net/http/httptrace is a part of net that has its name for historical reasons.
func libraryOf(path string) string {
	if strings.HasPrefix(path, "net/http/httptrace") || strings.HasPrefix(path, "net/http/internal") {
		return ""
	}
	for library, prefixes := range libraryPaths {
		for _, prefix := range prefixes {
			if strings.HasPrefix(path, prefix) {
				return library
			}
		}
	}
	return ""
}

// imported is what a package imports directly, and all that comes with it.
type imported struct{ direct, deps []string }

// goList asks the go command about every package of this module, its tests left
// out.
func goList(t *testing.T) map[string]imported {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}|{{join .Imports " "}}|{{join .Deps " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := map[string]imported{}
	for line := range strings.Lines(string(out)) {
		parts := strings.Split(strings.TrimSpace(line), "|")
		name := strings.TrimPrefix(strings.TrimPrefix(parts[0], "mailprobe"), "/")
		if name == "" {
			name = "."
		}
		packages[name] = imported{strings.Fields(parts[1]), strings.Fields(parts[2])}
	}
	if len(packages) < len(rooms)/2 {
		t.Fatalf("go list knows %d packages only", len(packages))
	}
	return packages
}
