package prober

// This file holds the steps of a plan: what each phase does and records, and the
// goodbye.

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"mailprobe/mail"
)

// reserveLogin reads the secret, so that an unreadable one opens no connection, and
// reserves a login at the guard. It returns false if the probe ends here. The wait
// is not part of the probe's time.
func (s *session) reserveLogin(ctx context.Context) bool {
	secret, err := readSecret(ctx, s.c, false)
	if err != nil {
		s.fail(mail.PhaseAuth, err)
		return false
	}
	s.secret = secret
	s.rememberSecret()
	s.permit = s.p.Guard.Enter(ctx, s.c, secret)
	s.begin()
	if s.permit.Allowed {
		return true
	}
	s.isHeld = true
	s.outcome.Auth = s.permit.Hold.Facts()
	if !s.permit.Connect {
		s.fail(mail.PhaseAuth, s.heldError())
	}
	return s.permit.Connect
}

// searchFor makes the redactor search for the secrets that the server of this name or
// address was given.
func (s *session) searchFor(name string) {
	if given := s.p.given.server(name); !slices.Contains(s.redactor.servers, given) {
		s.redactor.servers = append(s.redactor.servers, given)
	}
}

// rememberSecret adds the secret of this login to those that the server was given. It is
// called before the secret is sent: the server may know it from an earlier run.
func (s *session) rememberSecret() {
	for _, given := range s.redactor.servers {
		given.add(s.secret, s.c.Token != nil, time.Now())
	}
}

// heldError is the error of a login that the guard withholds.
func (s *session) heldError() error {
	until := "until something changes" // lockout strict
	if !s.permit.Hold.Until.IsZero() {
		until = "until " + s.permit.Hold.Until.UTC().Format(time.RFC3339)
	}
	hold := s.permit.Hold
	return &fault{reason: hold.Reason, hint: hold.Advice,
		err: fmt.Errorf("login withheld %s: %s", until, cmp.Or(hold.Because, string(hold.Reason)))}
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
		dial = s.delay.connect
	}
	conn, err := dial(ctx, s.addrs, s.outcome.Port)
	if err != nil {
		return err
	}
	s.attach(ctx, conn)
	return nil
}

// attach creates the wire and the dialect of a connection.
func (s *session) attach(ctx context.Context, conn net.Conn) {
	s.outcome.Address = conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(s.outcome.Address); err == nil && host != s.c.Host {
		s.searchFor(host)
		s.rememberSecret()
	}
	s.w = newWire(ctx, conn, s.log, &s.delay, s.bounds)
	s.d = protocols[s.c.Protocol].dialect(s.c, s.w, s.hostname)
	switch d := s.d.(type) {
	case *pop3Dialect:
		d.sightings = s.p.Sightings
	case *imapDialect:
		d.sightings = s.p.Sightings
	}
	s.log.inClear(clearText(s.c, s.w))
}

// hostname returns the name for EHLO. If the system has no name, it is an address
// literal (RFC 5321 section 4.1.4).
func (s *session) hostname() string {
	if s.p.Hostname != "" {
		return s.p.Hostname
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "[127.0.0.1]"
}

// handshake starts TLS. It records certificates also if verification failed.
func (s *session) handshake(context.Context) error {
	config, asked := watchClientCertificate(s.c)
	verified := s.p.chains.install(config)
	watch := s.delay.begin()
	state, err := s.w.startTLS(config)
	facts := &mail.TLSFacts{}
	if err != nil {
		if chain := presentedChain(err); chain != nil {
			addCertificates(facts, chain)
			s.outcome.TLS = facts
		}
		return &handshakeError{err: err, clientCertAsked: *asked}
	}
	facts.Handshake = watch.elapsed()
	facts.Version, facts.Cipher = tls.VersionName(state.Version), cipherName(state.CipherSuite)
	addCertificates(facts, state.PeerCertificates)
	s.outcome.TLS = facts
	s.clientCertAsked = *asked
	s.log.inClear(false)
	s.log.note(facts.Version + " " + facts.Cipher)
	if s.c.TLS.InsecureSkipVerify {
		return nil
	}
	if len(state.VerifiedChains) > 0 { // verified by crypto/tls
		*verified = lastingChain(state.VerifiedChains)
	}
	facts.NotAfter, facts.NotBefore = verified.notAfter, verified.notBefore
	facts.Verified = verified.weak == nil
	return verified.weak
}

// cipherNames are those of every cipher suite: tls.CipherSuiteName makes a list of
// them at each call. Read only.
var cipherNames = func() map[uint16]string {
	names := map[uint16]string{}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		names[suite.ID] = suite.Name
	}
	return names
}()

// cipherName returns the name of a cipher suite.
func cipherName(id uint16) string {
	if name, known := cipherNames[id]; known {
		return name
	}
	return tls.CipherSuiteName(id) // its number
}

// watchClientCertificate returns a copy of the connection's configuration, with the
// name to verify, and a flag that is set when the server asks for a client
// certificate: that explains why a server may end a handshake.
func watchClientCertificate(c *mail.Connection) (*tls.Config, *bool) {
	asked := new(bool)
	config := c.TLS.Clone()
	config.ServerName = c.ServerName()
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

// awaitLogin waits for the guard's permission to send the credential. Another login
// may have been refused since the probe began.
func (s *session) awaitLogin(ctx context.Context) error {
	if s.permit.Login(ctx) {
		return nil
	}
	s.outcome.Auth = s.permit.Hold.Facts()
	return s.heldError()
}

// auth logs in once. If the probe was cancelled while the answer was due, the answer
// still counts, and the probe ends.
func (s *session) auth(context.Context) error {
	s.log.guardSecret(true)
	defer s.log.guardSecret(false)
	s.w.beginLogin()
	done, err := authenticate(s.c, s.secret, s.w.encrypted(), s.d)
	calledOff := s.w.endLogin()
	s.outcome.Auth.Mechanism = done.method
	s.outcome.Auth.Sent = done.sent && s.log.secretWasSent()
	s.outcome.Auth.Accepted = err == nil
	s.outcome.Auth.Delay = s.d.offer().delay
	if err == nil {
		return calledOff
	}
	return err
}

func (s *session) mailbox(context.Context) (err error) {
	s.outcome.Mailbox, err = s.d.mailbox()
	if no, ok := errors.AsType[*refusal](err); ok && no.doubtful {
		s.outcome.Auth.Accepted = false // Exchange revokes its OK
	}
	return err
}

// runTask runs a courier's task in the session after the login.
func (s *session) runTask(context.Context) error { return s.task(s) }

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
	watch := s.delay.begin()
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
			s.delay.answered(watch.start)
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
	s.addPhaseTime(mail.PhaseQuit, watch.elapsed())
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

// canSpeak reports whether a goodbye makes sense: not after a failed handshake, not to a
// server that is gone or breaks the protocol, and not in clear text if a failure at
// STARTTLS may be an attack.
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
	s.w.release()
}
