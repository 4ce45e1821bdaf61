package prober

// This file speaks POP3 (RFC 1939, 2449, 2595, 5034) through go-pop3. The
// library knows no STLS: TLS is put under it in place, which is safe because
// the wire hands out one line a Read, so that its buffer is empty then.

import (
	"encoding/base64"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/go-pop3"

	"mailprobe/mail"
)

// pop3Dialect is a POP3 session.
type pop3Dialect struct {
	c            *mail.Connection
	w            *wire
	client       *pop3.Conn
	apopStamp    string              // APOP timestamp of the greeting, empty if none
	last         string              // last line that begins a reply
	expectStatus bool                // the next line begins a reply
	caps         map[string][]string // as last announced; nil: the server knows no CAPA
	x            *saslExchange       // under way; nil: none
	sightings    Sightings           // nil: nothing is remembered
}

// Sightings remember since when messages are in mailboxes; see package
// internal/firstseen.
type Sightings interface {
	// Seen takes in the unique ids of the first and the last message, and returns
	// since when they are known to be there.
	Seen(c *mail.Connection, first, last string, now time.Time) (oldest, newest time.Time)
	// Empty takes in that there is none.
	Empty(c *mail.Connection, now time.Time)
}

func newPOP3(c *mail.Connection, w *wire, _ func() string) dialect {
	d := &pop3Dialect{c: c, w: w}
	w.lockstep = true
	return d
}

// greeting reads the server's first line, and lets the library read it again.
func (d *pop3Dialect) greeting() error {
	line, err := d.w.readLine()
	if err != nil {
		return err
	}
	r, err := parsePOP3Reply(line)
	switch {
	case err != nil || r.status == "+":
		return badGreeting(d.c, line)
	case r.status != "+OK":
		return d.refused("GREETING", r)
	}
	d.apopStamp = apopTimestamp(line)
	return d.attach()
}

// attach makes the library use the wire. It dials and reads a greeting by itself, so
// the greeting is replayed.
func (d *pop3Dialect) attach() error {
	d.w.filter, d.w.outgoing = d.inspect, d.outgoing
	d.expectStatus = true
	d.w.replay("+OK replayed\r\n")
	client, err := pop3.New(pop3.Opt{Host: d.c.Host, Port: d.c.EffectivePort(), Dialer: wireDialer{d.w}}).NewConn()
	d.client = client
	return err
}

// wireDialer returns the wire where go-pop3 dials: it accepts no connection otherwise.
type wireDialer struct{ w *wire }

func (d wireDialer) Dial(_, _ string) (net.Conn, error) { return d.w, nil }

// hello asks for the capabilities (RFC 2449). A server without CAPA is fine
// unless STLS has to be found there.
func (d *pop3Dialect) hello() error {
	d.caps = nil
	list, err := d.client.Cmd("CAPA", true)
	if err != nil {
		if d.refusedWithoutCode() {
			return nil
		}
		return d.serverError("CAPA", err)
	}
	lines := strings.Split(strings.TrimSuffix(list.String(), "\r\n"), "\r\n")
	if strings.HasPrefix(lines[0], "+OK") {
		return malformedf("a second greeting")
	}
	d.caps = parsePOP3Capabilities(lines)
	return nil
}

// refusedWithoutCode reports whether the last reply was an -ERR without a code.
func (d *pop3Dialect) refusedWithoutCode() bool {
	r, err := parsePOP3Reply(d.last)
	return d.w.failed() == nil && err == nil && r.status == "-ERR" && r.code == ""
}

// starttls asks for TLS (RFC 2595 section 4).
func (d *pop3Dialect) starttls() error {
	if _, ok := d.caps["STLS"]; !ok {
		return notOffered("CAPA lists no STLS")
	}
	_, err := d.client.Cmd("STLS", false)
	return startTLSAnswer(d.serverError("STLS", err), err == nil)
}

// offer says how a login is possible. USER is a capability only where there is
// CAPA, and some servers that know it list neither it nor SASL.
func (d *pop3Dialect) offer() offer {
	mechanisms := map[string]bool{}
	for _, name := range d.caps["SASL"] {
		mechanisms[upperASCII(name)] = true
	}
	_, user := d.caps["USER"]
	native := d.caps == nil || user || len(mechanisms) == 0 && d.w.encrypted()
	_, stls := d.caps["STLS"]
	return offer{sasl: mechanisms, native: native, apop: d.apopStamp, delay: loginDelay(d.caps["LOGIN-DELAY"]),
		needsTLS: !native && stls && !d.w.encrypted()}
}

