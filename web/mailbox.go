package web

// This file describes the waiting messages of a watched mailbox in words.

import (
	"fmt"
	"time"

	"mailprobe/internal/human"
	"mailprobe/mail"
)

// mailboxView is a watched mailbox, as the last probe saw it.
type mailboxView struct {
	Text   string // 12 waiting, oldest 3 h 10 min (limit 15 min); empty: not known
	Late   bool   // the oldest is older than the limit
	Silent string // nothing has arrived for too long; empty: not so
	Quota  string // empty: not known
	Full   bool   // 90 % of the quota at least
}

// almostFull is the share of a quota from which MailprobeMailboxAlmostFull fires.
const almostFull = 0.9

// newMailboxView returns nil if the last probe did not look into the mailbox.
func newMailboxView(o *mail.Outcome) *mailboxView {
	w, c := o.Mailbox.Watch, o.Connection
	if w == nil || !c.Watches() {
		return nil
	}
	v := &mailboxView{Text: human.Waiting(w.Waiting, o.Backlog(), c.WatchMaxAge, w.FirstSeen), Late: o.Overdue()}
	if age := silence(o); age > 0 {
		v.Silent = "no mail for " + human.Elapsed(age) + " (expected every " + promDuration(c.WatchExpectEvery) + ")"
	}
	if share := quotaUsed(o); share > 0 {
		v.Quota, v.Full = fmt.Sprintf("%.0f %% of the quota used", 100*share), share >= almostFull
	}
	return v
}

// silence returns for how long nothing has arrived, if that is too long; otherwise 0.
func silence(o *mail.Outcome) time.Duration {
	w, c := o.Mailbox.Watch, o.Connection
	if w == nil || w.Newest.IsZero() || c.WatchExpectEvery == 0 {
		return 0
	}
	if age := o.End.Sub(w.Newest); age > c.WatchExpectEvery {
		return age
	}
	return 0
}

// quotaUsed returns a share from 0 to 1; 0 if it is not known or there is no limit.
func quotaUsed(o *mail.Outcome) float64 {
	w := o.Mailbox.Watch
	if w == nil || w.QuotaUsed == nil || w.QuotaLimit == nil || *w.QuotaLimit == 0 {
		return 0
	}
	return float64(*w.QuotaUsed) / float64(*w.QuotaLimit)
}

// needsLook is Troubled for an outcome, and does not make the words.
func needsLook(o *mail.Outcome) bool {
	return o.Connection.Watches() && (o.Overdue() || silence(o) > 0 || quotaUsed(o) >= almostFull)
}

// Troubled reports whether an administrator should look at the mailbox.
func (v *mailboxView) Troubled() bool { return v != nil && (v.Late || v.Silent != "" || v.Full) }

// Troubles returns a sentence for each thing that is wrong.
func (v *mailboxView) Troubles() []string {
	var list []string
	if v.Late {
		list = append(list, v.Text)
	}
	if v.Silent != "" {
		list = append(list, v.Silent)
	}
	if v.Full {
		list = append(list, v.Quota)
	}
	return list
}

// Advice returns what to look at first.
func (v *mailboxView) Advice() string {
	switch {
	case v.Late:
		return "Look at the program that fetches this mailbox: it has stopped or is too slow, or one message blocks it."
	case v.Silent != "":
		return "The mailbox can be opened, so follow a message to it: senders, MX, the receiving server, filters, forwardings."
	}
	return "Delete or archive messages, or raise the quota, before the server refuses new ones."
}

// mailboxFacts are the facts of a probe about a watched mailbox.
func mailboxFacts(o *mail.Outcome) []fact {
	v := newMailboxView(o)
	if v == nil {
		return nil
	}
	var list []fact
	add := func(name, value string) {
		if value != "" {
			list = append(list, fact{name, value})
		}
	}
	add("Waiting", v.Text)
	add("Silence", v.Silent)
	if w := o.Mailbox.Watch; !w.Newest.IsZero() {
		name := "Newest message"
		if w.FirstSeen {
			name = "Newest seen first"
		}
		add(name, w.Newest.UTC().Format(time.DateTime+" MST"))
	}
	add("Quota", v.Quota)
	return list
}
