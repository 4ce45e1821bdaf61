package guard

import (
	"context"
	"errors"
	"slices"
	"testing"

	"mailprobe/mail"
)

func TestNilGuardAllowsEveryLogin(t *testing.T) {
	var g *Guard
	p := g.Enter(context.Background(), user("a", "a.example", "a"), mail.NewSecret("p"))
	if !p.Allowed || !p.Connect || !p.Login(context.Background()) {
		t.Errorf("permit %+v, want allowed", p)
	}
	p.Done(wrong)
	if err := g.Release(user("a", "a.example", "a")); !errors.Is(err, ErrNotHeld) {
		t.Errorf("release: %v, want %v", err, ErrNotHeld)
	}
	if !g.Unkept().IsZero() || g.Close() != nil {
		t.Error("a nil guard has holds that are not kept, or cannot be closed")
	}
}

func TestGuardHashesAreUnambiguous(t *testing.T) {
	h := newFixture(t, "")
	at := func(host string) keyedHash { return h.serverHash(user("u", host, "u")) }
	tunnel := user("u", "localhost", "u")
	tunnel.Port = 1143
	names := []keyedHash{
		h.accountHash("", "a@b"), h.accountHash("", "a"), h.accountHash("y", "a"), h.accountHash("", `a\b`),
		at("x"), at("y"), at("192.0.2.1"), at("2001:db8::1"),
		at("127.0.0.1"), h.serverHash(tunnel),
	}
	slices.SortFunc(names, func(x, y keyedHash) int { return slices.Compare(x[:], y[:]) })
	if len(slices.Compact(names)) != 10 {
		t.Error("two names have one hash")
	}
	if at("::ffff:192.0.2.1") != at("192.0.2.1") || at("X.") != at("x") || at("localhost") != at("::1") || h.accountHash("", "A@B") != h.accountHash("B", "a@b") {
		t.Error("one name has two hashes")
	}
}
