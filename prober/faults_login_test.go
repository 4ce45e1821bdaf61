package prober

import (
	"context"
	"encoding/base64"
	"maps"
	"strings"
	"testing"

	"mailprobe/mail"
)

// loginFaults is section F of the catalogue: what a server can say to a login.
func loginFaults() []faultCase {
	cases := append(refusedLogins(), tokenFaults()...)
	cases = append(cases, exchangeFaults()...)
	cases = append(cases, echoFaults()...)
	return append(cases, endedLogins()...)
}

// plainLogin is what the probe says where PLAIN is offered.
var plainLogin = map[mail.Protocol]string{
	mail.IMAP: "C: {tag} AUTHENTICATE PLAIN *\n",
	mail.POP3: "C: AUTH PLAIN\nS: + \nC: *\n",
	mail.SMTP: "C: AUTH PLAIN *\n",
}

// answered puts an answer behind what the probe says, and a goodbye behind that.
func answered(said, answers map[mail.Protocol]string) map[mail.Protocol]string {
	scripts := map[mail.Protocol]string{}
	for p, answer := range answers {
		scripts[p] = said[p] + "S: " + answer + "\n{after opened}"
	}
	return scripts
}

// loginRefused is a fault in which the login gets a negative answer.
func loginRefused(number int, story string, reason mail.Reason, class mail.Class, answers map[mail.Protocol]string) faultCase {
	return faultCase{numbers: []int{number}, story: story, after: asked, script: answered(plainLogin, answers),
		phase: mail.PhaseAuth, reason: reason, check: wantClass(class)}
}

// wantClass checks what a failure means for the account: a hold or none.
func wantClass(class mail.Class) func(*testing.T, faultRun) {
	return func(t *testing.T, run faultRun) {
		o := run.outcome
		if got := o.Failure.Class(); got != class || o.Auth.Rejected != (class == mail.Definitive) {
			t.Errorf("class %c, rejected %v, want class %c", got, o.Auth.Rejected, class)
		}
	}
}

