package prober

import (
	"fmt"
	"strings"
	"testing"

	"mailprobe/mail"
)

// starttlsFaults is section E of the catalogue: what a server can do with its
// capabilities, and around STARTTLS.
func starttlsFaults() []faultCase {
	cases := append(offerFaults(), answerFaults()...)
	cases = append(cases, injectionFaults()...)
	cases = append(cases, secondListFaults()...)
	cases = append(cases, capabilityFaults()...)
	return append(cases, asideFaults()...)
}

var onlyStartTLS = []mail.Encryption{mail.StartTLS}

// offerFaults are servers, or people in between, that do not offer STARTTLS.
func offerFaults() []faultCase {
	return []faultCase{
		{
			numbers: []int{76}, story: "starttls_is_stripped_from_the_list", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 XSTARTTLS AUTH=PLAIN\nS: {tag} OK done\nBYE imap",
				mail.POP3: "C: CAPA\nS: +OK\nS: XSTLS\nS: USER\nS: SASL PLAIN\nS: .\nBYE pop3",
				mail.SMTP: "C: EHLO *\nS: 250-mx\nS: 250-XXXXXXXA\nS: 250 AUTH PLAIN\nBYE smtp"},
			phase: mail.PhaseStartTLS, reason: mail.StartTLSNotOffered,
		},
		{
			numbers: []int{76}, story: "a_server_without_a_list_offers_no_starttls", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\nS: {tag} OK nothing\nBYE imap",
				mail.POP3: "C: CAPA\nS: -ERR unknown command\nBYE pop3",
				mail.SMTP: "C: EHLO *\nS: 250 mx\nBYE smtp"},
			phase: mail.PhaseStartTLS, reason: mail.StartTLSNotOffered,
		},
		{
			numbers: []int{76}, story: "a_word_in_a_text_is_no_offer", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\nS: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi\nS: * CAPABILITY IMAP4rev1\nS: {tag} OK STARTTLS\nBYE imap",
				mail.POP3: "C: CAPA\nS: +OK STLS follows\nS: TOP STLS\nS: .\nBYE pop3",
				mail.SMTP: "C: EHLO *\nS: 250-STARTTLS\nS: 250 X-NO STARTTLS\nBYE smtp"},
			phase: mail.PhaseStartTLS, reason: mail.StartTLSNotOffered,
		},
		{
			numbers: []int{86}, story: "an_old_server_knows_no_ehlo_and_so_no_starttls", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.SMTP: "C: EHLO *\nS: 500 5.5.1 Command unrecognized\nBYE smtp"},
			phase:  mail.PhaseHello, reason: mail.StartTLSNotOffered,
		},
		{
			numbers: []int{86}, story: "an_old_server_without_ehlo_takes_no_login", after: greeted,
			encryptions: []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS},
			script:      map[mail.Protocol]string{mail.SMTP: "C: EHLO *\nS: 500 5.5.1 Command unrecognized\nBYE smtp"},
			phase:       mail.PhaseHello, reason: mail.CommandRejected,
		},
		{
			numbers: []int{86}, story: "an_old_server_without_ehlo_takes_helo_where_no_login_is_wanted", after: greeted,
			encryptions: []mail.Encryption{mail.NoEncryption},
			script:      map[mail.Protocol]string{mail.SMTP: "C: EHLO *\nS: 502 5.5.1 Command not implemented\nC: HELO *\nS: 250 mx\nBYE smtp"},
			change:      func(c *mail.Connection) { c.Username, c.Sender = "", "" },
		},
		{
			numbers: []int{86}, story: "a_server_going_down_at_ehlo_is_no_server_without_starttls", after: greeted,
			script: map[mail.Protocol]string{mail.SMTP: "C: EHLO *\nS: 421 4.3.2 Going down\nCLOSE"},
			phase:  mail.PhaseHello, reason: mail.ServerUnavailable,
		},
	}
}

