package web

// This file turns a connection's history into the words and pictures of the pages.

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

// certificateDays is when a certificate chain expires.
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

// heldBecause returns which connection was refused, and when. A refusal of another
// connection with the same account holds this one too.
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

// newCertificateDays returns nil if the last probe saw no certificate.
func newCertificateDays(m *history.Snapshot, now time.Time) *certificateDays {
	if m.Last == nil || m.Last.TLS == nil || m.Last.TLS.NotAfter.IsZero() {
		return nil
	}
	end := m.Last.TLS.NotAfter
	return &certificateDays{Connection: m.Connection.Name, NotAfter: end,
		Text: human.Expiry(end, now), Level: m.Last.TLS.ValidityAt(now)}
}

// detailPath returns the path of a connection's page, relative to the root. The names .
// and .. are sent as a parameter, because browsers treat them as directories in a path.
func detailPath(name string) string {
	if name == "." || name == ".." {
		return "connections/?name=" + name
	}
	return "connections/" + url.PathEscape(name)
}
