package prober

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"mailprobe/mail"
)

// dialError is an errno as the net package wraps it.
func dialError(errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
}

func TestClassifyNetwork(t *testing.T) {
	tests := []struct {
		name  string
		phase mail.Phase
		err   error
		want  mail.Reason
	}{
		{"nothing happened", mail.PhaseAuth, nil, ""},
		{"name unknown", mail.PhaseResolve, &net.DNSError{Err: "no such host", IsNotFound: true}, mail.DNSNotFound},
		{"empty answer without SOA", mail.PhaseResolve, &net.DNSError{Err: "lame referral"}, mail.DNSNotFound},
		{"no address of the family", mail.PhaseConnect, &net.OpError{Op: "dial", Err: &net.AddrError{Err: "no suitable address found"}}, mail.DNSNotFound},
		{"SERVFAIL", mail.PhaseResolve, &net.DNSError{Err: "server misbehaving", IsTemporary: true}, mail.DNSFailed},
		{"resolver refuses the connection", mail.PhaseResolve, &net.DNSError{Err: "read udp: connection refused", IsTemporary: true}, mail.DNSFailed},
		{"resolver silent", mail.PhaseResolve, &net.DNSError{Err: "i/o timeout", IsTimeout: true}, mail.DNSTimeout},
		{"probe ends while resolving", mail.PhaseResolve, &net.DNSError{Err: "x", UnwrapErr: context.DeadlineExceeded}, mail.DNSTimeout},
		{"deadline while resolving", mail.PhaseResolve, context.DeadlineExceeded, mail.DNSTimeout},
		{"no descriptor for the resolver", mail.PhaseResolve, &net.DNSError{Err: "dial udp: socket: too many open files"}, mail.LocalResources},
		{"something else while resolving", mail.PhaseResolve, errors.New("odd"), mail.DNSFailed},

		{"no route any more", mail.PhaseHello, dialError(syscall.EHOSTUNREACH), mail.ConnectUnreachable},
		{"no network any more", mail.PhaseHello, dialError(syscall.ENETUNREACH), mail.ConnectUnreachable},
		{"host gone", mail.PhaseHello, dialError(syscall.EHOSTDOWN), mail.ConnectUnreachable},
		{"network gone", mail.PhaseHello, dialError(syscall.ENETDOWN), mail.ConnectUnreachable},
		{"forbidden from now on", mail.PhaseHello, dialError(syscall.EACCES), mail.ConnectUnreachable},
		{"not permitted from now on", mail.PhaseHello, dialError(syscall.EPERM), mail.ConnectUnreachable},
		{"refused", mail.PhaseConnect, dialError(syscall.ECONNREFUSED), mail.ConnectRefused},
		{"no route", mail.PhaseConnect, dialError(syscall.EHOSTUNREACH), mail.ConnectUnreachable},
		{"no network", mail.PhaseConnect, dialError(syscall.ENETUNREACH), mail.ConnectUnreachable},
		{"host down", mail.PhaseConnect, dialError(syscall.EHOSTDOWN), mail.ConnectUnreachable},
		{"network down", mail.PhaseConnect, dialError(syscall.ENETDOWN), mail.ConnectUnreachable},
		{"forbidden", mail.PhaseConnect, dialError(syscall.EACCES), mail.ConnectUnreachable},
		{"not permitted", mail.PhaseConnect, dialError(syscall.EPERM), mail.ConnectUnreachable},
		{"no IPv6 here", mail.PhaseConnect, dialError(syscall.EAFNOSUPPORT), mail.ConnectUnreachable},
		{"kernel gave up", mail.PhaseConnect, dialError(syscall.ETIMEDOUT), mail.ConnectTimeout},
		{"deadline while connecting", mail.PhaseConnect, os.ErrDeadlineExceeded, mail.ConnectTimeout},
		{"something else while connecting", mail.PhaseConnect, errors.New("odd"), mail.ConnectUnreachable},
		{"descriptors of the process", mail.PhaseConnect, dialError(syscall.EMFILE), mail.LocalResources},
		{"descriptors of the machine", mail.PhaseConnect, dialError(syscall.ENFILE), mail.LocalResources},
		{"no buffers", mail.PhaseConnect, dialError(syscall.ENOBUFS), mail.LocalResources},
		{"no memory", mail.PhaseConnect, dialError(syscall.ENOMEM), mail.LocalResources},
		{"no port left", mail.PhaseConnect, dialError(syscall.EADDRNOTAVAIL), mail.LocalResources},

		{"reset", mail.PhaseGreeting, dialError(syscall.ECONNRESET), mail.Reset},
		{"aborted", mail.PhaseGreeting, dialError(syscall.ECONNABORTED), mail.Reset},
		{"broken pipe", mail.PhaseAuth, dialError(syscall.EPIPE), mail.Reset},
		{"end of stream", mail.PhaseGreeting, io.EOF, mail.Closed},
		{"end amidst a line", mail.PhaseMailbox, fmt.Errorf("read: %w", io.ErrUnexpectedEOF), mail.Closed},
		{"closed by us", mail.PhaseMailbox, net.ErrClosed, mail.Closed},
		{"pipe closed", mail.PhaseMailbox, io.ErrClosedPipe, mail.Closed},
		{"deadline of the socket", mail.PhaseHello, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, mail.Timeout},
		{"deadline of the probe", mail.PhaseAuth, context.DeadlineExceeded, mail.Timeout},
		{"cancelled", mail.PhaseAuth, context.Canceled, mail.Timeout},
		{"silence in the handshake", mail.PhaseTLS, os.ErrDeadlineExceeded, mail.Timeout},
		{"end of stream in the handshake", mail.PhaseTLS, io.EOF, mail.Closed},
		{"reset in the handshake", mail.PhaseTLS, dialError(syscall.ECONNRESET), mail.Reset},
		{"something else in the handshake", mail.PhaseTLS, errors.New("odd"), mail.TLSHandshake},
		{"a library did not like it", mail.PhaseMailbox, errors.New("in response-data: expected SP"), mail.ProtocolMalformed},
		{"no phase", "", errors.New("odd"), mail.ProtocolMalformed},

		{"a fault knows its reason", mail.PhaseAuth, fmt.Errorf("login: %w", &fault{reason: mail.AuthHeld, err: io.EOF}), mail.AuthHeld},
		{"an answer already read still decides", mail.PhaseAuth,
			errors.Join(dialError(syscall.ECONNRESET), diagnosed(refusal{protocol: mail.IMAP, command: "LOGIN", reply: reply{status: "NO"}})), mail.AuthRejected},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := classify(test.phase, nil, test.err).reason; got != test.want {
				t.Errorf("%q for %v at %q, want %q", got, test.err, test.phase, test.want)
			}
		})
	}
}

