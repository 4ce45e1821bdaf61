package prober

// This file speaks SMTP and submission (RFC 5321, 4954, 3207) through go-smtp. The
// commands before STARTTLS are sent without the library.

import (
	"bytes"
	"encoding/base64"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"mailprobe/mail"
)

// maxSMTPText cuts a reply line's text for the library, which fails a session
// at 2,000 bytes; RFC 5321 section 4.5.3.1.5 allows 512.
const maxSMTPText = 1000

// smtpDialect is an SMTP session.
type smtpDialect struct {
	c            *mail.Connection
	w            *wire
	name         string       // to greet with
	client       *smtp.Client // nil before the first command over a safe wire
	lines        []string     // of the last reply
	whole        bool         // the reply in lines is complete
	caps         map[string][]string
	helo         bool          // EHLO was not known; HELO did
	x            *saslExchange // under way; nil: none
	badChallenge bool          // a challenge was not base64
}

func newSMTP(c *mail.Connection, w *wire, hostname func() string) dialect {
	w.lockstep = true
	name := c.EHLO
	if name == "" {
		name = hostname()
	}
	return &smtpDialect{c: c, w: w, name: name}
}

// greeting reads the server's first reply, of one or more lines.
func (d *smtpDialect) greeting() error {
	r, err := d.answer()
	switch {
	case err != nil && d.w.failed() == nil && len(d.lines) > 0:
		return badGreeting(d.c, d.lines[0])
	case err != nil:
		return err
	case r.status != "220" && !negative[r.status[:1]]:
		return badGreeting(d.c, d.lines[0])
	case r.status != "220":
		return d.refused("GREETING", r)
	}
	return nil
}

// hello sends EHLO: without the library before STARTTLS, through it afterwards. What was
// announced in clear text is forgotten (RFC 3207 section 4.2).
func (d *smtpDialect) hello() error {
	d.caps = nil
	if clearText(d.c, d.w) {
		r, err := d.roundTrip("EHLO " + d.name)
		if err != nil {
			return err
		}
		switch r.status {
		case "250":
		case "500", "502":
			return notOffered("the server knows no EHLO")
		default:
			return d.refused("EHLO "+d.name, r)
		}
		d.caps = parseSMTPCapabilities(d.lines)
		return nil
	}
	d.w.filter, d.w.outgoing = d.inspect, d.outgoing
	d.w.replay("220 replayed\r\n")
	d.client = smtp.NewClient(d.w)
	if err := d.serverError("EHLO "+d.name, d.client.Hello(d.name)); err != nil {
		// The library would greet again before its QUIT.
		d.client, d.w.filter, d.w.outgoing = nil, nil, nil
		return err
	}
	d.caps = map[string][]string{}
	if !d.helo {
		d.caps = parseSMTPCapabilities(d.lines)
	}
	return nil
}

// starttls sends STARTTLS. The handshake is the next step of the plan.
func (d *smtpDialect) starttls() error {
	if _, ok := d.caps["STARTTLS"]; !ok {
		no := notOffered("EHLO lists no STARTTLS")
		if isMasked(d.caps) {
			no.hint = maskedHint
		}
		return no
	}
	r, err := d.roundTrip("STARTTLS")
	if err != nil {
		return err
	}
	return startTLSAnswer(d.refused("STARTTLS", r), r.status == "220")
}

// isMasked reports whether a firewall has overwritten some of the server's offers.
func isMasked(caps map[string][]string) bool {
	for name := range caps {
		if strings.HasPrefix(name, "XXXX") {
			return true
		}
	}
	return false
}

// offer returns how a login is possible (RFC 4954 section 3).
func (d *smtpDialect) offer() offer {
	mechanisms := map[string]bool{}
	for _, name := range d.caps["AUTH"] {
		mechanisms[upperASCII(name)] = true
	}
	_, starttls := d.caps["STARTTLS"]
	return offer{sasl: mechanisms, needsTLS: len(mechanisms) == 0 && starttls && !d.w.encrypted()}
}

// native does not exist in SMTP, where AUTH is the only login command.
func (d *smtpDialect) native(_, _ string) error { return errNoNative }

// apop exists in POP3 only.
func (d *smtpDialect) apop(_, _ string) error { return errNoAPOP }

// maxAuthLine bounds the AUTH command, in bytes with its line end (RFC 4954
// section 4).
const maxAuthLine = 12288

// exchange logs in with AUTH.
func (d *smtpDialect) exchange(x *saslExchange) error {
	x.room = maxAuthLine - len("AUTH  \r\n") - len(mechanismOf(x.method).name)
	d.x, d.badChallenge = x, false
	defer func() { d.x = nil }()
	err := d.client.Auth(x)
	switch {
	case x.err != nil:
		return x.err
	case d.badChallenge && d.w.failed() == nil:
		// The library cancels, and would take the reply to that for the result of the login.
		return malformedf("AUTH: the challenge is not base64")
	}
	return d.serverError("AUTH", err)
}

