package routes_test

// Routes through Debian's mail servers, broken in many ways: private instances,
// mail goes from Alice by submission to Postfix or Exim, by LMTP to Dovecot or
// Cyrus and its Sieve, and is looked for by Bob.

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/realserver"
	"mailprobe/mail"
	"mailprobe/prober"
	"mailprobe/routes"
)

// path is the servers of a route, and the route through them. Those that a test
// does not need are nil.
type path struct {
	dovecot  *realserver.Dovecot
	postfix  *realserver.Postfix // where mail is submitted
	inner    *realserver.Postfix // where the first one passes it on to
	cyrus    *realserver.Cyrus
	rspamd   *realserver.Rspamd
	dkim     *realserver.DKIM
	postgrey int
	journal  *routes.Journal
	logged   func() string // what the server that takes the last message logged since
}

func newPath(t testing.TB) *path {
	p := &path{dovecot: realserver.StartDovecot(t, realserver.Options{LMTP: true}), journal: newJournal(t)}
	p.postfix = realserver.StartPostfix(t, realserver.PostfixOptions{Users: p.dovecot, Deliver: true})
	return p
}

// newLongPath is one with two Postfix.
func newLongPath(t testing.TB) *path {
	p := newPath(t)
	p.inner = realserver.StartPostfix(t, realserver.PostfixOptions{Users: p.dovecot, Deliver: true})
	return p
}

func newJournal(t testing.TB) *routes.Journal {
	t.Helper()
	journal, err := routes.OpenJournal(filepath.Join(t.TempDir(), "routes"))
	if err != nil {
		t.Fatal(err)
	}
	return journal
}

func (p *path) connection(name, user string, protocol mail.Protocol, port int) *mail.Connection {
	return &mail.Connection{Name: name, Protocol: protocol, Encryption: mail.ImplicitTLS, Host: realserver.Host, Port: port,
		Username: user, Password: mail.InlineSecret(mail.NewSecret(realserver.Password(user))), Auth: mail.AuthAuto,
		CheckMailbox: true, Mailbox: "INBOX", Interval: time.Minute, Timeout: time.Minute, Lockout: mail.LockoutNormal,
		IPProtocol: mail.AnyIP,
		TLS:        &tls.Config{RootCAs: p.dovecot.CA.Pool(), ServerName: realserver.ServerName, MinVersion: tls.VersionTLS12}}
}

// route is the one that works.
func (p *path) route(change ...change) *mail.Route {
	r := &mail.Route{Name: "real path",
		Send:    p.connection("out", realserver.Alice, mail.SMTP, 0),
		Receive: p.connection("in", realserver.Bob, mail.IMAP, p.dovecot.IMAPS),
		Bounces: p.connection("bounces", realserver.Alice, mail.IMAP, p.dovecot.IMAPS),
		From:    realserver.Alice, To: realserver.Bob, Delete: true,
		Interval: time.Minute, Deadline: 30 * time.Second, Slow: time.Minute}
	if p.postfix != nil {
		r.Send.Port = p.postfix.SMTPS
	}
	for _, c := range change {
		c(p, r)
	}
	return r
}

// change makes another route of the one that works.
type change = func(*path, *mail.Route)

func withoutBounces(_ *path, r *mail.Route) { r.Bounces = nil }

func byPOP3(p *path, r *mail.Route) {
	r.Receive = p.connection("pop", realserver.Bob, mail.POP3, p.dovecot.POP3S)
}

// inSharedFolder lets Bob look into Helpdesk's mailbox, where he may not delete.
func inSharedFolder(_ *path, r *mail.Route) {
	r.Receive.SharedMailbox, r.Receive.SharedMailboxAccess, r.Delete = realserver.Helpdesk, mail.SharedFolder, false
}

func requiresDKIM(_ *path, r *mail.Route) {
	r.AuthservID, r.Require = "mail.example.test", map[mail.SenderCheck]mail.CheckResult{mail.CheckDKIM: mail.ResultPass}
}

// soon ends the wait after a few seconds.
func soon(_ *path, r *mail.Route) { r.Deadline = 6 * time.Second }