// startTLSAnswered is a fault in which STARTTLS gets the given answers.
func startTLSAnswered(number int, story string, reason mail.Reason, answers map[mail.Protocol]string) faultCase {
	script := map[mail.Protocol]string{}
	for p, answer := range answers {
		script[p] = strings.TrimSuffix(honestParts[p].starttls[:strings.LastIndex(honestParts[p].starttls, "S: ")], "\n") + "\n" + answer
	}
	fault := faultCase{numbers: []int{number}, story: story, after: greeted, encryptions: onlyStartTLS,
		script: script, phase: mail.PhaseStartTLS, reason: reason}
	if reason == mail.TLSPlaintext || reason == mail.TLSHandshake || reason == mail.StartTLSInjected || reason == mail.Closed || reason == mail.Reset {
		fault.phase = mail.PhaseTLS
	}
	return fault
}

// answerFaults are answers to STARTTLS that are no go-ahead.
func answerFaults() []faultCase {
	return []faultCase{
		startTLSAnswered(77, "starttls_is_refused", mail.StartTLSRefused, map[mail.Protocol]string{
			mail.IMAP: "S: {tag} NO TLS is broken today\nBYE imap", mail.POP3: "S: -ERR TLS is broken today\nBYE pop3",
			mail.SMTP: "S: 454 4.7.0 TLS not available due to temporary reason\nBYE smtp"}),
		startTLSAnswered(77, "starttls_is_not_known_after_all", mail.StartTLSRefused, map[mail.Protocol]string{
			mail.IMAP: "S: {tag} BAD Unknown command\nBYE imap", mail.POP3: "S: -ERR [SYS/TEMP] not now\nBYE pop3",
			mail.SMTP: "S: 502 5.5.1 Not implemented\nBYE smtp"}),
		startTLSAnswered(78, "starttls_is_answered_with_a_continuation", mail.ProtocolMalformed, map[mail.Protocol]string{
			mail.IMAP: "S: + go ahead\nEOF", mail.POP3: "S: + go ahead\nEOF", mail.SMTP: "S: 354 go ahead\nEOF"}),
		startTLSAnswered(78, "starttls_is_answered_for_somebody_else", mail.ProtocolMalformed, map[mail.Protocol]string{
			mail.IMAP: "S: X99 OK begin\nEOF", mail.POP3: "S: OK begin\nEOF", mail.SMTP: "S: 250 2.0.0 Ok\nEOF"}),
		startTLSAnswered(78, "starttls_is_answered_without_a_word", mail.ProtocolMalformed, map[mail.Protocol]string{
			mail.IMAP: "S: {tag}\nEOF", mail.POP3: "SEND \"\\r\\n\"\nEOF", mail.SMTP: "S: 22\nEOF"}),
		startTLSAnswered(78, "an_untagged_go_ahead_is_none", mail.Timeout, map[mail.Protocol]string{
			mail.IMAP: "S: * OK [X] begin TLS now\nSTALL"}),
	}
}

// injectionFaults are bytes in clear text that an attacker wants us to treat as
// the server's after TLS.
func injectionFaults() []faultCase {
	together := map[mail.Protocol]string{
		mail.IMAP: `SEND "{tag} OK begin\r\n* OK [CAPABILITY IMAP4rev1 AUTH=LOGIN] evil\r\n"`,
		mail.POP3: `SEND "+OK begin\r\n+OK evil\r\n"`,
		mail.SMTP: `SEND "220 begin\r\n250 evil\r\n"`,
	}
	half := map[mail.Protocol]string{
		mail.IMAP: `SEND "{tag} OK begin\r\n* O"`, mail.POP3: `SEND "+OK begin\r\n+"`, mail.SMTP: `SEND "220 begin\r\n2"`,
	}
	later, noise := map[mail.Protocol]string{}, map[mail.Protocol]string{}
	for p, says := range map[mail.Protocol]string{mail.IMAP: "{tag} OK begin", mail.POP3: "+OK begin", mail.SMTP: "220 begin"} {
		later[p] = "S: " + says + "\nDELAY 5ms\nS: " + map[mail.Protocol]string{mail.IMAP: "* OK evil", mail.POP3: "+OK evil", mail.SMTP: "250 evil"}[p] + "\nSTALL"
		noise[p] = "S: " + says + "\nREAD 5\n" + `SEND "\x16\x03\x03\x00\x04evil"` + "\nSTALL"
	}
	return []faultCase{
		startTLSAnswered(79, "a_line_injected_behind_the_go_ahead", mail.StartTLSInjected, withEOF(together)),
		startTLSAnswered(79, "half_a_line_injected_behind_the_go_ahead", mail.StartTLSInjected, withEOF(half)),
		startTLSAnswered(80, "a_line_injected_before_the_handshake", mail.TLSPlaintext, later),
		startTLSAnswered(80, "a_record_injected_into_the_handshake", mail.TLSHandshake, noise),
	}
}

