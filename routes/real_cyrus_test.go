package routes_test

// Routes from Postfix to Cyrus. Delivery status arrives in Alice's Dovecot.

import (
	"fmt"
	"testing"

	"mailprobe/internal/realserver"
	"mailprobe/mail"
)

// startCyrusPath starts a Cyrus as its authors ship it, with further lines of its
// configuration, and a Dovecot for the passwords and the delivery status.
func startCyrusPath(t testing.TB) *path { return cyrusPath(t) }

func cyrusPath(t testing.TB, lines ...string) *path {
	p := &path{dovecot: realserver.StartDovecot(t, realserver.Options{LMTP: true}), journal: newJournal(t)}
	p.cyrus = realserver.StartCyrus(t, lines...)
	return p
}

// fromCyrus looks for the message in Bob's Cyrus, where Postfix and Exim deliver it.
func fromCyrus(p *path, r *mail.Route) {
	r.Receive = p.connection("cyrus", realserver.Bob, mail.IMAP, p.cyrus.IMAPS)
	r.Receive.TLS.RootCAs = p.cyrus.CA.Pool()
}

func fromCyrusByPOP3(p *path, r *mail.Route) {
	fromCyrus(p, r)
	r.Receive.Protocol, r.Receive.Port = mail.POP3, p.cyrus.POP3S
}

// asAdmin says IMAP commands to Cyrus.
func asAdmin(commands ...string) func(*testing.T, *path) {
	return func(t *testing.T, p *path) { p.cyrus.Admin(t, commands...) }
}

// asBob says IMAP commands to Bob's mailbox.
func asBob(commands ...string) func(*testing.T, *path) {
	return func(t *testing.T, p *path) { p.cyrus.Say(t, realserver.Bob, commands...) }
}

// quota limits Bob's mailbox to so many KiB.
func quota(kib int) func(*testing.T, *path) {
	return asAdmin(fmt.Sprintf("SETQUOTA user/bob (STORAGE %d)", kib))
}

// toCyrus plays a breakage with mail for Bob delivered to Cyrus.
func toCyrus(t *testing.T, p *path, b breakage) {
	lines := append([]string{"recipient_delimiter = +", "transport_maps = inline:{ { bob@example.test = lmtp:inet:HOST:CYRUS } }"}, b.postfix...)
	p.postfix.Set(t, p.filled(lines)...)
	p.cyrus.SetSieve(t, realserver.Bob, b.sieve)
	b.route = append([]change{fromCyrus}, b.route...)
	p.send(t, b, p.postfix.Log)
}

func startPostfixCyrus(lines ...string) func(testing.TB) *path {
	return func(t testing.TB) *path {
		p := cyrusPath(t, lines...)
		p.postfix = realserver.StartPostfix(t, realserver.PostfixOptions{Users: p.dovecot, Deliver: true})
		p.cyrus.Say(t, realserver.Bob, `CREATE Junk (USE (\Junk))`, "CREATE Archive", "CREATE M&APw-ll")
		return p
	}
}

func ofCyrus() series {
	return series{servers: "Postfix, Cyrus 3.6.1", lanes: 3, start: startPostfixCyrus(), play: toCyrus, breakages: cyrusBreakages()}
}

func TestRealPathToCyrus(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "dovecot", "postfix")
	ofCyrus().run(t)
}

