package prober

import (
	"context"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
)

// loginFaults is section F of the catalogue: what a server can say to a login.
func loginFaults() []faultRow {
	rows := append(refusedLogins(), tokenFaults()...)
	rows = append(rows, exchangeFaults()...)
	rows = append(rows, echoFaults()...)
	return append(rows, endedLogins()...)
}

// plainLogin is what the probe says where PLAIN is offered.
var plainLogin = map[Protocol]string{
	IMAP: "C: {tag} AUTHENTICATE PLAIN *\n",
	POP3: "C: AUTH PLAIN\nS: + \nC: *\n",
	SMTP: "C: AUTH PLAIN *\n",
}

// answered puts an answer behind what the probe says, and a goodbye behind that.
func answered(said, answers map[Protocol]string) map[Protocol]string {
	scripts := map[Protocol]string{}
	for p, answer := range answers {
		scripts[p] = said[p] + "S: " + answer + "\n{after opened}"
	}
	return scripts
}

// loginRefused is a row in which the login gets a negative answer.
func loginRefused(number int, story string, reason Reason, class Class, answers map[Protocol]string) faultRow {
	return faultRow{numbers: []int{number}, story: story, after: asked, script: answered(plainLogin, answers),
		phase: PhaseAuth, reason: reason, check: wantClass(class)}
}

// wantClass checks what a failure means for the account: a hold or none.
func wantClass(class Class) func(*testing.T, faultRun) {
	return func(t *testing.T, run faultRun) {
		o := run.outcome
		if got := o.Failure.Class(); got != class || o.Auth.Rejected != (class == Definitive) {
			t.Errorf("class %c, rejected %v, want class %c", got, o.Auth.Rejected, class)
		}
	}
}

// refusedLogins are the verdicts on a password, and what only looks like one.
func refusedLogins() []faultRow {
	rows := []faultRow{
		loginRefused(92, "the_password_is_wrong", AuthRejected, Definitive, map[Protocol]string{
			IMAP: "{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
			POP3: "-ERR [AUTH] Authentication failed.",
			SMTP: "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"}),
		loginRefused(92, "the_password_is_wrong_without_a_code", AuthRejected, Definitive, map[Protocol]string{
			IMAP: "{tag} NO LOGIN failed.", POP3: "-ERR Logon failure: unknown user name or bad password.", SMTP: "535 Incorrect authentication data"}),
		loginRefused(93, "the_user_database_is_away", AuthTemporary, Transient, map[Protocol]string{
			IMAP: "{tag} NO [UNAVAILABLE] Temporary authentication failure.",
			POP3: "-ERR [SYS/TEMP] Temporary authentication failure.",
			SMTP: "454 4.7.0 Temporary authentication failure: Connection lost"}),
		loginRefused(94, "the_account_is_switched_off", AuthDisabled, Definitive, map[Protocol]string{
			IMAP: "{tag} NO [CONTACTADMIN] Account disabled",
			POP3: "-ERR [SYS/PERM] Your account is not enabled for POP access.",
			SMTP: "525 5.7.13 User account disabled"}),
		loginRefused(95, "the_password_has_expired", AuthExpired, Definitive, map[Protocol]string{
			IMAP: "{tag} NO [EXPIRED] That password isn't valid any more",
			POP3: "-ERR [AUTH] Password expired",
			SMTP: "535 5.7.8 Password expired"}),
		loginRefused(96, "a_password_of_the_application_is_wanted", AuthMethodForbidden, Definitive, map[Protocol]string{
			IMAP: "{tag} NO [ALERT] Application-specific password required: https://support.example.com/185833 (Failure)",
			POP3: "-ERR [AUTH] Application-specific password required: https://support.example.com/185833",
			SMTP: "534-5.7.9 Application-specific password required. Learn more at\nS: 534 5.7.9 https://support.example.com/185833"}),
		loginRefused(97, "too_many_sessions_of_the_account", ServerLimit, Transient, map[Protocol]string{
			IMAP: "{tag} NO [ALERT] Too many simultaneous connections. (Failure)",
			POP3: "-ERR [SYS/TEMP] Too many connections.",
			SMTP: "432 4.3.2 Concurrent connections limit exceeded. Visit https://support.example.com"}),
	}
	late := loginRefused(98, "the_no_is_held_back_for_seventeen_seconds", AuthRejected, Definitive, nil)
	late.script = map[Protocol]string{}
	for p, no := range map[Protocol]string{IMAP: "{tag} NO [AUTHENTICATIONFAILED] Authentication failed.", POP3: "-ERR [AUTH] Authentication failed.", SMTP: "535 5.7.8 no"} {
		late.script[p] = plainLogin[p] + "DELAY 17s\nS: " + no + "\n{after opened}"
	}
	native := faultRow{
		numbers: []int{92}, story: "the_password_is_wrong_at_the_protocols_own_command", after: asked,
		script: map[Protocol]string{
			IMAP: "C: {tag} LOGIN \"alice\" {*}\nS: + go on\nC: *\nS: {tag} NO [AUTHENTICATIONFAILED] no\n{after opened}",
			POP3: "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR [AUTH] no\n{after opened}"},
		change: func(c *Connection) { c.Auth = AuthLogin },
		phase:  PhaseAuth, reason: AuthRejected, check: wantClass(Definitive),
	}
	return append(rows, late, native)
}