// loginDelay reads the arguments of LOGIN-DELAY: seconds, and perhaps USER, which
// says that it may be less for some (RFC 2449 section 6.5). What makes no sense
// is none.
func loginDelay(args []string) time.Duration {
	if len(args) == 0 {
		return 0
	}
	seconds, err := strconv.ParseUint(args[0], 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// native logs in with USER and PASS.
func (d *pop3Dialect) native(user, password string) error {
	if err := d.client.User(user); err != nil {
		return d.serverError("USER", err)
	}
	return d.serverError("PASS", d.client.Pass(password))
}

// apop logs in with the digest of password and greeting.
func (d *pop3Dialect) apop(user, digest string) error {
	_, err := d.client.Cmd("APOP", false, user, digest)
	return d.serverError("APOP", err)
}

// exchange logs in with AUTH (RFC 5034), without an initial response on the
// command line: 255 bytes are its limit, and Exchange wants it so.
func (d *pop3Dialect) exchange(x *saslExchange) error {
	d.x = x
	defer func() { d.x = nil }()
	name, _, err := x.Start()
	if err != nil {
		return err
	}
	line := "AUTH " + name
	for {
		challenge, more, err := d.challenge(line)
		if err != nil || !more {
			return err
		}
		response, err := x.Next(challenge)
		if err != nil {
			_, _ = d.client.Cmd("*", false) // RFC 5034 section 4: give up
			return err
		}
		line = base64.StdEncoding.EncodeToString(response)
	}
}

// challenge sends a line and reads the server's next challenge; more is false
// when the exchange ended well. The library calls a "+ " line unknown.
func (d *pop3Dialect) challenge(line string) (challenge []byte, more bool, err error) {
	if err := d.client.Send(line); err != nil {
		return nil, false, d.serverError("AUTH", err)
	}
	_, err = d.client.ReadOne()
	text, more := strings.CutPrefix(d.last, "+ ")
	if err == nil || !more && d.last != "+" || d.w.failed() != nil {
		return nil, false, d.serverError("AUTH", err)
	}
	if d.x.textless.Load() {
		return nil, true, nil
	}
	challenge, err = base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(text, "+")))
	if err != nil {
		_, _ = d.client.Cmd("*", false)
		return nil, false, malformedf("AUTH: the challenge is not base64")
	}
	return challenge, true, nil
}

// mailbox counts with STAT.
func (d *pop3Dialect) mailbox() (mail.MailboxFacts, error) {
	_, err := d.client.Cmd("STAT", false)
	facts := mail.MailboxFacts{Tried: true}
	if err := d.serverError("STAT", err); err != nil {
		return facts, err
	}
	// RFC 1939 section 5: the count and the size, in digits. The library's own
	// Stat takes negative numbers.
	fields := strings.Fields(strings.TrimPrefix(d.last, "+OK"))
	if len(fields) < 2 {
		return facts, malformedf("STAT: no drop listing")
	}
	count, err := strconv.ParseUint(fields[0], 10, 32)
	size, sizeErr := strconv.ParseUint(fields[1], 10, 64)
	if err != nil || sizeErr != nil {
		return facts, malformedf("STAT: not a number")
	}
	return mail.MailboxFacts{Tried: true, OK: true, Counted: true, Messages: count, Watch: d.look(count, size)}, nil
}

// look returns the waiting messages of a watched maildrop; nil: it is not watched. POP3
// does not tell when messages arrived, so their unique ids are stored. A look that fails
// does not fail the probe.
func (d *pop3Dialect) look(count, size uint64) *mail.WatchFacts {
	if !d.c.Watches() {
		return nil
	}
	w := &mail.WatchFacts{Waiting: &count, Size: &size}
	switch {
	case d.sightings == nil:
	case count == 0:
		d.sightings.Empty(d.c, time.Now())
	default:
		first, last, err := d.ends(count)
		if err != nil {
			d.w.log.note("UIDL was refused or has no usable answer: how long messages wait is not known")
			break
		}
		w.FirstSeen = true
		w.Oldest, w.Newest = d.sightings.Seen(d.c, first, last, time.Now())
	}
	return w
}

// ends returns the unique ids of the first and the last message.
func (d *pop3Dialect) ends(count uint64) (first, last string, err error) {
	if first, err = d.uniqueID(1); err != nil || count == 1 {
		return first, first, err
	}
	if last, err = d.uniqueID(count); err == nil && last == first {
		err = malformedf("UIDL: two messages have one unique id")
	}
	return first, last, err
}

// uniqueID asks for the unique id of one message: 1 to 70 visible characters (RFC
// 1939 section 7).
func (d *pop3Dialect) uniqueID(number uint64) (string, error) {
	_, err := d.client.Cmd("UIDL", false, number)
	if err := d.serverError("UIDL", err); err != nil {
		return "", err
	}
	fields := strings.Fields(strings.TrimPrefix(d.last, "+OK"))
	if len(fields) < 2 || fields[0] != strconv.FormatUint(number, 10) || len(fields[1]) > 70 {
		return "", malformedf("UIDL: not the unique id of this message")
	}
	return fields[1], nil
}

// quit frees the maildrop's lock.
func (d *pop3Dialect) quit() error {
	if d.client == nil { // the greeting was a refusal
		return d.w.send([]byte(protocols[mail.POP3].goodbye))
	}
	return d.serverError("QUIT", d.client.Quit())
}

func (d *pop3Dialect) drain(time.Duration) error { return d.w.drain() }
func (d *pop3Dialect) release()                  {}

// outgoing records that a command was sent, so that the next line is its reply.
func (d *pop3Dialect) outgoing(p []byte) ([]byte, error) {
	d.expectStatus = true
	return p, nil
}

// inspect keeps the status line of a reply and refuses a malformed one: the library
// takes an empty line for +OK.
func (d *pop3Dialect) inspect(line []byte) ([]byte, error) {
	if !d.expectStatus {
		return line, nil
	}
	d.expectStatus, d.last = false, string(trimEOL(line))
	if _, err := parsePOP3Reply(d.last); err != nil {
		return nil, err
	}
	return line, nil
}

// serverError replaces the library's error, which is text only, by the server's reply.
func (d *pop3Dialect) serverError(command string, err error) error {
	if err == nil {
		return nil
	}
	if transport := d.w.failed(); transport != nil {
		return transport
	}
	r, parseErr := parsePOP3Reply(d.last)
	if parseErr != nil || r.status != "-ERR" {
		return malformedf("%s: the answer cannot be read", command)
	}
	return d.refused(command, r)
}

func (d *pop3Dialect) refused(command string, r reply) *refusal {
	return newRefusal(d.c, d.w.encrypted(), d.x, command, r)
}
