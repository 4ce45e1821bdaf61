package routes_test

// Routes through Debian's Postfix and Dovecot, broken in many ways: private
// instances, mail goes from Alice by submission to Postfix, by LMTP to Dovecot
// and its Sieve, and is looked for by Bob.

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"mailprobe/internal/realserver"
	"mailprobe/mail"
	"mailprobe/prober"
	"mailprobe/routes"
)

// path is the servers of a route, and the route through them.
type path struct {
	dovecot *realserver.Dovecot
	postfix *realserver.Postfix
	journal *routes.Journal
}

func newPath(t testing.TB) *path {
	p := &path{dovecot: realserver.StartDovecot(t, realserver.Options{LMTP: true}), journal: newJournal(t)}
	p.postfix = realserver.StartPostfix(t, realserver.PostfixOptions{Users: p.dovecot, Deliver: true})
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
		CheckMailbox: true, Mailbox: "INBOX", Interval: time.Minute, Timeout: 20 * time.Second, Lockout: mail.LockoutNormal,
		IPProtocol: mail.AnyIP,
		TLS:        &tls.Config{RootCAs: p.dovecot.CA.Pool(), ServerName: realserver.ServerName, MinVersion: tls.VersionTLS12}}
}

// route is the one that works.
func (p *path) route(change ...func(*mail.Route)) *mail.Route {
	return p.routeFrom(realserver.Alice, append([]func(*mail.Route){func(r *mail.Route) { r.Send.Port = p.postfix.SMTPS }}, change...)...)
}

// routeFrom is a route whose connection to send has no port yet.
func (p *path) routeFrom(sender string, change ...func(*mail.Route)) *mail.Route {
	r := &mail.Route{Name: "real path",
		Send:    p.connection("out", sender, mail.SMTP, 0),
		Receive: p.connection("in", realserver.Bob, mail.IMAP, p.dovecot.IMAPS),
		Bounces: p.connection("bounces", realserver.Alice, mail.IMAP, p.dovecot.IMAPS),
		From:    realserver.Alice, To: realserver.Bob, Delete: true,
		Interval: time.Minute, Deadline: 4 * time.Second, Slow: 3 * time.Second}
	for _, c := range change {
		c(r)
	}
	return r
}

func withoutBounces(r *mail.Route) { r.Bounces = nil }

func byPOP3(p *path) func(*mail.Route) {
	return func(r *mail.Route) { r.Receive = p.connection("pop", realserver.Bob, mail.POP3, p.dovecot.POP3S) }
}

func requiresDKIM(r *mail.Route) {
	r.AuthservID, r.Require = "mail.example.test", map[mail.SenderCheck]mail.CheckResult{mail.CheckDKIM: mail.ResultPass}
}

func wrongPassword(c *mail.Connection) *mail.Connection {
	broken := *c
	broken.Password = mail.InlineSecret(mail.NewSecret("not-the-password"))
	return &broken
}

// breakage is one way in which mail does not arrive as it should.
type breakage struct {
	name    string
	postfix []string // lines of main.cf
	sieve   string   // of Bob
	route   []func(*mail.Route)
	during  func(*testing.T, *path) // while the message is on its way
	leg     mail.Leg
	reason  mail.Reason // empty: up
}

