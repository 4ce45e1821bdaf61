package mailtest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseScriptNamesTheLine(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown word", "S: hello\n\nSAY hello", `s:3: unknown word "SAY"`},
		{"word with its colon missing", "S hello", `s:1: unknown word "S"`},
		{"string without quotes", "# seen\nSEND hello", "s:2: hello is not a Go string"},
		{"raw without quotes", `RAW "`, `s:1: " is not a Go string`},
		{"count", "REPEAT many S: a", `s:1: "many" is not a count`},
		{"repeated word", "REPEAT 2 CLOSE", `s:1: only S: and SEND can be repeated, not "CLOSE"`},
		{"repeated nothing", `REPEAT 2 SEND ""`, "s:1: repeating nothing"},
		{"regexp", "C~ (", "s:1: error parsing regexp: missing closing ): `(?is)(`"},
		{"not UTF-8", "C: \xff", `s:1: "\xff" cannot be matched`},
		{"time", "DELAY 5", `s:1: "5" is not a time such as 50ms`},
		{"pause", "SPLIT 1 x", `s:1: "x" is not a time such as 50ms`},
		{"offset", "SPLIT @x", `s:1: "x" is not a count`},
		{"argument too many", "STALL 5", `s:1: nothing may follow here: "5"`},
		{"protocol", "BYE nntp", `s:1: BYE needs imap, pop3 or smtp, not "nntp"`},
		{"function", "DO", "s:1: DO needs a name"},
		{"open loop", "LOOP 2\nS: a", "s:2: LOOP without END"},
		{"empty loop", "LOOP 2\nEND", "s:2: LOOP around nothing"},
		{"fault in a loop", "LOOP 2\nX\nEND", `s:2: unknown word "X"`},
		{"end without a loop", "END", `s:1: unknown word "END"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseScript("s", test.text)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("parse %q: got %v, want %s", test.text, err, test.want)
			}
		})
	}
}

// converse plays a script to a client func, over a pipe.
func converse(t *testing.T, text string, o ScriptOptions, client func(net.Conn)) Session {
	t.Helper()
	conn, session := PipeTo(MustScript(text), o)
	client(conn)
	_ = conn.Close()
	return <-session
}

// says writes what the client says, and returns all that the server says.
func saying(said string, heard *string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = io.WriteString(conn, said)
		_ = conn.(*PipeConn).CloseWrite()
		all, _ := io.ReadAll(conn)
		*heard = string(all)
	}
}

func TestScript(t *testing.T) {
	tests := []struct {
		name, script, client string
		want                 string // that the server says
		wantProblem          string
		wantLogins           int
	}{
		{name: "captured tag", script: "S: * OK hi\nC: {tag} CAPABILITY\nS: {tag} OK done",
			client: "a7 capability\r\n", want: "* OK hi\r\na7 OK done\r\n"},
		{name: "glob", script: "C: AUTH PLAIN *\nS: 235 ok", client: "auth plain AGFubgA=\r\n", want: "235 ok\r\n", wantLogins: 1},
		{name: "star itself", script: `C: \*` + "\nS: 501 ok", client: "*\r\n", want: "501 ok\r\n"},
		{name: "regexp with a capture", script: "C~ ^EHLO (?P<who>.+)$\nS: 250 hello {who}", client: "ehlo me\r\n", want: "250 hello me\r\n"},
		{name: "other words", script: "C: CAPA\nS: +OK", client: "QUIT\r\n", wantProblem: `script:1: want "CAPA", got "QUIT"`},
		{name: "nothing said", script: "C: CAPA", wantProblem: `script:1: want "CAPA", got "" and EOF`},
		{name: "half a line", script: "C: CAPA", client: "CA", wantProblem: `script:1: want "CAPA", got "CA" and EOF`},
		{name: "may leave", script: "C?: QUIT\nS: +OK"},
		{name: "raw bytes", script: `SEND "\x00\xff{5}"`, want: "\x00\xff{5}"},
		{name: "repeated", script: "REPEAT 3 S: 250-x\nS: 250 y", want: "250-x\r\n250-x\r\n250-x\r\n250 y\r\n"},
		{name: "many", script: `REPEAT 100000 SEND "("`, want: strings.Repeat("(", 100000)},
		{name: "loop", script: "LOOP 2\nC: *\nS: + \nEND\nS: ok", client: "a\r\nb\r\n", want: "+ \r\n+ \r\nok\r\n"},
		{name: "nothing more", script: "S: a\nEOF", client: "QUIT\r\n", want: "a\r\n", wantProblem: `script:2: want the end, got "QUIT\r\n"`},
		{name: "bytes", script: "READ 3\nS: ok\nREAD 9", client: "abcdef", want: "ok\r\n", wantProblem: "script:3: want 9 bytes: EOF"},
		{name: "imap goodbye", script: "BYE imap", client: "T9 LOGOUT\r\n", want: "* BYE see you\r\nT9 OK done\r\n"},
		{name: "pop3 goodbye", script: "BYE pop3", client: "QUIT\r\n", want: "+OK goodbye\r\n"},
		{name: "goodbye that is none", script: "BYE smtp", client: "AUTH PLAIN x\r\n", wantLogins: 1,
			wantProblem: `script:1: want QUIT or the end, got "AUTH PLAIN x"`},
		{name: "stalled", script: "STALL\nS: never", client: "a\r\nPASS x\r\n", wantLogins: 1},
		{name: "pieces", script: "SPLIT 2\nS: abcde\nSPLIT @1\nS: fgh", want: "abcde\r\nfgh\r\n"},
		{name: "unknown configuration", script: "TLS other", wantProblem: `script:1: no TLS configuration "other"`},
		{name: "unknown function", script: "DO it", wantProblem: `script:1: no function "it"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var heard string
			session := converse(t, test.script, ScriptOptions{}, saying(test.client, &heard))
			if heard != test.want {
				t.Errorf("heard %q, want %q", heard, test.want)
			}
			problem := ""
			if session.Problem != nil {
				problem = session.Problem.Error()
			}
			if problem != test.wantProblem {
				t.Errorf("problem: got %q, want %q", problem, test.wantProblem)
			}
			if got := session.Logins(); got != test.wantLogins {
				t.Errorf("logins: got %d, want %d", got, test.wantLogins)
			}
		})
	}
}

