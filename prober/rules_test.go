package prober

// This file holds the rules of STARTTLS and TLS: which cases and tests fail when
// one of them is taken out. `go test -run TestRules/R04` plays those of one.

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// rule is one rule of STARTTLS and TLS. Cases are parts of stories of the
// catalogue, tests are named as in testedElsewhere.
type rule struct {
	name, says string
	cases      []string
	tests      []string
}

func rules() []rule {
	return []rule{
		{"R01", "starttls is mandatory: before TLS, nothing is sent but what leads to it or ends the session",
			[]string{"starttls_is_stripped", "without_a_list", "word_in_a_text", "no_ehlo_and_so_no_starttls"}, nil},
		{"R02", "no way back to clear text, whatever goes wrong",
			[]string{"starttls_is_refused", "not_known_after_all", "the_list_is_never_completed", "going_down_at_ehlo"}, nil},
		{"R03", "PREAUTH in clear ends the session at once", []string{"preauth_would_skip_starttls"}, nil},
		{"R04", "between the go-ahead and the handshake there is nothing",
			[]string{"injected_behind_the_go_ahead", "injected_before_the_handshake", "injected_into_the_handshake"}, nil},
		{"R05", "only one form of go-ahead counts",
			[]string{"answered_with_a_continuation", "answered_for_somebody_else", "answered_without_a_word", "untagged_go_ahead"}, nil},
		{"R06", "one command at a time, and none before the ClientHello", nil, []string{"prober.TestR06OneThingAtATime"}},
		{"R07", "what was learnt before TLS is forgotten",
			[]string{"the_one_that_counts", "before_tls_alone", "not_the_list_before", "a_mechanism_offered_before"}, nil},
		{"R08", "STARTTLS is said once", []string{"offered_again_inside_tls"}, []string{"prober.TestR08StartTLSIsSentOnce"}},
		{"R09", "what the server says before TLS is neither shown nor believed",
			[]string{"an_alert_before_tls", "words_in_clear_before_starttls", "mail_data_in_clear"}, nil},
		{"R10", "nothing leads to another server", []string{"is_not_followed"}, nil},
		{"R11", "TLS is the default, odd ports are warned about", nil, []string{"config.TestLoadCompletesConnections"}},
		{"R12", "TLS 1.2 at least, and no session is resumed", []string{"tls_1_1_at_most"},
			[]string{"prober.TestR12NoSessionIsResumed", "config.TestLoadCompletesConnections", "config.TestLoadReportsEveryFault"}},
		{"R13", "the certificate must be of the configured name", []string{"another_name"}, []string{"prober.TestR13TheConfiguredNameCounts"}},
		{"R14", "an own CA is trusted, and only a written word turns verification off", nil,
			[]string{"prober.TestR14UnverifiedIsVisible", "config.TestLoadCompletesConnections"}},
		{"R15", "a password goes out in clear only where that is written, and hidden if it can be", nil,
			[]string{"prober.TestR15HiddenInClearWhereItCanBe", "config.TestLoadCompletesConnections"}},
		{"R16", "a refused certificate is reported all the same", nil, []string{"prober.TestR16TheRefusedCertificateIsNamed"}},
		{"R17", "no other port, mode or attempt", nil, []string{"prober.TestR17NothingElseIsTried"}},
		{"R18", "a secret leaves in one function, after a check that TLS is up or not wanted", nil,
			[]string{"prober.TestR18SecretLeavesAfterACheck", "prober.TestSecretRevealHasFewCallers"}},
	}
}

// TestRules plays the cases of each rule, and looks for its tests.
func TestRules(t *testing.T) {
	fix := newFaultFixture(t)
	cases := faultCases()
	for _, r := range rules() {
		t.Run(r.name+"_"+strings.ReplaceAll(r.says, " ", "_"), func(t *testing.T) {
			for _, part := range r.cases {
				found := false
				for _, fault := range cases {
					if !strings.Contains(fault.story, part) {
						continue
					}
					found = true
					for _, pair := range fault.pairs() {
						t.Run(fault.story+"_"+string(pair.protocol)+"_"+string(pair.encryption), func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) {
								run := fix.playInMemory(t, &fault, pair.protocol, pair.encryption)
								run.judge(t)
							})
						})
					}
				}
				if !found {
					t.Errorf("no fault tells of %q", part)
				}
			}
			for _, name := range r.tests {
				dir, test, _ := strings.Cut(name, ".")
				if !testsIn(t, "../"+dir)[test] {
					t.Errorf("there is no %s", name)
				}
			}
		})
	}
}

// turnConn notes whose turn it was: every write and every read, in order.
type turnConn struct {
	net.Conn
	turns []string
}

func (c *turnConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.turns = append(c.turns, "")
	}
	return n, err
}

func (c *turnConn) Write(p []byte) (int, error) {
	c.turns = append(c.turns, string(p))
	return c.Conn.Write(p)
}

