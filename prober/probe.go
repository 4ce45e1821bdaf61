package prober

// This file is the plan of a probe as data, and the loop over it. It times the
// phases; what happens inside one is the dialect's.

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"mailprobe/guard"
	"mailprobe/mail"
)

// Prober probes connections. Its zero value works.
type Prober struct {
	// Resolver looks host names up; nil: Go's own.
	Resolver *net.Resolver
	// Guard says who may log in; nil: everybody.
	Guard *guard.Guard
	// Hostname is what SMTP greets with; empty: os.Hostname.
	Hostname string
	// Log gets the lines of each dialogue at debug level, redacted; nil: nobody.
	Log *slog.Logger

	dial func(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, error) // nil: lateness.connect
}

// Probe goes through the whole conversation a mail client would have, within
// c.Timeout and until ctx ends, and says goodbye. It never panics.
func (p *Prober) Probe(ctx context.Context, c *mail.Connection) (o mail.Outcome) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, os.ErrDeadlineExceeded)
	defer cancel()
	s := &session{p: p, c: c, log: &transcript{protocol: c.Protocol}}
	s.begin()
	defer func() {
		if bug := recover(); bug != nil {
			s.fail(&fault{reason: mail.LocalBug, err: errors.New(mail.PanicText(bug))})
			s.close()
			o = s.finish()
		}
	}()
	if wantsLogin(c) && !s.admit(ctx) {
		return s.finish()
	}
	s.walk(ctx)
	s.renew(ctx)
	return s.finish()
}

// session is one probe under way.
type session struct {
	p   *Prober
	c   *mail.Connection
	log *transcript

	secret mail.Secret
	permit *guard.Permit // the guard's permission; nil: no login is planned
	held   bool          // the login is withheld; the phases before it run

	late lateness // left out of every duration

	clientCertAsked bool // in a completed handshake

	addrs []netip.Addr
	w     *wire
	d     dialect

	phase   mail.Phase
	outcome mail.Outcome
	err     error // what ended the plan
	abrupt  bool  // the peer does not answer: nothing is waited for
}

// begin starts the probe's clock. It starts again when the guard let it wait.
func (s *session) begin() {
	now := time.Now()
	s.log.start = now
	s.outcome = mail.Outcome{Connection: s.c, Start: now}
}

// planStep is one entry of a plan.
type planStep struct {
	phase mail.Phase
	run   func(*session, context.Context) error
}

// waiting marks a step that belongs to no phase: the guard makes logins wait for
// one another, and that is not part of any duration.
const waiting mail.Phase = ""

// plan lists the steps of a connection's probe before the goodbye.
func (s *session) plan() []planStep {
	steps := []planStep{}
	add := func(wanted bool, more ...planStep) {
		if wanted {
			steps = append(steps, more...)
		}
	}
	addr, isLiteral := literal(s.c.Host)
	s.addrs = []netip.Addr{addr}
	add(!isLiteral, planStep{mail.PhaseResolve, (*session).resolve})
	add(true, planStep{mail.PhaseConnect, (*session).connect})
	add(s.c.Encryption == mail.ImplicitTLS, planStep{mail.PhaseTLS, (*session).handshake})
	add(true, planStep{mail.PhaseGreeting, (*session).greeting}, planStep{mail.PhaseHello, (*session).hello})
	add(s.c.Encryption == mail.StartTLS, planStep{mail.PhaseStartTLS, (*session).starttls},
		planStep{mail.PhaseTLS, (*session).handshake}, planStep{mail.PhaseHello, (*session).hello})
	login := wantsLogin(s.c) && !s.held
	add(login, planStep{waiting, (*session).awaitTurn}, planStep{mail.PhaseAuth, (*session).auth})
	add(login && opensMailbox(s.c), planStep{mail.PhaseMailbox, (*session).mailbox})
	return steps
}

// opensMailbox reports whether the plan goes on after the login.
func opensMailbox(c *mail.Connection) bool {
	if c.Protocol == mail.SMTP {
		shared := c.SharedMailbox != "" && c.SharedMailboxAccess == mail.SharedSender
		return c.CheckMailbox && (c.Sender != "" || shared)
	}
	return c.CheckMailbox
}

// walk runs the plan until a step fails, then says goodbye whatever happened.
func (s *session) walk(ctx context.Context) {
	for _, step := range s.plan() {
		err := s.enter(ctx, step)
		if err != nil {
			s.fail(err)
		}
		if step.phase == mail.PhaseAuth {
			s.permit.Done(s.verdict()) // the next login may go
		}
		if err != nil {
			break
		}
	}
	if s.held && s.err == nil {
		s.phase = mail.PhaseAuth
		s.fail(s.withheld())
	}
	s.goodbye(ctx)
	s.close()
}

