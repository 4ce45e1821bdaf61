package guard

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// The passwords of 8 accounts turn wrong at the server. fail2ban's strictest filter counts
// a refusal by Postfix twice, and in Dovecot's log also a session without a login.
func TestGuardCountsLinesOfBanLists(t *testing.T) {
	for _, test := range []struct {
		protocol mail.Protocol
		refusals int // within the window
	}{{mail.IMAP, 3}, {mail.POP3, 3}, {mail.SMTP, 2}} {
		t.Run(string(test.protocol), func(t *testing.T) {
			h := newFixture(t, "")
			var conns []*mail.Connection
			for i := range 8 {
				c := user(fmt.Sprint("user-", i), "mail.example", fmt.Sprint("user-", i))
				c.Protocol = test.protocol
				h.probe(c, "p", right)
				conns = append(conns, c)
			}
			refusals, connects := 0, 0 // connects: without a login
			for range 9 {
				h.sleep(time.Minute)
				for _, c := range conns {
					switch p := h.probe(c, "p", wrong); {
					case p.Allowed:
						refusals++
					case p.Connect:
						connects++
					}
				}
			}
			if refusals != test.refusals || connects != 0 {
				t.Errorf("%d refusals and %d sessions without a login in 9 minutes, want %d and none", refusals, connects, test.refusals)
			}
			h.sleep(9 * time.Minute)
			for _, c := range conns {
				if h.probe(c, "p", dead).Connect {
					connects++
				}
			}
			if connects == 0 {
				t.Error("no session without a login when the refusals are 10 minutes old")
			}
		})
	}
}

// Only two SMTP logins may overlap, because both could be refused.
func TestGuardLetsTwoSMTPLoginsOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t, "")
		var conns []*mail.Connection
		for i := range 3 {
			c := user(fmt.Sprint("user-", i), "mail.example", fmt.Sprint("user-", i))
			c.Protocol = mail.SMTP
			h.probe(c, "p", right)
			conns = append(conns, c)
		}
		first, second := h.Enter(context.Background(), conns[0], mail.NewSecret("p")), h.Enter(context.Background(), conns[1], mail.NewSecret("p"))
		first.Login(t.Context())
		second.Login(t.Context())
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			first.Done(right)
		}()
		third := h.Enter(context.Background(), conns[2], mail.NewSecret("p"))
		third.Login(t.Context())
		if waited := time.Since(start); waited != time.Second || !third.Allowed || !second.Allowed {
			t.Errorf("the third waited %v, want 1s, for the first", waited)
		}
		second.Done(right)
		third.Done(right)
	})
}
