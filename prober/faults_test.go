package prober

// This file is how the catalogue of faults is tested: a case is a story of one
// server, and the runner plays it for every protocol and encryption it applies
// to, in virtual time, and checks after each what must hold whatever a server
// does. The stories themselves are in the files faults_*_test.go.

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/canary"
	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// stage is how far a server of the catalogue is honest.
type stage int

const (
	atOnce    stage = iota // a fault from the first byte on
	connected              // implicit TLS is up, where it is asked for
	greeted                // the greeting is sent
	secured                // STARTTLS is done, where it is asked for
	asked                  // PLAIN is offered
	loggedIn               // PLAIN was accepted
	opened                 // the mailbox is open, or the sender taken
)

// faultCase is one fault of the catalogue, or a part of it.
type faultCase struct {
	numbers []int  // of the catalogue
	story   string // unique

	encryptions []mail.Encryption // nil: all
	after       stage

	// script says what the server does from there on, for each protocol the case
	// applies to. In it {secret} stands for the password, {base64} for its
	// base64, {hex} for its hex, {half} for its second half, reversed, and {after greeted}
	// for an honest conversation from there to the goodbye.
	script map[mail.Protocol]string
	edit   func(script string) string    // changes the whole script; may be nil
	token  mail.AuthMethod               // log in with a token in this way; empty: with a password
	change func(*mail.Connection)        // of the connection; may be nil
	server func(*mailtest.ScriptOptions) // of the script's options; may be nil
	window int                           // of the connection in memory; 0: as large as a socket's

	phase  mail.Phase  // where the probe ends
	reason mail.Reason // empty: it is up
	// goodbye is why the goodbye went wrong; empty: it did not, or was not said.
	goodbye mail.Reason
	// anyGoodbye: which it is depends on who is quicker.
	anyGoodbye bool
	// notTried: the login is not tried although the probe comes to its phase.
	notTried bool
	// unsent: the login is begun, but ends before a name or a secret is sent.
	unsent bool
	// refusedUnsent counts the mechanisms refused before that.
	refusedUnsent int

	check func(*testing.T, faultRun) // what is special; may be nil
}

// faultRun is one case played once.
type faultRun struct {
	fault      *faultCase
	connection *mail.Connection
	secret     string
	leaks      *canary.Set // finds the secret
	outcome    mail.Outcome
	session    mailtest.Session
	read       int  // bytes the probe took from the connection
	reset      bool // the probe ended it with RST
	log        string
	dials      int
	took       time.Duration // of the whole call
}

// faultTables are the sections of the catalogue that are played here.
func faultTables() []func() []faultCase {
	return []func() []faultCase{
		greetingFaults, starttlsFaults, loginFaults, leavingFaults,
		tcpFaults,
		tlsFaults,
	}
}

// faultCases returns all cases.
func faultCases() []faultCase {
	var cases []faultCase
	for _, table := range faultTables() {
		cases = append(cases, table()...)
	}
	return cases
}

// TestFaults plays every case for every pair it applies to.
func TestFaults(t *testing.T) {
	fix := newFaultFixture(t)
	for _, fault := range faultCases() {
		t.Run(faultName(&fault), func(t *testing.T) {
			t.Parallel()
			for _, pair := range fault.pairs() {
				t.Run(string(pair.protocol)+"_"+string(pair.encryption), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						run := fix.playInMemory(t, &fault, pair.protocol, pair.encryption)
						run.judge(t)
					})
				})
			}
		})
	}
}

// faultName is the numbers and the story.
func faultName(fault *faultCase) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(fault.numbers), "[]"), " ", "_") + "_" + fault.story
}

// pair is a protocol with an encryption.
type pair struct {
	protocol   mail.Protocol
	encryption mail.Encryption
}

func (fault *faultCase) pairs() []pair {
	encryptions := fault.encryptions
	if encryptions == nil {
		encryptions = []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS, mail.StartTLS}
	}
	var pairs []pair
	for _, p := range slices.Sorted(maps.Keys(fault.script)) {
		for _, e := range encryptions {
			pairs = append(pairs, pair{p, e})
		}
	}
	return pairs
}