// withEOF adds that the client must close without another word.
func withEOF(scripts map[mail.Protocol]string) map[mail.Protocol]string {
	ended := map[mail.Protocol]string{}
	for p, script := range scripts {
		ended[p] = script + "\nEOF"
	}
	return ended
}

// secondListFaults are servers that say one thing before TLS and another after.
func secondListFaults() []faultCase {
	before := map[mail.Protocol]string{
		mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS SASL-IR AUTH=PLAIN AUTH=CRAM-MD5\nS: {tag} OK done\nC: {tag} STARTTLS\nS: {tag} OK begin\nTLS\n",
		mail.POP3: "C: CAPA\nS: +OK\nS: STLS\nS: USER\nS: SASL PLAIN CRAM-MD5\nS: .\nC: STLS\nS: +OK\nTLS\n",
		mail.SMTP: "C: EHLO *\nS: 250-mx\nS: 250-STARTTLS\nS: 250 AUTH PLAIN CRAM-MD5\nC: STARTTLS\nS: 220 go\nTLS\n",
	}
	nothing := map[mail.Protocol]string{
		mail.IMAP: before[mail.IMAP] + "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 IDLE LOGINDISABLED\nS: {tag} OK done\nBYE imap",
		mail.POP3: before[mail.POP3] + "C: CAPA\nS: +OK\nS: TOP\nS: SASL\nS: .\nBYE pop3",
		mail.SMTP: before[mail.SMTP] + "C: EHLO *\nS: 250-mx\nS: 250 8BITMIME\nBYE smtp",
	}
	return []faultCase{
		{
			numbers: []int{81}, story: "starttls_offered_again_inside_tls", after: secured,
			encryptions: []mail.Encryption{mail.ImplicitTLS, mail.StartTLS},
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 SASL-IR STARTTLS AUTH=PLAIN\nS: {tag} OK done\n{after asked}",
				mail.POP3: "C: CAPA\nS: +OK\nS: STLS\nS: SASL PLAIN\nS: .\n{after asked}",
				mail.SMTP: "C: EHLO *\nS: 250-mx\nS: 250-STARTTLS\nS: 250 AUTH PLAIN\n{after asked}"},
			check: func(t *testing.T, run faultRun) {
				if run.session.Handshakes != 1 {
					t.Errorf("%d handshakes", run.session.Handshakes)
				}
			},
		},
		{
			numbers: []int{82}, story: "the_list_after_tls_is_the_one_that_counts", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: before[mail.IMAP] + "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 AUTH=PLAIN\nS: {tag} OK done\n" +
					"C: {tag} AUTHENTICATE PLAIN\nS: + \nC~ ^[A-Za-z0-9+/=]+$\nS: {tag} OK in\n{after logged in}",
				mail.POP3: before[mail.POP3] + "C: CAPA\nS: +OK\nS: USER\nS: .\nC: USER alice\nS: +OK\nC: PASS *\nS: +OK in\n{after logged in}",
				mail.SMTP: before[mail.SMTP] + "C: EHLO *\nS: 250-mx\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC~ ^YWxpY2U=$\n" +
					"S: 334 UGFzc3dvcmQ6\nC: *\nS: 235 in\n{after logged in}"},
		},
		{
			numbers: []int{83}, story: "logins_were_offered_before_tls_alone", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.SMTP: nothing[mail.SMTP]},
			phase:  mail.PhaseAuth, reason: mail.AuthMechanism, notTried: true,
		},
		{
			numbers: []int{83}, story: "no_list_after_tls_is_not_the_list_before", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: before[mail.IMAP] + "C: {tag} CAPABILITY\nS: {tag} OK nothing\nBYE imap",
				mail.POP3: before[mail.POP3] + "C: CAPA\nS: -ERR unknown command\nBYE pop3",
				mail.SMTP: before[mail.SMTP] + "C: EHLO *\nS: 250 mx\nBYE smtp"},
			change: func(c *mail.Connection) { c.Auth = mail.AuthPlain },
			phase:  mail.PhaseAuth, reason: mail.AuthMechanism, notTried: true,
		},
		{
			numbers: []int{83}, story: "a_mechanism_offered_before_tls_alone", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: before[mail.IMAP] + "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 AUTH=PLAIN\nS: {tag} OK done\nBYE imap",
				mail.POP3: before[mail.POP3] + "C: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nBYE pop3",
				mail.SMTP: before[mail.SMTP] + "C: EHLO *\nS: 250-mx\nS: 250 AUTH PLAIN\nBYE smtp"},
			change: func(c *mail.Connection) { c.Auth = mail.AuthCRAMMD5 },
			phase:  mail.PhaseAuth, reason: mail.AuthMechanism, notTried: true,
		},
		{
			numbers: []int{84}, story: "logins_are_disabled_inside_tls", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: nothing[mail.IMAP]},
			phase:  mail.PhaseAuth, reason: mail.AuthNeedsTLS, notTried: true,
		},
		{
			numbers: []int{84}, story: "logins_are_disabled", after: greeted,
			encryptions: []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS},
			script:      map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\nS: {tag} OK done\nBYE imap"},
			phase:       mail.PhaseAuth, reason: mail.AuthNeedsTLS, notTried: true,
		},
	}
}

