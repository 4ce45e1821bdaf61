package prober

// This file speaks IMAP (RFC 3501, RFC 9051) through go-imap/v2. The commands
// before STARTTLS are sent without the library: in clear text, an attacker can
// answer them.

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

	"mailprobe/mail"
)

// imapDialect is an IMAP session.
type imapDialect struct {
	c      *mail.Connection
	w      *wire
	filter imapFilter
	client *imapclient.Client // nil before the first command over a safe wire
	x      *saslExchange      // the exchange of the current login; nil: none
	caps   map[string]bool    // as last announced
	// ordered: the list that ends a command is sorted, because the library sends its
	// items in random order.
	ordered   bool
	sightings Sightings // nil: nothing is remembered
}

func newIMAP(c *mail.Connection, w *wire, _ func() string) dialect {
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
	case r.status == "BYE", r.status == "NO", r.status == "BAD":
		return d.refused("GREETING", r)
	case r.status == "PREAUTH" && d.c.Encryption == mail.StartTLS:
		// RFC 9051 section 7.1.4: STARTTLS is not possible any more.
		return &fault{reason: mail.StartTLSNotOffered, err: errors.New("greeting: PREAUTH before STARTTLS")}
	case r.status == "PREAUTH" && d.c.LogsIn():
		return &fault{reason: mail.AuthMechanism, err: errors.New("greeting: PREAUTH: the login cannot be tried")}
	case r.status != "OK" && r.status != "PREAUTH":
		return badGreeting(d.c, line)
	}
	return nil
}

// hello asks for the capabilities, without the library, which is only told those that it
// uses. Capabilities announced in clear text are forgotten (RFC 3501 section 6.2.1).
func (d *imapDialect) hello() error {
	if clearText(d.c, d.w) {
		r, err := d.roundTrip("P1", "CAPABILITY")
		if err != nil {
			return err
		}
		return d.check("CAPABILITY", r)
	}
	if hasUnsolicitedReply(d.w.unread()) {
		return unsolicitedReply()
	}
	d.caps, d.filter = nil, imapFilter{maxLiteral: d.w.bounds.literal}
	d.w.filter, d.w.outgoing = d.inspect, d.outgoing
	err := d.filtered("T0", "CAPABILITY")
	d.caps = d.filter.now().caps
	if err != nil {
		return d.serverError("CAPABILITY", err)
	}
	// With a capability code in the greeting, the library does not send CAPABILITY
	// by itself.
	d.w.replay("* OK [CAPABILITY" + libraryList(d.caps) + "] replayed\r\n")
	d.client = imapclient.New(d.w, nil)
	return nil
}

// filtered sends one command of our own through the filter, which keeps the responses.
func (d *imapDialect) filtered(tag, command string) error {
	if _, err := d.w.Write([]byte(tag + " " + command + "\r\n")); err != nil {
		return err
	}
	for d.filter.isWaiting() {
		if err := d.w.skipLine(); err != nil {
			return err
		}
	}
	if r := d.filter.now().tagged; r.status != "OK" {
		return &imap.Error{Type: imap.StatusResponseType(r.status)}
	}
	return nil
}

// starttls sends STARTTLS. The handshake is the next step of the plan.
func (d *imapDialect) starttls() error {
	if !d.caps["STARTTLS"] {
		return notOffered("CAPABILITY lists no STARTTLS")
	}
	r, err := d.roundTrip("P2", "STARTTLS")
	if err != nil {
		return err
	}
	return startTLSAnswer(d.refused("STARTTLS", r), r.status == "OK")
}

// offer returns how a login is possible (RFC 3501 section 7.2.1).
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
	d.filter.beginLogin(nil)
	defer d.filter.endLogin()
	err := d.serverError("LOGIN", d.client.Login(user, password).Wait())
	if d.filter.isAwaitingContinuation() && err != nil && d.w.failed() == nil {
		return &fault{reason: mail.CommandRejected, err: fmt.Errorf("the server accepts no literal: %w", err)}
	}
	return err
}

// exchange logs in with AUTHENTICATE. If the mechanism gives up, or a challenge is
// not base64, the library does not end the command; "*" is sent then (RFC 9051
// section 6.2.2).
func (d *imapDialect) exchange(x *saslExchange) error {
	if d.caps["SASL-IR"] { // RFC 4959
		x.room = d.w.bounds.session
	}
	d.filter.beginLogin(x)
	d.x = x
	defer func() { d.filter.endLogin(); d.x = nil }()
	err := d.client.Authenticate(x)
	_, refused := errors.AsType[*imap.Error](err)
	if x.err != nil || err != nil && !refused && d.w.failed() == nil && d.filter.now().bye == nil {
		_ = d.w.send([]byte("*\r\n"))
	}
	if x.err != nil {
		return x.err
	}
	return d.serverError("AUTHENTICATE", err)
}

