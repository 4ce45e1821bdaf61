package prober_test

// Watched mailboxes on real servers: Dovecot wherever the other real servers run,
// and any others that MAILPROBE_MAILBOXES names (docs/watch.md says how).

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/internal/realserver"
	"mailprobe/mail"
	"mailprobe/prober"
)

// mailboxServer is a server with a mailbox that the test may fill and empty.
type mailboxServer struct {
	name, host     string
	imap, pop3     int
	user, password string
}

// mailboxServers are Dovecot and those of MAILPROBE_MAILBOXES: words such as
// cyrus=1143,1110,user,password, by spaces, on 127.0.0.1.
func mailboxServers(t testing.TB) []mailboxServer {
	t.Helper()
	dovecot := realserver.StartDovecot(t, realserver.Options{PlaintextAuth: true})
	servers := []mailboxServer{{"dovecot", realserver.Host, dovecot.IMAP, dovecot.POP3, realserver.Alice, realserver.Password(realserver.Alice)}}
	for word := range strings.FieldsSeq(os.Getenv("MAILPROBE_MAILBOXES")) {
		name, rest, _ := strings.Cut(word, "=")
		parts := strings.Split(rest, ",")
		if len(parts) != 4 {
			t.Fatalf("MAILPROBE_MAILBOXES: %q is not name=imap port,pop3 port,user,password", word)
		}
		imapPort, _ := strconv.Atoi(parts[0])
		pop3Port, _ := strconv.Atoi(parts[1])
		servers = append(servers, mailboxServer{name, "127.0.0.1", imapPort, pop3Port, parts[2], parts[3]})
	}
	return servers
}

// connection is what config would make, to a port.
func (s mailboxServer) connection(protocol mail.Protocol, port int, mode mail.WatchMode) *mail.Connection {
	return &mail.Connection{Name: s.name, Protocol: protocol, Encryption: mail.NoEncryption, Host: s.host, Port: port,
		Username: s.user, Password: mail.InlineSecret(mail.NewSecret(s.password)), Auth: mail.AuthLogin,
		CheckMailbox: true, Mailbox: "INBOX", Interval: time.Minute, Timeout: 20 * time.Second, IPProtocol: mail.AnyIP,
		HeldProbe: true, Watch: mode, WatchMaxAge: 15 * time.Minute}
}

// talk runs commands in a session that is not mailprobe's, and returns the untagged
// responses. A literal of a command is sent when the server asks for it.
func (s mailboxServer) talk(t testing.TB, commands ...string) (untagged []string) {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(s.host, strconv.Itoa(s.imap)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	lines := bufio.NewReader(conn)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for i, command := range append([]string{fmt.Sprintf("LOGIN %q %q", s.user, s.password)}, commands...) {
		head, literal, _ := strings.Cut(command, "}\r\n")
		if literal != "" {
			head += "}"
		}
		tag := fmt.Sprintf("a%d", i)
		fmt.Fprintf(conn, "%s %s\r\n", tag, head)
		for answered := false; !answered; {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %s: %v", s.name, head, err)
			}
			switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); {
			case word == "+":
				fmt.Fprintf(conn, "%s\r\n", literal)
			case word != tag:
				untagged = append(untagged, rest)
			case !strings.HasPrefix(rest, "OK"):
				t.Fatalf("%s: %s: %s", s.name, head, line)
			default:
				answered = true
			}
		}
	}
	return untagged
}

