package prober

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/guard"
	"mailprobe/mail"
	"mailprobe/pool"
)

// TestProbeWithGuard walks through the life of a wrong password in each
// protocol, on real sockets.
func TestProbeWithGuard(t *testing.T) {
	fix := newFixture(t)
	for _, protocol := range mail.Protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			server := fix.server(t, protocol, mail.ImplicitTLS)
			file := filepath.Join(t.TempDir(), "password")
			write := func(password string) {
				t.Helper()
				if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h := newGuardedTime(t)
			c := fix.connection(protocol, mail.ImplicitTLS, server.Addr, func(c *mail.Connection) { c.Password = mail.FileSecret(file) })
			prober := &Prober{Guard: h.Guard}
			probe := func(story string, reason mail.Reason, held, connected bool, logins int) mail.Outcome {
				t.Helper()
				o := prober.Probe(t.Context(), c)
				got := mail.Reason("")
				if o.Failure != nil {
					got = o.Failure.Reason
				}
				if got != reason || o.Auth.Held != held || (o.Address != "") != connected || len(server.Logins()) != logins {
					t.Fatalf("%s: reason %q, held %v, connected to %q, %d logins; want %q, %v, %v, %d\n%s", story,
						got, o.Auth.Held, o.Address, len(server.Logins()), reason, held, connected, logins, explain(o))
				}
				return o
			}
			write("not the password")
			o := probe("a wrong password", mail.AuthRejected, false, true, 1)
			if !o.Auth.Withheld() || o.Auth.NextAttempt.Sub(h.at) < 35*time.Minute {
				t.Errorf("%+v; want it said at once that the next login waits, and until when", o.Auth)
			}
			h.sleep(time.Minute)
			o = probe("a minute later: a look without a login", mail.AuthRejected, true, true, 1)
			if o.TLS == nil || !o.TLS.Verified || o.Auth.NextAttempt.Sub(h.at) < 34*time.Minute {
				t.Errorf("TLS %+v, next attempt %v; want the certificate seen, and a time", o.TLS, o.Auth.NextAttempt)
			}
			h.sleep(time.Minute)
			probe("another minute later: not even a look", mail.AuthRejected, true, false, 1)
			h.sleep(5 * time.Minute)
			probe("five minutes later: a look", mail.AuthRejected, true, true, 1)
			write("wonder land")
			if o := probe("the file is corrected", "", false, true, 2); o.Auth.Withheld() || !o.Auth.NextAttempt.IsZero() {
				t.Errorf("%+v; want nothing withheld any more", o.Auth)
			}
			h.sleep(time.Minute)
			probe("and stays right", "", false, true, 3)
		})
	}
}

// TestProbeWithGuardMakesOneAttempt: two connections with one wrong password
// start together (fault 118).
func TestProbeWithGuardMakesOneAttempt(t *testing.T) {
	fix := newFixture(t)
	slow := func(o *mailtest.Options) { o.LoginDelay = 100 * time.Millisecond }
	imap, smtp := fix.server(t, mail.IMAP, mail.ImplicitTLS, slow), fix.server(t, mail.SMTP, mail.ImplicitTLS, slow)
	guard, err := guard.New(guard.Options{})
	if err != nil {
		t.Fatal(err)
	}
	prober := &Prober{Guard: guard}
	bad := func(c *mail.Connection) {
		c.Username, c.Password = "alice@example.org", mail.InlineSecret(mail.NewSecret("not the password"))
	}
	var done sync.WaitGroup
	for range 3 {
		for _, c := range []*mail.Connection{fix.connection(mail.IMAP, mail.ImplicitTLS, imap.Addr, bad), fix.connection(mail.SMTP, mail.ImplicitTLS, smtp.Addr, bad)} {
			done.Go(func() {
				o := prober.Probe(t.Context(), c)
				if o.Failure == nil || o.Failure.Reason != mail.AuthRejected && o.Failure.Reason != mail.AuthHeld {
					t.Errorf("%+v, want each refused, or held for the sake of the one that was", o.Failure)
				}
			})
		}
	}
	done.Wait()
	if n := len(imap.Logins()) + len(smtp.Logins()); n != 1 {
		t.Errorf("%d logins of one account, want 1", n)
	}
}

