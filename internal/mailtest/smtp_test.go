package mailtest

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

func dialSMTP(t *testing.T, server *Server, config *tls.Config) *smtp.Client {
	t.Helper()
	dial := map[string]func() (*smtp.Client, error){
		NoEncryption: func() (*smtp.Client, error) { return smtp.Dial(server.Addr) },
		ImplicitTLS:  func() (*smtp.Client, error) { return smtp.DialTLS(server.Addr, config) },
		StartTLS:     func() (*smtp.Client, error) { return smtp.DialStartTLS(server.Addr, config) },
	}[server.options.Encryption]
	client, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestSMTPServerLetsTheLibraryIn(t *testing.T) {
	ca := MustCA(CAOptions{})
	for _, encryption := range encryptions() {
		t.Run(encryption, func(t *testing.T) {
			server := start(t, ca, Options{Protocol: SMTP, Encryption: encryption, Users: map[string]string{"ann": "p w"}})
			client := dialSMTP(t, server, trust(ca))
			var answer *smtp.SMTPError
			if err := client.Mail("ann@example.org", nil); !errors.As(err, &answer) || answer.Code != 530 {
				t.Errorf("MAIL before the login: got %v, want 530", err)
			}
			for _, step := range []func() error{
				func() error { return client.Auth(sasl.NewLoginClient("ann", "p w")) },
				func() error { return client.Mail("ann@example.org", nil) },
				func() error { return client.Rcpt("bob@example.org", nil) },
				client.Quit,
			} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			checkVerbs(t, server, "MAIL", "AUTH", "MAIL", "RCPT", "QUIT")
			want := []Login{{Mechanism: "LOGIN", User: "ann", Secret: "p w", Accepted: true}}
			if got := server.Logins(); !slices.Equal(got, want) {
				t.Errorf("logins: got %+v, want %+v", got, want)
			}
		})
	}
}

func TestSMTPServerRefuses(t *testing.T) {
	users := map[string]string{"ann": "right"}
	tests := []struct {
		name     string
		options  Options
		password string
		wantCode int
		want     smtp.EnhancedCode
	}{
		{"wrong password", Options{Users: users}, "wrong", 535, smtp.EnhancedCode{5, 7, 8}},
		{"the tenant is switched off", Options{Users: users, Refuse: Refusing("535 5.7.139 tenant is off")}, "right",
			535, smtp.EnhancedCode{5, 7, 139}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.options.Protocol, test.options.Encryption = SMTP, NoEncryption
			client := dialSMTP(t, start(t, nil, test.options), nil)
			var answer *smtp.SMTPError
			err := client.Auth(sasl.NewPlainClient("", "ann", test.password))
			if !errors.As(err, &answer) || answer.Code != test.wantCode || answer.EnhancedCode != test.want {
				t.Errorf("AUTH: got %v, want %d %v", err, test.wantCode, test.want)
			}
		})
	}
}

func TestSMTPServerAcceptsOnlyItsSenders(t *testing.T) {
	server := start(t, nil, Options{Protocol: SMTP, Encryption: NoEncryption, Senders: []string{"helpdesk@example.org"}})
	client := dialSMTP(t, server, nil)
	if err := client.Mail("helpdesk@example.org", nil); err != nil {
		t.Errorf("MAIL of an allowed sender: %v", err)
	}
	if err := client.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := client.Mail("board@example.org", nil); err == nil {
		t.Error("MAIL of a foreign sender was accepted")
	}
}

func TestServerHearsDATA(t *testing.T) {
	server := start(t, nil, Options{Protocol: SMTP, Encryption: NoEncryption})
	client := dialSMTP(t, server, nil)
	if err := client.SendMail("a@example.org", []string{"b@example.org"}, strings.NewReader("RSET\r\n")); err != nil {
		t.Fatal(err)
	}
	checkVerbs(t, server, "MAIL", "RCPT", "DATA")
}