func TestClassifyRealDials(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	if _, err = net.Dial("tcp", address); err == nil {
		t.Skip("somebody took the port")
	}
	if got := classify(mail.PhaseConnect, nil, err).reason; got != mail.ConnectRefused {
		t.Errorf("closed port: %q for %v", got, err)
	}
	past, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, err = new(net.Dialer).DialContext(past, "tcp", "127.0.0.1:1")
	if got := classify(mail.PhaseConnect, nil, err).reason; got != mail.ConnectTimeout {
		t.Errorf("deadline: %q for %v", got, err)
	}
	_, err = new(net.Dialer).DialContext(t.Context(), "tcp6", "127.0.0.1:1")
	if got := classify(mail.PhaseConnect, nil, err).reason; got != mail.DNSNotFound {
		t.Errorf("IPv4 literal with ip6: %q for %v", got, err)
	}
}

// Reasons that no error brings about here, and where they are made.
var madeElsewhere = map[mail.Reason]string{
	mail.StartTLSNotOffered: "a dialect, before STARTTLS",
	mail.StartTLSInjected:   "the wire, before the handshake",
	mail.ProtocolOversize:   "the wire, at its bounds",
	mail.AuthHeld:           "the guard",
	mail.TokenUnavailable:   "the token source",
	mail.LocalSecret:        "SecretSource.Read, before the dial",
	mail.LocalOverrun:       "the pool",
	mail.LocalBug:           "Probe, from a recovered panic",
}

// The TLS and certificate reasons have their rows in tlsreason_test.go, where
// real handshakes bring them about.
func TestEveryReasonIsProduced(t *testing.T) {
	produced := make(map[mail.Reason]bool)
	for _, g := range goldenRefusals {
		produced[g.want] = true
	}
	for _, row := range errnoReasons {
		produced[row.reason] = true
	}
	for _, reason := range []mail.Reason{mail.DNSNotFound, mail.DNSFailed, mail.DNSTimeout, mail.ConnectTimeout, mail.Timeout, mail.Closed} {
		produced[reason] = true // rows of TestClassifyNetwork
	}
	for _, row := range handshakeRows() {
		produced[row.want] = true
	}
	for _, reason := range mail.Reasons() {
		if produced[reason] == (madeElsewhere[reason] != "") {
			t.Errorf("%q: produced here %v, made elsewhere by %q; want exactly one", reason, produced[reason], madeElsewhere[reason])
		}
	}
}