// refusedLogins are the verdicts on a password, and what only looks like one.
func refusedLogins() []faultCase {
	cases := []faultCase{
		loginRefused(92, "the_password_is_wrong", mail.AuthRejected, mail.Definitive, map[mail.Protocol]string{
			mail.IMAP: "{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
			mail.POP3: "-ERR [AUTH] Authentication failed.",
			mail.SMTP: "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"}),
		loginRefused(92, "the_password_is_wrong_without_a_code", mail.AuthRejected, mail.Definitive, map[mail.Protocol]string{
			mail.IMAP: "{tag} NO LOGIN failed.", mail.POP3: "-ERR Logon failure: unknown user name or bad password.", mail.SMTP: "535 Incorrect authentication data"}),
		loginRefused(93, "the_user_database_is_away", mail.AuthTemporary, mail.Transient, map[mail.Protocol]string{
			mail.IMAP: "{tag} NO [UNAVAILABLE] Temporary authentication failure.",
			mail.POP3: "-ERR [SYS/TEMP] Temporary authentication failure.",
			mail.SMTP: "454 4.7.0 Temporary authentication failure: Connection lost"}),
		loginRefused(94, "the_account_is_switched_off", mail.AuthDisabled, mail.Definitive, map[mail.Protocol]string{
			mail.IMAP: "{tag} NO [CONTACTADMIN] Account disabled",
			mail.POP3: "-ERR [SYS/PERM] Your account is not enabled for POP access.",
			mail.SMTP: "525 5.7.13 User account disabled"}),
		loginRefused(95, "the_password_has_expired", mail.AuthExpired, mail.Definitive, map[mail.Protocol]string{
			mail.IMAP: "{tag} NO [EXPIRED] That password isn't valid any more",
			mail.POP3: "-ERR [AUTH] Password expired",
			mail.SMTP: "535 5.7.8 Password expired"}),
		loginRefused(96, "a_password_of_the_application_is_wanted", mail.AuthMethodForbidden, mail.Definitive, map[mail.Protocol]string{
			mail.IMAP: "{tag} NO [ALERT] Application-specific password required: https://support.example.com/185833 (Failure)",
			mail.POP3: "-ERR [AUTH] Application-specific password required: https://support.example.com/185833",
			mail.SMTP: "534-5.7.9 Application-specific password required. Learn more at\nS: 534 5.7.9 https://support.example.com/185833"}),
		loginRefused(97, "too_many_sessions_of_the_account", mail.ServerLimit, mail.Transient, map[mail.Protocol]string{
			mail.IMAP: "{tag} NO [ALERT] Too many simultaneous connections. (Failure)",
			mail.POP3: "-ERR [SYS/TEMP] Too many connections.",
			mail.SMTP: "432 4.3.2 Concurrent connections limit exceeded. Visit https://support.example.com"}),
	}
	late := loginRefused(98, "the_no_is_held_back_for_seventeen_seconds", mail.AuthRejected, mail.Definitive, nil)
	late.script = map[mail.Protocol]string{}
	for p, no := range map[mail.Protocol]string{mail.IMAP: "{tag} NO [AUTHENTICATIONFAILED] Authentication failed.", mail.POP3: "-ERR [AUTH] Authentication failed.", mail.SMTP: "535 5.7.8 no"} {
		late.script[p] = plainLogin[p] + "DELAY 17s\nS: " + no + "\n{after opened}"
	}
	native := faultCase{
		numbers: []int{92}, story: "the_password_is_wrong_at_the_protocols_own_command", after: asked,
		script: map[mail.Protocol]string{
			mail.IMAP: "C: {tag} LOGIN \"alice\" {*}\nS: + go on\nC: *\nS: {tag} NO [AUTHENTICATIONFAILED] no\n{after opened}",
			mail.POP3: "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR [AUTH] no\n{after opened}"},
		change: func(c *mail.Connection) { c.Auth = mail.AuthLogin },
		phase:  mail.PhaseAuth, reason: mail.AuthRejected, check: wantClass(mail.Definitive),
	}
	return append(cases, late, native)
}

// helloWith is a hello that offers one mechanism.
func helloWith(mechanism string) map[mail.Protocol]string {
	return map[mail.Protocol]string{
		mail.IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 AUTH=" + mechanism + "\nS: {tag} OK done\nC: {tag} AUTHENTICATE " + mechanism + "\n",
		mail.POP3: "C: CAPA\nS: +OK\nS: SASL " + mechanism + "\nS: .\nC: AUTH " + mechanism + "\n",
		mail.SMTP: "C: EHLO *\nS: 250-mx\nS: 250 AUTH " + mechanism + "\nC~ ^AUTH " + mechanism + "\n",
	}
}

// goOn is an empty challenge, with the answer to it, for the protocols in which
// the first message does not come with the command.
var goOn = map[mail.Protocol]string{mail.IMAP: "S: + \nC: *\n", mail.POP3: "S: + \nC: *\n", mail.SMTP: ""}

// challenge prefixes base64, and no denies.
var (
	challenge = map[mail.Protocol]string{mail.IMAP: "S: + ", mail.POP3: "S: + ", mail.SMTP: "S: 334 "}
	no        = map[mail.Protocol]string{mail.IMAP: "S: {tag} NO [AUTHENTICATIONFAILED] no\n", mail.POP3: "S: -ERR [AUTH] no\n", mail.SMTP: "S: 535 5.7.8 no\n"}
)

