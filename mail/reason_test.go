package mail

import (
	"slices"
	"strings"
	"testing"
)

func TestReasonsTableIsWhole(t *testing.T) {
	if got := len(Reasons()); got != 47 {
		t.Errorf("%d reasons, want the 47 of the closed set", got)
	}
	seen := make(map[string]Reason)
	for _, row := range reasons {
		if strings.ContainsFunc(string(row.reason), func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) {
			t.Errorf("%q is no label word", row.reason)
		}
		if !slices.Contains([]Class{Transient, Definitive, Possible, Local}, row.class) || row.evidence == "" {
			t.Errorf("%q: class %q, evidence %q", row.reason, row.class, row.evidence)
		}
		for _, sentence := range []string{row.meaning, row.advice} {
			if !strings.HasSuffix(sentence, ".") || strings.Contains(sentence, ". ") || len(sentence) > 200 {
				t.Errorf("%q: %q is not one short sentence", row.reason, sentence)
			}
			if other, twice := seen[sentence]; twice {
				t.Errorf("%q and %q share %q", row.reason, other, sentence)
			}
			seen[sentence] = row.reason
		}
		if row.reason.Meaning() != row.meaning || row.reason.Advice() != row.advice || row.reason.Class() != row.class {
			t.Errorf("%q: its methods do not give its row", row.reason)
		}
	}
	if r := Reason("nonsense"); r.Meaning() != "" || r.Advice() != "" || r.Class() != Transient {
		t.Errorf("%q is not in the table but has a meaning", r)
	}
}

func TestFailureClass(t *testing.T) {
	tests := []struct {
		name    string
		failure *Failure
		want    Class
	}{
		{"no failure", nil, Transient},
		{"password refused", &Failure{Phase: PhaseAuth, Reason: AuthRejected}, Definitive},
		{"dropped right after the password", &Failure{Phase: PhaseAuth, Reason: Closed}, Possible},
		{"reset right after the password", &Failure{Phase: PhaseAuth, Reason: Reset}, Possible},
		{"dropped before the login", &Failure{Phase: PhaseGreeting, Reason: Closed}, Transient},
		{"slow login", &Failure{Phase: PhaseAuth, Reason: Timeout}, Transient},
		{"sender refused after a good login", &Failure{Phase: PhaseMailbox, Reason: NotAuthorized}, Transient},
		{"secret unreadable", &Failure{Phase: PhaseAuth, Reason: LocalSecret}, Local},
		{"login withheld", &Failure{Phase: PhaseAuth, Reason: AuthHeld}, Local},
	}
	for _, test := range tests {
		if got := test.failure.Class(); got != test.want {
			t.Errorf("%s: %c, want %c", test.name, got, test.want)
		}
	}
}
