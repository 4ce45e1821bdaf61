package prober

// This file is the plan of a probe as data, and the loop over it. It times the
// phases; what happens inside one is the dialect's.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

const (
	goodbyeTime = 2 * time.Second        // for the polite end of a session in step
	partingTime = 80 * time.Millisecond  // for the end of one that is out of step
	closingTime = 250 * time.Millisecond // for the server to close after its goodbye
)

// Prober probes connections. Its zero value works.
type Prober struct {
	// Resolver looks host names up; nil: Go's own.
	Resolver *net.Resolver
	// Guard says who may log in; nil: everybody.
	Guard *Guard
	// Hostname is what SMTP greets with; empty: os.Hostname.
	Hostname string
	// Log gets the lines of each dialogue at debug level, redacted; nil: nobody.
	Log *slog.Logger

	dial func(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, error) // nil: connect
}

// Probe goes through the whole conversation a mail client would have, within
// c.Timeout and until ctx ends, and says goodbye. It never panics.
func (p *Prober) Probe(ctx context.Context, c *Connection) (o Outcome) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, os.ErrDeadlineExceeded)
	defer cancel()
	s := &session{p: p, c: c, log: &transcript{protocol: c.Protocol}}
	s.begin()
	defer func() {
		if bug := recover(); bug != nil {
			s.fail(&fault{reason: LocalBug, err: errors.New(panicText(bug))})
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
	c   *Connection
	log *transcript

	secret Secret
	pass   *Pass // the guard's leave; nil: no login is planned
	held   bool  // the login is withheld; the phases before it run

	clientCertAsked bool // in a handshake that went well

	addrs []netip.Addr
	w     *wire
	d     dialect

	phase   Phase
	outcome Outcome
	err     error // what ended the plan
	abrupt  bool  // the peer does not answer: nothing is waited for
}

// begin starts the probe's clock. It starts again when the guard let it wait.
func (s *session) begin() {
	now := time.Now()
	s.log.start = now
	s.outcome = Outcome{Connection: s.c, Start: now}
}

// planStep is one entry of a plan.
type planStep struct {
	phase Phase
	run   func(*session, context.Context) error
}

// waiting is the phase of a step that is none: the guard lets logins wait for one
// another, and that is no part of any figure.
const waiting Phase = ""

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
	add(!isLiteral, planStep{PhaseResolve, (*session).resolve})
	add(true, planStep{PhaseConnect, (*session).connect})
	add(s.c.Encryption == ImplicitTLS, planStep{PhaseTLS, (*session).handshake})
	add(true, planStep{PhaseGreeting, (*session).greeting}, planStep{PhaseHello, (*session).hello})
	add(s.c.Encryption == StartTLS, planStep{PhaseStartTLS, (*session).starttls},
		planStep{PhaseTLS, (*session).handshake}, planStep{PhaseHello, (*session).hello})
	login := wantsLogin(s.c) && !s.held
	add(login, planStep{waiting, (*session).awaitTurn}, planStep{PhaseAuth, (*session).auth})
	add(login && opensMailbox(s.c), planStep{PhaseMailbox, (*session).mailbox})
	return steps
}

// opensMailbox reports whether the plan goes on after the login.
func opensMailbox(c *Connection) bool {
	if c.Protocol == SMTP {
		shared := c.SharedMailbox != "" && c.SharedMailboxAccess == SharedSender
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
		if step.phase == PhaseAuth {
			s.pass.Done(s.verdict()) // the next login may go
		}
		if err != nil {
			break
		}
	}
	if s.held && s.err == nil {
		s.phase = PhaseAuth
		s.fail(s.withheld())
	}
	s.goodbye(ctx)
	s.close()
}

// enter runs one step and adds its time to its phase.
func (s *session) enter(ctx context.Context, step planStep) error {
	start := time.Now()
	if step.phase == waiting {
		err := step.run(s, ctx)
		s.outcome.Start = s.outcome.Start.Add(time.Since(start))
		return err
	}
	s.phase = step.phase
	err := step.run(s, ctx)
	s.spend(step.phase, time.Since(start))
	if ctx.Err() != nil && err != nil && !isDeadline(err) {
		// A past deadline is how a cancelled context stops a call; say which it was.
		err = errors.Join(err, context.Cause(ctx))
	}
	return err
}

// spend adds time to a phase.
func (s *session) spend(phase Phase, d time.Duration) {
	for i := range s.outcome.Phases {
		if s.outcome.Phases[i].Phase == phase {
			s.outcome.Phases[i].Duration += d
			return
		}
	}
	s.outcome.Phases = append(s.outcome.Phases, PhaseTime{phase, d})
}

