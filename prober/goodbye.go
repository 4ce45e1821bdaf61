package prober

// This file ends a session: politely where that makes sense, and always.

import (
	"context"
	"errors"
	"io"
	"time"

	"mailprobe/mail"
)

const (
	goodbyeTime = 2 * time.Second        // for the polite end of a session in step
	partingTime = 60 * time.Millisecond  // for the end of one that is out of step: it and a busy machine fit in 0.1 s
	closingTime = 250 * time.Millisecond // for the server to close after its goodbye
)

// goodbye ends the session politely: servers' ban lists count abrupt ends, and
// POP3 frees the maildrop's lock only at QUIT or when the connection dies. A
// session that is out of step, because a call was cut off, gets a short time;
// one whose transport is gone, none.
func (s *session) goodbye(ctx context.Context) {
	if s.w == nil {
		return
	}
	start, clock := time.Now(), s.late.clock()
	inStep := s.w.failed() == nil && ctx.Err() == nil
	switch {
	case !s.canSpeak():
		s.abrupt = isDeadline(s.w.failed())
		return
	case inStep:
		s.w.extend(s.grace(ctx))
		if err := s.d.quit(); err != nil {
			s.outcome.Goodbye, _ = classify(mail.PhaseQuit, s.c, err)
			s.abrupt = s.outcome.Goodbye == mail.Timeout
		} else {
			s.late.answered(start)
		}
	default:
		s.w.extend(partingTime)
		err := s.w.send([]byte(protocols[s.c.Protocol].goodbye))
		s.abrupt = err != nil || !errors.Is(s.d.drain(partingTime), io.EOF)
	}
	s.spend(mail.PhaseQuit, clock())
}

// grace is the time for a polite goodbye: within the probe's own timeout, which
// is absolute.
func (s *session) grace(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return goodbyeTime
	}
	return max(partingTime, min(goodbyeTime, time.Until(deadline)))
}

// canSpeak reports whether a goodbye makes sense: not into a failed handshake,
// not to a server that went away or speaks nonsense, not in clear text after
// STARTTLS went wrong in a way that smells of tampering.
func (s *session) canSpeak() bool {
	if s.err == nil {
		return true
	}
	var no *refusal
	if errors.As(s.err, &no) && farewells[no.reply.status] {
		return false
	}
	switch reason := s.outcome.Failure.Reason; s.phase {
	case mail.PhaseTLS:
		return false
	case mail.PhaseGreeting:
		// Who speaks before the greeting is a spam bot. RFC 5321 section 3.1
		// wants a QUIT after a 554; the others close after a negative greeting.
		return s.c.Protocol == mail.SMTP && s.w.failed() == nil && reason != mail.ProtocolMalformed
	default:
		return !silent[reason]
	}
}

// farewells are the answers after which a server closes by itself: RFC 9051
// section 7.1.5, RFC 5321 section 3.8.
var farewells = map[string]bool{"BYE": true, "421": true}

// silent holds the reasons after which nothing more is said.
var silent = map[mail.Reason]bool{
	mail.Reset: true, mail.Closed: true, mail.ProtocolMalformed: true, mail.ProtocolOversize: true,
	mail.StartTLSInjected: true, mail.TLSPlaintext: true, mail.LocalBug: true,
}

// close hangs up. After a good end the server is waited for a little, so that
// TIME_WAIT is on its side; that is no part of the probe any more.
func (s *session) close() {
	s.outcome.End, s.outcome.Late = time.Now(), s.late.sum()
	if s.w == nil {
		return
	}
	if s.w.failed() == nil {
		s.w.extend(closingTime)
		_ = s.d.drain(closingTime)
	}
	s.w.hangUp(s.abrupt)
	s.d.release()
}
