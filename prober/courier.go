package prober

// This file holds the only way to commands that write: a Courier submits a message
// and deletes it again. A Prober cannot obtain one, so a plain probe cannot change
// anything on a server.

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/emersion/go-smtp"

	"mailprobe/mail"
)

const (
	sessionTime = 40 * time.Second // for a task in a mailbox
	answerTime  = 2 * time.Minute  // for the reply to the end of DATA; RFC 5321 section 4.5.3.2.6 asks clients to wait 10 minutes
)

// Courier submits, reads and deletes the messages of routes. Its sessions are like
// those of a probe: same TLS, same login, same account holds.
type Courier struct{ prober *Prober }

// NewCourier returns a courier whose sessions are those of p.
func NewCourier(p *Prober) *Courier { return &Courier{prober: p} }

// Envelope is the SMTP envelope of a message (RFC 5321 section 2.3.1).
type Envelope struct {
	From, To string
	ID       string // ENVID, with which delivery status notifications are asked for (RFC 3461); empty: they are not
}

// Submission is the result of submitting a message.
type Submission struct {
	Outcome  mail.Outcome  // of the session; its failure says where it ended
	Accepted bool          // the server replied 250 to the end of DATA
	Took     time.Duration // from the dial to the reply to the end of DATA; 0: none came
	Answered time.Time     // when that reply came; zero: none came
	Notified bool          // the server promised to send delivery status notifications
	Written  bool          // some of the message was sent, so that it may turn up whatever was answered
	Refused  bool          // the message was refused after sender and recipient were accepted
}

// Folder is one mailbox of an IMAP account; POP3 has one, named INBOX.
type Folder struct {
	Name string
	Junk bool // SPECIAL-USE \Junk (RFC 6154), or else one of the usual names
}

// Mark is a position in a folder. Messages that came later are new.
type Mark struct {
	Validity uint32   `json:"validity,omitempty"` // IMAP UIDVALIDITY
	Next     uint32   `json:"next,omitempty"`     // IMAP UIDNEXT
	Last     []string `json:"last,omitempty"`     // POP3: unique ids of the newest messages, newest first
}

// Candidate is a new message in a folder that may belong to a route.
type Candidate struct {
	ID        string // UID or unique id: only for this mailbox and session
	Mark      string // value of X-Mailprobe; empty: it has none
	MessageID string // value of Message-ID
}

// Content is a message that was read, cut to the bounds below.
type Content struct {
	Header []byte // at most 32 KiB
	Body   []byte // at most 8 KiB
}

// Mailbox is a session after the login. Its methods must not be called
// concurrently. Once the session has failed, all calls fail.
type Mailbox interface {
	// Home returns the folder that a probe of the connection opens: the place where
	// its mail arrives. A folder of a shared mailbox is searched for.
	Home() (string, error)
	// Folders lists the folders of the account.
	Folders() ([]Folder, error)
	// Mark returns the current end of the folder, without opening it for writing.
	Mark(folder string) (Mark, error)
	// Since returns the messages after a mark, at most the newest 200, with their
	// X-Mailprobe fields. If the mark is zero, or of another UIDVALIDITY, it returns
	// the newest few.
	Since(folder string, from Mark) ([]Candidate, error)
	// Content reads the header of one message without marking it as read. With whole
	// it also reads the body, as for delivery status notifications.
	Content(folder, id string, whole bool) (Content, error)
	// Delete removes exactly these messages. With an error, none or some of them may
	// be gone. It never expunges a message that it did not mark itself.
	Delete(folder string, ids []string) error
}

// Open logs in to an IMAP or POP3 connection and calls use with its mailbox. It
// returns the outcome of the session; an error of use is its failure, in phase
// mailbox. The connection's timeout bounds the time before use, ctx bounds all.
func (c *Courier) Open(ctx context.Context, conn *mail.Connection, use func(Mailbox) error) mail.Outcome {
	return c.run(ctx, conn, sessionTime, func(s *session) error {
		box, err := courierMailbox(s.d)
		if err != nil {
			return err
		}
		return use(&acceptedMailbox{Mailbox: box, session: s})
	})
}

// acceptedMailbox reports the login as accepted once the first command on the mailbox went
// well: the same account may be needed at another server within the session.
type acceptedMailbox struct {
	Mailbox
	session *session
}

func (m *acceptedMailbox) Folders() ([]Folder, error) {
	list, err := m.Mailbox.Folders()
	m.judge(err)
	return list, err
}

func (m *acceptedMailbox) Mark(folder string) (Mark, error) {
	mark, err := m.Mailbox.Mark(folder)
	m.judge(err)
	return mark, err
}

func (m *acceptedMailbox) judge(err error) {
	if err == nil {
		m.session.permit.Done(m.session.loginResult())
	}
}

// Submit delivers one message to an SMTP connection, with its login if it has one.
func (c *Courier) Submit(ctx context.Context, conn *mail.Connection, e Envelope, message []byte) (s Submission) {
	start := time.Now()
	s.Outcome = c.run(ctx, conn, answerTime, func(session *session) error {
		submitter, ok := session.d.(*smtpDialect)
		if !ok {
			return &fault{reason: mail.LocalBug, err: errors.New("a courier submits to SMTP only")}
		}
		return submitter.submit(e, message, &s)
	})
	if !s.Answered.IsZero() {
		s.Took = s.Answered.Sub(start)
	}
	return s
}

// run runs a session whose task may take longer than the connection's timeout, by
// more.
func (c *Courier) run(ctx context.Context, conn *mail.Connection, more time.Duration, task func(*session) error) mail.Outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, conn.Timeout+more, os.ErrDeadlineExceeded)
	defer cancel()
	s := &session{p: c.prober, c: conn, log: &transcript{protocol: conn.Protocol}, bounds: courierBounds, task: task}
	return s.run(ctx)
}

// submit sends the message and fills in the result.
func (d *smtpDialect) submit(e Envelope, message []byte, s *Submission) error {
	mailOptions, rcptOptions := &smtp.MailOptions{}, &smtp.RcptOptions{}
	_, offered := d.caps["DSN"]
	if s.Notified = offered && e.ID != ""; s.Notified {
		mailOptions.EnvelopeID, mailOptions.Return = e.ID, smtp.DSNReturnHeaders
		rcptOptions.Notify = []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed}
	}
	if err := d.serverError("MAIL", d.client.Mail(e.From, mailOptions)); err != nil {
		return err
	}
	if err := d.serverError("RCPT", d.client.Rcpt(e.To, rcptOptions)); err != nil {
		return err
	}
	data, err := d.client.Data()
	if err != nil {
		s.Refused = d.w.failed() == nil
		return d.serverError("DATA", err)
	}
	s.Written = true
	if _, err := data.Write(message); err != nil {
		return d.serverError("DATA", err)
	}
	err = data.Close()
	if s.Accepted = err == nil; s.Accepted || d.w.failed() == nil {
		s.Answered, s.Refused = time.Now(), !s.Accepted
	}
	return d.serverError("DATA", err)
}
