package prober

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// revealers are the files that may take a secret out of its type, relative to
// the module's root. One more is a decision, not a convenience.
var revealers = []string{"prober/auth.go", "prober/given_secrets.go", "guard/*.go", "oauth/*.go"}

// TestSecretRevealHasFewCallers reads every file of the module that ends up in
// the binary and names each place where a secret could leak.
func TestSecretRevealHasFewCallers(t *testing.T) {
	const root = ".."
	files, found := 0, 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "vendor") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, line := range revealLines(t, path) {
			found++
			if !mayReveal(filepath.ToSlash(relative)) {
				t.Errorf("%s:%d calls Secret.Reveal; only %v may", relative, line, revealers)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 5 || found == 0 {
		t.Errorf("looked at %d files and found %d calls: the search itself is broken", files, found)
	}
}

// mayReveal reports whether a file is on the list.
func mayReveal(file string) bool {
	return slices.ContainsFunc(revealers, func(pattern string) bool {
		ok, _ := filepath.Match(pattern, file)
		return ok
	})
}

// revealLines are the lines of a file that name a method Reveal, whether they
// call it or hand it on. Its own declaration is not among them.
func revealLines(t *testing.T, path string) []int {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Reveal" {
			lines = append(lines, set.Position(s.Pos()).Line)
		}
		return true
	})
	return lines
}
