package prober

// A mailbox in memory and an IMAP and a POP3 server over it, for the stories of
// watched mailboxes: honest, but for the answers that a story gives it.

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// simMessage is one message.
type simMessage struct {
	uid     uint32
	seen    bool
	arrived time.Time
}

// simMailbox is a mailbox and what its servers say. Its zero value is empty.
type simMailbox struct {
	mu       sync.Mutex
	messages []*simMessage
	lastUID  uint32
	validity uint32

	before, after string // capabilities before and after the login; after empty: the same
	noUnseenCode  bool   // EXAMINE does not name the first unread message
	quota         string // the untagged answer to GETQUOTAROOT
	// answers replace those of commands that begin so: lines, of which {tag} is the
	// tag's place. An answer "STALL" says nothing more, "CLOSE" closes.
	answers  map[string]string
	commands []string // every line that came, tags and credentials left out
}

// deliver adds n messages that arrive now.
func (b *simMailbox) deliver(n int, arrived time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		b.lastUID++
		b.messages = append(b.messages, &simMessage{uid: b.lastUID, arrived: arrived})
	}
}

// fetch takes the first n waiting messages as a fetcher does: it marks them as
// read, or deletes them.
func (b *simMailbox) fetch(mode mail.WatchMode, waits func(*simMessage) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if mode == mail.WatchAll {
		b.messages = slices.DeleteFunc(b.messages, func(m *simMessage) bool { return !waits(m) })
		return
	}
	for _, m := range b.messages {
		m.seen = m.seen || !waits(m)
	}
}

// unseen returns the number of unread messages and that of the first, 0: none.
func (b *simMailbox) unseen() (count, first int) {
	for i, m := range b.messages {
		if !m.seen {
			if count++; first == 0 {
				first = i + 1
			}
		}
	}
	return count, first
}

// prober returns a Prober whose connections lead to the mailbox.
func (b *simMailbox) prober(protocol mail.Protocol) *Prober {
	serve := map[mail.Protocol]func(net.Conn){mail.IMAP: b.serveIMAP, mail.POP3: b.servePOP3}[protocol]
	return &Prober{dial: func(context.Context, []netip.Addr, int) (net.Conn, error) {
		ours, theirs := mailtest.Pipe(0)
		go func() {
			defer theirs.Close()
			serve(theirs)
		}()
		return ours, nil
	}}
}

// watched is a connection to it.
func watched(protocol mail.Protocol, mode mail.WatchMode) *mail.Connection {
	return &mail.Connection{Name: "tickets", Protocol: protocol, Encryption: mail.NoEncryption, Host: "127.0.0.1", Port: 1,
		Username: "alice", Password: mail.InlineSecret(mail.NewSecret("wonderland")), Auth: mail.AuthLogin,
		CheckMailbox: true, Mailbox: "INBOX", Interval: time.Minute, Timeout: 10 * time.Second,
		Watch: mode, WatchMaxAge: 15 * time.Minute, HeldProbe: true}
}

// heard returns the commands that came since the last call.
func (b *simMailbox) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	heard := b.commands
	b.commands = nil
	return heard
}

// answer says what a story has for a command; false: nothing. over ends the session.
func (b *simMailbox) answer(conn net.Conn, tag, command string) (said, over bool) {
	for begin, text := range b.answers {
		if !strings.HasPrefix(command, begin) {
			continue
		}
		for line := range strings.Lines(text) {
			switch line = strings.TrimRight(line, "\n"); line {
			case "STALL":
				_, _ = conn.Read(make([]byte, 1)) // ends when the client is gone
				return true, true
			case "CLOSE":
				return true, true
			default:
				fmt.Fprintf(conn, "%s\r\n", strings.ReplaceAll(line, "{tag}", tag))
			}
		}
		return true, false
	}
	return false, false
}

// serveIMAP is one session.
func (b *simMailbox) serveIMAP(conn net.Conn) {
	fmt.Fprint(conn, "* OK IMAP4rev1 ready\r\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		tag, command, _ := strings.Cut(lines.Text(), " ")
		word, _, _ := strings.Cut(command, " ")
		b.mu.Lock()
		if word == "LOGIN" {
			b.commands = append(b.commands, word)
		} else {
			b.commands = append(b.commands, command)
		}
		said, over := b.answer(conn, tag, command)
		if !said {
			over = b.honest(conn, tag, word, command)
		}
		b.mu.Unlock()
		if over {
			return
		}
	}
}