// TestProbeWithGuardNamesTheRefusedConnection: who is withheld for another's sake
// says so, until the refused connection is removed.
func TestProbeWithGuardNamesTheRefusedConnection(t *testing.T) {
	fix := newFixture(t)
	imap, pop := fix.server(t, mail.IMAP, mail.ImplicitTLS), fix.server(t, mail.POP3, mail.ImplicitTLS)
	bad := func(name string) func(*mail.Connection) {
		return func(c *mail.Connection) {
			c.Name, c.Password = name, mail.InlineSecret(mail.NewSecret("staple horse"))
		}
	}
	refused := fix.connection(mail.POP3, mail.ImplicitTLS, pop.Addr, bad("fax"))
	other := fix.connection(mail.IMAP, mail.ImplicitTLS, imap.Addr, bad("inbox"))
	h := newGuardedTime(t)
	h.SetConnections([]*mail.Connection{refused, other})
	prober := &Prober{Guard: h.Guard}
	prober.Probe(t.Context(), refused)
	o := prober.Probe(t.Context(), other)
	if f := o.Failure; f == nil || f.Reason != mail.AuthHeld || o.Auth.HeldBy != "fax" || !o.Auth.HeldSince.Equal(h.at) || o.Auth.Known() ||
		!strings.Contains(f.Text, "connection fax") || !strings.Contains(f.Text, "12:00:00 UTC") || !strings.Contains(f.Advice(), "connection fax") {
		t.Errorf("%+v\n%+v, want it held for connection fax", o.Failure, o.Auth)
	}
	h.SetConnections([]*mail.Connection{other})
	if o := prober.Probe(t.Context(), other); o.Failure == nil || o.Failure.Reason != mail.AuthRejected || !o.Auth.Sent {
		t.Errorf("%+v, want it tried: the refused connection is gone", o.Failure)
	}
}

// TestProbeWithGuardSaysNothingOfAnInnocent: two other logins were refused by the
// server, so a third one waits, and is neither accepted nor refused.
func TestProbeWithGuardSaysNothingOfAnInnocent(t *testing.T) {
	fix := newFixture(t)
	server := fix.server(t, mail.IMAP, mail.ImplicitTLS)
	h := newGuardedTime(t)
	prober := &Prober{Guard: h.Guard}
	for _, user := range []string{"bob@example.org", "carol@example.com"} {
		prober.Probe(t.Context(), fix.connection(mail.IMAP, mail.ImplicitTLS, server.Addr, func(c *mail.Connection) { c.Username = user }))
	}
	o := prober.Probe(t.Context(), fix.connection(mail.IMAP, mail.ImplicitTLS, server.Addr))
	if o.Failure == nil || o.Failure.Reason != mail.AuthHeld || !o.Auth.Held || o.Auth.Known() {
		t.Errorf("%+v, want it held, without a verdict\n%s", o.Auth, explain(o))
	}
}

// TestProbeWithGuardAsksAgainBeforeTheLogin: the account is refused elsewhere
// while this probe connects.
func TestProbeWithGuardAsksAgainBeforeTheLogin(t *testing.T) {
	fix := newFixture(t)
	server := fix.server(t, mail.IMAP, mail.ImplicitTLS)
	c := fix.connection(mail.IMAP, mail.ImplicitTLS, server.Addr)
	h := newGuardedTime(t)
	h.probe(c, "wonder land", right) // known to work: no probe waits
	prober := &Prober{Guard: h.Guard, dial: func(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, error) {
		h.probe(c, "wonder land", wrong)
		return new(schedulingDelay).connect(ctx, addrs, port)
	}}
	o := prober.Probe(t.Context(), c)
	if o.Failure == nil || o.Failure.Reason != mail.AuthRejected || !o.Auth.Held || o.Auth.Sent || len(server.Logins()) != 0 {
		t.Errorf("%d logins, %+v, want none, held for the verdict on the other\n%s", len(server.Logins()), o.Auth, explain(o))
	}
}

// TestProbeWithGuardLearnsFromCallersWhoLeave: a server may take longer to refuse
// a password than its caller waits; asking again and again must not lock the
// account.
func TestProbeWithGuardLearnsFromCallersWhoLeave(t *testing.T) {
	fix := newFaultFixture(t)
	c := fix.connection(mail.IMAP, mail.ImplicitTLS, "127.0.0.1:1", func(c *mail.Connection) { c.Interval = time.Minute })
	h := newGuardedTime(t)
	synctest.Test(t, func(t *testing.T) {
		var tries, calls atomic.Int32
		pool := pool.New(pool.Options{Probe: func(ctx context.Context, c *mail.Connection) mail.Outcome {
			o := (&Prober{Guard: h.Guard, dial: fix.silentAtLogin}).Probe(ctx, c)
			calls.Add(1)
			if o.Auth.Sent {
				tries.Add(1)
			}
			return o
		}})
		pool.Set([]*mail.Connection{c})
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			_, _ = pool.ProbeNow(ctx, c.Name)
			cancel()
			time.Sleep(c.Interval)
		}
		if calls.Load() < 3 || tries.Load() != 2 {
			t.Errorf("%d logins sent by %d probes, want no third: the second without an answer counts as a refusal", tries.Load(), calls.Load())
		}
	})
}