// tokenFaults are refusals of OAuth2 tokens, which come as a challenge first.
func tokenFaults() []faultCase {
	fault := func(story string, method mail.AuthMethod, mechanism, says, farewell string) faultCase {
		r := faultCase{numbers: []int{99}, story: story, after: secured, token: method, script: map[mail.Protocol]string{},
			phase: mail.PhaseAuth, reason: mail.TokenRejected, check: wantClass(mail.Definitive)}
		for p, hello := range helloWith(mechanism) {
			r.script[p] = hello + goOn[p] + challenge[p] + says + "\nC: " + farewell + "\n" + no[p] + "{after opened}"
		}
		return r
	}
	status := base64.StdEncoding.EncodeToString([]byte(`{"status":"401","schemes":"bearer","scope":"https://mail.example.com/"}`))
	garbage := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("{[", 2500)))
	big := faultCase{numbers: []int{112}, story: "a_token_of_64_kib_is_sent_whole", after: secured, token: mail.AuthXOAuth2,
		script: map[mail.Protocol]string{}, change: func(c *mail.Connection) {
			c.Token = func(context.Context, bool) (mail.Secret, error) { return mail.NewSecret(bigToken), nil }
		}, check: wantBigToken}
	for p, hello := range helloWith("XOAUTH2") {
		big.script[p] = strings.Replace(hello, "C~ ^AUTH XOAUTH2", "C: AUTH XOAUTH2\nS: 334 \nC: *", 1) + goOn[p] +
			map[mail.Protocol]string{mail.IMAP: "S: {tag} OK in", mail.POP3: "S: +OK in", mail.SMTP: "S: 235 in"}[p] + "\n{after logged in}"
	}
	return []faultCase{
		fault("the_token_is_refused_in_json", mail.AuthXOAuth2, "XOAUTH2", status, ""),
		fault("the_bearer_is_refused_in_json", mail.AuthOAuthBearer, "OAUTHBEARER", status, "AQ=="),
		fault("the_token_is_refused_with_garbage", mail.AuthXOAuth2, "XOAUTH2", garbage, ""),
		big,
	}
}

var bigToken = strings.Repeat("0123456789abcdef", 4<<10)

// wantBigToken checks that the token arrived, and no command line over the
// limit of its protocol: 255 bytes with POP3 (RFC 2449 section 4), 12,288 with
// SMTP's AUTH (RFC 4954 section 4).
func wantBigToken(t *testing.T, run faultRun) {
	found := false
	for _, line := range run.session.Lines {
		if p := run.connection.Protocol; strings.HasPrefix(line, "AUTH ") && (p == mail.POP3 && len(line) > 253 || p == mail.SMTP && len(line) > 12286) {
			t.Errorf("a command line of %d bytes", len(line))
		}
		decoded, err := base64.StdEncoding.DecodeString(line)
		found = found || err == nil && strings.Contains(string(decoded), "auth=Bearer "+bigToken+"\x01\x01")
	}
	if !found {
		t.Error("the token did not arrive whole")
	}
}

