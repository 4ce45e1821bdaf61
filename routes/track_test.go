package routes

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
	"mailprobe/prober"
)

func deletes(r *mail.Route) { r.Delete = true }

// notices makes a route ask for delivery status.
func notices(r *mail.Route) {
	r.Bounces = &mail.Connection{Name: "bounces", Protocol: mail.IMAP, Mailbox: "Bounces"}
}

// notify writes the notification that a server would send about a message.
func notify(action, status string, after time.Duration) func(*world, string, string) {
	return func(w *world, header, _ string) {
		w.file("Bounces", "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n",
			"--b\r\n\r\nsorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"+
				"Final-Recipient: rfc822; x@example.org\r\nAction: "+action+"\r\nStatus: "+status+"\r\n\r\n--b\r\n"+
				"Content-Type: text/rfc822-headers\r\n\r\n"+header+"\r\n--b--\r\n", after)
	}
}

func both(fs ...func(*world, string, string)) func(*world, string, string) {
	return func(w *world, header, body string) {
		for _, f := range fs {
			f(w, header, body)
		}
	}
}

// foreign files mail of other people.
func foreign(folder string, n int) func(*world, string, string) {
	return func(w *world, _, _ string) {
		for range n {
			w.file(folder, "Subject: foreign\r\n", "", time.Second/2)
		}
	}
}

// changed delivers a message after a relay has rewritten it.
func changed(change func(header, body string) (string, string)) func(*world, string, string) {
	return func(w *world, header, body string) {
		header, body = change(header, body)
		w.file("INBOX", header, body, time.Second)
	}
}

