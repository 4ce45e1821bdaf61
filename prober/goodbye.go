package prober

// This file ends a session: with a goodbye where that makes sense.

import (
	"context"
	"errors"
	"io"
	"time"

	"mailprobe/mail"
)

const (
	goodbyeTime            = 2 * time.Second        // for the goodbye when no command is under way
	interruptedGoodbyeTime = 60 * time.Millisecond  // for the end of one in which a call was interrupted; with a busy machine's delay below 0.1 s
	closingTime            = 250 * time.Millisecond // for the server to close after its reply
)

// goodbye ends the session politely: servers' ban lists count abrupt ends, and
// POP3 frees the maildrop's lock only at QUIT or when the connection dies. A
// session in which a call was interrupted gets a short time; one whose transport
// failed gets none.
func (s *session) goodbye(ctx context.Context) {
	if s.w == nil {
		return
	}
	start, clock := time.Now(), s.delay.clock()
	inStep := s.w.failed() == nil && ctx.Err() == nil
	switch {
	case !s.canSpeak():
		s.abrupt = isDeadline(s.w.failed())
		return
	case inStep:
		s.w.extend(s.grace(ctx))
		if err := s.d.quit(); err != nil {
			s.outcome.Goodbye = classify(mail.PhaseQuit, s.c, err).reason
			s.abrupt = s.outcome.Goodbye == mail.Timeout
		} else {
			s.delay.answered(start)
		}
	default:
		s.w.extend(interruptedGoodbyeTime)
		err := s.w.send([]byte(protocols[s.c.Protocol].goodbye))
		answered := errors.Is(s.d.drain(interruptedGoodbyeTime), io.EOF)
		// A reset would throw away the goodbye that a slow server has not read yet:
		// POP3 frees the maildrop's lock by it. One that is past its time gets a reset.
		calledOff := errors.Is(context.Cause(ctx), context.Canceled)
		s.abrupt = err != nil || !answered && !calledOff
	}
	s.addPhaseTime(mail.PhaseQuit, clock())
}

// grace returns the time for a goodbye: within the probe's own timeout, which is
// absolute.
func (s *session) grace(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return goodbyeTime
	}
	return max(interruptedGoodbyeTime, min(goodbyeTime, time.Until(deadline)))
}

// canSpeak reports whether a goodbye makes sense: not into a failed handshake,
// not to a server that went away or speaks nonsense, not in clear text after
// STARTTLS went wrong in a way that smells of tampering.
func (s *session) canSpeak() bool {
	if s.err == nil {
		return true
	}
	var no *refusal
	if errors.As(s.err, &no) && closingReplies[no.reply.status] {
		return false
	}
	switch reason := s.outcome.Failure.Reason; s.outcome.Failure.Phase {
	case mail.PhaseTLS:
		return false
	case mail.PhaseGreeting:
		// Clients that send before the greeting are taken for spam bots. RFC 5321
		// section 3.1 wants a QUIT after a 554; IMAP and POP3 servers close after a
		// negative greeting.
		return s.c.Protocol == mail.SMTP && s.w.failed() == nil && reason != mail.ProtocolMalformed
	default:
		return !noGoodbyeReasons[reason]
	}
}

// closingReplies are the answers after which a server closes by itself: RFC 9051
// section 7.1.5, RFC 5321 section 3.8.
var closingReplies = map[string]bool{"BYE": true, "421": true}

// noGoodbyeReasons are the reasons after which no goodbye is sent.
var noGoodbyeReasons = map[mail.Reason]bool{
	mail.Reset: true, mail.Closed: true, mail.ProtocolMalformed: true, mail.ProtocolOversize: true,
	mail.StartTLSInjected: true, mail.TLSPlaintext: true, mail.LocalBug: true,
}

// close closes the connection. After a good end it first waits a little for the
// server to close, so that TIME_WAIT is on its side; no duration includes that.
func (s *session) close() {
	s.outcome.End, s.outcome.SchedulingDelay = time.Now(), s.delay.sum()
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
