package prober

// This file holds the plan of a probe as data, and the loop over it, which measures the
// phases. The dialects do what happens in a phase.

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"mailprobe/guard"
	"mailprobe/mail"
)

// Prober probes connections. Its zero value works.
type Prober struct {
	// Resolver looks host names up; nil: Go's own.
	Resolver *net.Resolver
	// Guard decides whether a login may be tried; nil: always.
	Guard *guard.Guard
	// LastUp returns when a connection last worked with its settings of today;
	// zero: not known, or never. nil: nothing is known.
	LastUp func(*mail.Connection) time.Time
	// Sightings stores when messages of watched mailboxes were first seen; nil:
	// their age is not known.
	Sightings Sightings
	// Hostname is the name sent with EHLO; empty: os.Hostname.
	Hostname string
	// Log receives the redacted lines of each dialogue at debug level; nil: none.
	Log *slog.Logger

	given  givenSecrets // the secrets that each server's text is searched for
	chains chainCache
	dial   func(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, error) // nil: schedulingDelay.connect
}

// Probe runs the whole dialogue of a mail client, within c.Timeout and until ctx
// ends, and says goodbye. It never panics.
func (p *Prober) Probe(ctx context.Context, c *mail.Connection) mail.Outcome {
	latest := time.Now().Add(c.Timeout)
	if deadline, ok := ctx.Deadline(); !ok || deadline.After(latest) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, latest, os.ErrDeadlineExceeded)
		defer cancel()
	}
	s := &session{p: p, c: c, log: &transcript{protocol: c.Protocol}, bounds: probeBounds}
	return s.run(ctx)
}

// run runs the session's plan. It never panics.
func (s *session) run(ctx context.Context) (o mail.Outcome) {
	s.redactor.hidden = s.c.HideServerText
	s.searchFor(s.c.Host)
	s.begin()
	defer func() {
		if bug := recover(); bug != nil {
			s.fail(s.phase, &fault{reason: mail.LocalBug, err: errors.New(mail.PanicText(bug))})
			s.close()
			o = s.finish()
		}
	}()
	if s.c.LogsIn() && !s.reserveLogin(ctx) {
		return s.finish()
	}
	s.runPlan(ctx)
	s.renew(ctx)
	return s.finish()
}

// session is one running probe.
type session struct {
	p   *Prober
	c   *mail.Connection
	log *transcript

	bounds bounds
	task   func(*session) error // what a courier does after the login; nil: a probe's step

	secret   mail.Secret
	redactor redactor
	permit   *guard.Permit // the guard's permission; nil: no login is planned
	isHeld   bool          // the guard withholds the login; the phases before it run

	delay schedulingDelay // left out of every duration

	clientCertAsked bool // in a completed handshake

	addrs []netip.Addr
	w     *wire
	d     dialect

	phase   mail.Phase // of the step that runs, for a panic
	outcome mail.Outcome
	err     error // what ended the plan
	abrupt  bool  // the peer does not answer: do not wait for it
}

// begin starts the probe's clock; called again after a wait for the guard.
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

// maxSteps is the length of the longest plan.
const maxSteps = 10

// noPhase marks a step that no duration includes: the wait for the guard.
const noPhase mail.Phase = ""

// plan lists the steps of a connection's probe before the goodbye.
func (s *session) plan() []planStep {
	steps := make([]planStep, 0, maxSteps)
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
	login := s.c.LogsIn() && !s.isHeld
	add(login, planStep{noPhase, (*session).awaitLogin}, planStep{mail.PhaseAuth, (*session).auth})
	// An MX takes a sender and a recipient without a login.
	anonymous := s.c.Protocol == mail.SMTP && !s.c.LogsIn()
	add(s.task == nil && (login || anonymous) && opensMailbox(s.c), planStep{mail.PhaseMailbox, (*session).mailbox})
	add(s.task != nil && !s.isHeld, planStep{mail.PhaseMailbox, (*session).runTask})
	return steps
}

