package history

// This file encodes an outcome as a string and decodes it. As a struct with all that it
// points to, an outcome would take 1 KB, and the garbage collector would follow each
// pointer. The same methods do both directions, so that they cannot differ. Values that
// are encoded are shared, so they are never changed.

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"mailprobe/mail"
)

// coder encodes values, or decodes them in the same order. Decoded texts are parts of
// the encoded string.
type coder struct {
	written []byte
	unread  string
	reading bool

	end int64 // of the probe, in seconds since the Unix epoch; most times are near it
}

// The tables of words that are encoded as one byte; read only.
var (
	phaseTable  = mail.Phases()
	reasonTable = mail.Reasons()
)

// outcome encodes or decodes all but the connection and the chain. What is decoded only
// with everything comes last.
func (c *coder) outcome(o *mail.Outcome, everything bool) {
	c.times(o)
	number(c, &o.SchedulingDelay)
	number(c, &o.Interval)
	number(c, &o.Port)
	text(c, &o.Address)
	list(c, &o.Phases, func(p *mail.PhaseTime) {
		word(c, &p.Phase, phaseTable)
		number(c, &p.Duration)
	})
	optional(c, &o.Failure, c.failure)
	optional(c, &o.TLS, c.tls)
	c.auth(&o.Auth)
	c.mailbox(&o.Mailbox)
	word(c, &o.Goodbye, reasonTable)
	if everything {
		list(c, &o.Transcript, func(l *mail.Line) {
			number(c, &l.At)
			number(c, &l.From)
			text(c, &l.Text)
		})
	}
}

// times encodes or decodes Start and End. The time between them is measured by the
// monotonic clock.
func (c *coder) times(o *mail.Outcome) {
	c.end = 0 // the coder may have been used before
	c.time(&o.End)
	c.end = o.End.Unix()
	took := o.End.Sub(o.Start)
	number(c, &took)
	if c.reading {
		o.Start = o.End.Add(-took)
	}
}

func (c *coder) failure(f *mail.Failure) {
	word(c, &f.Phase, phaseTable)
	word(c, &f.Reason, reasonTable)
	text(c, &f.Text)
	text(c, &f.Hint)
	c.flag(&f.Doubtful)
	c.flag(&f.Unclassified)
	c.time(&f.LastUp)
	c.flag(&f.NewSecret)
}

func (c *coder) tls(t *mail.TLSFacts) {
	text(c, &t.Version)
	text(c, &t.Cipher)
	c.flag(&t.Verified)
	number(c, &t.Handshake)
	c.utc(&t.NotAfter)
	c.utc(&t.NotBefore)
	c.digits(&t.FingerprintSHA256)
}

func (c *coder) certificate(f *mail.CertificateFacts) {
	text(c, &f.Subject)
	text(c, &f.Issuer)
	list(c, &f.DNSNames, func(name *string) { text(c, name) })
	c.utc(&f.NotBefore)
	c.utc(&f.NotAfter)
	number(c, &f.Key)
	number(c, &f.KeyBits)
}

func (c *coder) auth(a *mail.AuthFacts) {
	text(c, &a.Mechanism)
	for _, flag := range []*bool{&a.Sent, &a.Accepted, &a.Rejected, &a.Held, &a.HeldForOthers, &a.HeldNext} {
		c.flag(flag)
	}
	number(c, &a.Delay)
	text(c, &a.HeldBy)
	c.time(&a.HeldSince)
	c.time(&a.NextAttempt)
}

func (c *coder) mailbox(m *mail.MailboxFacts) {
	c.flag(&m.Tried)
	c.flag(&m.OK)
	c.flag(&m.Counted)
	number(c, &m.Messages)
	optional(c, &m.Watch, func(w *mail.WatchFacts) {
		for _, count := range []**uint64{&w.Unread, &w.Waiting, &w.Size, &w.QuotaUsed, &w.QuotaLimit} {
			optional(c, count, func(n *uint64) { number(c, n) })
		}
		c.time(&w.Oldest)
		c.time(&w.Newest)
		c.flag(&w.FirstSeen)
		number(c, &w.UIDNext)
		number(c, &w.UIDValidity)
	})
}

// number encodes or decodes an integer of any kind; a small one takes one byte.
func number[N ~int | ~int64 | ~uint8 | ~uint32 | ~uint64](c *coder, n *N) {
	if c.reading {
		*n = N(c.readVarint())
		return
	}
	c.written = binary.AppendVarint(c.written, int64(*n))
}

// readVarint is binary.Varint for a string.
func (c *coder) readVarint() int64 {
	var value uint64
	for shift := 0; c.unread != ""; shift += 7 {
		b := c.unread[0]
		c.unread = c.unread[1:]
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	return int64(value>>1) ^ -int64(value&1)
}

func (c *coder) flag(f *bool) {
	var n uint8
	if *f {
		n = 1
	}
	number(c, &n)
	if c.reading {
		*f = n == 1
	}
}

func text[S ~string](c *coder, s *S) {
	length := len(*s)
	number(c, &length)
	if c.reading {
		*s, c.unread = S(c.unread[:length]), c.unread[length:]
		return
	}
	c.written = append(c.written, *s...)
}

// word encodes or decodes a word: one of a table as one byte, any other as a text.
func word[S ~string](c *coder, s *S, table []S) {
	at := 1 + slices.Index(table, *s)
	number(c, &at)
	if at == 0 {
		text(c, s)
		return
	}
	if c.reading {
		*s = table[at-1]
	}
}

// digits encodes or decodes hexadecimal digits, two in a byte.
func (c *coder) digits(s *string) {
	raw, err := hex.DecodeString(*s)
	isHex := err == nil && *s == strings.ToLower(*s)
	c.flag(&isHex)
	if !isHex {
		text(c, s)
		return
	}
	packed := string(raw)
	text(c, &packed)
	if c.reading {
		*s = hex.EncodeToString([]byte(packed))
	}
}

// time encodes or decodes a time as its distance from the end of the probe.
func (c *coder) time(t *time.Time) {
	isZero := t.IsZero()
	c.flag(&isZero)
	if isZero {
		return
	}
	seconds, nanos := t.Unix()-c.end, t.Nanosecond()
	number(c, &seconds)
	number(c, &nanos)
	if c.reading {
		*t = time.Unix(c.end+seconds, int64(nanos))
	}
}

// utc is time for the dates of certificates, which are in UTC.
func (c *coder) utc(t *time.Time) {
	c.time(t)
	if c.reading {
		*t = t.UTC()
	}
}

// optional encodes or decodes a value that may be absent.
func optional[T any](c *coder, value **T, code func(*T)) {
	is := *value != nil
	c.flag(&is)
	if !is {
		return
	}
	if c.reading {
		*value = new(T)
	}
	code(*value)
}

func list[T any](c *coder, items *[]T, code func(*T)) {
	length := len(*items)
	number(c, &length)
	if c.reading && length > 0 {
		*items = make([]T, length)
	}
	for i := range *items {
		code(&(*items)[i])
	}
}
