package prober

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"mailprobe/mail"
)

// scramWithNonce is a SCRAM client whose nonce is that of an RFC's example.
func scramWithNonce(t testing.TB, method mail.AuthMethod, hash scram.HashGeneratorFcn, nonce string) *scramClient {
	t.Helper()
	client, err := hash.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	client.WithNonceGenerator(func() string { return nonce })
	return &scramClient{method: method, conversation: client.NewConversation()}
}

func mustClient(t testing.TB, method mail.AuthMethod, id identity) sasl.Client {
	t.Helper()
	client, err := mechanisms[method].client(id)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Both SCRAM examples: RFC 5802 section 5 and RFC 7677 section 3.
const (
	scram1First   = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
	scram1Final   = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="
	scram1Nonce   = "fyko+d2lbbFgONRv9qkxdawL"
	scram256Nonce = "rOprNGfwEbeRWgbNEkqO"
	scram256First = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	scram256Final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func TestMechanismsSpeakTheirExamples(t *testing.T) {
	type example struct {
		name       string
		client     sasl.Client
		challenges []string
		want       []string // mechanism, initial response if any, answers
	}
	tests := []example{
		{"PLAIN, RFC 4616", mustClient(t, mail.AuthPlain, identity{user: "tim", secret: "tanstaaftanstaaf"}), nil,
			[]string{"PLAIN", "\x00tim\x00tanstaaftanstaaf"}},
		{"PLAIN with authzid, RFC 4616", mustClient(t, mail.AuthPlain, identity{authzid: "Ursel", user: "Kurt", secret: "xipj3plmq"}), nil,
			[]string{"PLAIN", "Ursel\x00Kurt\x00xipj3plmq"}},
		{"CRAM-MD5, RFC 2195", mustClient(t, mail.AuthCRAMMD5, identity{user: "tim", secret: "tanstaaftanstaaf"}),
			[]string{"<1896.697170952@postoffice.reston.mci.net>"},
			[]string{"CRAM-MD5", "tim b913a602c7eda7a495b4e6e7334d3890"}},
		{"SCRAM-SHA-1, RFC 5802", scramWithNonce(t, mail.AuthSCRAMSHA1, scram.SHA1, scram1Nonce),
			[]string{scram1First, scram1Final},
			[]string{"SCRAM-SHA-1", "n,,n=user,r=" + scram1Nonce,
				"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", ""}},
		{"SCRAM-SHA-256, RFC 7677", scramWithNonce(t, mail.AuthSCRAMSHA256, scram.SHA256, scram256Nonce),
			[]string{scram256First, scram256Final},
			[]string{"SCRAM-SHA-256", "n,,n=user,r=" + scram256Nonce,
				"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", ""}},
		{"LOGIN with the draft's prompts", mustClient(t, mail.AuthSASLLogin, identity{user: "tim", secret: "secret"}),
			[]string{"Username:", "Password:"}, []string{"LOGIN", "tim", "secret"}},
		{"LOGIN with anybody's prompts", mustClient(t, mail.AuthSASLLogin, identity{user: "tim", secret: "secret"}),
			[]string{"User Name\x00", ""}, []string{"LOGIN", "tim", "secret"}},
		{"OAUTHBEARER escapes the name", mustClient(t, mail.AuthOAuthBearer, identity{user: "a,b=c", secret: "t", host: "::1", port: 143}), nil,
			[]string{"OAUTHBEARER", "n,a=a=2Cb=3Dc,\x01host=[::1]\x01port=143\x01auth=Bearer t\x01\x01"}},
		{"XOAUTH2 has no escapes", mustClient(t, mail.AuthXOAuth2, identity{user: "a,b=c", secret: "t"}), nil,
			[]string{"XOAUTH2", "user=a,b=c\x01auth=Bearer t\x01\x01"}},
		{"EXTERNAL for itself", mustClient(t, mail.AuthExternal, identity{}), nil, []string{"EXTERNAL", ""}},
		{"EXTERNAL for another", mustClient(t, mail.AuthExternal, identity{user: "alice", authzid: "helpdesk"}), nil, []string{"EXTERNAL", "helpdesk"}},
		{"the server passed over the first message", mustClient(t, mail.AuthPlain, identity{user: "a", secret: "b"}), []string{""},
			[]string{"PLAIN", "\x00a\x00b", "\x00a\x00b"}},
		{"the server passed over SCRAM's first message", scramWithNonce(t, mail.AuthSCRAMSHA1, scram.SHA1, scram1Nonce), []string{""},
			[]string{"SCRAM-SHA-1", "n,,n=user,r=" + scram1Nonce, "n,,n=user,r=" + scram1Nonce}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &fakeServer{room: 1 << 10, challenges: tt.challenges}
			if err := server.exchange(&saslExchange{mechanism: tt.client}); err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprintf("%q", server.said), fmt.Sprintf("%q", tt.want); got != want {
				t.Errorf("said %s, want %s", got, want)
			}
		})
	}
	for method, m := range mechanisms {
		if !slices.ContainsFunc(tests, func(tt example) bool { return tt.want[0] == m.name }) {
			t.Errorf("%s has no example", method)
		}
	}
}

func TestTokenMechanismsEncodeAsDocumented(t *testing.T) {
	tests := []struct {
		name   string
		method mail.AuthMethod
		id     identity
		want   string
	}{
		{"OAUTHBEARER, RFC 7628 section 4.1", mail.AuthOAuthBearer,
			identity{user: "user@example.com", secret: "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", host: "server.example.com", port: 143},
			"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"},
		{"XOAUTH2, Google's example", mail.AuthXOAuth2,
			identity{user: "someuser@example.com", secret: "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"},
			"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, first, err := mustClient(t, tt.method, tt.id).Start()
			if got := encode(string(first)); err != nil || got != tt.want {
				t.Errorf("encoded %s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

func TestMechanismsRefuseWhatTheyDoNotHave(t *testing.T) {
	id := identity{user: "alice", secret: "hunter2", host: "mail.example.org", port: 993}
	tests := []struct {
		name       string
		method     mail.AuthMethod
		challenges []string
		want       mail.Reason
	}{
		{"PLAIN is challenged twice", mail.AuthPlain, []string{"why", "why"}, mail.ProtocolMalformed},
		{"PLAIN is asked twice", mail.AuthPlain, []string{"", ""}, mail.ProtocolMalformed},
		{"EXTERNAL is challenged twice", mail.AuthExternal, []string{"why", "why"}, mail.ProtocolMalformed},
		{"LOGIN has a third question", mail.AuthSASLLogin, []string{"user", "pass", "pet"}, mail.ProtocolMalformed},
		{"CRAM-MD5 signs nothing empty", mail.AuthCRAMMD5, []string{""}, mail.ProtocolMalformed},
		{"CRAM-MD5 signs once", mail.AuthCRAMMD5, []string{"<1@a>", "<2@a>"}, mail.ProtocolMalformed},
		{"XOAUTH2 says why twice", mail.AuthXOAuth2, []string{"{}", "{}"}, mail.ProtocolMalformed},
		{"OAUTHBEARER asks again after its error", mail.AuthOAuthBearer, []string{"{}", ""}, mail.ProtocolMalformed},
		{"SCRAM gets garbage", mail.AuthSCRAMSHA256, []string{"\x00\xff"}, mail.ProtocolMalformed},
		{"SCRAM asks twice for the first message", mail.AuthSCRAMSHA256, []string{"", ""}, mail.ProtocolMalformed},
		{"SCRAM gets another nonce", mail.AuthSCRAMSHA1, []string{scram1First}, mail.ProtocolMalformed},
		{"SCRAM is to work for minutes", mail.AuthSCRAMSHA256, []string{"r=x,s=AAAA,i=2147483647"}, mail.ProtocolOversize},
		{"SCRAM is to work for ever", mail.AuthSCRAMSHA256, []string{"r=x,s=AAAA,i=99999999999999999999999"}, mail.ProtocolOversize},
		{"SCRAM just above the ceiling", mail.AuthSCRAMSHA256, []string{"r=x,s=AAAA,i=600001"}, mail.ProtocolOversize},
		{"SCRAM made cheap", mail.AuthSCRAMSHA256, []string{"r=x,s=AAAA,i=1"}, mail.ProtocolMalformed},
		{"SCRAM with a count that is none", mail.AuthSCRAMSHA256, []string{"r=x,s=AAAA,i=-1"}, mail.ProtocolMalformed},
		{"SCRAM accepted without a word", mail.AuthSCRAMSHA256, nil, mail.ProtocolMalformed},
		{"SCRAM accepted after an error", mail.AuthSCRAMSHA256, []string{"e=invalid-proof"}, mail.ProtocolMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &fakeServer{challenges: tt.challenges}
			err := exchangeWith(server, tt.method, mustClient(t, tt.method, id))
			if reasonIn(err) != tt.want {
				t.Errorf("ended with %q (%v), want %q", reasonIn(err), err, tt.want)
			}
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// exchangeWith runs a mechanism against a server.
func exchangeWith(server *fakeServer, method mail.AuthMethod, mechanism sasl.Client) error {
	server.room = 1 << 10
	x := &saslExchange{mechanism: mechanism, method: method}
	return x.run(server)
}

func TestSCRAMDemandsTheServersSignature(t *testing.T) {
	refused := diagnosed(refusal{protocol: mail.IMAP, command: "AUTHENTICATE", reply: reply{status: "NO"}})
	tests := []struct {
		name       string
		challenges []string
		verdict    error
		want       mail.Reason
	}{
		{"the right signature", []string{scram1First, scram1Final}, nil, ""},
		{"a wrong one", []string{scram1First, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, nil, mail.ProtocolMalformed},
		{"none: OK right after the proof", []string{scram1First}, nil, mail.ProtocolMalformed},
		{"an empty one", []string{scram1First, ""}, nil, mail.ProtocolMalformed},
		{"one more challenge", []string{scram1First, scram1Final, "again"}, nil, mail.ProtocolMalformed},
		{"an honest refusal", []string{scram1First}, refused, ""},
		{"a refusal with SCRAM's own error", []string{scram1First, "e=invalid-proof"}, refused, ""},
		{"a lie: error, then OK", []string{scram1First, "e=other-error"}, nil, mail.ProtocolMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &fakeServer{challenges: tt.challenges, verdict: tt.verdict}
			err := exchangeWith(server, mail.AuthSCRAMSHA1, scramWithNonce(t, mail.AuthSCRAMSHA1, scram.SHA1, scram1Nonce))
			if reasonIn(err) != tt.want || tt.verdict != nil && !errors.Is(err, tt.verdict) || tt.want == "" && tt.verdict == nil && err != nil {
				t.Errorf("ended with %q (%v), want %q", reasonIn(err), err, tt.want)
			}
		})
	}
}

func TestSCRAMNamesAnAuthorizationIdentity(t *testing.T) {
	client := mustClient(t, mail.AuthSCRAMSHA256, identity{authzid: "help=desk,1", user: "alice", secret: "x"})
	if _, first, err := client.Start(); err != nil || !strings.HasPrefix(string(first), "n,a=help=3Ddesk=2C1,n=alice,r=") {
		t.Errorf("first message %q (%v), want the authzid escaped", first, err)
	}
}

func TestNamesThatBreakTheTokenFrameAreRefused(t *testing.T) {
	for _, method := range []mail.AuthMethod{mail.AuthXOAuth2, mail.AuthOAuthBearer} {
		if _, err := mechanisms[method].client(identity{user: "a\x01auth=Bearer x", secret: "t"}); reasonIn(err) != mail.AuthMechanism {
			t.Errorf("%s: %v, want a fault", method, err)
		}
	}
}

// endless is a mechanism that would go on for ever.
type endless struct{}

func (endless) Start() (string, []byte, error)    { return "ENDLESS", nil, nil }
func (endless) Next(c []byte) (_ []byte, _ error) { return nil, nil }

func TestExchangeEndsAfterFourChallenges(t *testing.T) {
	for _, tt := range []struct {
		rounds int
		want   mail.Reason
	}{{4, ""}, {5, mail.ProtocolOversize}, {1000, mail.ProtocolOversize}} {
		server := &fakeServer{challenges: make([]string, tt.rounds)}
		err := exchangeWith(server, "endless", endless{})
		if reasonIn(err) != tt.want || len(server.said) > 5 {
			t.Errorf("%d challenges: %q after %d messages, want %q", tt.rounds, reasonIn(err), len(server.said), tt.want)
		}
	}
}

func TestAPOPTimestamp(t *testing.T) {
	tests := []struct{ name, greeting, want string }{
		{"RFC 1939", "POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>"},
		{"in the middle", "ready <1@a> hello", "<1@a>"},
		{"none", "ready", ""},
		{"empty brackets", "ready <>", ""},
		{"500 characters", "ready <" + strings.Repeat("1", 498) + "@a>", ""},
		{"never closed", "ready <1@a", ""},
		{"no host", "ready <1896.697170952@>", ""},
		{"no process", "ready <@a>", ""},
		{"no at sign", "ready <hello>", ""},
		{"two at signs", "ready <1@a@b>", ""},
		{"space inside", "ready <1 2@a>", ""},
		{"nested", "ready <<1@a>", ""},
		{"eight bit", "ready <1\x80@a>", ""},
		{"control", "ready <1\x1b@a>", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := apopTimestamp(tt.greeting); got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzChallenges plays any challenges against every mechanism: it must end, must
// not panic, must never answer nil, and must not repeat the server or the secret
// in an error.
func FuzzChallenges(f *testing.F) {
	for _, seed := range [][3]string{
		{scram1First, scram1Final, ""}, {scram256First, scram256Final, ""}, {"Username:", "Password:", ""},
		{"<1896.697170952@postoffice.reston.mci.net>", "", ""}, {`{"status":"401"}`, "", ""}, {"", "", ""},
		{"r=,s=,i=", "e=x", "v="}, {"r=x,s=====,i=4096", "v=", "e="}, {"i=600001", "", ""}, {"m=x,r=a,s=a,i=4096", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	id := identity{user: "alice", secret: "S3cr3t-Fuzz", host: "h", port: 1}
	f.Fuzz(func(t *testing.T, one, two, three string) {
		for method := range mechanisms {
			client := mustClient(t, method, id)
			if method == mail.AuthSCRAMSHA1 {
				client = scramWithNonce(t, method, scram.SHA1, scram1Nonce)
			}
			server := &fakeServer{challenges: []string{one, two, three, one, two, three}}
			err := exchangeWith(server, method, client)
			if err == nil || reasonIn(err) == "" {
				t.Fatalf("%s: six challenges ended with %v, want a fault", method, err)
			}
			if strings.Contains(err.Error(), id.secret) || len(server.said) > 2+maxSASLRounds {
				t.Fatalf("%s: %d messages and %v", method, len(server.said), err)
			}
		}
	})
}

// FuzzAPOPTimestamp checks that whatever is found is safe to sign.
func FuzzAPOPTimestamp(f *testing.F) {
	f.Add("POP3 server ready <1896.697170952@dbc.mtview.ca.us>")
	f.Add("<<>@>")
	f.Fuzz(func(t *testing.T, greeting string) {
		got := apopTimestamp(greeting)
		if got == "" {
			return
		}
		if len(got) < 5 || len(got) > maxAPOPTimestamp || !strings.Contains(greeting, got) || strings.ContainsAny(got, " \r\n\x00\x7f") {
			t.Fatalf("found %q in %q", got, greeting)
		}
	})
}
