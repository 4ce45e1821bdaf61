package mail

import (
	"cmp"
	"crypto/x509"
	"time"
)

// Phase is one step of a probe; its value is the `phase` label.
type Phase string

// The phases in the order in which a probe can enter them.
const (
	PhaseResolve  Phase = "resolve"
	PhaseConnect  Phase = "connect"
	PhaseTLS      Phase = "tls"
	PhaseGreeting Phase = "greeting"
	PhaseHello    Phase = "hello"
	PhaseStartTLS Phase = "starttls"
	PhaseAuth     Phase = "auth"
	PhaseMailbox  Phase = "mailbox"
	PhaseQuit     Phase = "quit"
)

// phaseMeanings has one line per phase, in the order of a probe: what its time
// covers.
var phaseMeanings = []struct {
	phase   Phase
	meaning string
}{
	{PhaseResolve, "The name lookup; not entered if `host` is an address."},
	{PhaseConnect, "From the first SYN to the established connection, including all addresses tried before."},
	{PhaseTLS, "The handshake, including verification, for both ssl/tls and starttls."},
	{PhaseGreeting, "From the established connection, or the end of the ssl/tls handshake, to the end of the server's greeting."},
	{PhaseHello, "CAPABILITY, CAPA or EHLO and its response; after STARTTLS it is sent again, and both count."},
	{PhaseStartTLS, "STARTTLS or STLS and its response."},
	{PhaseAuth, "The login, from its first command to the server's verdict."},
	{PhaseMailbox, "EXAMINE, STAT, or MAIL FROM, RCPT TO and RSET, with the responses; for a shared folder also the search for it."},
	{PhaseQuit, "LOGOUT or QUIT and its response."},
}

// Phases lists every phase once, in the order of a probe.
func Phases() []Phase {
	list := make([]Phase, len(phaseMeanings))
	for i, p := range phaseMeanings {
		list[i] = p.phase
	}
	return list
}

// Meaning is a sentence that says what the phase's time covers; empty for a word
// that is no phase.
func (p Phase) Meaning() string {
	for _, m := range phaseMeanings {
		if m.phase == p {
			return m.meaning
		}
	}
	return ""
}

// Outcome is the result of one probe. It is immutable once returned. It contains no
// secret, and server text only in Transcript and Failure.Text, redacted.
type Outcome struct {
	Connection *Connection
	Start, End time.Time // wall clock of the probe, monotonic too

	// SchedulingDelay is how much later, in total, this program read answers than its kernel
	// had them, because the machine was busy. No phase includes it; 0 where the
	// system does not tell.
	SchedulingDelay time.Duration

	// Interval is the time to the next probe, which is longer than the configured
	// one where the server asked for that; 0: as configured.
	Interval time.Duration

	// Phases holds the phases that were entered, in order of first entry; a
	// phase entered twice (hello with STARTTLS) has the sum.
	Phases []PhaseTime

	Failure *Failure // nil: the probe reached the end of its plan

	Port    int    // dialled; 0 if the probe never got that far
	Address string // remote IP and port; empty if never connected

	TLS     *TLSFacts // nil: no handshake got far enough
	Auth    AuthFacts
	Mailbox MailboxFacts

	// Goodbye is why the goodbye failed, empty if it did not. It never makes a
	// probe fail.
	Goodbye Reason

	Transcript []Line // the redacted dialogue, bounded
}

// PhaseTime is the time spent in one phase.
type PhaseTime struct {
	Phase    Phase
	Duration time.Duration
}

// Failure says where a probe ended, why, and what to do about it.
type Failure struct {
	Phase  Phase
	Reason Reason
	Text   string // for logs and pages: at most 200 bytes of clean UTF-8, no secret
	Hint   string // more precise advice than the reason's own; mostly empty

	// Doubtful: the server may mean a wrong credential although the reason says
	// otherwise. Two such answers in a row count as a refusal.
	Doubtful bool
	// Unclassified: none of the server's words was recognised; the reason is what
	// a refusal of this command means in general.
	Unclassified bool

	// LastUp is when the connection last worked with the same settings; zero: not
	// known, or never. NewSecret: it was another secret that was accepted then.
	LastUp    time.Time
	NewSecret bool
}

// Detail is Text where it says more than the meaning of the reason does; people
// who read both need it once.
func (f *Failure) Detail() string {
	if f.Text == PlainText(f.Phase, f.Reason) {
		return ""
	}
	return f.Text
}

// PlainText returns the text of a failure of which no details may be shown.
func PlainText(phase Phase, reason Reason) string { return string(phase) + ": " + reason.Meaning() }

