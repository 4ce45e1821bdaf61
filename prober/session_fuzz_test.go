package prober

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// nextReply separates, in the fuzzed bytes, what the server says at once from
// what it says after our next write.
const nextReply = 0x01

// FuzzSession plays arbitrary server bytes to a whole session in clear text, and
// checks what must hold whatever a server says.
func FuzzSession(f *testing.F) {
	for _, seed := range sessionSeeds() {
		f.Add(byte(0), []byte(seed))
		f.Add(byte(1), []byte(seed))
		f.Add(byte(2), []byte(seed))
		f.Add(byte(3), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, kind byte, said []byte) {
		if len(said) > 64<<10 {
			t.Skip()
		}
		synctest.Test(t, func(t *testing.T) {
			c := fuzzConnection(kind)
			o := playBytes(t, c, said)
			checkOutcome(t, o)
		})
	})
}

// sessionSeeds are conversations from the RFCs' examples, and what has hurt the
// libraries: a "(" in a capability list makes go-imap spin for ever.
func sessionSeeds() []string {
	return []string{
		"* OK ready\r\n\x01* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nT1 OK done\r\n\x01+ \r\n\x01T2 OK in\r\n\x01* 3 EXISTS\r\nT3 OK\r\n\x01* BYE\r\nT4 OK\r\n",
		"* OK [CAPABILITY (\r\n\x01* CAPABILITY (\r\n",
		"* OK ready\r\n\x01* CAPABILITY IMAP4rev1\r\nT1 OK\r\n\x01T2 OK [CAPABILITY (] x\r\n\x01* NAMESPACE ((\"\" \"/\")) ((\"Other/\" \"/\")) NIL\r\nT3 OK\r\n\x01* 1 FETCH (BODY {3}\r\nabc)\r\n* 4294967296 EXISTS\r\nT4 OK\r\n",
		"* PREAUTH hello\r\n", "* BYE go\r\n",
		"+OK ready <1.2@example.org>\r\n\x01+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n\x01+ \r\n\x01+OK\r\n\x01+OK 3 120\r\n\x01+OK\r\n",
		"+OK\r\n\x01-ERR\r\n\x01+OK\r\n\x01-ERR [AUTH] no\r\n\x01+OK\r\n", "+OK\r\n\x01\r\n",
		"220-one\r\n220 two\r\n\x01250-mx\r\n250-auth plain LOGIN\r\n250 8BITMIME\r\n\x01235 2.7.0 in\r\n\x01250 2.1.0\r\n\x01250 ok\r\n\x01221 bye\r\n",
		"220 x\r\n\x01500 what\r\n\x01250 x\r\n\x01535-5.7.8 no\r\n535 no\r\n", "220 x\r\n\x01250 x\r\n\x01334 Z\r\n\x01501\r\n",
	}
}

// fuzzConnection is a connection of one of the protocols; the fourth kind opens
// a shared folder.
func fuzzConnection(kind byte) *mail.Connection {
	protocol := []mail.Protocol{mail.IMAP, mail.POP3, mail.SMTP, mail.IMAP}[kind%4]
	c := (&fixture{}).connection(protocol, mail.NoEncryption, "192.0.2.1:1")
	c.Timeout = 30 * time.Second
	if kind%4 == 3 {
		c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedFolder
	}
	return c
}

// playBytes runs the plan of c from the greeting on, against a peer that says
// the next part of said after each of our writes and then closes.
func playBytes(t *testing.T, c *mail.Connection, said []byte) mail.Outcome {
	ours, theirs := mailtest.Pipe(1 << 20)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer theirs.Close()
		heard := make([]byte, 4096)
		for i, part := range bytes.Split(said, []byte{nextReply}) {
			if i > 0 {
				if _, err := theirs.Read(heard); err != nil {
					return
				}
			}
			if _, err := theirs.Write(part); err != nil {
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
	defer cancel()
	s := &session{p: &Prober{Hostname: "probe.example.org"}, c: c, log: &transcript{protocol: c.Protocol}}
	s.begin()
	s.secret, _ = c.Password.Read(t.Context())
	s.attach(ctx, ours)
	for _, step := range s.plan() {
		if step.phase == mail.PhaseConnect {
			continue
		}
		if err := s.runStep(ctx, step); err != nil {
			s.fail(step.phase, err)
			break
		}
	}
	s.goodbye(ctx)
	s.close()
	o := s.finish()
	_ = ours.Close()
	<-ended
	return o
}

// checkOutcome holds what must be true of every outcome.
func checkOutcome(t *testing.T, o mail.Outcome) {
	t.Helper()
	if f := o.Failure; f != nil {
		if !slices.Contains(mail.Reasons(), f.Reason) || !slices.Contains(mail.Phases(), f.Phase) {
			t.Errorf("%s at %s is not of the closed sets", f.Reason, f.Phase)
		}
		if f.Reason == mail.LocalBug || !utf8.ValidString(f.Text) || len(f.Text) > maxFailureText {
			t.Errorf("%s: %q", f.Reason, f.Text)
		}
	}
	if limit := o.Connection.Timeout + goodbyeTime; o.Duration() > limit {
		t.Errorf("took %v, more than %v", o.Duration(), limit)
	}
	if len(o.Transcript) > maxTranscriptLines+1 {
		t.Errorf("%d lines are kept", len(o.Transcript))
	}
	for _, line := range o.Transcript {
		if !utf8.ValidString(line.Text) || len(line.Text) > maxTranscriptText || strings.Contains(line.Text, "wonder land") {
			t.Errorf("kept %q", line.Text)
		}
	}
}