func cyrusBreakages() []breakage {
	// Cyrus takes messages with the same ID and date to the same mailbox for one.
	const sameID = "header_checks = regexp:{ { /^Message-ID:/ REPLACE Message-ID: <always-the-same@example.test> }, { /^Date:/ REPLACE Date: Sat, 28 Nov 2026 00:00:00 +0000 } }"
	archive := "require \"fileinto\";\nfileinto \"Archive\";\n"
	return []breakage{
		{name: "nothing is broken"},
		{name: "nothing is broken, read by POP3", route: []change{fromCyrusByPOP3}},
		{name: "nothing is broken, folders listed", route: []change{inFolders("INBOX", "Archive", "Müll")}},
		{name: "nothing is broken, nothing is deleted", route: []change{func(_ *path, r *mail.Route) { r.Delete = false }}},
		{name: "over quota", before: quota(0), after: quota(1 << 20), leg: mail.LegTransfer, reason: mail.Queued},
		{name: "LMTP is down", postfix: []string{"transport_maps = inline:{ { bob@example.test = lmtp:inet:HOST:1 } }"}, leg: mail.LegTransfer, reason: mail.Queued},
		{name: "the recipient map names a mailbox that is not there", leg: mail.LegTransfer, reason: mail.Bounced,
			postfix: []string{"virtual_alias_maps = inline:{ { bob@example.test = gone@example.test } }", "transport_maps = inline:{ { gone@example.test = lmtp:inet:HOST:CYRUS } }"}},
		{name: "a folder in which nobody may post", leg: mail.LegTransfer, reason: mail.Bounced,
			before: asAdmin("CREATE team", "SETACL team anyone lrs"), after: asAdmin("SETACL team cyrus c", "DELETE team"),
			postfix: []string{"virtual_alias_maps = inline:{ { bob@example.test = team+team@example.test } }", "transport_maps = inline:{ { team@example.test = lmtp:inet:HOST:CYRUS } }"}},
		{name: "discarded by Sieve", sieve: "discard;\n", leg: mail.LegTransfer, reason: mail.LostAfterAcceptance},
		{name: "refused by Sieve", sieve: "require \"reject\";\nreject \"no probes here\";\n", leg: mail.LegTransfer, reason: mail.Bounced},
		{name: "filed as spam by Sieve", sieve: "require \"fileinto\";\nfileinto \"Junk\";\n", leg: mail.LegTransfer, reason: mail.FiledAsSpam},
		{name: "filed by Sieve into a folder that is not looked through", sieve: archive, leg: mail.LegTransfer, reason: mail.LostAfterAcceptance},
		{name: "filed elsewhere by Sieve", sieve: archive, route: []change{inFolders("INBOX", "Archive")}, leg: mail.LegTransfer, reason: mail.FiledElsewhere},
		{name: "filed into a folder with an umlaut", sieve: "require \"fileinto\";\nfileinto \"Müll\";\n", route: []change{inFolders("INBOX", "Müll")}, leg: mail.LegTransfer, reason: mail.FiledElsewhere},
		{name: "delivered twice by an alias, and Cyrus keeps one: nothing is broken", route: []change{to("list@example.test")},
			postfix: []string{"virtual_alias_maps = inline:{ { list@example.test = bob@example.test bob+copy@example.test } }"}},
		{name: "a message ID that Cyrus has seen before", postfix: []string{sameID}, leg: mail.LegTransfer, reason: mail.LostAfterAcceptance,
			before: func(t *testing.T, p *path) {
				p.send(t, breakage{name: "the first", postfix: []string{sameID}, route: []change{fromCyrus}}, p.postfix.Log)
			}},
		{name: "Bob may not delete", before: asAdmin("SETACL user/bob bob lrswi"), after: asAdmin("SETACL user/bob bob lrswipkxtecda"),
			leg: mail.LegTransfer, reason: mail.CleanupFailed},
		{name: "Bob may not read: nothing is sent", before: asAdmin("SETACL user/bob bob l"), after: asAdmin("SETACL user/bob bob lrswipkxtecda"),
			leg: mail.LegTransfer, reason: mail.MailboxDenied},
		{name: "the folder is renamed meanwhile", postfix: []string{nobodyListens}, route: []change{inFolders("Renamed"), soon}, leg: mail.LegTransfer, reason: mail.MailboxMissing,
			before: asBob("CREATE Renamed"), during: func(t *testing.T, p *path) {
				await(t, "the message is taken", func() bool { return taken.MatchString(p.logged()) }) // the folder has been marked
				p.cyrus.Say(t, realserver.Bob, "RENAME Renamed Else")
			}, after: asBob("DELETE Else")},
		{name: "the mailbox is made anew meanwhile, which ends the session: nothing is broken", postfix: []string{"defer_transports = lmtp"}, during: func(t *testing.T, p *path) {
			awaitDeferred(t, p)
			p.cyrus.Admin(t, "SETACL user/bob cyrus c", "DELETE user/bob", "CREATE user/bob")
			p.cyrus.Say(t, realserver.Bob, `CREATE Junk (USE (\Junk))`, "CREATE Archive", "CREATE M&APw-ll")
			p.postfix.Set(t, p.filled([]string{"transport_maps = inline:{ { bob@example.test = lmtp:inet:HOST:CYRUS } }"})...)
			p.postfix.Flush(t)
		}},
	}
}

// Debian ships Cyrus with folders below INBOX.
func ofCyrusOtherwise() series {
	return series{servers: "Postfix, Cyrus 3.6.1 with `altnamespace: no`, `unixhierarchysep: no`, `duplicatesuppression: no`, `lmtp_over_quota_perm_failure: yes`", lanes: 1, play: toCyrus,
		start: func(t testing.TB) *path {
			p := cyrusPath(t, "altnamespace: no", "unixhierarchysep: no", "duplicatesuppression: no", "lmtp_over_quota_perm_failure: yes")
			p.postfix = realserver.StartPostfix(t, realserver.PostfixOptions{Users: p.dovecot, Deliver: true})
			return p
		},
		breakages: []breakage{
			{name: "nothing is broken", before: asBob(`CREATE INBOX.Junk (USE (\Junk))`, "CREATE INBOX.Archive")},
			{name: "over quota, for good", before: asAdmin("SETQUOTA user.bob (STORAGE 0)"), after: asAdmin("SETQUOTA user.bob (STORAGE 10000)"), leg: mail.LegTransfer, reason: mail.Bounced},
			{name: "filed as spam by Sieve", sieve: "require \"fileinto\";\nfileinto \"INBOX.Junk\";\n", leg: mail.LegTransfer, reason: mail.FiledAsSpam},
			{name: "filed elsewhere by Sieve", sieve: "require \"fileinto\";\nfileinto \"INBOX.Archive\";\n", route: []change{inFolders("INBOX", "INBOX.Archive")}, leg: mail.LegTransfer, reason: mail.FiledElsewhere},
			{name: "delivered twice by an alias", route: []change{to("list@example.test")}, leg: mail.LegTransfer, reason: mail.Duplicated,
				postfix: []string{"virtual_alias_maps = inline:{ { list@example.test = bob@example.test bob+copy@example.test } }"}},
		}}
}

func TestRealPathToCyrusOtherwise(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "dovecot", "postfix")
	ofCyrusOtherwise().run(t)
}