func breakages(p *path) []breakage {
	refused := "virtual_transport = lmtp:inet:" + realserver.Host + ":1"
	return []breakage{
		{name: "nothing is broken"},
		{name: "nothing is broken, without delivery status", route: []func(*mail.Route){withoutBounces}},
		{name: "nothing is broken, read by POP3", route: []func(*mail.Route){byPOP3(p)}},
		{name: "nothing is broken, folders listed", route: []func(*mail.Route){func(r *mail.Route) { r.Folders = []string{"INBOX", "Archive"} }}},
		{name: "nothing is broken, and it is authenticated", route: []func(*mail.Route){requiresDKIM},
			postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ PREPEND Authentication-Results: mail.example.test; dkim=pass } }"}},

		{name: "the password to send is wrong", leg: mail.LegSubmit, reason: mail.AuthRejected,
			route: []func(*mail.Route){func(r *mail.Route) { r.Send = wrongPassword(r.Send) }}},
		{name: "nobody listens where mail is submitted", leg: mail.LegSubmit, reason: mail.ConnectRefused,
			route: []func(*mail.Route){func(r *mail.Route) { c := *r.Send; c.Port = 1; r.Send = &c }}},
		{name: "the sender is somebody else's", leg: mail.LegSubmit, reason: mail.NotAuthorized,
			route: []func(*mail.Route){func(r *mail.Route) { r.From = realserver.Bob }}},
		{name: "the recipient is refused at RCPT", leg: mail.LegSubmit, reason: mail.MailboxDenied,
			postfix: []string{"smtpd_client_restrictions = check_recipient_access inline:{ { bob@example.test = reject } }"}},
		{name: "refused for its header", leg: mail.LegSubmit, reason: mail.RefusedContent,
			postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ REJECT no probes here } }"}},
		{name: "refused for its body", leg: mail.LegSubmit, reason: mail.RefusedContent,
			postfix: []string{"body_checks = regexp:{ { /mailprobe/ REJECT no probes here } }"}},
		{name: "too large", leg: mail.LegSubmit, reason: mail.RefusedContent,
			postfix: []string{"message_size_limit = 300"}},
		{name: "refused for now after DATA", leg: mail.LegSubmit, reason: mail.RefusedContent,
			postfix: []string{"smtpd_end_of_data_restrictions = check_client_access static:{451 4.7.1 come back later}"}},
		{name: "a slow content filter", leg: mail.LegSubmit, reason: mail.Late,
			postfix: []string{"smtpd_end_of_data_restrictions = sleep 4"}},

		{name: "stuck in the queue", leg: mail.LegTransfer, reason: mail.Queued, postfix: []string{refused}},
		{name: "stuck in the queue, without delivery status", leg: mail.LegTransfer, reason: mail.NotDelivered,
			postfix: []string{refused}, route: []func(*mail.Route){withoutBounces}},
		{name: "held by an administrator", leg: mail.LegTransfer, reason: mail.Queued,
			postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ HOLD } }"}},
		{name: "the transport is deferred", leg: mail.LegTransfer, reason: mail.Queued,
			postfix: []string{"defer_transports = lmtp"}},
		{name: "bounced: no such user behind the server", leg: mail.LegTransfer, reason: mail.Bounced,
			postfix: []string{"virtual_alias_maps = inline:{ { bob@example.test = gone@example.test } }", "transport_maps = inline:{ { gone@example.test = error:5.1.1 no such user } }"}},
		{name: "bounced: over quota", leg: mail.LegTransfer, reason: mail.Bounced,
			postfix: []string{"virtual_alias_maps = inline:{ { bob@example.test = full@example.test } }", "transport_maps = inline:{ { full@example.test = error:5.2.2 mailbox full } }"}},
		{name: "bounced: a forward to a domain that nobody serves", leg: mail.LegTransfer, reason: mail.Bounced,
			postfix: []string{"virtual_alias_maps = inline:{ { bob@example.test = bob@elsewhere.test } }"}},
		{name: "discarded by the server", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance,
			postfix: []string{"transport_maps = inline:{ { bob@example.test = discard: } }"}},
		{name: "discarded by Sieve", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance, sieve: "discard;\n"},
		{name: "discarded by Sieve, without delivery status", leg: mail.LegTransfer, reason: mail.NotDelivered, sieve: "discard;\n",
			route: []func(*mail.Route){withoutBounces}},
		{name: "an alias to somebody else", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance,
			postfix: []string{"virtual_alias_maps = inline:{ { bob@example.test = helpdesk@example.test } }"}},
		{name: "never delivered, read by POP3", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance, sieve: "discard;\n",
			route: []func(*mail.Route){byPOP3(p)}},

		{name: "filed as spam", leg: mail.LegTransfer, reason: mail.FiledAsSpam, sieve: "require \"fileinto\";\nfileinto \"Junk\";\n"},
		{name: "filed elsewhere", leg: mail.LegTransfer, reason: mail.FiledElsewhere, sieve: "require \"fileinto\";\nfileinto \"Archive\";\n",
			route: []func(*mail.Route){func(r *mail.Route) { r.Folders = []string{"INBOX", "Archive"} }}},
		{name: "delivered twice by an alias", leg: mail.LegTransfer, reason: mail.Duplicated,
			postfix: []string{"recipient_delimiter = +", "virtual_alias_maps = inline:{ { list@example.test = bob@example.test bob+copy@example.test } }"},
			route:   []func(*mail.Route){func(r *mail.Route) { r.To = "list@example.test" }}},
		{name: "the body is altered by a relay", leg: mail.LegTransfer, reason: mail.Altered,
			postfix: []string{"body_checks = regexp:{ { /^It belongs/ REPLACE Scanned by Example } }"}},
		{name: "not authenticated", leg: mail.LegTransfer, reason: mail.AuthenticationFailed, route: []func(*mail.Route){requiresDKIM}},
		{name: "DKIM broken by a rewrite", leg: mail.LegTransfer, reason: mail.AuthenticationFailed, route: []func(*mail.Route){requiresDKIM},
			postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ PREPEND Authentication-Results: mail.example.test; dkim=fail (body hash did not verify) } }"}},
		{name: "authenticated by a stranger", leg: mail.LegTransfer, reason: mail.AuthenticationFailed, route: []func(*mail.Route){requiresDKIM},
			postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ PREPEND Authentication-Results: inner.example.net; dkim=pass } }"}},
		{name: "delivered late from the queue", leg: mail.LegTransfer, reason: mail.Late, postfix: []string{refused},
			route: []func(*mail.Route){func(r *mail.Route) { r.Slow, r.Deadline = time.Second, 30*time.Second }},
			during: func(t *testing.T, p *path) {
				time.Sleep(2 * time.Second) // the queue has tried once
				p.postfix.Set(t)
				p.postfix.Flush(t)
			}},
		{name: "the password to read is wrong: nothing is sent", leg: mail.LegTransfer, reason: mail.AuthRejected,
			route: []func(*mail.Route){func(r *mail.Route) { r.Receive = wrongPassword(r.Receive) }}},
		{name: "the mailbox to read is not there: nothing is sent", leg: mail.LegTransfer, reason: mail.MailboxMissing,
			route: []func(*mail.Route){func(r *mail.Route) { r.Folders = []string{"Nowhere"} }}},
	}
}

