package metrics

// This file makes the metrics of watched mailboxes: waiting messages and arrivals.

import (
	"time"

	"mailprobe/mail"
)

// watchedFamilies are the metrics of a look at a watched mailbox. They stay when a
// login is withheld. Read only.
var watchedFamilies = []familyID{mailboxUnread, mailboxWaiting, mailboxOldestWaiting, mailboxNewest,
	mailboxSize, mailboxQuotaUsed, mailboxQuotaLimit}

// watchConfigSamples appends the samples of the fields `watch_…`.
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

// watchSamples appends the samples of a look at a mailbox. The time of the newest
// message stays if that message was deleted after the last look: it is still the
// last arrival.
func watchSamples(samples []sample, o *mail.Outcome, before *preparedMetrics) []sample {
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
	newest := before.valueOf(mailboxNewest)
	if !w.Newest.IsZero() {
		newest = max(newest, seconds(w.Newest))
	}
	if newest == 0 && neverFilled(o) {
		newest = seconds(o.Start)
	}
	if newest > 0 {
		samples = append(samples, sample{family: mailboxNewest, value: newest})
	}
	number(mailboxSize, w.Size)
	number(mailboxQuotaUsed, w.QuotaUsed)
	number(mailboxQuotaLimit, w.QuotaLimit)
	return samples
}

// neverFilled reports whether mail is expected in a mailbox that is empty. Where no arrival is
// known yet, silence is counted from the first look: else the alert about it could not
// fire before the first message.
func neverFilled(o *mail.Outcome) bool {
	return o.Connection.WatchExpectEvery > 0 && o.Mailbox.Counted && o.Mailbox.Messages == 0
}

// arrivals counts the messages that arrived in a mailbox. UIDNEXT never goes back
// within one UIDVALIDITY (RFC 9051 section 2.3.1.1); where it does, and where
// UIDVALIDITY changes, counting begins anew from there without a jump.
type arrivals struct {
	next, validity uint32 // UIDNEXT and UIDVALIDITY of the last look; 0: none yet
	total          uint64
	created        uint32    // when counting began, in seconds since the Unix epoch; 0: not yet
	looked         time.Time // when next was seen
}

// count counts the arrivals since the last look at a mailbox. It returns the outcome with the
// time of the newest arrival: the time of this probe, if messages arrived since the
// last look and none of them is left, or none has a recent date.
func (a *arrivals) count(o *mail.Outcome) *mail.Outcome {
	w := o.Mailbox.Watch
	if w.UIDNext == 0 || w.UIDValidity == 0 {
		return o
	}
	if a.created == 0 {
		a.created = uint32(o.Start.Unix())
	}
	if a.next != 0 && a.validity == w.UIDValidity && w.UIDNext > a.next {
		a.total += uint64(w.UIDNext - a.next)
		if w.Newest.Before(a.looked) {
			facts, changed := *w, *o
			facts.Newest = o.Start
			changed.Mailbox.Watch = &facts
			o = &changed
		}
	}
	a.next, a.validity, a.looked = w.UIDNext, w.UIDValidity, o.Start
	return o
}

// samples appends the counter, once there was a look; nil: there was none.
func (a *arrivals) samples(samples []sample) []sample {
	if a == nil || a.created == 0 {
		return samples
	}
	return append(samples, sample{family: mailboxArrivals, value: float64(a.total), created: a.created})
}

// withoutWatch returns a copy of an outcome without the look at the mailbox.
func withoutWatch(o *mail.Outcome) *mail.Outcome {
	c := *o
	c.Mailbox.Watch = nil
	return &c
}