// apop exists in POP3 only.
func (d *imapDialect) apop(_, _ string) error { return errNoAPOP }

// mailbox opens the mailbox with EXAMINE, which changes nothing, and returns how
// many messages are in it.
func (d *imapDialect) mailbox() (mail.MailboxFacts, error) {
	names := []string{d.c.Mailbox}
	if bySharedFolder(d.c) {
		var err error
		if names, err = d.sharedNames(); err != nil {
			return mail.MailboxFacts{Tried: true}, err
		}
	}
	facts := mail.MailboxFacts{Tried: true}
	_, err := d.firstOf(names, func(name string) error {
		status := d.statusBefore(name)
		if err := d.examine(name); err != nil {
			return err
		}
		seen := d.filter.now()
		facts.OK, facts.Counted, facts.Messages = true, seen.counted, seen.exists
		facts.Watch = d.look(name, status, seen)
		return nil
	})
	return facts, err
}

// firstOf returns the first of several names of a mailbox that opens. Of several errors
// it returns the one that says more than that there is no such mailbox.
func (d *imapDialect) firstOf(names []string, open func(name string) error) (string, error) {
	var firstErr error
	for _, name := range names {
		err := open(name)
		switch {
		case err == nil:
			return name, nil
		case d.w.failed() != nil:
			return "", err
		case firstErr == nil || isMissing(firstErr):
			firstErr = err
		}
	}
	if no, ok := errors.AsType[*refusal](firstErr); ok {
		no.mailboxes = names
	}
	return "", firstErr
}

// isMissing reports whether err says that the mailbox does not exist. A shared
// mailbox can have several names: one that exists and is denied is the better
// answer.
func isMissing(err error) bool {
	no, ok := errors.AsType[*refusal](err)
	return ok && no.reason == mail.MailboxMissing
}

// examine opens one mailbox, read-only. Some servers refuse clients that have not
// sent their name: ID (RFC 2971) is sent to those only, because it costs a round
// trip.
func (d *imapDialect) examine(name string) error {
	ask := func() error {
		d.filter.forgetCount()
		_, err := d.client.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
		return d.serverError("EXAMINE", err)
	}
	err := ask()
	if no, ok := errors.AsType[*refusal](err); !ok || !isUnnamed(no) || !d.filter.now().caps["ID"] {
		return err
	}
	if _, err := d.client.ID(&imap.IDData{Name: "mailprobe"}).Wait(); err != nil && d.w.failed() != nil {
		return d.serverError("ID", err)
	}
	return ask()
}

// isUnnamed reports whether a server refuses clients that have not sent ID.
func isUnnamed(no *refusal) bool {
	_, unnamed := unnamedTexts.find(lowerASCII(no.reply.text))
	return unnamed
}

// data runs one command of the library and returns the data responses to it.
func (d *imapDialect) data(command string, run func() error) ([][]imapValue, error) {
	d.filter.collect(true)
	defer d.filter.collect(false)
	if err := d.serverError(command, run()); err != nil {
		return nil, err
	}
	var list [][]imapValue
	for _, raw := range d.filter.collected() {
		values, err := parseIMAPData(raw)
		if err != nil {
			return nil, err
		}
		list = append(list, values)
	}
	return list, nil
}

