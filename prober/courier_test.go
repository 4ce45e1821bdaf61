package prober

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

// writers are the words of commands and library calls that change something on a
// server. They stand in the files of the courier alone.
var writers = regexp.MustCompile(`client\.(Store|UIDExpunge|Expunge|Append|Move|Copy|Data|Unselect)\(|"DELE"|"STORE"|\("EXPUNGE"|"DATA"|Select\([^)]*, nil\)`)

// TestOnlyTheCourierWrites holds the promise of a plain probe: the commands that
// write are in courier files, and nothing outside of them refers to what they
// declare, but the courier's own task.
func TestOnlyTheCourierWrites(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]string{} // name, courier file
	var others []string
	for _, path := range files {
		switch {
		case strings.HasSuffix(path, "_test.go"):
		case strings.HasPrefix(path, "courier"):
			for _, name := range declaredIn(t, path) {
				declared[name] = path
			}
		default:
			others = append(others, path)
		}
	}
	if len(declared) < 10 {
		t.Fatalf("only %v is declared in courier files", declared)
	}
	for _, path := range others {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		code := withoutGoComments(string(source))
		if found := writers.FindString(code); found != "" {
			t.Errorf("%s holds %q, which writes", path, found)
		}
		code = withoutGoStrings(code)
		for name, file := range declared {
			if regexp.MustCompile(`\b` + name + `\b`).MatchString(code) {
				t.Errorf("%s refers to %s of %s", path, name, file)
			}
		}
	}
}

// declaredIn lists the functions and types of a file; methods by their own name,
// but for those of an interface that others share.
func declaredIn(t *testing.T, path string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || d.Name.Name == "submit" {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.Name != "Mark" && s.Name.Name != "Mailbox" { // fields of others have these names
					names = append(names, s.Name.Name)
				}
			}
		}
	}
	return names
}

// withoutGoComments takes line comments out: they may speak of what they like.
func withoutGoComments(source string) string {
	return regexp.MustCompile(`(?m)//.*$`).ReplaceAllString(source, "")
}

// withoutGoStrings takes the strings out: Courier is a mail server, too.
func withoutGoStrings(source string) string {
	return regexp.MustCompile("\"(\\\\.|[^\"\\\\\n])*\"|`[^`]*`").ReplaceAllString(source, `""`)
}
