package prober

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

// fakeServer is the server's half of a login: it offers, challenges and gives a
// verdict, and writes down what the client said.
type fakeServer struct {
	offers     offer
	challenges []string
	verdict    error

	said []string // mechanism, then each message, or the command and its arguments
}

func (f *fakeServer) offer() offer { return f.offers }

func (f *fakeServer) native(user, password string) error {
	f.said = append(f.said, "LOGIN", user, password)
	return f.verdict
}

func (f *fakeServer) apop(user, digest string) error {
	f.said = append(f.said, "APOP", user, digest)
	return f.verdict
}

func (f *fakeServer) exchange(client sasl.Client) error {
	name, first, err := client.Start()
	if err != nil {
		return err
	}
	f.said = append(f.said, name)
	if first != nil {
		f.said = append(f.said, string(first))
	}
	for _, challenge := range f.challenges {
		answer, err := client.Next([]byte(challenge))
		if err != nil {
			return fmt.Errorf("flattened: %s", err) // as libraries do
		}
		if answer == nil {
			return errors.New("nil answer")
		}
		f.said = append(f.said, string(answer))
	}
	return f.verdict
}

// offering is a server that offers the SASL mechanisms and its own command.
func offering(names ...string) offer {
	o := offer{sasl: map[string]bool{}, native: true}
	for _, name := range names {
		o.sasl[name] = true
	}
	return o
}

func alice(change func(*Connection)) *Connection {
	c := &Connection{Protocol: IMAP, Encryption: ImplicitTLS, Host: "mail.example.org",
		Username: "alice", Auth: AuthAuto, LoginNameFormat: `{username}\{shared_mailbox}`}
	if change != nil {
		change(c)
	}
	return c
}

func reasonIn(err error) Reason {
	var f *fault
	if errors.As(err, &f) {
		return f.reason
	}
	return ""
}