// opensMailbox reports whether the plan goes on after the login, or after EHLO if no
// login is configured.
func opensMailbox(c *mail.Connection) bool {
	if c.Protocol == mail.SMTP {
		shared := c.SharedMailbox != "" && c.SharedMailboxAccess == mail.SharedSender
		return c.CheckMailbox && (c.Sender != "" || shared)
	}
	return c.CheckMailbox
}

// runPlan runs the plan until a step fails, then says goodbye in any case.
func (s *session) runPlan(ctx context.Context) {
	for _, step := range s.plan() {
		err := s.runStep(ctx, step)
		if err != nil {
			s.fail(cmp.Or(step.phase, mail.PhaseAuth), err)
		}
		if step.phase == s.decidingPhase() || err != nil && step.phase == mail.PhaseAuth {
			s.permit.Done(s.loginResult()) // the next login may go
		}
		if err != nil {
			break
		}
	}
	if s.isHeld && s.err == nil {
		s.fail(mail.PhaseAuth, s.heldError())
	}
	s.goodbye(ctx)
	s.close()
}

// decidingPhase is the phase after which a login is known to be accepted: an IMAP
// server (Exchange) may take its OK back at the first command on the mailbox.
func (s *session) decidingPhase() mail.Phase {
	if s.c.Protocol == mail.IMAP && opensMailbox(s.c) {
		return mail.PhaseMailbox
	}
	return mail.PhaseAuth
}

// runStep runs one step and adds its time to its phase.
func (s *session) runStep(ctx context.Context, step planStep) error {
	watch := s.delay.begin()
	if step.phase == noPhase {
		err := step.run(s, ctx)
		s.outcome.Start = s.outcome.Start.Add(watch.elapsed())
		return err
	}
	s.phase = step.phase
	err := step.run(s, ctx)
	if err == nil && step.phase != mail.PhaseTLS { // a handshake goes on after its last read
		s.delay.answered(watch.start)
	}
	s.addPhaseTime(step.phase, watch.elapsed())
	if err == nil {
		return nil
	}
	_, answered := errors.AsType[*refusal](err) // an answer that came in time counts
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) && !answered {
		// A cancelled context stops a call by a past deadline; add the cause.
		err = errors.Join(err, cause)
	}
	return err
}

// addPhaseTime adds d to the duration of a phase.
func (s *session) addPhaseTime(phase mail.Phase, d time.Duration) {
	for i := range s.outcome.Phases {
		if s.outcome.Phases[i].Phase == phase {
			s.outcome.Phases[i].Duration += d
			return
		}
	}
	if s.outcome.Phases == nil {
		s.outcome.Phases = make([]mail.PhaseTime, 0, maxSteps)
	}
	s.outcome.Phases = append(s.outcome.Phases, mail.PhaseTime{Phase: phase, Duration: d})
}

// fail records why the plan ended, and in which phase; only the first call counts.
func (s *session) fail(phase mail.Phase, err error) {
	if s.err != nil {
		return
	}
	s.err = err
	if s.clientCertAsked {
		// A TLS 1.3 server refuses our certificate only at our first read.
		err = &handshakeError{err: err, clientCertAsked: true}
	}
	d := classify(phase, s.c, err)
	text := s.failureText(phase, d.reason, err)
	if all := certificateReasons(s.c, err); len(all) > 1 {
		text = joinReasons(all) + ": " + text // x509 names one of them, and not always that of the reason
	}
	limit := maxFailureText
	if s.outcome.Auth.Held {
		limit = maxHeldText
	}
	s.outcome.Failure = &mail.Failure{Phase: phase, Reason: d.reason, Hint: d.hint, Doubtful: d.doubtful, Unclassified: d.unclassified,
		Text: cleanText(text, limit)}
	s.addLastUp()
}

// addLastUp records in the failure when the connection last worked, and whether it did
// so with another secret.
func (s *session) addLastUp() {
	if s.p.LastUp == nil {
		return
	}
	f := s.outcome.Failure
	f.LastUp = s.p.LastUp(s.c)
	f.NewSecret = !f.LastUp.IsZero() && f.Phase == mail.PhaseAuth && s.permit.IsNewSecret()
}

