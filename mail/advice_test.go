package mail

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// anHourAgo is when the connections of these tests last worked.
var anHourAgo = time.Date(2026, 11, 28, 14, 14, 0, 0, time.UTC)

// settings matches words of the configuration. Advice with one of them in its first
// sentence blames a setting.
var settings = regexp.MustCompile(`(?i)\b(check (host|port|the port|the spelling|that (port|protocol)|mailbox|oauth2)|set [a-z_.]+ to|set (` + "`" + `|auth|tls_config)|use encryption|use a host name|in the configuration|configuration is wrong|raise (interval|timeout)|probe less often|ip_protocol|secret file)`)

func TestAdviceWhereItWorkedBeforeBeginsWithWhatChanged(t *testing.T) {
	for _, r := range Reasons() {
		f := &Failure{Phase: PhaseAuth, Reason: r, LastUp: anHourAgo}
		fresh := &Failure{Phase: PhaseAuth, Reason: r}
		if fresh.Advice() != r.Advice() {
			t.Errorf("%s: a connection that never worked gets %q", r, fresh.Advice())
		}
		first, _, _ := strings.Cut(f.Advice(), ". ")
		if r.Class() != Local && settings.MatchString(first) {
			t.Errorf("%s: the first sentence blames a setting: %q", r, first)
		}
		changed := r.AdviceIfChanged()
		if changed == "" {
			continue
		}
		if !strings.HasPrefix(f.Advice(), "It last worked at 14:14 UTC, 28 Nov 2026: ") || !strings.HasSuffix(f.Advice(), changed) {
			t.Errorf("%s: %q", r, f.Advice())
		}
		if !strings.HasSuffix(changed, ".") || len(changed) > 260 || strings.ToLower(changed[:1]) != changed[:1] {
			t.Errorf("%s: %q does not go on after a colon", r, changed)
		}
	}
}

func TestAdviceWhereItWorkedBeforeKeepsTheHint(t *testing.T) {
	tests := []struct {
		name    string
		failure Failure
		want    []string // in this order
	}{
		{"refused password of a provider with app passwords",
			Failure{Reason: AuthRejected, Hint: "Google wants an app password."},
			[]string{"It last worked at 14:14 UTC", "changed or has expired", "locked", "Google wants an app password."}},
		{"secret replaced since", Failure{Reason: AuthRejected, NewSecret: true},
			[]string{"It last worked at 14:14 UTC", "secret in the configuration was changed since", "not repeated"}},
		{"a replaced secret is not what a missing mailbox is about", Failure{Reason: MailboxMissing, NewSecret: true},
			[]string{"renamed or removed"}},
		{"silent port that is known for TLS", Failure{Reason: Timeout, Hint: "Use encryption ssl/tls."},
			[]string{"It last worked", "log for this time", "Use encryption ssl/tls."}},
		{"an expired certificate is one", Failure{Reason: CertExpired}, []string{"Renew the certificate"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.failure.LastUp = anHourAgo
			rest := test.failure.Advice()
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("%q is not in its place in %q", want, test.failure.Advice())
				}
				rest = after
			}
		})
	}
}
