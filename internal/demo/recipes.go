package demo

// This file is the list of what the demo shows. A new story is one entry.

import (
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/prober"
)

// closedPort is tcpmux, which nothing has listened on for decades.
const closedPort = 1

const day = 24 * time.Hour

// recipe is one connection of the demo and the server behind it.
type recipe struct {
	name       string
	story      string
	protocol   prober.Protocol
	encryption prober.Encryption
	server     func(*kit, recipe) start // nil: nothing listens
	change     func(*prober.Connection)
	phase      prober.Phase  // where the probe fails; empty: nowhere
	want       prober.Reason // why
}

// goodRecipes are three protocols in three encryptions, and some more that are
// up.
func goodRecipes() []recipe {
	var recipes []recipe
	for _, protocol := range []prober.Protocol{prober.IMAP, prober.POP3, prober.SMTP} {
		for _, encryption := range []prober.Encryption{prober.ImplicitTLS, prober.StartTLS, prober.NoEncryption} {
			recipes = append(recipes, recipe{
				name:     string(protocol) + "-" + string(encryption),
				story:    "a healthy server",
				protocol: protocol, encryption: encryption,
				server: honest(mailtest.Options{}),
			})
		}
	}
	return append(recipes,
		recipe{
			name: "helpdesk", story: "a mailbox shared with the user, as a folder",
			protocol: prober.IMAP, encryption: prober.ImplicitTLS,
			server: honest(mailtest.Options{Others: "Other Users/", Mailboxes: []string{"Other Users/helpdesk"}}),
			change: func(c *prober.Connection) {
				c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", prober.SharedFolder
			},
		},
		recipe{
			name: "slow-login", story: "a server that is slow at each login",
			protocol: prober.POP3, encryption: prober.ImplicitTLS,
			server: honest(mailtest.Options{LoginDelay: 700 * time.Millisecond}),
		},
		recipe{
			name: "expires-soon", story: "a certificate with five days left",
			protocol: prober.SMTP, encryption: prober.ImplicitTLS,
			server: certified(func(o *mailtest.CertOptions) { o.NotAfter = time.Now().Add(5 * day) }),
		})
}

// brokenRecipes are each broken in one way. Only one of them has its login
// refused: two would make the whole host suspicious, and hold the others.
func brokenRecipes() []recipe {
	return []recipe{
		{
			name: "wrong-password", story: "the password was changed on the server",
			protocol: prober.IMAP, encryption: prober.ImplicitTLS,
			server: honest(mailtest.Options{Refuse: mailtest.Refusing("NO [AUTHENTICATIONFAILED] Authentication failed")}),
			phase:  prober.PhaseAuth, want: prober.AuthRejected,
		}, {
			name: "expired-certificate", story: "nobody renewed the certificate",
			protocol: prober.IMAP, encryption: prober.ImplicitTLS,
			server: certified(func(o *mailtest.CertOptions) {
				o.NotBefore, o.NotAfter = time.Now().Add(-90*day), time.Now().Add(-3*day)
			}),
			phase: prober.PhaseTLS, want: prober.CertExpired,
		}, {
			name: "wrong-name", story: "the certificate is for another host",
			protocol: prober.SMTP, encryption: prober.StartTLS,
			server: certified(func(o *mailtest.CertOptions) { o.Names, o.IPs = []string{"mail.elsewhere.example"}, nil }),
			phase:  prober.PhaseTLS, want: prober.CertName,
		}, {
			name: "untrusted-ca", story: "a certificate from an unknown CA",
			protocol: prober.POP3, encryption: prober.ImplicitTLS,
			server: certified(func(o *mailtest.CertOptions) { o.SelfSigned = true }),
			phase:  prober.PhaseTLS, want: prober.CertUntrusted,
		}, {
			name: "starttls-not-offered", story: "a submission server without STARTTLS",
			protocol: prober.SMTP, encryption: prober.StartTLS,
			server: honest(mailtest.Options{Encryption: mailtest.NoEncryption}),
			phase:  prober.PhaseStartTLS, want: prober.StartTLSNotOffered,
		}, {
			name: "tls-to-plaintext", story: "TLS tried on a port that speaks plain IMAP",
			protocol: prober.IMAP, encryption: prober.ImplicitTLS,
			server: honest(mailtest.Options{Encryption: mailtest.NoEncryption}),
			phase:  prober.PhaseTLS, want: prober.TLSPlaintext,
		}, {
			name: "wrong-protocol", story: "an SMTP server on the port meant for IMAP",
			protocol: prober.IMAP, encryption: prober.NoEncryption,
			server: honest(mailtest.Options{Protocol: mailtest.SMTP}),
			phase:  prober.PhaseGreeting, want: prober.ProtocolMalformed,
		}, {
			name: "silent-server", story: "a server that accepts and says nothing",
			protocol: prober.POP3, encryption: prober.NoEncryption,
			server: scripted("STALL"),
			phase:  prober.PhaseGreeting, want: prober.Timeout,
		}, {
			name: "connection-refused", story: "nothing listens on the port",
			protocol: prober.SMTP, encryption: prober.ImplicitTLS,
			phase: prober.PhaseConnect, want: prober.ConnectRefused,
		}, {
			name: "mailbox-missing", story: "the mailbox was renamed",
			protocol: prober.IMAP, encryption: prober.StartTLS,
			server: honest(mailtest.Options{}),
			change: func(c *prober.Connection) { c.Mailbox = "Tickets" },
			phase:  prober.PhaseMailbox, want: prober.MailboxMissing,
		},
	}
}
