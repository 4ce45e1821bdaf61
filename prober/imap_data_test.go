package prober

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailprobe/mail"
)

// shown writes values so that tests can compare them.
func shown(values []imapValue) string {
	var words []string
	for _, v := range values {
		switch {
		case v.isList:
			words = append(words, "("+shown(v.list)+")")
		case v.isText:
			words = append(words, fmt.Sprintf("%q", v.text))
		default:
			words = append(words, v.text)
		}
	}
	return strings.Join(words, " ")
}

func TestIMAPDataResponses(t *testing.T) {
	tests := []struct {
		name, raw string
		want      string      // empty: refused
		reason    mail.Reason // then
	}{
		{"STATUS", "STATUS INBOX (MESSAGES 3 UIDNEXT 44)", "STATUS INBOX (MESSAGES 3 UIDNEXT 44)", ""},
		{"FETCH with a section and a literal", "12 FETCH (UID 34 BODY[HEADER.FIELDS (MESSAGE-ID X-MAILPROBE)] {8}\r\nX: y\r\n\r\n)",
			`12 FETCH (UID 34 BODY[HEADER.FIELDS (MESSAGE-ID X-MAILPROBE)] "X: y\r\n\r\n")`, ""},
		{"a literal that looks like a list", "1 FETCH (BODY[] {3}\r\n(((" + " UID 5)", `1 FETCH (BODY[] "(((" UID 5)`, ""},
		{"flags", `7 FETCH (FLAGS (\Seen $Junk) INTERNALDATE "17-Jul-1996 02:44:25 -0700")`, `7 FETCH (FLAGS (\Seen $Junk) INTERNALDATE "17-Jul-1996 02:44:25 -0700")`, ""},
		{"LIST with an escaped name", `LIST (\HasNoChildren \Junk) "/" "a \"b\\"`, `LIST (\HasNoChildren \Junk) "/" "a \"b\\"`, ""},
		{"NIL delimiter", `LIST () NIL INBOX`, `LIST () NIL INBOX`, ""},
		{"an empty list", "SEARCH", "SEARCH", ""},
		{"a list that is not closed", "1 FETCH (UID 3", "", mail.ProtocolMalformed},
		{"a list that was not opened", "1 FETCH UID 3)", "", mail.ProtocolMalformed},
		{"a string without an end", `LIST () "/`, "", mail.ProtocolMalformed},
		{"a literal that is too short", "1 FETCH (BODY[] {9}\r\nabc)", "", mail.ProtocolMalformed},
		{"a literal of a huge size", "1 FETCH (BODY[] {99999999999999999999}\r\nabc)", "", mail.ProtocolMalformed},
		{"nested without end", strings.Repeat("(", 100_000), "", mail.ProtocolOversize},
		{"values without end", strings.Repeat("x ", 100_000), "", mail.ProtocolOversize},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			values, err := parseIMAPData([]byte(test.raw))
			var known *fault
			switch {
			case test.want != "" && (err != nil || shown(values) != test.want):
				t.Errorf("%s (%v), want %s", shown(values), err, test.want)
			case test.want == "" && (!errors.As(err, &known) || known.reason != test.reason):
				t.Errorf("%s (%v), want %s", shown(values), err, test.reason)
			}
		})
	}
}

// FuzzIMAPData wants every input to end, and no value to be larger than the input.
func FuzzIMAPData(f *testing.F) {
	for _, seed := range []string{"12 FETCH (UID 34 BODY[HEADER] {3}\r\nabc)", `LIST (\Junk) "/" "a"`, "((((", `"\`, "{3}\r\n", "a[b(c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		values, err := parseIMAPData(raw)
		if err == nil && len(values) > len(raw) {
			t.Errorf("%d values of %d bytes", len(values), len(raw))
		}
		for _, v := range values {
			if len(v.text) > len(raw) {
				t.Errorf("%q is longer than %q", v.text, raw)
			}
		}
	})
}
