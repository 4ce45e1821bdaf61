package prober

// This file is the only one that turns errors into reasons. It reads no socket
// and keeps no state.

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// classify says why a phase ended with err, and gives more precise advice than
// the reason's own where the evidence allows it. c may be nil. The reason
// is empty exactly when err is nil.
func classify(phase Phase, c *Connection, err error) (Reason, string) {
	reason, hint := reasonOf(phase, c, err)
	if hint == "" {
		hint = situationHint(phase, c, reason)
	}
	return reason, hint
}

// reasonOf asks from the surest evidence to the vaguest.
func reasonOf(phase Phase, c *Connection, err error) (Reason, string) {
	if err == nil {
		return "", ""
	}
	var known *fault
	if errors.As(err, &known) {
		return known.reason, known.hint
	}
	var refused *refusal
	if errors.As(err, &refused) {
		reason := refusalReason(phase, refused)
		switch {
		case reason == AuthRejected && refused.hashed:
			return reason, hashHint
		case isDoubtful(phase, refused):
			return reason, doubtHint
		}
		return reason, ""
	}
	if reason := errnoReason(err); reason != "" {
		return reason, ""
	}
	if reason := nameReason(err); reason != "" {
		return reason, ""
	}
	if reason := streamReason(phase, err); reason != "" {
		return reason, ""
	}
	if reason, hint := tlsReason(phase, c, err); reason != "" {
		return reason, hint
	}
	if reason, known := defaultReasons[phase]; known {
		return reason, ""
	}
	return ProtocolMalformed, ""
}

// defaultReasons is what is left for an error that nothing here knows. In the
// other phases that can only be a library that did not like what it read.
var defaultReasons = map[Phase]Reason{
	PhaseResolve: DNSFailed,
	PhaseConnect: ConnectUnreachable,
	PhaseTLS:     TLSHandshake,
}

// errnoReasons sorts the errors of the operating system.
var errnoReasons = []struct {
	errno  syscall.Errno
	reason Reason
}{
	{syscall.EMFILE, LocalResources},
	{syscall.ENFILE, LocalResources},
	{syscall.ENOBUFS, LocalResources},
	{syscall.ENOMEM, LocalResources},
	{syscall.EADDRNOTAVAIL, LocalResources},
	{syscall.ECONNREFUSED, ConnectRefused},
	{syscall.EHOSTUNREACH, ConnectUnreachable},
	{syscall.ENETUNREACH, ConnectUnreachable},
	{syscall.EHOSTDOWN, ConnectUnreachable},
	{syscall.ENETDOWN, ConnectUnreachable},
	{syscall.EACCES, ConnectUnreachable},
	{syscall.EPERM, ConnectUnreachable},
	{syscall.EAFNOSUPPORT, ConnectUnreachable}, // no IPv6 in this kernel
	{syscall.ECONNRESET, Reset},
	{syscall.ECONNABORTED, Reset},
	{syscall.EPIPE, Reset},
}

// errnoReason looks for an errno anywhere in err. A resolver keeps only the
// text of its errno, so that one shortage is recognised by its words.
func errnoReason(err error) Reason {
	for _, row := range errnoReasons {
		if errors.Is(err, row.errno) {
			return row.reason
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		for _, row := range errnoReasons {
			if row.reason == LocalResources && strings.Contains(dns.Err, row.errno.Error()) {
				return LocalResources
			}
		}
	}
	return ""
}

// nameReason sorts the errors of the resolver.
func nameReason(err error) Reason {
	var address *net.AddrError
	if errors.As(err, &address) {
		return DNSNotFound // names found, but none of the wanted address family
	}
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return ""
	}
	switch {
	case dns.IsNotFound, strings.Contains(dns.Err, "lame referral"):
		// An empty answer without an SOA record is called a lame referral.
		return DNSNotFound
	case isDeadline(err):
		return DNSTimeout
	}
	return DNSFailed
}

// streamReason sorts the ends of a connection that are nobody's verdict.
func streamReason(phase Phase, err error) Reason {
	switch {
	case isDeadline(err) && phase == PhaseResolve:
		return DNSTimeout
	case isDeadline(err) && phase == PhaseConnect:
		return ConnectTimeout
	case isDeadline(err):
		return Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return Closed
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
