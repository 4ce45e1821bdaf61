package metrics

// This file decides what an outcome says. A value that was not learned gives
// no row: it is absent rather than 0.

import (
	"time"

	"mailprobe/mail"
)

// maxRows is room for all rows of an ordinary connection.
const maxRows = 48

// noSharedMailbox is the shared_mailbox_access of a connection without one.
const noSharedMailbox = "none"

// configRows is what is known before the first probe. spacing is the interval, or
// longer where the server asked for that.
func configRows(rows []row, c *mail.Connection, spacing time.Duration, words *dictionary) []row {
	access := noSharedMailbox
	if c.SharedMailbox != "" {
		access = string(c.SharedMailboxAccess)
	}
	return append(rows,
		row{family: interval, value: spacing.Seconds()},
		row{family: timeout, value: c.Timeout.Seconds()},
		info(connectionInfo,
			newPair("host", c.Host),
			words.pair("encryption", string(c.Encryption)),
			words.pair("auth", string(c.Auth)),
			words.pair("shared_mailbox_access", access),
			words.pair("ip_protocol", string(c.IPProtocol))))
}

// outcomeRows is what one probe learned.
func outcomeRows(rows []row, o *mail.Outcome, words *dictionary) []row {
	rows = append(rows,
		truth(up, o.Up()),
		row{family: lastProbe, value: seconds(o.End)},
		row{family: lastProbeDuration, value: nonNegative(o.Duration())})
	if o.Port != 0 {
		rows = append(rows, row{family: effectivePort, value: float64(o.Port)})
	}
	for _, p := range o.Phases {
		r := row{family: phaseDuration, value: nonNegative(p.Duration)}
		r.extra[0] = words.pair("phase", string(p.Phase))
		rows = append(rows, r)
	}
	if f := o.Failure; f != nil {
		rows = append(rows, info(failureInfo,
			words.pair("phase", string(f.Phase)), words.pair("reason", string(f.Reason))))
	}
	rows = loginRows(rows, o)
	if o.TLS != nil {
		rows = tlsRows(rows, o.TLS, words)
	}
	return rows
}

// loginRows is what happened to login and mailbox. A credential that was sent
// and got no verdict, because the connection broke or the time was up, counts
// as not accepted: it was tried, and a mail client would not be in either.
func loginRows(rows []row, o *mail.Outcome) []row {
	if o.Auth.Known() {
		rows = append(rows, truth(authSuccess, o.Auth.Accepted))
	}
	if logsIn(o.Connection) || o.Auth.Known() || o.Auth.Held {
		rows = append(rows, truth(authHeld, o.Auth.Withheld()))
	}
	if o.Auth.Withheld() && !o.Auth.NextAttempt.IsZero() {
		rows = append(rows, row{family: authNextAttempt, value: seconds(o.Auth.NextAttempt)})
	}
	if o.Mailbox.Tried {
		rows = append(rows, truth(mailboxSuccess, o.Mailbox.OK))
	}
	if o.Mailbox.Counted {
		rows = append(rows, row{family: mailboxMessages, value: float64(o.Mailbox.Messages)})
	}
	return rows
}

// tlsRows is what the handshake told, also one that failed at verification.
func tlsRows(rows []row, facts *mail.TLSFacts, words *dictionary) []row {
	if facts.Version != "" {
		rows = append(rows, info(tlsInfo,
			words.pair("version", facts.Version), words.pair("cipher", facts.Cipher)))
	}
	if facts.FingerprintSHA256 != "" {
		rows = append(rows,
			truth(certificateVerified, facts.Verified),
			info(certificateInfo, newPair("fingerprint_sha256", facts.FingerprintSHA256)))
	}
	if !facts.NotAfter.IsZero() {
		rows = append(rows, row{family: certificateNotAfter, value: seconds(facts.NotAfter)})
	}
	return rows
}

// logsIn reports whether a connection is configured to log in.
func logsIn(c *mail.Connection) bool {
	return c.Username != "" && c.Auth != mail.AuthNone
}

// seconds is a time since the epoch as Prometheus counts it, exact to the
// microsecond.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// nonNegative is a duration in seconds; a stepped clock makes it 0.
func nonNegative(d time.Duration) float64 { return max(d, 0).Seconds() }
