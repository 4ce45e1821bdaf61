package mail

import (
	"slices"
	"testing"
)

func TestConnectionSetOverReloads(t *testing.T) {
	var set ConnectionSet[string]
	if _, ok := set.Get("a"); ok || len(set.All()) != 0 {
		t.Error("the zero value is not empty")
	}
	named := func(names ...string) (list []*Connection) {
		for _, name := range names {
			list = append(list, &Connection{Name: name})
		}
		return list
	}
	next := func(c *Connection, old string) string { return old + "+" + c.Name }
	for _, reload := range []struct {
		story       string
		connections []*Connection
		want        []string // sorted by name
	}{
		{"the first load", named("b", "a"), []string{"+a", "+b"}},
		{"one stays, one comes, one goes", named("c", "b"), []string{"+b+b", "+c"}},
		{"of two with one name the first counts", named("c", "c"), []string{"+c+c"}},
		{"one that comes back begins anew", named("a"), []string{"+a"}},
		{"nothing is configured", nil, nil},
	} {
		set.Replace(reload.connections, next)
		if got := set.All(); !slices.Equal(got, reload.want) {
			t.Errorf("%s: %q, want %q", reload.story, got, reload.want)
		}
		for _, c := range reload.connections {
			if value, ok := set.Get(c.Name); !ok || !slices.Contains(reload.want, value) {
				t.Errorf("%s: %s is %q", reload.story, c.Name, value)
			}
		}
	}
}
