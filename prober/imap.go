package prober

// This file speaks IMAP (RFC 3501, RFC 9051) through go-imap/v2. What comes
// before STARTTLS is a dialogue of our own: no library can be trusted there.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"mailprobe/mail"
)

// imapDialect is an IMAP session.
type imapDialect struct {
	c      *mail.Connection
	w      *wire
	gate   imapGate
	client *imapclient.Client // nil before the first command over a safe wire
	caps   map[string]bool    // as last announced
}

func newIMAP(c *mail.Connection, w *wire, _ string) dialect {
	return &imapDialect{c: c, w: w}
}

// greeting reads the server's first line.
func (d *imapDialect) greeting() error {
	line, err := d.w.readLine()
	if err != nil {
		return err
	}
	tag, r, ok := parseIMAPStatus(line)
	switch {
	case !ok || tag != "*":
		return badGreeting(d.c, line)
	case r.status == "BYE":
		return d.refused("GREETING", r)
	case r.status == "PREAUTH" && d.c.Encryption == mail.StartTLS:
		// RFC 9051 section 7.1.4: STARTTLS is not possible any more.
		return &fault{reason: mail.StartTLSNotOffered, err: errors.New("greeting: PREAUTH before STARTTLS")}
	case r.status == "PREAUTH" && wantsLogin(d.c):
		return &fault{reason: mail.AuthMechanism, err: errors.New("greeting: PREAUTH: the login cannot be tried")}
	case r.status != "OK" && r.status != "PREAUTH":
		return badGreeting(d.c, line)
	}
	return nil
}

// hello asks for the capabilities: by ourselves before STARTTLS, through the
// library afterwards. What was announced in clear text is forgotten (RFC 3501 6.2.1).
func (d *imapDialect) hello() error {
	if clearText(d.c, d.w) {
		r, err := d.converse("P1", "CAPABILITY")
		if err != nil {
			return err
		}
		return d.check("CAPABILITY", r)
	}
	if foretold(d.w.unread()) {
		return tooEarly()
	}
	d.caps, d.gate = nil, imapGate{}
	d.w.filter, d.w.outgoing = d.inspect, d.outgoing
	// The capability code keeps the library from asking beside our command.
	d.w.replay("* OK [CAPABILITY IMAP4rev1] replayed\r\n")
	d.client = imapclient.New(d.w, nil)
	_, err := d.client.Capability().Wait()
	d.caps = d.gate.now().caps
	return d.verdict("CAPABILITY", err)
}

// starttls asks for TLS; the handshake is the plan's next step.
func (d *imapDialect) starttls() error {
	if !d.caps["STARTTLS"] {
		return notOffered("CAPABILITY lists no STARTTLS")
	}
	r, err := d.converse("P2", "STARTTLS")
	if err != nil {
		return err
	}
	return startTLSAnswer(d.refused("STARTTLS", r), r.status == "OK")
}

// offer says how a login is possible (RFC 3501 section 7.2.1).
func (d *imapDialect) offer() offer {
	mechanisms := map[string]bool{}
	for name := range d.caps {
		if mechanism, ok := strings.CutPrefix(name, "AUTH="); ok {
			mechanisms[mechanism] = true
		}
	}
	disabled := d.caps["LOGINDISABLED"]
	return offer{sasl: mechanisms, native: !disabled, needsTLS: disabled}
}

// native logs in with LOGIN.
func (d *imapDialect) native(user, password string) error {
	d.gate.expectLogin(true)
	defer d.gate.expectLogin(false)
	err := d.verdict("LOGIN", d.client.Login(user, password).Wait())
	if d.gate.isAsking() && err != nil && d.w.failed() == nil {
		return &fault{reason: mail.CommandRejected, err: fmt.Errorf("the server accepts no literal: %w", err)}
	}
	return err
}