// capabilityFaults are lists that do not end, or say odd things.
func capabilityFaults() []faultCase {
	return []faultCase{
		{
			numbers: []int{85}, story: "the_list_is_never_completed", after: greeted,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\nSTALL",
				mail.POP3: "C: CAPA\nS: +OK\nS: STLS\nS: SASL PLAIN\nSTALL",
				mail.SMTP: "C: EHLO *\nS: 250-mx\nS: 250-STARTTLS\nS: 250-AUTH PLAIN\nSTALL"},
			phase: mail.PhaseHello, reason: mail.Timeout,
		},
		{
			numbers: []int{85}, story: "a_million_capabilities", after: greeted,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\nSEND \"* CAPABILITY\"\nREPEAT 1000000 SEND \" X-EVIL\"",
				mail.POP3: "C: CAPA\nS: +OK\nREPEAT 1000000 S: X-EVIL",
				mail.SMTP: "C: EHLO *\nREPEAT 1000000 S: 250-X-EVIL"},
			phase: mail.PhaseHello, reason: mail.ProtocolOversize,
		},
		{
			numbers: []int{85}, story: "a_hundred_lists_where_one_was_asked_for", after: greeted,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nREPEAT 101 S: * CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\nSTALL"},
			phase:  mail.PhaseHello, reason: mail.ProtocolOversize,
		},
		{
			numbers: []int{85}, story: "capabilities_full_of_brackets", after: greeted,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 ((((( STARTTLS\nSTALL"},
			phase:  mail.PhaseHello, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{87}, story: "an_old_server_that_is_not_rev1_but_works", after: secured,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4 SASL-IR AUTH=PLAIN\nS: {tag} OK done\n{after asked}"},
		},
		{
			numbers: []int{87}, story: "an_old_server_that_knows_no_examine", after: secured,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4 SASL-IR AUTH=PLAIN\nS: {tag} OK done\n" +
				honestParts[mail.IMAP].login + "\nC: {tag} EXAMINE INBOX\nS: {tag} BAD Unknown command\nBYE imap"},
			phase: mail.PhaseMailbox, reason: mail.CommandRejected,
		},
		{
			numbers: []int{88}, story: "sasl_ir_is_offered_and_not_understood", after: asked,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} AUTHENTICATE PLAIN *\nS: {tag} BAD Too many arguments\nBYE imap",
				mail.SMTP: "C: AUTH PLAIN *\nS: 501 5.5.4 Syntax: AUTH mechanism\nBYE smtp"},
			phase: mail.PhaseAuth, reason: mail.CommandRejected,
		},
	}
}

