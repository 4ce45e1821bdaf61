package routes

import (
	"context"

	"mailprobe/mail"
	"mailprobe/prober"
)

// killer ends the process at its n-th step at a server, before or after the
// step took effect.
type killer struct {
	*world
	at   int // 2n: before step n, 2n+1: after it
	done int
}

func (k *killer) before() {
	if k.done == k.at {
		panic("killed")
	}
	k.done++
}

func (k *killer) after() { k.before() }

func (k *killer) Submit(ctx context.Context, c *mail.Connection, e prober.Envelope, message []byte) prober.Submission {
	k.before()
	s := k.world.Submit(ctx, c, e, message)
	k.after()
	return s
}

func (k *killer) Open(ctx context.Context, c *mail.Connection, use func(prober.Mailbox) error) mail.Outcome {
	k.before()
	return k.world.Open(ctx, c, func(b prober.Mailbox) error { return use(&killedBox{b, k}) })
}

// killedBox is a session that the killer watches.
type killedBox struct {
	prober.Mailbox
	k *killer
}

func (b *killedBox) Mark(folder string) (prober.Mark, error) {
	b.k.before()
	return b.Mailbox.Mark(folder)
}

func (b *killedBox) Since(folder string, from prober.Mark) ([]prober.Candidate, error) {
	b.k.before()
	return b.Mailbox.Since(folder, from)
}

func (b *killedBox) Content(folder, id string, whole bool) (prober.Content, error) {
	b.k.before()
	return b.Mailbox.Content(folder, id, whole)
}

func (b *killedBox) Delete(folder string, ids []string) error {
	b.k.before()
	err := b.Mailbox.Delete(folder, ids)
	b.k.after()
	return err
}