// to gives the route another recipient, inFolders the folders to look through.
func to(address string) change { return func(_ *path, r *mail.Route) { r.To = address } }

func inFolders(names ...string) change { return func(_ *path, r *mail.Route) { r.Folders = names } }

func wrongPassword(c *mail.Connection) *mail.Connection {
	broken := *c
	broken.Password = mail.InlineSecret(mail.NewSecret("not-the-password"))
	return &broken
}

// breakage is one way in which mail does not arrive as it should.
type breakage struct {
	name    string
	postfix []string // lines of main.cf
	inner   []string // of the second Postfix
	exim    realserver.EximRules
	sieve   string // of Bob
	before  func(*testing.T, *path)
	during  func(*testing.T, *path) // while the message is on its way
	after   func(*testing.T, *path)
	route   []change
	slow    time.Duration // what is too late; 0: long
	leg     mail.Leg
	reason  mail.Reason // empty: up
}

// series is breakages of one chain of servers.
type series struct {
	servers   string // for people
	lanes     int    // of servers that are broken at the same time
	start     func(testing.TB) *path
	breakages []breakage
	play      func(*testing.T, *path, breakage)
}

// run plays the breakages in lanes: most of the time is spent waiting, and each
// breakage changes its servers.
func (s series) run(t *testing.T) {
	for lane := range s.lanes {
		t.Run(fmt.Sprint("lane ", lane+1), func(t *testing.T) {
			t.Parallel()
			p := s.start(t)
			for i, b := range s.breakages {
				if i%s.lanes == lane {
					t.Run(b.name, func(t *testing.T) { s.play(t, p, b) })
				}
			}
		})
	}
}

// wantsDeadline reports whether a verdict is known at the deadline only.
func wantsDeadline(reason mail.Reason) bool {
	return slices.Contains([]mail.Reason{mail.Queued, mail.Bounced, mail.LostAfterAcceptance, mail.NotDelivered}, reason)
}

// send sends the message of a breakage and compares what became of it; log is of
// the server that took it.
func (p *path) send(t *testing.T, b breakage, log func() string) {
	t.Helper()
	if b.before != nil {
		b.before(t, p)
	}
	r := p.route(b.route...)
	if wantsDeadline(b.reason) {
		r.Deadline = 5 * time.Second
	}
	r.Slow = cmp.Or(b.slow, r.Slow)
	o := p.sendOnce(t, b, r, log)
	if f := o.Failure; f != nil && slices.Contains([]mail.Reason{mail.Bounced, mail.LostAfterAcceptance}, b.reason) &&
		slices.Contains([]mail.Reason{mail.Queued, mail.NotDelivered}, f.Reason) {
		r.Deadline = 30 * time.Second
		t.Logf("the servers of a busy machine had not finished at the deadline, so %v once more", r.Deadline)
		o = p.sendOnce(t, b, r, log)
	}
	p.wants(t, o, b, log)
	if b.after != nil {
		b.after(t, p)
	}
}

// sendOnce sends one message of a breakage.
func (p *path) sendOnce(t *testing.T, b breakage, r *mail.Route, log func() string) mail.RouteOutcome {
	t.Helper()
	earlier := len(log())
	p.logged = func() string { return log()[earlier:] }
	done := make(chan struct{})
	go func() {
		defer close(done)
		if b.during != nil {
			b.during(t, p)
		}
	}()
	tracker := &routes.Tracker{Transport: prober.NewCourier(new(prober.Prober)), Journal: p.journal}
	o, known := tracker.Send(t.Context(), r)
	<-done
	if !known {
		t.Fatal("no outcome")
	}
	return o
}

// await waits for what another process does.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); {
		time.Sleep(10 * time.Millisecond) // the server is another process
		if time.Now().After(end) {
			t.Errorf("%s: not within a minute", what)
			return
		}
	}
}

// taken is how Postfix logs that it gives a message of a client a name in its queue.
var taken = regexp.MustCompile(`smtpd\[\d+\]: (\w+): client=`)

