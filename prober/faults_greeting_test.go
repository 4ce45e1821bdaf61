package prober

import (
	"strings"
	"testing"
	"unicode/utf8"

	"mailprobe/mail"
)

// greetingFaults is section D of the catalogue: what a server can say first.
func greetingFaults() []faultCase {
	cases := []faultCase{
		{
			numbers: []int{61}, story: "a_greeting_of_fifty_lines_is_read_to_its_end", after: connected,
			script: map[mail.Protocol]string{mail.SMTP: "REPEAT 49 S: 220-mx.example.org says a lot\n{after connected}"},
		},
		{
			numbers: []int{61}, story: "a_greeting_of_a_hundred_and_one_lines_is_too_long", after: connected,
			script: map[mail.Protocol]string{mail.SMTP: "REPEAT 101 S: 220-mx.example.org says a lot\nS: 220 ready\nEOF"},
			phase:  mail.PhaseGreeting, reason: mail.ProtocolOversize,
		},
		{
			numbers: []int{62}, story: "no_mail_here_says_554_and_hears_a_quit", after: connected,
			script: map[mail.Protocol]string{mail.SMTP: "S: 554 5.7.1 Your address is on a list\nC: QUIT\nS: 221 2.0.0 Bye"},
			phase:  mail.PhaseGreeting, reason: mail.ServerRefused,
		},
		{
			numbers: []int{63}, story: "a_server_shutting_down_says_421_and_closes", after: connected,
			script: map[mail.Protocol]string{mail.SMTP: "S: 421 4.3.2 The system is going down\nCLOSE"},
			phase:  mail.PhaseGreeting, reason: mail.ServerUnavailable,
		},
		{
			numbers: []int{63}, story: "too_many_connections_says_421", after: connected,
			script: map[mail.Protocol]string{mail.SMTP: "S: 421 4.7.0 mx.example.org Error: too many connections from 192.0.2.7\nCLOSE"},
			phase:  mail.PhaseGreeting, reason: mail.ServerLimit,
		},
		{
			numbers: []int{64, 65}, story: "turned_away_without_a_code", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: "S: * BYE Not from there\nCLOSE", mail.POP3: "S: -ERR Not from there\nCLOSE"},
			phase:  mail.PhaseGreeting, reason: mail.ServerRefused,
		},
		{
			numbers: []int{64, 65}, story: "turned_away_for_now", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: "S: * BYE [UNAVAILABLE] Maintenance until noon\nCLOSE",
				mail.POP3: "S: -ERR [SYS/TEMP] Maintenance until noon\nCLOSE"},
			phase: mail.PhaseGreeting, reason: mail.ServerUnavailable,
		},
		{
			numbers: []int{64, 65}, story: "turned_away_because_of_too_many_connections", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: "S: * BYE Maximum number of connections from user+IP exceeded\nCLOSE",
				mail.POP3: "S: -ERR Too many connections from your address\nCLOSE"},
			phase: mail.PhaseGreeting, reason: mail.ServerLimit,
		},
	}
	return append(append(cases, lineFaults()...), firstWordFaults()...)
}

// lineFaults are greetings whose lines are no lines.
func lineFaults() []faultCase {
	return []faultCase{
		{
			numbers: []int{66}, story: "a_line_without_an_end", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: "SEND \"* OK \"\nREPEAT forever SEND \"A\"",
				mail.POP3: "SEND \"+OK \"\nREPEAT forever SEND \"A\"", mail.SMTP: "SEND \"220 \"\nREPEAT forever SEND \"A\""},
			phase: mail.PhaseGreeting, reason: mail.ProtocolOversize,
			check: func(t *testing.T, run faultRun) {
				// A line of 8 KiB, what TLS records hold beyond it, and the handshake.
				if run.read > 48<<10 {
					t.Errorf("%d bytes were read of a line of at most 8 KiB", run.read)
				}
			},
		},
		{
			numbers: []int{67}, story: "nul_inside_the_greeting", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: `SEND "* OK hi\x00there\r\n"` + "\nEOF",
				mail.POP3: `SEND "+OK hi\x00there\r\n"` + "\nEOF", mail.SMTP: `SEND "220 hi\x00there\r\n"` + "\nEOF"},
			phase: mail.PhaseGreeting, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{68}, story: "colours_and_broken_letters_in_the_greeting", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: `SEND "* OK \x1b[31mred\x9b \xff\xfe caf\xe9\r\n"` + "\n{after greeted}",
				mail.POP3: `SEND "+OK \x1b[31mred\x9b \xff\xfe caf\xe9\r\n"` + "\n{after greeted}",
				mail.SMTP: `SEND "220 \x1b[31mred\x9b \xff\xfe caf\xe9\r\n"` + "\n{after greeted}"},
			check: func(t *testing.T, run faultRun) {
				text := explain(run.outcome)
				if !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\u009b") || run.connection.Encryption != mail.StartTLS && !strings.Contains(text, "?[31mred?") {
					t.Errorf("the greeting is shown as\n%q", text)
				}
			},
		},
		{
			numbers: []int{69}, story: "lines_that_end_in_lf_alone", after: connected,
			script: every("{after connected}"), edit: endLinesInLF,
		},
		{
			numbers: []int{69}, story: "a_bare_cr_in_the_greeting", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: `SEND "* OK one\r* OK two\r\n"` + "\nEOF",
				mail.POP3: `SEND "+OK one\r+OK two\r\n"` + "\nEOF", mail.SMTP: `SEND "220 one\r220 two\r\n"` + "\nEOF"},
			phase: mail.PhaseGreeting, reason: mail.ProtocolMalformed,
		},
	}
}

