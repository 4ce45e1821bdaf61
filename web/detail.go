package web

// This file serves the page of one connection.

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"mailprobe/history"
	"mailprobe/internal/human"
	"mailprobe/mail"
)

// detail is the data of a connection's page.
type detail struct {
	head
	Icon string
	listItem
	Interval, Timeout string
	Retry             string // where to post; empty: there is nothing to retry
	Good, Bad         *probeView
	Chain             []certificateView
	Fingerprint       string
	Changes           []changeView      // newest first
	Failures          []history.Failure // the latest first
}

// probeView is one whole probe.
type probeView struct {
	Title    string
	Up       bool
	At       time.Time
	Ago      string
	Duration string
	Phases   phaseBar
	Failure  *mail.Failure
	Facts    []fact
	Lines    []lineView
}

// fact is a line of a list of facts.
type fact struct{ Name, Value string }

// lineView is a line of the dialogue.
type lineView struct{ At, Class, Mark, Text string }

// changeView is a change of state, and how long the new state lasted.
type changeView struct {
	history.Sample
	Lasted string
}

// certificateView is one presented certificate.
type certificateView struct {
	mail.CertificateFacts
	Level mail.Validity
}

// serveDetail is the page of one connection.
func (s *site) serveDetail(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if name == "" {
		name = r.URL.Query().Get("name")
	}
	m, ok := s.History.Get(name)
	if !ok {
		s.notFound(w, r, "../", "There is no connection of this name; it may have been renamed, or removed from the configuration.")
		return
	}
	s.render(w, r, "detail.html", func() any { return s.newDetail(&m) })
}

func (s *site) newDetail(m *history.Snapshot) detail {
	head := s.newHead("../")
	now := head.Now
	d := detail{head: head, Icon: string(m.State()), listItem: newListItem(m, now),
		Interval: "every " + promDuration(m.Connection.Interval), Timeout: promDuration(m.Connection.Timeout),
		Good: newProbeView("Last successful probe", m.LastSuccess, now), Bad: newProbeView("Last failed probe", m.LastFailure, now)}
	if m.Last != nil && m.Last.Spacing() > m.Connection.Interval {
		d.Interval = "every " + promDuration(m.Last.Spacing()) + " because the server asks for fewer probes"
	}
	if m.Connection.ProbeOnScrape {
		d.Interval = "on each scrape"
	}
	if s.Retry && s.Release != nil && !d.HeldUntil.IsZero() {
		d.Retry = "../-/retry?from_page&connection=" + url.QueryEscape(m.Connection.Name)
	}
	if m.Last != nil && m.Last.TLS != nil {
		d.Fingerprint = m.Last.TLS.FingerprintSHA256
		for _, c := range m.Last.TLS.Chain {
			d.Chain = append(d.Chain, certificateView{c, mail.ValidityAt(c.NotBefore, c.NotAfter, now)})
		}
	}
	end := now
	for _, b := range slices.Backward(m.Changes) {
		d.Changes = append(d.Changes, changeView{b, human.Elapsed(end.Sub(b.At))})
		end = b.At
	}
	d.Failures = slices.Clone(m.Failures)
	slices.Reverse(d.Failures)
	return d
}

func newProbeView(title string, o *mail.Outcome, now time.Time) *probeView {
	if o == nil {
		return nil
	}
	v := &probeView{Title: title, Up: o.Up(), At: o.End, Ago: human.Elapsed(now.Sub(o.End)), Duration: human.Duration(o.Duration()),
		Phases: newPhaseBar(o), Failure: o.Failure, Facts: facts(o)}
	marks := map[mail.Side]string{mail.Client: "→", mail.Server: "←", mail.Note: "·"}
	for _, line := range o.Transcript {
		v.Lines = append(v.Lines, lineView{human.Duration(line.At), history.SideWord(line.From), marks[line.From], line.Text})
	}
	return v
}

// facts lists what is known from a probe besides its durations. Facts that are not known
// are left out.
func facts(o *mail.Outcome) []fact {
	var list []fact
	add := func(known bool, name, value string) {
		if known {
			list = append(list, fact{name, value})
		}
	}
	add(o.Address != "", "Connected to", o.Address)
	if t := o.TLS; t != nil {
		add(t.Version != "", "TLS", t.Version+", "+t.Cipher)
		verified := "not trusted, or not verified"
		if t.Verified {
			verified = "trusted"
		}
		add(true, "Certificate", verified)
	}
	a := o.Auth
	add(a.Accepted, "Login", fmt.Sprintf("accepted (%s)", a.Mechanism))
	add(a.Sent && !a.Accepted, "Login", fmt.Sprintf("not accepted (%s)", a.Mechanism))
	add(a.Held, "Login", "withheld, to keep the account from being locked")
	if b := o.Mailbox; b.Tried {
		state := "refused"
		if b.OK {
			state = "opened"
		}
		if o.Connection.Protocol == mail.SMTP && b.OK {
			state = "sender accepted"
		}
		add(true, "Mailbox", state)
		add(b.Counted, "Messages", fmt.Sprint(b.Messages))
		list = append(list, mailboxFacts(o)...)
	}
	add(o.Goodbye != "", "Goodbye", "failed: "+string(o.Goodbye))
	return list
}
