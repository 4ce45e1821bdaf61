package config

import (
	"slices"
	"testing"

	"mailprobe/mail"
	"mailprobe/oauth"
)

// The fields of a block are written together, whatever the order of the settings, and a
// list is written as a list.
func TestStanzaKeepsBlocksTogether(t *testing.T) {
	settings := []Setting{{"name", "a"}, {"protocol", "imap"}, {"host", "h"}, {"tls_config.ca_file", "ca.pem"}, {"username", "[anna]"}, {"auth", "xoauth2"},
		{"oauth2.client_id", "1"}, {"tls_config.server_name", "x"}, {"oauth2.token_url", ""}, {"oauth2.scopes", "https://x/.default a,b offline_access"}}
	const want = `    - name: a
      protocol: imap
      host: h
      tls_config:
        ca_file: ca.pem
        server_name: x
      username: "[anna]"
      auth: xoauth2
      oauth2:
        client_id: 1
        scopes: ["https://x/.default", "a,b", offline_access]
`
	if got := (Stanza{Settings: settings}).YAML("    "); got != want {
		t.Errorf("got\n%s", got)
	}
	settings = []Setting{{"name", "a"}, {"protocol", "imap"}, {"host", "h"}, {"username", "u"}, {"auth", "xoauth2"}, {"oauth2.client_id", "1"},
		{"oauth2.client_secret", "x"}, {"oauth2.token_url", "https://x/token"}, {"oauth2.scopes", "a,b offline_access"}}
	var asked oauth.Settings
	_, _, err := NewConnection("flags", settings, func(s oauth.Settings) (mail.TokenSource, error) { asked = s; return nil, nil })
	if err != nil || !slices.Equal(asked.Scopes, []string{"a,b", "offline_access"}) {
		t.Errorf("asks for the scopes %q, %v", asked.Scopes, err)
	}
}