func TestScriptTakesItsTime(t *testing.T) {
	tests := []struct {
		name, script string
		want         time.Duration // until the last byte is there
	}{
		{"delay", "DELAY 3s\nSEND \"x\"", 3 * time.Second},
		{"drip", "DRIP 1s\nSEND \"hello\"", 4 * time.Second},
		{"pieces with a pause", "SPLIT 2 1s\nSEND \"hello\"\nSPLIT 0\nSEND \"hello\"", 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var heard string
				converse(t, test.script, ScriptOptions{}, saying("", &heard))
				if got := time.Since(begin); got != test.want {
					t.Errorf("took %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestScriptStallEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, session := PipeTo(MustScript("S: hi\nSTALL"), ScriptOptions{})
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		begin := time.Now()
		_, err := io.ReadAll(conn)
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 30*time.Second {
			t.Errorf("read: got %v after %v", err, time.Since(begin))
		}
		_ = conn.Close()
		if session := <-session; session.Complete || session.Problem != nil {
			t.Errorf("session: got %+v", session)
		}
	})
}

func TestScriptWithTLS(t *testing.T) {
	ca := MustCA(CAOptions{})
	config := &tls.Config{Certificates: []tls.Certificate{ca.MustIssue(Loopback())}}
	o := ScriptOptions{TLS: config, Configs: map[string]*tls.Config{"strange": {
		Certificates: []tls.Certificate{MustCA(CAOptions{}).MustIssue(Loopback())}}}}
	upgrade := func(conn net.Conn, goAhead string) (*tls.Conn, error) {
		_, _ = io.WriteString(conn, "STLS\r\n")
		_, _ = io.ReadFull(conn, make([]byte, len(goAhead)))
		secured := tls.Client(conn, trust(ca))
		return secured, secured.Handshake()
	}
	t.Run("upgraded", func(t *testing.T) {
		session := converse(t, "C: STLS\nS: +OK\nSPLITWIRE 1\nTLS\nC: PASS *\nS: done", o, func(conn net.Conn) {
			secured, err := upgrade(conn, "+OK\r\n")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(secured, "PASS secret\r\n")
			if all, err := io.ReadAll(secured); string(all) != "done\r\n" || err != nil {
				t.Errorf("got %q, %v, want done and close_notify", all, err)
			}
		})
		if !session.Complete || session.Logins() != 1 || string(session.Inner) != "PASS secret\r\n" || strings.Contains(string(session.Wire), "secret") {
			t.Errorf("session: got %+v", session)
		}
	})
	t.Run("untrusted", func(t *testing.T) {
		session := converse(t, "C: STLS\nS: +OK\nTLS strange\nC: *", o, func(conn net.Conn) {
			if _, err := upgrade(conn, "+OK\r\n"); !as[*tls.CertificateVerificationError](err) {
				t.Errorf("handshake: got %v", err)
			}
		})
		if session.Handshake == nil || session.Handshakes != 1 || session.Problem != nil {
			t.Errorf("session: got %+v", session)
		}
	})
	t.Run("alert by hand", func(t *testing.T) {
		converse(t, "READ 5\nRAW \"\\x15\\x03\\x03\\x00\\x02\\x02\\x28\"\nCLOSE", o, func(conn net.Conn) {
			if err := tls.Client(conn, trust(ca)).Handshake(); err == nil || !strings.Contains(err.Error(), "handshake failure") {
				t.Errorf("handshake: got %v", err)
			}
		})
	})
}

// heardConn keeps what was read.
type heardConn struct {
	net.Conn
	heard []byte
}

func (c *heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.heard = append(c.heard, p[:n]...)
	return n, err
}

func TestScriptEndsTLSAsTold(t *testing.T) {
	ca := MustCA(CAOptions{})
	o := ScriptOptions{TLS: &tls.Config{Certificates: []tls.Certificate{ca.MustIssue(Loopback())}}}
	config := trust(ca)
	config.MaxVersion = tls.VersionTLS12 // where an alert can be told from data
	for word, wantNotify := range map[string]bool{"CLOSE": true, "CUT": false, "RESET": false} {
		converse(t, "TLS\n"+word, o, func(conn net.Conn) {
			heard := &heardConn{Conn: conn}
			_, _ = io.ReadAll(tls.Client(heard, config))
			const alert = 5 + 8 + 2 + 16 // header, nonce, alert, GCM tag
			notify := len(heard.heard) > alert && heard.heard[len(heard.heard)-alert] == 0x15
			if notify != wantNotify {
				t.Errorf("%s: close_notify: got %v, want %v", word, notify, wantNotify)
			}
		})
	}
}

// scripted runs a scripted server for the length of a test.
func scripted(t *testing.T, text string, o ScriptOptions) *Scripted {
	t.Helper()
	server, err := StartScript(MustScript(text), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestScriptedServerEndsAsTold(t *testing.T) {
	tests := []struct {
		name, script string
		want         error
	}{
		{"end of the script", "SEND \"bye\"", nil},
		{"close with words unread", "SEND \"bye\"\nDELAY 20ms\nCLOSE", nil},
		{"reset", "SEND \"bye\"\nDELAY 20ms\nRESET", syscall.ECONNRESET},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := dialRaw(t, scripted(t, test.script, ScriptOptions{}).Addr)
			_, _ = io.WriteString(conn, "words nobody reads\r\n")
			all, err := io.ReadAll(conn)
			if string(all) != "bye" || !errors.Is(err, test.want) {
				t.Errorf("read: got %q, %v, want bye, %v", all, err, test.want)
			}
		})
	}
}

func TestScriptedServerPlaysTheNextScript(t *testing.T) {
	server := scripted(t, "SEND \"one\"", ScriptOptions{Then: []*Script{MustScript("SEND \"two\"")}})
	for _, want := range []string{"one", "two", "two"} {
		if all, _ := io.ReadAll(dialRaw(t, server.Addr)); string(all) != want {
			t.Errorf("got %q, want %q", all, want)
		}
	}
	if got := len(server.Sessions()); got != 3 {
		t.Errorf("sessions: got %d, want 3", got)
	}
}

func TestScriptedServerClosesDeafAndStalled(t *testing.T) {
	for _, script := range []string{"DEAF", "STALL", "C: never", "TLS", "DELAY 1h", "REPEAT forever SEND \"x\""} {
		server, err := StartScript(MustScript(script), ScriptOptions{ReceiveBuffer: 4096,
			TLS: &tls.Config{Certificates: []tls.Certificate{MustCA(CAOptions{}).MustIssue(Loopback())}}})
		if err != nil {
			t.Fatal(err)
		}
		conn := dialRaw(t, server.Addr)
		_, _ = io.WriteString(conn, "\x16\x03\x01") // half a line, and half a TLS record
		for server.Connections() == 0 {
			// a counter: no event to wait for
			time.Sleep(time.Millisecond)
		}
		if err := server.Close(); err != nil {
			t.Errorf("%s: close: %v", script, err)
		}
	}
}

func TestLoadScriptNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd.txt")
	if err := os.WriteFile(path, []byte("# seen at example.org\nS: * OK\nWHAT\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadScript(path); err == nil || err.Error() != path+`:3: unknown word "WHAT"` {
		t.Errorf("got %v", err)
	}
}

// FuzzParseScript holds that no text crashes the parser.
func FuzzParseScript(f *testing.F) {
	f.Add("S: * OK hi\nC: {tag} LOGIN *\nLOOP 2\nDRIP 1ms\nEND\nTLS\nBYE imap")
	f.Add("REPEAT forever SEND \"\\x00\"\nSPLIT @3\nC~ ^(?P<a>.)$\nRESET")
	f.Fuzz(func(t *testing.T, text string) {
		if script, err := ParseScript("s", text); (script == nil) == (err == nil) {
			t.Errorf("got %v and %v", script, err)
		}
	})
}
