package prober

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// cancelLimit is how long a probe may go on after it was cancelled (G1).
const cancelLimit = 100 * time.Millisecond

// TestProbeEndsAtOnceWhereverItIsCancelled cancels probes of a server that
// takes a second for each answer, half a second later each time, until one gets
// to its end. Fault 129 of the catalogue, and fault 128: a maildrop is freed.
func TestProbeEndsAtOnceWhereverItIsCancelled(t *testing.T) {
	fix := newFaultFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		phases := map[mail.Phase]bool{}
		for after := 250 * time.Millisecond; ; after += 500 * time.Millisecond {
			up := false
			synctest.Test(t, func(t *testing.T) {
				run := fix.playUntil(t, p, e, after)
				up = run.outcome.Up()
				if up {
					return
				}
				phases[run.outcome.Failure.Phase] = true
				run.judgeCancelled(t, after)
			})
			if up || t.Failed() {
				break
			}
		}
		for _, phase := range []mail.Phase{mail.PhaseGreeting, mail.PhaseHello, mail.PhaseAuth, mail.PhaseMailbox} {
			if !phases[phase] {
				t.Errorf("no probe was cancelled in phase %s", phase)
			}
		}
	})
}

// playUntil runs a probe of a slow server and cancels it after some time.
func (fix *fixture) playUntil(t *testing.T, p mail.Protocol, e mail.Encryption, after time.Duration) faultRun {
	fault := &faultCase{after: atOnce, script: every("{after at once}"), edit: slowly}
	run, script, options := fix.prepare(fault, p, e)
	ours, theirs := mailtest.Pipe(window)
	closed, session := make(chan struct{}), make(chan mailtest.Session, 1)
	go func() { session <- script.Play(theirs, options, closed) }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	time.AfterFunc(after, cancel)
	run.probe(ctx, func(context.Context, []netip.Addr, int) (net.Conn, error) { return ours, nil })
	run.session = <-session // the slow server reads to the end
	close(closed)
	return run
}

// slowly makes the server of a script wait before it speaks.
func slowly(script string) string {
	var out strings.Builder
	speaks := false
	for line := range strings.Lines(script) {
		said := strings.HasPrefix(line, "S: ") || line == "TLS\n"
		if said && !speaks {
			out.WriteString("DELAY 1s\n")
		}
		speaks = said && line != "TLS\n"
		out.WriteString(line)
	}
	return out.String()
}

// judgeCancelled checks a probe that was cancelled.
func (run *faultRun) judgeCancelled(t *testing.T, after time.Duration) {
	t.Helper()
	o, limit := run.outcome, cancelLimit
	if o.Failure.Reason != mail.Timeout {
		t.Errorf("cancelled after %v: %s at %s", after, o.Failure.Reason, o.Failure.Phase)
	}
	if o.Auth.Sent && o.Failure.Phase == mail.PhaseAuth { // the answer to a credential counts
		limit += verdictTime
	}
	if over := o.Duration() - after; over > limit {
		t.Errorf("cancelled after %v in %s, the probe went on for %v", after, o.Failure.Phase, over)
	}
	if over := run.took - after; over > limit+closingTime {
		t.Errorf("cancelled after %v in %s, the call went on for %v", after, o.Failure.Phase, over)
	}
	last := ""
	for _, line := range o.Transcript {
		if line.From == mail.Client {
			last = line.Text
		}
	}
	goodbye := strings.TrimSpace(protocols[run.connection.Protocol].goodbye)
	if o.Auth.Sent && last != goodbye {
		t.Errorf("cancelled after %v in %s, the probe left without %q", after, o.Failure.Phase, goodbye)
	}
	run.judgeSecrecy(t)
	run.judgeConnection(t)
}

// Fault 110: whatever a password is made of, it arrives as it is.
func TestPasswordsAreSentExactly(t *testing.T) {
	t.Parallel()
	fix := newFixture(t)
	passwords := []string{`say "hi"`, `back\slash\\`, " two  spaces ", "naïve–日本語😀", "{5}", "ends in {5}", "{3}\\\"", "del\x7f",
		"*", "+ ", ".", "=", "AUTHENTICATE", "%s%d%n", "tab\there", strings.Repeat("long ", 50)}
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		if e == mail.StartTLS {
			return // as inside TLS
		}
		for _, password := range passwords {
			server := fix.server(t, p, e, func(o *mailtest.Options) {
				o.Users = map[string]string{"alice": password}
				o.Mechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5"}
			})
			for _, method := range []mail.AuthMethod{mail.AuthLogin, mail.AuthPlain, mail.AuthSASLLogin, mail.AuthCRAMMD5} {
				o := new(Prober).Probe(t.Context(), fix.connection(p, e, server.Addr, func(c *mail.Connection) {
					c.Auth, c.Password = method, mail.InlineSecret(mail.NewSecret(password))
				}))
				if !o.Up() {
					t.Errorf("%s, password %q:\n%s", method, password, explain(o))
				}
			}
		}
	})
}

// Fault 110: a password that no protocol can carry opens no connection.
func TestPasswordsThatCannotBeSentOpenNoConnection(t *testing.T) {
	for _, password := range []string{"", "a\rb", "a\nb", "a\x00b"} {
		c := (&fixture{}).connection(mail.IMAP, mail.NoEncryption, "127.0.0.1:1", func(c *mail.Connection) {
			c.Password = mail.InlineSecret(mail.NewSecret(password))
		})
		dials := 0
		prober := &Prober{dial: func(context.Context, []netip.Addr, int) (net.Conn, error) {
			dials++
			return nil, errors.New("no")
		}}
		wantFailure(t, prober.Probe(t.Context(), c), mail.PhaseAuth, mail.LocalSecret)
		if dials != 0 {
			t.Errorf("password %q: dialled", password)
		}
	}
}

// Fault 116: a refused token is renewed once, for the next probe.
func TestProbeRenewsARefusedTokenOnce(t *testing.T) {
	fix := newFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		server := fix.server(t, p, e, func(o *mailtest.Options) { o.Tokens = map[string][]string{"the-new-one": {"alice"}} })
		token, asked := "the-old-one", []bool{}
		c := fix.connection(p, e, server.Addr, func(c *mail.Connection) {
			c.Password, c.Auth = mail.SecretSource{}, mail.AuthXOAuth2
			c.Token = func(_ context.Context, fresh bool) (mail.Secret, error) {
				asked = append(asked, fresh)
				if fresh {
					token = "the-new-one"
				}
				return mail.NewSecret(token), nil
			}
		})
		wantFailure(t, new(Prober).Probe(t.Context(), c), mail.PhaseAuth, mail.TokenRejected)
		if len(asked) != 2 || asked[0] || !asked[1] || len(server.Logins()) != 1 {
			t.Errorf("tokens asked for, fresh: %v; %d logins", asked, len(server.Logins()))
		}
		if o := new(Prober).Probe(t.Context(), c); !o.Up() || len(asked) != 3 {
			t.Errorf("after the renewal, tokens asked for: %v\n%s", asked, explain(o))
		}
	})
}