// mailbox tries the sender, and the recipient if there is one, and cancels with RSET: no
// message is sent. RSET is sent without the library, whose Reset would greet again.
func (d *smtpDialect) mailbox() (mail.MailboxFacts, error) {
	facts := mail.MailboxFacts{Tried: true}
	if err := d.serverError("MAIL", d.client.Mail(sender(d.c), nil)); err != nil {
		return facts, err
	}
	if d.c.Recipient != "" {
		if err := d.serverError("RCPT", d.client.Rcpt(d.c.Recipient, nil)); err != nil {
			return facts, err
		}
	}
	d.w.filter, d.w.outgoing = nil, nil
	r, err := d.roundTrip("RSET")
	d.w.filter, d.w.outgoing = d.inspect, d.outgoing
	switch {
	case err != nil:
		return facts, err
	case r.status != "250":
		return facts, d.refused("RSET", r)
	}
	facts.OK = true
	return facts, nil
}

// sender returns the reverse path that is tried: empty for the null path.
func sender(c *mail.Connection) string {
	switch {
	case c.SharedMailbox != "" && c.SharedMailboxAccess == mail.SharedSender:
		return c.SharedMailbox
	case c.Sender == "<>":
		return ""
	}
	return c.Sender
}

// quit says goodbye through the library.
func (d *smtpDialect) quit() error {
	if d.client == nil {
		_, err := d.roundTrip("QUIT")
		return err
	}
	return d.serverError("QUIT", d.client.Quit())
}

func (d *smtpDialect) drain(time.Duration) error { return d.w.drain() }
func (d *smtpDialect) release()                  {}

// outgoing handles two commands that the library sends by itself. HELO is allowed
// only where neither STARTTLS nor AUTH is wanted, because both need EHLO. The "*"
// that the library sends after the final reply to AUTH is answered here: for the
// server it would be an unknown command.
func (d *smtpDialect) outgoing(p []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(p, []byte("HELO ")):
		if d.c.Encryption != mail.NoEncryption || d.c.LogsIn() {
			return nil, d.refused("EHLO "+d.name, d.reply())
		}
		d.helo = true
	case d.x != nil && string(p) == "*\r\n" && d.reply().status != "334":
		d.w.replay("501 the exchange is over\r\n")
		return nil, nil
	}
	d.lines, d.whole = nil, false
	return p, nil
}

// inspect collects the reply and returns a line that the library can read: a bare
// code gets a space, a long text is cut.
func (d *smtpDialect) inspect(line []byte) ([]byte, error) {
	text := string(trimEOL(line))
	if err := d.collect(text); err != nil {
		return nil, err
	}
	if challenge, ok := strings.CutPrefix(text, "334 "); ok && d.x != nil {
		if d.x.textless.Load() {
			text = "334 "
		} else {
			_, err := base64.StdEncoding.DecodeString(challenge)
			d.badChallenge = err != nil
		}
	}
	if len(text) == 3 {
		text += " "
	}
	text = text[:min(len(text), maxSMTPText)]
	return []byte(text + "\r\n"), nil
}

// collect adds a line to the reply under way.
func (d *smtpDialect) collect(line string) error {
	if d.whole {
		d.lines, d.whole = nil, false
	}
	status, _, more, err := parseSMTPLine(line)
	if err != nil {
		d.lines = append(d.lines, line)
		return err
	}
	if len(d.lines) > 0 && !strings.HasPrefix(d.lines[0], status) {
		return malformedf("the lines of a reply have different codes")
	}
	d.lines, d.whole = append(d.lines, line), !more
	return nil
}

// reply is the last whole reply.
func (d *smtpDialect) reply() reply {
	r, _ := parseSMTPReply(d.lines)
	return r
}

// roundTrip sends one command of our own and reads its reply.
func (d *smtpDialect) roundTrip(command string) (reply, error) {
	if d.w.hasUnread() {
		return reply{}, unsolicitedReply()
	}
	if err := d.w.send([]byte(command + "\r\n")); err != nil {
		return reply{}, err
	}
	return d.answer()
}

// answer reads one whole reply.
func (d *smtpDialect) answer() (reply, error) {
	d.lines, d.whole = nil, false
	for !d.whole {
		line, err := d.w.readLine()
		if err != nil {
			return reply{}, err
		}
		if err := d.collect(line); err != nil {
			return reply{}, err
		}
	}
	return parseSMTPReply(d.lines)
}

// serverError replaces the library's error by the server's reply.
func (d *smtpDialect) serverError(command string, err error) error {
	if err == nil {
		return nil
	}
	if transport := d.w.failed(); transport != nil {
		return transport
	}
	r, parseErr := parseSMTPReply(d.lines)
	if parseErr != nil || !d.whole {
		return malformedf("%s: the answer cannot be read", command)
	}
	return d.refused(command, r)
}

// refused diagnoses a negative reply. Advice about the name in EHLO quotes it.
func (d *smtpDialect) refused(command string, r reply) *refusal {
	no := newRefusal(d.c, d.w.encrypted(), d.x, command, r)
	no.hint = strings.ReplaceAll(no.hint, "{ehlo}", d.name)
	return no
}