// TestR06OneThingAtATime wants an answer between any two commands in clear, and
// the ClientHello as the next thing after STARTTLS was answered.
func TestR06OneThingAtATime(t *testing.T) {
	fix := newFaultFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		if e == mail.ImplicitTLS {
			return // the same as without encryption, inside
		}
		synctest.Test(t, func(t *testing.T) {
			fault := &faultCase{after: atOnce, script: every("{after at once}"), edit: slowly}
			run, script, options := fix.prepare(fault, p, e)
			client, session := mailtest.PipeTo(script, options)
			turns := &turnConn{Conn: client}
			run.probe(t.Context(), func(context.Context, []netip.Addr, int) (net.Conn, error) { return turns, nil })
			<-session
			if !run.outcome.Up() {
				t.Fatal(explain(run.outcome))
			}
			before := ""
			for _, said := range turns.turns {
				if strings.HasPrefix(said, "\x16") {
					if before != "" {
						t.Errorf("before the ClientHello came %q", before)
					}
					break
				}
				if said != "" && before != "" {
					t.Errorf("%q was said right after %q", said, before)
				}
				before = said
			}
		})
	})
}

// TestR08StartTLSIsSentOnce counts in whole sessions with well-behaved servers.
func TestR08StartTLSIsSentOnce(t *testing.T) {
	fix := newFixture(t)
	for p, word := range map[mail.Protocol]string{mail.IMAP: "STARTTLS", mail.POP3: "STLS", mail.SMTP: "STARTTLS"} {
		server, err := mailtest.StartScript(mailtest.MustScript(honest(p, mail.StartTLS, atOnce, opened)+"BYE "+string(p)),
			mailtest.ScriptOptions{TLS: &tls.Config{Certificates: []tls.Certificate{fix.cert}}})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if o := new(Prober).Probe(t.Context(), fix.connection(p, mail.StartTLS, server.Addr)); !o.Up() {
			t.Fatal(explain(o))
		}
		if n := strings.Count(string(server.Received()), word+"\r\n"); n != 1 {
			t.Errorf("%s: %s was said %d times", p, word, n)
		}
	}
}

// TestR12NoSessionIsResumed probes twice: a resumed session would skip the
// certificate.
func TestR12NoSessionIsResumed(t *testing.T) {
	fix := newFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		if e == mail.NoEncryption {
			return
		}
		resumed := 0
		server := fix.server(t, p, e, func(o *mailtest.Options) {
			o.TLS = &tls.Config{Certificates: []tls.Certificate{fix.cert}, VerifyConnection: func(state tls.ConnectionState) error {
				if state.DidResume {
					resumed++
				}
				return nil
			}}
		})
		c := fix.connection(p, e, server.Addr)
		for range 2 {
			if o := new(Prober).Probe(t.Context(), c); !o.Up() || o.TLS.NotAfter.IsZero() {
				t.Fatal(explain(o))
			}
		}
		if resumed != 0 {
			t.Errorf("%d sessions were resumed", resumed)
		}
	})
}

// TestR13TheConfiguredNameCounts has a server whose certificate is for another
// name: neither what it calls itself nor where it is makes it right.
func TestR13TheConfiguredNameCounts(t *testing.T) {
	fix := newFixture(t)
	fix.cert = fix.ca.MustIssue(mailtest.CertOptions{Names: []string{"mx.example.org"}})
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		if e == mail.NoEncryption {
			return
		}
		server := fix.server(t, p, e)
		o := new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr))
		wantFailure(t, o, mail.PhaseTLS, mail.CertName)
		if len(server.Logins()) != 0 || o.TLS == nil || o.TLS.Verified {
			t.Errorf("%d logins, facts %+v", len(server.Logins()), o.TLS)
		}
	})
}

// TestR14UnverifiedIsVisible turns verification off, as written.
func TestR14UnverifiedIsVisible(t *testing.T) {
	fix := newFixture(t)
	stranger := mailtest.MustCA(mailtest.CAOptions{})
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		if e == mail.NoEncryption {
			return
		}
		server := fix.server(t, p, e, func(o *mailtest.Options) { o.Certificate = stranger.MustIssue(mailtest.Loopback()) })
		wantFailure(t, new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr)), mail.PhaseTLS, mail.CertUntrusted)
		o := new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr, func(c *mail.Connection) { c.TLS.InsecureSkipVerify = true }))
		if !o.Up() || o.TLS == nil || o.TLS.Verified {
			t.Errorf("facts %+v\n%s", o.TLS, explain(o))
		}
		o = new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr, func(c *mail.Connection) { c.TLS.RootCAs = stranger.Pool() }))
		if !o.Up() || !o.TLS.Verified {
			t.Errorf("its own CA: facts %+v\n%s", o.TLS, explain(o))
		}
	})
}

