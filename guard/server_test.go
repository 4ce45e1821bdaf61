package guard

import (
	"context"
	"fmt"
	"testing"
	"time"

	"mailprobe/mail"
)

// Refusals of several accounts open the circuit breaker of the server.
func TestRefusalsOfSeveralAccountsHoldTheServer(t *testing.T) {
	var users []*mail.Connection
	for i := range 20 {
		users = append(users, user(fmt.Sprint("u", i), "mail.example", fmt.Sprint("u", i)))
	}
	allKnown := func(h *fixture) {
		for _, c := range users {
			h.probe(c, "p", right)
		}
	}
	tellStories(t, []story{
		{"after two refused newcomers the others wait for the window", func(_ *testing.T, h *fixture) {
			h.probe(users[0], "p", right)
			h.probe(users[1], "p", wrong)
			h.sleep(4 * time.Minute)
			h.probe(users[2], "p", wrong)
			h.wantHeld(users[3], "p", mail.AuthHeld, 6*time.Minute)
			h.wantAllowed(users[0], "p") // it is known to work
			h.sleep(6 * time.Minute)
			h.wantAllowed(users[3], "p")
		}},
		{"two that worked open the circuit breaker, with one half-open probe", func(t *testing.T, h *fixture) {
			allKnown(h)
			h.probe(users[0], "p", wrong)
			h.probe(users[1], "p", wrong)
			h.sleep(time.Second)
			if !h.probe(users[2], "p", wrong).Allowed {
				t.Fatal("the first half-open probe must wait although 3 refusals are no ban")
			}
			for _, c := range users[3:] {
				if p := h.probe(c, "p", wrong); p.Allowed || p.Hold.Reason != mail.AuthHeld || p.Hold.Until.Sub(h.at) > breakerWindow {
					t.Fatalf("%s: allowed %v with %+v, want held until the next half-open probe", c.Name, p.Allowed, p.Hold)
				}
			}
			h.sleep(10 * time.Minute)
			if !h.probe(users[3], "p", right).Allowed {
				t.Fatal("no second half-open probe after ten minutes")
			}
			for _, c := range users[4:] {
				h.wantAllowed(c, "p")
			}
			if h.logged("mass failure:") != 1 || h.logged("mass failure over") != 1 {
				t.Errorf("log %q, want begin and end once", h.lines)
			}
		}},
		{"a half-open probe that ends before its login lets another one begin", func(t *testing.T, h *fixture) {
			allKnown(h)
			h.probe(users[0], "p", wrong)
			h.probe(users[1], "p", wrong)
			for range 5 {
				if p := h.Enter(context.Background(), users[2], mail.NewSecret("p")); !p.Allowed {
					t.Fatalf("held: %+v", p.Hold)
				} else {
					p.Done(dead)
				}
			}
		}},
		{"an address in common makes one server of two hosts", func(_ *testing.T, h *fixture) {
			h.probe(users[0], "p", right)
			alias := user("alias", "imap.example", "new")
			h.probe(alias, "p", AuthVerdict{Tried: true, Accepted: true, Address: "192.0.2.1:143"})
			h.probe(users[1], "p", wrong)
			h.probe(users[2], "p", wrong)
			h.wantHeld(user("x", "imap.example", "x"), "p", mail.AuthHeld, breakerWindow)
			h.wantHeld(user("y", "192.0.2.1", "y"), "p", mail.AuthHeld, breakerWindow)
			h.wantAllowed(user("z", "192.0.2.2", "z"), "p")
		}},
		{"two hosts with refusals each turn out to be one", func(_ *testing.T, h *fixture) {
			there := wrong
			there.Address = "192.0.2.9:993"
			h.probe(users[0], "p", wrong)
			h.probe(user("a", "other.example", "a"), "p", there)
			h.wantAllowed(user("b", "other.example", "b"), "p")
			h.probe(user("c", "other.example", "c"), "p", right) // at 192.0.2.1
			h.wantHeld(users[1], "p", mail.AuthHeld, breakerWindow)
			h.wantHeld(user("d", "192.0.2.9", "d"), "p", mail.AuthHeld, breakerWindow)
		}},
		{"a login refused by the guard at the last moment", func(t *testing.T, h *fixture) {
			allKnown(h)
			late := h.Enter(context.Background(), users[5], mail.NewSecret("p"))
			h.sleep(time.Second) // still dialling: the others do not wait for it
			for _, c := range users[:3] {
				h.probe(c, "p", wrong)
			}
			if late.Login(context.Background()) || late.Hold.Reason != mail.AuthHeld {
				t.Errorf("login goes on with hold %+v, want withheld: the server refuses every login", late.Hold)
			}
			late.Done(dead)
		}},
	})
}
