package prober

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mailprobe/mail"
)

func TestParseIMAPStatus(t *testing.T) {
	tests := []struct {
		name, line, wantTag string
		want                reply
	}{
		{"tagged ok with a code", "A1 OK [READ-ONLY] EXAMINE done\r\n", "A1", reply{"OK", "READ-ONLY", "EXAMINE done"}},
		{"lower case throughout", "a1 no [authenticationfailed] bad", "a1", reply{"NO", "AUTHENTICATIONFAILED", "bad"}},
		{"code with arguments", "* OK [UIDVALIDITY 3857529045] UIDs valid", "*", reply{"OK", "UIDVALIDITY", "UIDs valid"}},
		{"greeting with capabilities", "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready", "*", reply{"OK", "CAPABILITY", "ready"}},
		{"bracket inside a quoted argument", `A1 NO [BADCHARSET ("a]\"b" UTF-8)] no`, "A1", reply{"NO", "BADCHARSET", "no"}},
		{"bye", "* BYE [UNAVAILABLE] later", "*", reply{"BYE", "UNAVAILABLE", "later"}},
		{"preauth", "* PREAUTH welcome", "*", reply{"PREAUTH", "", "welcome"}},
		{"no text at all", "A1 OK", "A1", reply{"OK", "", ""}},
		{"code without text", "A1 NO [LIMIT]", "A1", reply{"NO", "LIMIT", ""}},
		{"code that never ends is text", "A1 NO [ALERT oops", "A1", reply{"NO", "", "[ALERT oops"}},
		{"empty code is text", "A1 NO [] oops", "A1", reply{"NO", "", "[] oops"}},
		{"code with a quote left open is text", `A1 NO [X "] oops`, "A1", reply{"NO", "", `[X "] oops`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tag, got, ok := parseIMAPStatus(test.line)
			if !ok || tag != test.wantTag || got != test.want {
				t.Errorf("parseIMAPStatus(%q) = %q, %+v, %v; want %q, %+v, true",
					test.line, tag, got, ok, test.wantTag, test.want)
			}
		})
	}
}

func TestParseIMAPStatusRefusesOtherLines(t *testing.T) {
	lines := []string{"", "\r\n", "*", "* ", "* 23 EXISTS", "* CAPABILITY IMAP4rev1", "+ go on", "A1 BYE x",
		"A1 PREAUTH x", "A1  OK x", "(A OK x", "A1 FINE x", "A+ OK x", " OK x", "A1 OK\x00", "220 mail ESMTP", "\x16\x03\x01"}
	for _, line := range lines {
		if tag, r, ok := parseIMAPStatus(line); ok {
			t.Errorf("parseIMAPStatus(%q) = %q, %+v; want it refused", line, tag, r)
		}
	}
}

func TestParsePOP3Reply(t *testing.T) {
	tests := []struct {
		name, line string
		want       reply
	}{
		{"bare ok", "+OK\r\n", reply{"+OK", "", ""}},
		{"ok with text", "+OK 2 320", reply{"+OK", "", "2 320"}},
		{"error with a code", "-ERR [IN-USE] Do you have another POP session running?",
			reply{"-ERR", "IN-USE", "Do you have another POP session running?"}},
		{"lower case code", "-ERR [auth] no", reply{"-ERR", "AUTH", "no"}},
		{"known detail is kept", "-ERR [SYS/TEMP] later", reply{"-ERR", "SYS/TEMP", "later"}},
		{"unknown detail is dropped", "-ERR [SYS/DISK/FULL] later", reply{"-ERR", "SYS", "later"}},
		{"unknown detail of another code", "-ERR [AUTH/OTP] no", reply{"-ERR", "AUTH", "no"}},
		{"text that only looks like a code", "-ERR [not a code] no", reply{"-ERR", "", "[not a code] no"}},
		{"challenge", "+ cHJvdmUgaXQ=", reply{"+", "", "cHJvdmUgaXQ="}},
		{"empty challenge", "+ ", reply{"+", "", ""}},
		{"empty challenge without its space", "+", reply{"+", "", ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parsePOP3Reply(test.line)
			if err != nil || got != test.want {
				t.Errorf("parsePOP3Reply(%q) = %+v, %v; want %+v", test.line, got, err, test.want)
			}
		})
	}
	for _, line := range []string{"", "\r\n", "+ok", "+OKjunk", "-err", "-ERR\tx", " +OK", "* OK", "220 x", "OK"} {
		if got, err := parsePOP3Reply(line); !isMalformed(err) {
			t.Errorf("parsePOP3Reply(%q) = %+v, %v; want %s", line, got, err, mail.ProtocolMalformed)
		}
	}
}

