package prober

// This file holds the errors of a session: what went wrong before anybody said
// what it means.

import (
	"slices"
	"strings"

	"mailprobe/mail"
)

// fault is an error whose reason is known where it arises.
type fault struct {
	reason mail.Reason
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
	protocol mail.Protocol
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
