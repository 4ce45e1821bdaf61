package prober

// This file is the only one that turns errors into reasons, with the tables of
// refusal.go and tlsreason.go. It reads no socket and keeps no state.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"mailprobe/mail"
)

// diagnosis is what a failure means.
type diagnosis struct {
	reason mail.Reason
	// hint is advice that is more precise than the reason's own; empty: there is none.
	hint string
	// doubtful: the server may mean a wrong credential although the reason says
	// otherwise. Two such answers in a row count as a refusal.
	doubtful bool
	// unclassified: none of the server's words was recognised; the reason is what
	// a refusal of this command means in general.
	unclassified bool
}

// fault is an error whose reason is known where it occurs.
type fault struct {
	reason mail.Reason
	hint   string // more precise than the reason's advice; may be empty
	err    error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// handshakeError is an error of a TLS handshake, or of the first reads after it, with
// facts that the error itself does not contain.
type handshakeError struct {
	err             error
	clientCertAsked bool // the server sent a CertificateRequest
}

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// classify returns why a phase ended with err. c may be nil. The reason is empty
// exactly if err is nil.
func classify(phase mail.Phase, c *mail.Connection, err error) diagnosis {
	d := diagnosisOf(phase, c, err)
	if d.hint == "" {
		d.hint = hintFor(phase, c, d.reason)
	}
	return d
}

// diagnosisOf checks the most certain evidence first.
func diagnosisOf(phase mail.Phase, c *mail.Connection, err error) diagnosis {
	if err == nil {
		return diagnosis{}
	}
	var known *fault
	if errors.As(err, &known) {
		return diagnosis{reason: known.reason, hint: known.hint}
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.diagnosis
	}
	if reason := cmp.Or(errnoReason(err), nameReason(err), streamReason(phase, err)); reason != "" {
		return diagnosis{reason: reason}
	}
	if reason, hint := tlsReason(phase, c, err); reason != "" {
		return diagnosis{reason: reason, hint: hint}
	}
	return diagnosis{reason: cmp.Or(defaultReasons[phase], mail.ProtocolMalformed)}
}

// defaultReasons has the reasons of unknown errors. In the other phases, an unknown
// error can only come from a library that could not parse what it read.
var defaultReasons = map[mail.Phase]mail.Reason{
	mail.PhaseResolve: mail.DNSFailed,
	mail.PhaseConnect: mail.ConnectUnreachable,
	mail.PhaseTLS:     mail.TLSHandshake,
}

// errnoReasons maps errors of the operating system to reasons.
var errnoReasons = []struct {
	errno  syscall.Errno
	reason mail.Reason
}{
	{syscall.EMFILE, mail.LocalResources},
	{syscall.ENFILE, mail.LocalResources},
	{syscall.ENOBUFS, mail.LocalResources},
	{syscall.ENOMEM, mail.LocalResources},
	{syscall.EADDRNOTAVAIL, mail.LocalResources},
	{syscall.ECONNREFUSED, mail.ConnectRefused},
	{syscall.EHOSTUNREACH, mail.ConnectUnreachable},
	{syscall.ENETUNREACH, mail.ConnectUnreachable},
	{syscall.EHOSTDOWN, mail.ConnectUnreachable},
	{syscall.ENETDOWN, mail.ConnectUnreachable},
	{syscall.EACCES, mail.ConnectUnreachable},
	{syscall.EPERM, mail.ConnectUnreachable},
	{syscall.EAFNOSUPPORT, mail.ConnectUnreachable}, // no IPv6 in this kernel
	{syscall.ECONNRESET, mail.Reset},
	{syscall.ECONNABORTED, mail.Reset},
	{syscall.EPIPE, mail.Reset},
}

// errnoReason looks for an errno anywhere in err. A resolver keeps only the
// text of its errno, so that one shortage is recognised by its words.
func errnoReason(err error) mail.Reason {
	for _, row := range errnoReasons {
		if errors.Is(err, row.errno) {
			return row.reason
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		for _, row := range errnoReasons {
			if row.reason == mail.LocalResources && strings.Contains(dns.Err, row.errno.Error()) {
				return mail.LocalResources
			}
		}
	}
	return ""
}

// nameReason returns the reason of an error of the resolver.
func nameReason(err error) mail.Reason {
	var address *net.AddrError
	if errors.As(err, &address) {
		return mail.DNSNotFound // names found, but none of the wanted address family
	}
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return ""
	}
	switch {
	case dns.IsNotFound, strings.Contains(dns.Err, "lame referral"):
		// An empty answer without an SOA record is called a lame referral.
		return mail.DNSNotFound
	case isDeadline(err):
		return mail.DNSTimeout
	}
	return mail.DNSFailed
}

// streamReason returns the reason of a connection that ended without an answer.
func streamReason(phase mail.Phase, err error) mail.Reason {
	switch {
	case isDeadline(err) && phase == mail.PhaseResolve:
		return mail.DNSTimeout
	case isDeadline(err) && phase == mail.PhaseConnect:
		return mail.ConnectTimeout
	case isDeadline(err):
		return mail.Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return mail.Closed
	}
	return ""
}

// isDeadline reports whether time ran out. A cancelled probe counts as such: its
// caller did not want to wait longer.
func isDeadline(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) {
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// malformedf and oversizef return faults with the reasons protocol_malformed and
// protocol_oversize.
func malformedf(format string, args ...any) *fault {
	return &fault{reason: mail.ProtocolMalformed, err: fmt.Errorf(format, args...)}
}

func oversizef(format string, args ...any) *fault {
	return &fault{reason: mail.ProtocolOversize, err: fmt.Errorf(format, args...)}
}

// unsolicitedReply is the fault of a server that sends a reply before the command:
// it cannot be the answer to ours.
func unsolicitedReply() error { return malformedf("the server answered before it was asked") }
