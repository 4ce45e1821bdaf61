package mailtest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// client is the client's side of a mechanism: its name, and its answers to one
// challenge after the other, the first of them nil.
type client struct {
	name string
	next func(challenge []byte) []byte
}

func (c client) Start() (string, []byte, error)        { return c.name, c.next(nil), nil }
func (c client) Next(challenge []byte) ([]byte, error) { return c.next(challenge), nil }

// in says one message and nothing more.
func in(name, message string) client {
	return client{name, func(challenge []byte) []byte {
		if challenge == nil {
			return []byte(message)
		}
		return []byte{}
	}}
}

func cramClient(user, password string) client {
	return client{"CRAM-MD5", func(challenge []byte) []byte {
		if challenge == nil {
			return nil
		}
		keyed := hmac.New(md5.New, []byte(password))
		keyed.Write(challenge)
		return []byte(user + " " + hex.EncodeToString(keyed.Sum(nil)))
	}}
}

func scramClient(t *testing.T, name string, hash scram.HashGeneratorFcn, user, password string) client {
	t.Helper()
	prepared, err := hash.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	conversation := prepared.NewConversation()
	return client{name, func(challenge []byte) []byte {
		answer, _ := conversation.Step(string(challenge))
		return append([]byte{}, answer...)
	}}
}

func allMechanisms() Options {
	return Options{
		Users:  map[string]string{"ann": "pw", "a,b=c": "pw"},
		Tokens: map[string][]string{"token": {"ann", "a,b=c"}},
		Mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256",
			"XOAUTH2", "OAUTHBEARER", "EXTERNAL"},
	}
}

func TestMechanisms(t *testing.T) {
	tests := []struct {
		name   string
		client func(*testing.T) sasl.Client
		wantOK bool
	}{
		{"cram-md5", func(*testing.T) sasl.Client { return cramClient("ann", "pw") }, true},
		{"cram-md5 wrong", func(*testing.T) sasl.Client { return cramClient("ann", "no") }, false},
		{"scram-sha-1", func(t *testing.T) sasl.Client { return scramClient(t, "SCRAM-SHA-1", scram.SHA1, "ann", "pw") }, true},
		{"scram-sha-256", func(t *testing.T) sasl.Client { return scramClient(t, "SCRAM-SHA-256", scram.SHA256, "ann", "pw") }, true},
		{"scram wrong", func(t *testing.T) sasl.Client { return scramClient(t, "SCRAM-SHA-256", scram.SHA256, "ann", "no") }, false},
		{"scram stranger", func(t *testing.T) sasl.Client { return scramClient(t, "SCRAM-SHA-256", scram.SHA256, "eve", "pw") }, false},
		{"xoauth2", func(*testing.T) sasl.Client { return in("XOAUTH2", "user=ann\x01auth=Bearer token\x01\x01") }, true},
		{"xoauth2 wrong", func(*testing.T) sasl.Client { return in("XOAUTH2", "user=ann\x01auth=Bearer no\x01\x01") }, false},
		{"oauthbearer", func(*testing.T) sasl.Client {
			return in("OAUTHBEARER", "n,a=a=2Cb=3Dc,\x01auth=Bearer token\x01\x01")
		}, true},
		{"oauthbearer half", func(*testing.T) sasl.Client { return in("OAUTHBEARER", "n,a=ann,\x01auth=Bearer token") }, false},
		{"external without a certificate", func(*testing.T) sasl.Client { return in("EXTERNAL", "") }, false},
	}
	for _, protocol := range []string{IMAP, SMTP} {
		o := allMechanisms()
		o.Protocol, o.Encryption = protocol, NoEncryption
		server := start(t, nil, o)
		for _, test := range tests {
			t.Run(protocol+" "+test.name, func(t *testing.T) {
				login := map[string]func(sasl.Client) error{
					IMAP: func(c sasl.Client) error { return dialIMAP(t, server, nil).Authenticate(c) },
					SMTP: func(c sasl.Client) error { return dialSMTP(t, server, nil).Auth(c) },
				}[protocol]
				if err := login(test.client(t)); (err == nil) != test.wantOK {
					t.Errorf("AUTH: got %v, want success %v", err, test.wantOK)
				}
			})
		}
	}
}

func TestExternalTakesTheClientCertificate(t *testing.T) {
	ca := MustCA(CAOptions{})
	mine := ca.MustIssue(CertOptions{CommonName: "ann", EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	o := allMechanisms()
	o.Protocol, o.Encryption, o.ClientCAs = SMTP, StartTLS, ca.Pool()
	server := start(t, ca, o)
	config := trust(ca)
	config.Certificates = []tls.Certificate{mine}
	if err := dialSMTP(t, server, config).Auth(in("EXTERNAL", "")); err != nil {
		t.Error(err)
	}
	want := []Login{{Mechanism: "EXTERNAL", User: "ann", Accepted: true}}
	if got := server.Logins(); !slices.Equal(got, want) {
		t.Errorf("logins: got %+v, want %+v", got, want)
	}
}

func TestPOP3RefusesATokenInTwoSteps(t *testing.T) {
	o := allMechanisms()
	o.Protocol, o.Encryption = POP3, NoEncryption
	text := dialText(t, start(t, nil, o))
	expect(t, text, "", "+OK")
	expect(t, text, "AUTH XOAUTH2", "+ ")
	blob := base64.StdEncoding.EncodeToString([]byte("user=ann\x01auth=Bearer no\x01\x01"))
	expect(t, text, blob, "+ "+base64.StdEncoding.EncodeToString([]byte(`{"status":"401"`))[:16])
	expect(t, text, "=", "-ERR [AUTH]")
}
