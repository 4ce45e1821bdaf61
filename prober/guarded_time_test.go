package prober

import (
	"context"
	"testing"
	"time"

	"mailprobe/guard"
	"mailprobe/mail"
)

// Verdicts on logins that a story makes without a server.
var (
	right = guard.AuthVerdict{Tried: true, Accepted: true, Address: "192.0.2.1:993"}
	wrong = guard.AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.AuthRejected, Address: "192.0.2.1:993"}
)

// guardedTime is a guard with a clock that the story sets.
type guardedTime struct {
	*guard.Guard
	at time.Time
}

func newGuardedTime(t *testing.T) *guardedTime {
	h := &guardedTime{at: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	g, err := guard.New(guard.Options{Now: func() time.Time { return h.at }})
	if err != nil {
		t.Fatal(err)
	}
	h.Guard = g
	return h
}

func (h *guardedTime) sleep(d time.Duration) { h.at = h.at.Add(d) }

// probe asks for a login without a server; it gets the verdict if it is allowed.
func (h *guardedTime) probe(c *mail.Connection, secret string, v guard.AuthVerdict) *guard.Permit {
	p := h.Enter(context.Background(), c, mail.NewSecret(secret))
	if !p.Allowed || !p.Login(context.Background()) {
		v = guard.AuthVerdict{}
	}
	p.Done(v)
	return p
}

func (h *guardedTime) wantAllowed(t *testing.T, c *mail.Connection, secret string) {
	t.Helper()
	if p := h.probe(c, secret, guard.AuthVerdict{}); !p.Allowed {
		t.Fatalf("held for %+v, want allowed", p.Hold)
	}
}
