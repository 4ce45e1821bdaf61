package history

import (
	"testing"
	"time"

	"mailprobe/mail"
)

func TestRoutesAreRememberedAcrossAReload(t *testing.T) {
	send := &mail.Connection{Name: "out", Protocol: mail.SMTP, Host: "mx.example.org"}
	receive := &mail.Connection{Name: "in", Protocol: mail.IMAP, Host: "mx.example.org"}
	definition := func() *mail.Route {
		return &mail.Route{Name: "path", Send: send, Receive: receive, From: "a@example.org", To: "b@example.org", Interval: time.Minute}
	}
	h := &History{}
	h.SetRoutes([]*mail.Route{definition()})
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	observe := func(failed bool) {
		at = at.Add(time.Minute)
		o := mail.RouteOutcome{Route: definition(), Ended: at}
		if failed {
			o.Failure = &mail.RouteFailure{Leg: mail.LegTransfer, Reason: mail.NotDelivered}
		}
		h.ObserveRoute(o)
	}
	for range 60 {
		observe(false)
	}
	observe(true)
	down := at
	observe(true)
	h.SetRoutes([]*mail.Route{definition()})
	s, ok := snapshotOf(h, "path")
	if !ok || s.State() != StateDown || !s.Since.Equal(down) || len(s.Messages) != maxMessages || s.LastGood == nil || s.LastBad == nil {
		t.Errorf("%v, down since %v, %d messages; want it down since %v with %d", s.State(), s.Since, len(s.Messages), down, maxMessages)
	}
	other := definition()
	other.To = "c@example.org"
	h.SetRoutes([]*mail.Route{other})
	observe(false) // of the route to the old address
	if s, _ := snapshotOf(h, "path"); s.State() != StateUnknown {
		t.Errorf("%v after the address changed, want unknown", s.State())
	}
	h.SetRoutes(nil)
	if _, ok := snapshotOf(h, "path"); ok || len(h.Routes()) != 0 {
		t.Error("a removed route is remembered")
	}
}

// snapshotOf returns the snapshot of one route; false: it is not configured.
func snapshotOf(h *History, name string) (RouteSnapshot, bool) {
	for _, s := range h.Routes() {
		if s.Route.Name == name {
			return s, true
		}
	}
	return RouteSnapshot{}, false
}
