package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"mailprobe/mail"
)

const (
	passwordLogin = "username: bob, password: hunter2"
	sharedLogin   = passwordLogin + ", shared_mailbox: helpdesk"
)

// connectionFields says for every field of mail.Connection how a file sets it:
// lines of YAML to begin with, and the line that makes the difference.
var connectionFields = map[string]struct{ before, line string }{
	"Name":                {"", "name: other"},
	"Protocol":            {"", "protocol: pop3"},
	"Encryption":          {"", "encryption: starttls"},
	"Host":                {"", "host: other.example.org"},
	"Port":                {"", "port: 1993"},
	"Username":            {"auth: none", "username: bob"},
	"Password":            {passwordLogin, "password: hunter3"},
	"Auth":                {passwordLogin, "auth: plain"},
	"Token":               {passwordLogin, "oauth2: {access_token_file: secrets/good}, auth: xoauth2, password: "},
	"TokenCredential":     {"username: bob, auth: xoauth2, oauth2: {access_token_file: secrets/good}", "oauth2: {access_token_file: secrets/open}"},
	"SharedMailbox":       {passwordLogin, "shared_mailbox: helpdesk"},
	"SharedMailboxAccess": {sharedLogin, "shared_mailbox_access: authzid"},
	"LoginNameFormat":     {sharedLogin, "login_name_format: '{shared_mailbox}*{username}'"},
	"CheckMailbox":        {passwordLogin, "check_mailbox: false"},
	"Mailbox":             {passwordLogin, "mailbox: Archive"},
	"Sender":              {"protocol: smtp", "sender: a@example.org"},
	"Recipient":           {"protocol: smtp, sender: a@example.org", "recipient: b@example.org"},
	"Watch":               {passwordLogin, "watch: all"},
	"WatchMaxAge":         {passwordLogin + ", watch: unread", "watch_max_age: 30m"},
	"WatchExpectEvery":    {passwordLogin + ", watch: unread", "watch_expect_every: 24h"},
	"Interval":            {"", "interval: 5m"},
	"Timeout":             {"", "timeout: 5s"},
	"ProbeOnScrape":       {"", "probe_on_scrape: true"},
	"IPProtocol":          {"", "ip_protocol: ip4"},
	"EHLO":                {"protocol: smtp", "ehlo: probe.example.org"},
	"TLS":                 {"", "tls_config: {server_name: x.example.org}"},
	"Realm":               {passwordLogin, "realm: office"},
	"Lockout":             {passwordLogin, "lockout: strict"},
	"HeldProbe":           {passwordLogin, "held_probe: none"},
	"HideServerText":      {"", "server_text: hidden"},
	"Labels":              {"", "labels: {team: b}"},
}

// notInTheFile are the fields of mail.Connection that no entry sets, and why.
var notInTheFile = map[string]string{
	"Source": "it says where the entry is",
}

// onlyDescription are the fields of mail.Connection that change no probe. They change what
// is shown with its outcome.
var onlyDescription = map[string]bool{"Labels": true, "WatchMaxAge": true, "WatchExpectEvery": true}

// loadEntry loads one connection that has these fields, later ones win.
func loadEntry(t *testing.T, parts ...string) *mail.Connection {
	t.Helper()
	entry := map[string]any{"name": "a", "protocol": "imap", "host": "mail.example.org"}
	for _, part := range parts {
		if err := yaml.Unmarshal([]byte("{"+part+"}"), &entry); err != nil {
			t.Fatal(part, err)
		}
	}
	raw, err := yaml.Marshal(map[string]any{"connections": []any{entry}})
	if err != nil {
		t.Fatal(err)
	}
	config, _, err := Parse("config.yml", raw, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return config.Connections[0]
}

// A field that is added to Connection and forgotten on the way from the file
// would have no effect, and no message would say so.
func TestEveryFieldOfConnectionIsInTheFile(t *testing.T) {
	workspace(t)
	schema, reference := string(Schema()), string(Reference())
	for _, field := range reflect.VisibleFields(reflect.TypeFor[mail.Connection]()) {
		way, known := connectionFields[field.Name]
		switch {
		case notInTheFile[field.Name] != "":
			continue
		case !known:
			t.Errorf("%s: add to connectionFields how a file sets it, or to notInTheFile why none does", field.Name)
			continue
		}
		t.Run(field.Name, func(t *testing.T) {
			before, after := loadEntry(t, way.before), loadEntry(t, way.before, way.line)
			read := func(c *mail.Connection) any { return reflect.ValueOf(c).Elem().FieldByIndex(field.Index).Interface() }
			if reflect.DeepEqual(read(before), read(after)) {
				t.Errorf("%q does not set it", way.line)
			}
			if before.Compare(after) < mail.OtherProbe && !onlyDescription[field.Name] {
				t.Errorf("a reload that brings %q is no other probe to mail.Compare", way.line)
			}
			name, _, _ := strings.Cut(way.line, ":")
			if !strings.Contains(schema, fmt.Sprintf("%q: {", name)) || !strings.Contains(reference, "| `"+name+"` |") {
				t.Errorf("%s is not in the schema, or not in the reference", name)
			}
		})
	}
}

// The same walk for entries without a file: each name leads to a field.
func TestFieldsAreKnownToNewConnection(t *testing.T) {
	for _, field := range Fields() {
		name := field.Name
		_, _, err := NewConnection("here", []Setting{{Field: name, Value: "?"}}, nil)
		if err == nil || strings.Contains(err.Error(), "unknown field") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewConnectionReportsEveryFault(t *testing.T) {
	workspace(t)
	settings := []Setting{{"name", "a"}, {"protocol", "imap"}, {"host", "mail.example.org"}, {"username", "bob"},
		{"password_file", "secrets/good"}, {"tls_config.ca_file", "certs/ca.pem"}, {"tls_config.server_name", "x.example.org"}}
	c, _, err := NewConnection("here", settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Address() != "mail.example.org:993" || c.ServerName() != "x.example.org" || c.TLS.RootCAs == nil || c.Mailbox != "INBOX" {
		t.Errorf("got %+v", c)
	}
	_, _, err = NewConnection("here", append(settings, Setting{"port", "x"}, Setting{"prot", "hunter2"}, Setting{"timeout", "1"}), nil)
	for _, want := range []string{"here: port: ", "here: prot: unknown field", "here: timeout: "} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