// TestR15HiddenInClearWhereItCanBe offers every way in clear.
func TestR15HiddenInClearWhereItCanBe(t *testing.T) {
	fix := newFixture(t)
	for _, p := range mail.Protocols() {
		server, err := mailtest.Start(mailtest.Options{Protocol: string(p), Encryption: mailtest.NoEncryption,
			Users: map[string]string{"alice": "wonder land"}, Mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"}})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		o := new(Prober).Probe(t.Context(), fix.connection(p, mail.NoEncryption, server.Addr))
		if !o.Up() || o.Auth.Mechanism != mail.AuthSCRAMSHA256 || len(server.Logins()) != 1 || server.Logins()[0].Secret != "" {
			t.Errorf("%s: mechanism %q, logins %+v\n%s", p, o.Auth.Mechanism, server.Logins(), explain(o))
		}
		if c := fix.connection(p, mail.NoEncryption, server.Addr, func(c *mail.Connection) { c.Auth = mail.AuthPlain }); !func() bool {
			o = new(Prober).Probe(t.Context(), c)
			return o.Up()
		}() {
			t.Errorf("%s: PLAIN was written down and not obeyed:\n%s", p, explain(o))
		}
	}
}

// TestR16TheRefusedCertificateIsNamed refuses it for each reason.
func TestR16TheRefusedCertificateIsNamed(t *testing.T) {
	fix := newFixture(t)
	stranger := mailtest.MustCA(mailtest.CAOptions{})
	cert := stranger.MustIssue(mailtest.Loopback())
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		if e == mail.NoEncryption {
			return
		}
		server := fix.server(t, p, e, func(o *mailtest.Options) { o.Certificate = cert })
		o := new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr))
		wantFailure(t, o, mail.PhaseTLS, mail.CertUntrusted)
		if o.TLS == nil || !o.TLS.NotAfter.Equal(cert.Leaf.NotAfter) || o.TLS.FingerprintSHA256 == "" || o.TLS.Verified {
			t.Errorf("facts %+v", o.TLS)
		}
	})
}

// TestR17NothingElseIsTried counts the connections to servers that cannot do
// what is asked for.
func TestR17NothingElseIsTried(t *testing.T) {
	fix := newFixture(t)
	for _, p := range mail.Protocols() {
		for _, way := range []struct{ server, client mail.Encryption }{
			{mail.NoEncryption, mail.ImplicitTLS}, {mail.NoEncryption, mail.StartTLS}, {mail.ImplicitTLS, mail.NoEncryption}, {mail.ImplicitTLS, mail.StartTLS}, {mail.StartTLS, mail.ImplicitTLS}} {
			script := "{after at once}"
			if way.server == mail.ImplicitTLS {
				script = "TLS\nSTALL"
			}
			fault := &faultCase{script: map[mail.Protocol]string{p: script}}
			synctest.Test(t, func(t *testing.T) {
				run, _, options := fix.prepare(fault, p, way.client)
				text := strings.ReplaceAll(script, "{after at once}", honest(p, way.server, atOnce, opened)+"BYE "+string(p))
				dials, ports := 0, map[int]bool{}
				var sessions []<-chan mailtest.Session
				run.probe(t.Context(), func(_ context.Context, _ []netip.Addr, port int) (net.Conn, error) {
					dials++
					ports[port] = true
					client, session := mailtest.PipeTo(mailtest.MustScript(text), options)
					sessions = append(sessions, session)
					return client, nil
				})
				for _, session := range sessions {
					got := <-session
					if coding, _ := run.leaks.Find(string(got.Wire)); coding != "" || got.Logins() > 0 {
						t.Errorf("%s, %s where the server speaks %s: a login was tried", p, way.client, way.server)
					}
				}
				if run.outcome.Up() || dials != 1 || len(ports) != 1 {
					t.Errorf("%s, %s where the server speaks %s: %d dials to %v\n%s", p, way.client, way.server, dials, ports, explain(run.outcome))
				}
			})
		}
	}
}

// TestR18SecretLeavesAfterACheck asks for a secret where TLS should be up and is not.
func TestR18SecretLeavesAfterACheck(t *testing.T) {
	fix := newFixture(t)
	secret := mail.NewSecret("wonder land")
	for e, want := range map[mail.Encryption]bool{mail.NoEncryption: true, mail.ImplicitTLS: false, mail.StartTLS: false, "": false} {
		c := fix.connection(mail.IMAP, mail.ImplicitTLS, "127.0.0.1:1", func(c *mail.Connection) { c.Encryption = e })
		id, err := reveal(c, secret, false)
		if (err == nil) != want || err != nil && id.secret != "" {
			t.Errorf("encryption %q without TLS: %v", e, err)
		}
		var known *fault
		if err != nil && !errors.As(err, &known) {
			t.Errorf("encryption %q: %v has no reason", e, err)
		}
		if _, err := reveal(c, secret, true); err != nil {
			t.Errorf("encryption %q with TLS: %v", e, err)
		}
	}
}