// exchange logs in with AUTHENTICATE. The library leaves the command open when
// the mechanism gives up, or a challenge is not base64; "*" ends it (RFC 9051
// section 6.2.2).
func (d *imapDialect) exchange(mechanism sasl.Client) error {
	d.gate.expectLogin(true)
	defer d.gate.expectLogin(false)
	watched := &watchedMechanism{Client: mechanism}
	watched.started = func(initial []byte) {
		d.gate.expectInitial(initial != nil && !d.caps["SASL-IR"])
	}
	err := d.client.Authenticate(watched)
	if watched.err != nil {
		_ = d.w.send([]byte("*\r\n"))
		return watched.err
	}
	var no *imap.Error
	if err != nil && !errors.As(err, &no) && d.w.failed() == nil && d.gate.now().bye == nil {
		_ = d.w.send([]byte("*\r\n"))
	}
	return d.verdict("AUTHENTICATE", err)
}

// apop is POP3's.
func (d *imapDialect) apop(_, _ string) error { return errNoAPOP }

// mailbox examines, which changes nothing, and counts.
func (d *imapDialect) mailbox() (mail.MailboxFacts, error) {
	names := []string{d.c.Mailbox}
	if d.c.SharedMailboxAccess == mail.SharedFolder && strings.EqualFold(d.c.Mailbox, "INBOX") {
		var err error
		if names, err = d.sharedNames(); err != nil {
			return mail.MailboxFacts{Tried: true}, err
		}
		d.w.log.repeat("EXAMINE")
		defer d.w.log.repeat("")
	}
	var verdict error
	for _, name := range names {
		err := d.examine(name)
		if err == nil {
			heard := d.gate.now()
			return mail.MailboxFacts{Tried: true, OK: true, Counted: heard.counted, Messages: heard.exists}, nil
		}
		if d.w.failed() != nil {
			return mail.MailboxFacts{Tried: true}, err
		}
		if verdict == nil || isMissing(verdict) {
			verdict = err
		}
	}
	return mail.MailboxFacts{Tried: true}, verdict
}

// isMissing reports whether err says that there is no mailbox of a name. Of the
// names a shared mailbox can have, one that is there and closed tells more.
func isMissing(err error) bool {
	var no *refusal
	return errors.As(err, &no) && refusalReason(mail.PhaseMailbox, no) == mail.MailboxMissing
}

// examine opens one mailbox, read-only. Only a server that opens none for a
// client without a name is sent ours (RFC 2971) and asked again: otherwise that
// would be one more round trip for each probe.
func (d *imapDialect) examine(name string) error {
	ask := func() error {
		d.gate.forgetCount()
		_, err := d.client.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
		return d.verdict("EXAMINE", err)
	}
	err := ask()
	var no *refusal
	if !errors.As(err, &no) || !unnamedTexts.in(lowerASCII(no.reply.text)) || !d.gate.now().caps["ID"] {
		return err
	}
	if _, err := d.client.ID(&imap.IDData{Name: "mailprobe"}).Wait(); err != nil && d.w.failed() != nil {
		return d.verdict("ID", err)
	}
	return ask()
}

// sharedNames gives the names a shared mailbox can have: below the namespaces of
// other users, on some servers the owner's folder itself, on others an INBOX in it.
func (d *imapDialect) sharedNames() ([]string, error) {
	_, err := d.client.Namespace().Wait()
	if err := d.verdict("NAMESPACE", err); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range d.gate.now().others {
		name := n.mailbox(d.c.SharedMailbox)
		names = append(names, name, name+n.delimiter+"INBOX")
	}
	if len(names) == 0 {
		return nil, &fault{reason: mail.MailboxMissing, err: errors.New("NAMESPACE: the server lists no namespace of other users")}
	}
	return names, nil
}

// quit says goodbye through the library, unless that is stuck in a literal.
func (d *imapDialect) quit() error {
	switch {
	case d.client == nil:
		_, err := d.converse("P9", "LOGOUT")
		return err
	case d.gate.isAsking():
		return d.w.send([]byte(protocols[mail.IMAP].goodbye))
	}
	err := d.verdict("LOGOUT", d.client.Logout().Wait())
	if d.gate.now().bye != nil {
		return nil // some servers close after their BYE, without the tagged answer
	}
	return err
}

