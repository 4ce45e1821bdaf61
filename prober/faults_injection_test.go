package prober

// This file adds to section E of the catalogue what the published attacks on
// STARTTLS clients do beyond a stripped offer and an injected line: "Why TLS is
// better without STARTTLS", USENIX Security 2021. Their aim is always that
// something said in clear is believed, shown, followed or answered with a
// credential.

import (
	"strings"
	"testing"
	"testing/synctest"

	"mailprobe/mail"
)

// TestStartTLSAttacks plays them.
func TestStartTLSAttacks(t *testing.T) {
	fix := newFaultFixture(t)
	cases := append(stateAttacks(), referralAttacks()...)
	for _, fault := range append(cases, answerAttacks()...) {
		t.Run(faultName(&fault), func(t *testing.T) {
			t.Parallel()
			for _, pair := range fault.pairs() {
				t.Run(string(pair.protocol)+"_"+string(pair.encryption), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						run := fix.playInMemory(t, &fault, pair.protocol, pair.encryption)
						run.judge(t)
					})
				})
			}
		})
	}
}

// noEvil wants the attacker's word only in what people read of the server's words,
// and with its mark if it came in clear text before TLS.
func noEvil(t *testing.T, run faultRun) {
	t.Helper()
	o, marked := run.outcome, run.connection.Encryption == mail.StartTLS && run.outcome.TLS == nil
	var texts []string
	for _, line := range o.Transcript {
		texts = append(texts, line.Text)
	}
	if o.Failure != nil {
		texts = append(texts, o.Failure.Text)
		if strings.Contains(o.Failure.Advice(), "EVIL") {
			t.Errorf("the attacker's words are in the advice %q", o.Failure.Advice())
		}
	}
	for _, text := range texts {
		if marked && strings.Contains(text, "EVIL") && !strings.HasSuffix(text, notAuthenticated) {
			t.Errorf("the attacker's words are shown without their mark: %q", text)
		}
	}
}

// offered is what comes before the answer to STARTTLS.
var offered = map[mail.Protocol]string{
	mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\nS: {tag} OK done\nC: {tag} STARTTLS\n",
	mail.POP3: "C: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\n",
	mail.SMTP: "C: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n",
}

// stateAttacks put something into the client's memory before TLS.
func stateAttacks() []faultCase {
	return []faultCase{
		{
			numbers: []int{90}, story: "a_mailbox_counted_in_clear_is_not_the_one_reported", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nS: * 99 EXISTS\nS: * 9 RECENT\nS: * CAPABILITY IMAP4rev1 STARTTLS\n" +
				"S: {tag} OK done\nC: {tag} STARTTLS\nS: * 99 EXISTS\nS: {tag} OK begin\nTLS\n{after secured}"},
			check: func(t *testing.T, run faultRun) {
				if m := run.outcome.Mailbox; !m.Counted || m.Messages != 3 {
					t.Errorf("the mailbox holds %d messages (counted: %v), want the 3 told inside TLS", m.Messages, m.Counted)
				}
			},
		},
		{
			numbers: []int{82}, story: "capabilities_in_the_go_ahead_are_forgotten", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: offered[mail.IMAP] + "S: * CAPABILITY IMAP4rev1 AUTH=CRAM-MD5\n" +
				"S: {tag} OK [CAPABILITY IMAP4rev1 AUTH=CRAM-MD5] begin\nTLS\n{after secured}"},
			check: func(t *testing.T, run faultRun) {
				if got := run.outcome.Auth.Mechanism; got != mail.AuthPlain {
					t.Errorf("the login was by %q, want what is offered inside TLS", got)
				}
			},
		},
		{
			numbers: []int{83}, story: "a_weaker_method_offered_in_clear_is_not_taken", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.POP3: "C: CAPA\nS: +OK\nS: STLS\nS: USER\nS: SASL LOGIN\nS: .\nC: STLS\nS: +OK\nTLS\n{after secured}",
				mail.SMTP: "C: EHLO *\nS: 250-mx\nS: 250-AUTH LOGIN\nS: 250-AUTH=LOGIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n{after secured}"},
			check: func(t *testing.T, run faultRun) {
				if got := run.outcome.Auth.Mechanism; got != mail.AuthPlain {
					t.Errorf("the login was by %q, want what is offered inside TLS", got)
				}
			},
		},
		{
			numbers: []int{28}, story: "the_go_ahead_is_foretold_behind_the_list", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\n" + `SEND "* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done\r\nP2 OK begin\r\n"` + "\nEOF",
				mail.POP3: "C: CAPA\n" + `SEND "+OK\r\nSTLS\r\n.\r\n+OK begin\r\n"` + "\nEOF",
				mail.SMTP: "C: EHLO *\n" + `SEND "250-mx\r\n250 STARTTLS\r\n220 begin\r\n"` + "\nEOF"},
			phase: mail.PhaseStartTLS, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{28}, story: "the_list_is_foretold_behind_the_greeting", after: connected, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: sendAtOnce("* OK hi", "* CAPABILITY IMAP4rev1 STARTTLS", "P1 OK done", "P2 OK begin"),
				mail.POP3: sendAtOnce("+OK hi", "+OK", "STLS", ".", "+OK begin"),
				mail.SMTP: sendAtOnce("220 hi", "250-mx", "250 STARTTLS", "220 begin")},
			phase: mail.PhaseHello, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{72}, story: "a_session_that_is_said_to_be_open_already", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: offered[mail.IMAP] + "S: * PREAUTH EVIL is logged in\nEOF"},
			phase:  mail.PhaseStartTLS, reason: mail.ProtocolMalformed, check: noEvil,
		},
		{
			numbers: []int{72}, story: "a_session_that_is_open_already_inside_tls", after: secured, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} CAPABILITY\nS: * PREAUTH alice is logged in\nEOF"},
			phase:  mail.PhaseHello, reason: mail.ProtocolMalformed,
		},
	}
}

