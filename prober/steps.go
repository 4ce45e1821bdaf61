package prober

// This file holds the steps of a plan: what one phase does, and what it learns.

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"time"

	"mailprobe/mail"
)

// admit reads the secret, so that a broken one opens no connection, and asks
// the guard. It is false when the probe has ended here. What it waits for is no
// part of the probe's time.
func (s *session) admit(ctx context.Context) bool {
	s.phase = mail.PhaseAuth
	secret, err := readSecret(ctx, s.c, false)
	if err != nil {
		s.fail(err)
		return false
	}
	s.secret = secret
	s.permit = s.p.Guard.Enter(ctx, s.c, secret)
	s.begin()
	if s.permit.Allowed {
		return true
	}
	s.held = true
	s.outcome.Auth = s.permit.Hold.Facts()
	if !s.permit.Connect {
		s.fail(s.withheld())
	}
	return s.permit.Connect
}

// withheld is why a login was not tried.
func (s *session) withheld() error {
	until := "until something changes" // lockout strict
	if !s.permit.Hold.Until.IsZero() {
		until = "until " + s.permit.Hold.Until.UTC().Format(time.RFC3339)
	}
	return &fault{reason: s.permit.Hold.Reason, err: fmt.Errorf("login withheld %s: %s", until, s.permit.Hold.Reason)}
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
		dial = s.late.connect
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
	s.w = newWire(ctx, conn, s.log, &s.late)
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
	clock := s.late.clock()
	state, err := s.w.startTLS(ctx, config)
	facts := &mail.TLSFacts{}
	if err != nil {
		if chain := presentedChain(err); chain != nil {
			addCertificates(facts, chain)
			s.outcome.TLS = facts
		}
		return &handshakeError{err: err, clientCertAsked: *asked}
	}
	facts.Handshake = clock()
	facts.Version, facts.Cipher = tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite)
	addCertificates(facts, state.PeerCertificates)
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
	if s.permit.Login(ctx) {
		return nil
	}
	s.phase = mail.PhaseAuth
	s.outcome.Auth = s.permit.Hold.Facts()
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
	s.outcome.Auth.Delay = s.d.offer().delay
	return err
}

func (s *session) mailbox(context.Context) (err error) {
	s.outcome.Mailbox, err = s.d.mailbox()
	return err
}
