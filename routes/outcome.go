package routes

// This file turns what was seen of a message into a leg and a reason. No message is called
// lost if the receiving mailbox could not be read.

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"mailprobe/mail"
)

// outcome is what became of the message.
func (k *track) outcome(start time.Time) mail.RouteOutcome {
	o := mail.RouteOutcome{
		Route: k.route, Seq: k.message.seq, MessageID: k.message.id(k.route), Sent: start, Ended: time.Now(),
		Submit: k.sub.Took, DSN: k.notice.action, Copies: len(k.sighted), Deleted: k.deleted,
	}
	if len(k.sighted) > 0 {
		k.describe(&o)
	}
	o.Failure = k.failure(&o)
	return o
}

// describe fills in what is known from the found message.
func (k *track) describe(o *mail.RouteOutcome) {
	o.Delivered = true
	o.Transfer = k.looked.Sub(k.sub.Answered)
	o.Uncertainty = k.looked.Sub(k.before)
	o.Total = o.Submit + o.Transfer
	s := k.sighted[0]
	o.Folder, o.FolderAs = k.folderKind(s.folder), clean(k.folders[s.folder].Name, maxHopText)
	fields := parseHeader(k.content.Header)
	o.Hops = hops(fields)
	o.Authentication, o.Trusted = authentication(fields, k.route.AuthservID)
	if k.route.Delete {
		o.Left = len(k.sighted) - k.deleted
	}
}

// failure returns why the message was not delivered as configured; nil: it was. Of several
// reasons it returns the most serious one.
func (k *track) failure(o *mail.RouteOutcome) *mail.RouteFailure {
	switch {
	case !k.submitted:
		return k.notSubmitted()
	case !o.Delivered:
		return k.notArrived()
	}
	return k.arrivedBadly(o)
}

// notSubmitted is for a message that the sending server did not accept, or that
// was never sent.
func (k *track) notSubmitted() *mail.RouteFailure {
	switch {
	case k.unwritten != nil:
		return notRecorded(k.unwritten)
	case !k.begun:
		// The receiving mailbox cannot be read, so nothing was sent.
		f := ofSession(mail.LegTransfer, k.session)
		f.Text = clean("not sent, because the receiving mailbox cannot be read: "+f.Text, maxHopText)
		return f
	case k.sub.Outcome.Failure == nil:
		return &mail.RouteFailure{Leg: mail.LegSubmit, Reason: mail.LocalBug, Text: "the session ended without an answer to the message"}
	}
	f := ofSession(mail.LegSubmit, &k.sub.Outcome)
	if k.sub.Refused {
		f.Reason, f.Hint = mail.RefusedContent, ""
	}
	return f
}

// unrecorded is the outcome of a message that was due, and is not sent because the journal
// cannot be written: that a route is silent must be seen.
func unrecorded(r *mail.Route, err error) mail.RouteOutcome {
	now := time.Now()
	return mail.RouteOutcome{Route: r, Sent: now, Ended: now, Failure: notRecorded(err)}
}

// notRecorded is the failure of a message that cannot be written into the journal.
func notRecorded(err error) *mail.RouteFailure {
	return &mail.RouteFailure{Leg: mail.LegSubmit, Reason: mail.LocalResources,
		Text: clean("not sent, because it could not be recorded: "+err.Error(), maxHopText),
		Hint: "Check the folder of the state file: mailprobe must be able to write there, and the disk must not be full."}
}

// notArrived is for a message that was accepted and not found.
func (k *track) notArrived() *mail.RouteFailure {
	f := &mail.RouteFailure{Leg: mail.LegTransfer}
	switch {
	case k.notice.action == "failed":
		f.Reason = mail.Bounced
		f.Text = strings.TrimSpace("returned by " + k.notice.by + ": " + k.notice.code + " " + k.notice.text)
	case k.session != nil:
		return ofSession(mail.LegTransfer, k.session)
	case k.notice.action == "relayed" || k.notice.action == "delivered" || k.notice.action == "expanded":
		f.Reason, f.Text = mail.LostAfterAcceptance, k.notice.action+" by "+k.notice.by+", and in none of the folders"
	case k.sub.Notified:
		f.Reason, f.Text = mail.Queued, "neither delivered nor returned"
		if k.notice.action == "delayed" {
			f.Text = "delayed at " + k.notice.by + ": " + k.notice.code + " " + k.notice.text
		}
	default:
		f.Reason, f.Text = mail.NotDelivered, fmt.Sprintf("not found within %s", k.route.Deadline)
	}
	f.Text = clean(f.Text, maxHopText)
	return f
}

// arrivedBadly is for a message that was found, and not as it should be.
func (k *track) arrivedBadly(o *mail.RouteOutcome) *mail.RouteFailure {
	fields := parseHeader(k.content.Header)
	check := missing(k.route.Require, o.Authentication)
	for _, rule := range []struct {
		applies bool
		reason  mail.Reason
		text    string
		leg     mail.Leg // empty: the transfer
	}{
		{o.Folder == mail.FolderJunk, mail.FiledAsSpam, "filed in " + o.FolderAs, ""},
		{o.Folder == mail.FolderOther, mail.FiledElsewhere, "filed in " + o.FolderAs, ""},
		{o.Copies > 1, mail.Duplicated, fmt.Sprintf("%d copies", o.Copies), ""},
		{k.sighted[0].unmarked, mail.Altered, "the header field X-Mailprobe is missing or changed, so the message is not deleted", ""},
		{!k.message.sameBody(fields, k.content.Body), mail.Altered, "the body differs from the one that was sent", ""},
		{len(k.route.Require) > 0 && !o.Trusted, mail.AuthenticationFailed, "no Authentication-Results of the configured authserv_id", ""},
		{check != "", mail.AuthenticationFailed, fmt.Sprintf("%s is %s, want %s", check, orNone(o.Authentication[check]), k.route.Require[check]), ""},
		{o.Submit > k.route.Slow, mail.Late, fmt.Sprintf("accepted after %s, more than %s", o.Submit.Round(time.Millisecond), k.route.Slow), mail.LegSubmit},
		{o.Transfer > k.route.Slow, mail.Late, fmt.Sprintf("after %s, more than %s", o.Transfer.Round(time.Millisecond), k.route.Slow), ""},
		{k.undone != nil, mail.CleanupFailed, fmt.Sprint(k.undone), ""},
	} {
		if rule.applies {
			return &mail.RouteFailure{Leg: cmp.Or(rule.leg, mail.LegTransfer), Reason: rule.reason, Text: clean(rule.text, maxHopText)}
		}
	}
	return nil
}

// orNone names a result that is absent.
func orNone(r mail.CheckResult) mail.CheckResult {
	if r == "" {
		return "absent"
	}
	return r
}

// ofSession returns the failure of a session as the failure of a leg.
func ofSession(leg mail.Leg, o *mail.Outcome) *mail.RouteFailure {
	f := o.Failure
	return &mail.RouteFailure{Leg: leg, Reason: f.Reason, Phase: f.Phase, Text: f.Text, Hint: f.Hint}
}