func TestTrackNamesLegAndReason(t *testing.T) {
	refuse := func(phase mail.Phase, reason mail.Reason) func(*world) {
		return func(w *world) {
			w.submit = func(s *prober.Submission) {
				s.Accepted, s.Refused = false, phase == mail.PhaseMailbox && reason == mail.MailboxDenied
				s.Outcome.Failure = &mail.Failure{Phase: phase, Reason: reason, Text: "DATA: rejected by server: 554"}
			}
		}
	}
	tests := []struct {
		name   string
		route  []func(*mail.Route)
		world  func(*world)
		leg    mail.Leg
		reason mail.Reason // empty: up
		left   int         // messages in the mailbox afterwards
	}{
		{"delivered at once", []func(*mail.Route){deletes}, func(w *world) { w.deliver = into("INBOX", 40*time.Millisecond) }, "", "", 0},
		{"delivered, and nothing may be deleted", nil, func(w *world) { w.deliver = into("INBOX", time.Second) }, "", "", 1},
		{"delivered after 45 s", []func(*mail.Route){deletes}, func(w *world) { w.deliver = into("INBOX", 45*time.Second) }, "", "", 0},
		{"delivered after the session at the server", []func(*mail.Route){deletes, func(r *mail.Route) { r.Slow = 8 * time.Minute }},
			func(w *world) { w.deliver = into("INBOX", 4*time.Minute) }, "", "", 0},
		{"greylisted", []func(*mail.Route){deletes}, func(w *world) { w.deliver = into("INBOX", 5*time.Minute) }, mail.LegTransfer, mail.Late, 0},
		{"filed as spam", []func(*mail.Route){deletes}, func(w *world) { w.deliver = into("Junk", time.Second) }, mail.LegTransfer, mail.FiledAsSpam, 0},
		{"filed elsewhere", []func(*mail.Route){deletes, func(r *mail.Route) { r.Folders = []string{"INBOX", "Archive"} }},
			func(w *world) { w.deliver = into("Archive", time.Second) }, mail.LegTransfer, mail.FiledElsewhere, 0},
		{"twice", []func(*mail.Route){deletes}, func(w *world) {
			w.deliver = both(into("INBOX", time.Second), into("INBOX", time.Second+300*time.Millisecond))
		}, mail.LegTransfer, mail.Duplicated, 0},
		{"with a footer", []func(*mail.Route){deletes}, func(w *world) {
			w.deliver = changed(func(h, b string) (string, string) { return h, b + "-- \r\nScanned\r\n" })
		}, mail.LegTransfer, mail.Altered, 0},
		{"without DKIM", []func(*mail.Route){deletes, func(r *mail.Route) {
			r.AuthservID, r.Require = "mx.example.org", map[mail.SenderCheck]mail.CheckResult{mail.CheckDKIM: mail.ResultPass}
		}}, func(w *world) {
			w.deliver = changed(func(h, b string) (string, string) {
				return "Authentication-Results: mx.example.org; dkim=fail\r\n" + h, b
			})
		}, mail.LegTransfer, mail.AuthenticationFailed, 0},
		{"DKIM asserted by a stranger", []func(*mail.Route){deletes, func(r *mail.Route) {
			r.AuthservID, r.Require = "mx.example.org", map[mail.SenderCheck]mail.CheckResult{mail.CheckDKIM: mail.ResultPass}
		}}, func(w *world) {
			w.deliver = changed(func(h, b string) (string, string) {
				return "Authentication-Results: mx.example.com; dkim=pass\r\n" + h, b
			})
		}, mail.LegTransfer, mail.AuthenticationFailed, 0},
		{"never delivered", []func(*mail.Route){deletes}, func(*world) {}, mail.LegTransfer, mail.NotDelivered, 0},
		{"stuck in the queue", []func(*mail.Route){deletes, notices}, func(*world) {}, mail.LegTransfer, mail.Queued, 0},
		{"discarded by a filter", []func(*mail.Route){deletes, notices}, func(w *world) {
			w.deliver = notify("relayed", "2.0.0", time.Second)
		}, mail.LegTransfer, mail.LostAfterAcceptance, 0},
		{"bounced", []func(*mail.Route){deletes, notices}, func(w *world) {
			w.deliver = notify("failed", "5.1.1", time.Second)
		}, mail.LegTransfer, mail.Bounced, 0},
		{"bounced, into a mailbox with much other mail", []func(*mail.Route){notices}, func(w *world) {
			w.deliver = both(foreign("Bounces", 2*maxNotices), notify("failed", "5.1.1", time.Second))
		}, mail.LegTransfer, mail.Bounced, 2*maxNotices + 1},
		{"delayed, then delivered", []func(*mail.Route){deletes, notices}, func(w *world) {
			w.deliver = both(notify("delayed", "4.4.1", time.Minute), into("INBOX", 4*time.Minute))
		}, mail.LegTransfer, mail.Late, 0},
		{"relayed and delivered", []func(*mail.Route){deletes, notices}, func(w *world) {
			w.deliver = both(notify("relayed", "2.0.0", time.Second), into("INBOX", time.Second))
		}, "", "", 1}, // the notification came after the message was found; the next message deletes it
		{"with another message ID", []func(*mail.Route){deletes}, func(w *world) {
			w.deliver = changed(func(h, b string) (string, string) { return strings.Replace(h, "Message-ID: <", "Message-ID: <x", 1), b })
		}, "", "", 0},
		{"without its mark", []func(*mail.Route){deletes}, func(w *world) {
			w.deliver = changed(func(h, b string) (string, string) { return strings.Replace(h, "X-Mailprobe", "X-Other", 1), b })
		}, mail.LegTransfer, mail.Altered, 1},
		{"without its mark and with another message ID", []func(*mail.Route){deletes}, func(w *world) {
			w.deliver = changed(func(h, b string) (string, string) {
				return strings.NewReplacer("X-Mailprobe", "X-Other", "Message-ID: <", "Message-ID: <x").Replace(h), b
			})
		}, mail.LegTransfer, mail.NotDelivered, 1},
		{"refused after DATA", []func(*mail.Route){deletes}, refuse(mail.PhaseMailbox, mail.MailboxDenied), mail.LegSubmit, mail.RefusedContent, 0},
		{"the login to send is refused", []func(*mail.Route){deletes}, refuse(mail.PhaseAuth, mail.AuthRejected), mail.LegSubmit, mail.AuthRejected, 0},
		{"cannot be deleted", []func(*mail.Route){deletes}, func(w *world) {
			w.noUIDPlus, w.deliver = true, into("INBOX", time.Second)
		}, mail.LegTransfer, mail.CleanupFailed, 1},
		{"the receiving mailbox fails from the start", []func(*mail.Route){deletes}, func(w *world) {
			w.open = func(*mail.Connection) *mail.Failure {
				return &mail.Failure{Phase: mail.PhaseConnect, Reason: mail.ConnectRefused, Text: "refused"}
			}
		}, mail.LegTransfer, mail.ConnectRefused, 0},
		{"the receiving mailbox fails later", []func(*mail.Route){deletes}, func(w *world) {
			w.open = func(*mail.Connection) *mail.Failure {
				if w.sessions["in"] > 1 {
					return &mail.Failure{Phase: mail.PhaseAuth, Reason: mail.AuthTemporary, Text: "later"}
				}
				return nil
			}
		}, mail.LegTransfer, mail.AuthTemporary, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.folders["Bounces"] = nil
				test.world(w)
				o, known := send(t, w, testRoute(test.route...))
				if !known {
					t.Fatal("no outcome")
				}
				var leg mail.Leg
				var reason mail.Reason
				if o.Failure != nil {
					leg, reason = o.Failure.Leg, o.Failure.Reason
					if o.Failure.Text == "" || o.Failure.Advice() == "" {
						t.Errorf("%+v says too little", o.Failure)
					}
				}
				if leg != test.leg || reason != test.reason {
					t.Errorf("%q, %q (%+v); want %q, %q", leg, reason, o.Failure, test.leg, test.reason)
				}
				if id := o.MessageID; (id != "" || o.Submit > 0) && (len(id) < 20 || !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, "@example.org>")) {
					t.Errorf("Message-ID %q", id)
				}
				if w.left() != test.left {
					t.Errorf("%d messages left, want %d", w.left(), test.left)
				}
				if n := w.sessions["in"]; n > maxSessions {
					t.Errorf("%d logins, want at most %d", n, maxSessions)
				}
			})
		})
	}
}