// enter runs one step and adds its time to its phase.
func (s *session) enter(ctx context.Context, step planStep) error {
	start, clock := time.Now(), s.late.clock()
	if step.phase == waiting {
		err := step.run(s, ctx)
		s.outcome.Start = s.outcome.Start.Add(clock())
		return err
	}
	s.phase = step.phase
	err := step.run(s, ctx)
	if err == nil && step.phase != mail.PhaseTLS { // which goes on with what it has read
		s.late.answered(start)
	}
	s.spend(step.phase, clock())
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, os.ErrDeadlineExceeded) {
		// A past deadline is how a cancelled context stops a call; say what it was.
		err = errors.Join(err, cause)
	}
	return err
}

// spend adds time to a phase.
func (s *session) spend(phase mail.Phase, d time.Duration) {
	for i := range s.outcome.Phases {
		if s.outcome.Phases[i].Phase == phase {
			s.outcome.Phases[i].Duration += d
			return
		}
	}
	s.outcome.Phases = append(s.outcome.Phases, mail.PhaseTime{Phase: phase, Duration: d})
}

// fail notes what ended the plan; only the first counts.
func (s *session) fail(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	if s.clientCertAsked {
		// A TLS 1.3 server refuses our certificate only at our first read.
		err = &handshakeError{err: err, clientCertAsked: true}
	}
	reason, hint := classify(s.phase, s.c, err)
	text := s.text(reason, err)
	if all := certificateReasons(s.c, err); len(all) > 1 {
		text = joinReasons(all) + ": " + text // x509 names one of them, and not always that of the reason
	}
	s.outcome.Failure = &mail.Failure{Phase: s.phase, Reason: reason, Hint: hint, Text: cleanText(text, maxFailureText)}
}

// text is what a failure may say. After a secret byte was sent, and before
// STARTTLS, it contains no word of the server except those of a closed list.
func (s *session) text(reason mail.Reason, err error) string {
	if !s.log.mute() {
		return err.Error()
	}
	var no *refusal
	var known *fault
	switch {
	case errors.As(err, &no):
		return strings.TrimSpace(no.command + ": rejected by server: " + no.reply.status + " " + knownCode(no.reply.code))
	case errors.As(err, &known) && known.reason == mail.StartTLSNotOffered:
		return known.err.Error() // our own words alone
	case errors.As(err, &known):
		return mail.PlainText(s.phase, reason)
	}
	return err.Error()
}

// finish completes the outcome and tells the guard.
func (s *session) finish() mail.Outcome {
	o := &s.outcome
	if o.End.IsZero() {
		o.End = time.Now()
	}
	o.Transcript = s.log.kept()
	newVeil(s.secret).over(o)
	s.trace()
	if f := o.Failure; f != nil && o.Auth.Sent && !o.Auth.Accepted {
		o.Auth.Rejected = f.Class() == mail.Definitive
	}
	if s.permit != nil {
		s.permit.Done(s.verdict())
		if o.Auth.Sent && s.permit.Hold.Reason != "" {
			o.Auth.HeldNext, o.Auth.NextAttempt = true, s.permit.Hold.Until
		}
	}
	return *o
}

// verdict is what the guard is told of the login.
func (s *session) verdict() guard.AuthVerdict {
	o := &s.outcome
	v := guard.AuthVerdict{Tried: o.Auth.Sent, Accepted: o.Auth.Accepted, Address: o.Address}
	// A probe that was called off says nothing of the credential.
	if v.Tried && !v.Accepted && o.Failure != nil && !errors.Is(s.err, context.Canceled) {
		v.Class, v.Reason = o.Failure.Class(), o.Failure.Reason
		if isDoubtful(o.Failure.Phase, s.err) {
			v.Class = mail.Possible
		}
	}
	return v
}

// renew asks for another token where the server refused this one, so that the
// next probe has it; a probe logs in once only.
func (s *session) renew(ctx context.Context) {
	if f := s.outcome.Failure; s.c.Token != nil && f != nil && f.Reason == mail.TokenRejected {
		_, _ = s.c.Token(ctx, true) // the next probe meets the error, and reports it
	}
}

// trace writes the dialogue to the log, at level Debug.
func (s *session) trace() {
	if s.p.Log == nil || !s.p.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for _, line := range s.outcome.Transcript {
		s.p.Log.Debug("dialogue", "connection", s.c.Name, "at", line.At, "from", string(rune(line.From)), "line", line.Text)
	}
}