// fill empties the mailbox and delivers messages, one an hour, of which the first ones
// are read and the last two are recent. The last arrived an hour ago.
func (s mailboxServer) fill(t testing.TB, messages, read int) {
	t.Helper()
	for _, line := range s.talk(t, "EXAMINE INBOX") {
		if count, _, is := strings.Cut(line, " EXISTS"); is && count != "0" && !strings.Contains(count, " ") {
			s.talk(t, "SELECT INBOX", `STORE 1:* +FLAGS.SILENT (\Deleted)`, "EXPUNGE", "LOGOUT")
		}
	}
	var commands []string
	for i := range messages {
		flags := ""
		if i < read {
			flags = `\Seen`
		}
		text := fmt.Sprintf("From: a@example.test\r\nSubject: %d\r\nMessage-ID: <%d.%d@example.test>\r\n\r\nhello\r\n", i, i, time.Now().UnixNano())
		arrived := time.Now().Add(-time.Duration(messages-i) * time.Hour).Format("_2-Jan-2006 15:04:05 -0700")
		commands = append(commands, fmt.Sprintf("APPEND INBOX (%s) %q {%d}\r\n%s", flags, arrived, len(text), text))
	}
	last := len(commands) - 2
	for some := range slices.Chunk(commands[:last], 1000) {
		s.talk(t, append(slices.Clone(some), "LOGOUT")...)
	}
	s.talk(t, "SELECT INBOX", "LOGOUT") // as a fetcher does; some servers keep UIDVALIDITY only from then on
	s.talk(t, append(commands[last:], "LOGOUT")...)
}

// state is all that a probe must leave as it is: counts, RECENT, UIDs and flags.
func (s mailboxServer) state(t testing.TB) string {
	t.Helper()
	lines := s.talk(t, "STATUS INBOX (MESSAGES RECENT UNSEEN UIDNEXT UIDVALIDITY)", "EXAMINE INBOX", "FETCH 1:* (UID FLAGS)", "LOGOUT")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return !strings.HasPrefix(line, "STATUS") && !strings.Contains(line, " FETCH (")
	})
	if len(lines) < 2 {
		t.Fatalf("%s: no state: %q", s.name, lines)
	}
	return strings.Join(lines, "\n")
}

// filtered is a proxy in front of the server that changes words of its lines.
func (s mailboxServer) filtered(t testing.TB, words *strings.Replacer) int {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(s.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); sessions.Wait() })
	sessions.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", net.JoinHostPort(s.host, strconv.Itoa(s.imap)))
			if err != nil {
				_ = client.Close()
				return
			}
			sessions.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
			sessions.Go(func() {
				for lines := bufio.NewScanner(server); lines.Scan(); {
					fmt.Fprintf(client, "%s\r\n", words.Replace(lines.Text()))
				}
				_ = client.Close()
			})
		}
	})
	return listener.Addr().(*net.TCPAddr).Port
}

// TestRealMailboxesTakeEachRung sees each way to the oldest unread message on a real
// server: as it is, without its [UNSEEN], and without its ESEARCH.
func TestRealMailboxesTakeEachRung(t *testing.T) {
	withoutCode := strings.NewReplacer("[UNSEEN ", "[X-UNSEEN ")
	withoutSearch := strings.NewReplacer("[UNSEEN ", "[X-UNSEEN ", " ESEARCH", "")
	for _, s := range mailboxServers(t) {
		s.fill(t, 20, 5)
		ways := []struct {
			name string
			port int
			mode mail.WatchMode
			want int // messages that wait; the oldest since so many hours
		}{
			{"as it is", s.imap, mail.WatchUnread, 15},
			{"without UNSEEN", s.filtered(t, withoutCode), mail.WatchUnread, 15},
			{"without UNSEEN and ESEARCH", s.filtered(t, withoutSearch), mail.WatchUnread, 15},
			{"all", s.imap, mail.WatchAll, 20},
		}
		for _, way := range ways {
			t.Run(s.name+"/"+way.name, func(t *testing.T) {
				o := (&prober.Prober{}).Probe(t.Context(), s.connection(mail.IMAP, way.port, way.mode))
				w := o.Mailbox.Watch
				if !o.Up() || w == nil || w.Waiting == nil || w.Oldest.IsZero() || w.Newest.IsZero() {
					t.Fatalf("learned %+v: %s", w, dialogue(o))
				}
				asked := askedFor(o)
				t.Log(asked)
				near := func(at time.Time, hours int) bool {
					off := time.Since(at) - time.Duration(hours)*time.Hour
					return off > -time.Minute && off < time.Minute
				}
				if *w.Waiting != uint64(way.want) || !near(w.Oldest, way.want) || !near(w.Newest, 1) {
					t.Errorf("%d wait, oldest %v, newest %v, want %d, that many hours, one hour", *w.Waiting, w.Oldest, w.Newest, way.want)
				}
				if s.name == "dovecot" && !strings.Contains(asked, dovecotRungs[way.name]) {
					t.Errorf("asked %s, want %s", asked, dovecotRungs[way.name])
				}
			})
		}
	}
}

