package main

// This file checks two rules for all tests: no sleep without a reason, and no function
// longer than two screens.

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

// In lines: the longest function of a test, and what a longer one may have beside its
// table.
const twoScreens, oneScreen = 110, 57

// A sleep makes a test slow, and lets it fail on a busy machine. Where there is no event to
// wait for, a comment on the line of the sleep, or on the line before, says so. In a
// bubble of synctest a sleep takes no time.
func TestTestsSleepOnlyWithAReason(t *testing.T) {
	sleeps := 0
	eachTestFile(t, func(files *token.FileSet, file *ast.File) {
		bubbles := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
		reasons := map[int]bool{}
		for _, group := range file.Comments {
			reasons[files.Position(group.Pos()).Line] = true
			reasons[files.Position(group.End()).Line+1] = true
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isSleep(call) {
				return true
			}
			sleeps++
			if at := files.Position(call.Pos()); !bubbles && !reasons[at.Line] {
				t.Errorf("%s: time.Sleep without synctest, and no comment says why", at)
			}
			return true
		})
	})
	if sleeps == 0 {
		t.Error("no sleep was found: the test files were not read")
	}
}

func TestFunctionsOfTestsFitTwoScreens(t *testing.T) {
	longest := 0
	eachTestFile(t, func(files *token.FileSet, file *ast.File) {
		for _, declaration := range file.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines, table := height(files, f), largestTable(files, f)
			longest = max(longest, lines)
			if lines > twoScreens && lines-table > oneScreen {
				t.Errorf("%s: %s has %d lines, %d of them a table", files.Position(f.Pos()), f.Name.Name, lines, table)
			}
		}
	})
	t.Logf("the longest has %d lines", longest)
	if longest == 0 {
		t.Error("no function was found")
	}
}

// height is the number of lines of a piece of source.
func height(files *token.FileSet, n ast.Node) int {
	return files.Position(n.End()).Line - files.Position(n.Pos()).Line + 1
}

// largestTable is the height of the largest literal in a function.
func largestTable(files *token.FileSet, f *ast.FuncDecl) (lines int) {
	ast.Inspect(f, func(n ast.Node) bool {
		if literal, ok := n.(*ast.CompositeLit); ok {
			lines = max(lines, height(files, literal))
		}
		return true
	})
	return lines
}

// isSleep reports whether a call is time.Sleep.
func isSleep(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := f.X.(*ast.Ident)
	return ok && from.Name == "time" && f.Sel.Name == "Sleep"
}

// eachTestFile parses every file of tests.
func eachTestFile(t *testing.T, look func(*token.FileSet, *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err == nil {
			look(files, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
