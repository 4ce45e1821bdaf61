package prober

// This file holds the words for why a probe failed. Errors become such words
// in classify.go alone.

import (
	"slices"
	"strings"
)

// Reason says why a probe failed; a closed set, and the `reason` label. The
// empty Reason means that nothing failed.
type Reason string

// The reasons; docs/reasons.md explains them. Adding one is a minor release, renaming
// one a major release.
const (
	DNSNotFound Reason = "dns_not_found"
	DNSFailed   Reason = "dns_failed"
	DNSTimeout  Reason = "dns_timeout"

	ConnectRefused     Reason = "connect_refused"
	ConnectTimeout     Reason = "connect_timeout"
	ConnectUnreachable Reason = "connect_unreachable"

	Reset   Reason = "reset"
	Closed  Reason = "closed"
	Timeout Reason = "timeout"

	TLSPlaintext  Reason = "tls_plaintext"
	TLSVersion    Reason = "tls_version"
	TLSClientCert Reason = "tls_client_cert"
	TLSHandshake  Reason = "tls_handshake"

	CertExpired     Reason = "cert_expired"
	CertNotYetValid Reason = "cert_not_yet_valid"
	CertName        Reason = "cert_name"
	CertUntrusted   Reason = "cert_untrusted"
	CertInvalid     Reason = "cert_invalid"

	StartTLSNotOffered Reason = "starttls_not_offered"
	StartTLSRefused    Reason = "starttls_refused"
	StartTLSInjected   Reason = "starttls_injected"

	ProtocolMalformed Reason = "protocol_malformed"
	ProtocolOversize  Reason = "protocol_oversize"

	ServerRefused     Reason = "server_refused"
	ServerUnavailable Reason = "server_unavailable"
	ServerLimit       Reason = "server_limit"
	CommandRejected   Reason = "command_rejected"

	AuthRejected        Reason = "auth_rejected"
	AuthMethodForbidden Reason = "auth_method_forbidden"
	AuthExpired         Reason = "auth_expired"
	AuthDisabled        Reason = "auth_disabled"
	AuthTemporary       Reason = "auth_temporary"
	AuthTooSoon         Reason = "auth_too_soon"
	AuthNeedsTLS        Reason = "auth_needs_tls"
	AuthMechanism       Reason = "auth_mechanism"
	AuthHeld            Reason = "auth_held"

	TokenRejected    Reason = "token_rejected"
	TokenUnavailable Reason = "token_unavailable"
	NotAuthorized    Reason = "not_authorized"

	MailboxMissing Reason = "mailbox_missing"
	MailboxDenied  Reason = "mailbox_denied"
	MailboxInUse   Reason = "mailbox_in_use"
	MailboxFailed  Reason = "mailbox_failed"

	LocalSecret    Reason = "local_secret"
	LocalResources Reason = "local_resources"
	LocalOverrun   Reason = "local_overrun"
	LocalBug       Reason = "local_bug"
)

// Class says what a reason means for the next login.
type Class byte

// The classes.
const (
	// Transient says nothing about the credential. It is the class of the empty
	// and of an unknown Reason.
	Transient Class = 'T'
	// Definitive is a verdict on the credential: sending it again only brings
	// the account nearer to its lockout.
	Definitive Class = 'D'
	// Possible may be a verdict: some servers drop the connection instead of
	// saying no. Two in a row count as one Definitive.
	Possible Class = 'P'
	// Local is a fault on this side; the server was not asked.
	Local Class = 'L'
)

// reasonFacts is one line of the table of reasons.
type reasonFacts struct {
	reason   Reason
	class    Class
	meaning  string // one sentence
	advice   string // one sentence, an imperative
	evidence string // Markdown: the protocol codes and errors it comes from
}

// Reasons lists every reason once, in the order of the table.
func Reasons() []Reason {
	list := make([]Reason, len(reasons))
	for i := range reasons {
		list[i] = reasons[i].reason
	}
	return list
}

// facts is r's line of the table; the zero line for a word that is not in it.
func (r Reason) facts() reasonFacts {
	for i := range reasons {
		if reasons[i].reason == r {
			return reasons[i]
		}
	}
	return reasonFacts{}
}

// Meaning is one English sentence that says what the reason means. It is empty
// for the empty Reason.
func (r Reason) Meaning() string { return r.facts().meaning }

// Advice is one English sentence that says what to do about it. It is empty for
// the empty Reason.
func (r Reason) Advice() string { return r.facts().advice }

// Class is the reason's class as it stands in the table. What a failure means
// for the account depends on its phase too: see Failure.Class.
func (r Reason) Class() Class {
	if class := r.facts().class; class != 0 {
		return class
	}
	return Transient
}

// Class says what the failure means for the next login. Only the login can give
// a verdict on the credential, and only there a lost connection may be one. A
// nil Failure is Transient.
func (f *Failure) Class() Class {
	if f == nil {
		return Transient
	}
	class := f.Reason.Class()
	switch {
	case f.Phase == PhaseAuth && (f.Reason == Closed || f.Reason == Reset):
		return Possible
	case f.Phase != PhaseAuth && class == Definitive:
		return Transient
	}
	return class
}

// fault is an error whose reason is known where it arises.
type fault struct {
	reason Reason
	hint   string // more precise than the reason's advice; may be empty
	err    error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// reply is one complete answer of a server.
type reply struct {
	// status is the word that decides: OK, NO, BAD, BYE, PREAUTH (IMAP, upper
	// case), +OK, -ERR, + (POP3), three digits (SMTP).
	status string
	// code is the bracket code of IMAP and POP3, without arguments, in upper
	// case, or SMTP's enhanced code such as 5.7.8; empty if there was none.
	code string
	// text is what is left, of all lines of the reply, joined by a space.
	text string
}

// refusal is a server's negative answer to a command, to be classified by its
// reply.
type refusal struct {
	protocol Protocol
	command  string // GREETING, CAPABILITY, LOGIN, AUTHENTICATE, USER, PASS, MAIL ...
	reply    reply
	authzid  bool // the login asked to act for somebody else
	token    bool // the login used an OAuth2 token
	tls      bool // TLS was up
	hashed   bool // `auto` chose a method that does not send the password itself
}

func (r *refusal) Error() string {
	words := []string{r.command + ": rejected by server:", r.reply.status, r.reply.code, r.reply.text}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// handshakeError is an error of a TLS handshake, or of the first reads after
// it, together with what the error itself does not tell.
type handshakeError struct {
	err             error
	clientCertAsked bool // the server sent a CertificateRequest
}

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }
