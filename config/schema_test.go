package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func TestSchemaFileIsUpToDate(t *testing.T) { golden(t, "../config.schema.json", Schema()) }

func TestReferenceIsUpToDate(t *testing.T) { golden(t, "../docs/configuration.md", Reference()) }

// validator compiles the schema. The test fails if it is not a valid one.
func validator(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("config.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// plainYAML decodes a file as an editor does. Keys must be texts.
func plainYAML(t *testing.T, file string) any {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(raw, &document); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return document
}

func TestSchemaAcceptsWhatTheLoaderAccepts(t *testing.T) {
	schema := validator(t)
	for _, file := range append(testFiles(t, "good"), "../config.example.yml") {
		if err := schema.Validate(plainYAML(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestSchemaRefusesWrongStructure(t *testing.T) {
	schema := validator(t)
	for _, file := range testFiles(t, "bad/structure") {
		if schema.Validate(plainYAML(t, file)) == nil {
			t.Errorf("%s: accepted", file)
		}
	}
}

// commentedOut matches a setting of the example that needs a file. Prose has a space
// after the #.
var commentedOut = regexp.MustCompile(`(?m)^( *)#(  +\S|\S)`)

// example is config.example.yml: as it is, or with all settings that need files, and
// without the passwords that stand in for the files.
func example(t *testing.T, withFiles bool) []byte {
	t.Helper()
	raw, err := os.ReadFile("../config.example.yml")
	if err != nil {
		t.Fatal(err)
	}
	if withFiles {
		head, body, _ := bytes.Cut(raw, []byte("\npool:"))
		body = regexp.MustCompile(`(?m)^.*: change-me\n`).ReplaceAll(body, nil)
		raw = slices.Concat(head, []byte("\npool:"), commentedOut.ReplaceAll(body, []byte("$1$2")))
	}
	return raw
}

func TestExampleLoads(t *testing.T) {
	for _, withFiles := range []bool{false, true} {
		raw := example(t, withFiles)
		t.Run(fmt.Sprintf("with files of one's own %t", withFiles), func(t *testing.T) {
			t.Chdir(t.TempDir())
			if withFiles {
				workspace(t)
				t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(mustGetwd(t), "secrets"))
				for _, secret := range []string{"support", "fax", "oauth-client", "access-token", "refresh-token"} {
					if err := os.WriteFile("secrets/"+secret, []byte("hunter2\n"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			loadExample(t, raw)
		})
	}
	if first, _, _ := bytes.Cut(example(t, false), []byte("\n")); string(first) != "# yaml-language-server: $schema=./config.schema.json" {
		t.Errorf("first line: %s", first)
	}
}

func loadExample(t *testing.T, raw []byte) {
	t.Helper()
	if err := os.WriteFile("config.yml", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	config, warnings, err := Load("config.yml", nil)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, raw)
	}
	connections, _, _ := bytes.Cut(raw, []byte("\nroutes:"))
	if want := len(regexp.MustCompile(`(?m)^  (- |  )name: `).FindAll(connections, -1)); len(config.Connections) != want {
		t.Errorf("%d connections, want %d", len(config.Connections), want)
	}
	// Only the connection without encryption may have warnings.
	for _, w := range warnings {
		if w.Where != `connection "local-plain"` {
			t.Errorf("warns: %v", w)
		}
	}
}

func mustGetwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestExampleShowsEveryField(t *testing.T) {
	seen := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				seen[key] = true
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	for _, withFiles := range []bool{false, true} {
		var document any
		if err := yaml.Unmarshal(example(t, withFiles), &document); err != nil {
			t.Fatal(err)
		}
		walk(document)
	}
	for _, o := range []*blockDoc{fileBlock.blockDoc(), poolBlock.blockDoc(), metricsBlock.blockDoc(), connectionBlock.blockDoc(),
		tlsBlock.blockDoc(), oauthBlock.blockDoc(), routeBlock.blockDoc(), requireBlock.blockDoc()} {
		for _, doc := range o.fields {
			if !seen[doc.name] {
				t.Errorf("%s is not shown", doc.name)
			}
		}
	}
}

// TestReferenceExamplesAreValid reads each example of the tables through its own field:
// the loader must accept it.
func TestReferenceExamplesAreValid(t *testing.T) {
	workspace(t)
	readExamples(t, connectionBlock)
	readExamples(t, tlsBlock)
	readExamples(t, oauthBlock)
	readExamples(t, poolBlock)
	readExamples(t, metricsBlock)
	readExamples(t, fileBlock)
	readExamples(t, routeBlock)
	readExamples(t, requireBlock)
}

func readExamples[T any](t *testing.T, b block[T]) {
	t.Helper()
	for _, f := range b.fields {
		r := &reader{file: "example", set: map[string]origin{}}
		root := r.parse([]byte(f.name + ": " + f.example + "\n"))
		if root == nil {
			t.Errorf("%s: %s: %v", f.name, f.example, r.faults.list)
			continue
		}
		to := b.fresh()
		b.read(r, root, position{}, to)
		if len(r.faults.list) > 0 {
			t.Errorf("%s: %s: %v", f.name, f.example, r.faults.list)
		}
		if f.is.same(to, b.fresh()) && f.name != "password" {
			t.Errorf("%s: %s: changes nothing", f.name, f.example)
		}
		if f.meaning == "" || f.def == "" || f.is.word == "" {
			t.Errorf("%s: is not described", f.name)
		}
	}
}
