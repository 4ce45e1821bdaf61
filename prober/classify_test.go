package prober

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialError is an errno as the net package wraps it.
func dialError(errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
}

func TestClassifyNetwork(t *testing.T) {
	tests := []struct {
		name  string
		phase Phase
		err   error
		want  Reason
	}{
		{"nothing happened", PhaseAuth, nil, ""},
		{"name unknown", PhaseResolve, &net.DNSError{Err: "no such host", IsNotFound: true}, DNSNotFound},
		{"empty answer without SOA", PhaseResolve, &net.DNSError{Err: "lame referral"}, DNSNotFound},
		{"no address of the family", PhaseConnect, &net.OpError{Op: "dial", Err: &net.AddrError{Err: "no suitable address found"}}, DNSNotFound},
		{"SERVFAIL", PhaseResolve, &net.DNSError{Err: "server misbehaving", IsTemporary: true}, DNSFailed},
		{"resolver refuses the connection", PhaseResolve, &net.DNSError{Err: "read udp: connection refused", IsTemporary: true}, DNSFailed},
		{"resolver silent", PhaseResolve, &net.DNSError{Err: "i/o timeout", IsTimeout: true}, DNSTimeout},
		{"probe ends while resolving", PhaseResolve, &net.DNSError{Err: "x", UnwrapErr: context.DeadlineExceeded}, DNSTimeout},
		{"deadline while resolving", PhaseResolve, context.DeadlineExceeded, DNSTimeout},
		{"no descriptor for the resolver", PhaseResolve, &net.DNSError{Err: "dial udp: socket: too many open files"}, LocalResources},
		{"something else while resolving", PhaseResolve, errors.New("odd"), DNSFailed},

		{"no route any more", PhaseHello, dialError(syscall.EHOSTUNREACH), ConnectUnreachable},
		{"no network any more", PhaseHello, dialError(syscall.ENETUNREACH), ConnectUnreachable},
		{"host gone", PhaseHello, dialError(syscall.EHOSTDOWN), ConnectUnreachable},
		{"network gone", PhaseHello, dialError(syscall.ENETDOWN), ConnectUnreachable},
		{"forbidden from now on", PhaseHello, dialError(syscall.EACCES), ConnectUnreachable},
		{"not permitted from now on", PhaseHello, dialError(syscall.EPERM), ConnectUnreachable},
		{"refused", PhaseConnect, dialError(syscall.ECONNREFUSED), ConnectRefused},
		{"no route", PhaseConnect, dialError(syscall.EHOSTUNREACH), ConnectUnreachable},
		{"no network", PhaseConnect, dialError(syscall.ENETUNREACH), ConnectUnreachable},
		{"host down", PhaseConnect, dialError(syscall.EHOSTDOWN), ConnectUnreachable},
		{"network down", PhaseConnect, dialError(syscall.ENETDOWN), ConnectUnreachable},
		{"forbidden", PhaseConnect, dialError(syscall.EACCES), ConnectUnreachable},
		{"not permitted", PhaseConnect, dialError(syscall.EPERM), ConnectUnreachable},
		{"no IPv6 here", PhaseConnect, dialError(syscall.EAFNOSUPPORT), ConnectUnreachable},
		{"kernel gave up", PhaseConnect, dialError(syscall.ETIMEDOUT), ConnectTimeout},
		{"deadline while connecting", PhaseConnect, os.ErrDeadlineExceeded, ConnectTimeout},
		{"something else while connecting", PhaseConnect, errors.New("odd"), ConnectUnreachable},
		{"descriptors of the process", PhaseConnect, dialError(syscall.EMFILE), LocalResources},
		{"descriptors of the machine", PhaseConnect, dialError(syscall.ENFILE), LocalResources},
		{"no buffers", PhaseConnect, dialError(syscall.ENOBUFS), LocalResources},
		{"no memory", PhaseConnect, dialError(syscall.ENOMEM), LocalResources},
		{"no port left", PhaseConnect, dialError(syscall.EADDRNOTAVAIL), LocalResources},

		{"reset", PhaseGreeting, dialError(syscall.ECONNRESET), Reset},
		{"aborted", PhaseGreeting, dialError(syscall.ECONNABORTED), Reset},
		{"broken pipe", PhaseAuth, dialError(syscall.EPIPE), Reset},
		{"end of stream", PhaseGreeting, io.EOF, Closed},
		{"end amidst a line", PhaseMailbox, fmt.Errorf("read: %w", io.ErrUnexpectedEOF), Closed},
		{"closed by us", PhaseMailbox, net.ErrClosed, Closed},
		{"pipe closed", PhaseMailbox, io.ErrClosedPipe, Closed},
		{"deadline of the socket", PhaseHello, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, Timeout},
		{"deadline of the probe", PhaseAuth, context.DeadlineExceeded, Timeout},
		{"cancelled", PhaseAuth, context.Canceled, Timeout},
		{"silence in the handshake", PhaseTLS, os.ErrDeadlineExceeded, Timeout},
		{"end of stream in the handshake", PhaseTLS, io.EOF, Closed},
		{"reset in the handshake", PhaseTLS, dialError(syscall.ECONNRESET), Reset},
		{"something else in the handshake", PhaseTLS, errors.New("odd"), TLSHandshake},
		{"a library did not like it", PhaseMailbox, errors.New("in response-data: expected SP"), ProtocolMalformed},
		{"no phase", "", errors.New("odd"), ProtocolMalformed},

		{"a fault knows its reason", PhaseAuth, fmt.Errorf("login: %w", &fault{reason: AuthHeld, err: io.EOF}), AuthHeld},
		{"an answer already read still decides", PhaseAuth,
			errors.Join(dialError(syscall.ECONNRESET), &refusal{protocol: IMAP, command: "LOGIN", reply: reply{status: "NO"}}), AuthRejected},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := classify(test.phase, nil, test.err); got != test.want {
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
	if got, _ := classify(PhaseConnect, nil, err); got != ConnectRefused {
		t.Errorf("closed port: %q for %v", got, err)
	}
	past, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, err = new(net.Dialer).DialContext(past, "tcp", "127.0.0.1:1")
	if got, _ := classify(PhaseConnect, nil, err); got != ConnectTimeout {
		t.Errorf("deadline: %q for %v", got, err)
	}
	_, err = new(net.Dialer).DialContext(t.Context(), "tcp6", "127.0.0.1:1")
	if got, _ := classify(PhaseConnect, nil, err); got != DNSNotFound {
		t.Errorf("IPv4 literal with ip6: %q for %v", got, err)
	}
}

// Reasons that no error brings about here, and where they are made.
var madeElsewhere = map[Reason]string{
	StartTLSNotOffered: "a dialect, before STARTTLS",
	StartTLSInjected:   "the wire, before the handshake",
	ProtocolOversize:   "the wire, at its bounds",
	AuthHeld:           "the guard",
	TokenUnavailable:   "the token source",
	LocalSecret:        "SecretSource.Read, before the dial",
	LocalOverrun:       "the pool",
	LocalBug:           "Probe, from a recovered panic",
}

// The TLS and certificate reasons have their rows in tlsreason_test.go, where
// real handshakes bring them about.
func TestEveryReasonIsProduced(t *testing.T) {
	produced := make(map[Reason]bool)
	for _, g := range goldenRefusals {
		produced[g.want] = true
	}
	for _, row := range errnoReasons {
		produced[row.reason] = true
	}
	for _, reason := range []Reason{DNSNotFound, DNSFailed, DNSTimeout, ConnectTimeout, Timeout, Closed} {
		produced[reason] = true // rows of TestClassifyNetwork
	}
	for _, row := range handshakeRows() {
		produced[row.want] = true
	}
	for _, reason := range Reasons() {
		if produced[reason] == (madeElsewhere[reason] != "") {
			t.Errorf("%q: produced here %v, made elsewhere by %q; want exactly one", reason, produced[reason], madeElsewhere[reason])
		}
	}
}

func TestReasonsTableIsWhole(t *testing.T) {
	if got := len(Reasons()); got != 47 {
		t.Errorf("%d reasons, want the 47 of the closed set", got)
	}
	seen := make(map[string]Reason)
	for _, row := range reasons {
		if strings.ContainsFunc(string(row.reason), func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) {
			t.Errorf("%q is no label word", row.reason)
		}
		if !slices.Contains([]Class{Transient, Definitive, Possible, Local}, row.class) || row.evidence == "" {
			t.Errorf("%q: class %q, evidence %q", row.reason, row.class, row.evidence)
		}
		for _, sentence := range []string{row.meaning, row.advice} {
			if !strings.HasSuffix(sentence, ".") || strings.Contains(sentence, ". ") || len(sentence) > maxFailureText {
				t.Errorf("%q: %q is not one short sentence", row.reason, sentence)
			}
			if other, twice := seen[sentence]; twice {
				t.Errorf("%q and %q share %q", row.reason, other, sentence)
			}
			seen[sentence] = row.reason
		}
		if row.reason.Meaning() != row.meaning || row.reason.Advice() != row.advice || row.reason.Class() != row.class {
			t.Errorf("%q: its methods do not give its row", row.reason)
		}
	}
	if r := Reason("nonsense"); r.Meaning() != "" || r.Advice() != "" || r.Class() != Transient {
		t.Errorf("%q is not in the table but has a meaning", r)
	}
}

func TestFailureClass(t *testing.T) {
	tests := []struct {
		name    string
		failure *Failure
		want    Class
	}{
		{"no failure", nil, Transient},
		{"password refused", &Failure{Phase: PhaseAuth, Reason: AuthRejected}, Definitive},
		{"dropped right after the password", &Failure{Phase: PhaseAuth, Reason: Closed}, Possible},
		{"reset right after the password", &Failure{Phase: PhaseAuth, Reason: Reset}, Possible},
		{"dropped before the login", &Failure{Phase: PhaseGreeting, Reason: Closed}, Transient},
		{"slow login", &Failure{Phase: PhaseAuth, Reason: Timeout}, Transient},
		{"sender refused after a good login", &Failure{Phase: PhaseMailbox, Reason: NotAuthorized}, Transient},
		{"secret unreadable", &Failure{Phase: PhaseAuth, Reason: LocalSecret}, Local},
		{"login withheld", &Failure{Phase: PhaseAuth, Reason: AuthHeld}, Local},
	}
	for _, test := range tests {
		if got := test.failure.Class(); got != test.want {
			t.Errorf("%s: %c, want %c", test.name, got, test.want)
		}
	}
}