// referralAttacks send the client, and its password, elsewhere.
func referralAttacks() []faultCase {
	return []faultCase{
		{
			numbers: []int{89}, story: "a_goodbye_with_a_referral_is_not_followed", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: "S: * BYE [REFERRAL imap://alice;AUTH=*@EVIL.example.com/] Try there\nCLOSE"},
			phase:  mail.PhaseGreeting, reason: mail.ServerRefused,
		},
		{
			numbers: []int{89}, story: "a_preauth_with_a_referral_is_not_followed", after: connected, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: "S: * PREAUTH [REFERRAL imap://EVIL.example.com/] Hello\nEOF"},
			phase:  mail.PhaseGreeting, reason: mail.StartTLSNotOffered, check: noEvil,
		},
		{
			numbers: []int{89}, story: "a_mailbox_that_is_elsewhere_is_not_followed", after: loggedIn,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} EXAMINE INBOX\n" +
				"S: {tag} NO [REFERRAL imap://alice@EVIL.example.com/INBOX] Remote mailbox\nBYE imap"},
			phase: mail.PhaseMailbox, reason: mail.MailboxMissing, check: noEvil,
		},
		{
			numbers: []int{89}, story: "starttls_refused_with_a_referral", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.IMAP: offered[mail.IMAP] + "S: {tag} NO [REFERRAL imap://EVIL.example.com/] Try there\nBYE imap"},
			phase:  mail.PhaseStartTLS, reason: mail.StartTLSRefused, check: noEvil,
		},
	}
}

// answerAttacks ask for a credential in clear, or agree in an odd way.
func answerAttacks() []faultCase {
	return []faultCase{
		{
			numbers: []int{78}, story: "a_challenge_in_clear_is_not_answered", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\nS: + VXNlcm5hbWU6\nEOF",
				mail.SMTP: "C: EHLO *\nS: 334 VXNlcm5hbWU6\nEOF"},
			phase: mail.PhaseHello, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{77}, story: "starttls_is_refused_and_a_login_invited", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.IMAP: offered[mail.IMAP] + "S: * CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN\nS: {tag} NO [ALERT] EVIL: TLS is down, log in without\nBYE imap",
				mail.POP3: offered[mail.POP3] + "S: -ERR EVIL: TLS is down, log in without\nBYE pop3",
				mail.SMTP: offered[mail.SMTP] + "S: 454 4.7.0 EVIL: TLS is down, AUTH LOGIN PLAIN is fine\nBYE smtp"},
			phase: mail.PhaseStartTLS, reason: mail.StartTLSRefused, check: noEvil,
		},
		{
			numbers: []int{79}, story: "a_go_ahead_of_two_lines_with_a_reply_hidden_behind_it", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.POP3: offered[mail.POP3] + `SEND "+OK begin\r\nSASL PLAIN\r\n.\r\n"` + "\nEOF",
				mail.SMTP: offered[mail.SMTP] + `SEND "220-begin\r\n220 begin\r\n250-EVIL\r\n250 AUTH PLAIN\r\n"` + "\nEOF"},
			phase: mail.PhaseTLS, reason: mail.StartTLSInjected, check: noEvil,
		},
		{
			numbers: []int{79}, story: "replies_queued_behind_the_capabilities", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{
				mail.POP3: "C: CAPA\n" + `SEND "+OK\r\nSTLS\r\n.\r\n+OK begin\r\n"` + "\nEOF",
				mail.SMTP: "C: EHLO *\n" + `SEND "250-mx\r\n250 STARTTLS\r\n220 begin\r\n"` + "\nEOF"},
			phase: mail.PhaseStartTLS, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{57}, story: "an_honest_go_ahead_of_two_lines", after: greeted, encryptions: onlyStartTLS,
			script: map[mail.Protocol]string{mail.SMTP: offered[mail.SMTP] + "S: 220-2.0.0 Ready\nS: 220 2.0.0 to start TLS\nTLS\n{after secured}"},
		},
	}
}
