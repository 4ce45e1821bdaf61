package prober

// This file is the door to everything that writes: a Courier submits a message
// and deletes it again. A Prober has no way to it, so that a plain probe cannot
// change anything on a server.

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/emersion/go-smtp"

	"mailprobe/mail"
)

const (
	sessionTime = 40 * time.Second // that a task in a mailbox may take
	answerTime  = 2 * time.Minute  // that a server may take to answer the end of DATA; RFC 5321 section 4.5.3.2.6 wants 10 minutes
)

// Courier carries the messages of routes. Its sessions are a probe's: the same
// wire, the same TLS, the same login through the same guard.
type Courier struct{ prober *Prober }

// NewCourier returns a courier whose sessions are those of p.
func NewCourier(p *Prober) *Courier { return &Courier{prober: p} }

// Envelope is what a message is submitted with (RFC 5321 section 3.3).
type Envelope struct {
	From, To string
	ID       string // of the envelope, for delivery status notifications (RFC 3461); empty: none are asked for
}

// Submission is what became of a message that was submitted.
type Submission struct {
	Outcome  mail.Outcome  // of the session; its failure says where it ended
	Accepted bool          // the server answered the end of DATA with 250
	Took     time.Duration // from the dial to the answer to DATA; 0: none came
	Answered time.Time     // when that answer came
	Notified bool          // the server promised to send delivery status notifications
	Refused  bool          // the message itself was refused: sender and recipient were accepted
}

// Folder is one mailbox of an IMAP account; POP3 has one, named INBOX.
type Folder struct {
	Name string
	Junk bool // SPECIAL-USE \Junk (RFC 6154), or else one of the usual names
}

// Mark is a place in a folder: messages that came after it are new.
type Mark struct {
	Validity uint32   `json:"validity,omitempty"` // IMAP UIDVALIDITY
	Next     uint32   `json:"next,omitempty"`     // IMAP UIDNEXT
	Last     []string `json:"last,omitempty"`     // POP3: unique ids of the newest messages, newest first
}

// Candidate is a new message in a folder that may be one of a route.
type Candidate struct {
	ID   string // UID or unique id: only for this mailbox and session
	Mark string // value of X-Mailprobe; empty: it has none
}

// Content is a message as it was read: bounded, and cut if it is longer.
type Content struct {
	Header []byte // at most 32 KiB
	Body   []byte // at most 8 KiB
}

// Mailbox is an open session after the login. Its methods are called one at a
// time, and fail for good once the session has failed.
type Mailbox interface {
	// Folders lists the folders of the account, at most 100.
	Folders() ([]Folder, error)
	// Mark returns where the folder ends now, without opening it for writing.
	Mark(folder string) (Mark, error)
	// Since returns the messages behind a mark, at most the newest 200, with their
	// X-Mailprobe fields. Without a mark, or with one of another UIDVALIDITY, it
	// returns the newest few.
	Since(folder string, from Mark) ([]Candidate, error)
	// Content reads one message without marking it as read; whole asks for all of
	// it up to the bounds, for delivery status notifications.
	Content(folder, id string, whole bool) (Content, error)
	// Delete removes exactly these messages, or returns an error and has removed
	// none. It never expunges what it did not mark itself.
	Delete(folder string, ids []string) error
}

// Open logs in to an IMAP or POP3 connection and lets use work in the mailbox.
// The outcome is that of the session, with the error of use as its failure in
// phase mailbox. The connection's timeout bounds what comes before use; ctx
// bounds all.
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
	if s.Answered.IsZero() {
		return s
	}
	s.Accepted, s.Took = !s.Refused && s.Outcome.Up(), s.Answered.Sub(start)
	return s
}

// run runs a session whose task may take more than the connection's timeout.
func (c *Courier) run(ctx context.Context, conn *mail.Connection, more time.Duration, task func(*session) error) mail.Outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, conn.Timeout+more, os.ErrDeadlineExceeded)
	defer cancel()
	s := &session{p: c.prober, c: conn, log: &transcript{protocol: conn.Protocol}, bounds: courierBounds, task: task}
	return s.run(ctx)
}

// submit sends the message of a courier and fills in what became of it.
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
	if _, err := data.Write(message); err != nil {
		return d.serverError("DATA", err)
	}
	err = data.Close()
	s.Answered = time.Now()
	s.Refused = err != nil && d.w.failed() == nil
	return d.serverError("DATA", err)
}
