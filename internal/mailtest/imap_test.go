package mailtest

import (
	"crypto/tls"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

func dialIMAP(t *testing.T, server *Server, config *tls.Config) *imapclient.Client {
	t.Helper()
	options := &imapclient.Options{TLSConfig: config}
	dial := map[string]func(string, *imapclient.Options) (*imapclient.Client, error){
		NoEncryption: imapclient.DialInsecure, ImplicitTLS: imapclient.DialTLS, StartTLS: imapclient.DialStartTLS,
	}[server.options.Encryption]
	client, err := dial(server.Addr, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestIMAPServerLetsTheLibraryIn(t *testing.T) {
	ca := MustCA(CAOptions{})
	for _, encryption := range encryptions() {
		t.Run(encryption, func(t *testing.T) {
			server := start(t, ca, Options{Protocol: IMAP, Encryption: encryption,
				Users: map[string]string{"ann": "p w"}, Messages: 3, Others: "Other Users/"})
			client := dialIMAP(t, server, trust(ca))
			if err := client.Login("ann", "p w").Wait(); err != nil {
				t.Fatal(err)
			}
			data, err := client.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
			if err != nil || data.NumMessages != 3 {
				t.Fatalf("EXAMINE: got %+v, %v, want 3 messages", data, err)
			}
			spaces, err := client.Namespace().Wait()
			if err != nil || len(spaces.Other) != 1 || spaces.Other[0].Prefix != "Other Users/" {
				t.Fatalf("NAMESPACE: got %+v, %v", spaces, err)
			}
			if err := client.Logout().Wait(); err != nil {
				t.Fatal(err)
			}
			checkVerbs(t, server, "LOGIN", "EXAMINE", "NAMESPACE", "LOGOUT")
			want := []Login{{Mechanism: "LOGIN", User: "ann", Secret: "p w", Accepted: true}}
			if got := server.Logins(); !slices.Equal(got, want) {
				t.Errorf("logins: got %+v, want %+v", got, want)
			}
		})
	}
}

func TestIMAPServerRefuses(t *testing.T) {
	tests := []struct {
		name     string
		options  Options
		password string
		wantCode imap.ResponseCode
	}{
		{name: "wrong password", password: "wrong", wantCode: imap.ResponseCodeAuthenticationFailed},
		{name: "login in clear forbidden", password: "right", wantCode: imap.ResponseCodePrivacyRequired,
			options: Options{ForbidClearLogin: true}},
		{name: "the backend is down", password: "right", wantCode: imap.ResponseCodeUnavailable,
			options: Options{Refuse: Refusing("NO [UNAVAILABLE] backend down")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.options.Protocol, test.options.Encryption = IMAP, NoEncryption
			test.options.Users = map[string]string{"ann": "right"}
			server := start(t, nil, test.options)
			client := dialIMAP(t, server, nil)
			var answer *imap.Error
			if err := client.Login("ann", test.password).Wait(); !errors.As(err, &answer) || answer.Code != test.wantCode {
				t.Errorf("LOGIN: got %v, want code %s", err, test.wantCode)
			}
		})
	}
}

func TestIMAPServerOpensTheOwnerThatWasAskedFor(t *testing.T) {
	server := start(t, nil, Options{Protocol: IMAP, Encryption: NoEncryption, Messages: 1,
		Users: map[string]string{"ann": "pw"}, ActAs: map[string][]string{"ann": {"helpdesk"}}})
	for _, test := range []struct {
		authzid string
		wantOK  bool
	}{{"", true}, {"helpdesk", true}, {"board", false}} {
		client := dialIMAP(t, server, nil)
		err := client.Authenticate(sasl.NewPlainClient(test.authzid, "ann", "pw"))
		if (err == nil) != test.wantOK {
			t.Errorf("AUTHENTICATE as %q: got %v, want success %v", test.authzid, err, test.wantOK)
		}
		if err == nil {
			if _, err := client.Select("INBOX", nil).Wait(); err != nil {
				t.Errorf("SELECT as %q: %v", test.authzid, err)
			}
		}
	}
}

func TestServerDelaysAndCloses(t *testing.T) {
	server := start(t, nil, Options{Protocol: IMAP, Encryption: NoEncryption, GreetingDelay: time.Hour})
	client := dialIMAP(t, server, nil)
	for server.Connections() == 0 { // a counter: no event to wait for
		time.Sleep(time.Millisecond)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.WaitGreeting(); err == nil {
		t.Error("got a greeting from a server that waits an hour")
	}
	if got := server.Open(); got != 0 {
		t.Errorf("open connections after Close: got %d, want 0", got)
	}
}

// checkVerbs compares the commands seen, leaving out those that the libraries
// send by themselves.
func checkVerbs(t *testing.T, server *Server, want ...string) {
	t.Helper()
	own := []string{"CAPABILITY", "STARTTLS", "STLS", "EHLO", "CAPA"}
	got := slices.DeleteFunc(server.Verbs(), func(verb string) bool { return slices.Contains(own, verb) })
	if !slices.Equal(got, want) {
		t.Errorf("commands: got %q, want %q", got, want)
	}
}
