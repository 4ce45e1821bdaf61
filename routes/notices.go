package routes

// This file reads in the sender's mailbox what servers on the way report about the
// message.

import (
	"context"
	"slices"

	"mailprobe/prober"
)

const maxNotices = 50 // messages in the mailbox of bounces that one session reads

// markBounces remembers where the mailbox of bounces ends, and removes the
// notifications about earlier messages: most come after the message itself.
func (k *track) markBounces(ctx context.Context) bool {
	if k.route.Bounces == nil {
		return true
	}
	o := k.Transport.Open(ctx, k.route.Bounces, func(box prober.Mailbox) error {
		folder, err := box.Home()
		if err != nil {
			return err
		}
		if err := k.tidyNotices(box, folder); err != nil {
			return err
		}
		k.bounceAt, err = box.Mark(folder)
		return err
	})
	k.sawSession(o)
	return o.Up()
}

// noticesFrom is where notifications that are to be deleted will come; nil: none are.
func (k *track) noticesFrom() *prober.Mark {
	if k.route.Bounces == nil || !k.route.Delete {
		return nil
	}
	return &k.bounceAt
}

// tidyNotices deletes the notifications about messages that were given up.
// One that cannot be deleted stays: it is not tried again.
func (k *track) tidyNotices(box prober.Mailbox, folder string) error {
	var waiting []known
	for _, m := range k.Journal.known(k.route.Name) {
		if m.over && m.bounces != nil {
			waiting = append(waiting, m)
		}
	}
	if len(waiting) == 0 || !k.route.Delete {
		return nil
	}
	var tokens []string
	ids, err := k.noticesSince(box, folder, *waiting[0].bounces, func(s status, mark string) bool {
		at := slices.IndexFunc(waiting, func(m known) bool { return m.verify(mark, k.Journal.key()) })
		if at >= 0 && actionRank[s.action] > actionRank["delayed"] {
			tokens = append(tokens, waiting[at].token)
		}
		return at >= 0
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	if err := box.Delete(folder, ids); err != nil {
		k.warn("notifications about a route's messages not deleted", "err", err)
	}
	return k.Journal.answered(k.route.Name, tokens...)
}

// noticesSince reads the messages behind a mark and returns the ids of the
// notifications that are of interest.
func (k *track) noticesSince(box prober.Mailbox, folder string, from prober.Mark, wanted func(s status, mark string) bool) (ids []string, err error) {
	candidates, err := box.Since(folder, from)
	if err != nil {
		return nil, err
	}
	read := 0
	for _, c := range slices.Backward(candidates) { // in a busy mailbox, what is looked for is among the newest
		if c.Mark != "" || read >= maxNotices {
			continue // a message of a route, not about one
		}
		read++
		content, err := box.Content(folder, c.ID, true)
		if err != nil {
			return nil, err
		}
		if s, mark, ok := parseStatus(slices.Concat(content.Header, content.Body)); ok && wanted(s, mark) {
			ids = append(ids, c.ID)
		}
	}
	return ids, nil
}

// readNotices looks for delivery status notifications.
func (k *track) readNotices(ctx context.Context) {
	if k.route.Bounces == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sessionTime)
	defer cancel()
	o := k.Transport.Open(ctx, k.route.Bounces, func(box prober.Mailbox) error {
		folder, err := box.Home()
		if err != nil {
			return err
		}
		read, err := k.noticesSince(box, folder, k.bounceAt, func(s status, mark string) bool {
			ours := k.message.verify(mark, k.Journal.key()) // else it is believed, and not deleted
			if !ours && s.id != k.message.token {
				return false
			}
			if actionRank[s.action] > actionRank[k.notice.action] {
				k.notice = s
			}
			return ours
		})
		if err != nil {
			return err
		}
		if k.route.Delete && len(read) > 0 {
			return box.Delete(folder, read)
		}
		return nil
	})
	if !o.Up() {
		k.warn("bounces of a route not read", "err", o.Failure.Text)
	}
}
