package prober

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailprobe/mail"
)

// leavingFaults is section G of the catalogue: the mailbox, and the end.
func leavingFaults() []faultCase {
	cases := append(mailboxAnswers(), mailboxData()...)
	cases = append(cases, mailboxNumbers()...)
	return append(append(cases, mailboxNames()...), goodbyeFaults()...)
}

// openMailbox is what the probe says to open a mailbox.
var openMailbox = map[mail.Protocol]string{mail.IMAP: "C: {tag} EXAMINE INBOX\n", mail.POP3: "C: STAT\n", mail.SMTP: "C: MAIL FROM:*\n"}

// notOpened is a fault in which the mailbox gets a negative answer.
func notOpened(number int, story string, reason mail.Reason, answers map[mail.Protocol]string) faultCase {
	return faultCase{numbers: []int{number}, story: story, after: loggedIn, script: answered(openMailbox, answers),
		phase: mail.PhaseMailbox, reason: reason, check: wantClass(mail.Transient)}
}

// mailboxAnswers are the reasons not to open a mailbox.
func mailboxAnswers() []faultCase {
	shared := func(access mail.SharedAccess) func(*mail.Connection) {
		return func(c *mail.Connection) { c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", access }
	}
	imap := func(story string, reason mail.Reason, answer string) faultCase {
		return notOpened(120, story, reason, map[mail.Protocol]string{mail.IMAP: "{tag} NO " + answer})
	}
	locked := loginRefused(119, "somebody_else_has_the_maildrop", mail.MailboxInUse, mail.Transient, map[mail.Protocol]string{
		mail.POP3: "-ERR [IN-USE] Do you have another POP session running?"})
	authzid := loginRefused(121, "the_shared_mailbox_is_not_for_this_user", mail.NotAuthorized, mail.Definitive, map[mail.Protocol]string{
		mail.IMAP: "{tag} NO [AUTHORIZATIONFAILED] alice may not act as helpdesk"})
	authzid.change = shared(mail.SharedAuthzID)
	sender := notOpened(121, "the_shared_sender_is_not_for_this_user", mail.NotAuthorized, map[mail.Protocol]string{
		mail.SMTP: "553 5.7.1 <helpdesk@example.org>: Sender address rejected: not owned by user alice"})
	sender.change = shared(mail.SharedSender)
	sender.check = nil
	return []faultCase{
		locked, authzid, sender,
		imap("the_mailbox_does_not_exist", mail.MailboxMissing, "[NONEXISTENT] Unknown Mailbox: INBOX"),
		imap("the_mailbox_may_not_be_read", mail.MailboxDenied, "[NOPERM] Permission denied"),
		imap("the_mailbox_is_in_use", mail.MailboxInUse, "[INUSE] Mailbox is being rebuilt"),
		imap("the_mailbox_is_broken", mail.MailboxFailed, "[CORRUPTION] Index is corrupt"),
		imap("the_mailbox_is_not_opened_for_no_reason", mail.MailboxMissing, "No such mailbox"),
		imap("the_server_is_away_at_the_mailbox", mail.ServerUnavailable, "[UNAVAILABLE] Backend is down"),
		notOpened(120, "the_maildrop_cannot_be_counted", mail.MailboxFailed, map[mail.Protocol]string{mail.POP3: "-ERR cannot read maildrop"}),
		notOpened(120, "the_maildrop_is_locked", mail.MailboxInUse, map[mail.Protocol]string{mail.POP3: "-ERR cannot lock maildrop"}),
		notOpened(120, "the_sender_is_not_taken", mail.MailboxDenied, map[mail.Protocol]string{mail.SMTP: "550 5.1.8 Sender unknown"}),
		{
			numbers: []int{122}, story: "a_probe_only_looks", after: atOnce, script: every("{after at once}"),
			check: wantVerbs(map[mail.Protocol][]string{
				mail.IMAP: {"CAPABILITY", "AUTHENTICATE", "EXAMINE", "LOGOUT"}, mail.POP3: {"CAPA", "AUTH", "STAT", "QUIT"},
				mail.SMTP: {"EHLO", "AUTH", "MAIL", "RSET", "QUIT"}}),
		},
		{
			numbers: []int{122}, story: "no_sender_is_tried_where_none_is_asked_for", after: loggedIn,
			script: map[mail.Protocol]string{mail.SMTP: "C: QUIT\nS: 221 bye"},
			change: func(c *mail.Connection) { c.Sender, c.Recipient = "", "bob@example.org" },
			check:  wantVerbs(map[mail.Protocol][]string{mail.SMTP: {"EHLO", "AUTH", "QUIT"}}),
		},
	}
}

// wantVerbs checks the commands inside TLS, or all where there is none.
func wantVerbs(want map[mail.Protocol][]string) func(*testing.T, faultRun) {
	return func(t *testing.T, run faultRun) {
		said, p := string(run.session.Inner), run.connection.Protocol
		if run.connection.Encryption == mail.NoEncryption {
			said = string(run.session.Wire)
		}
		var got []string
		for line := range strings.Lines(said) {
			words := strings.Fields(line)
			if p == mail.IMAP {
				words = words[1:]
			}
			if len(words) > 0 && isCommand(p, words[0]) {
				got = append(got, words[0])
			}
		}
		if !slices.Equal(got, want[p]) {
			t.Errorf("the probe said %v, want %v", got, want[p])
		}
	}
}

// mailboxData are floods and knots where a number was expected.
func mailboxData() []faultCase {
	fault := func(number int, story string, reason mail.Reason, script map[mail.Protocol]string) faultCase {
		r := faultCase{numbers: []int{number}, story: story, after: loggedIn, script: map[mail.Protocol]string{}, reason: reason}
		if reason != "" {
			r.phase = mail.PhaseMailbox
		}
		for p, text := range script {
			r.script[p] = openMailbox[p] + text
		}
		return r
	}
	deep, long := strings.Repeat("(", 4000), strings.Repeat("la ", 2000)
	return []faultCase{
		fault(123, "a_literal_of_ten_gigabytes", mail.ProtocolOversize, map[mail.Protocol]string{
			mail.IMAP: "S: * STATUS INBOX {10000000000}\nREPEAT forever SEND \"A\""}),
		fault(123, "a_literal_over_the_limit", mail.ProtocolOversize, map[mail.Protocol]string{mail.IMAP: "S: * 1 FETCH (BODY {16385}\nSTALL"}),
		fault(123, "a_literal_larger_than_any_number", mail.ProtocolOversize, map[mail.Protocol]string{
			mail.IMAP: "S: * 1 FETCH (BODY {99999999999999999999999999}\nSTALL"}),
		fault(123, "literals_inside_the_limit_are_dropped", "", map[mail.Protocol]string{
			mail.IMAP: "S: * 1 FETCH (BODY[TEXT] {26}\nSEND \"T3 OK done\\r\\n* 9 EXISTS\\r\\n\\r\\n\"\nS: )\n" +
				"S: * 2 FETCH (BODY {16384}\nREPEAT 4 S: " + strings.Repeat("A", 4094) + "\nS:  UID 5)\nS: * 3 EXISTS\nS: {tag} OK done\n{after opened}"}),
		fault(124, "endless_data_nobody_asked_for", mail.ProtocolOversize, map[mail.Protocol]string{
			mail.IMAP: "REPEAT forever S: * 1 FETCH (FLAGS (\\Seen))", mail.SMTP: "REPEAT forever S: 250-and so on"}),
		fault(124, "endless_chatter_that_stays_under_every_line_limit", mail.ProtocolOversize, map[mail.Protocol]string{
			mail.IMAP: "REPEAT forever S: * OK " + strings.Repeat("la ", 2000)}),
		fault(124, "twelve_long_lines_are_too_many_bytes_for_a_reply", mail.ProtocolOversize, map[mail.Protocol]string{
			mail.IMAP: "REPEAT 12 S: * OK [X] " + strings.Repeat("la ", 2000) + "\nS: {tag} OK done\nSTALL",
			mail.SMTP: "REPEAT 12 S: 250-" + strings.Repeat("la ", 2000) + "\nS: 250 done\nSTALL"}),
		{
			numbers: []int{124}, story: "replies_inside_their_bounds_that_never_get_less", after: connected,
			encryptions: []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS},
			script: map[mail.Protocol]string{mail.SMTP: "REPEAT 10 S: 220-" + long + "\nS: 220 mx\nC: EHLO *\nREPEAT 10 S: 250-" + long + "\nS: 250 AUTH PLAIN\n" +
				"C: AUTH PLAIN *\nREPEAT 10 S: 235-" + long + "\nS: 235 in\nC: MAIL FROM:*\nREPEAT 10 S: 250-" + long + "\nS: 250 ok\n" +
				"C: RSET\nREPEAT 10 S: 250-" + long + "\nS: 250 ok\nSTALL"},
			phase: mail.PhaseMailbox, reason: mail.ProtocolOversize,
		},
		fault(125, "a_million_brackets", mail.ProtocolOversize, map[mail.Protocol]string{
			mail.IMAP: "SEND \"* 1 FETCH \"\nREPEAT 1000000 SEND \"(\""}),
		fault(125, "brackets_as_deep_as_a_line_holds", "", map[mail.Protocol]string{
			mail.IMAP: "S: * 1 FETCH " + deep + "\nS: * NAMESPACE " + deep + "\nS: * OK [BADCHARSET " + deep + "]\n" +
				"S: * 3 EXISTS\nS: {tag} OK [PERMANENTFLAGS " + deep + "] done\n{after opened}"}),
		{
			numbers: []int{125}, story: "brackets_where_the_namespaces_should_be", after: loggedIn,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} NAMESPACE\nS: * NAMESPACE " + deep + "\nS: {tag} OK done\n{after opened}"},
			change: func(c *mail.Connection) { c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedFolder },
			phase:  mail.PhaseMailbox, reason: mail.ProtocolOversize,
		},
	}
}

