package prober

// This file holds what must be true of every fault of the catalogue, whatever a
// server does: G1 to G8.

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailprobe/mail"
)

// judge checks what must hold for every fault, and what this one wants.
func (run *faultRun) judge(t *testing.T) {
	t.Helper()
	run.judgeTime(t)
	run.judgeVerdict(t)
}

// judgeVerdict is all of judge but the times.
func (run *faultRun) judgeVerdict(t *testing.T) {
	t.Helper()
	o, fault := &run.outcome, run.fault
	if fault.reason == "" {
		if !o.Up() {
			t.Fatalf("want up, got\n%s", explain(*o))
		}
	} else {
		wantFailure(t, *o, fault.phase, fault.reason)
	}
	if o.Goodbye != fault.goodbye && !fault.anyGoodbye {
		t.Errorf("goodbye %q, want %q\n%s", o.Goodbye, fault.goodbye, explain(*o))
	}
	run.judgeLogin(t)
	run.judgeSecrecy(t)
	run.judgeConnection(t)
	if limit := 257 << 10; run.read > limit { // 256 KiB of a session
		t.Errorf("the probe read %d bytes, more than %d", run.read, limit)
	}
	if run.dials > 1 {
		t.Errorf("the probe dialled %d times", run.dials)
	}
	run.judgeCommands(t)
	if run.session.Problem != nil {
		t.Errorf("the client left the script: %v\nit said %q", run.session.Problem, run.session.Lines)
	}
	if fault.check != nil {
		fault.check(t, *run)
	}
	if t.Failed() {
		t.Log("the dialogue was\n" + explain(*o))
	}
}

// slack is what a probe may need beyond its timeout: the short goodbye of a
// session out of step, and the time in which the server is to close.
const slack = interruptedGoodbyeTime + closingTime + 100*time.Millisecond

// judgeTime wants the end in time. The clock is virtual: a loaded machine
// changes nothing.
func (run *faultRun) judgeTime(t *testing.T) {
	t.Helper()
	if d := run.outcome.Duration(); d > run.connection.Timeout+interruptedGoodbyeTime+20*time.Millisecond {
		t.Errorf("the probe says it took %v of %v", d, run.connection.Timeout)
	}
	if run.took > run.connection.Timeout+slack {
		t.Errorf("the call took %v, with a timeout of %v", run.took, run.connection.Timeout)
	}
	var sum time.Duration
	for _, phase := range run.outcome.Phases {
		sum += phase.Duration
	}
	if sum > run.outcome.Duration() {
		t.Errorf("the phases took %v, the probe %v", sum, run.outcome.Duration())
	}
}

// judgeLogin wants at most one login, none where the probe ended before, and
// facts that agree with what the server saw.
func (run *faultRun) judgeLogin(t *testing.T) {
	t.Helper()
	o, logins := &run.outcome, run.session.Logins()
	tries := o.Up() || o.Failure.Phase == mail.PhaseAuth && !run.fault.notTried ||
		o.Failure.Phase == mail.PhaseMailbox || o.Failure.Phase == mail.PhaseQuit
	tries = tries && run.connection.LogsIn()
	switch {
	case logins > 1+run.fault.refusedUnsent:
		t.Errorf("%d logins: %q", logins, run.session.Lines)
	case !tries && (logins != 0 || o.Auth.Sent):
		t.Errorf("%d logins where none may be, sent %v: %q", logins, o.Auth.Sent, run.session.Lines)
	case tries && o.Auth.Sent == run.fault.unsent:
		t.Errorf("sent is %t in the outcome, want %t", o.Auth.Sent, !run.fault.unsent)
	}
	if o.Failure != nil && o.Failure.Phase == mail.PhaseAuth && o.Auth.Accepted {
		t.Error("a login that failed is called accepted")
	}
}

// harmless are the commands that a probe may say: none changes anything.
var harmless = map[mail.Protocol]string{
	mail.IMAP: "CAPABILITY STARTTLS LOGIN AUTHENTICATE NAMESPACE ID EXAMINE LOGOUT",
	mail.POP3: "CAPA STLS USER PASS APOP AUTH STAT QUIT",
	mail.SMTP: "EHLO HELO STARTTLS AUTH MAIL RCPT RSET QUIT",
}

// judgeCommands wants no other commands, and before TLS none but those that
// lead there (rule R01). Lines of a SASL exchange are single words of base64.
func (run *faultRun) judgeCommands(t *testing.T) {
	t.Helper()
	c := run.connection
	clear, _, _ := strings.Cut(string(run.session.Wire), "\x16\x03") // where a handshake begins
	for line := range strings.Lines(clear + string(run.session.Inner)) {
		words := strings.Fields(line)
		if c.Protocol == mail.IMAP && len(words) > 1 {
			words = words[1:] // the tag
		}
		if len(words) > 1 && !isCommand(c.Protocol, words[0]) {
			t.Errorf("the probe said %.100q", line)
		}
	}
	if c.Encryption != mail.StartTLS {
		return
	}
	for line := range strings.Lines(clear) {
		if !beforeTLS.MatchString(line) {
			t.Errorf("the probe said %.100q in clear before STARTTLS", line)
		}
	}
}

// beforeTLS are the only lines that may be said in clear where TLS is asked for.
var beforeTLS = regexp.MustCompile(`^(\w+ )?(CAPABILITY|CAPA|EHLO probe.example.org|STARTTLS|STLS|LOGOUT|QUIT)\r\n$`)

// isCommand reports whether a word is a harmless command.
func isCommand(p mail.Protocol, word string) bool {
	return slices.Contains(strings.Fields(harmless[p]), strings.ToUpper(word))
}

// judgeSecrecy looks for the password in whatever leaves a probe, in any coding,
// and, where TLS was asked for, on the wire.
func (run *faultRun) judgeSecrecy(t *testing.T) {
	t.Helper()
	for sink, text := range run.sinks() {
		if coding, _ := run.leaks.Find(text); coding != "" {
			t.Errorf("the password is in the %s, %s:\n%s", sink, coding, text)
		}
	}
	if run.connection.Encryption == mail.NoEncryption {
		return
	}
	if coding, _ := run.leaks.Find(string(run.session.Wire)); coding != "" {
		t.Errorf("the password was sent in clear, %s", coding)
	}
}

// judgeConnection looks for the password in the connection's own text, once after its
// last probe: a probe that left it there would not take it away.
func (run *faultRun) judgeConnection(t *testing.T) {
	t.Helper()
	text := fmt.Sprintf("%+v\n%#v", *run.connection, *run.connection)
	if coding, _ := run.leaks.Find(text); coding != "" {
		t.Errorf("the password is in the connection, %s:\n%s", coding, text)
	}
}

// sinks are all texts that leave a probe.
func (run *faultRun) sinks() map[string]string {
	o := run.outcome
	return map[string]string{
		"outcome":  fmt.Sprintf("%+v\n%#v\n%s", o, o, toJSON([]any{o.Failure, o.TLS, o.Auth, o.Mailbox, o.Transcript})),
		"failure":  fmt.Sprintf("%+v\n%#v", o.Failure, o.Failure),
		"dialogue": explain(o),
		"log":      run.log,
	}
}
