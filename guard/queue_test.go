package guard

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// entry is a probe that was let in, or held.
type entry struct {
	permit *Permit
	at     time.Duration // after enter
}

// enter begins a probe of a connection, in a bubble of synctest. The probe waits for its
// turn and logs in if it may.
func enter(g *Guard, c *mail.Connection) <-chan entry {
	begin, entered := time.Now(), make(chan entry, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
		defer cancel()
		p := g.Enter(context.Background(), c, mail.NewSecret("p"))
		if p.Allowed {
			p.Login(ctx)
		}
		entered <- entry{p, time.Since(begin)}
	}()
	synctest.Wait()
	return entered
}

// queueStory is a story with several probes at once, in virtual time.
type queueStory struct {
	name string
	run  func(t *testing.T, g *Guard)
}

func tellQueueStories(t *testing.T, stories []queueStory) {
	t.Helper()
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, err := New(Options{})
				if err != nil {
					t.Fatal(err)
				}
				story.run(t, g)
			})
		})
	}
}

// Logins of one account, and of accounts that the server has not accepted yet, take turns.
func TestNewcomersLogInOneAtATime(t *testing.T) {
	imap, pop := user("imap", "mail.example", "ann@example.org"), user("pop", "pop.example", "ann@example.org")
	bob := user("bob", "mail.example", "bob@example.org")
	tellQueueStories(t, []queueStory{
		{"two connections with one wrong password make one attempt", func(t *testing.T, g *Guard) {
			first, second := enter(g, imap), enter(g, pop)
			one := <-first
			time.Sleep(2 * time.Second)
			one.permit.Done(wrong)
			if two := <-second; two.permit.Allowed || two.permit.Hold.Reason != mail.AuthHeld {
				t.Errorf("the second: allowed %v with %+v, want the hold of the first", two.permit.Allowed, two.permit.Hold)
			}
		}},
		{"newcomers to one server go one at a time", func(t *testing.T, g *Guard) {
			first, second := enter(g, imap), enter(g, bob)
			time.Sleep(time.Second)
			(<-first).permit.Done(right)
			if two := <-second; !two.permit.Allowed || two.at != time.Second {
				t.Errorf("the second: allowed %v after %v, want it after 1s", two.permit.Allowed, two.at)
			}
		}},
		{"newcomers to a server that accepted three go at once", func(t *testing.T, g *Guard) {
			for i := range 3 {
				(<-enter(g, user("u", "mail.example", fmt.Sprint("u", i)))).permit.Done(right)
			}
			first, second, third := <-enter(g, imap), <-enter(g, bob), enter(g, pop)
			if !first.permit.Allowed || !second.permit.Allowed || second.at != 0 {
				t.Errorf("the second: allowed %v after %v, want both newcomers at once", second.permit.Allowed, second.at)
			}
			time.Sleep(time.Second)
			first.permit.Done(right)
			if e := <-third; e.at != time.Second {
				t.Errorf("the third: after %v, want it after the first: it is the same account", e.at)
			}
		}},
		{"a probe that still dials keeps no other one waiting", func(t *testing.T, g *Guard) {
			first := g.Enter(context.Background(), imap, mail.NewSecret("p"))
			time.Sleep(time.Second) // it dials and dials
			if two := <-enter(g, pop); !two.permit.Allowed || two.at != 0 {
				t.Errorf("the second: allowed %v after %v, want it at once", two.permit.Allowed, two.at)
			}
			first.Done(dead)
		}},
		{"a probe that waits too long for another login goes on without its own", func(t *testing.T, g *Guard) {
			<-enter(g, imap)
			two := <-enter(g, pop)
			if two.permit.Allowed || !two.permit.Connect || two.permit.Hold.Reason != mail.AuthHeld || two.at != maxQueueWait {
				t.Errorf("the second: %+v after %v, want it held for now after %v, but connecting", two.permit, two.at, maxQueueWait)
			}
		}},
		{"the wait is a third of a short timeout", func(t *testing.T, g *Guard) {
			<-enter(g, imap)
			short := *pop
			short.Timeout = 3 * time.Second
			if two := <-enter(g, &short); two.permit.Allowed || two.at != time.Second {
				t.Errorf("the second: allowed %v after %v, want it to go on after 1s", two.permit.Allowed, two.at)
			}
		}},
	})
}

// Logins that the server has accepted before need not wait for each other.
func TestKnownLoginsShareTheServer(t *testing.T) {
	imap := user("imap", "mail.example", "ann@example.org")
	bob := user("bob", "mail.example", "bob@example.org")
	tellQueueStories(t, []queueStory{
		{"logins known to work do not wait", func(t *testing.T, g *Guard) {
			for _, c := range []*mail.Connection{imap, bob} {
				(<-enter(g, c)).permit.Done(right)
			}
			first, second := <-enter(g, imap), <-enter(g, bob)
			if !first.permit.Allowed || !second.permit.Allowed || second.at != 0 {
				t.Errorf("second allowed %v after %v, want both at once", second.permit.Allowed, second.at)
			}
		}},
		{"known logins go four at a time, and more only if the server is slow", func(t *testing.T, g *Guard) {
			var conns []*mail.Connection
			for i := range 6 {
				conns = append(conns, user(fmt.Sprint("u", i), "mail.example", fmt.Sprint("u", i)))
				(<-enter(g, conns[i])).permit.Done(right)
			}
			var first *Permit
			for _, c := range conns[:4] {
				e := <-enter(g, c)
				if first = e.permit; e.at != 0 || !first.Allowed {
					t.Fatalf("%s: waited %v, want 4 at once", c.Name, e.at)
				}
			}
			fifth := enter(g, conns[4])
			time.Sleep(time.Second)
			first.Done(right)
			if e := <-fifth; e.at != time.Second || !e.permit.Allowed {
				t.Errorf("the fifth: after %v, want it when there is room", e.at)
			}
			if e := <-enter(g, conns[5]); e.at != maxQueueWait || !e.permit.Allowed {
				t.Errorf("the sixth: allowed %v after %v, want it after %v", e.permit.Allowed, e.at, maxQueueWait)
			}
		}},
		{"after a refusal known logins go one at a time, for three logins", func(t *testing.T, g *Guard) {
			conns := []*mail.Connection{imap, bob}
			for i := range 4 {
				conns = append(conns, user(fmt.Sprint("u", i), "mail.example", fmt.Sprint("u", i)))
			}
			for _, c := range conns {
				(<-enter(g, c)).permit.Done(right)
			}
			(<-enter(g, imap)).permit.Done(wrong)
			time.Sleep(time.Millisecond)
			for i := range 3 {
				first, second := <-enter(g, conns[1+i]), enter(g, conns[2+i])
				time.Sleep(time.Second)
				first.permit.Done(right)
				if two := <-second; two.at != time.Second {
					t.Fatalf("after %d logins the next one waited %v, want 1s", i, two.at)
				} else {
					two.permit.Done(dead)
				}
			}
			first, second := <-enter(g, conns[1]), <-enter(g, conns[2])
			if second.at != 0 || !first.permit.Allowed {
				t.Errorf("after three good logins the next one waited %v, want 0", second.at)
			}
		}},
	})
}
