package prober

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// lookCommands is the closed list of what a probe says to an IMAP or POP3 server
// after the login. Nothing of it changes a mailbox, and nothing asks for content,
// subject or addresses.
var lookCommands = []*regexp.Regexp{
	regexp.MustCompile(`^(CAPABILITY|LOGIN|NAMESPACE|LOGOUT)$`),
	regexp.MustCompile(`^STATUS .* \(MESSAGES UNSEEN UIDNEXT UIDVALIDITY( SIZE)?\)$`),
	regexp.MustCompile(`^EXAMINE `),
	regexp.MustCompile(`^UID SEARCH (RETURN \(MIN\) )?NOT SEEN$`),
	regexp.MustCompile(`^(UID )?FETCH [0-9]+,\* \([A-Z ]+\)$`),
	regexp.MustCompile(`^FETCH \* \([A-Z ]+\)$`),
	regexp.MustCompile(`^GETQUOTAROOT `),
	regexp.MustCompile(`^(USER|PASS|CAPA|STAT|UIDL [0-9]+|QUIT)$`),
}

// fetchItems are the items that FETCH may ask for.
var fetchItems = []string{"UID", "FLAGS", "INTERNALDATE"}

// wantOnlyLooks holds commands against the closed list.
func wantOnlyLooks(t *testing.T, commands []string) {
	t.Helper()
	if len(commands) == 0 {
		t.Error("no command came")
	}
	for _, command := range commands {
		if !slices.ContainsFunc(lookCommands, func(r *regexp.Regexp) bool { return r.MatchString(command) }) {
			t.Errorf("%q is none of the commands of a probe", command)
		}
		if open := strings.IndexByte(command, '('); open > 0 && strings.Contains(command, "FETCH") {
			for _, item := range strings.Fields(strings.Trim(command[open:], "()")) {
				if !slices.Contains(fetchItems, item) {
					t.Errorf("%q fetches %s", command, item)
				}
			}
		}
	}
}