// newFaultFixture has a certificate that is valid at the time a bubble of synctest
// begins, and now.
func newFaultFixture(t testing.TB) *fixture {
	t.Helper()
	// Thousands of handshakes: the race detector is blind and fast in P-256, which is
	// assembly. Go's own choice is in the tests of honest and of real servers.
	return &fixture{ca: faultCA(), cert: faultCA().MustIssue(wide()), curves: []tls.CurveID{tls.CurveP256}}
}

// faultCA signs everything in the catalogue.
var faultCA = sync.OnceValue(func() *mailtest.CA {
	return mailtest.MustCA(mailtest.CAOptions{NotBefore: wide().NotBefore, NotAfter: wide().NotAfter})
})

// faultSecrets are what the cases log in with, and the search for both. One pair
// serves all cases: preparing the search takes longer than most of the probes.
var faultSecrets = sync.OnceValue(func() (s struct {
	password, token string
	leaks           *canary.Set
}) {
	s.password, s.token = canary.New(), rand.Text() // a token is visible ASCII
	s.leaks = canary.Of(s.password, s.token)
	return s
})

// wide is a good certificate in a bubble of synctest, and now.
func wide() mailtest.CertOptions {
	leaf := mailtest.Loopback()
	leaf.NotBefore, leaf.NotAfter = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	return leaf
}

// prepare makes the connection, whose address nothing dials in memory, the script and
// its options.
func (fix *fixture) prepare(fault *faultCase, p mail.Protocol, e mail.Encryption) (faultRun, *mailtest.Script, mailtest.ScriptOptions) {
	secrets := faultSecrets()
	run := faultRun{fault: fault, secret: secrets.password, leaks: secrets.leaks}
	run.connection = fix.connection(p, e, "127.0.0.1:1", func(c *mail.Connection) {
		c.Password = mail.InlineSecret(mail.NewSecret(run.secret))
		c.Timeout = 30 * time.Second
		if fault.token != "" {
			run.secret = secrets.token
			c.Password, c.Auth = mail.SecretSource{}, fault.token
			c.Token = func(context.Context, bool) (mail.Secret, error) { return mail.NewSecret(run.secret), nil }
		}
		if fault.change != nil {
			fault.change(c)
		}
	})
	text := honest(p, e, atOnce, fault.after) + secretWords(run.secret).Replace(fault.script[p])
	for name, at := range stageNames {
		text = strings.ReplaceAll(text, "{after "+name+"}", honest(p, e, at, opened)+"BYE "+string(p))
	}
	if fault.edit != nil {
		text = fault.edit(text)
	}
	options := mailtest.ScriptOptions{TLS: &tls.Config{Certificates: []tls.Certificate{fix.cert}}}
	if fault.server != nil {
		fault.server(&options)
	}
	return run, mailtest.MustScript(text), options
}

// stageNames are the words of {after ...}.
var stageNames = map[string]stage{"at once": atOnce, "connected": connected, "greeted": greeted,
	"secured": secured, "asked": asked, "logged in": loggedIn, "opened": opened}

// honest is what a good server says after one stage and up to another.
func honest(p mail.Protocol, e mail.Encryption, after, until stage) string {
	var text strings.Builder
	add := func(at stage, lines string) {
		if after < at && at <= until {
			text.WriteString(lines + "\n")
		}
	}
	if e == mail.ImplicitTLS {
		add(connected, "TLS")
	}
	add(greeted, honestParts[p].greeting)
	if e == mail.StartTLS {
		add(secured, honestParts[p].starttls+"\nTLS")
	}
	add(asked, honestParts[p].hello)
	add(loggedIn, honestParts[p].login)
	add(opened, honestParts[p].mailbox)
	return text.String()
}

