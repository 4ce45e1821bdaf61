package prober

import (
	"context"
	"errors"
	"testing"

	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

// A message whose fate is not known may turn up: only an answer of the server says that
// it does not.
func TestOnlyAnAnswerEndsASubmission(t *testing.T) {
	for _, test := range []struct {
		name    string
		deliver func(server *mailtest.Server, cancel context.CancelFunc, over <-chan struct{}) error
		want    Submission // but the outcome and the times
		answer  bool
	}{
		{"accepted", func(*mailtest.Server, context.CancelFunc, <-chan struct{}) error { return nil },
			Submission{Accepted: true, Written: true}, true},
		{"refused", func(*mailtest.Server, context.CancelFunc, <-chan struct{}) error { return errors.New("no probes here") },
			Submission{Written: true, Refused: true}, true},
		{"the server is gone before its answer", func(server *mailtest.Server, _ context.CancelFunc, over <-chan struct{}) error {
			go func() { _ = server.Close() }()
			<-over
			return nil
		}, Submission{Written: true}, false},
		{"called off before the answer", func(_ *mailtest.Server, cancel context.CancelFunc, over <-chan struct{}) error {
			cancel()
			<-over
			return nil
		}, Submission{Written: true}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			over := make(chan struct{})
			var server *mailtest.Server
			fix := newFixture(t)
			server = fix.server(t, mailtest.SMTP, mailtest.NoEncryption, func(o *mailtest.Options) {
				o.Deliver = func(string, []string, []byte) error { return test.deliver(server, cancel, over) }
			})
			c := fix.connection(mail.SMTP, mail.NoEncryption, server.Addr)
			got := NewCourier(new(Prober)).Submit(ctx, c, Envelope{From: "alice@example.org", To: "bob@example.org"}, []byte("Subject: probe\r\n\r\nHello\r\n"))
			close(over)
			if answered := !got.Answered.IsZero(); answered != test.answer || answered != (got.Took > 0) {
				t.Errorf("answered at %v after %v\n%s", got.Answered, got.Took, explain(got.Outcome))
			}
			if got.Accepted != test.want.Accepted || got.Written != test.want.Written || got.Refused != test.want.Refused {
				t.Errorf("%+v\n%s", got, explain(got.Outcome))
			}
		})
	}
}
