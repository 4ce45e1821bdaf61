package history

// This file is version 1 of the JSON form of outcomes, for the API and for
// `mailprobe probe -o json`. docs/api.md describes it, and a test compares.
// Fields may be added; renaming or removing one makes a version 2.

import (
	"time"

	"mailprobe/mail"
)

// Result is one outcome. What is not known is absent.
type Result struct {
	Connection string    `json:"connection"`
	Up         bool      `json:"up"`
	Time       time.Time `json:"time"` // end of the probe
	Duration   float64   `json:"duration_seconds"`

	Protocol   mail.Protocol   `json:"protocol"`
	Encryption mail.Encryption `json:"encryption"`
	Host       string          `json:"host"`
	Port       int             `json:"port"`
	Address    string          `json:"address,omitempty"` // remote IP and port

	Phases     []PhaseResult  `json:"phases"`
	Failure    *FailureResult `json:"failure,omitempty"`
	TLS        *TLSResult     `json:"tls,omitempty"`
	Auth       *AuthResult    `json:"auth,omitempty"`
	Mailbox    *MailboxResult `json:"mailbox,omitempty"`
	Goodbye    mail.Reason    `json:"goodbye_reason,omitempty"` // why the polite end went wrong
	Transcript []DialogueLine `json:"transcript,omitempty"`
}

// PhaseResult is the time spent in one phase.
type PhaseResult struct {
	Phase    mail.Phase `json:"phase"`
	Duration float64    `json:"duration_seconds"`
}

// FailureResult is where and why a probe ended, and what to do.
type FailureResult struct {
	Phase   mail.Phase  `json:"phase"`
	Reason  mail.Reason `json:"reason"`
	Text    string      `json:"text,omitempty"`
	Meaning string      `json:"meaning"`
	Advice  string      `json:"advice"`
	LastUp  time.Time   `json:"last_up,omitzero"` // when it last worked with the same settings
}

// TLSResult is the result of a handshake.
type TLSResult struct {
	Version     string              `json:"version,omitempty"`
	Cipher      string              `json:"cipher,omitempty"`
	Handshake   float64             `json:"handshake_seconds,omitempty"`
	Verified    bool                `json:"verified"`
	NotAfter    time.Time           `json:"not_after,omitzero"` // earliest of the verified chain that lasts longest, else of the presented one
	Fingerprint string              `json:"fingerprint_sha256,omitempty"`
	Chain       []CertificateResult `json:"chain,omitempty"`
}