// exchangeFaults are exchanges that go astray.
func exchangeFaults() []faultCase {
	cram, plain, endless := map[mail.Protocol]string{}, map[mail.Protocol]string{}, map[mail.Protocol]string{}
	for p, hello := range helloWith("CRAM-MD5") {
		cram[p] = hello + challenge[p] + "this is *not* base64\nC: \\*\n" + no[p] + "{after opened}"
	}
	for p, hello := range helloWith("XOAUTH2") {
		endless[p] = hello + goOn[p] + challenge[p] + "e30=\nC: \n" + challenge[p] + "e30=\nC: \\*\n" + no[p] + "{after opened}"
	}
	for p, hello := range helloWith("PLAIN") {
		plain[p] = hello + goOn[p] + map[mail.Protocol]string{mail.SMTP: "S: 334 \nC: *\n"}[p] +
			map[mail.Protocol]string{mail.IMAP: "S: {tag} OK in", mail.POP3: "S: +OK in", mail.SMTP: "S: 235 2.7.0 in"}[p] + "\n{after logged in}"
	}
	return []faultCase{
		{
			numbers: []int{100}, story: "the_mechanism_is_not_offered", after: asked, script: every("{after opened}"),
			change: func(c *mail.Connection) { c.Auth = mail.AuthCRAMMD5 },
			phase:  mail.PhaseAuth, reason: mail.AuthMechanism, notTried: true,
		},
		{
			numbers: []int{101}, story: "a_challenge_that_is_not_base64_is_cancelled", after: secured, script: cram,
			change: func(c *mail.Connection) { c.Auth = mail.AuthCRAMMD5 },
			phase:  mail.PhaseAuth, reason: mail.ProtocolMalformed, unsent: true,
		},
		{
			numbers: []int{102}, story: "a_challenge_too_many_is_cancelled", after: secured, script: endless,
			token: mail.AuthXOAuth2, phase: mail.PhaseAuth, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{103}, story: "an_empty_challenge_asks_for_the_password_again", after: secured, script: plain,
		},
		{
			numbers: []int{107}, story: "only_the_answer_to_our_login_counts", after: asked,
			script: map[mail.Protocol]string{
				mail.IMAP: plainLogin[mail.IMAP] + "S: * OK [CAPABILITY IMAP4rev1] Logged in\nS: {tag} NO [AUTHENTICATIONFAILED] no\n{after opened}"},
			phase: mail.PhaseAuth, reason: mail.AuthRejected,
		},
		{
			numbers: []int{107}, story: "an_ok_that_is_not_for_us", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: plainLogin[mail.IMAP] + "S: X99 OK Logged in\nSTALL", mail.POP3: plainLogin[mail.POP3] + "S: OK Logged in\nEOF",
				mail.SMTP: plainLogin[mail.SMTP] + "S: 250 2.7.0 Ok\nEOF"},
			phase: mail.PhaseAuth, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{107}, story: "an_ok_in_lower_case", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: "C~ ^T(?P<number>\\d+) AUTHENTICATE PLAIN\nS: t{number} ok logged in\n{after logged in}"},
		},
		{
			numbers: []int{113}, story: "a_literal_is_not_understood", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} LOGIN \"alice\" {*}\nS: {tag} BAD Literals are not supported\n{after opened}"},
			change: func(c *mail.Connection) { c.Auth = mail.AuthLogin },
			phase:  mail.PhaseAuth, reason: mail.CommandRejected, check: wantClass(mail.Transient),
		},
		{
			numbers: []int{113}, story: "a_literal_is_not_wanted", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} LOGIN \"alice\" {*}\nS: {tag} NO Literal too large\n{after opened}"},
			change: func(c *mail.Connection) { c.Auth = mail.AuthLogin },
			phase:  mail.PhaseAuth, reason: mail.CommandRejected, check: wantClass(mail.Transient),
		},
	}
}