// silentAtLogin dials, inside a bubble, an IMAP server that reads a login and answers nothing.
func (fix *fixture) silentAtLogin(context.Context, []netip.Addr, int) (net.Conn, error) {
	ours, theirs := mailtest.Pipe(window)
	script := mailtest.MustScript(honest(mail.IMAP, mail.ImplicitTLS, atOnce, asked) + "C: {tag} AUTHENTICATE PLAIN *\nSTALL")
	go script.Play(theirs, mailtest.ScriptOptions{TLS: &tls.Config{Certificates: []tls.Certificate{fix.cert}}}, make(chan struct{}))
	return ours, nil
}

// TestProbeWithGuardCalledOffProvesNothing: shutting down or reloading in the
// middle of logins must not look like a server that refuses by silence. But the
// server may count them, so that only two of them in a row go out.
func TestProbeWithGuardCalledOffProvesNothing(t *testing.T) {
	fix := newFaultFixture(t)
	c := fix.connection(mail.IMAP, mail.ImplicitTLS, "127.0.0.1:1")
	h := newGuardedTime(t)
	h.probe(c, "wonder land", right)
	synctest.Test(t, func(t *testing.T) {
		for i, sent := range []bool{true, true, false} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(c.Timeout/2, cancel)
			o := (&Prober{Guard: h.Guard, dial: fix.silentAtLogin}).Probe(ctx, c)
			if o.Auth.Sent != sent || o.Auth.Accepted || o.Auth.Rejected || o.Auth.HeldNext != (i == 1) {
				t.Errorf("probe %d: %+v, want sent=%v\n%s", i+1, o.Auth, sent, explain(o))
			}
			cancel()
		}
	})
	h.sleep(32 * time.Minute)
	h.wantAllowed(t, c, "wonder land")
}

// TestAnswerToALoginThatWasCalledOffCounts: a server that answers a moment after
// the shutdown or reload has said whether the login may be tried again.
func TestAnswerToALoginThatWasCalledOffCounts(t *testing.T) {
	fix := newFaultFixture(t)
	for _, test := range []struct {
		story, answer      string
		accepted, rejected bool
	}{
		{"accepted", "S: {tag} OK logged in", true, false},
		{"refused", "S: {tag} NO [AUTHENTICATIONFAILED] wrong password", false, true},
	} {
		t.Run(test.story, func(t *testing.T) {
			c := fix.connection(mail.IMAP, mail.ImplicitTLS, "127.0.0.1:1")
			h := newGuardedTime(t)
			h.probe(c, "wonder land", right)
			synctest.Test(t, func(t *testing.T) {
				dial := func(context.Context, []netip.Addr, int) (net.Conn, error) {
					ours, theirs := mailtest.Pipe(window)
					script := mailtest.MustScript(honest(mail.IMAP, mail.ImplicitTLS, atOnce, asked) +
						"C: {tag} AUTHENTICATE PLAIN *\nDELAY 1900ms\n" + test.answer + "\nC: *\n")
					go script.Play(theirs, mailtest.ScriptOptions{TLS: &tls.Config{Certificates: []tls.Certificate{fix.cert}}}, make(chan struct{}))
					return ours, nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(10*time.Millisecond, cancel)
				start := time.Now()
				o := (&Prober{Guard: h.Guard, dial: dial}).Probe(ctx, c)
				if !o.Auth.Sent || o.Auth.Accepted != test.accepted || o.Auth.Rejected != test.rejected || o.Up() {
					t.Errorf("%+v, up %v\n%s", o.Auth, o.Up(), explain(o))
				}
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("the probe went on for %v", took)
				}
			})
			if p := h.probe(c, "wonder land", guard.AuthVerdict{}); p.Allowed == test.rejected {
				t.Errorf("the next login: allowed %v", p.Allowed)
			}
		})
	}
}

func TestTextOfAWithheldLoginNamesALongConnectionInFull(t *testing.T) {
	fix := newFixture(t)
	server := fix.server(t, mail.IMAP, mail.ImplicitTLS)
	wrong := func(name string) *mail.Connection {
		return fix.connection(mail.IMAP, mail.ImplicitTLS, server.Addr, func(c *mail.Connection) {
			c.Name, c.Password = name, mail.InlineSecret(mail.NewSecret("not the password"))
		})
	}
	refused, other := wrong(strings.Repeat("long-name-", 20)), wrong("other")
	prober := &Prober{Guard: newGuardedTime(t).Guard}
	prober.Guard.SetConnections([]*mail.Connection{refused, other})
	if o := prober.Probe(t.Context(), refused); o.Failure == nil || o.Failure.Reason != mail.AuthRejected {
		t.Fatalf("the first: %s", explain(o))
	}
	o := prober.Probe(t.Context(), other)
	if o.Failure == nil || !o.Auth.Held || !strings.Contains(o.Failure.Text, refused.Name) || strings.HasSuffix(o.Failure.Text, elided) {
		t.Errorf("%s\nwant the name in full", explain(o))
	}
}