func TestChooseMechanism(t *testing.T) {
	everything := offering("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "EXTERNAL")
	nativeOff := func(o offer) offer { o.native, o.needsTLS = false, true; return o }
	without := func(names ...string) offer {
		o := offering("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")
		for _, name := range names {
			delete(o.sasl, name)
		}
		return o
	}
	shared := func(access SharedAccess, method AuthMethod) *Connection {
		return alice(func(c *Connection) { c.SharedMailbox, c.SharedMailboxAccess, c.Auth = "helpdesk", access, method })
	}
	with := func(p Protocol, method AuthMethod) *Connection {
		return alice(func(c *Connection) { c.Protocol, c.Auth = p, method })
	}
	tests := []struct {
		name      string
		c         *Connection
		o         offer
		clear     bool
		want      AuthMethod
		wantFault Reason
	}{
		{"auto under TLS takes PLAIN", with(IMAP, AuthAuto), everything, false, AuthPlain, ""},
		{"auto under TLS falls back to the own command", with(IMAP, AuthAuto), offering(), false, AuthLogin, ""},
		{"auto under TLS never takes a weaker hash", with(IMAP, AuthAuto), offering("CRAM-MD5"), false, AuthLogin, ""},
		{"auto on SMTP under TLS takes AUTH LOGIN", with(SMTP, AuthAuto), offering("LOGIN"), false, AuthLogin, ""},
		{"auto on SMTP has no own command", with(SMTP, AuthAuto), offering(), false, "", AuthMechanism},
		{"auto in clear takes SCRAM-SHA-256", with(IMAP, AuthAuto), everything, true, AuthSCRAMSHA256, ""},
		{"auto in clear takes SCRAM-SHA-1 next", with(IMAP, AuthAuto), without("SCRAM-SHA-256"), true, AuthSCRAMSHA1, ""},
		{"auto in clear takes CRAM-MD5 next", with(IMAP, AuthAuto), without("SCRAM-SHA-256", "SCRAM-SHA-1"), true, AuthCRAMMD5, ""},
		{"auto in clear takes PLAIN when nothing hides", with(IMAP, AuthAuto), offering("PLAIN"), true, AuthPlain, ""},
		{"auto in clear takes the own command last", with(POP3, AuthAuto), offering(), true, AuthLogin, ""},
		{"auto never takes a token or a certificate", with(SMTP, AuthAuto), offering("XOAUTH2", "EXTERNAL"), false, "", AuthMechanism},
		{"LOGINDISABLED in clear", with(IMAP, AuthAuto), nativeOff(offering()), true, "", AuthNeedsTLS},
		{"LOGINDISABLED after TLS", with(IMAP, AuthAuto), nativeOff(offering()), false, "", AuthNeedsTLS},
		{"LOGINDISABLED after TLS, PLAIN offered", with(IMAP, AuthAuto), nativeOff(offering("PLAIN")), false, AuthPlain, ""},
		{"LOGINDISABLED in clear, SCRAM offered", with(IMAP, AuthAuto), nativeOff(offering("SCRAM-SHA-1")), true, AuthSCRAMSHA1, ""},
		{"LOGINDISABLED after TLS does not speak of tokens", with(IMAP, AuthXOAuth2), nativeOff(offering()), false, "", AuthMechanism},
		{"configured plain is not offered", with(SMTP, AuthPlain), offering("LOGIN"), false, "", AuthMechanism},
		{"configured login on SMTP needs LOGIN", with(SMTP, AuthLogin), offering("PLAIN"), false, "", AuthMechanism},
		{"configured login on POP3 is USER and PASS", with(POP3, AuthLogin), offering(), false, AuthLogin, ""},
		{"configured sasl-login is not the own command", with(IMAP, AuthSASLLogin), offering(), false, "", AuthMechanism},
		{"configured cram-md5 under TLS", with(IMAP, AuthCRAMMD5), everything, false, AuthCRAMMD5, ""},
		{"apop with a timestamp", with(POP3, AuthAPOP), offer{apop: "<1@a>"}, false, AuthAPOP, ""},
		{"apop without one", with(POP3, AuthAPOP), everything, false, "", AuthMechanism},
		{"apop outside POP3", with(IMAP, AuthAPOP), offer{apop: "<1@a>"}, false, "", AuthMechanism},
		{"external", with(SMTP, AuthExternal), everything, false, AuthExternal, ""},
		{"none", with(SMTP, AuthNone), offering(), false, AuthNone, ""},
		{"an unknown word", with(SMTP, "ntlm"), everything, false, "", AuthMechanism},
		{"login_name goes by the own command", shared(SharedLoginName, AuthAuto), everything, false, AuthLogin, ""},
		{"login_name in clear too", shared(SharedLoginName, AuthAuto), everything, true, AuthLogin, ""},
		{"login_name obeys a written method", shared(SharedLoginName, AuthPlain), everything, false, AuthPlain, ""},
		{"authzid takes PLAIN", shared(SharedAuthzID, AuthAuto), everything, false, AuthPlain, ""},
		{"authzid in clear takes SCRAM", shared(SharedAuthzID, AuthAuto), everything, true, AuthSCRAMSHA256, ""},
		{"authzid has no own command", shared(SharedAuthzID, AuthAuto), offering("CRAM-MD5"), true, "", AuthMechanism},
		{"authzid cannot ride on cram-md5", shared(SharedAuthzID, AuthCRAMMD5), everything, false, "", AuthMechanism},
		{"authzid cannot ride on login", shared(SharedAuthzID, AuthLogin), everything, false, "", AuthMechanism},
		{"authzid cannot ride on xoauth2", shared(SharedAuthzID, AuthXOAuth2), everything, false, "", AuthMechanism},
		{"token_user needs a token", shared(SharedTokenUser, AuthAuto), everything, false, "", AuthMechanism},
		{"token_user with xoauth2", shared(SharedTokenUser, AuthXOAuth2), everything, false, AuthXOAuth2, ""},
		{"folder logs in as ever", shared(SharedFolder, AuthAuto), everything, false, AuthPlain, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := chooseMechanism(tt.c, tt.o, !tt.clear)
			if got != tt.want || reasonIn(err) != tt.wantFault {
				t.Errorf("chose %q with fault %q (%v), want %q with %q", got, reasonIn(err), err, tt.want, tt.wantFault)
			}
		})
	}
}

