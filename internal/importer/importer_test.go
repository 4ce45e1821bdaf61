package importer

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mailprobe/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The sessions of testdata/cli/import.txtar show each format; these are the odd
// cases.
func TestRead(t *testing.T) {
	tests := []struct {
		name   string
		format Format
		text   string
		want   string // of each entry: protocol encryption host:port user password
	}{
		{"fetchmail, a server without users", Fetchmail, "poll a.example.org proto imap", ""},
		{"fetchmail, words without a value", Fetchmail, "poll\nuser", ""},
		{"fetchmail, via another host", Fetchmail, "poll work via a.example.org proto pop3 user \"an na\" pass 'it''s'", "pop3 starttls a.example.org:0 an na/it"},
		{"fetchmail, a # in a password", Fetchmail, "poll a user b pass \"x#y\" # z", "imap starttls a:0 b/x#y"},
		{"fetchmail, a quote in quotes", Fetchmail, `poll a user b pass 'a\'b"c'`, "imap starttls a:0 b/a'b\"c"},
		{"msmtp, an account that inherits", Msmtp, "defaults\ntls on\naccount a\nhost h\nport 587\nauth on\nuser u\npassword p\naccount b : a\nuser v\naccount default : b",
			"smtp starttls h:587 u/p; smtp starttls h:587 v/p"},
		{"mbsync, an unknown kind of TLS", Mbsync, "IMAPAccount a\nHost h\nTLSType Foo\nUser u", "imap tls h:0 u/"},
		{"mbsync, keys before any account", Mbsync, "Host h\nUser u\n", ""},
		{"msmtp, TLS from the first byte", Msmtp, "account a\nhost h\ntls on\ntls_starttls off\nauth login\nuser u\npassword p", "smtp tls h:0 u/p"},
		{"msmtp, no login", Msmtp, "account a\nhost h\nuser u\npassword p", "smtp none h:25 /"},
		{"getmail in clear", Getmail, "[retriever]\ntype=SimpleIMAPRetriever\nserver=h\nport=143\nusername=u\n[options]\nserver=x", "imap none h:143 u/"},
		{"thunderbird, an old kind of socket", Thunderbird, `user_pref("mail.server.server1.type", "imap");` + "\n" + `user_pref("mail.server.server1.hostname", "h");` + "\n" +
			`user_pref("mail.server.server1.socketType", 1);`, "imap starttls h:0 /"},
		{"fetchmail, a port with a colon", Fetchmail, "poll a protocol IMAP port 1993: user b", "imap starttls a:1993 b/"},
		{"fetchmail, a port by its name", Fetchmail, "poll a service IMAPS user b", "imap starttls a:993 b/"},
		{"a port that is none", Mbsync, "IMAPAccount a\nHost h\nPort 99999", "imap starttls h:0 /"},
	}
	for _, test := range tests {
		entries, err := Read(test.format, test.text)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []string
		for _, e := range entries {
			got = append(got, strings.Join([]string{string(e.Protocol), string(e.Encryption), e.Host + ":" + strconv.Itoa(e.Port), e.Username + "/" + e.Password}, " "))
		}
		if text := strings.Join(got, "; "); strings.TrimSpace(text) != strings.TrimSpace(strings.Replace(test.want, "/ ", "/", 1)) {
			t.Errorf("%s: got %q, want %q", test.name, text, test.want)
		}
	}
}

func TestGuess(t *testing.T) {
	for path, want := range map[string]Format{"/home/a/.mbsyncrc": Mbsync, "/etc/blackbox_exporter/blackbox.yml": Blackbox, "~/.fetchmailrc": Fetchmail,
		"getmailrc": Getmail, ".msmtprc": Msmtp, "x.default/prefs.js": Thunderbird, "Uptime_Kuma_Backup_2026.json": UptimeKuma, "config": ""} {
		if got := Guess(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// FuzzRead: whatever a file holds, no reader panics, and no password gets into
// what is shown.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"poll a user b pass cAnArY7q ssl folder x", "IMAPAccount a\nHost h\nPass cAnArY7q\nPassCmd x", "account a\nhost h\nauth on\nuser u\npassword cAnArY7q",
		"[retriever]\ntype=X\npassword=cAnArY7q", `user_pref("mail.server.server1.type", "imap");`, `{"monitorList":[{"type":"port","hostname":"h","port":993}]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range Formats() {
			if format == Blackbox {
				continue
			}
			entries, err := Read(format, text)
			if err != nil && strings.Contains(err.Error(), "cAnArY7q") {
				t.Errorf("%s: the error quotes the file", format)
			}
			for _, e := range entries {
				if e.Protocol == "" || e.Encryption == "" || e.Port < 0 || e.Port > 65535 || e.Name == "" {
					t.Errorf("%s: %+v", format, e)
				}
				if e.Password == "cAnArY7q" && strings.Contains(strings.Join(e.Lost, " "), e.Password) && !strings.Contains(strings.Replace(text, e.Password, "", 1), e.Password) {
					t.Errorf("%s: %q shows the password", format, e.Lost)
				}
			}
		}
		var decoded any
		if json.Unmarshal([]byte(text), &decoded) == nil {
			_, _ = ReadBlackbox(decoded, decoded)
		}
	})
}

// A target of every usual port becomes a connection of its protocol.
func TestBlackboxPorts(t *testing.T) {
	for _, protocol := range mail.Protocols() {
		for _, encryption := range []mail.Encryption{mail.NoEncryption, mail.StartTLS, mail.ImplicitTLS} {
			port := mail.DefaultPort(protocol, encryption)
			e, ok := blackboxEntry("h:"+strconv.Itoa(port), map[string]any{"tcp": map[string]any{"tls": true}})
			if !ok || e.Protocol != protocol || e.Encryption != mail.ImplicitTLS {
				t.Errorf("%d: %+v", port, e)
			}
		}
	}
	if _, ok := blackboxEntry("h", nil); ok {
		t.Error("a target without a port was taken")
	}
}

func TestPortThatIsNoneIsReportedAsLost(t *testing.T) {
	for _, test := range []struct {
		format Format
		text   string
		lost   bool
	}{
		{Mbsync, "IMAPAccount a\nHost h\nPort 99999", true},
		{Fetchmail, "poll h service mail user u", true},
		{Msmtp, "account a\nhost h\nport mail", true},
		{Getmail, "[retriever]\ntype=SimpleIMAPRetriever\nserver=h\nport=-1", true},
		{Thunderbird, "user_pref(\"mail.server.s1.type\", \"imap\");\nuser_pref(\"mail.server.s1.hostname\", \"h\");\nuser_pref(\"mail.server.s1.port\", 70000);", true},
		{Mbsync, "IMAPAccount a\nHost h\nPort 0", false},
		{Mbsync, "IMAPAccount a\nHost h", false},
	} {
		entries, err := Read(test.format, test.text)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%s: %d entries, %v", test.text, len(entries), err)
		}
		if lost := strings.Contains(strings.Join(entries[0].Lost, "; "), "its port is not a number"); lost != test.lost {
			t.Errorf("%s: %q, want a lost port: %v", test.text, entries[0].Lost, test.lost)
		}
	}
}