// helloWith is a hello that offers one mechanism.
func helloWith(mechanism string) map[Protocol]string {
	return map[Protocol]string{
		IMAP: "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 AUTH=" + mechanism + "\nS: {tag} OK done\nC: {tag} AUTHENTICATE " + mechanism + "\n",
		POP3: "C: CAPA\nS: +OK\nS: SASL " + mechanism + "\nS: .\nC: AUTH " + mechanism + "\n",
		SMTP: "C: EHLO *\nS: 250-mx\nS: 250 AUTH " + mechanism + "\nC~ ^AUTH " + mechanism + "\n",
	}
}

// goOn is an empty challenge, with the answer to it, for the protocols in which
// the first message does not come with the command.
var goOn = map[Protocol]string{IMAP: "S: + \nC: *\n", POP3: "S: + \nC: *\n", SMTP: ""}

// challenge prefixes base64, and no denies.
var (
	challenge = map[Protocol]string{IMAP: "S: + ", POP3: "S: + ", SMTP: "S: 334 "}
	no        = map[Protocol]string{IMAP: "S: {tag} NO [AUTHENTICATIONFAILED] no\n", POP3: "S: -ERR [AUTH] no\n", SMTP: "S: 535 5.7.8 no\n"}
)

// tokenFaults are refusals of OAuth2 tokens, which come as a challenge first.
func tokenFaults() []faultRow {
	row := func(story string, method AuthMethod, mechanism, says, farewell string) faultRow {
		r := faultRow{numbers: []int{99}, story: story, after: secured, token: method, script: map[Protocol]string{},
			phase: PhaseAuth, reason: TokenRejected, check: wantClass(Definitive)}
		for p, hello := range helloWith(mechanism) {
			r.script[p] = hello + goOn[p] + challenge[p] + says + "\nC: " + farewell + "\n" + no[p] + "{after opened}"
		}
		return r
	}
	status := base64.StdEncoding.EncodeToString([]byte(`{"status":"401","schemes":"bearer","scope":"https://mail.example.com/"}`))
	garbage := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("{[", 2500)))
	big := faultRow{numbers: []int{112}, story: "a_token_of_64_kib_is_sent_whole", after: secured, token: AuthXOAuth2,
		script: map[Protocol]string{}, change: func(c *Connection) {
			c.Token = func(context.Context, bool) (Secret, error) { return NewSecret(bigToken), nil }
		}, check: wantBigToken}
	for p, hello := range helloWith("XOAUTH2") {
		big.script[p] = strings.Replace(hello, "C~ ^AUTH XOAUTH2", "C: AUTH XOAUTH2\nS: 334 \nC: *", 1) + goOn[p] +
			map[Protocol]string{IMAP: "S: {tag} OK in", POP3: "S: +OK in", SMTP: "S: 235 in"}[p] + "\n{after logged in}"
	}
	return []faultRow{
		row("the_token_is_refused_in_json", AuthXOAuth2, "XOAUTH2", status, ""),
		row("the_bearer_is_refused_in_json", AuthOAuthBearer, "OAUTHBEARER", status, "AQ=="),
		row("the_token_is_refused_with_garbage", AuthXOAuth2, "XOAUTH2", garbage, ""),
		big,
	}
}

