package mail

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declared returns the values of the constants of a type, as connection.go declares them.
func declared(t *testing.T, typeName string) (words []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "connection.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if named, ok := spec.Type.(*ast.Ident); ok && named.Name == typeName {
			for _, value := range spec.Values {
				word, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				words = append(words, word)
			}
		}
		return true
	})
	return words
}

// The lists from which the other packages make keywords, tables and tests are complete.
func TestEveryWordIsListed(t *testing.T) {
	wordsOf := func(list any) (words []string) {
		switch list := list.(type) {
		case []Protocol:
			for _, p := range list {
				words = append(words, string(p))
			}
		case []AuthMethod:
			for _, m := range list {
				words = append(words, string(m))
			}
		}
		return words
	}
	for typeName, list := range map[string]any{"Protocol": Protocols(), "AuthMethod": AuthMethods()} {
		if got, want := wordsOf(list), declared(t, typeName); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%ss: listed %q, declared %q", typeName, got, want)
		}
	}
}

func TestEveryProtocolHasPorts(t *testing.T) {
	for _, p := range Protocols() {
		for _, e := range []Encryption{NoEncryption, ImplicitTLS, StartTLS} {
			port := DefaultPort(p, e)
			if usual, implicitTLS := UsualService(port); port == 0 || usual != p || implicitTLS != (e == ImplicitTLS) {
				t.Errorf("%s with %s: port %d, where %q is usual (implicit TLS: %v)", p, e, port, usual, implicitTLS)
			}
		}
	}
	if p, implicitTLS := UsualService(0); p != "" || implicitTLS {
		t.Errorf("%q is usual on no port", p)
	}
}

// The page about logins explains each word of auth.
func TestEveryMethodIsExplained(t *testing.T) {
	page, err := os.ReadFile("../docs/authentication.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range AuthMethods() {
		if !strings.Contains(string(page), "`"+string(m)+"`") {
			t.Errorf("docs/authentication.md does not explain `%s`", m)
		}
	}
}
