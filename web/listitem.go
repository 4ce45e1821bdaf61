package web

// This file turns what is remembered of a connection into the words and
// pictures of the pages.

import (
	"net/url"
	"strings"
	"time"

	"mailprobe/history"
	"mailprobe/internal/human"
	"mailprobe/mail"
)

// listItem is a connection as the status page shows it.
type listItem struct {
	Name, Href           string
	Protocol, Encryption string // as people write them
	Address              string
	Labels               []mail.Label
	State                history.State
	For                  string // how long it has been so
	Failure              *mail.Failure
	HeldUntil            time.Time // the login is withheld; zero: it is not
	HeldBecause          string    // whose refusal that was, and when; empty: not known
	Overdue              bool      // the last result is older than it should be
	Age                  string    // of the last result
	At                   time.Time
	Duration             string
	Samples              sampleBar
	Phases               phaseBar
	TLS                  string // version, or what is there instead
	Certificate          *certificateDays
	Mailbox              *mailboxView // nil: not watched, or the last probe did not see it
}

// certificateDays is when a chain ends.
type certificateDays struct {
	Connection string
	NotAfter   time.Time
	Text       string        // the days left, in words
	Level      mail.Validity // a class of the style sheet
}

func newListItem(m *history.Snapshot, now time.Time) listItem {
	c := m.Connection
	r := listItem{Name: c.Name, Href: detailPath(c.Name), Protocol: strings.ToUpper(string(c.Protocol)),
		Encryption: c.Encryption.Word(), Address: c.Address(), Labels: c.Labels,
		State: m.State(), Samples: newSampleBar(m.Samples)}
	if m.Last == nil {
		return r
	}
	r.For, r.Age, r.At = human.Elapsed(now.Sub(m.Since)), human.Elapsed(now.Sub(m.Last.End)), m.Last.End
	r.Overdue = !c.ProbeOnScrape && now.Sub(m.Last.End) > 3*m.Last.Spacing()
	r.Failure = m.Last.Failure
	if m.Last.Auth.Withheld() {
		r.HeldUntil, r.HeldBecause = m.Last.Auth.NextAttempt, heldBecause(m)
	}
	r.Duration, r.Phases = human.Duration(m.Last.Duration()), newPhaseBar(m.Last)
	r.Certificate, r.Mailbox = newCertificateDays(m, now), newMailboxView(m.Last)
	if m.Last.TLS != nil {
		r.TLS = m.Last.TLS.Version
	}
	return r
}

// heldBecause says which connection was refused when. That of another one with
// the same account holds this one too.
func heldBecause(m *history.Snapshot) string {
	a := m.Last.Auth
	switch {
	case a.HeldSince.IsZero():
		return ""
	case a.HeldBy == "" || a.HeldBy == m.Connection.Name:
		return "It was refused at " + a.HeldSince.Format("15:04 MST, 2 Jan") + "."
	}
	return "The same login was refused on the connection " + a.HeldBy + " at " + a.HeldSince.Format("15:04 MST, 2 Jan") + "."
}

// newCertificateDays is nil where no certificate was seen by the last probe.
func newCertificateDays(m *history.Snapshot, now time.Time) *certificateDays {
	if m.Last == nil || m.Last.TLS == nil || m.Last.TLS.NotAfter.IsZero() {
		return nil
	}
	end := m.Last.TLS.NotAfter
	return &certificateDays{Connection: m.Connection.Name, NotAfter: end,
		Text: human.Expiry(end, now), Level: m.Last.TLS.ValidityAt(now)}
}

// detailPath is the page of a connection, relative to the root. A path cannot
// hold the names . and ..: browsers take them for directories.
func detailPath(name string) string {
	if name == "." || name == ".." {
		return "connections/?name=" + name
	}
	return "connections/" + url.PathEscape(name)
}