// failureText returns the text of a failure: our own words in full, and server text as
// far as it may be shown.
func (s *session) failureText(phase mail.Phase, reason mail.Reason, err error) string {
	var no *refusal
	var line *malformedLine
	var known *fault
	switch {
	case errors.As(err, &no):
		return joinWords(no.command, s.mailboxNames(no.mailboxes)) + ": " + joinWords("rejected by server:", no.reply.status, s.replyText(no.reply))
	case errors.As(err, &line):
		return line.what + ": malformed: " + s.serverWords(strconv.Quote(cleanText(line.line, maxFailureText)))
	case errors.As(err, &known):
		return err.Error() // our own words only
	case s.redactor.hidden && presentedChain(err) != nil:
		return mail.PlainText(phase, reason) // the error names what is in a certificate
	case s.redactor.contains(err.Error()):
		return mail.PlainText(phase, reason) + " " + withheld
	}
	return err.Error()
}

// mailboxNames returns the names of mailboxes that were tried, as they may be shown:
// those found by NAMESPACE begin with the server's own words.
func (s *session) mailboxNames(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(cleanText(name, maxFailureText/8))
	}
	text := strings.Join(quoted, ", ")
	if bySharedFolder(s.c) && text != "" {
		s.redactor.redact(&text)
	}
	return text
}

// replyText returns code and text of a reply as they may be shown. A code is shown
// only if it is registered: the parser has put it in capitals, so that the search
// would not find base64 in it.
func (s *session) replyText(r reply) string {
	return joinWords(knownCode(r.code), s.serverWords(r.text))
}

// serverWords returns server text as it may be shown.
func (s *session) serverWords(words string) string {
	s.redactor.redact(&words)
	if words != "" && words != elided && words != withheld && s.log.isInClear() {
		words = cleanText(words, maxFailureText-2*len(notAuthenticated)) + " " + notAuthenticated
	}
	return words
}

// finish completes the outcome and tells the guard.
func (s *session) finish() mail.Outcome {
	o := &s.outcome
	if o.End.IsZero() {
		o.End = time.Now()
	}
	o.Transcript = s.log.kept(&s.redactor)
	if o.TLS != nil {
		s.redactor.redactCertificates(o.TLS.Chain)
	}
	s.logDialogue()
	if f := o.Failure; f != nil && o.Auth.Sent && !o.Auth.Accepted {
		o.Auth.Rejected = f.Class() == mail.Definitive
	}
	if s.permit != nil {
		s.permit.Done(s.loginResult())
		if o.Auth.Sent && s.permit.Hold.Reason != "" {
			o.Auth.HeldNext, o.Auth.NextAttempt = true, s.permit.Hold.Until
			o.Auth.HeldBy, o.Auth.HeldSince = s.permit.Hold.By, s.permit.Hold.At
		}
	}
	return *o
}

// loginResult returns the result of the login for the guard.
func (s *session) loginResult() guard.AuthVerdict {
	o := &s.outcome
	v := guard.AuthVerdict{Tried: o.Auth.Sent, Accepted: o.Auth.Accepted, Mechanism: o.Auth.Mechanism, Address: o.Address}
	// A cancelled probe says nothing about the credential.
	if v.Tried && !v.Accepted && o.Failure != nil && !errors.Is(s.err, context.Canceled) {
		v.Class, v.Reason = o.Failure.Class(), o.Failure.Reason
		v.Doubtful, v.Unclassified = o.Failure.Doubtful, o.Failure.Unclassified
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

// logDialogue writes the dialogue to the log, at level Debug.
func (s *session) logDialogue() {
	if s.p.Log == nil || !s.p.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for _, line := range s.outcome.Transcript {
		s.p.Log.Debug("dialogue", "connection", s.c.Name, "at", line.At, "from", string(rune(line.From)), "line", line.Text)
	}
}
