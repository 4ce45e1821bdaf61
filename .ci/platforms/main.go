// Command platforms type-checks and vets a module for platforms other than this
// one, tests included, from source: about 7 s of processor time each. `go vet`
// would first compile every dependency for each platform.
// Run it in the module's top folder: platforms GOOS/GOARCH...
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/passes/appends"
	"golang.org/x/tools/go/analysis/passes/assign"
	"golang.org/x/tools/go/analysis/passes/atomic"
	"golang.org/x/tools/go/analysis/passes/bools"
	"golang.org/x/tools/go/analysis/passes/buildtag"
	"golang.org/x/tools/go/analysis/passes/composite"
	"golang.org/x/tools/go/analysis/passes/copylock"
	"golang.org/x/tools/go/analysis/passes/defers"
	"golang.org/x/tools/go/analysis/passes/directive"
	"golang.org/x/tools/go/analysis/passes/errorsas"
	"golang.org/x/tools/go/analysis/passes/httpresponse"
	"golang.org/x/tools/go/analysis/passes/ifaceassert"
	"golang.org/x/tools/go/analysis/passes/loopclosure"
	"golang.org/x/tools/go/analysis/passes/lostcancel"
	"golang.org/x/tools/go/analysis/passes/nilfunc"
	"golang.org/x/tools/go/analysis/passes/printf"
	"golang.org/x/tools/go/analysis/passes/shift"
	"golang.org/x/tools/go/analysis/passes/sigchanyzer"
	"golang.org/x/tools/go/analysis/passes/slog"
	"golang.org/x/tools/go/analysis/passes/stdmethods"
	"golang.org/x/tools/go/analysis/passes/stringintconv"
	"golang.org/x/tools/go/analysis/passes/structtag"
	"golang.org/x/tools/go/analysis/passes/testinggoroutine"
	"golang.org/x/tools/go/analysis/passes/tests"
	"golang.org/x/tools/go/analysis/passes/timeformat"
	"golang.org/x/tools/go/analysis/passes/unmarshal"
	"golang.org/x/tools/go/analysis/passes/unreachable"
	"golang.org/x/tools/go/analysis/passes/unsafeptr"
	"golang.org/x/tools/go/analysis/passes/unusedresult"
	"golang.org/x/tools/go/packages"
)

// analyzers are those of `go vet` that read Go; the others read assembler and C.
var analyzers = []*analysis.Analyzer{
	appends.Analyzer, assign.Analyzer, atomic.Analyzer, bools.Analyzer, buildtag.Analyzer, composite.Analyzer, copylock.Analyzer,
	defers.Analyzer, directive.Analyzer, errorsas.Analyzer, httpresponse.Analyzer, ifaceassert.Analyzer, loopclosure.Analyzer,
	lostcancel.Analyzer, nilfunc.Analyzer, printf.Analyzer, shift.Analyzer, sigchanyzer.Analyzer, slog.Analyzer, stdmethods.Analyzer,
	stringintconv.Analyzer, structtag.Analyzer, testinggoroutine.Analyzer, tests.Analyzer, timeformat.Analyzer, unmarshal.Analyzer,
	unreachable.Analyzer, unsafeptr.Analyzer, unusedresult.Analyzer,
}

func main() {
	failed := false
	for _, platform := range os.Args[1:] {
		findings, err := check(platform)
		if err != nil {
			findings = append(findings, err.Error())
		}
		for _, finding := range findings {
			fmt.Printf("%s: %s\n", platform, finding)
		}
		failed = failed || len(findings) > 0
	}
	if failed {
		os.Exit(1)
	}
}

// check returns what is wrong with the module of the working directory when it is
// built for a platform.
func check(platform string) (findings []string, err error) {
	system, architecture, _ := strings.Cut(platform, "/")
	top, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	// The main packages of test binaries are generated, in the build cache.
	ours := func(file string) bool { return strings.HasPrefix(file, top+string(filepath.Separator)) }
	all, err := packages.Load(&packages.Config{
		Mode:  packages.LoadAllSyntax | packages.NeedForTest,
		Tests: true,
		Env:   append(os.Environ(), "GOOS="+system, "GOARCH="+architecture, "CGO_ENABLED=0"),
		ParseFile: func(files *token.FileSet, name string, text []byte) (*ast.File, error) {
			file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution|parser.ParseComments)
			if file != nil && !ours(name) {
				dropBodies(file)
			}
			return file, err
		},
	}, "./...")
	if err != nil {
		return nil, err
	}
	tested := map[string]bool{} // packages that are there with their tests as well
	for _, pkg := range all {
		tested[pkg.PkgPath] = tested[pkg.PkgPath] || pkg.ForTest == pkg.PkgPath
	}
	var sound []*packages.Package
	for _, pkg := range all {
		if len(pkg.CompiledGoFiles) == 0 || !ours(pkg.CompiledGoFiles[0]) || tested[pkg.PkgPath] && pkg.ForTest == "" {
			continue
		}
		for _, e := range pkg.Errors {
			findings = append(findings, e.Error())
		}
		sound = append(sound, pkg)
	}
	if len(sound) == 0 {
		return nil, fmt.Errorf("no package in %s", top)
	}
	if len(findings) > 0 {
		return findings, nil
	}
	return vet(sound)
}

// dropBodies makes a dependency cheap: only its declarations count here.
func dropBodies(file *ast.File) {
	for _, declaration := range file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok {
			function.Body = nil
		}
	}
}

func vet(all []*packages.Package) (findings []string, err error) {
	// Dependencies without bodies have imports that nothing uses: no error here.
	packages.Visit(all, nil, func(pkg *packages.Package) { pkg.IllTyped = false })
	graph, err := checker.Analyze(analyzers, all, nil)
	if err != nil {
		return nil, err
	}
	for _, action := range graph.Roots {
		if action.Err != nil {
			return nil, fmt.Errorf("%s: %w", action, action.Err)
		}
		for _, d := range action.Diagnostics {
			findings = append(findings, fmt.Sprintf("%s: %s", action.Package.Fset.Position(d.Pos), d.Message))
		}
	}
	return findings, nil
}