// mailboxNumbers are counts that are none.
func mailboxNumbers() []faultCase {
	var cases []faultCase
	huge := "1" + strings.Repeat("0", 30)
	for story, says := range map[string]map[mail.Protocol]string{
		"a_count_beyond_every_number":  {mail.IMAP: "* " + huge + " EXISTS", mail.POP3: "+OK " + huge + " 1"},
		"a_count_just_over_32_bits":    {mail.IMAP: "* 4294967296 EXISTS", mail.POP3: "+OK 4294967296 1"},
		"a_count_below_zero":           {mail.IMAP: "* -1 EXISTS", mail.POP3: "+OK -1 1"},
		"a_count_that_is_not_a_number": {mail.IMAP: "* OK [UIDVALIDITY NaN] hm", mail.POP3: "+OK NaN 0"},
		"a_size_that_is_not_a_number":  {mail.IMAP: "* OK [UIDNEXT -5] hm", mail.POP3: "+OK 3 1e9"},
		"a_validity_beyond_all":        {mail.IMAP: "* OK [UIDVALIDITY " + huge + "] hm", mail.POP3: "+OK 3 " + huge},
		"a_count_with_nothing_behind":  {mail.POP3: "+OK 3"},
		"no_count_at_all":              {mail.POP3: "+OK"},
	} {
		fault := faultCase{numbers: []int{130}, story: story, after: loggedIn, script: map[mail.Protocol]string{},
			phase: mail.PhaseMailbox, reason: mail.ProtocolMalformed}
		for p, line := range says {
			fault.script[p] = openMailbox[p] + "S: " + line + "\n" + map[mail.Protocol]string{mail.IMAP: "S: {tag} OK done\n"}[p] + "STALL"
		}
		cases = append(cases, fault)
	}
	// What may be odd and is a number all the same.
	return append(cases, faultCase{
		numbers: []int{130}, story: "the_largest_count_of_all", after: loggedIn,
		script: map[mail.Protocol]string{
			mail.IMAP: openMailbox[mail.IMAP] + "S: * 4294967295 EXISTS\nS: {tag} OK done\n{after opened}",
			mail.POP3: openMailbox[mail.POP3] + "S: +OK 4294967295 18446744073709551615 octets\n{after opened}"},
		check: func(t *testing.T, run faultRun) {
			if m := run.outcome.Mailbox; !m.Counted || m.Messages != 4294967295 {
				t.Errorf("counted %+v", m)
			}
		},
	})
}

