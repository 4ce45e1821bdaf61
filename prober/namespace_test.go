package prober

import (
	"slices"
	"testing"
)

func TestSharedMailboxNames(t *testing.T) {
	tests := []struct {
		server, response string
		want             []string
	}{
		{"Dovecot", `NAMESPACE (("" "/")) (("Other Users/" "/")) NIL`, []string{"Other Users/helpdesk"}},
		{"Cyrus", `NAMESPACE (("INBOX." ".")) (("user." ".")) (("" "."))`, []string{"user.helpdesk", "helpdesk"}},
		{"a prefix without its delimiter", `NAMESPACE NIL (("shared" "/")) NIL`, []string{"shared/helpdesk"}},
		{"UW IMAP", `NAMESPACE (("" "/")("#mhinbox" NIL)) (("~" "/")) (("#shared/" "/")("#news." "."))`,
			[]string{"~helpdesk", "#shared/helpdesk", "#news.helpdesk"}},
		{"literals", "NAMESPACE NIL (({6}\r\nusers/ {1}\r\n/)) NIL", []string{"users/helpdesk"}},
		{"a flat one, with a translation", `NAMESPACE NIL (("~" NIL "TRANSLATION" ("Autrui"))) NIL`, []string{"~helpdesk"}},
		{"modified UTF-7", `NAMESPACE NIL (("B&APw-ro/" "/")) NIL`, []string{"Büro/helpdesk"}},
		{"many", `NAMESPACE NIL (("a/" "/")("b/" "/")("c/" "/")("d/" "/")("e/" "/")) NIL`, []string{"a/helpdesk", "b/helpdesk", "c/helpdesk", "d/helpdesk"}},
		{"none", `NAMESPACE (("" "/")) NIL NIL`, nil},
		{"cut off", `NAMESPACE (("" "/"))`, nil},
		{"another response", `LIST NIL (("a" "/")) NIL`, nil},
	}
	for _, test := range tests {
		values, err := parseIMAPData([]byte(test.response))
		if err != nil {
			t.Errorf("%s: %v", test.server, err)
		}
		var got []string
		for _, n := range otherNamespaces(values) {
			got = append(got, n.mailbox("helpdesk"))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.server, got, test.want)
		}
	}
}
