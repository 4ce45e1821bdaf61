package routes_test

// Routes through Exim, and through two Postfix with OpenDKIM and postgrey between
// them. These servers come from .ci/servers; without them the tests are skipped.

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailprobe/internal/realserver"
	"mailprobe/mail"
)

// throughExim is a route that is submitted to an Exim, without a login.
func throughExim(e *realserver.Exim) func(*mail.Route) {
	return func(r *mail.Route) {
		c := *r.Send
		c.Port, c.Encryption, c.TLS, c.Username, c.Password = e.SMTP, mail.NoEncryption, nil, "", mail.SecretSource{}
		r.Send = &c
	}
}

func TestRealPathThroughExim(t *testing.T) {
	realserver.Need(t, "dovecot")
	p := &path{dovecot: realserver.StartDovecot(t, realserver.Options{LMTP: true}), journal: newJournal(t)}
	for _, b := range []struct {
		name   string
		rules  realserver.EximRules
		slow   time.Duration
		leg    mail.Leg
		reason mail.Reason
	}{
		{name: "nothing is broken"},
		{name: "the recipient is refused", rules: realserver.EximRules{Recipient: "deny message = no such user"}, leg: mail.LegSubmit, reason: mail.MailboxMissing},
		{name: "refused after DATA", rules: realserver.EximRules{Content: "deny message = no probes here"}, leg: mail.LegSubmit, reason: mail.RefusedContent},
		{name: "a slow scanner", rules: realserver.EximRules{Content: "warn delay = 3s"}, slow: 2 * time.Second, leg: mail.LegSubmit, reason: mail.Late},
		{name: "frozen by an administrator", rules: realserver.EximRules{Content: "warn control = freeze"}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "stuck in the queue", rules: realserver.EximRules{LMTP: 1}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "bounced by an alias", rules: realserver.EximRules{Aliases: ":fail: gone"}, leg: mail.LegTransfer, reason: mail.Bounced},
		{name: "an alias into nothing", rules: realserver.EximRules{Aliases: ":blackhole:"}, leg: mail.LegTransfer, reason: mail.LostAfterAcceptance},
		{name: "an alias to somebody else", rules: realserver.EximRules{Aliases: realserver.Helpdesk}, leg: mail.LegTransfer, reason: mail.LostAfterAcceptance},
		{name: "delivered twice by an alias that names itself", rules: realserver.EximRules{Aliases: "bob@example.test, bob+copy@example.test"}, leg: mail.LegTransfer, reason: mail.Duplicated},
		{name: "a footer", rules: realserver.EximRules{Transport: "transport_filter = /bin/sh -c 'cat; echo Scanned by Example'"}, leg: mail.LegTransfer, reason: mail.Altered},
	} {
		t.Run(b.name, func(t *testing.T) {
			e := realserver.StartExim(t, p.dovecot, b.rules)
			r := p.routeFrom(realserver.Alice, throughExim(e))
			unhurried(r, b.reason, b.slow)
			p.wants(t, p.send(t, r, nil), b.leg, b.reason, e.Log)
		})
	}
}

// unhurried gives a busy machine time, where the deadline is not what is waited
// for. A slow of 0 is far away.
func unhurried(r *mail.Route, reason mail.Reason, slow time.Duration) {
	if !slices.Contains([]mail.Reason{mail.Queued, mail.Bounced, mail.LostAfterAcceptance}, reason) {
		r.Slow, r.Deadline = cmp.Or(slow, 20*time.Second), 30*time.Second
	}
}

// Two Postfix: the first takes the message and signs it, the second verifies it and
// delivers. Between them, hops break what the first has signed.
func TestRealPathThroughMilters(t *testing.T) {
	realserver.Need(t, "dovecot", "postfix")
	milters, greylist := realserver.StartDKIM(t), realserver.StartPostgrey(t, 2)
	p := newPath(t)
	inner := realserver.StartPostfix(t, realserver.PostfixOptions{Users: p.dovecot, Deliver: true})
	next := fmt.Sprintf("virtual_transport = smtp:[%s]:%d", realserver.Host, inner.SMTP)
	signs := fmt.Sprintf("smtpd_milters = inet:%s:%d", realserver.Host, milters.Sign)
	verifies := fmt.Sprintf("smtpd_milters = inet:%s:%d", realserver.Host, milters.Verify)
	greylists := fmt.Sprintf("smtpd_recipient_restrictions = check_policy_service inet:%s:%d", realserver.Host, greylist)
	for _, b := range []struct {
		name         string
		outer, inner []string
		slow         time.Duration
		reason       mail.Reason
	}{
		{name: "signed and verified", outer: []string{signs}, inner: []string{verifies}},
		{name: "not signed", inner: []string{verifies}, reason: mail.AuthenticationFailed},
		{name: "the signature is broken by a rewritten subject", outer: []string{signs, "smtp_header_checks = regexp:{ { /^Subject: (.*)/ REPLACE Subject: [external] $1 } }"},
			inner: []string{verifies}, reason: mail.AuthenticationFailed},
		{name: "the signature is broken by a footer", outer: []string{signs, "smtp_body_checks = regexp:{ { /^It belongs/ REPLACE Scanned by Example } }"},
			inner: []string{verifies}, reason: mail.Altered},
		{name: "the results are forged by an inner hop", outer: []string{"smtp_header_checks = regexp:{ { /^X-Mailprobe:/ PREPEND Authentication-Results: mail.example.test; dkim=pass } }"},
			inner: []string{verifies}, reason: mail.AuthenticationFailed},
		{name: "nobody verifies", outer: []string{signs}, reason: mail.AuthenticationFailed},
		{name: "greylisted", outer: []string{signs}, inner: []string{verifies, greylists}, slow: time.Second, reason: mail.Late},
	} {
		t.Run(b.name, func(t *testing.T) {
			p.postfix.Set(t, append([]string{next, "minimal_backoff_time = 1s", "queue_run_delay = 1s"}, b.outer...)...)
			inner.Set(t, b.inner...)
			r := p.route(requiresDKIM)
			unhurried(r, b.reason, b.slow)
			leg := mail.LegTransfer
			if b.reason == "" {
				leg = ""
			}
			p.wants(t, p.send(t, r, nil), leg, b.reason, p.postfix.Log)
		})
	}
}
