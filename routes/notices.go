package routes

// This file asks the sender's mailbox what servers on the way say became of the
// message.

import (
	"context"
	"log/slog"
	"slices"

	"mailprobe/mail"
	"mailprobe/prober"
)

// markBounces remembers where the mailbox of bounces ends.
func (k *track) markBounces(ctx context.Context) bool {
	if k.route.Bounces == nil {
		return true
	}
	o := k.Transport.Open(ctx, k.route.Bounces, func(box prober.Mailbox) (err error) {
		k.bounceAt, err = box.Mark(bounceFolder(k.route.Bounces))
		return err
	})
	k.sawSession(o)
	return o.Up()
}

// readNotices looks for delivery status notifications.
func (k *track) readNotices(ctx context.Context) {
	if k.route.Bounces == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sessionTime)
	defer cancel()
	folder := bounceFolder(k.route.Bounces)
	o := k.Transport.Open(ctx, k.route.Bounces, func(box prober.Mailbox) error {
		candidates, err := box.Since(folder, k.bounceAt)
		if err != nil {
			return err
		}
		var read []string
		for _, c := range candidates {
			if c.Mark != "" {
				continue // a message of a route, not about one
			}
			content, err := box.Content(folder, c.ID, true)
			if err != nil {
				return err
			}
			s, mark, ok := parseStatus(slices.Concat(content.Header, content.Body))
			if !ok || !k.message.verify(mark, k.Journal.key()) {
				continue
			}
			read = append(read, c.ID)
			if actionRank[s.action] > actionRank[k.notice.action] {
				k.notice = s
			}
		}
		if k.route.Delete && len(read) > 0 {
			return box.Delete(folder, read)
		}
		return nil
	})
	if !o.Up() {
		k.log(slog.LevelWarn, "bounces of a route not read", "err", o.Failure.Text)
	}
}

// bounceFolder is the folder where mail to the sender arrives.
func bounceFolder(c *mail.Connection) string {
	if c.Protocol != mail.IMAP || c.Mailbox == "" {
		return "INBOX"
	}
	return c.Mailbox
}