// admit reads the secret, so that a broken one opens no connection, and asks
// the guard. It is false when the probe has ended here. What it waits for is no
// part of the probe's time.
func (s *session) admit(ctx context.Context) bool {
	s.phase = PhaseAuth
	secret, err := readSecret(ctx, s.c, false)
	if err != nil {
		s.fail(err)
		return false
	}
	s.secret = secret
	s.pass = s.p.Guard.Enter(s.c, secret)
	s.begin()
	if s.pass.Allowed {
		return true
	}
	s.held = true
	s.outcome.Auth = AuthFacts{Held: true, NextAttempt: s.pass.Hold.Until}
	if !s.pass.Connect {
		s.fail(s.withheld())
	}
	return s.pass.Connect
}

// withheld is why a login was not tried.
func (s *session) withheld() error {
	until := "until something changes" // lockout strict
	if !s.pass.Hold.Until.IsZero() {
		until = "until " + s.pass.Hold.Until.UTC().Format(time.RFC3339)
	}
	return &fault{reason: s.pass.Hold.Reason, err: fmt.Errorf("login withheld %s: %s", until, s.pass.Hold.Reason)}
}

func (s *session) resolve(ctx context.Context) (err error) {
	resolver := s.p.Resolver
	if resolver == nil {
		resolver = resolverBy(nil)
	}
	s.addrs, err = resolve(ctx, resolver, s.c)
	return err
}

func (s *session) connect(ctx context.Context) error {
	s.outcome.Port = s.c.EffectivePort()
	dial := s.p.dial
	if dial == nil {
		dial = connect
	}
	conn, err := dial(ctx, s.addrs, s.outcome.Port)
	if err != nil {
		return err
	}
	s.attach(ctx, conn)
	return nil
}

// attach puts the wire and the dialect on a connection.
func (s *session) attach(ctx context.Context, conn net.Conn) {
	s.outcome.Address = conn.RemoteAddr().String()
	s.w = newWire(ctx, conn, s.log)
	s.d = protocols[s.c.Protocol].dialect(s.c, s.w, s.hostname())
	s.log.inClear(clearText(s.c, s.w))
}

// hostname is the name SMTP greets with. An address literal stands in for a
// name that the system does not know (RFC 5321 section 4.1.4).
func (s *session) hostname() string {
	if s.p.Hostname != "" {
		return s.p.Hostname
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "[127.0.0.1]"
}

// handshake starts TLS, and keeps what it told also when it failed.
func (s *session) handshake(ctx context.Context) error {
	config, asked := watchClientCertificate(s.c.TLS)
	start := time.Now()
	state, err := s.w.startTLS(ctx, config)
	facts := &TLSFacts{}
	if err != nil {
		if chain := presentedChain(err); chain != nil {
			facts.addCertificates(chain)
			s.outcome.TLS = facts
		}
		return &handshakeError{err: err, clientCertAsked: *asked}
	}
	facts.Handshake = time.Since(start)
	facts.Version, facts.Cipher = tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite)
	facts.addCertificates(state.PeerCertificates)
	s.outcome.TLS = facts
	s.clientCertAsked = *asked
	s.log.inClear(false)
	s.log.note(facts.Version + " " + facts.Cipher)
	if config.InsecureSkipVerify {
		return nil
	}
	if err := checkKeys(state.VerifiedChains[0]); err != nil {
		return err
	}
	facts.Verified = true
	return nil
}

// watchClientCertificate gives a copy of the configuration that notes whether
// the server asked for a certificate of ours: only that tells why it may end a
// handshake.
func watchClientCertificate(base *tls.Config) (*tls.Config, *bool) {
	asked := new(bool)
	config := base.Clone()
	if config.GetClientCertificate != nil {
		return config, asked
	}
	certificates := config.Certificates
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*asked = true
		for i := range certificates {
			if info.SupportsCertificate(&certificates[i]) == nil {
				return &certificates[i], nil
			}
		}
		return new(tls.Certificate), nil // none: the server decides
	}
	return config, asked
}

func (s *session) greeting(context.Context) error { return s.d.greeting() }
func (s *session) hello(context.Context) error    { return s.d.hello() }
func (s *session) starttls(context.Context) error { return s.d.starttls() }

// awaitTurn asks the guard again, now that the credential is about to be sent:
// another login may have been refused since the probe began.
func (s *session) awaitTurn(ctx context.Context) error {
	if s.pass.Login(ctx) {
		return nil
	}
	s.phase = PhaseAuth
	s.outcome.Auth = AuthFacts{Held: true, NextAttempt: s.pass.Hold.Until}
	return s.withheld()
}

// auth logs in once.
func (s *session) auth(context.Context) error {
	s.log.guardSecret(true)
	defer s.log.guardSecret(false)
	method, err := authenticate(s.c, s.secret, s.w.encrypted(), s.d)
	s.outcome.Auth.Mechanism = method
	s.outcome.Auth.Sent = s.log.secretTold()
	s.outcome.Auth.Accepted = err == nil
	return err
}

