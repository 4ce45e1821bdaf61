package guard

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailprobe/mail"
)

// The connections that share an account share its attempts.
func TestConnectionsOfOneAccountCountTogether(t *testing.T) {
	ann := user("ann", "mail.example", "ann@example.org")
	tellStories(t, []story{
		{"another login name is another account", func(_ *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.wantAllowed(user("bob", "mail.example", "bob@example.org"), "bad")
		}},
		{"protocols and hosts of one realm count together", func(t *testing.T, h *fixture) {
			other := altered(ann, func(c *mail.Connection) {
				c.Protocol, c.Host, c.Username = mail.SMTP, "smtp.example", "ANN@Example.org"
			})
			h.SetConnections([]*mail.Connection{ann, other})
			h.probe(ann, "bad", wrong)
			h.wantHeld(other, "bad", mail.AuthHeld, 35*time.Minute)
			p := h.Enter(context.Background(), other, mail.NewSecret("bad"))
			p.Done(dead)
			if p.Hold.By != "ann" || !p.Hold.At.Equal(h.at) || !strings.Contains(p.Hold.Because, "connection ann") || !strings.Contains(p.Hold.Because, "12:00:00") {
				t.Errorf("held by %q since %v because %q, want the refused connection and the time", p.Hold.By, p.Hold.At, p.Hold.Because)
			}
		}},
		{"a login name without a domain is one account on all hosts", func(_ *testing.T, h *fixture) {
			h.probe(user("a", "one.example", "ann"), "bad", wrong)
			h.wantHeld(user("b", "two.example", "Ann"), "bad", mail.AuthHeld, 35*time.Minute)
			h.wantAllowed(user("b", "two.example", "ann"), "good")
		}},
		{"a login name without a domain that a host accepts is still one account on all hosts", func(t *testing.T, h *fixture) {
			one, two, three := user("a", "one.example", "ann"), user("b", "two.example", "ann"), user("c", "three.example", "ann")
			h.probe(one, "p", right)
			h.sleep(time.Second)
			h.probe(two, "p", wrong)
			h.wantHeld(two, "p", mail.AuthRejected, 35*time.Minute)
			h.sleep(time.Second)
			h.SetConnections([]*mail.Connection{one, two, three})
			h.probe(one, "p", right) // which ends nothing for the others: the directory may have counted
			h.sleep(time.Second)
			p := h.probe(three, "p", wrong)
			const want = "the account's budget of refused logins is used up (1 login within half an hour); connection b was refused at 12:00:01 UTC"
			if p.Allowed || p.Hold.Because != want || p.Hold.By != "b" {
				t.Errorf("allowed %v, because %q, by %q; want %q", p.Allowed, p.Hold.Because, p.Hold.By, want)
			}
			h.wantHeld(three, "p", mail.AuthHeld, 31*time.Minute-2*time.Second) // the other attempt is for the one that works
			h.sleep(31 * time.Minute)
			h.wantAllowed(three, "p")
		}},
		{"a realm separates names by hand", func(_ *testing.T, h *fixture) {
			other := user("b", "two.example", "ann")
			other.Realm = "two"
			h.probe(user("a", "one.example", "ann"), "bad", wrong)
			h.wantAllowed(other, "bad")
		}},
		{"eight mechanisms get no more attempts than one", func(t *testing.T, h *fixture) {
			ways := []mail.AuthMethod{mail.AuthAuto, mail.AuthLogin, mail.AuthPlain, mail.AuthCRAMMD5, mail.AuthSCRAMSHA1, mail.AuthSCRAMSHA256, mail.AuthSASLLogin, mail.AuthAPOP}
			tries := 0
			for i, way := range ways {
				c := altered(ann, func(c *mail.Connection) { c.Auth = way })
				if h.probe(c, fmt.Sprint("bad", i), wrong).Allowed {
					tries++
				}
				h.sleep(time.Minute)
			}
			if tries != 2 {
				t.Errorf("%d attempts with 8 mechanisms and passwords in 8 minutes, want 2", tries)
			}
		}},
		{"a wrong shared mailbox is another account", func(_ *testing.T, h *fixture) {
			alias := altered(ann, func(c *mail.Connection) {
				c.SharedMailbox, c.SharedMailboxAccess, c.LoginNameFormat = "helpdesk", mail.SharedLoginName, "{username}\\{shared_mailbox}"
			})
			h.probe(alias, "p", wrong)
			h.wantHeld(alias, "p", mail.AuthRejected, 35*time.Minute)
			h.wantAllowed(ann, "p")
		}},
	})
}

