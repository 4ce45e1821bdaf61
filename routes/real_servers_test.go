package routes_test

// Routes through Exim, and through two Postfix with OpenDKIM and postgrey between
// them. These servers come from .ci/servers; without them the tests are skipped.

import (
	"fmt"
	"testing"
	"time"

	"mailprobe/internal/realserver"
	"mailprobe/mail"
)

func ofExim() series {
	return series{servers: "Exim 4.96, Dovecot", lanes: 3, play: throughExim, breakages: eximBreakages(),
		start: func(t testing.TB) *path {
			return &path{dovecot: realserver.StartDovecot(t, realserver.Options{LMTP: true}), journal: newJournal(t)}
		}}
}

func TestRealPathThroughExim(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "dovecot")
	ofExim().run(t)
}

// throughExim plays a breakage on an Exim of its own, which takes mail without a
// login.
func throughExim(t *testing.T, p *path, b breakage) {
	rules := b.exim
	if p.cyrus != nil {
		rules.LMTP = p.cyrus.LMTP
	}
	e := realserver.StartExim(t, p.dovecot, rules)
	b.route = append(b.route, func(_ *path, r *mail.Route) {
		c := *r.Send
		c.Port, c.Encryption, c.TLS, c.Username, c.Password = e.SMTP, mail.NoEncryption, nil, "", mail.SecretSource{}
		r.Send = &c
	})
	p.send(t, b, e.Log)
}

func eximBreakages() []breakage {
	return []breakage{
		{name: "nothing is broken"},
		{name: "the recipient is refused", exim: realserver.EximRules{Recipient: "deny message = no such user"}, leg: mail.LegSubmit, reason: mail.MailboxMissing},
		{name: "refused after DATA", exim: realserver.EximRules{Content: "deny message = no probes here"}, leg: mail.LegSubmit, reason: mail.RefusedContent},
		{name: "a slow scanner", exim: realserver.EximRules{Content: "warn delay = 2s"}, slow: time.Second, leg: mail.LegSubmit, reason: mail.Late},
		{name: "frozen by an administrator", exim: realserver.EximRules{Content: "warn control = freeze"}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "stuck in the queue", exim: realserver.EximRules{LMTP: 1}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "bounced by an alias", exim: realserver.EximRules{Aliases: ":fail: gone"}, leg: mail.LegTransfer, reason: mail.Bounced},
		{name: "deferred by an alias", exim: realserver.EximRules{Aliases: ":defer: later"}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "an alias into nothing", exim: realserver.EximRules{Aliases: ":blackhole:"}, leg: mail.LegTransfer, reason: mail.LostAfterAcceptance},
		{name: "an alias to somebody else", exim: realserver.EximRules{Aliases: realserver.Helpdesk}, leg: mail.LegTransfer, reason: mail.LostAfterAcceptance},
		{name: "delivered twice by an alias that names itself", exim: realserver.EximRules{Aliases: "bob@example.test, bob+copy@example.test"}, leg: mail.LegTransfer, reason: mail.Duplicated},
		{name: "a footer", exim: realserver.EximRules{Filter: "cat; echo Scanned by Example"}, leg: mail.LegTransfer, reason: mail.Altered},
		{name: "the lines of the body are wrapped at 40 characters", exim: realserver.EximRules{Filter: "sed -u '/^.\\?$/q'; fold -w 40"}, leg: mail.LegTransfer, reason: mail.Altered},
		{name: "encoded anew as base64: nothing is broken", exim: realserver.EximRules{Filter: "sed -u 's/^Content-Transfer-Encoding:.*/Content-Transfer-Encoding: base64/; /^.\\?$/q'; base64"}},
		{name: "the message ID is rewritten: nothing is broken", exim: realserver.EximRules{Filter: "sed 's/^Message-ID:.*/Message-ID: <1@example.test>/'"}},
		{name: "the date is of another year: nothing is broken", exim: realserver.EximRules{Filter: "sed 's/^Date:.*/Date: Mon, 02 Jan 2006 15:04:05 +0000/'"}},
	}
}

func ofEximAndCyrus() series {
	return series{servers: "Exim 4.96, Cyrus 3.6.1", lanes: 1, play: throughExim, start: startCyrusPath,
		breakages: []breakage{
			{name: "nothing is broken", route: []change{fromCyrus}},
			{name: "over quota", route: []change{fromCyrus}, before: quota(0), after: quota(1 << 20), leg: mail.LegTransfer, reason: mail.Queued},
		}}
}