// endLinesInLF makes the server of a script end its lines with LF.
func endLinesInLF(script string) string {
	var out strings.Builder
	for line := range strings.Lines(script) {
		if text, said := strings.CutPrefix(line, "S: "); said {
			line = `SEND "` + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), `\`, `\\`) + `\n"` + "\n"
		}
		if line == "BYE smtp\n" || line == "BYE smtp" {
			line = "C: QUIT\nSEND \"221 bye\\n\"\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// firstWordFaults are greetings that say the wrong thing.
func firstWordFaults() []faultCase {
	return []faultCase{
		{
			numbers: []int{70}, story: "preauth_leaves_no_login_to_try", after: connected,
			encryptions: []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS},
			script:      map[mail.Protocol]string{mail.IMAP: "S: * PREAUTH welcome, whoever you are\nEOF"},
			phase:       mail.PhaseGreeting, reason: mail.AuthMechanism,
		},
		{
			numbers: []int{70}, story: "preauth_is_fine_where_no_login_is_wanted", after: connected,
			encryptions: []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS},
			script: map[mail.Protocol]string{mail.IMAP: "S: * PREAUTH welcome\nC: {tag} CAPABILITY\n" +
				"S: * CAPABILITY IMAP4rev1\nS: {tag} OK done\nBYE imap"},
			change: func(c *mail.Connection) { c.Username = "" },
		},
		{
			numbers: []int{71}, story: "preauth_would_skip_starttls", after: connected,
			encryptions: []mail.Encryption{mail.StartTLS},
			script:      map[mail.Protocol]string{mail.IMAP: "S: * PREAUTH welcome, no need for TLS\nEOF"},
			phase:       mail.PhaseGreeting, reason: mail.StartTLSNotOffered,
		},
		{
			numbers: []int{72}, story: "two_greetings_at_once", after: connected,
			script: map[mail.Protocol]string{mail.IMAP: `SEND "* OK one\r\n* OK two\r\n"` + "\nSTALL",
				mail.POP3: `SEND "+OK one\r\n+OK two\r\n"` + "\nEOF", mail.SMTP: `SEND "220 one\r\n220 two\r\n"` + "\nEOF"},
			phase: mail.PhaseHello, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{72}, story: "a_second_greeting_a_little_later", after: greeted,
			script: map[mail.Protocol]string{mail.IMAP: "DELAY 5ms\nS: * OK and once more\nSTALL",
				mail.POP3: "DELAY 5ms\nS: +OK and once more\nC: CAPA\nS: +OK\nS: STLS\nS: .\nEOF", mail.SMTP: "DELAY 5ms\nS: 220 and once more\nSTALL"},
			phase: mail.PhaseHello, reason: mail.ProtocolMalformed,
		},
		wrongProtocol("an_ssh_server", "S: SSH-2.0-OpenSSH_9.6", "SSH"),
		wrongProtocol("a_web_server", "S: HTTP/1.1 400 Bad Request", "HTTP"),
		wrongProtocol("a_news_server", "S: 200 news.example.org InterNetNews ready", "NNTP"),
		wrongProtocol("an_imap_server", "S: * OK IMAP4rev1 ready", "IMAP", mail.IMAP),
		wrongProtocol("a_pop3_server", "S: +OK POP3 ready", "POP3", mail.POP3),
		wrongProtocol("an_smtp_server", "S: 220 mx.example.org ESMTP", "SMTP", mail.SMTP),
		{
			numbers: []int{74}, story: "the_greeting_is_an_empty_line", after: connected,
			script: every("SEND \"\\r\\n\"\nEOF"),
			phase:  mail.PhaseGreeting, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{74}, story: "the_greeting_is_a_bare_status", after: connected,
			script: map[mail.Protocol]string{mail.POP3: "S: +OK\n{after greeted}", mail.SMTP: "S: 220\n{after greeted}"},
		},
		{
			numbers: []int{75}, story: "a_timestamp_that_is_none_is_ignored", after: connected,
			script: map[mail.Protocol]string{mail.POP3: "S: +OK ready <> <" + strings.Repeat("a", 500) + "@example.org>\n{after greeted}"},
		},
		{
			numbers: []int{75}, story: "apop_needs_a_timestamp_that_is_one", after: connected,
			encryptions: []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS},
			script:      map[mail.Protocol]string{mail.POP3: "S: +OK ready <" + strings.Repeat("a", 500) + "@example.org>\nC: CAPA\nS: -ERR\nBYE pop3"},
			change:      func(c *mail.Connection) { c.Auth = mail.AuthAPOP },
			phase:       mail.PhaseAuth, reason: mail.AuthMechanism, notTried: true,
		},
	}
}

// wrongProtocol is fault 73: another service at the port. Its advice names it.
func wrongProtocol(who, says, name string, own ...mail.Protocol) faultCase {
	script := every(says + "\nEOF")
	for _, p := range own {
		delete(script, p)
	}
	return faultCase{
		numbers: []int{73}, story: who + "_answers_instead", after: connected, script: script,
		phase: mail.PhaseGreeting, reason: mail.ProtocolMalformed,
		check: func(t *testing.T, run faultRun) {
			if advice := run.outcome.Failure.Advice(); !strings.Contains(advice, name) {
				t.Errorf("the advice does not name %s: %s", name, advice)
			}
		},
	}
}
