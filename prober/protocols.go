package prober

// This file holds what the protocols have in common: their table, the five steps of a
// dialect, and the answers that mean the same in all three.

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"mailprobe/mail"
)

// protocolFacts is what differs between protocols before a session begins.
type protocolFacts struct {
	name string // for people
	// goodbye is the line that ends a session without the library, if commands and
	// replies are out of step.
	goodbye string
	// dialect makes a session over a wire; name returns what SMTP greets with.
	dialect func(c *mail.Connection, w *wire, name func() string) dialect
	// status finds the words that decide in a line of the server.
	status func(line string) (status, code string)
	// capability reports whether a line is of a capability list.
	capability func(line string) bool
}

// protocols lists every protocol. A fourth one is a line here and a file.
var protocols = map[mail.Protocol]protocolFacts{
	mail.IMAP: {"IMAP", "P9 LOGOUT\r\n", newIMAP, imapStatusOf, imapCapabilityLine},
	mail.POP3: {"POP3", "QUIT\r\n", newPOP3, pop3StatusOf, pop3CapabilityLine},
	mail.SMTP: {"SMTP", "QUIT\r\n", newSMTP, smtpStatusOf, smtpCapabilityLine},
}

// dialect is one protocol's session: a greeting, then five steps. An error of a
// step is a *refusal if the server said no, a *fault if the reason is known at
// once, else the wire's own error.
type dialect interface {
	greeting() error
	hello() error    // CAPABILITY, CAPA, EHLO; again after STARTTLS
	starttls() error // asks only; the handshake is the wire's
	authenticator
	mailbox() (mail.MailboxFacts, error) // EXAMINE, STAT, MAIL FROM
	quit() error                         // the polite end of a session in step

	// drain waits, at most for grace, until the server closes: io.EOF then.
	drain(grace time.Duration) error
	// release waits until the library's goroutines have ended, after the wire is closed.
	release()
}

// clearText reports whether the wire is in clear text although TLS was asked for.
func clearText(c *mail.Connection, w *wire) bool {
	return c.Encryption == mail.StartTLS && !w.encrypted()
}

var (
	errNoAPOP   = errors.New("APOP: no command of this protocol")
	errNoNative = errors.New("LOGIN: no command of this protocol")
)

// notOffered is the fault of a server without STARTTLS. It ends the probe before any
// credential is sent, because the probe never goes on in clear text (rules R01 and R02).
func notOffered(what string) *fault {
	return &fault{reason: mail.StartTLSNotOffered, err: errors.New("starttls: " + what)}
}

// startTLSAnswer checks the answer to STARTTLS. There is exactly one positive
// form; another positive one is malformed (rule R05).
func startTLSAnswer(err error, positive bool) error {
	var no *refusal
	switch {
	case positive:
		return nil
	case errors.As(err, &no) && !negative[no.reply.status[:min(1, len(no.reply.status))]]:
		return malformedf("starttls: %s is not a valid answer", no.reply.status)
	}
	return err
}

// negative holds the first letters of the negative answers: NO, BAD, -ERR, 4xx, 5xx.
var negative = map[string]bool{"N": true, "B": true, "-": true, "4": true, "5": true}

// badGreeting returns the fault of a first line that is not of this protocol, with a
// hint at the protocol that it is of.
func badGreeting(c *mail.Connection, line string) *fault {
	return &fault{reason: mail.ProtocolMalformed, hint: greetingHint(c, []byte(line)),
		err: fmt.Errorf("greeting: not from a server that speaks %s", protocols[c.Protocol].name)}
}

// The words that decide in one line, for the transcript.

func imapStatusOf(line string) (status, code string) {
	tag, r, ok := parseIMAPStatus(line)
	if !ok {
		return "", ""
	}
	if tag == "*" {
		return "* " + r.status, r.code
	}
	return r.status, r.code
}

func pop3StatusOf(line string) (status, code string) {
	r, _ := parsePOP3Reply(line)
	return r.status, r.code
}

func smtpStatusOf(line string) (status, code string) {
	r, _ := parseSMTPReply([]string{strings.Replace(line, "-", " ", 1)})
	return r.status, r.code
}

// A capability line says nothing but words of a registry. In POP3 a multi-line
// answer's lines are the only ones that begin with a letter.

func imapCapabilityLine(line string) bool {
	return strings.HasPrefix(upperASCII(line), "* CAPABILITY ")
}

func pop3CapabilityLine(line string) bool {
	return line != "" && (line[0] >= 'A' && line[0] <= 'Z' || line[0] >= 'a' && line[0] <= 'z')
}

func smtpCapabilityLine(line string) bool { return strings.HasPrefix(line, "250") }