func (s *session) mailbox(context.Context) (err error) {
	s.outcome.Mailbox, err = s.d.mailbox()
	return err
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
	s.outcome.Failure = &Failure{Phase: s.phase, Reason: reason, Hint: hint,
		Text: cleanText(s.text(reason, err), maxFailureText)}
}

// text is what a failure may say. After a secret byte went out, and before
// STARTTLS, no word of the server is in it but those of a closed list.
func (s *session) text(reason Reason, err error) string {
	if !s.log.mute() {
		return err.Error()
	}
	var no *refusal
	var known *fault
	switch {
	case errors.As(err, &no):
		return strings.TrimSpace(no.command + ": rejected by server: " + no.reply.status + " " + knownCode(no.reply.code))
	case errors.As(err, &known):
		return string(s.phase) + ": " + reason.Meaning()
	}
	return err.Error()
}

// goodbye ends the session politely: servers' ban lists count abrupt ends, and
// POP3 frees the maildrop's lock only at QUIT or when the connection dies. A
// session that is out of step, because a call was cut off, gets a short time;
// one whose transport is gone, none.
func (s *session) goodbye(ctx context.Context) {
	if s.w == nil {
		return
	}
	start := time.Now()
	inStep := s.w.failed() == nil && ctx.Err() == nil
	switch {
	case !s.canSpeak():
		s.abrupt = isDeadline(s.w.failed())
		return
	case inStep:
		s.w.extend(s.grace(ctx))
		if err := s.d.quit(); err != nil {
			s.outcome.Goodbye, _ = classify(PhaseQuit, s.c, err)
			s.abrupt = s.outcome.Goodbye == Timeout
		}
	default:
		s.w.extend(partingTime)
		err := s.w.send([]byte(protocols[s.c.Protocol].goodbye))
		s.abrupt = err != nil || !errors.Is(s.d.drain(partingTime), io.EOF)
	}
	s.spend(PhaseQuit, time.Since(start))
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
	case PhaseTLS:
		return false
	case PhaseGreeting:
		// Who speaks before the greeting is a spam bot. RFC 5321 section 3.1
		// wants a QUIT after a 554; the others close after a negative greeting.
		return s.c.Protocol == SMTP && s.w.failed() == nil && reason != ProtocolMalformed
	default:
		return !silent[reason]
	}
}

// farewells are the answers after which a server closes by itself: RFC 9051
// section 7.1.5, RFC 5321 section 3.8.
var farewells = map[string]bool{"BYE": true, "421": true}

// silent holds the reasons after which nothing more is said.
var silent = map[Reason]bool{
	Reset: true, Closed: true, ProtocolMalformed: true, ProtocolOversize: true,
	StartTLSInjected: true, TLSPlaintext: true, LocalBug: true,
}

// close hangs up. After a good end the server is waited for a little, so that
// TIME_WAIT is on its side; that is no part of the probe any more.
func (s *session) close() {
	s.outcome.End = time.Now()
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

// finish completes the outcome and tells the guard.
func (s *session) finish() Outcome {
	o := &s.outcome
	if o.End.IsZero() {
		o.End = time.Now()
	}
	o.Transcript = s.log.kept()
	s.trace()
	if f := o.Failure; f != nil && o.Auth.Sent && !o.Auth.Accepted {
		o.Auth.Rejected = f.Class() == Definitive
	}
	if s.pass != nil {
		s.pass.Done(s.verdict())
	}
	return *o
}

// verdict is what the guard is told of the login.
func (s *session) verdict() AuthVerdict {
	o := &s.outcome
	v := AuthVerdict{Tried: o.Auth.Sent, Accepted: o.Auth.Accepted, Address: o.Address}
	// A probe that was called off says nothing of the credential.
	if v.Tried && !v.Accepted && o.Failure != nil && !errors.Is(s.err, context.Canceled) {
		v.Class, v.Reason = o.Failure.Class(), o.Failure.Reason
	}
	return v
}

// renew asks for another token where the server refused this one, so that the
// next probe has it; a probe logs in once only.
func (s *session) renew(ctx context.Context) {
	if f := s.outcome.Failure; s.c.Token != nil && f != nil && f.Reason == TokenRejected {
		_, _ = s.c.Token(ctx, true)
	}
}

// trace writes the dialogue to the log, for whoever asked for that much.
func (s *session) trace() {
	if s.p.Log == nil || !s.p.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for _, line := range s.outcome.Transcript {
		s.p.Log.Debug("dialogue", "connection", s.c.Name, "at", line.At, "from", string(rune(line.From)), "line", line.Text)
	}
}
