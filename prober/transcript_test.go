package prober

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"mailprobe/internal/canary"
	"mailprobe/mail"
)

// keptOf returns what a transcript shows of lines that a server sent after a login.
func keptOf(p mail.Protocol, r *redactor, lines ...string) []string {
	log := &transcript{protocol: p}
	log.guardSecret(true)
	log.client([]byte("PASS wonder land\r\n"))
	log.guardSecret(false)
	for _, line := range lines {
		log.server([]byte(line))
	}
	var texts []string
	for _, line := range log.kept(r)[1:] {
		texts = append(texts, line.Text)
	}
	return texts
}

func TestTranscriptShowsTheServersWords(t *testing.T) {
	secret := "wonder land"
	coded := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + secret))
	tests := []struct {
		name, line, shown, hidden string
		protocol                  mail.Protocol
	}{
		{"words without a secret", "T2 NO [AUTHENTICATIONFAILED] Bad password.", "T2 NO [AUTHENTICATIONFAILED] Bad password.", "NO AUTHENTICATIONFAILED …", mail.IMAP},
		{"an unknown code", "T2 NO [WONDERFUL] no", "T2 NO [WONDERFUL] no", "NO …", mail.IMAP},
		{"an echo of the command", "* BAD LOGIN alice {11} wonder land", "* BAD " + withheld, "* BAD …", mail.IMAP},
		{"a code that is the secret", "T2 NO [WONDERLAND] no", "NO " + withheld, "NO …", mail.IMAP},
		{"an echo with a code", "-ERR [AUTH] PASS wonder land", "-ERR AUTH " + withheld, "-ERR AUTH …", mail.POP3},
		{"an echo in base64", "535 5.7.8 " + coded + " refused", "535 5.7.8 " + withheld, "535 5.7.8 …", mail.SMTP},
		{"what is no reply at all", "wonder land", withheld, "…", mail.SMTP},
		{"a long line", "250 " + strings.Repeat("x", 600), "250 " + strings.Repeat("x", maxTranscriptText-7) + "…", "250 …", mail.SMTP},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := searchingFor(secret)
			if got := keptOf(test.protocol, r, test.line)[0]; got != test.shown {
				t.Errorf("shown %q of %q, want %q", got, test.line, test.shown)
			}
			r.hidden = true
			if got := keptOf(test.protocol, r, test.line)[0]; got != test.hidden {
				t.Errorf("hidden: %q of %q, want %q", got, test.line, test.hidden)
			}
		})
	}
}

func TestTranscriptFindsASecretSplitOverLines(t *testing.T) {
	lines := []string{"250-mx.example.org", "250-won", "250-der", "250 land", "250 2.1.0 Ok"}
	got := keptOf(mail.SMTP, searchingFor("wonder land"), lines...)
	want := []string{lines[0], "250 " + withheld, "250 " + withheld, "250 " + withheld, lines[4]}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestTranscriptMarksWhatIsNotAuthenticated(t *testing.T) {
	log := &transcript{protocol: mail.IMAP}
	log.inClear(true)
	log.server([]byte("* OK [ALERT] call 0900-1234"))
	log.server([]byte("* OK " + strings.Repeat("x", 600)))
	log.inClear(false)
	log.server([]byte("* OK hello"))
	lines := log.kept(new(redactor))
	for i, want := range []string{"* OK [ALERT] call 0900-1234 (not authenticated)", "x… (not authenticated)", "* OK hello"} {
		if !strings.HasSuffix(lines[i].Text, want) || len(lines[i].Text) > maxTranscriptText {
			t.Errorf("line %d: %q, want %q", i, lines[i].Text, want)
		}
	}
}

// The exchange of SCRAM would let a reader of the page guess the password.
func TestTranscriptShowsNoChallengeOfSCRAM(t *testing.T) {
	log := &transcript{protocol: mail.IMAP}
	log.guardSecret(true)
	for _, challenge := range []string{"r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", `{"status":"401"}`} {
		log.server([]byte("+ " + base64.StdEncoding.EncodeToString([]byte(challenge))))
	}
	lines := log.kept(new(redactor))
	if lines[0].Text != "…" || lines[1].Text != "…" || !strings.HasPrefix(lines[2].Text, "+ ey") {
		t.Errorf("%q", lines)
	}
}

// A folder's name is partly the server's, and is shown unless it holds a secret.
func TestTranscriptShowsFolders(t *testing.T) {
	log := &transcript{protocol: mail.IMAP}
	log.client([]byte("T3 EXAMINE \"Other Users/helpdesk\"\r\n"))
	log.client([]byte("T4 EXAMINE \"wonder land/helpdesk\"\r\n"))
	r := searchingFor("wonder land")
	r.hidden = true
	if lines := log.kept(r); lines[0].Text != `T3 EXAMINE "Other Users/helpdesk"` || lines[1].Text != "T4 "+withheld {
		t.Errorf("%q", lines)
	}
}

func TestTranscriptIsBounded(t *testing.T) {
	log := &transcript{protocol: mail.SMTP}
	for range 10 * maxTranscriptLines {
		log.server([]byte(strings.Repeat("x", 10*maxTranscriptText)))
	}
	lines := log.kept(new(redactor))
	if len(lines) != maxTranscriptLines+1 || lines[len(lines)-1].From != mail.Note {
		t.Fatalf("%d lines, the last by %c, want %d and a note", len(lines), lines[len(lines)-1].From, maxTranscriptLines)
	}
	for _, line := range lines {
		if len(line.Text) > maxTranscriptText {
			t.Errorf("a line of %d bytes is kept", len(line.Text))
		}
	}
}

// FuzzTranscript: whatever a server says, what is kept is clean, short and without
// the secret.
func FuzzTranscript(f *testing.F) {
	secret := canary.New()
	r := searchingFor(secret)
	for _, seed := range []string{"T1 NO [ALERT] x", "* OK [WONDER LAND] x", "-ERR [SYS/TEMP] x", "+OK", "535-5.7.8 x", "250 OK", "\xff\x00[]"} {
		for kind := range byte(3) {
			f.Add(kind, []byte(seed), []byte(secret))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, line, more []byte) {
		for _, kept := range keptOf(mail.Protocols()[kind%3], r, string(line)+secret+string(more), string(line), string(more)) {
			if !utf8.ValidString(kept) || len(kept) > maxTranscriptText {
				t.Errorf("kept %q", kept)
			}
			if coding := canary.Find(kept, secret); coding != "" {
				t.Errorf("kept %q, with the secret %s", kept, coding)
			}
		}
	})
}
