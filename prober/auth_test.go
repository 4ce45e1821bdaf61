package prober

import (
	"crypto/fips140"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mailprobe/mail"
)

// fakeServer is the server's half of a login: it offers, challenges and gives a
// verdict, and writes down what the client said.
type fakeServer struct {
	offers     offer
	challenges []string
	verdict    error
	refuse     func(*saslExchange) error // in place of verdict, for SASL
	room       int                       // for initial responses

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

func (f *fakeServer) exchange(client *saslExchange) error {
	client.room = f.room
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
	if f.refuse != nil {
		return f.refuse(client)
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

func alice(change func(*mail.Connection)) *mail.Connection {
	c := &mail.Connection{Protocol: mail.IMAP, Encryption: mail.ImplicitTLS, Host: "mail.example.org",
		Username: "alice", Auth: mail.AuthAuto, LoginNameFormat: `{username}\{shared_mailbox}`}
	if change != nil {
		change(c)
	}
	return c
}

func reasonIn(err error) mail.Reason {
	var f *fault
	if errors.As(err, &f) {
		return f.reason
	}
	return ""
}

// firstMechanism is the method that a login begins with.
func firstMechanism(c *mail.Connection, o offer, encrypted bool) (mail.AuthMethod, error) {
	methods, err := chooseMechanisms(c, o, encrypted)
	if c.Auth == mail.AuthNone && len(methods) == 0 {
		return mail.AuthNone, err
	}
	return append(methods, "")[0], err
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
	shared := func(access mail.SharedAccess, method mail.AuthMethod) *mail.Connection {
		return alice(func(c *mail.Connection) { c.SharedMailbox, c.SharedMailboxAccess, c.Auth = "helpdesk", access, method })
	}
	with := func(p mail.Protocol, method mail.AuthMethod) *mail.Connection {
		return alice(func(c *mail.Connection) { c.Protocol, c.Auth = p, method })
	}
	tests := []struct {
		name      string
		c         *mail.Connection
		o         offer
		clear     bool
		want      mail.AuthMethod
		wantFault mail.Reason
	}{
		{"auto under TLS takes PLAIN", with(mail.IMAP, mail.AuthAuto), everything, false, mail.AuthPlain, ""},
		{"auto under TLS falls back to the own command", with(mail.IMAP, mail.AuthAuto), offering(), false, mail.AuthLogin, ""},
		{"auto under TLS never takes a weaker hash", with(mail.IMAP, mail.AuthAuto), offering("CRAM-MD5"), false, mail.AuthLogin, ""},
		{"auto on SMTP under TLS takes AUTH LOGIN", with(mail.SMTP, mail.AuthAuto), offering("LOGIN"), false, mail.AuthLogin, ""},
		{"auto on SMTP has no own command", with(mail.SMTP, mail.AuthAuto), offering(), false, "", mail.AuthMechanism},
		{"auto in clear takes SCRAM-SHA-256", with(mail.IMAP, mail.AuthAuto), everything, true, mail.AuthSCRAMSHA256, ""},
		{"auto in clear takes SCRAM-SHA-1 next", with(mail.IMAP, mail.AuthAuto), without("SCRAM-SHA-256"), true, mail.AuthSCRAMSHA1, ""},
		{"auto in clear takes CRAM-MD5 next", with(mail.IMAP, mail.AuthAuto), without("SCRAM-SHA-256", "SCRAM-SHA-1"), true, mail.AuthCRAMMD5, ""},
		{"auto in clear takes PLAIN when nothing hides", with(mail.IMAP, mail.AuthAuto), offering("PLAIN"), true, mail.AuthPlain, ""},
		{"auto in clear takes the own command last", with(mail.POP3, mail.AuthAuto), offering(), true, mail.AuthLogin, ""},
		{"auto never takes a token or a certificate", with(mail.SMTP, mail.AuthAuto), offering("XOAUTH2", "EXTERNAL"), false, "", mail.AuthMechanism},
		{"LOGINDISABLED in clear", with(mail.IMAP, mail.AuthAuto), nativeOff(offering()), true, "", mail.AuthNeedsTLS},
		{"LOGINDISABLED after TLS", with(mail.IMAP, mail.AuthAuto), nativeOff(offering()), false, "", mail.AuthNeedsTLS},
		{"LOGINDISABLED after TLS, PLAIN offered", with(mail.IMAP, mail.AuthAuto), nativeOff(offering("PLAIN")), false, mail.AuthPlain, ""},
		{"LOGINDISABLED in clear, SCRAM offered", with(mail.IMAP, mail.AuthAuto), nativeOff(offering("SCRAM-SHA-1")), true, mail.AuthSCRAMSHA1, ""},
		{"LOGINDISABLED after TLS does not speak of tokens", with(mail.IMAP, mail.AuthXOAuth2), nativeOff(offering()), false, "", mail.AuthMechanism},
		{"configured plain is not offered", with(mail.SMTP, mail.AuthPlain), offering("LOGIN"), false, "", mail.AuthMechanism},
		{"configured login on SMTP needs LOGIN", with(mail.SMTP, mail.AuthLogin), offering("PLAIN"), false, "", mail.AuthMechanism},
		{"configured login on POP3 is USER and PASS", with(mail.POP3, mail.AuthLogin), offering(), false, mail.AuthLogin, ""},
		{"configured sasl-login is not the own command", with(mail.IMAP, mail.AuthSASLLogin), offering(), false, "", mail.AuthMechanism},
		{"configured cram-md5 under TLS", with(mail.IMAP, mail.AuthCRAMMD5), everything, false, mail.AuthCRAMMD5, ""},
		{"apop with a timestamp", with(mail.POP3, mail.AuthAPOP), offer{apop: "<1@a>"}, false, mail.AuthAPOP, ""},
		{"apop without one", with(mail.POP3, mail.AuthAPOP), everything, false, "", mail.AuthMechanism},
		{"apop outside POP3", with(mail.IMAP, mail.AuthAPOP), offer{apop: "<1@a>"}, false, "", mail.AuthMechanism},
		{"external", with(mail.SMTP, mail.AuthExternal), everything, false, mail.AuthExternal, ""},
		{"none", with(mail.SMTP, mail.AuthNone), offering(), false, mail.AuthNone, ""},
		{"an unknown word", with(mail.SMTP, "ntlm"), everything, false, "", mail.AuthMechanism},
		{"login_name goes by the own command", shared(mail.SharedLoginName, mail.AuthAuto), everything, false, mail.AuthLogin, ""},
		{"login_name in clear too", shared(mail.SharedLoginName, mail.AuthAuto), everything, true, mail.AuthLogin, ""},
		{"login_name obeys a written method", shared(mail.SharedLoginName, mail.AuthPlain), everything, false, mail.AuthPlain, ""},
		{"authzid takes PLAIN", shared(mail.SharedAuthzID, mail.AuthAuto), everything, false, mail.AuthPlain, ""},
		{"authzid in clear takes SCRAM", shared(mail.SharedAuthzID, mail.AuthAuto), everything, true, mail.AuthSCRAMSHA256, ""},
		{"authzid has no own command", shared(mail.SharedAuthzID, mail.AuthAuto), offering("CRAM-MD5"), true, "", mail.AuthMechanism},
		{"authzid cannot ride on cram-md5", shared(mail.SharedAuthzID, mail.AuthCRAMMD5), everything, false, "", mail.AuthMechanism},
		{"authzid cannot ride on login", shared(mail.SharedAuthzID, mail.AuthLogin), everything, false, "", mail.AuthMechanism},
		{"authzid cannot ride on xoauth2", shared(mail.SharedAuthzID, mail.AuthXOAuth2), everything, false, "", mail.AuthMechanism},
		{"token_user needs a token", shared(mail.SharedTokenUser, mail.AuthAuto), everything, false, "", mail.AuthMechanism},
		{"token_user with xoauth2", shared(mail.SharedTokenUser, mail.AuthXOAuth2), everything, false, mail.AuthXOAuth2, ""},
		{"folder logs in as ever", shared(mail.SharedFolder, mail.AuthAuto), everything, false, mail.AuthPlain, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := firstMechanism(tt.c, tt.o, !tt.clear)
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
		change func(*mail.Connection)
		offers offer
		want   []string
	}{
		{"imap login", func(c *mail.Connection) { c.Auth = mail.AuthLogin }, offering(), []string{"LOGIN", "alice", password}},
		{"pop3 user and pass", func(c *mail.Connection) { c.Protocol = mail.POP3 }, offering(), []string{"LOGIN", "alice", password}},
		{"plain", nil, offering("PLAIN"), []string{"PLAIN", "\x00alice\x00" + password}},
		{"exchange login name", func(c *mail.Connection) {
			c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedLoginName
		}, offering("PLAIN"), []string{"LOGIN", `alice\helpdesk`, password}},
		{"dovecot master user", func(c *mail.Connection) {
			c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedLoginName
			c.LoginNameFormat = "{shared_mailbox}*{username}"
		}, offering("PLAIN"), []string{"LOGIN", "helpdesk*alice", password}},
		{"a name that looks like a placeholder stays a name", func(c *mail.Connection) {
			c.Username, c.SharedMailbox, c.SharedMailboxAccess = "{shared_mailbox}", "{username}", mail.SharedLoginName
		}, offering(), []string{"LOGIN", `{shared_mailbox}\{username}`, password}},
		{"plain with authzid", func(c *mail.Connection) {
			c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedAuthzID
		}, offering("PLAIN"), []string{"PLAIN", "helpdesk\x00alice\x00" + password}},
		{"folder logs in as the user", func(c *mail.Connection) {
			c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedFolder
		}, offering("PLAIN"), []string{"PLAIN", "\x00alice\x00" + password}},
		{"sender logs in as the user", func(c *mail.Connection) {
			c.Protocol, c.SharedMailbox, c.SharedMailboxAccess = mail.SMTP, "helpdesk", mail.SharedSender
		}, offering("PLAIN"), []string{"PLAIN", "\x00alice\x00" + password}},
		{"xoauth2 names the shared mailbox", func(c *mail.Connection) {
			c.Auth, c.SharedMailbox, c.SharedMailboxAccess = mail.AuthXOAuth2, "help@x", mail.SharedTokenUser
		}, offering("XOAUTH2"), []string{"XOAUTH2", "user=help@x\x01auth=Bearer " + password + "\x01\x01"}},
		{"oauthbearer names the shared mailbox", func(c *mail.Connection) {
			c.Auth, c.SharedMailbox, c.SharedMailboxAccess = mail.AuthOAuthBearer, "help@x", mail.SharedTokenUser
		}, offering("OAUTHBEARER"), []string{"OAUTHBEARER",
			"n,a=help@x,\x01host=mail.example.org\x01port=993\x01auth=Bearer " + password + "\x01\x01"}},
		{"external names the user", func(c *mail.Connection) { c.Auth = mail.AuthExternal }, offering("EXTERNAL"),
			[]string{"EXTERNAL", "alice"}},
		{"apop", func(c *mail.Connection) { c.Protocol, c.Auth, c.Username = mail.POP3, mail.AuthAPOP, "mrose" },
			offer{apop: "<1896.697170952@dbc.mtview.ca.us>"}, []string{"APOP", "mrose", "c4c9334bac560ecc979e58001b3e22fb"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &fakeServer{room: 1 << 10, offers: tt.offers}
			secret := password
			if strings.HasPrefix(tt.name, "apop") {
				secret = "tanstaaf" // RFC 1939 section 7
			}
			done, err := authenticate(alice(tt.change), mail.NewSecret(secret), true, server)
			method := done.method
			if err != nil || method == "" || !done.sent || !slices.Equal(server.said, tt.want) {
				t.Errorf("%q said %q (%v), want %q", method, server.said, err, tt.want)
			}
		})
	}
}

func TestAuthenticateWithholds(t *testing.T) {
	tests := []struct {
		name   string
		change func(*mail.Connection)
		offers offer
		want   mail.Reason
	}{
		{"tls configured but not up", nil, offering("PLAIN"), mail.LocalBug},
		{"starttls configured but not up", func(c *mail.Connection) { c.Encryption = mail.StartTLS }, offering("SCRAM-SHA-256"), mail.LocalBug},
		{"mechanism not offered", func(c *mail.Connection) { c.Encryption, c.Auth = mail.NoEncryption, mail.AuthPlain }, offering("LOGIN"), mail.AuthMechanism},
		{"server wants TLS", func(c *mail.Connection) { c.Encryption = mail.NoEncryption }, offer{needsTLS: true}, mail.AuthNeedsTLS},
		{"password SASLprep forbids", func(c *mail.Connection) { c.Encryption = mail.NoEncryption }, offering("SCRAM-SHA-1"), mail.LocalSecret},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &fakeServer{room: 1 << 10, offers: tt.offers}
			done, err := authenticate(alice(tt.change), mail.NewSecret("hunter2\u0007"), false, server)
			method := done.method
			if method != "" || done.sent || reasonIn(err) != tt.want || len(server.said) != 0 {
				t.Errorf("%q: said %q with %q (%v), want silence and %q", method, server.said, reasonIn(err), err, tt.want)
			}
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestAuthenticateObeysNoEncryption(t *testing.T) {
	server := &fakeServer{room: 1 << 10, offers: offering()}
	c := alice(func(c *mail.Connection) { c.Encryption = mail.NoEncryption })
	if done, err := authenticate(c, mail.NewSecret("x"), false, server); done.method != mail.AuthLogin || err != nil {
		t.Errorf("%q (%v), want login: clear text was written down", done.method, err)
	}
}

// refuses is a server's no as a dialect makes it of a reply.
func refuses(c *mail.Connection, command string, r reply) func(*saslExchange) error {
	return func(x *saslExchange) error { return newRefusal(c, true, x, command, r) }
}

func TestAuthenticateTriesOneMechanismOnly(t *testing.T) {
	c := alice(nil)
	server := &fakeServer{room: 1 << 10, offers: offering("PLAIN", "LOGIN", "CRAM-MD5"),
		refuse: refuses(c, "AUTHENTICATE", reply{status: "NO", code: "AUTHENTICATIONFAILED"})}
	done, err := authenticate(c, mail.NewSecret("x"), true, server)
	var no *refusal
	if done != (login{mail.AuthPlain, true}) || !errors.As(err, &no) || len(server.said) != 2 {
		t.Fatalf("%+v said %q (%v), want one PLAIN and its refusal", done, server.said, err)
	}
	if !no.tls || no.login != (loginFacts{}) {
		t.Errorf("refusal is %+v, want only tls marked", no)
	}
}

// A mechanism that is refused before anything of a credential was sent has cost
// the account nothing.
func TestAuthenticateGoesOnAfterMechanismRefusedUnsent(t *testing.T) {
	in := func(c *mail.Connection) { c.Protocol, c.Encryption = mail.IMAP, mail.NoEncryption }
	tests := []struct {
		name      string
		change    func(*mail.Connection)
		reply     reply
		encrypted bool
		room      int
		want      login
		wantErr   mail.Reason
		wantSaid  string // parted by spaces
		wantHint  string
	}{
		{"bare NO to PLAIN", nil, reply{status: "NO"}, true, 0, login{mail.AuthLogin, true}, "", "PLAIN LOGIN alice x", ""},
		{"words of a wrong password", nil, reply{status: "NO", code: "AUTHENTICATIONFAILED"}, true, 0, login{mail.AuthLogin, true}, "", "PLAIN LOGIN alice x", ""},
		{"BAD to each SASL mechanism in clear", in, reply{status: "BAD"}, false, 0, login{mail.AuthLogin, true}, "", "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN alice x", ""},
		{"the server is out of order", nil, reply{status: "NO", code: "UNAVAILABLE"}, true, 0, login{mail.AuthPlain, false}, mail.AuthTemporary, "PLAIN", ""},
		{"a limit", nil, reply{status: "NO", code: "LIMIT"}, true, 0, login{mail.AuthPlain, false}, mail.ServerLimit, "PLAIN", ""},
		{"the server leaves", nil, reply{status: "BYE"}, true, 0, login{mail.AuthPlain, false}, mail.Closed, "PLAIN", ""},
		{"the credential had left with the command", nil, reply{status: "NO"}, true, 1 << 10, login{mail.AuthPlain, true}, mail.AuthRejected, "PLAIN \x00alice\x00x", ""},
		{"another method is configured", func(c *mail.Connection) { c.Auth = mail.AuthPlain }, reply{status: "NO"}, true, 0,
			login{mail.AuthPlain, false}, mail.AuthMechanism, "PLAIN", "`auth: login`"},
		{"nothing else is offered", func(c *mail.Connection) { c.Auth, c.Protocol = mail.AuthSASLLogin, mail.SMTP }, reply{status: "535", code: "5.7.3"}, true, 0,
			login{mail.AuthSASLLogin, false}, mail.AuthMechanism, "LOGIN", "`auth: cram-md5`"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := alice(tt.change)
			server := &fakeServer{room: tt.room, offers: offering("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"), refuse: refuses(c, "AUTH", tt.reply)}
			done, err := authenticate(c, mail.NewSecret("x"), tt.encrypted, server)
			d := classify(mail.PhaseAuth, c, err)
			if said := strings.Join(server.said, " "); done != tt.want || d.reason != tt.wantErr || said != tt.wantSaid {
				t.Errorf("%+v said %q: %q, want %+v, %q, %q", done, said, d.reason, tt.want, tt.wantSaid, tt.wantErr)
			}
			if !strings.Contains(d.hint, tt.wantHint) {
				t.Errorf("advice %q, want %q in it", d.hint, tt.wantHint)
			}
		})
	}
}

func TestNotOfferedHintNamesOnlyKnownWords(t *testing.T) {
	o := offering("PLAIN", "X-EVIL\x1b[2J", "GSSAPI")
	_, err := firstMechanism(alice(func(c *mail.Connection) { c.Auth = mail.AuthXOAuth2 }), o, true)
	var f *fault
	if !errors.As(err, &f) || !strings.Contains(f.hint, "plain") || !strings.Contains(f.hint, "login") || strings.Contains(f.hint, "EVIL") {
		t.Errorf("hint %+v, want plain and login and nothing of the server's", f)
	}
}

func TestExternalNotOfferedHintNamesTheCertificate(t *testing.T) {
	_, err := firstMechanism(alice(func(c *mail.Connection) { c.Auth = mail.AuthExternal }), offering("PLAIN"), true)
	var f *fault
	if !errors.As(err, &f) || !strings.Contains(f.hint, "a client certificate they trust") || !strings.Contains(f.hint, "plain") {
		t.Errorf("hint %+v, want the certificate, and what is offered", f)
	}
}

// encode is what a dialect puts on its line.
func encode(message string) string { return base64.StdEncoding.EncodeToString([]byte(message)) }

// TestFIPSForbidsMechanisms runs itself in FIPS 140-only mode, in which MD5 and
// SHA-1 panic: that must be a reason, and no bug.
func TestFIPSForbidsMechanisms(t *testing.T) {
	if !fips140.Enforced() {
		child := exec.Command(os.Args[0], "-test.run=^TestFIPSForbidsMechanisms$")
		child.Env = append(os.Environ(), "GODEBUG=fips140=only")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for _, method := range []mail.AuthMethod{mail.AuthCRAMMD5, mail.AuthAPOP, mail.AuthSCRAMSHA1} {
		c := alice(func(c *mail.Connection) { c.Protocol, c.Auth = mail.POP3, method })
		o := offering("CRAM-MD5", "SCRAM-SHA-1")
		o.apop = "<1@a>"
		_, err := chooseMechanisms(c, o, true)
		if d := classify(mail.PhaseAuth, c, err); d.reason != mail.AuthMechanism || !strings.Contains(d.hint, "FIPS") {
			t.Errorf("%s: %+v, want FIPS named", method, d)
		}
	}
	c := alice(func(c *mail.Connection) { c.Encryption = mail.NoEncryption })
	methods, err := chooseMechanisms(c, offering("CRAM-MD5", "SCRAM-SHA-1", "PLAIN"), false)
	if err != nil || methods[0] != mail.AuthPlain {
		t.Errorf("auto takes %q (%v), want what FIPS allows", methods, err)
	}
	x := &saslExchange{mechanism: &cramMD5Client{id: identity{user: "alice", secret: "short"}}, method: mail.AuthCRAMMD5}
	_, _, _ = x.Start()
	if _, err := x.Next([]byte("<1@a>")); classify(mail.PhaseAuth, c, err).reason != mail.AuthMechanism {
		t.Errorf("a short key: %v", err)
	}
}