// mailboxNames are names that must be written in a special way: RFC 3501
// sections 5.1.3 and 9.
func mailboxNames() []faultCase {
	var cases []faultCase
	for i, name := range []struct{ mailbox, wire string }{
		{"Archive 2026", `"Archive 2026"`},
		{"Tom & Jerry", `"Tom &- Jerry"`},
		{"~peter/mail/台北/日本語", `"~peter/mail/&U,BTFw-/&ZeVnLIqe-"`},
		{"Gelöschte Elemente", `"Gel&APY-schte Elemente"`},
		{"😀", `"&2D3eAA-"`},
		{`say "hi" \ bye`, `"say \"hi\" \\ bye"`},
		{"inbox", `INBOX`},
		{"100%*", `"100%\*"`},
	} {
		cases = append(cases, faultCase{
			numbers: []int{126}, story: fmt.Sprintf("the_name_of_a_mailbox_is_coded_%d", i+1), after: loggedIn,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} EXAMINE " + name.wire + "\nS: * 3 EXISTS\nS: {tag} OK done\n{after opened}"},
			change: func(c *mail.Connection) { c.Mailbox = name.mailbox },
		})
	}
	return cases
}

// goodbyeFaults are ends that go wrong. None of them makes a probe fail.
func goodbyeFaults() []faultCase {
	said := map[mail.Protocol]string{mail.IMAP: "C: {tag} LOGOUT\n", mail.POP3: "C: QUIT\n", mail.SMTP: "C: QUIT\n"}
	fault := func(story string, goodbye mail.Reason, answer map[mail.Protocol]string) faultCase {
		r := faultCase{numbers: []int{127}, story: story, after: opened, script: map[mail.Protocol]string{}, goodbye: goodbye}
		for p, text := range answer {
			r.script[p] = said[p] + text
		}
		return r
	}
	silent := fault("the_goodbye_is_never_answered", mail.Timeout, every("STALL"))
	silent.check = func(t *testing.T, run faultRun) {
		if !run.reset {
			t.Error("a peer that is gone got no reset: the socket would be left in FIN_WAIT")
		}
		if d := phaseDuration(&run.outcome, mail.PhaseQuit); d != goodbyeTime {
			t.Errorf("the goodbye took %v, want %v", d, goodbyeTime)
		}
	}
	lazy := fault("the_server_does_not_close_after_its_goodbye", "", map[mail.Protocol]string{
		mail.IMAP: "S: * BYE\nS: {tag} OK\nSTALL", mail.POP3: "S: +OK\nSTALL", mail.SMTP: "S: 221 bye\nSTALL"})
	lazy.check = func(t *testing.T, run faultRun) {
		if run.reset {
			t.Error("a goodbye that was answered ended with a reset")
		}
	}
	refused := fault("the_maildrop_cannot_be_updated", mail.MailboxFailed, map[mail.Protocol]string{mail.POP3: "S: -ERR [SYS/TEMP] maildrop not updated"})
	refused.numbers, refused.goodbye = []int{128}, mail.ServerUnavailable
	stuck := faultCase{
		numbers: []int{128}, story: "the_maildrop_is_freed_although_it_cannot_be_counted_in_time", after: loggedIn,
		script: map[mail.Protocol]string{mail.POP3: "C: STAT\nC: QUIT\nS: +OK bye"},
		phase:  mail.PhaseMailbox, reason: mail.Timeout,
	}
	slow := strings.Repeat("farewell ", 100)
	return []faultCase{
		silent, lazy, refused, stuck,
		fault("the_server_hangs_up_on_the_goodbye", mail.Closed, every("CLOSE")),
		fault("the_server_resets_on_the_goodbye", mail.Reset, every("RESET")),
		fault("the_goodbye_is_answered_with_nonsense", mail.ProtocolMalformed, map[mail.Protocol]string{
			mail.IMAP: "S: what?\nSTALL", mail.POP3: "S: what?\nSTALL", mail.SMTP: "S: what?\nSTALL"}),
		{
			numbers: []int{127}, story: "a_goodbye_that_drips_is_not_waited_for_for_ever", after: opened,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} LOGOUT\nDRIP 300ms\nS: * BYE " + slow,
				mail.POP3: "C: QUIT\nDRIP 300ms\nS: +OK " + slow, mail.SMTP: "C: QUIT\nDRIP 300ms\nS: 221 " + slow},
			goodbye: mail.Timeout,
		},
		{
			numbers: []int{127}, story: "the_goodbye_ends_with_the_time_of_the_probe", after: opened,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} LOGOUT\nSTALL", mail.POP3: "C: QUIT\nSTALL", mail.SMTP: "C: QUIT\nSTALL"},
			change: func(c *mail.Connection) { c.Timeout = time.Second }, goodbye: mail.Timeout,
		},
	}
}
