package realserver

import (
	"strings"
	"testing"
)

func TestCyrusHasAnEmptyMailboxOfBob(t *testing.T) {
	c := StartCyrus(t)
	if answer := c.Say(t, Bob, "EXAMINE INBOX"); !strings.Contains(answer, "* 0 EXISTS") {
		t.Errorf("%s; want an empty INBOX", answer)
	}
}