func TestParseSMTPReply(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  reply
	}{
		{"one line", []string{"220 mail.example.org ESMTP"}, reply{"220", "", "mail.example.org ESMTP"}},
		{"bare code", []string{"220\r\n"}, reply{"220", "", ""}},
		{"three lines", []string{"250-a", "250-b", "250 c"}, reply{"250", "", "a b c"}},
		{"enhanced code", []string{"535 5.7.8 bad password"}, reply{"535", "5.7.8", "bad password"}},
		{"enhanced code on every line", []string{"535-5.7.8 not", "535 5.7.8 accepted"}, reply{"535", "5.7.8", "not accepted"}},
		{"enhanced code on the second line", []string{"550-Sender", "550 5.7.1 refused"}, reply{"550", "5.7.1", "Sender refused"}},
		{"enhanced code of another class is text", []string{"535 4.7.0 odd"}, reply{"535", "", "4.7.0 odd"}},
		{"long numbers", []string{"535 5.7.139 off"}, reply{"535", "5.7.139", "off"}},
		{"not an enhanced code", []string{"554 5.7.1234 x"}, reply{"554", "", "5.7.1234 x"}},
		{"an address is no enhanced code", []string{"554 5.6.7.8 x"}, reply{"554", "", "5.6.7.8 x"}},
		{"challenge", []string{"334 "}, reply{"334", "", ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseSMTPReply(test.lines)
			if err != nil || got != test.want {
				t.Errorf("parseSMTPReply(%q) = %+v, %v; want %+v", test.lines, got, err, test.want)
			}
		})
	}
	broken := [][]string{nil, {""}, {"22"}, {"22 x"}, {"2x0 x"}, {"120 x"}, {"620 x"}, {"220_x"}, {"2200 x"}, {"220-x"},
		{"220 x", "220 y"}, {"250-x", "251 y"}, {"250-x", ""}, {" 220 x"}, {"* OK x"}, {"٢٢٠ x"}}
	for _, lines := range broken {
		if got, err := parseSMTPReply(lines); !isMalformed(err) {
			t.Errorf("parseSMTPReply(%q) = %+v, %v; want %s", lines, got, err, mail.ProtocolMalformed)
		}
	}
}

// isMalformed reports whether err carries the reason protocol_malformed.
func isMalformed(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.reason == mail.ProtocolMalformed
}

func TestParseCapabilities(t *testing.T) {
	pop3 := parsePOP3Capabilities([]string{"TOP\r\n", "sasl plain SCRAM-SHA-256", "LOGIN-DELAY 900", "..DOT", "", "STLS"})
	wantPOP3 := map[string][]string{"TOP": nil, "SASL": {"PLAIN", "SCRAM-SHA-256"}, "LOGIN-DELAY": {"900"}, ".DOT": nil, "STLS": nil}
	if !reflect.DeepEqual(pop3, wantPOP3) {
		t.Errorf("parsePOP3Capabilities = %q, want %q", pop3, wantPOP3)
	}

	smtp := parseSMTPCapabilities([]string{"250-mail.example.org", "250-StartTLS", "250-auth plain LOGIN",
		"250-AUTH=LOGIN", "250-SIZE 1000", "junk", "250 8BITMIME"})
	wantSMTP := map[string][]string{"STARTTLS": nil, "AUTH": {"PLAIN", "LOGIN"}, "SIZE": {"1000"}, "8BITMIME": nil}
	if !reflect.DeepEqual(smtp, wantSMTP) {
		t.Errorf("parseSMTPCapabilities = %q, want %q", smtp, wantSMTP)
	}
}

func TestCapabilityArgumentsAreBounded(t *testing.T) {
	var line strings.Builder
	line.WriteString("SASL")
	for i := range 5000 {
		line.WriteString(" M" + string(rune('A'+i%26)) + strings.Repeat("x", i%90))
	}
	if got := len(parsePOP3Capabilities([]string{line.String()})["SASL"]); got != maxCapabilityArgs {
		t.Errorf("%d arguments kept, want %d", got, maxCapabilityArgs)
	}
}