func TestRealPathFromEximToCyrus(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "dovecot")
	ofEximAndCyrus().run(t)
}

// Two Postfix: the first takes the message and signs it, the second verifies it and
// delivers. Between them, hops break what the first has signed.
func ofMilters() series {
	return series{servers: "two Postfix, OpenDKIM 2.11, postgrey 1.37", lanes: 2, breakages: milterBreakages(),
		start: func(t testing.TB) *path {
			p := newLongPath(t)
			p.dkim, p.postgrey = realserver.StartDKIM(t), realserver.StartPostgrey(t, 4)
			return p
		}, play: throughPostfix}
}

func TestRealPathThroughMilters(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "dovecot", "postfix")
	ofMilters().run(t)
}

// What filled replaces by addresses.
const (
	signs     = "smtpd_milters = inet:HOST:SIGN"
	verifies  = "smtpd_milters = inet:HOST:VERIFY"
	greylists = "smtpd_recipient_restrictions = check_policy_service inet:HOST:POSTGREY"
)

// rewrites is a header check that replaces a field on the way out.
func rewrites(pattern, by string) string {
	return fmt.Sprintf("smtp_header_checks = regexp:{ { /%s/ %s } }", pattern, by)
}

// flushLater has the queue tried once more: Postfix with a backoff of a second skips
// a message now and then that is "still being delivered", and forgets it for long.
func flushLater(t *testing.T, p *path) {
	awaitDeferred(t, p)
	time.Sleep(stay) // postgrey and rspamd greylist by the real clock
	p.postfix.Flush(t)
}

func milterBreakages() []breakage {
	dkim := []change{requiresDKIM}
	return []breakage{
		{name: "signed and verified: nothing is broken", route: dkim, postfix: []string{signs}, inner: []string{verifies}},
		{name: "not signed", route: dkim, inner: []string{verifies}, leg: mail.LegTransfer, reason: mail.AuthenticationFailed},
		{name: "the signature is broken by a rewritten subject", route: dkim, postfix: []string{signs, rewrites("^Subject: (.*)", "REPLACE Subject: [external] $1")},
			inner: []string{verifies}, leg: mail.LegTransfer, reason: mail.AuthenticationFailed},
		{name: "the signature is broken by a footer", route: dkim, postfix: []string{signs, "smtp_body_checks = regexp:{ { /^It belongs/ REPLACE Scanned by Example } }"},
			inner: []string{verifies}, leg: mail.LegTransfer, reason: mail.Altered},
		{name: "the results are forged by an inner hop: OpenDKIM removes them", route: dkim, postfix: []string{rewrites("^X-Mailprobe:", "PREPEND Authentication-Results: mail.example.test; dkim=pass")},
			inner: []string{verifies}, leg: mail.LegTransfer, reason: mail.AuthenticationFailed},
		{name: "nobody verifies", route: dkim, postfix: []string{signs}, leg: mail.LegTransfer, reason: mail.AuthenticationFailed},
		{name: "greylisted by postgrey", route: dkim, postfix: []string{signs}, inner: []string{verifies, greylists}, during: flushLater, slow: tooLate, leg: mail.LegTransfer, reason: mail.Late},
		{name: "the next server has too few hops left", inner: []string{"hopcount_limit = 1"}, leg: mail.LegTransfer, reason: mail.Bounced},
		{name: "the next server must have TLS, and has none", postfix: []string{"smtp_tls_security_level = encrypt"}, inner: []string{"smtpd_discard_ehlo_keywords = starttls"}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "the next server's certificate must verify, and does not", postfix: []string{"smtp_tls_security_level = verify"}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "the next server does not know the recipient", inner: []string{"virtual_mailbox_maps = inline:{ { helpdesk@example.test = x } }"}, leg: mail.LegTransfer, reason: mail.Bounced},
		{name: "stuck at the next server", inner: []string{nobodyListens}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "stuck at the next server, which sends no delivery status", inner: []string{nobodyListens, "smtpd_discard_ehlo_keywords = dsn"}, leg: mail.LegTransfer, reason: mail.LostAfterAcceptance},
		{name: "refused for now by the next server", inner: []string{"smtpd_recipient_restrictions = defer"}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "the sender is rewritten on the way: nothing is broken", postfix: []string{"smtp_generic_maps = inline:{ { alice@example.test = srs@example.test } }"}},
	}
}