// TLSFacts is the result of a handshake, also of one whose certificate was not
// accepted.
type TLSFacts struct {
	Version  string // "TLS 1.3"; empty when the handshake failed
	Cipher   string // IANA name; empty when the handshake failed
	Verified bool   // chain, name, dates and key size were checked and right

	// Handshake is the time of the handshake, 0 when it failed.
	Handshake time.Duration

	// NotAfter is the earliest end in the verified chain that lasts longest or, if
	// verification failed or is off, in the presented one; zero if none was presented.
	NotAfter          time.Time
	NotBefore         time.Time // of the same certificate; zero if that is not known
	FingerprintSHA256 string    // leaf, lower-case hex; empty if none was presented
	Chain             []CertificateFacts
}

// CertificateFacts describes one presented certificate, leaf first. The texts
// are cleaned and cut; they are for people, never for labels.
type CertificateFacts struct {
	Subject, Issuer     string
	DNSNames            []string // at most 20
	NotBefore, NotAfter time.Time
	Key                 x509.PublicKeyAlgorithm
	KeyBits             int
}

// AuthFacts is what happened to the login.
type AuthFacts struct {
	Mechanism AuthMethod // the one used; empty if none was chosen
	Sent      bool       // a credential went over the wire
	Accepted  bool       // the server accepted it
	Rejected  bool       // the server definitively refused it (class D)

	Delay time.Duration // between two logins, as the server announced; 0: none

	Held bool // the guard withheld the login
	// HeldForOthers: it was withheld because of other logins, of this account or to
	// this server, which says nothing of this connection's own.
	HeldForOthers bool
	// HeldBy names the connection that was refused, if the login was withheld for
	// its sake; empty: none, or not known. HeldSince is the time of that refusal;
	// zero: none.
	HeldBy      string
	HeldSince   time.Time
	HeldNext    bool      // this login was refused, so the guard withholds the next
	NextAttempt time.Time // when the guard allows the next one; zero if not held, or held until a change
}

// Known reports whether the login has a verdict: accepted, refused, or withheld
// because it was refused before.
func (a AuthFacts) Known() bool { return a.Sent || a.Held && !a.HeldForOthers }

// Withheld reports whether logins are withheld now that the probe is over.
func (a AuthFacts) Withheld() bool { return a.Held || a.HeldNext }

// MailboxFacts is the result of opening the mailbox.
type MailboxFacts struct {
	Tried    bool
	OK       bool
	Counted  bool   // Messages is known
	Messages uint64 // IMAP EXISTS, POP3 STAT

	Watch *WatchFacts // nil: the mailbox is not watched, or was not opened
}

// WatchFacts is the result of a look at a watched mailbox. What is not known is nil
// or zero.
type WatchFacts struct {
	Unread  *uint64 // messages without \Seen; always nil for POP3
	Waiting *uint64 // messages that the fetcher has still to fetch, by WatchMode

	// Oldest is when the oldest waiting message arrived; zero: none waits. Newest is
	// when the newest of all messages arrived. An arrival in the future counts as the
	// time at which we first saw the message.
	Oldest, Newest time.Time
	// FirstSeen: the server does not tell when messages arrived, or tells nonsense.
	// Oldest or Newest is then when we first saw the message, which may be older.
	FirstSeen bool

	Size                  *uint64 // bytes of all messages
	QuotaUsed, QuotaLimit *uint64 // bytes, of the quota that is closest to its limit

	// UIDNext grows by one or more for each arrival while UIDValidity stays the same;
	// 0: not known.
	UIDNext, UIDValidity uint32
}

// Line is one line of the redacted dialogue.
type Line struct {
	At   time.Duration // since the probe's start
	From Side
	Text string // clean UTF-8 without line ends
}

// Side says who spoke a line of the dialogue.
type Side byte

// The sides of a dialogue; Note is a remark of the probe's own, such as "TLS".
const (
	Client Side = 'C'
	Server Side = 'S'
	Note   Side = '*'
)

// Up reports whether every phase before quit went well.
func (o *Outcome) Up() bool { return o.Failure == nil }

// Duration is the time of the whole probe, without our own delays (SchedulingDelay).
func (o *Outcome) Duration() time.Duration { return o.End.Sub(o.Start) - o.SchedulingDelay }

// Spacing is the time from the start of this probe to the start of the next.
func (o *Outcome) Spacing() time.Duration { return cmp.Or(o.Interval, o.Connection.Interval) }

// Withheld reports whether the probe contacted no server because the login is
// withheld. It then learned nothing about the server.
func (o *Outcome) Withheld() bool { return o.Auth.Held && len(o.Phases) == 0 }

// Backlog returns how long the oldest message of a watched mailbox had waited when
// the probe ended; 0: none waits, or it is not known.
func (o *Outcome) Backlog() time.Duration {
	w := o.Mailbox.Watch
	if w == nil || w.Oldest.IsZero() || !o.Connection.Watches() {
		return 0
	}
	return max(0, o.End.Sub(w.Oldest))
}

// Overdue reports whether a message has waited longer than watch_max_age allows.
func (o *Outcome) Overdue() bool {
	age := o.Backlog()
	return age > 0 && o.Connection.WatchMaxAge > 0 && age > o.Connection.WatchMaxAge
}