// CertificateResult is one presented certificate.
type CertificateResult struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	DNSNames  []string  `json:"dns_names,omitempty"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Key       string    `json:"key"`
	KeyBits   int       `json:"key_bits,omitempty"`
}

// AuthResult is what happened to the login; absent if none was tried or held.
type AuthResult struct {
	Mechanism   mail.AuthMethod `json:"mechanism,omitempty"`
	Sent        bool            `json:"sent"`
	Accepted    bool            `json:"accepted"`
	Rejected    bool            `json:"rejected"`
	Held        bool            `json:"held"`
	HeldBy      string          `json:"held_by,omitempty"` // the connection that was refused
	HeldSince   time.Time       `json:"held_since,omitzero"`
	NextAttempt time.Time       `json:"next_attempt,omitzero"`
}

// MailboxResult is the result of opening the mailbox or naming the sender.
type MailboxResult struct {
	OK       bool    `json:"ok"`
	Messages *uint64 `json:"messages,omitempty"`

	Watch *WatchResult `json:"watch,omitempty"` // absent: not watched
}

// WatchResult is the result of a look at a watched mailbox.
type WatchResult struct {
	Mode        mail.WatchMode `json:"mode"`
	MaxAge      float64        `json:"max_age_seconds"`
	ExpectEvery float64        `json:"expect_every_seconds,omitempty"`

	Unread     *uint64   `json:"unread,omitempty"`
	Waiting    *uint64   `json:"waiting,omitempty"`
	Oldest     time.Time `json:"oldest_waiting,omitzero"` // absent: none waits
	Newest     time.Time `json:"newest_message,omitzero"`
	FirstSeen  bool      `json:"first_seen,omitempty"` // the two times are when we first saw the messages
	Size       *uint64   `json:"size_bytes,omitempty"`
	QuotaUsed  *uint64   `json:"quota_used_bytes,omitempty"`
	QuotaLimit *uint64   `json:"quota_limit_bytes,omitempty"`
}

// DialogueLine is one line of the redacted dialogue.
type DialogueLine struct {
	At   float64 `json:"at_seconds"` // since the probe's start
	From string  `json:"from"`       // client, server or note
	Text string  `json:"text"`
}

// NewResult returns the JSON form of o, with its dialogue if transcript is set. The
// result is nil if o is.
func NewResult(o *mail.Outcome, transcript bool) *Result {
	if o == nil {
		return nil
	}
	c := o.Connection
	r := &Result{
		Connection: c.Name, Up: o.Up(), Time: o.End.UTC(), Duration: o.Duration().Seconds(),
		Protocol: c.Protocol, Encryption: c.Encryption, Host: c.Host, Port: c.EffectivePort(),
		Address: o.Address, Phases: []PhaseResult{}, TLS: newTLSResult(o.TLS), Goodbye: o.Goodbye,
	}
	for _, p := range o.Phases {
		r.Phases = append(r.Phases, PhaseResult{p.Phase, p.Duration.Seconds()})
	}
	if f := o.Failure; f != nil {
		r.Failure = &FailureResult{f.Phase, f.Reason, f.Text, f.Reason.Meaning(), f.Advice(), f.LastUp.UTC()}
	}
	if a := o.Auth; a.Known() || a.Held {
		r.Auth = &AuthResult{a.Mechanism, a.Sent, a.Accepted, a.Rejected, a.Held,
			a.HeldBy, a.HeldSince.UTC(), a.NextAttempt.UTC()}
	}
	if o.Mailbox.Tried {
		r.Mailbox = &MailboxResult{OK: o.Mailbox.OK}
		if o.Mailbox.Counted {
			r.Mailbox.Messages = &o.Mailbox.Messages
		}
		r.Mailbox.Watch = newWatchResult(o)
	}
	if transcript {
		for _, line := range o.Transcript {
			r.Transcript = append(r.Transcript, DialogueLine{line.At.Seconds(), sideWords[line.From], line.Text})
		}
	}
	return r
}

// sideWords says who spoke; read only.
var sideWords = map[mail.Side]string{mail.Client: "client", mail.Server: "server", mail.Note: "note"}

// SideWord returns the word for a side of the dialogue: client, server or note.
func SideWord(side mail.Side) string { return sideWords[side] }

func newTLSResult(t *mail.TLSFacts) *TLSResult {
	if t == nil {
		return nil
	}
	r := &TLSResult{Version: t.Version, Cipher: t.Cipher, Handshake: t.Handshake.Seconds(), Verified: t.Verified,
		NotAfter: t.NotAfter.UTC(), Fingerprint: t.FingerprintSHA256}
	for _, c := range t.Chain {
		r.Chain = append(r.Chain, CertificateResult{c.Subject, c.Issuer, c.DNSNames,
			c.NotBefore.UTC(), c.NotAfter.UTC(), c.Key.String(), c.KeyBits})
	}
	return r
}

// newWatchResult returns nil if nothing is watched, or the mailbox was not opened. A
// reload may have ended the watch after the probe.
func newWatchResult(o *mail.Outcome) *WatchResult {
	w, c := o.Mailbox.Watch, o.Connection
	if w == nil || !c.Watches() {
		return nil
	}
	return &WatchResult{Mode: c.Watch, MaxAge: c.WatchMaxAge.Seconds(), ExpectEvery: c.WatchExpectEvery.Seconds(),
		Unread: w.Unread, Waiting: w.Waiting, Oldest: w.Oldest.UTC(), Newest: w.Newest.UTC(), FirstSeen: w.FirstSeen,
		Size: w.Size, QuotaUsed: w.QuotaUsed, QuotaLimit: w.QuotaLimit}
}
