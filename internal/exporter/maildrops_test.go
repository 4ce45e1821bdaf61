package exporter

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
	"mailprobe/prober"
)

// sessions counts how many are open at once in a maildrop.
type sessions struct {
	open, most, total atomic.Int32
}

func (s *sessions) hold(d time.Duration) {
	now := s.open.Add(1)
	s.total.Add(1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	time.Sleep(d)
	s.open.Add(-1)
}

// Open is a route's session, of 20 seconds.
func (s *sessions) Open(context.Context, *mail.Connection, func(prober.Mailbox) error) mail.Outcome {
	s.hold(20 * time.Second)
	return mail.Outcome{}
}

func (s *sessions) Submit(context.Context, *mail.Connection, prober.Envelope, []byte) prober.Submission {
	return prober.Submission{}
}

// Probes and routes of one maildrop take turns; those of others do not wait.
func TestMaildropsAreOpenedOneAtATime(t *testing.T) {
	user := func(protocol mail.Protocol, name string) *mail.Connection {
		return &mail.Connection{Protocol: protocol, Host: "mail.example.org", Username: name, Password: mail.InlineSecret(mail.NewSecret("x")), Auth: mail.AuthAuto}
	}
	for name, test := range map[string]struct {
		connections []*mail.Connection
		most        int32
		took        time.Duration
	}{
		"one maildrop":          {[]*mail.Connection{user(mail.POP3, "anna"), user(mail.POP3, "anna"), user(mail.POP3, "anna")}, 1, 3 * 22 * time.Second},
		"two users":             {[]*mail.Connection{user(mail.POP3, "anna"), user(mail.POP3, "ben")}, 2, 22 * time.Second},
		"IMAP takes many":       {[]*mail.Connection{user(mail.IMAP, "anna"), user(mail.IMAP, "anna")}, 4, 20 * time.Second},
		"no login, no maildrop": {[]*mail.Connection{{Protocol: mail.POP3, Host: "mail.example.org"}}, 2, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s, start := &maildrops{}, &sessions{}, time.Now()
				probe := m.probe(func(context.Context, *mail.Connection) mail.Outcome { s.hold(2 * time.Second); return mail.Outcome{} })
				var running sync.WaitGroup
				for _, c := range test.connections {
					running.Go(func() { probe(t.Context(), c) })
					running.Go(func() { transport{s, m}.Open(t.Context(), c, nil) })
				}
				running.Wait()
				if most, took := s.most.Load(), time.Since(start); most != test.most || took != test.took || len(m.open) != 0 {
					t.Errorf("%d at once in %v, want %d in %v; %d are remembered", most, took, test.most, test.took, len(m.open))
				}
			})
		})
	}
}

// A wait ends with its context, and does not take the maildrop.
func TestMaildropWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &maildrops{}
		c := &mail.Connection{Protocol: mail.POP3, Username: "anna", Password: mail.InlineSecret(mail.NewSecret("x")), Auth: mail.AuthAuto}
		leave := m.enter(t.Context(), c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		m.enter(ctx, c)()
		if took := time.Since(start); took != time.Second {
			t.Errorf("waited %v", took)
		}
		leave()
		m.enter(t.Context(), c)()
		if len(m.open) != 0 {
			t.Errorf("%d are remembered", len(m.open))
		}
	})
}