// Which other logins a refusal withholds, and which not.
func TestRefusalHoldsWhatItConcerns(t *testing.T) {
	ann := user("ann", "mail.example", "ann@example.org")
	tellStories(t, []story{
		{"wrong secrets beside one that works leave it its attempt", func(t *testing.T, h *fixture) {
			h.probe(ann, "good", right)
			tries := 0
			for i := range 4 {
				h.sleep(time.Second)
				c := altered(ann, func(c *mail.Connection) { c.Name = fmt.Sprint("bad", i) })
				if h.probe(c, fmt.Sprint("bad", i), wrong).Allowed {
					tries++
				}
			}
			h.wantAllowed(ann, "good")
			if tries != 1 {
				t.Errorf("%d attempts with wrong secrets, want 1", tries)
			}
			h.sleep(time.Second)
			if p := h.probe(ann, "good", wrong); !p.Allowed { // it turns wrong at last
				t.Errorf("held for %+v", p.Hold)
			}
			h.wantHeld(ann, "good", mail.AuthRejected, 31*time.Minute-4*time.Second) // when the budget has room again
		}},
		{"two protocols that refuse a secret wait for the budget, not the one that accepts it", func(_ *testing.T, h *fixture) {
			other := func(name string, protocol mail.Protocol) *mail.Connection {
				return altered(ann, func(c *mail.Connection) { c.Name, c.Protocol = name, protocol })
			}
			pop, smtp := other("pop", mail.POP3), other("smtp", mail.SMTP)
			h.probe(ann, "p", right)
			h.sleep(time.Second)
			h.probe(pop, "p", wrong)
			h.sleep(time.Second)
			for range 3 {
				h.wantHeld(smtp, "p", mail.AuthHeld, h.nextOf(smtp, "p"))
				h.wantAllowed(ann, "p")
				h.probe(ann, "p", right)
				h.sleep(time.Minute)
			}
			h.wantHeld(pop, "p", mail.AuthRejected, h.nextOf(pop, "p"))
			h.sleep(28 * time.Minute)
			h.probe(smtp, "p", wrong)
			h.wantHeld(smtp, "p", mail.AuthRejected, 35*time.Minute)
			h.wantAllowed(ann, "p")
		}},
		{"a login that is accepted late excuses no refusal meanwhile", func(t *testing.T, h *fixture) {
			conns := hosts(4, "ann")
			for _, c := range conns {
				h.probe(c, "p", right)
				h.sleep(time.Second)
			}
			late := h.Enter(context.Background(), conns[0], mail.NewSecret("p"))
			late.Login(context.Background())
			h.sleep(time.Second)
			h.probe(conns[1], "p", wrong)
			h.sleep(time.Second)
			late.Done(right)
			h.sleep(time.Second)
			h.probe(conns[2], "p", wrong)
			h.wantHeld(conns[3], "p", mail.AuthHeld, h.nextOf(conns[3], "p"))
		}},
		{"a mailbox that takes the OK back holds its own connection alone", func(t *testing.T, h *fixture) {
			archive := altered(ann, func(c *mail.Connection) { c.Name = "archive" })
			takenBack := AuthVerdict{Tried: true, Accepted: true, Class: mail.Possible, Reason: mail.NotAuthorized, Doubtful: true}
			tries := 0
			for range 5 {
				h.wantAllowed(ann, "p")
				h.probe(ann, "p", right)
				h.sleep(time.Second)
				if h.probe(archive, "p", takenBack).Allowed {
					tries++
				}
				h.sleep(time.Second)
			}
			if tries != 1 {
				t.Errorf("%d logins for the mailbox that is not connected, want 1: it may count as a refused one", tries)
			}
			h.wantHeld(archive, "p", mail.NotAuthorized, 31*time.Minute-9*time.Second)
			h.sleep(40 * time.Minute)
			h.probe(archive, "p", right)
			h.sleep(time.Second)
			h.wantAllowed(archive, "p")
		}},
		{"the second connection that is refused holds the third", func(_ *testing.T, h *fixture) {
			conns := []*mail.Connection{ann}
			for _, host := range []string{"two.example", "three.example"} {
				conns = append(conns, altered(ann, func(c *mail.Connection) { c.Name, c.Host = host, host }))
			}
			for _, c := range conns {
				h.probe(c, "p", right)
			}
			h.sleep(time.Minute)
			h.probe(conns[0], "p", wrong)
			h.sleep(time.Second)
			h.probe(conns[1], "p", wrong)
			h.wantHeld(conns[2], "p", mail.AuthHeld, 35*time.Minute)
		}},
		{"removing the refused connection ends what it caused", func(_ *testing.T, h *fixture) {
			pop := altered(ann, func(c *mail.Connection) { c.Protocol = mail.POP3 })
			h.SetConnections([]*mail.Connection{ann, pop})
			h.probe(pop, "p", wrong)
			h.wantHeld(ann, "p", mail.AuthHeld, 35*time.Minute)
			h.SetConnections([]*mail.Connection{ann})
			h.wantAllowed(ann, "p")
		}},
		{"a verdict on a protocol holds this protocol alone", func(_ *testing.T, h *fixture) {
			for i, reason := range []mail.Reason{mail.AuthDisabled, mail.AuthMethodForbidden, mail.NotAuthorized} {
				ann := user("ann", "mail.example", fmt.Sprint("ann", i))
				pop := *ann
				pop.Protocol = mail.POP3
				h.probe(&pop, "p", AuthVerdict{Tried: true, Class: mail.Definitive, Reason: reason, Address: wrong.Address})
				h.wantHeld(&pop, "p", reason, 35*time.Minute)
				h.wantAllowed(ann, "p")
				h.sleep(time.Hour)
			}
		}},
	})
}

