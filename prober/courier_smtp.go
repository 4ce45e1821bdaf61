package prober

// This file submits a message (RFC 5321 section 3.3, RFC 6409), with delivery
// status notifications where the server offers them (RFC 3461).

import (
	"time"

	"github.com/emersion/go-smtp"
)

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
