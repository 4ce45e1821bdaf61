package web

// This file serves the routes: the page that shows each as a timeline of its
// legs, and the JSON API.

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailprobe/history"
	"mailprobe/internal/human"
	"mailprobe/mail"
)

// routesPage is the data of the page of all routes.
type routesPage struct {
	head
	Icon   string
	Routes []routeView
	Down   int
}

// routeView is one route.
type routeView struct {
	Name               string
	Send, Receive      linked // connections; no address: it may name a person
	State              history.State
	For                string // time in this state; empty: no message yet
	Interval, Deadline string
	Labels             []mail.Label
	Failure            *mail.RouteFailure
	Messages           []messageView // the last failed and the last good one, the newer first
	Counts             string        // of the last messages
}

// linked is a connection by name, with its page.
type linked struct{ Name, Href string }

// messageView is one message of a route.
type messageView struct {
	Title, Ago string
	Up         bool
	Legs       []legView
	Facts      []fact
	Hops       []hopView
}

// legView is one part of the timeline.
type legView struct {
	Leg      mail.Leg
	Took     string // "not finished" where it did not end
	Failed   bool
	X, Width float64 // place in the picture, which is legsWidth wide
}

// legsWidth is the width of a message's timeline, legLeast the smallest width of a
// leg.
const (
	legsWidth = 1000.0
	legLeast  = 8.0
)

// hopView is one relay, with the time since the one before.
type hopView struct{ By, From, Step string }

// serveRoutes is the page of all routes.
func (s *site) serveRoutes(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, "routes.html", func() any { return s.newRoutesPage() })
}

func (s *site) newRoutesPage() routesPage {
	p := routesPage{head: s.newHead(""), Icon: "up"}
	now := p.Now
	for _, snapshot := range s.History.Routes() {
		v := newRouteView(&snapshot, now)
		if v.State == history.StateDown {
			p.Down++
			p.Icon = "down"
		}
		p.Routes = append(p.Routes, v)
	}
	// Broken ones first, each kind by name.
	slices.SortStableFunc(p.Routes, func(a, b routeView) int { return cmp.Compare(rank(a.State), rank(b.State)) })
	return p
}

func newRouteView(s *history.RouteSnapshot, now time.Time) routeView {
	r := s.Route
	v := routeView{Name: r.Name, Send: linked{r.Send.Name, detailPath(r.Send.Name)}, Receive: linked{r.Receive.Name, detailPath(r.Receive.Name)}, State: s.State(),
		Interval: human.Elapsed(r.Interval), Deadline: human.Elapsed(r.Deadline), Labels: r.Labels}
	last := s.Last()
	if last == nil {
		return v
	}
	v.For, v.Failure = human.Elapsed(now.Sub(s.Since)), last.Failure
	good := 0
	for i := range s.Messages {
		if s.Messages[i].Up() {
			good++
		}
	}
	v.Counts = fmt.Sprintf("%d of the last %d messages arrived as configured", good, len(s.Messages))
	for _, o := range []*mail.RouteOutcome{s.LastBad, s.LastGood} {
		if o != nil {
			v.Messages = append(v.Messages, newMessageView(o, now))
		}
	}
	if last.Up() && len(v.Messages) == 2 {
		v.Messages[0], v.Messages[1] = v.Messages[1], v.Messages[0]
	}
	return v
}

func newMessageView(o *mail.RouteOutcome, now time.Time) messageView {
	v := messageView{Title: "Last failed message", Ago: human.Elapsed(now.Sub(o.Ended)), Up: o.Up()}
	if o.Up() {
		v.Title = "Last good message"
	}
	v.Legs = newLegs(o)
	v.Facts = messageFacts(o)
	before := o.Sent
	for _, hop := range o.Hops {
		h := hopView{By: hop.By, From: hop.From}
		if !hop.At.IsZero() {
			h.Step = human.Elapsed(hop.At.Sub(before))
			before = hop.At
		}
		v.Hops = append(v.Hops, h)
	}
	return v
}