func TestAuthenticateOnTheWire(t *testing.T) {
	const password = "pa\"ss\\ wörd"
	tests := []struct {
		name   string
		change func(*Connection)
		offers offer
		want   []string
	}{
		{"imap login", func(c *Connection) { c.Auth = AuthLogin }, offering(), []string{"LOGIN", "alice", password}},
		{"pop3 user and pass", func(c *Connection) { c.Protocol = POP3 }, offering(), []string{"LOGIN", "alice", password}},
		{"plain", nil, offering("PLAIN"), []string{"PLAIN", "\x00alice\x00" + password}},
		{"exchange login name", func(c *Connection) {
			c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", SharedLoginName
		}, offering("PLAIN"), []string{"LOGIN", `alice\helpdesk`, password}},
		{"dovecot master user", func(c *Connection) {
			c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", SharedLoginName
			c.LoginNameFormat = "{shared_mailbox}*{username}"
		}, offering("PLAIN"), []string{"LOGIN", "helpdesk*alice", password}},
		{"a name that looks like a placeholder stays a name", func(c *Connection) {
			c.Username, c.SharedMailbox, c.SharedMailboxAccess = "{shared_mailbox}", "{username}", SharedLoginName
		}, offering(), []string{"LOGIN", `{shared_mailbox}\{username}`, password}},
		{"plain with authzid", func(c *Connection) {
			c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", SharedAuthzID
		}, offering("PLAIN"), []string{"PLAIN", "helpdesk\x00alice\x00" + password}},
		{"folder logs in as the user", func(c *Connection) {
			c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", SharedFolder
		}, offering("PLAIN"), []string{"PLAIN", "\x00alice\x00" + password}},
		{"sender logs in as the user", func(c *Connection) {
			c.Protocol, c.SharedMailbox, c.SharedMailboxAccess = SMTP, "helpdesk", SharedSender
		}, offering("PLAIN"), []string{"PLAIN", "\x00alice\x00" + password}},
		{"xoauth2 names the shared mailbox", func(c *Connection) {
			c.Auth, c.SharedMailbox, c.SharedMailboxAccess = AuthXOAuth2, "help@x", SharedTokenUser
		}, offering("XOAUTH2"), []string{"XOAUTH2", "user=help@x\x01auth=Bearer " + password + "\x01\x01"}},
		{"oauthbearer names the shared mailbox", func(c *Connection) {
			c.Auth, c.SharedMailbox, c.SharedMailboxAccess = AuthOAuthBearer, "help@x", SharedTokenUser
		}, offering("OAUTHBEARER"), []string{"OAUTHBEARER",
			"n,a=help@x,\x01host=mail.example.org\x01port=993\x01auth=Bearer " + password + "\x01\x01"}},
		{"external names the user", func(c *Connection) { c.Auth = AuthExternal }, offering("EXTERNAL"),
			[]string{"EXTERNAL", "alice"}},
		{"apop", func(c *Connection) { c.Protocol, c.Auth, c.Username = POP3, AuthAPOP, "mrose" },
			offer{apop: "<1896.697170952@dbc.mtview.ca.us>"}, []string{"APOP", "mrose", "c4c9334bac560ecc979e58001b3e22fb"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &fakeServer{offers: tt.offers}
			secret := password
			if strings.HasPrefix(tt.name, "apop") {
				secret = "tanstaaf" // RFC 1939 section 7
			}
			method, err := authenticate(alice(tt.change), NewSecret(secret), true, server)
			if err != nil || method == "" || !slices.Equal(server.said, tt.want) {
				t.Errorf("%q said %q (%v), want %q", method, server.said, err, tt.want)
			}
		})
	}
}