// stay is how long a message waits that is to be late on its way, after it was
// put off: longer than a server greylists it, and than what is too late, which is in turn
// longer than a busy machine needs to take a message.
const (
	tooLate = 6 * time.Second
	stay    = tooLate + time.Second
)

// awaitDeferred waits until Postfix has tried the message and put it off. The folders are
// marked by then, because that comes before the message is sent.
func awaitDeferred(t *testing.T, p *path) {
	t.Helper()
	await(t, "the message is deferred", func() bool {
		text := p.logged()
		name := taken.FindStringSubmatch(text)
		return name != nil && regexp.MustCompile(" "+name[1]+": to=<.* status=deferred").MatchString(text)
	})
}

// wants compares what became of a message with what was wanted.
func (p *path) wants(t *testing.T, o mail.RouteOutcome, b breakage, log func() string) {
	t.Helper()
	f := mail.RouteFailure{}
	if o.Failure != nil {
		f = *o.Failure
	}
	t.Logf("%s: %s: %s; accepted after %v, found after %v more", f.Leg, f.Reason, f.Text, o.Submit.Round(time.Millisecond), o.Transfer.Round(time.Millisecond))
	if f.Leg != b.leg || f.Reason != b.reason {
		t.Errorf("%q, %q; want %q, %q\n%s", f.Leg, f.Reason, b.leg, b.reason, p.log(log))
	}
	if o.Delivered && (o.Transfer <= 0 || len(o.Hops) == 0 || o.Route.Delete && o.Deleted+o.Left != o.Copies) {
		t.Errorf("%+v; want times, hops, and every copy accounted for", o)
	}
	if o.Left > 0 && b.reason != mail.CleanupFailed && b.reason != mail.Altered {
		t.Errorf("%d left behind", o.Left)
	}
}

// log is the end of what the servers logged.
func (p *path) log(sending func() string) string {
	tail := func(s string) string { return s[max(0, len(s)-3000):] }
	text := fmt.Sprintf("where it is sent:\n%s\nDovecot:\n%s", tail(sending()), tail(p.dovecot.Log()))
	if p.inner != nil {
		text += "\nthe second Postfix:\n" + tail(p.inner.Log())
	}
	return text
}

// statusPast leads delivery status for Alice past what is broken for Bob.
const statusPast = "transport_maps = inline:{ { alice@example.test = lmtp:inet:HOST:DOVECOT } }"

// throughPostfix plays a breakage on one or two Postfix.
func throughPostfix(t *testing.T, p *path, b breakage) {
	lines := b.postfix
	if p.inner != nil {
		p.inner.Set(t, p.filled(append([]string{statusPast}, b.inner...))...)
		lines = append([]string{statusPast, "virtual_transport = smtp:[HOST]:INNER", "minimal_backoff_time = 1s", "queue_run_delay = 1s"}, lines...)
	}
	p.postfix.Set(t, p.filled(lines)...)
	p.dovecot.SetSieve(t, realserver.Bob, b.sieve)
	p.send(t, b, p.postfix.Log)
}

// filled puts the ports of the servers into lines of a configuration.
func (p *path) filled(lines []string) []string {
	pairs := []string{"HOST", realserver.Host}
	add := func(name string, port int) { pairs = append(pairs, name, fmt.Sprint(port)) }
	if p.dkim != nil {
		add("SIGN", p.dkim.Sign)
		add("VERIFY", p.dkim.Verify)
	}
	add("POSTGREY", p.postgrey)
	add("DOVECOT", p.dovecot.LMTP)
	if p.cyrus != nil {
		add("CYRUS", p.cyrus.LMTP)
	}
	if p.rspamd != nil {
		add("RSPAMD", p.rspamd.Milter)
	}
	if p.postfix != nil {
		add("SELF", p.postfix.SMTP)
	}
	if p.inner != nil {
		add("INNER", p.inner.SMTP)
	}
	var list []string
	for _, line := range lines {
		list = append(list, strings.NewReplacer(pairs...).Replace(line))
	}
	return list
}