// The mail of a shared mailbox arrives in its own folder, and its junk beside that or below
// it; a user who sees it has a junk folder, too.
func TestFoldersAreThoseOfTheMailbox(t *testing.T) {
	for _, test := range []struct {
		name         string
		home, shared string
		junk         []string
		deliver      string
		want         mail.Reason
	}{
		{"one's own", "INBOX", "", []string{"Junk", "Shared/helpdesk/Junk"}, "Junk", mail.FiledAsSpam},
		{"one's own, another folder than INBOX", "Probes", "", []string{"Junk"}, "Junk", mail.FiledAsSpam},
		{"another's", "INBOX", "", []string{"Junk", "Shared/helpdesk/Junk"}, "Shared/helpdesk/Junk", mail.NotDelivered},
		{"shared, arrived", "INBOX", "Shared/helpdesk", []string{"Junk"}, "Shared/helpdesk", ""},
		{"shared, and in the user's own inbox", "INBOX", "Shared/helpdesk", []string{"Junk"}, "INBOX", mail.NotDelivered},
		{"shared, filed as spam below", "INBOX", "Shared/helpdesk", []string{"Junk", "Shared/helpdesk/Junk"}, "Shared/helpdesk/Junk", mail.FiledAsSpam},
		{"shared, filed as spam beside", "INBOX", "Shared/helpdesk/INBOX", []string{"Junk", "Shared/helpdesk/Junk"}, "Shared/helpdesk/Junk", mail.FiledAsSpam},
		{"shared, and the user's own junk", "INBOX", "Shared/helpdesk", []string{"Junk"}, "Junk", mail.NotDelivered},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.junk = test.junk
				for _, name := range append(test.junk, test.home, test.shared) {
					w.folders[name] = nil
				}
				w.deliver = into(test.deliver, time.Second)
				o, _ := send(t, w, testRoute(func(r *mail.Route) {
					receive := *r.Receive
					receive.Mailbox, receive.SharedMailbox = test.home, test.shared
					r.Receive = &receive
				}))
				var reason mail.Reason
				if o.Failure != nil {
					reason = o.Failure.Reason
				}
				if reason != test.want {
					t.Errorf("%q: %+v; want %q", reason, o.Failure, test.want)
				}
			})
		})
	}
}