// echoFaults are servers that say back what they were told.
func echoFaults() []faultCase {
	words := `{secret} {base64} {half}`
	echo := func(number int, story string, answers map[mail.Protocol]string) faultCase {
		return loginRefused(number, story, mail.AuthRejected, mail.Definitive, answers)
	}
	blob := faultCase{numbers: []int{109}, story: "the_server_repeats_the_credential_line", after: asked,
		script: map[mail.Protocol]string{
			mail.IMAP: `C~ ^(?P<tag>\S+) AUTHENTICATE PLAIN (?P<blob>\S+)$` + "\nS: * OK you said {blob}\nS: {blob} OK\nSTALL",
			mail.POP3: `C: AUTH PLAIN` + "\nS: + \n" + `C~ ^(?P<blob>\S+)$` + "\nS: -ERR [{blob}] {blob}\n{after opened}",
			mail.SMTP: `C~ ^AUTH PLAIN (?P<blob>\S+)$` + "\nS: 535-5.7.8 {blob}\nS: 535 5.7.8 {blob}\n{after opened}"},
		phase: mail.PhaseAuth, reason: mail.AuthRejected}
	imapBlob := blob
	imapBlob.story, imapBlob.reason = "the_server_repeats_the_credential_as_a_tag", mail.ProtocolMalformed
	imapBlob.script = map[mail.Protocol]string{mail.IMAP: blob.script[mail.IMAP]}
	blob.script = maps.Clone(blob.script)
	delete(blob.script, mail.IMAP)
	return []faultCase{
		echo(108, "the_server_repeats_the_password", map[mail.Protocol]string{
			mail.IMAP: "{tag} NO AUTHENTICATE " + words + ": unknown", mail.POP3: "-ERR Password " + words + " is wrong", mail.SMTP: "535 5.7.8 AUTH " + words}),
		echo(109, "the_server_hides_the_password_in_a_code", map[mail.Protocol]string{
			mail.IMAP: "{tag} NO [{base64}] no", mail.POP3: "-ERR [{base64}] no", mail.SMTP: "535 5.7.{base64} no"}),
		echo(109, "the_server_hides_the_password_in_a_code_of_letters", map[mail.Protocol]string{
			mail.IMAP: "{tag} NO [{hex}] no", mail.POP3: "-ERR [{hex}] no", mail.SMTP: "535 5.7.{hex} no"}),
		echo(109, "the_server_hides_the_password_beside_its_answer", map[mail.Protocol]string{
			mail.IMAP: "* NO [ALERT] {base64}\nS: * CAPABILITY {base64}\nS: {tag} NO no", mail.SMTP: "535-{half}\nS: 535 {base64}"}),
		blob, imapBlob,
		{
			numbers: []int{109}, story: "the_server_repeats_the_password_at_the_mailbox", after: loggedIn,
			script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} EXAMINE INBOX\nS: * OK [ALERT] " + words + "\nS: {tag} NO [NOPERM] " + words + "\n{after opened}",
				mail.SMTP: "C: MAIL FROM:*\nS: 550-5.7.1 " + words + "\nS: 550 5.7.1 {base64}\n{after opened}"},
			phase: mail.PhaseMailbox, reason: mail.MailboxDenied,
		},
		{
			numbers: []int{109}, story: "the_server_repeats_the_password_in_the_name_of_a_folder", after: loggedIn,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} NAMESPACE\n" +
				"S: * NAMESPACE NIL ((\"{hex}/\" \"/\")) ((\"{base64}\" \"{half}\"))\nS: {tag} OK done\n" +
				strings.Repeat("C: {tag} EXAMINE *\nS: {tag} NO [NOPERM] no\n", 4) + "{after opened}"},
			change: func(c *mail.Connection) { c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedFolder },
			phase:  mail.PhaseMailbox, reason: mail.MailboxDenied,
		},
		{
			numbers: []int{109}, story: "the_server_repeats_the_password_in_its_only_namespace", after: loggedIn,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} NAMESPACE\n" +
				"S: * NAMESPACE NIL ((\"{hex}\" NIL)) NIL\nS: {tag} OK done\nC: {tag} EXAMINE *\nS: * NO [ALERT] {base64}\nS: {tag} NO no\n{after opened}"},
			change: func(c *mail.Connection) { c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedFolder },
			phase:  mail.PhaseMailbox, reason: mail.MailboxMissing,
		},
		{
			numbers: []int{109}, story: "the_server_greets_with_the_password_of_the_last_time", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: "S: * OK " + words + "\n{after greeted}", mail.POP3: "S: +OK " + words + "\n{after greeted}",
				mail.SMTP: "S: 220-{base64}\nS: 220-{secret}\nS: 220 {half}\n{after greeted}"},
		},
		{
			numbers: []int{109}, story: "the_server_turns_away_with_the_password_of_the_last_time", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: "S: * BYE [{hex}] " + words + "\nCLOSE", mail.POP3: "S: -ERR [{hex}] " + words + "\nCLOSE",
				mail.SMTP: "S: 554-{half}\nS: 554 5.7.1 {secret}\nC: QUIT\nS: 221 2.0.0 {hex}"},
			phase: mail.PhaseGreeting, reason: mail.ServerRefused,
		},
		{
			numbers: []int{109}, story: "the_server_says_the_password_for_goodbye", after: loggedIn,
			script: map[mail.Protocol]string{mail.POP3: "C: STAT\nS: -ERR " + words + "\nC: QUIT\nS: +OK " + words},
			phase:  mail.PhaseMailbox, reason: mail.MailboxFailed,
		},
	}
}

