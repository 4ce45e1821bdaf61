package shard

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mailprobe/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	for _, test := range []struct {
		text, hostname string
		want           Shard
		wantError      string
	}{
		{"", "host", Shard{}, ""},
		{"0/3", "host", Shard{0, 3}, ""},
		{"2/3", "host", Shard{2, 3}, ""},
		{"ordinal/3", "mailprobe-1", Shard{1, 3}, ""},
		{"ordinal/3", "1", Shard{1, 3}, ""},
		{"mailprobe-eu-2/3", "host", Shard{2, 3}, ""},
		{"3/3", "host", Shard{}, "counted from 0 to 2"},
		{"ordinal/3", "mailprobe-7", Shard{}, "share 7 of 3 does not exist"},
		{"ordinal/3", "mailprobe-7d4b9c-x2x9z", Shard{}, "neither a number nor a name"},
		{"ordinal/3", "", Shard{}, "neither a number nor a name"},
		{"-1/3", "host", Shard{}, "neither a number nor a name"},
		{"0", "host", Shard{}, "is not I/N"},
		{"0/0", "host", Shard{}, "is not I/N"},
		{"0/x", "host", Shard{}, "is not I/N"},
		{"0/3/4", "host", Shard{}, "is not I/N"},
		{"0/100000", "host", Shard{}, "is not I/N"},
	} {
		got, err := Parse(test.text, test.hostname)
		if got != test.want || (err == nil) != (test.wantError == "") || err != nil && !strings.Contains(err.Error(), test.wantError) {
			t.Errorf("%q on %q: %v, %v; want %v, %q", test.text, test.hostname, got, err, test.want, test.wantError)
		}
	}
}

// fleet has 200 servers with one to nine connections, of two accounts each, and
// one server that is larger than a share.
func fleet() (connections []*mail.Connection) {
	add := func(host, user string) {
		connections = append(connections, &mail.Connection{Name: fmt.Sprintf("c%d", len(connections)), Host: host, Username: user})
	}
	for i := range 200 {
		for j := range 1 + i%9 {
			host := fmt.Sprintf("mail%d.example.org", i)
			if j%2 == 1 {
				host = strings.ToUpper(host) // the same server
			}
			add(host, fmt.Sprintf("user%d@example.org", j%2))
		}
	}
	for i := range 3000 {
		add("large.example.org", fmt.Sprintf("user%d@example.org", i/3))
	}
	return connections
}

func TestSharesAreEverythingOnceAndKeepServersTogether(t *testing.T) {
	all := fleet()
	const count = 3
	owners := map[string]int{}
	byServer := map[string]map[int]bool{}
	for i := range count {
		share := Shard{i, count}.Of(all)
		if ideal := len(all) / count; len(share) < ideal*8/10 || len(share) > ideal*12/10 {
			t.Errorf("share %d has %d of %d connections", i, len(share), len(all))
		}
		for _, c := range share {
			if other, twice := owners[c.Name]; twice {
				t.Fatalf("%s is in the shares %d and %d", c.Name, other, i)
			}
			owners[c.Name] = i
			key := server(c)
			if key == "large.example.org" {
				key += " " + account(c)
			}
			if byServer[key] == nil {
				byServer[key] = map[int]bool{}
			}
			byServer[key][i] = true
		}
	}
	if len(owners) != len(all) {
		t.Errorf("%d of %d connections are in a share", len(owners), len(all))
	}
	for key, shares := range byServer {
		if len(shares) != 1 {
			t.Errorf("%s is in %d shares", key, len(shares))
		}
	}
}

func TestOneShareMoreMovesOnlyItsShare(t *testing.T) {
	all := fleet()
	before, after := map[string]int{}, map[string]int{}
	for _, at := range []struct {
		count int
		into  map[string]int
	}{{3, before}, {4, after}} {
		for i := range at.count {
			for _, c := range (Shard{i, at.count}).Of(all) {
				at.into[c.Name] = i
			}
		}
	}
	moved := 0
	for name, i := range after {
		if i == before[name] {
			continue
		}
		if moved++; i != 3 {
			t.Errorf("%s moved from %d to %d, which is not the new share", name, before[name], i)
		}
	}
	if moved < len(all)/5 || moved > len(all)*3/10 {
		t.Errorf("%d of %d connections moved, want about a quarter", moved, len(all))
	}
}

func TestOneShareIsEverything(t *testing.T) {
	all := fleet()
	for _, s := range []Shard{{}, {0, 1}} {
		if got := s.Of(all); len(got) != len(all) {
			t.Errorf("%v has %d of %d", s, len(got), len(all))
		}
	}
}

func TestRouteIsInTheShareOfTheMailboxWhereItArrives(t *testing.T) {
	connections := fleet()
	var routes []*mail.Route
	for i, c := range connections {
		routes = append(routes, &mail.Route{Name: fmt.Sprintf("r%d", i), Send: connections[0], Receive: c})
	}
	sent := map[string]int{}
	for i := range 3 {
		own := Shard{Index: i, Count: 3}.Of(connections)
		for _, r := range Routes(routes, own) {
			sent[r.Name]++
			if !slices.Contains(own, r.Receive) {
				t.Errorf("share %d: route %s is looked for through %s, which another share probes", i, r.Name, r.Receive.Name)
			}
		}
	}
	for _, r := range routes {
		if sent[r.Name] != 1 {
			t.Errorf("route %s: sent by %d shares, want 1", r.Name, sent[r.Name])
		}
	}
}