// honest answers a command as RFC 3501 has it. The caller holds mu.
func (b *simMailbox) honest(conn net.Conn, tag, word, command string) (over bool) {
	var lines []string
	end := "OK done"
	unseen, first := b.unseen()
	switch word {
	case "CAPABILITY":
		lines = []string{"CAPABILITY IMAP4rev1 " + b.before}
	case "LOGIN":
		if b.after != "" {
			end = "OK [CAPABILITY IMAP4rev1 " + b.after + "] logged in"
		}
	case "NAMESPACE":
		lines = []string{`NAMESPACE (("" "/")) (("Other Users/" "/")) NIL`}
	case "STATUS":
		name := strings.TrimSpace(strings.TrimPrefix(command[:strings.LastIndexByte(command, '(')], "STATUS"))
		size := ""
		if strings.HasSuffix(command, " SIZE)") {
			size = fmt.Sprintf(" SIZE %d", 1000*len(b.messages))
		}
		lines = []string{fmt.Sprintf("STATUS %s (MESSAGES %d UNSEEN %d UIDNEXT %d UIDVALIDITY %d%s)", name, len(b.messages), unseen, b.lastUID+1, b.validity, size)}
	case "EXAMINE":
		lines = []string{`FLAGS (\Answered \Seen)`, fmt.Sprintf("%d EXISTS", len(b.messages)), "0 RECENT",
			fmt.Sprintf("OK [UIDVALIDITY %d] UIDs valid", b.validity), fmt.Sprintf("OK [UIDNEXT %d] next", b.lastUID+1)}
		if first > 0 && !b.noUnseenCode {
			lines = append(lines, fmt.Sprintf("OK [UNSEEN %d] first", first))
		}
		end = "OK [READ-ONLY] done"
	case "UID", "FETCH":
		lines = b.find(tag, command, first)
	case "GETQUOTAROOT":
		lines = []string{`QUOTAROOT INBOX "User quota"`, b.quota}
	case "LOGOUT":
		lines = []string{"BYE"}
	default:
		end = "BAD unknown command"
	}
	for _, line := range lines {
		fmt.Fprintf(conn, "* %s\r\n", line)
	}
	fmt.Fprintf(conn, "%s %s\r\n", tag, end)
	return word == "LOGOUT"
}

// find answers FETCH and UID SEARCH.
func (b *simMailbox) find(tag, command string, first int) (lines []string) {
	switch {
	case strings.HasPrefix(command, "UID SEARCH RETURN (MIN) "):
		line := "ESEARCH (TAG \"" + tag + "\") UID"
		if first > 0 {
			line += fmt.Sprintf(" MIN %d", b.messages[first-1].uid)
		}
		return []string{line}
	case strings.HasPrefix(command, "UID SEARCH "):
		line := "SEARCH"
		for _, m := range b.messages {
			if !m.seen {
				line += fmt.Sprintf(" %d", m.uid)
			}
		}
		return []string{line}
	}
	byUID := strings.HasPrefix(command, "UID ")
	set, items, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(command, "UID "), "FETCH "), " ")
	for i, m := range b.messages {
		number := uint32(i + 1)
		if byUID {
			number = m.uid
		}
		words := strings.Split(set, ",")
		if !slices.Contains(words, fmt.Sprint(number)) && (i != len(b.messages)-1 || !slices.Contains(words, "*")) {
			continue
		}
		flags := ""
		if strings.Contains(items, "FLAGS") {
			flags = "FLAGS (" + map[bool]string{true: `\Seen`}[m.seen] + ") "
		}
		lines = append(lines, fmt.Sprintf("%d FETCH (UID %d %sINTERNALDATE %q)", i+1, m.uid, flags, m.arrived.Format("_2-Jan-2006 15:04:05 -0700")))
	}
	return lines
}

// servePOP3 is one session. A unique id is the UID.
func (b *simMailbox) servePOP3(conn net.Conn) {
	fmt.Fprint(conn, "+OK ready\r\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		command := lines.Text()
		word, arg, _ := strings.Cut(command, " ")
		b.mu.Lock()
		if word == "USER" || word == "PASS" {
			b.commands = append(b.commands, word)
		} else {
			b.commands = append(b.commands, command)
		}
		said, over := b.answer(conn, "", command)
		if !said {
			over = b.honestPOP3(conn, word, arg)
		}
		b.mu.Unlock()
		if over {
			return
		}
	}
}

// honestPOP3 answers a command as RFC 1939 has it. The caller holds mu.
func (b *simMailbox) honestPOP3(conn net.Conn, word, arg string) (over bool) {
	switch word {
	case "CAPA":
		fmt.Fprint(conn, "+OK\r\nUSER\r\nUIDL\r\n.\r\n")
	case "STAT":
		fmt.Fprintf(conn, "+OK %d %d\r\n", len(b.messages), 1000*len(b.messages))
	case "UIDL":
		var number int
		if _, err := fmt.Sscan(arg, &number); err != nil || number < 1 || number > len(b.messages) {
			fmt.Fprint(conn, "-ERR no such message\r\n")
			break
		}
		fmt.Fprintf(conn, "+OK %d id-%d\r\n", number, b.messages[number-1].uid)
	case "USER", "PASS", "QUIT":
		fmt.Fprint(conn, "+OK\r\n")
	default:
		fmt.Fprint(conn, "-ERR unknown command\r\n")
	}
	return word == "QUIT"
}