// endedLogins are sessions that end around the login.
func endedLogins() []faultCase {
	hangUp := func(how string) map[mail.Protocol]string {
		return map[mail.Protocol]string{mail.IMAP: plainLogin[mail.IMAP] + how, mail.POP3: plainLogin[mail.POP3] + how, mail.SMTP: plainLogin[mail.SMTP] + how}
	}
	return []faultCase{
		{
			numbers: []int{104}, story: "the_server_hangs_up_on_the_password", after: asked, script: hangUp("CLOSE"),
			phase: mail.PhaseAuth, reason: mail.Closed, check: wantClass(mail.Possible),
		},
		{
			numbers: []int{104}, story: "the_server_resets_on_the_password", after: asked, script: hangUp("RESET"),
			phase: mail.PhaseAuth, reason: mail.Reset, check: wantClass(mail.Possible),
		},
		{
			numbers: []int{104}, story: "the_server_says_bye_to_the_password", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: plainLogin[mail.IMAP] + "S: * BYE Too bad\nCLOSE"},
			phase:  mail.PhaseAuth, reason: mail.Closed, check: wantClass(mail.Possible),
		},
		{
			numbers: []int{104}, story: "an_untagged_bad_of_unknown_words_and_the_end", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: plainLogin[mail.IMAP] + "S: * BAD Too bad\nCLOSE"},
			phase:  mail.PhaseAuth, reason: mail.Closed, check: wantClass(mail.Possible),
		},
		{
			numbers: []int{104}, story: "an_untagged_bad_before_the_answer", after: asked,
			script: map[mail.Protocol]string{mail.IMAP: plainLogin[mail.IMAP] + "S: * BAD internal server error\nS: {tag} NO LOGIN failed.\n{after opened}"},
			phase:  mail.PhaseAuth, reason: mail.AuthRejected, check: wantClass(mail.Definitive),
		},
		{
			numbers: []int{105}, story: "the_server_says_bye_after_the_login", after: loggedIn,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} EXAMINE INBOX\nS: * BYE Shutting down this session\nCLOSE"},
			phase:  mail.PhaseMailbox, reason: mail.Closed,
		},
		{
			numbers: []int{105}, story: "the_server_hangs_up_after_the_login", after: loggedIn,
			script: map[mail.Protocol]string{mail.POP3: "C: STAT\nCLOSE", mail.SMTP: "C: MAIL FROM:*\nCLOSE", mail.IMAP: "C: {tag} EXAMINE INBOX\nCLOSE"},
			phase:  mail.PhaseMailbox, reason: mail.Closed,
		},
		{
			numbers: []int{105}, story: "the_server_goes_down_after_the_login", after: loggedIn,
			script: map[mail.Protocol]string{mail.SMTP: "C: MAIL FROM:*\nS: 421 4.3.2 Going down\nCLOSE"},
			phase:  mail.PhaseMailbox, reason: mail.ServerUnavailable,
		},
		{
			numbers: []int{106}, story: "the_user_is_right_and_the_mailbox_is_not_theirs", after: loggedIn,
			script: map[mail.Protocol]string{mail.IMAP: "C: {tag} EXAMINE INBOX\nS: {tag} BAD User is authenticated but not connected.\n{after opened}"},
			phase:  mail.PhaseMailbox, reason: mail.NotAuthorized,
		},
	}
}
