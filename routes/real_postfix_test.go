package routes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/realserver"
	"mailprobe/mail"
)

func ofPostfix() series {
	return series{servers: "Postfix 3.7.11, Dovecot 2.3.19", lanes: 4, start: func(t testing.TB) *path { return newPath(t) }, play: throughPostfix, breakages: postfixBreakages()}
}

func TestRealPathIsBrokenInManyWays(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "dovecot", "postfix")
	ofPostfix().run(t)
}

// nobodyListens is where mail gets stuck.
const nobodyListens = "virtual_transport = lmtp:inet:" + realserver.Host + ":1"

// manyFolders makes or removes folders that are listed before Junk.
func manyFolders(command ...string) func(*testing.T, *path) {
	return func(t *testing.T, p *path) {
		args := append([]string{"mailbox"}, append(command, "-u", realserver.Bob)...)
		for i := range 150 {
			args = append(args, fmt.Sprintf("A%03d", i))
		}
		p.dovecot.Doveadm(t, args...)
	}
}

func postfixBreakages() []breakage {
	return []breakage{
		{name: "nothing is broken"},
		{name: "nothing is broken, without delivery status", route: []change{withoutBounces}},
		{name: "nothing is broken, read by POP3", route: []change{byPOP3}},
		{name: "nothing is broken, folders listed", route: []change{inFolders("INBOX", "Archive")}},
		{name: "nothing is broken, read in the folder of a shared mailbox", route: []change{to(realserver.Helpdesk), inSharedFolder}},
		{name: "nothing is broken, and it is authenticated", route: []change{requiresDKIM},
			postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ PREPEND Authentication-Results: mail.example.test; dkim=pass } }"}},

		{name: "the password to send is wrong", leg: mail.LegSubmit, reason: mail.AuthRejected,
			route: []change{func(_ *path, r *mail.Route) { r.Send = wrongPassword(r.Send) }}},
		{name: "nobody listens where mail is submitted", leg: mail.LegSubmit, reason: mail.ConnectRefused,
			route: []change{func(_ *path, r *mail.Route) { c := *r.Send; c.Port = 1; r.Send = &c }}},
		{name: "the sender is somebody else's", leg: mail.LegSubmit, reason: mail.NotAuthorized,
			route: []change{func(_ *path, r *mail.Route) { r.From = realserver.Bob }}},
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
			slow: time.Second, postfix: []string{"smtpd_end_of_data_restrictions = sleep 2"}},

		{name: "stuck in the queue", leg: mail.LegTransfer, reason: mail.Queued, postfix: []string{nobodyListens}},
		{name: "stuck in the queue, without delivery status", leg: mail.LegTransfer, reason: mail.NotDelivered,
			postfix: []string{nobodyListens}, route: []change{withoutBounces}},
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
			route: []change{withoutBounces}},
		{name: "an alias to somebody else", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance,
			postfix: []string{"virtual_alias_maps = inline:{ { bob@example.test = helpdesk@example.test } }"}},
		{name: "never delivered, read by POP3", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance, sieve: "discard;\n",
			route: []change{byPOP3}},

		{name: "filed as spam, beside 150 other folders", leg: mail.LegTransfer, reason: mail.FiledAsSpam, sieve: "require \"fileinto\";\nfileinto \"Junk\";\n",
			before: manyFolders("create", "-s"), after: manyFolders("delete", "-s")},
		{name: "filed as spam", leg: mail.LegTransfer, reason: mail.FiledAsSpam, sieve: "require \"fileinto\";\nfileinto \"Junk\";\n"},
		{name: "filed elsewhere", leg: mail.LegTransfer, reason: mail.FiledElsewhere, sieve: "require \"fileinto\";\nfileinto \"Archive\";\n",
			route: []change{inFolders("INBOX", "Archive")}},
		{name: "delivered twice by an alias", leg: mail.LegTransfer, reason: mail.Duplicated,
			postfix: []string{"recipient_delimiter = +", "virtual_alias_maps = inline:{ { list@example.test = bob@example.test bob+copy@example.test } }"},
			route:   []change{to("list@example.test")}},
		{name: "the body is altered by a relay", leg: mail.LegTransfer, reason: mail.Altered,
			postfix: []string{"body_checks = regexp:{ { /^It belongs/ REPLACE Scanned by Example } }"}},
		{name: "not authenticated", leg: mail.LegTransfer, reason: mail.AuthenticationFailed, route: []change{requiresDKIM}},
		{name: "DKIM broken by a rewrite", leg: mail.LegTransfer, reason: mail.AuthenticationFailed, route: []change{requiresDKIM},
			postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ PREPEND Authentication-Results: mail.example.test; dkim=fail (body hash did not verify) } }"}},
		{name: "authenticated by a stranger", leg: mail.LegTransfer, reason: mail.AuthenticationFailed, route: []change{requiresDKIM},
			postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ PREPEND Authentication-Results: inner.example.net; dkim=pass } }"}},
		{name: "delivered late from the queue", leg: mail.LegTransfer, reason: mail.Late, postfix: []string{nobodyListens},
			slow: tooLate,
			during: func(t *testing.T, p *path) {
				awaitDeferred(t, p)
				time.Sleep(stay) // how long the message is held is what the test is about
				p.postfix.Set(t)
				p.postfix.Flush(t)
			}},
		{name: "the password to read is wrong: nothing is sent", leg: mail.LegTransfer, reason: mail.AuthRejected,
			route: []change{func(_ *path, r *mail.Route) { r.Receive = wrongPassword(r.Receive) }}},
		{name: "the mailbox to read is not there: nothing is sent", leg: mail.LegTransfer, reason: mail.MailboxMissing,
			route: []change{inFolders("Nowhere")}},
		{name: "an address with a detail that the server does not know", leg: mail.LegSubmit, reason: mail.MailboxMissing, route: []change{to("bob+detail@example.test")}},
		{name: "an address with a detail: nothing is broken", postfix: []string{"recipient_delimiter = +"}, route: []change{to("bob+detail@example.test")}},
		{name: "too many messages of this client", leg: mail.LegSubmit, reason: mail.ServerLimit,
			postfix: []string{"smtpd_client_event_limit_exceptions =", "smtpd_client_message_rate_limit = 1"},
			before:  func(t *testing.T, p *path) { p.send(t, breakage{}, p.postfix.Log) }},
		{name: "the queue's disk is full", leg: mail.LegSubmit, reason: mail.ServerUnavailable, postfix: []string{"queue_minfree = 1000000000000000"}},
		{name: "a catch-all of somebody else", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance, route: []change{to("bbo@example.test")},
			postfix: []string{"virtual_alias_maps = regexp:{ { /^bbo@/ helpdesk@example.test } }"}},
		{name: "a copy of all mail for somebody else: nothing is broken", postfix: []string{"always_bcc = helpdesk@example.test"}},
		{name: "a copy of all mail for Bob himself", leg: mail.LegTransfer, reason: mail.Duplicated,
			postfix: []string{"recipient_delimiter = +", "always_bcc = bob+copy@example.test"}},
		{name: "the server sends mail to itself", leg: mail.LegTransfer, reason: mail.Bounced, postfix: []string{"virtual_transport = smtp:[HOST]:SELF", "hopcount_limit = 3", statusPast}},
		{name: "the mark is removed by a relay", leg: mail.LegTransfer, reason: mail.Altered, postfix: []string{"header_checks = regexp:{ { /^X-Mailprobe:/ IGNORE } }"}},
		{name: "long header fields are cut", leg: mail.LegTransfer, reason: mail.Altered, postfix: []string{"header_size_limit = 100"}},
		{name: "the message ID is rewritten: nothing is broken", postfix: []string{"header_checks = regexp:{ { /^Message-ID:/ REPLACE Message-ID: <1@example.test> } }"}},
		{name: "mark and message ID are removed: nobody can know it again", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance, postfix: []string{"header_checks = regexp:{ { /^(X-Mailprobe|Message-ID):/ IGNORE } }"}},
		{name: "a vacation notice: nothing is broken", sieve: "require \"vacation\";\nvacation \"I am away\";\n"},
		{name: "copied by Sieve into the junk folder", leg: mail.LegTransfer, reason: mail.Duplicated, sieve: "require [\"fileinto\", \"copy\"];\nfileinto :copy \"Junk\";\n"},
		{name: "filed by Sieve into a folder that is not looked through", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance, sieve: "require \"fileinto\";\nfileinto \"Archive\";\n"},
		{name: "filed into a folder with an umlaut", leg: mail.LegTransfer, reason: mail.FiledElsewhere, route: []change{inFolders("INBOX", "Entwürfe/Müll & Co")},
			sieve: "require [\"fileinto\", \"mailbox\"];\nfileinto :create \"Entwürfe/Müll & Co\";\n", before: func(t *testing.T, p *path) {
				p.dovecot.Doveadm(t, "mailbox", "create", "-u", realserver.Bob, "Entwürfe/Müll & Co")
			}},
		{name: "marked as read and deleted by Sieve: nothing is broken", sieve: "require \"imap4flags\";\naddflag [\"\\\\Seen\", \"\\\\Deleted\"];\n"},
		{name: "fetched away by another program", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance, route: []change{byPOP3}, during: fetchAway},
		{name: "Bob may not delete", leg: mail.LegTransfer, reason: mail.CleanupFailed,
			before: func(t *testing.T, p *path) { p.dovecot.SetRights(t, realserver.Bob, "owner lrwsip") }, after: func(t *testing.T, p *path) { p.dovecot.SetRights(t, realserver.Bob, "") }},
		{name: "an earlier message is lost, and one arrived since: nothing is broken", before: func(t *testing.T, p *path) {
			p.send(t, breakage{leg: mail.LegTransfer, reason: mail.LostAfterAcceptance, route: []change{to(realserver.Helpdesk)}}, p.postfix.Log)
			p.send(t, breakage{}, p.postfix.Log)
		}},
		{name: "all mail is refused for now", leg: mail.LegSubmit, reason: mail.ServerUnavailable, postfix: []string{"smtpd_client_restrictions = check_recipient_access static:{450 4.7.1 later}"}},
	}
}

// fetchAway removes Bob's mail as soon as some has come.
func fetchAway(t *testing.T, p *path) {
	saved := func() int { return strings.Count(p.dovecot.Log(), "lmtp("+realserver.Bob) }
	before := saved()
	await(t, "mail for Bob has come", func() bool { return saved() > before })
	p.dovecot.Doveadm(t, "expunge", "-u", realserver.Bob, "mailbox", "INBOX", "all")
}
