package mail

// This file holds the nouns of a route: a message that mailprobe sends itself
// through one connection and looks for through another.

import (
	"reflect"
	"time"
)

// Route is one entry of `routes`, validated and complete. It is immutable after
// load and shared by all packages.
type Route struct {
	Name string // unique among routes; the `route` label

	Send    *Connection // SMTP: the message is submitted here
	Receive *Connection // IMAP or POP3: the message is looked for here
	Bounces *Connection // IMAP or POP3: where mail to From arrives; nil: no delivery status is asked for

	From, To string // addresses of the envelope and of the header

	Interval time.Duration // between two messages
	Deadline time.Duration // a message not found within this is lost
	Slow     time.Duration // a message found later than this is late

	// Folders are looked through, in this order. Empty: the receiving
	// connection's own mailbox and its junk folder. POP3 has one folder only.
	Folders []string

	Delete bool // found messages of the route are deleted

	// AuthservID is the host whose Authentication-Results are believed (RFC 8601
	// section 2.5). Empty: none is, and what is read is reported as untrusted.
	AuthservID string
	// Require holds the results that a message needs to count as delivered.
	Require map[SenderCheck]CheckResult

	Labels []Label // sorted by name; added to each metric of the route
	Source string  // "file:line" of the entry, for messages
}

// MaxRouteMessages is how many messages all routes together send in a minute, at most.
const MaxRouteMessages = 30

// RouteCounts is what is known of a route's messages at this moment.
type RouteCounts struct {
	InFlight int       // messages whose fate is not known yet
	Oldest   time.Time // when the oldest of them was sent; zero: none is in flight
	Left     int       // copies that were found and could not be deleted
	LastSent time.Time // zero: none was sent
}

// Leg is a part of a message's way; its value is the `leg` label.
type Leg string

// The legs of a route.
const (
	LegSubmit   Leg = "submit"   // from the dial to the server's answer to the message
	LegTransfer Leg = "transfer" // from that answer to the first look that sees the message
	LegTotal    Leg = "total"    // both
)

// FolderKind says where a message was filed; its value is the `folder` label.
type FolderKind string

// The kinds of folders.
const (
	FolderInbox FolderKind = "inbox" // the first one looked through
	FolderJunk  FolderKind = "junk"
	FolderOther FolderKind = "other"
)

// SenderCheck is a method by which a receiving server authenticates mail;
// its value is the `method` label.
type SenderCheck string

// The methods whose results are read (RFC 8601 section 2.7, RFC 8617).
const (
	CheckSPF   SenderCheck = "spf"
	CheckDKIM  SenderCheck = "dkim"
	CheckDMARC SenderCheck = "dmarc"
	CheckARC   SenderCheck = "arc"
)

// SenderChecks lists every method once.
func SenderChecks() []SenderCheck {
	return []SenderCheck{CheckSPF, CheckDKIM, CheckDMARC, CheckARC}
}

// CheckResult is the result of a method; its value is the `result` label.
type CheckResult string

// The results of RFC 8601 section 2.7. A word that is none of them counts as
// ResultUnknown, so that no server can make up a label.
const (
	ResultPass      CheckResult = "pass"
	ResultFail      CheckResult = "fail"
	ResultSoftFail  CheckResult = "softfail"
	ResultNeutral   CheckResult = "neutral"
	ResultNone      CheckResult = "none"
	ResultPolicy    CheckResult = "policy"
	ResultTempError CheckResult = "temperror"
	ResultPermError CheckResult = "permerror"
	ResultUnknown   CheckResult = "unknown"
)

// CheckResults lists every result once.
func CheckResults() []CheckResult {
	return []CheckResult{ResultPass, ResultFail, ResultSoftFail, ResultNeutral, ResultNone,
		ResultPolicy, ResultTempError, ResultPermError, ResultUnknown}
}

// RouteOutcome is what became of one message. It is immutable once returned, and
// holds no secret.
type RouteOutcome struct {
	Route *Route
	Seq   uint64
	// MessageID is the field's value with its brackets, as servers log it. It holds
	// a random word and the domain of Route.From. Empty: nothing was to be sent.
	MessageID string
	Sent      time.Time // when the submission began
	Ended     time.Time // when the message was found, or given up

	Failure *RouteFailure // nil: delivered as configured

	// Submit, Transfer and Total are the times of the legs; 0: the leg did not end.
	Submit, Transfer, Total time.Duration
	// Uncertainty is the time between the look that saw the message and the one
	// before it: Transfer may be too long by up to this much.
	Uncertainty time.Duration

	Delivered bool       // found, wherever it was filed
	Folder    FolderKind // where; empty if it was not found
	FolderAs  string     // the folder's name, for people; clean and cut

	// Authentication holds the results that the receiving side wrote; a method
	// without a result is absent. Trusted says that the configured host wrote them.
	Authentication map[SenderCheck]CheckResult
	Trusted        bool

	Hops    []Hop  // as the Received fields tell, the oldest first; at most 30
	DSN     string // the action of the delivery status: relayed, delivered, failed, delayed; empty: none came
	Copies  int    // how many of this message were found
	Deleted int    // how many of them were deleted
	Left    int    // how many were found and should have been deleted, but are still there
}

// Hop is one relay of a message's way (RFC 5321 section 4.4). Its texts are what
// the relay claims: for people, never for labels.
type Hop struct {
	From, By, With string
	At             time.Time // zero: the field has no date that can be read
}

// RouteFailure says on which leg a message failed, and why.
type RouteFailure struct {
	Leg    Leg
	Reason Reason
	Phase  Phase  // of the session that failed; empty: none did
	Text   string // for logs and pages: at most 200 bytes of clean UTF-8, no secret
	Hint   string // more precise advice than the reason's own; mostly empty
}

// Advice is the sentence that says what to do.
func (f *RouteFailure) Advice() string {
	if f.Hint != "" {
		return f.Hint
	}
	return f.Reason.Advice()
}

// Up reports whether the message arrived as configured.
func (o *RouteOutcome) Up() bool { return o.Failure == nil }

// Lost reports whether the message was accepted for sending and not found.
func (o *RouteOutcome) Lost() bool {
	return o.Failure != nil && !o.Delivered && o.Failure.Leg != LegSubmit
}

// Same reports whether two definitions send the same message on the same way, so
// that the schedule of one and the messages under way serve the other. Labels
// and the place in the file do not matter.
func (r *Route) Same(other *Route) bool {
	plain := func(r *Route) Route {
		copied := *r
		copied.Send, copied.Receive, copied.Bounces, copied.Labels, copied.Source = nil, nil, nil, nil, ""
		return copied
	}
	same := func(a, b *Connection) bool { return a == b || a != nil && b != nil && a.SameProbe(b) }
	return reflect.DeepEqual(plain(r), plain(other)) &&
		same(r.Send, other.Send) && same(r.Receive, other.Receive) && same(r.Bounces, other.Bounces)
}