// drain waits for the library's reader to see the end.
func (d *imapDialect) drain(grace time.Duration) error {
	if d.client == nil {
		return d.w.drain()
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-d.client.Closed():
		return d.w.failed()
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

// release waits for the library's reader.
func (d *imapDialect) release() {
	if d.client != nil {
		_ = d.client.Close()
	}
}

// inspect is the lineFilter: the gate, and a look at what lies behind the answer to
// a command before the library can send the next.
func (d *imapDialect) inspect(line []byte) ([]byte, error) {
	passed, err := d.gate.pass(line)
	if tag, _, _ := bytes.Cut(passed, []byte(" ")); err == nil && libraryTag(tag) && foretold(d.w.unread()) {
		return nil, tooEarly()
	}
	return passed, err
}

// foretold reports whether lines hold the answer to a command of ours. It is
// asked while there is none: our tags can be guessed, and a server that answers
// what it was not asked is another than the one meant, or none.
func foretold(lines []byte) bool {
	for line := range bytes.Lines(lines) {
		tag, _, _ := bytes.Cut(bytes.ToUpper(line), []byte(" "))
		number, ours := bytes.CutPrefix(tag, []byte("P"))
		if libraryTag(tag) || ours && isDigits(string(number)) {
			return true
		}
	}
	return false
}

// outgoing mends what the library sends: it writes an empty SASL response as
// "=", which is right for an initial response alone (RFC 4959 section 3).
func (d *imapDialect) outgoing(p []byte) ([]byte, error) {
	if d.gate.inLogin() && string(p) == "=\r\n" {
		return []byte("\r\n"), nil
	}
	d.gate.sent(p)
	return p, nil
}

// converse is one command of our own in clear text.
func (d *imapDialect) converse(tag, command string) (reply, error) {
	if foretold(d.w.unread()) {
		return reply{}, tooEarly()
	}
	if err := d.w.send([]byte(tag + " " + command + "\r\n")); err != nil {
		return reply{}, err
	}
	for {
		line, err := d.w.readLine()
		if err != nil {
			return reply{}, err
		}
		first, rest, _ := strings.Cut(line, " ")
		if first == "*" {
			if err := d.aside(line, rest); err != nil {
				return reply{}, err
			}
			continue
		}
		r, ok := parseTagged(line)
		if !ok || !strings.EqualFold(first, tag) {
			return reply{}, malformedf("%s: not the answer to this command", command)
		}
		d.gate.answered = true
		return r, nil
	}
}

// aside takes the capabilities from an untagged response in clear text and
// ignores every other: nothing there is authentic (rule R09). But a server
// that greets twice is not listened to.
func (d *imapDialect) aside(line, rest string) error {
	word, args, _ := strings.Cut(rest, " ")
	switch name := upperASCII(word); name {
	case "CAPABILITY":
		_, err := d.gate.capability(args)
		d.caps = d.gate.heard.caps
		return err
	case "OK", "PREAUTH":
		return d.gate.status(name, line)
	}
	return nil
}

// verdict turns what the library says of a command into what the server said:
// the library flattens transport errors and forgets goodbyes.
func (d *imapDialect) verdict(command string, err error) error {
	var refused *imap.Error
	heard := d.gate.now()
	switch transport := d.w.failed(); {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		// A complete reply decides, whatever became of the connection behind it.
		return d.refused(command, heard.tagged)
	case heard.bye != nil:
		return d.refused(command, *heard.bye)
	case transport != nil:
		// The library's reader may hear the alert that explains it, or have given up
		// because our write had failed before it looked.
		if errors.Is(d.drain(partingTime), os.ErrDeadlineExceeded) {
			return d.w.failed()
		}
		d.w.hearAlert()
		return d.parting(command, heard.bad)
	default:
		return malformedf("%s: the library could not read the answer", command)
	}
}

// parting is the end of the stream. An untagged BAD right before it may be an
// internal failure of the server (RFC 9051 section 7.1.3); it is taken for the
// goodbye that it stands in for.
func (d *imapDialect) parting(command string, bad *reply) error {
	end := d.w.failed()
	if bad == nil || !errors.Is(end, io.EOF) {
		return end
	}
	return d.refused(command, reply{status: "BYE", code: bad.code, text: bad.text})
}

// check makes an error of a reply that is not OK.
func (d *imapDialect) check(command string, r reply) error {
	if r.status == "OK" {
		return nil
	}
	return d.refused(command, r)
}

func (d *imapDialect) refused(command string, r reply) *refusal {
	return newRefusal(d.c, d.w, command, r)
}
