package mailtest

import (
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knadh/go-pop3"
)

// given is a pop3.Dialer that returns one connection.
type given struct{ conn net.Conn }

func (g given) Dial(string, string) (net.Conn, error) { return g.conn, nil }

// dialPOP3 returns a session of the library; STARTTLS is done before it, with the
// greeting told again, because the library cannot.
func dialPOP3(t *testing.T, server *Server, config *tls.Config) *pop3.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if server.options.Encryption == ImplicitTLS {
		conn = tls.Client(conn, config)
	}
	if server.options.Encryption == StartTLS {
		text := textproto.NewConn(conn)
		expect(t, text, "", "+OK mailtest POP3 ready")
		expect(t, text, "STLS", "+OK")
		conn = tls.Client(conn, config)
		expect(t, textproto.NewConn(conn), "CAPA", "+OK capability")
		conn = greeted{conn, bytes.NewReader([]byte("+OK again\r\n"))}
	}
	client, err := pop3.New(pop3.Opt{Dialer: given{conn}}).NewConn()
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// greeted says a greeting before it reads from the connection.
type greeted struct {
	net.Conn
	greeting *bytes.Reader
}

func (g greeted) Read(p []byte) (int, error) {
	if g.greeting.Len() > 0 {
		return g.greeting.Read(p)
	}
	return g.Conn.Read(p)
}

// expect sends a command, unless it is empty, and reads one line; of a list it
// reads all.
func expect(t *testing.T, text *textproto.Conn, command, prefix string) string {
	t.Helper()
	if command != "" {
		if err := text.PrintfLine("%s", command); err != nil {
			t.Fatal(err)
		}
	}
	line, err := text.ReadLine()
	if err != nil || !strings.HasPrefix(line, prefix) {
		t.Fatalf("%s: got %q, %v, want %q", command, line, err, prefix)
	}
	if command == "CAPA" {
		if _, err := text.ReadDotLines(); err != nil {
			t.Fatal(err)
		}
	}
	return line
}

func dialText(t *testing.T, server *Server) *textproto.Conn {
	t.Helper()
	text, err := textproto.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = text.Close() })
	return text
}

func TestPOP3ServerLetsTheLibraryIn(t *testing.T) {
	ca := MustCA(CAOptions{})
	for _, encryption := range encryptions() {
		t.Run(encryption, func(t *testing.T) {
			server := start(t, ca, Options{Protocol: POP3, Encryption: encryption,
				Users: map[string]string{"ann": "p w"}, Messages: 3})
			client := dialPOP3(t, server, trust(ca))
			if err := client.Auth("ann", "p w"); err != nil {
				t.Fatal(err)
			}
			count, size, err := client.Stat()
			if err != nil || count != 3 || size != 360 {
				t.Errorf("STAT: got %d, %d, %v", count, size, err)
			}
			if got := server.Locked(); !slices.Equal(got, []string{"ann"}) {
				t.Errorf("locked during the session: got %q", got)
			}
			if err := client.Quit(); err != nil {
				t.Fatal(err)
			}
			if got := server.Locked(); len(got) > 0 {
				t.Errorf("locked after QUIT: got %q", got)
			}
			checkVerbs(t, server, "USER", "PASS", "NOOP", "STAT", "QUIT")
		})
	}
}

func TestPOP3ServerSpeaksAUTH(t *testing.T) {
	server := start(t, nil, Options{Protocol: POP3, Encryption: NoEncryption, Users: map[string]string{"ann": "pw"}})
	blob := base64.StdEncoding.EncodeToString([]byte("\x00ann\x00pw"))
	wrong := base64.StdEncoding.EncodeToString([]byte("\x00ann\x00no"))
	tests := []struct {
		name  string
		lines [][2]string // command, and prefix of the answer
	}{
		{"with an initial response", [][2]string{{"AUTH PLAIN " + blob, "+OK"}, {"QUIT", "+OK"}}},
		{"without one", [][2]string{{"AUTH PLAIN", "+ "}, {blob, "+OK"}, {"QUIT", "+OK"}}},
		{"wrong password", [][2]string{{"AUTH PLAIN", "+ "}, {wrong, "-ERR [AUTH]"}}},
		{"cancelled", [][2]string{{"AUTH PLAIN", "+ "}, {"*", "-ERR authentication cancelled"}}},
		{"unknown mechanism", [][2]string{{"AUTH GSSAPI", "-ERR SASL"}}},
		{"not base64", [][2]string{{"AUTH PLAIN", "+ "}, {"!", "-ERR"}}},
		{"command before the login", [][2]string{{"STAT", "-ERR"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := dialText(t, server)
			expect(t, text, "", "+OK")
			for _, line := range test.lines {
				expect(t, text, line[0], line[1])
			}
		})
	}
}

func TestPOP3ServerSpeaksAPOP(t *testing.T) {
	server := start(t, nil, Options{Protocol: POP3, Encryption: NoEncryption, Users: map[string]string{"ann": "pw"}})
	text := dialText(t, server)
	greeting := expect(t, text, "", "+OK")
	sum := md5.Sum([]byte(greeting[strings.Index(greeting, "<"):] + "pw"))
	expect(t, text, "APOP ann "+hex.EncodeToString(sum[:]), "+OK")
	expect(t, text, "QUIT", "+OK")
}

func TestPOP3MaildropIsLockedUntilTheEnd(t *testing.T) {
	for _, keep := range []bool{false, true} {
		server := start(t, nil, Options{Protocol: POP3, Encryption: NoEncryption,
			Users: map[string]string{"ann": "pw"}, KeepLock: keep})
		first, second := dialText(t, server), dialText(t, server)
		for _, text := range []*textproto.Conn{first, second} {
			expect(t, text, "", "+OK")
			expect(t, text, "USER ann", "+OK")
		}
		expect(t, first, "PASS pw", "+OK")
		expect(t, second, "PASS pw", "-ERR [IN-USE]")
		_ = first.Close()
		_ = second.Close()
		for server.Open() > 0 { // a counter: no event to wait for
			time.Sleep(time.Millisecond)
		}
		if locked := len(server.Locked()) > 0; locked != keep {
			t.Errorf("locked after the client went away: got %v, want %v", locked, keep)
		}
	}
}
