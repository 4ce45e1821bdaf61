package cli

import (
	"strings"
	"testing"

	"mailprobe/mail"
)

// With a URL there is no configuration: the advice names the flag.
func TestAdviceNamesWhatCanBeSet(t *testing.T) {
	for name, want := range map[string]string{"inbox": "tls_config.ca_file", "imaps://mail.example.org": "--ca-file"} {
		outcome := mail.Outcome{Connection: &mail.Connection{Name: name}, Failure: &mail.Failure{Reason: mail.CertUntrusted}}
		if got := adviceFor(&outcome); !strings.Contains(got, want) {
			t.Errorf("%s: %q does not name %s", name, got, want)
		}
	}
}