// Notifications about messages that arrived come later than these, and never pile up.
func TestTheNextMessageDeletesNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal, err := OpenJournal("")
		if err != nil {
			t.Fatal(err)
		}
		w, r := newWorld(), testRoute(deletes, notices)
		w.folders["Bounces"] = nil
		w.file("Bounces", "Subject: foreign\r\n", "", 0)
		w.deliver = both(into("INBOX", time.Second), notify("relayed", "2.0.0", 2*time.Minute))
		for n := range 5 {
			o, known := (&Tracker{Transport: w, Journal: journal}).Send(t.Context(), r)
			if !known || !o.Up() {
				t.Fatalf("message %d: %+v", n, o.Failure)
			}
			time.Sleep(r.Interval)
			if w.left() != 2 {
				t.Errorf("%d messages left after message %d; want the foreign one and the last notification", w.left(), n)
			}
		}
		if c := journal.Counts(r.Name); c.InFlight != 0 || c.Left != 0 || len(journal.known(r.Name)) > 1 {
			t.Errorf("%+v, %d remembered; want at most the last", c, len(journal.known(r.Name)))
		}
	})
}

// A server that breaks off after the end of the message may deliver it all the same.
func TestTheNextMessageDeletesWhatWasNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal, err := OpenJournal("")
		if err != nil {
			t.Fatal(err)
		}
		w, r := newWorld(), testRoute(deletes)
		w.deliver = into("INBOX", time.Second)
		w.submit = func(s *prober.Submission) {
			s.Accepted, s.Took, s.Answered = false, 0, time.Time{}
			s.Outcome.Failure = &mail.Failure{Phase: mail.PhaseMailbox, Reason: mail.ServerRefused, Text: "DATA: broken off"}
		}
		o, known := (&Tracker{Transport: w, Journal: journal}).Send(t.Context(), r)
		if !known || o.Failure == nil || o.Failure.Leg != mail.LegSubmit || o.Submit != 0 {
			t.Errorf("%t, %v: %+v", known, o.Submit, o.Failure)
		}
		time.Sleep(r.Interval)
		if w.left() != 1 {
			t.Fatalf("%d messages turned up, want 1", w.left())
		}
		w.submit = nil
		if o, _ := (&Tracker{Transport: w, Journal: journal}).Send(t.Context(), r); !o.Up() || w.left() != 0 {
			t.Errorf("%+v, %d messages left", o.Failure, w.left())
		}
	})
}

// The journal's file is lost, not what this process knows: with another key no message on its
// way would be known, and each would count as altered and stay.
func TestALostJournalIsWrittenAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes")
	for name, lose := range map[string]func() error{
		"removed": func() error { return os.Remove(path) },
		"emptied": func() error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			journal, err := OpenJournal(path)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(), testRoute(deletes)
				w.deliver = both(func(*world, string, string) {
					if err := lose(); err != nil {
						t.Error(err)
					}
					if _, err := journal.reserve("another route", time.Minute, time.Now()); err != nil {
						t.Error(err)
					}
				}, into("INBOX", time.Second))
				o, _ := (&Tracker{Transport: w, Journal: journal}).Send(t.Context(), r)
				if !o.Up() || o.Deleted != 1 || w.left() != 0 {
					t.Errorf("%+v, %d deleted, %d left", o.Failure, o.Deleted, w.left())
				}
			})
			again, err := OpenJournal(path)
			if err != nil || !bytes.Equal(again.key(), journal.key()) {
				t.Errorf("another key after a restart, or %v", err)
			}
		})
	}
}

// send sends one message through a world and waits for its end.
func send(t *testing.T, w *world, r *mail.Route) (mail.RouteOutcome, bool) {
	t.Helper()
	journal, err := OpenJournal("")
	if err != nil {
		t.Fatal(err)
	}
	return (&Tracker{Transport: w, Journal: journal}).Send(t.Context(), r)
}