// sharedNames asks for the namespaces and returns the names that a shared mailbox
// can have.
func (d *imapDialect) sharedNames() ([]string, error) {
	responses, err := d.data("NAMESPACE", func() error {
		_, err := d.client.Namespace().Wait()
		return err
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range responses {
		names = append(names, sharedMailboxNames(r, d.c.SharedMailbox)...)
	}
	if len(names) == 0 {
		return nil, &fault{reason: mail.MailboxMissing, err: errors.New("NAMESPACE: the server lists no namespace of other users")}
	}
	return names, nil
}

// quit logs out through the library, or without it if the library is waiting for
// the "+" that allows a literal.
func (d *imapDialect) quit() error {
	switch {
	case d.client == nil:
		_, err := d.roundTrip("P9", "LOGOUT")
		return err
	case d.filter.isAwaitingContinuation():
		return d.w.send([]byte(protocols[mail.IMAP].goodbye))
	}
	err := d.serverError("LOGOUT", d.client.Logout().Wait())
	if d.filter.now().bye != nil {
		return nil // some servers close after their BYE, without the tagged answer
	}
	return err
}

// drain waits until the library's reader has seen the end of the stream.
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

// release waits until the library's reader has ended.
func (d *imapDialect) release() {
	if d.client != nil {
		_ = d.client.Close()
	}
}

// inspect is the lineFilter of IMAP. It looks at the lines after a tagged reply
// before the library receives that reply and can send the next command.
func (d *imapDialect) inspect(line []byte) ([]byte, error) {
	passed, err := d.filter.pass(line)
	if tag, _, _ := bytes.Cut(passed, []byte(" ")); err == nil && libraryTag(tag) && hasUnsolicitedReply(d.w.unread()) {
		return nil, unsolicitedReply()
	}
	return passed, err
}

// hasUnsolicitedReply reports whether lines contain a tagged reply to a command
// that was not sent yet. Our tags can be guessed, so such a peer is not the
// intended server. No command may be under way.
func hasUnsolicitedReply(lines []byte) bool {
	for line := range bytes.Lines(lines) {
		tag, _, _ := bytes.Cut(bytes.ToUpper(line), []byte(" "))
		number, ours := bytes.CutPrefix(tag, []byte("P"))
		if libraryTag(tag) || ours && isDigits(string(number)) {
			return true
		}
	}
	return false
}

// outgoing corrects what the library sends: it writes every empty SASL response as
// "=", which is allowed for an initial response only (RFC 4959 section 3).
func (d *imapDialect) outgoing(p []byte) ([]byte, error) {
	if d.filter.inLogin() && string(p) == "=\r\n" {
		return []byte("\r\n"), nil
	}
	if d.ordered {
		p = inOrder(p)
	}
	d.filter.sent(p)
	return p, nil
}

// roundTrip sends one command of our own in clear text and reads its reply.
func (d *imapDialect) roundTrip(tag, command string) (reply, error) {
	if hasUnsolicitedReply(d.w.unread()) {
		return reply{}, unsolicitedReply()
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
			if err := d.handleUntagged(line, rest); err != nil {
				return reply{}, err
			}
			continue
		}
		r, ok := parseTagged(line)
		if !ok || !strings.EqualFold(first, tag) {
			return reply{}, malformedf("%s: not the answer to this command", command)
		}
		d.filter.answered = true
		return r, nil
	}
}

// handleUntagged takes the capabilities from an untagged response in clear text.
// Every other response is ignored, because nothing there is authentic (rule R09);
// only a second greeting ends the session.
func (d *imapDialect) handleUntagged(line, rest string) error {
	word, args, _ := strings.Cut(rest, " ")
	switch name := upperASCII(word); name {
	case "CAPABILITY":
		_, err := d.filter.capability(args)
		d.caps = d.filter.responses.caps
		return err
	case "OK", "PREAUTH":
		return d.filter.status(name, line)
	}
	return nil
}

// serverError replaces the library's error by one made from the server's
// responses. The library turns transport errors into text and drops a BYE.
func (d *imapDialect) serverError(command string, err error) error {
	if err == nil {
		return nil
	}
	seen := d.filter.now()
	_, refused := errors.AsType[*imap.Error](err)
	switch transport := d.w.failed(); {
	case refused:
		// A complete reply decides, even if the connection failed after it.
		no := d.refused(command, seen.tagged)
		if seen.warning != nil {
			no.explainBy(d.refused(command, reply{seen.tagged.status, seen.warning.code, seen.warning.text}))
		}
		return no
	case seen.bye != nil:
		return d.refused(command, *seen.bye)
	case transport != nil:
		// Wait for the library's reader: it may still receive the TLS alert that
		// explains the end, unless it stopped because our write failed.
		if d.client == nil || !errors.Is(d.drain(interruptedGoodbyeTime), os.ErrDeadlineExceeded) {
			d.w.readAlert()
		}
		return d.closeReason(command, seen.bad)
	default:
		return malformedf("%s: the library could not read the answer", command)
	}
}

// closeReason returns why the stream ended. An untagged BAD right before the end
// may report an internal failure of the server (RFC 9051 section 7.1.3); it then
// counts as a BYE. Some servers send one in place of the tagged reply, and then
// nothing more: its words count if they are known.
func (d *imapDialect) closeReason(command string, bad *reply) error {
	end := d.w.failed()
	switch {
	case bad == nil:
	case errors.Is(end, io.EOF):
		return d.refused(command, reply{status: "BYE", code: bad.code, text: bad.text})
	case isDeadline(end):
		if no := d.refused(command, *bad); !no.unclassified {
			return no
		}
	}
	return end
}

// check returns an error for a reply that is not OK.
func (d *imapDialect) check(command string, r reply) error {
	if r.status == "OK" {
		return nil
	}
	return d.refused(command, r)
}

func (d *imapDialect) refused(command string, r reply) *refusal {
	return newRefusal(d.c, d.w.encrypted(), d.x, command, r)
}