var honestParts = map[mail.Protocol]struct{ greeting, starttls, hello, login, mailbox string }{
	mail.IMAP: {
		greeting: "S: * OK IMAP4rev1 Service Ready",
		starttls: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\nS: {tag} OK completed\n" +
			"C: {tag} STARTTLS\nS: {tag} OK Begin TLS negotiation now",
		hello: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\nS: {tag} OK completed",
		login: "C: {tag} AUTHENTICATE PLAIN *\nS: {tag} OK Logged in",
		mailbox: "C: {tag} EXAMINE INBOX\nS: * FLAGS (\\Answered \\Seen)\nS: * 3 EXISTS\n" +
			"S: * OK [UIDVALIDITY 1690000000] UIDs valid\nS: {tag} OK [READ-ONLY] done",
	},
	mail.POP3: {
		greeting: "S: +OK POP3 server ready",
		starttls: "C: CAPA\nS: +OK\nS: STLS\nS: TOP\nS: .\nC: STLS\nS: +OK Begin TLS negotiation",
		hello:    "C: CAPA\nS: +OK\nS: TOP\nS: USER\nS: SASL PLAIN\nS: .",
		login:    "C: AUTH PLAIN\nS: + \nC: *\nS: +OK Logged in",
		mailbox:  "C: STAT\nS: +OK 3 360",
	},
	mail.SMTP: {
		greeting: "S: 220 mx.example.org ESMTP Postfix",
		starttls: "C: EHLO *\nS: 250-mx.example.org\nS: 250-SIZE 10240000\nS: 250 STARTTLS\n" +
			"C: STARTTLS\nS: 220 2.0.0 Ready to start TLS",
		hello:   "C: EHLO *\nS: 250-mx.example.org\nS: 250-SIZE 10240000\nS: 250 AUTH PLAIN",
		login:   "C: AUTH PLAIN *\nS: 235 2.7.0 Authentication successful",
		mailbox: "C: MAIL FROM:*\nS: 250 2.1.0 Ok\nC: RSET\nS: 250 2.0.0 Ok",
	},
}

// every gives the same script to all protocols.
func every(script string) map[mail.Protocol]string {
	return map[mail.Protocol]string{mail.IMAP: script, mail.POP3: script, mail.SMTP: script}
}

// window is what a connection in memory holds, as a socket would.
const window = 64 << 10

// playInMemory plays a case over a pipe. It must run in a bubble of synctest.
func (fix *fixture) playInMemory(t *testing.T, fault *faultCase, p mail.Protocol, e mail.Encryption) faultRun {
	t.Helper()
	run, script, options := fix.prepare(fault, p, e)
	ours, theirs := mailtest.Pipe(cmp.Or(fault.window, window))
	metered := &countingConn{Conn: ours}
	closed, session := make(chan struct{}), make(chan mailtest.Session, 1)
	go func() { session <- script.Play(theirs, options, closed) }()
	run.probe(t.Context(), func(context.Context, []netip.Addr, int) (net.Conn, error) {
		run.dials++
		return metered, nil
	})
	run.read, run.reset = metered.read, metered.reset
	if !metered.closed.Load() {
		t.Error("the connection is left open")
	}
	close(closed)
	_ = ours.Close()
	run.session = <-session
	return run
}

// probe runs the probe of a case over a connection that dial gives.
func (run *faultRun) probe(ctx context.Context, dial dialFunc) {
	run.probeWith(ctx, func(p *Prober) { p.dial = dial })
}

// probeWith runs the probe of a case, and keeps what it said and how long it took.
func (run *faultRun) probeWith(ctx context.Context, alter func(*Prober)) {
	var log bytes.Buffer
	prober := &Prober{Hostname: "probe.example.org",
		Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	alter(prober)
	start := time.Now()
	run.outcome = prober.Probe(ctx, run.connection)
	run.took = time.Since(start)
	run.log = log.String()
}

// countingConn counts what is read, and notes whether and how it was closed.
type countingConn struct {
	net.Conn
	read   int
	reset  bool
	closed atomic.Bool // TLS closes too, from a goroutine of its own
}

func (c *countingConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read += n
	return n, err
}

// SetLinger lets the wire reset the connection.
func (c *countingConn) SetLinger(seconds int) error {
	c.reset = seconds == 0
	return c.Conn.(interface{ SetLinger(int) error }).SetLinger(seconds)
}