// asideFaults are responses that were not asked for.
func asideFaults() []faultCase {
	aside := fmt.Sprintf("S: * LIST (%s) \"/\" INBOX\nS: * 1 FETCH (FLAGS (\\Seen) BODY {4}\nSEND \"ab\\r\\n\"\nS: )\nS: * SEARCH 1 2 3\n", `\Noselect`)
	return []faultCase{
		{
			numbers: []int{89}, story: "a_referral_to_another_server_is_not_followed", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} AUTHENTICATE PLAIN *\n" +
				"S: {tag} NO [REFERRAL imap://alice;AUTH=*@EVIL.example.com/] Go there\nBYE imap"},
			phase: mail.PhaseAuth, reason: mail.AuthRejected, check: noEvil,
		},
		{
			numbers: []int{89}, story: "a_referral_with_an_ok_is_not_followed", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} AUTHENTICATE PLAIN *\n" +
				"S: {tag} OK [REFERRAL imap://EVIL.example.com/] Better there\n{after logged in}"},
			check: noEvil,
		},
		{
			numbers: []int{89}, story: "a_recipient_who_moved_is_not_followed", after: loggedIn,
			script: map[mail.Protocol]string{mail.SMTP: "C: MAIL FROM:*\nS: 250 Ok\nC: RCPT TO:<bob@example.org>\n" +
				"S: 551 5.1.6 User not local; please try <bob@EVIL.example.com>\nBYE smtp"},
			change: func(c *mail.Connection) { c.Recipient = "bob@example.org" },
			phase:  mail.PhaseMailbox, reason: mail.MailboxMissing, check: noEvil,
		},
		{
			numbers: []int{89}, story: "capabilities_at_the_wrong_time_change_nothing", after: loggedIn,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} EXAMINE INBOX\nS: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\n" +
				"S: * 3 EXISTS\nS: {tag} OK [CAPABILITY (] done\n{after opened}"},
		},
		{
			numbers: []int{90}, story: "mail_data_before_the_login_is_dropped", after: secured,
			script: map[mail.Protocol]string{mail.IMAP: aside + "C: {tag} CAPABILITY\n" + aside +
				"S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\n" + aside + "S: {tag} OK done\n{after asked}"},
		},
		{
			numbers: []int{90}, story: "mail_data_in_clear_is_dropped", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nS: * LIST () \"/\" INBOX\nS: * SEARCH 1 2 3\nS: * 5 EXISTS\n" +
				"S: * CAPABILITY IMAP4rev1 STARTTLS\nS: {tag} OK done\nC: {tag} STARTTLS\nS: * 7 EXISTS\nS: {tag} OK\nTLS\n{after secured}"},
		},
		{
			numbers: []int{90}, story: "endless_mail_data_before_the_login", after: secured,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nREPEAT forever S: * LIST () \"/\" INBOX"},
			phase:  mail.PhaseHello, reason: mail.ProtocolOversize,
		},
		{
			numbers: []int{91}, story: "an_alert_before_tls_is_marked", after: connected, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: "S: * OK [ALERT] EVIL: call this number\nC: {tag} CAPABILITY\n" +
				"S: * NO [ALERT] EVIL again\nS: * CAPABILITY IMAP4rev1 STARTTLS\nS: {tag} OK [ALERT] EVIL\n" +
				"C: {tag} STARTTLS\nS: {tag} NO [ALERT] EVIL once more\nBYE imap"},
			phase: mail.PhaseStartTLS, reason: mail.StartTLSRefused, check: noEvil,
		},
		{
			numbers: []int{91}, story: "words_in_clear_before_starttls_are_marked", after: connected, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: "S: * BYE EVIL\nCLOSE", mail.POP3: "S: -ERR EVIL\nCLOSE", mail.SMTP: "S: 554 EVIL\nBYE smtp"},
			phase:  mail.PhaseGreeting, reason: mail.ServerRefused, check: noEvil,
		},
	}
}
