package prober_test

// Probes through real proxies: nginx, which speaks the mail protocols itself, and
// haproxy and stunnel, which end TLS and know nothing of mail.

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"mailprobe/guard"
	"mailprobe/internal/mailtest"
	"mailprobe/internal/realserver"
	"mailprobe/mail"
	"mailprobe/prober"
)

// directory sends nginx to the pair of servers.
func (r *real) directory(t *testing.T) *realserver.Directory {
	t.Helper()
	return realserver.NewDirectory(t, map[string]int{
		"imap": r.dovecot.IMAP, "pop3": r.dovecot.POP3, "smtp": r.postfix.SMTP})
}

// nowhere sends nginx to servers that are down.
func nowhere(t *testing.T) *realserver.Directory {
	t.Helper()
	return realserver.NewDirectory(t, map[string]int{
		"imap": realserver.ClosedPort, "pop3": realserver.ClosedPort, "smtp": realserver.ClosedPort})
}

// nginx runs an nginx in front of the pair.
func (r *real) nginx(t *testing.T, options realserver.NginxOptions) *realserver.Nginx {
	t.Helper()
	options.CA = r.ca
	return realserver.StartNginx(t, options)
}

// through leads a connection to nginx instead of the server behind it.
func through(n *realserver.Nginx) func(*mail.Connection) {
	return func(c *mail.Connection) {
		c.Port = map[mail.Protocol]map[bool]int{
			mail.IMAP: {false: n.IMAP, true: n.IMAPS},
			mail.POP3: {false: n.POP3, true: n.POP3S},
			mail.SMTP: {false: n.SMTP, true: n.SMTPS},
		}[c.Protocol][c.Encryption == mail.ImplicitTLS]
	}
}

func TestRealNginx(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{PlaintextAuth: true})
	t.Run("every_pair_with_login", servers.nginxEveryPair)
	t.Run("starttls_only", servers.nginxSTARTTLSOnly)
	wantCleanLogs(t, servers)
	t.Run("logins_that_fail", servers.nginxLoginsThatFail)
}

// nginxEveryPair demands good probes, and that nginx finds nothing odd in them.
func (r *real) nginxEveryPair(t *testing.T) {
	nginx := r.nginx(t, realserver.NginxOptions{Directory: r.directory(t).URL})
	pairs := 0
	for _, p := range mail.Protocols() {
		for _, e := range []mail.Encryption{mail.NoEncryption, mail.StartTLS, mail.ImplicitTLS} {
			t.Run(string(p)+"_"+string(e), func(t *testing.T) {
				pairs++
				o := probe(t, r.connection(p, e, through(nginx)))
				wantUp(t, o)
				if !o.Auth.Accepted || o.Auth.Mechanism != mail.AuthPlain || !o.Mailbox.OK {
					t.Errorf("login %+v, mailbox %+v", o.Auth, o.Mailbox)
				}
				if verified := o.TLS != nil && o.TLS.Verified; verified != (e != mail.NoEncryption) {
					t.Errorf("TLS facts %+v", o.TLS)
				}
			})
		}
	}
	wantNoLine(t, ended(t, nginx.Log, "proxied session done", pairs),
		`\[(warn|error|crit|alert|emerg)\]|login failed|closed connection|timed out`)
}

// ended waits until a proxy has written the last line of each session, which it
// may do after we have left, and returns its log. It can only look again and again.
func ended(t *testing.T, log func() string, last string, sessions int) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) { // a log of another process
		text := log()
		if seen := strings.Count(text, last); seen >= sessions {
			return text
		} else if time.Now().After(end) {
			t.Fatalf("%d sessions of %d ended:\n%s", seen, sessions, text)
		}
	}
}

// wantNoLine demands that nothing in a log fits a pattern.
func wantNoLine(t *testing.T, log, pattern string) {
	t.Helper()
	odd := regexp.MustCompile(pattern)
	for line := range strings.Lines(log) {
		if odd.MatchString(line) {
			t.Errorf("a proxy complains: %s", line)
		}
	}
}

// nginxSTARTTLSOnly is for an nginx that takes no login in clear.
func (r *real) nginxSTARTTLSOnly(t *testing.T) {
	nginx := r.nginx(t, realserver.NginxOptions{Directory: r.directory(t).URL, StartTLSOnly: true})
	for _, p := range mail.Protocols() {
		t.Run(string(p), func(t *testing.T) {
			o := probe(t, r.connection(p, mail.NoEncryption, through(nginx)))
			wantDown(t, o, mail.PhaseAuth, mail.AuthNeedsTLS)
			wantHint(t, o, "use encryption starttls")
			if o.Auth.Sent {
				t.Error("a credential was sent")
			}
			wantUp(t, probe(t, r.connection(p, mail.StartTLS, through(nginx))))
		})
	}
}