func TestCleanText(t *testing.T) {
	tests := []struct {
		name, in string
		limit    int
		want     string
	}{
		{"plain text", "hello [host.example]", 200, "hello [host.example]"},
		{"terminal escape", "\x1b[2Jgone", 200, "?[2Jgone"},
		{"line breaks, tab and NUL", "a\r\nb\tc\x00", 200, "a??b?c?"},
		{"C1 controls", "a\u009bb\x9bc", 200, "a?b?c"},
		{"direction marks", "a\u202eb\u2066c", 200, "a?b?c"},
		{"letters of other alphabets", "grüße 你好", 200, "grüße 你好"},
		{"cut before the rune that does not fit, with a mark", "aééé", 5, "a…"},
		{"no room for the mark", "aé", 2, ""},
		{"no room", "a", 0, ""},
		{"replacement character", "a\uFFFDb", 200, "a?b"},
	}
	for _, test := range tests {
		if got := cleanText(test.in, test.limit); got != test.want {
			t.Errorf("%s: cleanText(%q, %d) = %q, want %q", test.name, test.in, test.limit, got, test.want)
		}
	}
}

func FuzzParseIMAPStatus(f *testing.F) {
	for _, line := range []string{"* OK [UNSEEN 12] Message 12 is first unseen", "A001 OK LOGIN completed", "* BYE Autologout",
		"* OK [CAPABILITY IMAP4rev1 (] x", "a NO [BADCHARSET (\"]\")] x", "* CAPABILITY (", "A683 NO [AUTHENTICATIONFAILED] no", "[[[[[[\"\"\"\\"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		tag, r, ok := parseIMAPStatus(line)
		if ok && (tag == "" || !slices.Contains([]string{"OK", "NO", "BAD", "BYE", "PREAUTH"}, r.status)) {
			t.Errorf("parseIMAPStatus(%q) = %q, %+v", line, tag, r)
		}
		checkReply(t, mail.IMAP, r)
	})
}

func FuzzParsePOP3Reply(f *testing.F) {
	for _, line := range []string{"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "-ERR no such message", "-ERR [SYS/TEMP] x",
		"+ ", "+OK", "-ERR [IN-USE/", "-ERR [/] x", "SASL CRAM-MD5 KERBEROS_V4", ".."} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parsePOP3Reply(line)
		if (err == nil) != slices.Contains([]string{"+OK", "-ERR", "+"}, r.status) || (err != nil && !isMalformed(err)) {
			t.Errorf("parsePOP3Reply(%q) = %+v, %v", line, r, err)
		}
		parsePOP3Capabilities(strings.Split(line, "\n"))
		checkReply(t, mail.POP3, r)
	})
}

func FuzzParseSMTPReply(f *testing.F) {
	for _, text := range []string{"220 foo.com Simple Mail Transfer Service Ready", "250-foo.com greets bar.com\n250-SIZE\n250 HELP",
		"554-5.7.1 a\n554 5.7.1 b", "334 VXNlcm5hbWU6", "250-AUTH=LOGIN\n250 x", "421 4.4.2", "250-", "2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		r, err := parseSMTPReply(lines)
		if (err == nil) != (len(r.status) == 3) || (err != nil && !isMalformed(err)) {
			t.Errorf("parseSMTPReply(%q) = %+v, %v", lines, r, err)
		}
		parseSMTPCapabilities(lines)
		checkReply(t, mail.SMTP, r)
	})
}

// checkReply classifies a fuzzed reply at every phase and cleans its text.
func checkReply(t *testing.T, protocol mail.Protocol, r reply) {
	for command := range commandStages {
		no := diagnosed(refusal{protocol: protocol, command: command, reply: r})
		if reason := classify(mail.PhaseAuth, nil, no).reason; reason.Meaning() == "" {
			t.Errorf("%s: %+v gives the reason %q, which is not in the table", command, r, reason)
		}
	}
	if clean := cleanText(r.text, maxFailureText); len(clean) > maxFailureText || !utf8.ValidString(clean) {
		t.Errorf("cleanText(%q) = %q", r.text, clean)
	}
}

func TestPOP3LoginDelayIsReadFromTheCapabilities(t *testing.T) {
	tests := []struct {
		name      string
		announced string // the line of CAPA
		want      time.Duration
	}{
		{"Gmail's five minutes", "LOGIN-DELAY 300", 300 * time.Second},
		{"with an argument", "LOGIN-DELAY 100 USER", 100 * time.Second},
		{"for ever", "LOGIN-DELAY 2147483647", 2147483647 * time.Second},
		{"more than a number holds", "LOGIN-DELAY 99999999999999999999", 0},
		{"nonsense", "LOGIN-DELAY -5", 0},
		{"no argument", "LOGIN-DELAY", 0},
		{"nothing", "TOP", 0},
	}
	for _, test := range tests {
		if got := loginDelay(parsePOP3Capabilities([]string{test.announced})["LOGIN-DELAY"]); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
