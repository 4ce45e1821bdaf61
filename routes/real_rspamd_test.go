package routes_test

// Routes through two Postfix with rspamd between them: the first signs with
// OpenDKIM where it is asked to, the second asks rspamd.

import (
	"strings"
	"testing"
	"time"

	"mailprobe/internal/realserver"
	"mailprobe/mail"
)

func ofRspamd() series {
	return series{servers: "two Postfix, rspamd 3.4", lanes: 3, breakages: rspamdBreakages(), play: throughPostfix,
		start: func(t testing.TB) *path {
			p := newLongPath(t)
			p.dkim = realserver.StartDKIM(t)
			p.rspamd = realserver.StartRspamd(t, realserver.StartDnsmasq(t, p.dkim.Record()))
			return p
		}}
}

func TestRealPathThroughRspamd(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "dovecot", "postfix", "dnsmasq")
	ofRspamd().run(t)
}

func rspamdBreakages() []breakage {
	const (
		asks    = "smtpd_milters = inet:HOST:RSPAMD"
		nobody  = "smtpd_milters = inet:HOST:1"
		details = "recipient_delimiter = +"
		gtube   = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
		junk    = "require \"fileinto\";\nif header :contains \"X-Spam\" \"Yes\" { fileinto \"Junk\"; }\n"
	)
	dkim := []change{requiresDKIM}
	scan, plus := []string{asks, details}, []string{details}
	// Where mail is submitted to the Postfix that asks, its answer is the client's.
	direct := func(address string) []change { return []change{to(address)} }
	return []breakage{
		{name: "scanned where it is submitted: nothing is broken", postfix: scan},
		{name: "signed by OpenDKIM and verified by rspamd: nothing is broken", route: dkim, postfix: []string{signs, details}, inner: scan},
		{name: "not signed", route: dkim, postfix: plus, inner: scan, leg: mail.LegTransfer, reason: mail.AuthenticationFailed},
		{name: "the results are forged by an inner hop: rspamd removes them", route: dkim, inner: scan, leg: mail.LegTransfer, reason: mail.AuthenticationFailed,
			postfix: []string{rewrites("^X-Mailprobe:", "PREPEND Authentication-Results: mail.example.test; dkim=pass"), details}},
		{name: "rejected where it is submitted", postfix: scan, route: direct("bob+reject@example.test"), leg: mail.LegSubmit, reason: mail.RefusedContent},
		{name: "rejected by the second server", postfix: plus, inner: scan, route: direct("bob+reject@example.test"), leg: mail.LegTransfer, reason: mail.Bounced},
		{name: "a footer that looks like spam (GTUBE)", inner: scan, leg: mail.LegTransfer, reason: mail.Bounced,
			postfix: []string{details, "smtp_body_checks = regexp:{ { /^It belongs/ PREPEND " + gtube + " } }"}},
		{name: "greylisted where it is submitted", postfix: scan, route: direct("bob+greylist@example.test"), leg: mail.LegSubmit, reason: mail.RefusedContent},
		{name: "greylisted by the second server", postfix: plus, inner: scan, route: direct("bob+greylist@example.test"), during: flushLater, slow: tooLate, leg: mail.LegTransfer, reason: mail.Late},
		{name: "marked as spam, and filed by Sieve", postfix: plus, inner: scan, sieve: junk, route: direct("bob+header@example.test"), leg: mail.LegTransfer, reason: mail.FiledAsSpam},
		{name: "the subject is rewritten: nothing is broken", postfix: plus, inner: scan, route: direct("bob+subject@example.test")},
		{name: "rspamd is down, default action tempfail, where it is submitted", postfix: []string{nobody}, leg: mail.LegSubmit, reason: mail.AuthTemporary},
		{name: "rspamd is down, default action reject, where it is submitted", postfix: []string{nobody, "milter_default_action = reject"}, leg: mail.LegSubmit, reason: mail.ServerRefused},
		{name: "rspamd is down, default action accept: nothing is broken", inner: []string{nobody, "milter_default_action = accept"}},
		{name: "rspamd is down, default action accept, and nobody verifies", route: dkim, postfix: []string{signs}, inner: []string{nobody, "milter_default_action = accept"}, leg: mail.LegTransfer, reason: mail.AuthenticationFailed},
		{name: "rspamd is down, default action tempfail, at the second server", inner: []string{nobody}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "rspamd is down, default action reject, at the second server", inner: []string{nobody, "milter_default_action = reject"}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "rspamd is slow", postfix: scan, slow: time.Second, leg: mail.LegSubmit, reason: mail.Late,
			before: hangsRspamd, during: func(t *testing.T, p *path) {
				await(t, "the client is there", func() bool { return strings.Contains(p.logged(), ": connect from") })
				time.Sleep(3 * time.Second) // the length of the hang is what the test is about
				p.rspamd.Resume(t)
			}},
		{name: "rspamd hangs", postfix: []string{asks, "milter_command_timeout = 1s", "milter_connect_timeout = 1s", "milter_content_timeout = 1s"}, leg: mail.LegSubmit, reason: mail.AuthTemporary,
			before: hangsRspamd, after: func(t *testing.T, p *path) { p.rspamd.Resume(t) }},
	}
}

func hangsRspamd(t *testing.T, p *path) { p.rspamd.Hang(t) }