func TestAuthenticateWithholds(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Connection)
		offers offer
		want   Reason
	}{
		{"tls configured but not up", nil, offering("PLAIN"), LocalBug},
		{"starttls configured but not up", func(c *Connection) { c.Encryption = StartTLS }, offering("SCRAM-SHA-256"), LocalBug},
		{"mechanism not offered", func(c *Connection) { c.Encryption, c.Auth = NoEncryption, AuthPlain }, offering("LOGIN"), AuthMechanism},
		{"server wants TLS", func(c *Connection) { c.Encryption = NoEncryption }, offer{needsTLS: true}, AuthNeedsTLS},
		{"password SASLprep forbids", func(c *Connection) { c.Encryption = NoEncryption }, offering("SCRAM-SHA-1"), LocalSecret},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &fakeServer{offers: tt.offers}
			method, err := authenticate(alice(tt.change), NewSecret("hunter2\u0007"), false, server)
			if method != "" || reasonIn(err) != tt.want || len(server.said) != 0 {
				t.Errorf("%q: said %q with %q (%v), want silence and %q", method, server.said, reasonIn(err), err, tt.want)
			}
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestAuthenticateObeysNoEncryption(t *testing.T) {
	server := &fakeServer{offers: offering()}
	c := alice(func(c *Connection) { c.Encryption = NoEncryption })
	if method, err := authenticate(c, NewSecret("x"), false, server); method != AuthLogin || err != nil {
		t.Errorf("%q (%v), want login: clear text was written down", method, err)
	}
}

func TestAuthenticateTriesOneMechanismOnly(t *testing.T) {
	no := &refusal{protocol: IMAP, command: "AUTHENTICATE", reply: reply{status: "NO", code: "AUTHENTICATIONFAILED"}}
	server := &fakeServer{offers: offering("PLAIN", "LOGIN", "CRAM-MD5"), verdict: no}
	method, err := authenticate(alice(nil), NewSecret("x"), true, server)
	if method != AuthPlain || !errors.Is(err, no) || len(server.said) != 2 {
		t.Errorf("%q said %q (%v), want one PLAIN and its refusal", method, server.said, err)
	}
	if !no.tls || no.token || no.authzid {
		t.Errorf("refusal is %+v, want only tls marked", no)
	}
}

func TestTokenRefusals(t *testing.T) {
	no := func(p Protocol, status, code string) *refusal {
		return &refusal{protocol: p, command: "AUTH", reply: reply{status: status, code: code}}
	}
	const why = `{"status":"401","schemes":"bearer"}`
	tests := []struct {
		name      string
		method    AuthMethod
		challenge string
		verdict   *refusal
		want      Reason // of a fault; empty: the refusal is left to be classified
		wantSaid  string // the answer to the error challenge
	}{
		{"xoauth2 says why first", AuthXOAuth2, why, no(SMTP, "535", "5.7.8"), TokenRejected, ""},
		{"oauthbearer says why first", AuthOAuthBearer, why, no(IMAP, "NO", ""), TokenRejected, "\x01"},
		{"garbage instead of JSON", AuthXOAuth2, strings.Repeat("\xff{", 4000), no(IMAP, "NO", ""), TokenRejected, ""},
		{"a temporary 4yz stays temporary", AuthXOAuth2, why, no(SMTP, "454", "4.7.0"), "", ""},
		{"UNAVAILABLE stays temporary", AuthOAuthBearer, why, no(IMAP, "NO", "UNAVAILABLE"), "", "\x01"},
		{"SYS/TEMP stays temporary", AuthXOAuth2, why, no(POP3, "-ERR", "SYS/TEMP"), "", ""},
		{"no challenge at all", AuthXOAuth2, "-", no(IMAP, "NO", ""), "", "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &fakeServer{offers: offering("XOAUTH2", "OAUTHBEARER"), verdict: tt.verdict}
			if tt.challenge != "-" {
				server.challenges = []string{tt.challenge}
			}
			_, err := authenticate(alice(func(c *Connection) { c.Auth = tt.method }), NewSecret("tok"), true, server)
			if reasonIn(err) != tt.want || !errors.Is(err, tt.verdict) || !tt.verdict.token {
				t.Errorf("fault %q, %+v (%v), want %q and the refusal marked", reasonIn(err), tt.verdict, err, tt.want)
			}
			if tt.wantSaid != "-" && server.said[len(server.said)-1] != tt.wantSaid {
				t.Errorf("answered %q, want %q", server.said, tt.wantSaid)
			}
			if strings.Contains(err.Error(), "schemes") {
				t.Errorf("the challenge is in the error: %v", err)
			}
		})
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	good, empty := filepath.Join(dir, "good"), filepath.Join(dir, "empty")
	for path, text := range map[string]string{good: "hunter2\n", empty: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token := func(value string, err error) TokenSource {
		return func(context.Context, bool) (Secret, error) { return NewSecret(value), err }
	}
	tests := []struct {
		name   string
		change func(*Connection)
		want   string
		reason Reason
	}{
		{"a file", func(c *Connection) { c.Password = FileSecret(good) }, "hunter2", ""},
		{"an empty file", func(c *Connection) { c.Password = FileSecret(empty) }, "", LocalSecret},
		{"a missing file", func(c *Connection) { c.Password = FileSecret(good + "x") }, "", LocalSecret},
		{"a directory", func(c *Connection) { c.Password = FileSecret(dir) }, "", LocalSecret},
		{"none needs none", func(c *Connection) { c.Auth = AuthNone }, "", ""},
		{"external needs none", func(c *Connection) { c.Auth = AuthExternal }, "", ""},
		{"a token", func(c *Connection) { c.Token = token("ya29.x", nil) }, "ya29.x", ""},
		{"a token that breaks the frame", func(c *Connection) { c.Token = token("ya29\x01auth", nil) }, "", LocalSecret},
		{"an empty token", func(c *Connection) { c.Token = token("", nil) }, "", LocalSecret},
		{"endpoint down", func(c *Connection) { c.Token = token("", fmt.Errorf("x: %w", ErrTokenUnavailable)) }, "", TokenUnavailable},
		{"endpoint refuses", func(c *Connection) { c.Token = token("", ErrTokenRejected) }, "", TokenRejected},
		{"client secret unreadable", func(c *Connection) { c.Token = token("", ErrTokenSecret) }, "", LocalSecret},
		{"an error nobody named", func(c *Connection) { c.Token = token("", context.Canceled) }, "", TokenUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readSecret(t.Context(), alice(tt.change), false)
			if got.Reveal() != tt.want || reasonIn(err) != tt.reason || (err == nil) != (tt.reason == "") {
				t.Errorf("read %q with %q (%v), want %q with %q", got.Reveal(), reasonIn(err), err, tt.want, tt.reason)
			}
		})
	}
}

func TestNotOfferedHintNamesOnlyKnownWords(t *testing.T) {
	o := offering("PLAIN", "X-EVIL\x1b[2J", "GSSAPI")
	_, err := chooseMechanism(alice(func(c *Connection) { c.Auth = AuthXOAuth2 }), o, true)
	var f *fault
	if !errors.As(err, &f) || !strings.Contains(f.hint, "plain") || !strings.Contains(f.hint, "login") || strings.Contains(f.hint, "EVIL") {
		t.Errorf("hint %+v, want plain and login and nothing of the server's", f)
	}
}

func TestExternalNotOfferedHintNamesTheCertificate(t *testing.T) {
	_, err := chooseMechanism(alice(func(c *Connection) { c.Auth = AuthExternal }), offering("PLAIN"), true)
	var f *fault
	if !errors.As(err, &f) || !strings.Contains(f.hint, "a client certificate they trust") || !strings.Contains(f.hint, "plain") {
		t.Errorf("hint %+v, want the certificate, and what is offered", f)
	}
}

// encode is what a dialect puts on its line.
func encode(message string) string { return base64.StdEncoding.EncodeToString([]byte(message)) }