var bigToken = strings.Repeat("0123456789abcdef", 4<<10)

// wantBigToken checks that the token arrived, and no command line over the
// limit of its protocol: 255 bytes with POP3 (RFC 2449 section 4), 12,288 with
// SMTP's AUTH (RFC 4954 section 4).
func wantBigToken(t *testing.T, run faultRun) {
	found := false
	for _, line := range run.talk.Lines {
		if p := run.connection.Protocol; strings.HasPrefix(line, "AUTH ") && (p == POP3 && len(line) > 253 || p == SMTP && len(line) > 12286) {
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
func exchangeFaults() []faultRow {
	cram, plain, endless := map[Protocol]string{}, map[Protocol]string{}, map[Protocol]string{}
	for p, hello := range helloWith("CRAM-MD5") {
		cram[p] = hello + challenge[p] + "this is *not* base64\nC: \\*\n" + no[p] + "{after opened}"
	}
	for p, hello := range helloWith("XOAUTH2") {
		endless[p] = hello + goOn[p] + challenge[p] + "e30=\nC: \n" + challenge[p] + "e30=\nC: \\*\n" + no[p] + "{after opened}"
	}
	for p, hello := range helloWith("PLAIN") {
		plain[p] = hello + goOn[p] + map[Protocol]string{SMTP: "S: 334 \nC: *\n"}[p] +
			map[Protocol]string{IMAP: "S: {tag} OK in", POP3: "S: +OK in", SMTP: "S: 235 2.7.0 in"}[p] + "\n{after logged in}"
	}
	return []faultRow{
		{
			numbers: []int{100}, story: "the_mechanism_is_not_offered", after: asked, script: every("{after opened}"),
			change: func(c *Connection) { c.Auth = AuthCRAMMD5 },
			phase:  PhaseAuth, reason: AuthMechanism, unsaid: true,
		},
		{
			numbers: []int{101}, story: "a_challenge_that_is_not_base64_is_cancelled", after: secured, script: cram,
			change: func(c *Connection) { c.Auth = AuthCRAMMD5 },
			phase:  PhaseAuth, reason: ProtocolMalformed,
		},
		{
			numbers: []int{102}, story: "a_challenge_too_many_is_cancelled", after: secured, script: endless,
			token: AuthXOAuth2, phase: PhaseAuth, reason: ProtocolMalformed,
		},
		{
			numbers: []int{103}, story: "an_empty_challenge_asks_for_the_password_again", after: secured, script: plain,
		},
		{
			numbers: []int{107}, story: "only_the_answer_to_our_login_counts", after: asked,
			script: map[Protocol]string{
				IMAP: plainLogin[IMAP] + "S: * OK [CAPABILITY IMAP4rev1] Logged in\nS: {tag} NO [AUTHENTICATIONFAILED] no\n{after opened}"},
			phase: PhaseAuth, reason: AuthRejected,
		},
		{
			numbers: []int{107}, story: "an_ok_that_is_not_for_us", after: asked,
			script: map[Protocol]string{IMAP: plainLogin[IMAP] + "S: X99 OK Logged in\nSTALL", POP3: plainLogin[POP3] + "S: OK Logged in\nEOF",
				SMTP: plainLogin[SMTP] + "S: 250 2.7.0 Ok\nEOF"},
			phase: PhaseAuth, reason: ProtocolMalformed,
		},
		{
			numbers: []int{107}, story: "an_ok_in_lower_case", after: asked,
			script: map[Protocol]string{IMAP: "C~ ^T(?P<number>\\d+) AUTHENTICATE PLAIN\nS: t{number} ok logged in\n{after logged in}"},
		},
		{
			numbers: []int{113}, story: "a_literal_is_not_understood", after: asked,
			script: map[Protocol]string{IMAP: "C: {tag} LOGIN \"alice\" {*}\nS: {tag} BAD Literals are not supported\n{after opened}"},
			change: func(c *Connection) { c.Auth = AuthLogin },
			phase:  PhaseAuth, reason: CommandRejected, check: wantClass(Transient),
		},
		{
			numbers: []int{113}, story: "a_literal_is_not_wanted", after: asked,
			script: map[Protocol]string{IMAP: "C: {tag} LOGIN \"alice\" {*}\nS: {tag} NO Literal too large\n{after opened}"},
			change: func(c *Connection) { c.Auth = AuthLogin },
			phase:  PhaseAuth, reason: CommandRejected, check: wantClass(Transient),
		},
	}
}

// echoFaults are servers that say back what they were told.
func echoFaults() []faultRow {
	words := `{secret} {base64} {half}`
	echo := func(number int, story string, answers map[Protocol]string) faultRow {
		return loginRefused(number, story, AuthRejected, Definitive, answers)
	}
	blob := faultRow{numbers: []int{109}, story: "the_server_repeats_the_credential_line", after: asked,
		script: map[Protocol]string{
			IMAP: `C~ ^(?P<tag>\S+) AUTHENTICATE PLAIN (?P<blob>\S+)$` + "\nS: * OK you said {blob}\nS: {blob} OK\nSTALL",
			POP3: `C: AUTH PLAIN` + "\nS: + \n" + `C~ ^(?P<blob>\S+)$` + "\nS: -ERR [{blob}] {blob}\n{after opened}",
			SMTP: `C~ ^AUTH PLAIN (?P<blob>\S+)$` + "\nS: 535-5.7.8 {blob}\nS: 535 5.7.8 {blob}\n{after opened}"},
		phase: PhaseAuth, reason: AuthRejected}
	imapBlob := blob
	imapBlob.story, imapBlob.reason = "the_server_repeats_the_credential_as_a_tag", ProtocolMalformed
	imapBlob.script = map[Protocol]string{IMAP: blob.script[IMAP]}
	blob.script = maps.Clone(blob.script)
	delete(blob.script, IMAP)
	return []faultRow{
		echo(108, "the_server_repeats_the_password", map[Protocol]string{
			IMAP: "{tag} NO AUTHENTICATE " + words + ": unknown", POP3: "-ERR Password " + words + " is wrong", SMTP: "535 5.7.8 AUTH " + words}),
		echo(109, "the_server_hides_the_password_in_a_code", map[Protocol]string{
			IMAP: "{tag} NO [{base64}] no", POP3: "-ERR [{base64}] no", SMTP: "535 5.7.{base64} no"}),
		echo(109, "the_server_hides_the_password_in_a_code_of_letters", map[Protocol]string{
			IMAP: "{tag} NO [{hex}] no", POP3: "-ERR [{hex}] no", SMTP: "535 5.7.{hex} no"}),
		echo(109, "the_server_hides_the_password_beside_its_answer", map[Protocol]string{
			IMAP: "* NO [ALERT] {base64}\nS: * CAPABILITY {base64}\nS: {tag} NO no", SMTP: "535-{half}\nS: 535 {base64}"}),
		blob, imapBlob,
		{
			numbers: []int{109}, story: "the_server_repeats_the_password_at_the_mailbox", after: loggedIn,
			script: map[Protocol]string{
				IMAP: "C: {tag} EXAMINE INBOX\nS: * OK [ALERT] " + words + "\nS: {tag} NO [NOPERM] " + words + "\n{after opened}",
				SMTP: "C: MAIL FROM:*\nS: 550-5.7.1 " + words + "\nS: 550 5.7.1 {base64}\n{after opened}"},
			phase: PhaseMailbox, reason: MailboxDenied,
		},
		{
			numbers: []int{109}, story: "the_server_repeats_the_password_in_the_name_of_a_folder", after: loggedIn,
			script: map[Protocol]string{IMAP: "C: {tag} NAMESPACE\n" +
				"S: * NAMESPACE NIL ((\"{hex}/\" \"/\")) ((\"{base64}\" \"{half}\"))\nS: {tag} OK done\n" +
				strings.Repeat("C: {tag} EXAMINE *\nS: {tag} NO [NOPERM] no\n", 4) + "{after opened}"},
			change: func(c *Connection) { c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", SharedFolder },
			phase:  PhaseMailbox, reason: MailboxDenied,
		},
		{
			numbers: []int{109}, story: "the_server_greets_with_the_password_of_the_last_time", after: connected,
			script: map[Protocol]string{IMAP: "S: * OK " + words + "\n{after greeted}", POP3: "S: +OK " + words + "\n{after greeted}",
				SMTP: "S: 220-{base64}\nS: 220-{secret}\nS: 220 {half}\n{after greeted}"},
		},
		{
			numbers: []int{109}, story: "the_server_turns_away_with_the_password_of_the_last_time", after: connected,
			script: map[Protocol]string{IMAP: "S: * BYE [{hex}] " + words + "\nCLOSE", POP3: "S: -ERR [{hex}] " + words + "\nCLOSE",
				SMTP: "S: 554-{half}\nS: 554 5.7.1 {secret}\nC: QUIT\nS: 221 2.0.0 {hex}"},
			phase: PhaseGreeting, reason: ServerRefused,
		},
		{
			numbers: []int{109}, story: "the_server_says_the_password_for_goodbye", after: loggedIn,
			script: map[Protocol]string{POP3: "C: STAT\nS: -ERR " + words + "\nC: QUIT\nS: +OK " + words},
			phase:  PhaseMailbox, reason: MailboxFailed,
		},
	}
}

// endedLogins are sessions that end around the login.
func endedLogins() []faultRow {
	hangUp := func(how string) map[Protocol]string {
		return map[Protocol]string{IMAP: plainLogin[IMAP] + how, POP3: plainLogin[POP3] + how, SMTP: plainLogin[SMTP] + how}
	}
	return []faultRow{
		{
			numbers: []int{104}, story: "the_server_hangs_up_on_the_password", after: asked, script: hangUp("CLOSE"),
			phase: PhaseAuth, reason: Closed, check: wantClass(Possible),
		},
		{
			numbers: []int{104}, story: "the_server_resets_on_the_password", after: asked, script: hangUp("RESET"),
			phase: PhaseAuth, reason: Reset, check: wantClass(Possible),
		},
		{
			numbers: []int{104}, story: "the_server_says_bye_to_the_password", after: asked,
			script: map[Protocol]string{IMAP: plainLogin[IMAP] + "S: * BYE Too bad\nCLOSE"},
			phase:  PhaseAuth, reason: Closed, check: wantClass(Possible),
		},
		{
			numbers: []int{104}, story: "an_untagged_bad_of_unknown_words_and_the_end", after: asked,
			script: map[Protocol]string{IMAP: plainLogin[IMAP] + "S: * BAD Too bad\nCLOSE"},
			phase:  PhaseAuth, reason: Closed, check: wantClass(Possible),
		},
		{
			numbers: []int{104}, story: "an_untagged_bad_before_the_answer", after: asked,
			script: map[Protocol]string{IMAP: plainLogin[IMAP] + "S: * BAD internal server error\nS: {tag} NO LOGIN failed.\n{after opened}"},
			phase:  PhaseAuth, reason: AuthRejected, check: wantClass(Definitive),
		},
		{
			numbers: []int{105}, story: "the_server_says_bye_after_the_login", after: loggedIn,
			script: map[Protocol]string{IMAP: "C: {tag} EXAMINE INBOX\nS: * BYE Shutting down this session\nCLOSE"},
			phase:  PhaseMailbox, reason: Closed,
		},
		{
			numbers: []int{105}, story: "the_server_hangs_up_after_the_login", after: loggedIn,
			script: map[Protocol]string{POP3: "C: STAT\nCLOSE", SMTP: "C: MAIL FROM:*\nCLOSE", IMAP: "C: {tag} EXAMINE INBOX\nCLOSE"},
			phase:  PhaseMailbox, reason: Closed,
		},
		{
			numbers: []int{105}, story: "the_server_goes_down_after_the_login", after: loggedIn,
			script: map[Protocol]string{SMTP: "C: MAIL FROM:*\nS: 421 4.3.2 Going down\nCLOSE"},
			phase:  PhaseMailbox, reason: ServerUnavailable,
		},
		{
			numbers: []int{106}, story: "the_user_is_right_and_the_mailbox_is_not_theirs", after: loggedIn,
			script: map[Protocol]string{IMAP: "C: {tag} EXAMINE INBOX\nS: {tag} BAD User is authenticated but not connected.\n{after opened}"},
			phase:  PhaseMailbox, reason: NotAuthorized,
		},
	}
}
