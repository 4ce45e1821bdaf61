package web

// This file turns what is remembered of a connection into the words and
// pictures of the pages.

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"mailprobe/history"
	"mailprobe/mail"
)

// row is a connection as the status page shows it.
type row struct {
	Name, Href           string
	Protocol, Encryption string // as people write them
	Address              string
	Labels               []mail.Label
	State                history.State
	For                  string // how long it has been so
	Failure              *mail.Failure
	HeldUntil            time.Time // the login is withheld; zero: it is not
	Overdue              bool      // the last result is older than it should be
	Age                  string    // of the last result
	At                   time.Time
	Duration             string
	Samples              sampleBar
	Phases               phaseBar
	TLS                  string // version, or what is there instead
	Certificate          *certificateDays
}

// certificateDays is when a chain ends.
type certificateDays struct {
	Connection string
	NotAfter   time.Time
	Days       int
	Level      string // ok, soon, late: a class of the style sheet
}

// encryptionWords is how people write it; read only.
var encryptionWords = map[mail.Encryption]string{
	mail.NoEncryption: "no encryption", mail.ImplicitTLS: "SSL/TLS", mail.StartTLS: "STARTTLS",
}

func newRow(m *history.Snapshot, now time.Time) row {
	c := m.Connection
	r := row{Name: c.Name, Href: detailPath(c.Name), Protocol: strings.ToUpper(string(c.Protocol)),
		Encryption: encryptionWords[c.Encryption], Address: c.Address(), Labels: c.Labels,
		State: m.State(), Samples: newSampleBar(m.Samples)}
	if m.Last == nil {
		return r
	}
	r.For, r.Age, r.At = span(now.Sub(m.Since)), span(now.Sub(m.Last.End)), m.Last.End
	r.Overdue = !c.ProbeOnScrape && now.Sub(m.Last.End) > 3*m.Last.Spacing()
	r.Failure = m.Last.Failure
	if m.Last.Auth.Withheld() {
		r.HeldUntil = m.Last.Auth.NextAttempt
	}
	r.Duration, r.Phases = brief(m.Last.Duration()), newPhaseBar(m.Last)
	r.Certificate = newCertificateDays(m, now)
	if m.Last.TLS != nil {
		r.TLS = m.Last.TLS.Version
	}
	return r
}

// newCertificateDays is nil where no certificate was seen by the last probe.
func newCertificateDays(m *history.Snapshot, now time.Time) *certificateDays {
	if m.Last == nil || m.Last.TLS == nil || m.Last.TLS.NotAfter.IsZero() {
		return nil
	}
	c := &certificateDays{Connection: m.Connection.Name, NotAfter: m.Last.TLS.NotAfter}
	left := c.NotAfter.Sub(now)
	c.Days = int(left.Hours() / 24)
	switch {
	case left <= 0:
		c.Level = "late"
	case c.Days < 21:
		c.Level = "soon"
	default:
		c.Level = "ok"
	}
	return c
}

// Text says the days in words.
func (c *certificateDays) Text() string {
	switch left := c.Days; {
	case c.Level == "late" && left == 0:
		return "expired today"
	case c.Level == "late":
		return fmt.Sprintf("expired %d d ago", -left)
	default:
		return fmt.Sprintf("%d d left", left)
	}
}

// detailPath is the page of a connection, relative to the root. A path cannot
// hold the names . and ..: browsers take them for directories.
func detailPath(name string) string {
	if name == "." || name == ".." {
		return "connections/?name=" + name
	}
	return "connections/" + url.PathEscape(name)
}

// span is a time that has passed, in one or two units.
func span(d time.Duration) string {
	d = max(d, 0)
	day := 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
	}
}

// brief is a measured time with about three digits.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}
