package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPromisesAreHeldByTests checks SECURITY.md: each promise names tests,
// and those tests exist.
func TestPromisesAreHeldByTests(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, promises, _ := strings.Cut(string(text), "## Promises")
	promises, _, _ = strings.Cut(promises, "## What is not promised")
	named := regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")
	known := map[string]map[string]bool{}
	count := 0
	for paragraph := range strings.SplitSeq(promises, "\n\n") {
		if strings.TrimSpace(paragraph) == "" {
			continue
		}
		count++
		tests := named.FindAllStringSubmatch(paragraph, -1)
		if len(tests) == 0 {
			t.Errorf("no test checks this promise: %s", paragraph)
		}
		for _, test := range tests {
			if known[test[1]] == nil {
				known[test[1]] = functionsOfTests(t, test[1])
			}
			if !known[test[1]][test[2]] {
				t.Errorf("there is no %s", test[0])
			}
		}
	}
	if count < 8 {
		t.Errorf("%d promises, want 8 at least", count)
	}
}

// functionsOfTests are the names of the functions in a directory's tests.
func functionsOfTests(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no tests (%v)", dir, err)
	}
	found := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}
