package prober

import (
	"slices"
	"testing"
)

func TestSharedMailboxNames(t *testing.T) {
	const dotted = "Cyrus, a dotted name"
	tests := []struct {
		server, response string
		want             []string
	}{
		{dotted, `NAMESPACE (("INBOX." ".")) (("user." ".")) (("" "."))`, []string{"user.help.desk", "user.help^desk", "user.help.desk.INBOX", "help.desk"}},
		{"Dovecot", `NAMESPACE (("" "/")) (("Other Users/" "/")) NIL`, []string{"Other Users/helpdesk", "Other Users/helpdesk/INBOX"}},
		{"Cyrus", `NAMESPACE (("INBOX." ".")) (("user." ".")) (("" "."))`, []string{"user.helpdesk", "user.helpdesk.INBOX", "helpdesk", "helpdesk.INBOX"}},
		{"Courier", `NAMESPACE (("INBOX." ".")) NIL (("#shared." ".")("shared." "."))`,
			[]string{"#shared.helpdesk", "shared.helpdesk", "#shared.helpdesk.INBOX", "shared.helpdesk.INBOX"}},
		{"a prefix without its delimiter", `NAMESPACE NIL (("shared" "/")) NIL`, []string{"shared/helpdesk", "shared/helpdesk/INBOX"}},
		{"UW IMAP", `NAMESPACE (("" "/")("#mhinbox" NIL)) (("~" "/")) (("#shared/" "/")("#ftp/" "/")("#news." "."))`,
			[]string{"~helpdesk", "~helpdesk/INBOX", "#shared/helpdesk", "#ftp/helpdesk"}},
		{"literals", "NAMESPACE NIL (({6}\r\nusers/ {1}\r\n/)) NIL", []string{"users/helpdesk", "users/helpdesk/INBOX"}},
		{"a flat one, with a translation", `NAMESPACE NIL (("~" NIL "TRANSLATION" ("Autrui"))) NIL`, []string{"~helpdesk"}},
		{"modified UTF-7", `NAMESPACE NIL (("B&APw-ro/" "/")) NIL`, []string{"Büro/helpdesk", "Büro/helpdesk/INBOX"}},
		{"many", `NAMESPACE NIL (("a/" "/")("b/" "/")("c/" "/")) NIL`, []string{"a/helpdesk", "a/helpdesk/INBOX", "b/helpdesk", "b/helpdesk/INBOX"}},
		{"none", `NAMESPACE (("" "/")) NIL NIL`, nil},
		{"cut off", `NAMESPACE (("" "/"))`, nil},
		{"another response", `LIST NIL (("a" "/")) NIL`, nil},
	}
	for _, test := range tests {
		values, err := parseIMAPData([]byte(test.response))
		if err != nil {
			t.Errorf("%s: %v", test.server, err)
		}
		owner := "helpdesk"
		if test.server == dotted {
			owner = "help.desk"
		}
		got := sharedMailboxNames(values, owner)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.server, got, test.want)
		}
	}
}