func TestRealPathIsBrokenInManyWays(t *testing.T) {
	realserver.Need(t, "dovecot", "postfix")
	p := newPath(t)
	for _, b := range breakages(p) {
		t.Run(b.name, func(t *testing.T) {
			p.postfix.Set(t, b.postfix...)
			p.dovecot.SetSieve(t, realserver.Bob, b.sieve)
			o := p.send(t, p.route(b.route...), b.during)
			p.wants(t, o, b.leg, b.reason, p.postfix.Log)
		})
	}
	p.postfix.Set(t)
	p.dovecot.SetSieve(t, realserver.Bob, "")
	p.postfix.Flush(t)
}

// wants compares what became of a message; log is of the server that took it.
func (p *path) wants(t *testing.T, o mail.RouteOutcome, leg mail.Leg, reason mail.Reason, log func() string) {
	t.Helper()
	var gotLeg mail.Leg
	var got mail.Reason
	if o.Failure != nil {
		gotLeg, got = o.Failure.Leg, o.Failure.Reason
	}
	if gotLeg != leg || got != reason {
		t.Errorf("%q, %q: %+v; want %q, %q\n%s", gotLeg, got, o.Failure, leg, reason, p.log(log))
	}
	if o.Delivered && (o.Transfer <= 0 || len(o.Hops) == 0 || o.Deleted != o.Copies) {
		t.Errorf("%+v; want times, hops, and every copy deleted", o)
	}
}

// send sends one message; during runs beside it.
func (p *path) send(t *testing.T, r *mail.Route, during func(*testing.T, *path)) mail.RouteOutcome {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if during != nil {
			during(t, p)
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

// log is the end of what the servers logged.
func (p *path) log(sending func() string) string {
	tail := func(s string) string { return s[max(0, len(s)-3000):] }
	return fmt.Sprintf("where it is sent:\n%s\nDovecot:\n%s", tail(sending()), tail(p.dovecot.Log()))
}
