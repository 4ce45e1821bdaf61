package prober

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"mailprobe/mail"
)

// shownWords is everything that may be kept of a server's line after a secret
// byte went out: a status, a registered code, and the sign for what is withheld.
var shownWords = regexp.MustCompile(`^(\*|OK|NO|BAD|BYE|PREAUTH|\+OK|-ERR|\+|[2-5][0-9][0-9]|[245]\.[0-9]{1,3}\.[0-9]{1,3}|…)$`)

// keptOf is what a transcript keeps of a line when a login is under way.
func keptOf(p mail.Protocol, line string) string {
	log := &transcript{protocol: p}
	log.guardSecret(true)
	log.client([]byte("PASS wonder land\r\n"))
	log.guardSecret(false)
	log.server([]byte(line))
	lines := log.kept()
	return lines[len(lines)-1].Text
}

func TestTranscriptKeepsNoWordOfTheServerAfterASecret(t *testing.T) {
	tests := []struct {
		name, line, want string
		protocol         mail.Protocol
	}{
		{"a known code", "T2 NO [AUTHENTICATIONFAILED] wonder land is wrong", "NO AUTHENTICATIONFAILED …", mail.IMAP},
		{"an unknown code", "T2 NO [WONDERLAND] no", "NO …", mail.IMAP},
		{"an echo of the command", "* BAD LOGIN alice {11} wonder land", "* BAD …", mail.IMAP},
		{"a code of POP3", "-ERR [AUTH] PASS wonder land", "-ERR AUTH …", mail.POP3},
		{"a challenge", "+ d29uZGVyIGxhbmQ=", "+ …", mail.POP3},
		{"an enhanced code", "535 5.7.8 <wonder land> refused", "535 5.7.8 …", mail.SMTP},
		{"what is no reply at all", "wonder land", "…", mail.SMTP},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := keptOf(test.protocol, test.line); got != test.want {
				t.Errorf("kept %q of %q, want %q", got, test.line, test.want)
			}
		})
	}
}

func TestTranscriptIsBounded(t *testing.T) {
	log := &transcript{protocol: mail.SMTP}
	for range 10 * maxTranscriptLines {
		log.server([]byte(strings.Repeat("x", 10*maxTranscriptText)))
	}
	lines := log.kept()
	if len(lines) != maxTranscriptLines+1 || lines[len(lines)-1].From != mail.Note {
		t.Fatalf("%d lines, the last by %c, want %d and a note", len(lines), lines[len(lines)-1].From, maxTranscriptLines)
	}
	for _, line := range lines {
		if len(line.Text) > maxTranscriptText {
			t.Errorf("a line of %d bytes is kept", len(line.Text))
		}
	}
}

// FuzzTranscript: whatever a server says after a secret byte went out, only words
// of the closed list are kept of it.
func FuzzTranscript(f *testing.F) {
	for _, seed := range []string{"T1 NO [ALERT] x", "* OK [WONDER LAND] x", "-ERR [SYS/TEMP] x", "+OK", "535-5.7.8 x", "250 OK", "\xff\x00[]"} {
		f.Add(byte(0), []byte(seed))
		f.Add(byte(1), []byte(seed))
		f.Add(byte(2), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, kind byte, line []byte) {
		kept := keptOf([]mail.Protocol{mail.IMAP, mail.POP3, mail.SMTP}[kind%3], string(line))
		if !utf8.ValidString(kept) || len(kept) > maxTranscriptText {
			t.Errorf("kept %q", kept)
		}
		for word := range strings.FieldsSeq(kept) {
			if !shownWords.MatchString(word) && !responseCodes[word] {
				t.Errorf("kept %q of %q", word, line)
			}
		}
	})
}
