package guard

// This file counts verdicts. Everything the guard knows came in as an event, of
// this process or from the journal.

import (
	"log/slog"
	"time"

	"mailprobe/mail"
)

// result is what an event says of a login.
type result string

// The results. The empty one changes nothing.
const (
	accepted  result = "accepted"
	refused   result = "refused"
	doubtful  result = "doubtful"  // the server hung up or fell silent instead of answering
	undecided result = "undecided" // an answer that says nothing of the credential
)

// event is one verdict as it is counted; it is also a line of the journal.
type event struct {
	At       time.Time     `json:"at"`
	Began    time.Time     `json:"began,omitzero"` // when the login was let through
	Account  keyedHash     `json:"account"`
	Tag      uint16        `json:"tag"`
	Host     keyedHash     `json:"host"`
	Address  keyedHash     `json:"address,omitzero"`
	Result   result        `json:"result"`
	Reason   mail.Reason   `json:"reason,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	Lines    int           `json:"lines,omitempty"` // of a refusal in the server's log

	strict bool // for the log: this login is not tried again before a change
}

func resultOf(v AuthVerdict) result {
	switch {
	case !v.Tried, !v.Accepted && v.Class == 0:
		return "" // not tried, or called off before there was an answer
	case v.Accepted:
		return accepted
	case v.Class == mail.Definitive:
		return refused
	case v.Class == mail.Possible || v.Reason == mail.Timeout:
		return doubtful
	}
	return undecided
}

// apply counts an event, of this process or another; name is the connection's,
// for the log. It reports whether the change must not be lost; others may wait.
func (g *Guard) apply(e event, name string) (urgent bool) {
	a := g.account(e.Account)
	s := a.secret(e.Tag, e.At)
	d := g.mergeAddress(e.Host, e.Address)
	switch e.Result {
	case accepted:
		if e.At.Sub(s.Accepted) > refreshKnownGood {
			g.changes++
		}
		if urgent = s.accept(e.At); urgent {
			g.note(slog.LevelInfo, "login accepted again", "connection", name)
		}
		if d.accepted(e.Began) {
			urgent = true
			g.note(slog.LevelInfo, "mass failure over: logins to this server resume, one at a time", "connection", name)
		}
	case doubtful:
		urgent = true
		if a.suspect(s, e.At) {
			g.refuse(a, s, d, e, name)
		}
	case refused:
		urgent = true
		g.refuse(a, s, d, e, name)
	case undecided:
		s.Suspected = false
	}
	if urgent {
		g.changes++
	}
	return urgent
}

// refuse counts a refusal for the account and for the server.
func (g *Guard) refuse(a *account, s *secretState, d *server, e event, name string) {
	proven := s.knownGood(e.At)
	a.refuse(s, e.Reason, e.Interval, e.At)
	if e.strict {
		g.note(slog.LevelWarn, "login refused: will not be tried again until something changes", "connection", name,
			"reason", e.Reason, "refusals", s.Refusals)
	} else {
		g.note(slog.LevelWarn, "login refused: will not be tried again before the given time", "connection", name,
			"reason", e.Reason, "refusals", s.Refusals, "until", s.Next.UTC().Format(time.RFC3339))
	}
	before := !holdForUnknown(d.Refusals).IsZero()
	if d.refused(proven, e.Lines, e.At) {
		g.note(slog.LevelWarn, "mass failure: several logins that used to work were refused; only one login at a time is tried on this server, every 10 minutes",
			"connection", name)
	} else if !before && !d.Open && !holdForUnknown(d.Refusals).IsZero() {
		g.note(slog.LevelWarn, "several logins were refused: logins to this server that never worked wait for 10 minutes", "connection", name)
	}
}