// newLegs returns the timeline of a message. A leg that did not finish extends to the
// end of the timeline.
func newLegs(o *mail.RouteOutcome) []legView {
	whole := max(o.Total, o.Submit+o.Transfer)
	if o.Transfer == 0 {
		whole = max(whole, o.Ended.Sub(o.Sent))
	}
	var legs []legView
	x := 0.0
	for _, leg := range []struct {
		leg  mail.Leg
		took time.Duration
	}{{mail.LegSubmit, o.Submit}, {mail.LegTransfer, o.Transfer}} {
		l := legView{Leg: leg.leg, Took: "not finished", Failed: o.Failure != nil && o.Failure.Leg == leg.leg, X: x}
		if leg.took > 0 {
			l.Took = human.Duration(leg.took)
			l.Width = max(legLeast, legsWidth*leg.took.Seconds()/max(whole, leg.took).Seconds())
		} else if l.Failed {
			l.Width = legsWidth
		}
		l.Width = min(l.Width, legsWidth-x)
		x += l.Width
		legs = append(legs, l)
	}
	return legs
}

// messageFacts lists what is known of a message besides its times.
func messageFacts(o *mail.RouteOutcome) []fact {
	facts := []fact{{"Sent", o.Sent.UTC().Format("2006-01-02 15:04:05 MST")}}
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, fact{name, value})
		}
	}
	add("Message-ID", o.MessageID)
	if o.Delivered {
		add("Filed in", o.FolderAs)
		add("Uncertainty", "transfer may be shorter by "+human.Duration(o.Uncertainty))
		add("Copies", fmt.Sprintf("%d found, %d deleted", o.Copies, o.Deleted))
	}
	var results []string
	for _, check := range mail.SenderChecks() {
		if result, ok := o.Authentication[check]; ok {
			results = append(results, string(check)+" "+string(result))
		}
	}
	authentication := strings.Join(results, ", ")
	if authentication != "" && !o.Trusted {
		authentication += " (not by the configured host)"
	}
	add("Authentication", authentication)
	add("Delivery status", o.DSN)
	return facts
}

// routeJSON is the JSON form of a route with its last messages.
type routeJSON struct {
	Name     string                `json:"name"`
	State    history.State         `json:"state"`
	Since    time.Time             `json:"since,omitzero"`
	Send     string                `json:"send"`
	Receive  string                `json:"receive"`
	Interval float64               `json:"interval_seconds"`
	Deadline float64               `json:"deadline_seconds"`
	Labels   map[string]string     `json:"labels,omitempty"`
	LastGood *history.RouteResult  `json:"last_success,omitempty"`
	LastBad  *history.RouteResult  `json:"last_failure,omitempty"`
	Messages []history.RouteResult `json:"history,omitempty"`
}

func newRouteJSON(s *history.RouteSnapshot) routeJSON {
	r := s.Route
	j := routeJSON{Name: r.Name, State: s.State(), Since: s.Since.UTC(), Send: r.Send.Name, Receive: r.Receive.Name,
		Interval: r.Interval.Seconds(), Deadline: r.Deadline.Seconds()}
	for _, l := range r.Labels {
		if j.Labels == nil {
			j.Labels = map[string]string{}
		}
		j.Labels[l.Name] = l.Value
	}
	result := func(o *mail.RouteOutcome) *history.RouteResult {
		if o == nil {
			return nil
		}
		r := history.NewRouteResult(o)
		return &r
	}
	j.LastGood, j.LastBad = result(s.LastGood), result(s.LastBad)
	for i := range s.Messages {
		j.Messages = append(j.Messages, history.NewRouteResult(&s.Messages[i]))
	}
	return j
}

// serveRoutesJSON lists all routes, sorted by name.
func (s *site) serveRoutesJSON(w http.ResponseWriter, _ *http.Request) {
	items := func(yield func(any) bool) {
		for _, snapshot := range s.History.Routes() {
			if !yield(newRouteJSON(&snapshot)) {
				return
			}
		}
	}
	out := s.answers.jsonWriter(w)
	_, _ = out.WriteString(`{"routes":`)
	if !s.answers.streamList(out, items) {
		return // the client has left
	}
	_, _ = out.WriteString("}\n")
	_ = out.Flush() // the client may have left
}
