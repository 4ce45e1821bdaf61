package prober

import (
	"slices"
	"testing"

	"mailprobe/mail"
)

// Every protocol has its line in each table; a missing one would only show when a server
// of that protocol answers.
func TestEveryProtocolHasItsTables(t *testing.T) {
	for _, p := range mail.Protocols() {
		facts := protocols[p]
		if facts.name == "" || facts.goodbye == "" || facts.dialect == nil || facts.status == nil || facts.capability == nil {
			t.Errorf("%s: protocols has no complete line", p)
		}
		if len(refusalRules[p]) == 0 {
			t.Errorf("%s: refusalRules has no table", p)
		}
		if !slices.ContainsFunc(bannerSignatures, func(s bannerSignature) bool { return s.protocol == p && s.name == facts.name }) {
			t.Errorf("%s: bannerSignatures does not know its greeting", p)
		}
	}
}

// Every word of auth that is not a command of a protocol is a mechanism.
func TestEveryMethodHasAMechanism(t *testing.T) {
	commands := []mail.AuthMethod{mail.AuthAuto, mail.AuthNone, mail.AuthLogin, mail.AuthAPOP}
	for _, method := range mail.AuthMethods() {
		if m, known := mechanisms[method]; !slices.Contains(commands, method) && (!known || m.name == "" || m.client == nil) {
			t.Errorf("%s: mechanisms has no complete line", method)
		}
	}
}
