package prober

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// tcpFaults is what a transport can do once it is up: section B of the
// catalogue from fault 18 on.
func tcpFaults() []faultCase {
	return append(greetingEnds(), sessionEnds()...)
}

// greetingEnds never come to a greeting.
func greetingEnds() []faultCase {
	ends := func(number int, story, script string, reason mail.Reason) faultCase {
		return faultCase{numbers: []int{number}, story: story, after: connected, script: every(script), phase: mail.PhaseGreeting, reason: reason}
	}
	return []faultCase{
		ends(18, "accepted_then_reset", "RESET", mail.Reset),
		ends(19, "accepted_then_closed", "CUT", mail.Closed),
		ends(19, "accepted_then_closed_in_order", "CLOSE", mail.Closed),
		ends(20, "accepted_then_silent", "STALL", mail.Timeout),
		ends(20, "accepted_and_not_even_read", "DEAF", mail.Timeout),
		ends(22, "one_byte_a_second_for_ever", "LOOP forever\nSEND \"2\"\nDELAY 1s\nEND", mail.Timeout),
		ends(24, "closed_inside_the_greeting", "SEND \"* OK rea\"\nCUT", mail.Closed),
		ends(25, "reset_inside_the_greeting", "SEND \"* OK rea\"\nRESET", mail.Reset),
		{
			numbers: []int{28}, story: "every_reply_before_it_is_asked_for", encryptions: []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS},
			after: connected, script: map[mail.Protocol]string{
				mail.IMAP: sendAtOnce("* OK hi", "* CAPABILITY IMAP4rev1 AUTH=PLAIN", "P1 OK", "P2 OK", "* 3 EXISTS", "P3 OK", "P4 OK"),
				mail.POP3: sendAtOnce("+OK hi", "+OK", "SASL PLAIN", ".", "+ ", "+OK in", "+OK 3 360", "+OK bye"),
				mail.SMTP: sendAtOnce("220 hi", "250-mx", "250 AUTH PLAIN", "235 in", "250 ok", "250 ok", "221 bye"),
			},
			phase: mail.PhaseHello, reason: mail.ProtocolMalformed,
		},
		{
			numbers: []int{28}, story: "the_login_is_foretold_behind_the_list", after: secured, script: map[mail.Protocol]string{
				mail.IMAP: "C: {tag} CAPABILITY\n" + `SEND "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done\r\nT2 OK in\r\n"` + "\nEOF"},
			phase: mail.PhaseHello, reason: mail.ProtocolMalformed,
		},
	}
}

// sendAtOnce says lines in one piece.
func sendAtOnce(lines ...string) string {
	return "SEND " + quoteASCII(strings.Join(lines, "\r\n")+"\r\n") + "\nSTALL"
}

// sessionEnds go wrong later.
func sessionEnds() []faultCase {
	return []faultCase{
		{
			numbers: []int{21}, story: "a_peer_that_never_reads", after: greeted, window: 8,
			encryptions: []mail.Encryption{mail.NoEncryption, mail.ImplicitTLS}, script: every("DEAF"),
			phase: mail.PhaseHello, reason: mail.Timeout,
		},
		{
			numbers: []int{23}, story: "one_byte_a_second_but_it_comes_to_its_end", after: greeted - 1, encryptions: []mail.Encryption{mail.NoEncryption},
			script: map[mail.Protocol]string{
				mail.IMAP: "DRIP 1s\nSEND \"* OK hi\\r\\n\"\nSPLIT 0\n{after greeted}",
				mail.POP3: "DRIP 1s\nSEND \"+OK hi\\r\\n\"\nSPLIT 0\n{after greeted}",
				mail.SMTP: "DRIP 1s\nSEND \"220 hi\\r\\n\"\nSPLIT 0\n{after greeted}",
			},
			check: wantAtLeast(7 * time.Second),
		},
		{
			numbers: []int{24}, story: "closed_inside_the_verdict", after: asked,
			script: halfVerdicts("CUT"), phase: mail.PhaseAuth, reason: mail.Closed,
		},
		{
			numbers: []int{25}, story: "reset_inside_the_verdict", after: asked,
			script: halfVerdicts("RESET"), phase: mail.PhaseAuth, reason: mail.Reset,
		},
		{
			numbers: []int{26}, story: "the_peer_vanishes_after_the_login", after: loggedIn,
			script: every("DEAF"), phase: mail.PhaseMailbox, reason: mail.Timeout,
		},
		{
			numbers: []int{29}, story: "a_refusal_then_a_reset", after: asked, script: refusals("RESET", mail.POP3, mail.SMTP),
			phase: mail.PhaseAuth, reason: mail.AuthRejected, goodbye: mail.Reset,
		},
		{
			// The library reads on by itself: it may see the reset before the goodbye.
			numbers: []int{29}, story: "a_refusal_of_imap_then_a_reset", after: asked, script: refusals("RESET", mail.IMAP),
			phase: mail.PhaseAuth, reason: mail.AuthRejected, anyGoodbye: true,
		},
		{
			numbers: []int{29}, story: "the_last_reply_then_a_reset", after: opened, script: goodbyes("RESET"),
		},
		{
			numbers: []int{32}, story: "the_flow_is_forgotten_before_the_goodbye", after: opened,
			script: every("DEAF"), goodbye: mail.Timeout,
		},
	}
}

