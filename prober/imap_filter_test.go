package prober

import (
	"strings"
	"testing"
)

// TestFilterShowsTheLibraryWhatTheProbeNeeds: `>` is what the library writes, the
// other lines are the server's, with what is passed of them behind the arrow.
func TestFilterShowsTheLibraryWhatTheProbeNeeds(t *testing.T) {
	const dropped, ended = "", "ended"
	type line struct{ said, want string }
	tests := []struct {
		name  string
		lines []line
	}{
		{"one answer a command", []line{
			{"> T1 CAPABILITY", ""}, {"T1 NO first", "T1 NO reply"}, {"T1 OK second", ended}}},
		{"the answer to another command", []line{{"> T1 CAPABILITY", ""}, {"T2 OK", ended}}},
		{"an answer before the command", []line{{"T1 OK", ended}}},
		{"a tag in small letters", []line{{"> T1 CAPABILITY", ""}, {"t1 ok", "T1 OK reply"}}},
		{"what makes go-imap spin for ever", []line{{"* CAPABILITY (", ended}}},
		{"the same in a code", []line{{"> T1 NOOP", ""}, {"T1 OK [CAPABILITY (] x", "T1 OK reply"}}},
		{"capabilities that the library uses", []line{{"* CAPABILITY imap4rev1 IDLE AUTH=PLAIN sasl-ir", "* CAPABILITY IMAP4REV1 SASL-IR"}}},
		{"none that it uses", []line{{"* CAPABILITY XVENDOR", "* CAPABILITY"}}},
		{"responses of vendors", []line{{"* XVENDOR 1", dropped}, {"* 5 FETCH (FLAGS ())", dropped}}},
		{"a literal in one of them", []line{{"* LIST () \"/\" {5}", dropped}, {"INBOX", dropped}, {"* 2 EXISTS", "* 2 EXISTS"}}},
		{"a literal that looks like an answer", []line{
			{"> T1 NOOP", ""}, {"* LIST () \"/\" {9}", dropped}, {"T1 OK x", dropped}, {"", dropped}, {"T1 NO y", "T1 NO reply"}}},
		{"a literal of 10 GB", []line{{"* STATUS {10737418240}", ended}}},
		{"a count over 32 bits", []line{{"* 4294967296 EXISTS", ended}}},
		{"a negative count", []line{{"* -1 EXISTS", ended}}},
		{"UIDVALIDITY over 32 bits", []line{{"> T1 EXAMINE x", ""}, {"* OK [UIDVALIDITY 4294967296] x", ended}}},
		{"a second greeting", []line{{"* OK hello again", ended}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			filter := &imapFilter{maxLiteral: probeBounds.literal}
			for _, l := range test.lines {
				if command, ok := strings.CutPrefix(l.said, "> "); ok {
					filter.sent([]byte(command + "\r\n"))
					continue
				}
				passed, err := filter.pass([]byte(l.said + "\r\n"))
				got := strings.TrimSuffix(string(passed), "\r\n")
				if err != nil {
					got = ended
				}
				if got != l.want {
					t.Errorf("%q became %q (%v), want %q", l.said, got, err, l.want)
				}
			}
		})
	}
}