// dovecotRungs are the commands that Dovecot 2.3 is asked after EXAMINE.
var dovecotRungs = map[string]string{
	"as it is":                   "EXAMINE INBOX; FETCH 6,* (",
	"without UNSEEN":             "EXAMINE INBOX; UID SEARCH RETURN (MIN) NOT SEEN; UID FETCH ",
	"without UNSEEN and ESEARCH": "EXAMINE INBOX; UID SEARCH NOT SEEN; UID FETCH ",
	"all":                        "EXAMINE INBOX; FETCH 1,* (",
}

// askedFor lists the commands of a look.
func askedFor(o mail.Outcome) string {
	var commands []string
	for _, line := range o.Transcript {
		_, command, _ := strings.Cut(line.Text, " ")
		word, _, _ := strings.Cut(command, " ")
		if line.From == mail.Client && slices.Contains([]string{"STATUS", "EXAMINE", "FETCH", "UID", "GETQUOTAROOT"}, word) {
			commands = append(commands, command)
		}
	}
	return strings.Join(commands, "; ")
}

// dialogue is the whole dialogue of a probe.
func dialogue(o mail.Outcome) string {
	text := fmt.Sprintf("%+v\n", o.Failure)
	for _, line := range o.Transcript {
		text += fmt.Sprintf("%c: %s\n", line.From, line.Text)
	}
	return text
}

// TestRealMailboxesStayAsTheyAre: 1,000 probes leave FLAGS, RECENT and
// UIDNEXT of a real mailbox as they were.
func TestRealMailboxesStayAsTheyAre(t *testing.T) {
	const probes = 1000
	for _, s := range mailboxServers(t) {
		t.Run(s.name, func(t *testing.T) {
			s.fill(t, 20, 5)
			before := s.state(t)
			c := s.connection(mail.IMAP, s.imap, mail.WatchUnread)
			for i := range probes {
				if o := (&prober.Prober{}).Probe(t.Context(), c); !o.Up() || o.Mailbox.Watch.Oldest.IsZero() {
					t.Fatalf("probe %d: %s", i, dialogue(o))
				}
			}
			if after := s.state(t); after != before {
				t.Errorf("after %d probes\n%s\nbefore\n%s", probes, after, before)
			}
		})
	}
}

// What a watch costs a probe, on 20,000 messages of which 5,000 are unread:
//
//	go test ./prober -run '^$' -bench RealWatch -benchtime 300x -count 3
func BenchmarkRealWatch(b *testing.B) {
	s := mailboxServers(b)[0]
	s.fill(b, 625, 469)
	for range 5 { // 20,000, a quarter of them unread
		s.talk(b, "SELECT INBOX", "COPY 1:* INBOX", "LOGOUT")
	}
	time.Sleep(3 * time.Second)                                         // Dovecot reads a maildir anew while its last change is that recent
	s.talk(b, "SELECT INBOX", "FETCH 1:* (UID INTERNALDATE)", "LOGOUT") // as a client does that shows the list
	for _, mode := range []mail.WatchMode{mail.WatchNone, mail.WatchUnread, mail.WatchAll} {
		b.Run(string(mode), func(b *testing.B) {
			c := s.connection(mail.IMAP, s.imap, mode)
			var inMailbox, whole time.Duration
			var asked string
			for b.Loop() {
				o := (&prober.Prober{}).Probe(b.Context(), c)
				if !o.Up() || c.Watches() && o.Mailbox.Watch.Oldest.IsZero() {
					b.Fatal(dialogue(o))
				}
				for _, p := range o.Phases {
					if p.Phase == mail.PhaseMailbox {
						inMailbox += p.Duration
					}
				}
				whole += o.Duration()
				asked = askedFor(o)
			}
			b.ReportMetric(float64(inMailbox.Microseconds())/float64(b.N), "mailbox-µs/op")
			b.ReportMetric(float64(whole.Microseconds())/float64(b.N), "probe-µs/op")
			b.ReportMetric(float64(strings.Count(asked, ";")+1), "roundtrips/op")
		})
	}
}