// refusals refuse the login, and then do something.
func refusals(then string, of ...mail.Protocol) map[mail.Protocol]string {
	all := map[mail.Protocol]string{
		mail.IMAP: "C: {tag} AUTHENTICATE PLAIN *\nS: {tag} NO [AUTHENTICATIONFAILED] no\n" + then,
		mail.POP3: "C: AUTH PLAIN\nS: + \nC: *\nS: -ERR [AUTH] no\n" + then,
		mail.SMTP: "C: AUTH PLAIN *\nS: 535 5.7.8 no\n" + then,
	}
	maps.DeleteFunc(all, func(p mail.Protocol, _ string) bool { return !slices.Contains(of, p) })
	return all
}

func wantAtLeast(d time.Duration) func(*testing.T, faultRun) {
	return func(t *testing.T, run faultRun) {
		if run.took < d {
			t.Errorf("it took %v, want %v at least", run.took, d)
		}
	}
}

// TestFaultsOnSockets plays the same cases where FIN, RST and full buffers are
// the kernel's.
func TestFaultsOnSockets(t *testing.T) {
	fix := newFaultFixture(t)
	for _, fault := range tcpFaults() {
		if fault.numbers[0] == 23 {
			continue // takes seconds
		}
		if fault.reason == mail.Timeout || fault.goodbye == mail.Timeout {
			continue // silence is the same everywhere, and here it would take its time
		}
		t.Run(faultName(&fault), func(t *testing.T) {
			t.Parallel()
			for _, pair := range fault.pairs() {
				t.Run(string(pair.protocol)+"_"+string(pair.encryption), func(t *testing.T) {
					t.Parallel()
					fix.playRealTCP(t, fault, pair)
				})
			}
		})
	}
}

// playRealTCP plays a fault once, and takes what depends on how fast a reset is.
func (fix *fixture) playRealTCP(t *testing.T, fault faultCase, pair pair) {
	run := fix.playOnLoopback(t, &fault, pair.protocol, pair.encryption, nil)
	switch o := run.outcome; {
	case fault.reason == mail.Reset && fault.phase == mail.PhaseGreeting && o.Failure != nil && o.Failure.Phase == mail.PhaseConnect:
		fault.phase = mail.PhaseConnect // it came before connect(2) was asked how it went
	case fault.numbers[0] == 29:
		fault.goodbye = o.Goodbye // it came before or after our QUIT
	}
	run.judgeSocket(t)
}

// TestFaultSplitAnywhere is fault 27: replies cut in two at every boundary, below
// TLS too, and into single bytes.
func TestFaultSplitAnywhere(t *testing.T) {
	t.Parallel()
	fix := newFaultFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		t.Parallel()
		step, every := 1, 0
		if e != mail.NoEncryption {
			step = 41 // of some 3,000 bytes of ciphertext
		}
		for at := 1; at < 20_000; at += step {
			read := fix.playSplit(t, p, e, at, every)
			if read <= at { // the cut was behind the end
				break
			}
		}
		fix.playSplit(t, p, e, 0, 1)
	})
}

// playSplit runs a probe with an honest server, reading in two parts, or in
// parts of one size, and says how much it read.
func (fix *fixture) playSplit(t *testing.T, p mail.Protocol, e mail.Encryption, at, size int) int {
	t.Helper()
	read := 0
	synctest.Test(t, func(t *testing.T) {
		fault := faultCase{numbers: []int{27}, after: opened, script: every("BYE " + string(p))}
		run, script, options := fix.prepare(&fault, p, e)
		ours, session := mailtest.PipeTo(script, options)
		split := &splitConn{PipeConn: ours, at: at, size: size}
		run.probe(t.Context(), func(context.Context, []netip.Addr, int) (net.Conn, error) { return split, nil })
		run.session = <-session
		read = split.read
		run.judge(t)
		if t.Failed() {
			t.Logf("cut at byte %d, into parts of %d", at, size)
		}
	})
	return read
}

// splitConn returns what was read in two parts, cut at one place, or in parts of
// one size, as TCP may.
type splitConn struct {
	*mailtest.PipeConn
	at, size, read int
}

func (c *splitConn) Read(p []byte) (int, error) {
	if left := c.at - c.read; left > 0 {
		p = p[:min(left, len(p))]
	}
	if c.size > 0 {
		p = p[:min(c.size, len(p))]
	}
	n, err := c.PipeConn.Read(p)
	c.read += n
	return n, err
}

// Fault 15: a closed port.
func TestFaultRefusedPort(t *testing.T) {
	fix := newFaultFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		closed, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := closed.Addr().String()
		_ = closed.Close()
		wantFailure(t, new(Prober).Probe(t.Context(), fix.connection(p, e, addr)), mail.PhaseConnect, mail.ConnectRefused)
	})
}

// Fault 26: a peer that does not answer any more gets a reset, so that the kernel
// keeps nothing for it.
func TestFaultSilentPeerLeavesNothingInTheKernel(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc/net/tcp")
	}
	fix := newFaultFixture(t)
	fault := faultCase{numbers: []int{26}, after: loggedIn, script: every("DEAF"), phase: mail.PhaseMailbox, reason: mail.Timeout,
		change: func(c *mail.Connection) { c.Timeout = 2 * time.Second }}
	run := fix.playOnLoopback(t, &fault, mail.IMAP, mail.NoEncryption, nil)
	run.judgeSocket(t)
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	// Columns: number, local address, remote address, state in hex. Sockets of other programs
	// may have the same port at another address.
	server := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32([]byte{127, 0, 0, 1}), run.connection.Port)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && fields[2] == server {
			t.Errorf("a socket to the server is left in state %s", fields[3])
		}
	}
}