// nginxLoginsThatFail tells a refused password from what went wrong behind nginx.
func (r *real) nginxLoginsThatFail(t *testing.T) {
	directory, trusting := r.directory(t).URL, r.directory(t)
	trusting.Trust()
	for _, test := range []struct {
		name    string
		options realserver.NginxOptions
		change  func(*mail.Connection)
		want    mail.Reason
	}{
		{"wrong_password", realserver.NginxOptions{Directory: directory}, wrongPassword, mail.AuthRejected},
		{"wrong_password_for_the_server_behind", realserver.NginxOptions{Directory: trusting.URL}, wrongPassword, mail.AuthRejected},
		// nginx's own habit. Nobody can tell it from a server behind that is down.
		{"wrong_password_in_other_words", realserver.NginxOptions{Directory: trusting.URL, HideRefusals: true}, wrongPassword, mail.AuthTemporary},
		{"server_behind_is_down", realserver.NginxOptions{Directory: nowhere(t).URL}, nil, mail.AuthTemporary},
		{"directory_is_down", realserver.NginxOptions{Directory: realserver.NoDirectory}, nil, mail.AuthTemporary},
	} {
		t.Run(test.name, func(t *testing.T) {
			nginx := r.nginx(t, test.options)
			for p, e := range map[mail.Protocol]mail.Encryption{
				mail.IMAP: mail.ImplicitTLS, mail.POP3: mail.StartTLS, mail.SMTP: mail.NoEncryption} {
				t.Run(string(p), func(t *testing.T) {
					c := r.connection(p, e, through(nginx))
					if test.change != nil {
						test.change(c)
					}
					wantVerdict(t, c, test.want)
				})
			}
		})
	}
}

// wantVerdict demands that a login fails for a reason, and that it counts as a
// refusal, which withholds the next one, for AuthRejected. What nginx says in
// all other cases may be one: it is asked twice, and not again for a while.
func wantVerdict(t *testing.T, c *mail.Connection, want mail.Reason) {
	t.Helper()
	now := time.Now()
	guard, err := guard.New(guard.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	// nginx closes together with its no, so that the goodbye may go wrong.
	o := (&prober.Prober{Guard: guard}).Probe(t.Context(), c)
	wantDown(t, o, mail.PhaseAuth, want)
	if refused := want == mail.AuthRejected; o.Auth.Rejected != refused || o.Auth.Withheld() != refused {
		t.Errorf("login %+v after %s", o.Auth, story(o))
	}
	sent := 1
	for range 10 {
		now = now.Add(time.Minute)
		if o := (&prober.Prober{Guard: guard}).Probe(t.Context(), c); o.Auth.Sent {
			sent++
		}
	}
	if want := map[bool]int{true: 1, false: 2}[want == mail.AuthRejected]; sent != want {
		t.Errorf("%d logins sent in 10 minutes, want %d", sent, want)
	}
}

// wantHint demands that the advice of a failure says something.
func wantHint(t *testing.T, o mail.Outcome, part string) {
	t.Helper()
	if !strings.Contains(o.Failure.Hint, part) {
		t.Errorf("hint %q, want %q in it", o.Failure.Hint, part)
	}
}

func TestRealTLSProxies(t *testing.T) {
	t.Parallel()
	servers := startReal(t, realserver.Options{PlaintextAuth: true})
	strict := realserver.StartDovecot(t, realserver.Options{Mechanisms: "plain login"})
	for _, kind := range []struct {
		name    string
		start   func(testing.TB, *mailtest.CA, ...int) *realserver.TLSProxy
		down    mail.Reason // with nothing behind it
		ended   string      // in the last line of a session
		strange string      // pattern of a session that broke off
	}{
		{"haproxy", realserver.StartHAProxy, mail.Closed, "/mail ", `\d ([^-].|-[^-]) \d`},
		{"stunnel", realserver.StartStunnel, mail.Reset, "Connection closed: ", `LOG[0-4]\[\d|reset`},
	} {
		t.Run(kind.name, func(t *testing.T) {
			behind := []int{servers.dovecot.IMAP, servers.dovecot.POP3, servers.postfix.SMTP}
			proxy := kind.start(t, servers.ca, append(behind, realserver.ClosedPort, strict.IMAP)...)
			onPort := func(i int) func(*mail.Connection) {
				return func(c *mail.Connection) { c.Port = proxy.Ports[i] }
			}
			for i, p := range mail.Protocols() {
				wantUp(t, probe(t, servers.connection(p, mail.ImplicitTLS, onPort(i))))
			}
			wantNoLine(t, ended(t, proxy.Log, kind.ended, len(behind)), kind.strange)

			o := probe(t, servers.connection(mail.IMAP, mail.ImplicitTLS, onPort(3)))
			wantDown(t, o, mail.PhaseGreeting, kind.down)
			wantHint(t, o, "whose mail server is down")
			o = probe(t, servers.connection(mail.IMAP, mail.ImplicitTLS, onPort(4)))
			wantDown(t, o, mail.PhaseAuth, mail.AuthNeedsTLS)
			wantHint(t, o, "a proxy in front of it that terminates TLS")
		})
	}
	wantCleanLogs(t, servers)
}