// Equal secrets are one secret, and a bounded number is remembered.
func TestSecretsOfAnAccount(t *testing.T) {
	ann := user("ann", "mail.example", "ann@example.org")
	tellStories(t, []story{
		{"a new access token is no new secret", func(_ *testing.T, h *fixture) {
			c := altered(ann, func(c *mail.Connection) {
				c.Auth, c.Token = mail.AuthXOAuth2, func(context.Context, bool) (mail.Secret, error) { return mail.Secret{}, nil }
			})
			h.probe(c, "token-1", AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.TokenRejected})
			h.wantHeld(c, "token-2", mail.TokenRejected, 35*time.Minute)
		}},
		{"another refresh token is another secret", func(_ *testing.T, h *fixture) {
			behind := func(refresh string) *mail.Connection {
				return altered(ann, func(c *mail.Connection) {
					c.Auth, c.TokenCredential = mail.AuthXOAuth2, mail.InlineSecret(mail.NewSecret(refresh))
					c.Token = func(context.Context, bool) (mail.Secret, error) { return mail.Secret{}, nil }
				})
			}
			h.probe(behind("old"), "token-1", AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.TokenRejected})
			h.wantHeld(behind("old"), "token-2", mail.TokenRejected, 35*time.Minute)
			h.wantAllowed(behind("new"), "token-2")
		}},
		{"an account not used for a month is forgotten", func(t *testing.T, h *fixture) {
			h.probe(ann, "bad", wrong)
			h.sleep(forgetAfter + time.Hour)
			h.probe(user("bob", "bob.example", "bob"), "good", right)
			if len(h.accounts) != 1 || len(h.servers) != 0 {
				t.Errorf("%d accounts and %d server names left, want bob's, and none: they are quiet", len(h.accounts), len(h.servers))
			}
		}},
		{"an account remembers few secrets", func(t *testing.T, h *fixture) {
			for i := range 100 {
				h.sleep(time.Hour)
				h.probe(ann, fmt.Sprint(i), right)
			}
			if n := len(h.accounts[h.identify(ann).account].Secrets); n != maxSecrets {
				t.Errorf("%d secrets remembered, want %d", n, maxSecrets)
			}
		}},
	})
}
