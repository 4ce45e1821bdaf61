package metrics

// This file is about watched mailboxes: what waits in them, and what arrives.

import (
	"time"

	"mailprobe/mail"
)

// watchedFamilies are what a look at a watched mailbox tells. A probe whose login is
// withheld repeats them. Read only.
var watchedFamilies = []familyID{mailboxUnread, mailboxWaiting, mailboxOldestWaiting, mailboxNewest,
	mailboxSize, mailboxQuotaUsed, mailboxQuotaLimit}

// watchConfigSamples is what the configuration says of a watch.
func watchConfigSamples(samples []sample, c *mail.Connection) []sample {
	if !c.Watches() {
		return samples
	}
	if c.WatchMaxAge > 0 {
		samples = append(samples, sample{family: watchMaxAge, value: c.WatchMaxAge.Seconds()})
	}
	if c.WatchExpectEvery > 0 {
		samples = append(samples, sample{family: watchExpectEvery, value: c.WatchExpectEvery.Seconds()})
	}
	return samples
}

// watchSamples is what a look at the mailbox told.
func watchSamples(samples []sample, o *mail.Outcome) []sample {
	w := o.Mailbox.Watch
	if w == nil {
		return samples
	}
	number := func(family familyID, n *uint64) {
		if n != nil {
			samples = append(samples, sample{family: family, value: float64(*n)})
		}
	}
	moment := func(family familyID, t time.Time) {
		if !t.IsZero() {
			samples = append(samples, sample{family: family, value: seconds(t)})
		}
	}
	number(mailboxUnread, w.Unread)
	number(mailboxWaiting, w.Waiting)
	moment(mailboxOldestWaiting, w.Oldest)
	moment(mailboxNewest, w.Newest)
	number(mailboxSize, w.Size)
	number(mailboxQuotaUsed, w.QuotaUsed)
	number(mailboxQuotaLimit, w.QuotaLimit)
	return samples
}

// arrivals counts the messages that arrived in a mailbox. UIDNEXT never goes back
// within one UIDVALIDITY (RFC 9051 section 2.3.1.1); where it does, and where
// UIDVALIDITY changes, counting begins anew from there without a jump.
type arrivals struct {
	next, validity uint32 // as last seen; 0: never
	total          uint64
	created        uint32 // when counting began, in seconds since the Unix epoch; 0: not yet
}

// count takes in one look.
func (a *arrivals) count(w *mail.WatchFacts, at time.Time) {
	if w == nil || w.UIDNext == 0 || w.UIDValidity == 0 {
		return
	}
	if a.created == 0 {
		a.created = uint32(at.Unix())
	}
	if a.next != 0 && a.validity == w.UIDValidity && w.UIDNext > a.next {
		a.total += uint64(w.UIDNext - a.next)
	}
	a.next, a.validity = w.UIDNext, w.UIDValidity
}

// samples is the counter, from the first look on.
func (a *arrivals) samples(samples []sample) []sample {
	if a.created == 0 {
		return samples
	}
	return append(samples, sample{family: mailboxArrivals, value: float64(a.total), created: a.created})
}

// withoutWatch is a copy of an outcome without what the look told.
func withoutWatch(o *mail.Outcome) *mail.Outcome {
	c := *o
	c.Mailbox.Watch = nil
	return &c
}