func TestTransferEndsWithTheFirstLookThatSeesTheMessage(t *testing.T) {
	for _, delay := range []time.Duration{20 * time.Millisecond, 130 * time.Millisecond, 3 * time.Second, 20 * time.Second, 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.deliver = into("INBOX", delay)
			o, _ := send(t, w, testRoute(deletes))
			if o.Transfer < delay || o.Transfer-o.Uncertainty > delay {
				t.Errorf("delivered after %v: transfer %v with uncertainty %v", delay, o.Transfer, o.Uncertainty)
			}
			if delay < 150*time.Millisecond && o.Transfer-delay > 210*time.Millisecond {
				t.Errorf("delivered after %v: seen after %v", delay, o.Transfer)
			}
			if o.Total != o.Submit+o.Transfer || o.Submit != 10*time.Millisecond {
				t.Errorf("legs %v, %v, %v", o.Submit, o.Transfer, o.Total)
			}
		})
	}
}

// TestOnlyOurOwnMessagesAreDeleted plays random mailboxes: with messages of other
// people, marked \Deleted or not, with forged marks, with marks of another route
// or another installation, and with changes of UIDVALIDITY.
func TestOnlyOurOwnMessagesAreDeleted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	foreign := func(r *mail.Route) string {
		m := newMessage(r, rng.Uint64N(5), time.Now())
		switch rng.IntN(6) {
		case 0:
			return "X-Mailprobe: " + m.mark([]byte("another installation")) + "\r\n"
		case 1:
			return "X-Mailprobe: v1; " + r.Name + "; 1; 2026-11-28T00:00:00Z; " + strings.Repeat("0", 64) + "\r\n"
		case 2:
			return "X-Mailprobe: nonsense\r\n"
		case 3:
			return "X-Mailprobe: " + strings.Repeat("; ", 300) + "\r\n"
		}
		return "Subject: hello\r\n"
	}
	for i := range 10_000 {
		synctest.Test(t, func(t *testing.T) {
			w, r := newWorld(), testRoute(deletes)
			r.Deadline = 40 * time.Second
			others := 0
			add := func() {
				folder := []string{"INBOX", "Junk", "Archive"}[rng.IntN(3)]
				w.file(folder, foreign(r), "", time.Duration(rng.IntN(20_000))*time.Millisecond)
				others++
			}
			for range rng.IntN(8) {
				add()
			}
			w.deliver = func(w *world, header, body string) {
				for range rng.IntN(3) {
					w.file([]string{"INBOX", "Junk"}[rng.IntN(2)], header, body, time.Duration(rng.IntN(2_000))*time.Millisecond)
				}
			}
			if rng.IntN(4) == 0 {
				time.AfterFunc(time.Second, func() { w.mu.Lock(); w.validity++; w.mu.Unlock() })
			}
			_, _ = send(t, w, r)
			time.Sleep(time.Minute)
			for _, m := range w.deleted {
				if !strings.Contains(m.header, "Received: from a by b") {
					t.Fatalf("mailbox %d: a foreign message was deleted: %+v", i, m)
				}
			}
			if got := w.left(); got < others {
				t.Fatalf("mailbox %d: %d messages left of %d foreign ones", i, got, others)
			}
		})
	}
}

// TestKilledAtAnyStepNothingStaysBehind ends the process at each of its steps,
// begins another with the same journal, and wants the mailbox empty afterwards.
func TestKilledAtAnyStepNothingStaysBehind(t *testing.T) {
	for step := range 40 {
		t.Run(fmt.Sprintf("step %d", step), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "routes")
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(), testRoute(deletes)
				w.deliver = into("INBOX", 5*time.Second)
				journal, err := OpenJournal(path)
				if err != nil {
					t.Fatal(err)
				}
				killed := &killer{world: w, at: step}
				go func() {
					defer func() { _ = recover() }() // stands for kill -9
					(&Tracker{Transport: killed, Journal: journal}).Send(t.Context(), r)
				}()
				time.Sleep(time.Hour)
				again, err := OpenJournal(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := again.abandonAll(r.Name, time.Now()); err != nil {
					t.Fatal(err)
				}
				o, _ := (&Tracker{Transport: w, Journal: again}).Send(t.Context(), r)
				if o.Failure != nil || w.left() != 0 {
					t.Errorf("%+v, %d messages left", o.Failure, w.left())
				}
				if c := again.Counts(r.Name); c.InFlight != 0 || c.Left != 0 {
					t.Errorf("the journal still has %+v", c)
				}
			})
		})
	}
}
