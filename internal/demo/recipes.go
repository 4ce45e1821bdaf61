package demo

// This file is the list of what the demo shows. A new story is one entry.

import (
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

// closedPort is tcpmux, which nothing has listened on for decades.
const closedPort = 1

const day = 24 * time.Hour

// recipe is one connection of the demo and the server behind it.
type recipe struct {
	name       string
	story      string
	protocol   mail.Protocol
	encryption mail.Encryption
	server     func(*environment, recipe) start // nil: nothing listens
	change     func(*mail.Connection)
	phase      mail.Phase  // where the probe fails; empty: nowhere
	want       mail.Reason // why
}

// goodRecipes are three protocols in three encryptions, and some more that are
// up.
func goodRecipes() []recipe {
	var recipes []recipe
	for _, protocol := range mail.Protocols() {
		for _, encryption := range []mail.Encryption{mail.ImplicitTLS, mail.StartTLS, mail.NoEncryption} {
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
			protocol: mail.IMAP, encryption: mail.ImplicitTLS,
			server: honest(mailtest.Options{Others: "Other Users/", Mailboxes: []string{"Other Users/helpdesk"}}),
			change: func(c *mail.Connection) {
				c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedFolder
			},
		},
		recipe{
			name: "stuck-tickets", story: "a watched mailbox from which nothing was fetched for three hours",
			protocol: mail.IMAP, encryption: mail.ImplicitTLS,
			server: honest(mailtest.Options{Messages: 12, Arrived: time.Now().Add(-190 * time.Minute)}),
			change: func(c *mail.Connection) {
				c.Watch, c.WatchMaxAge = mail.WatchUnread, 15*time.Minute
			},
		},
		recipe{
			name: "slow-login", story: "a server that is slow at each login",
			protocol: mail.POP3, encryption: mail.ImplicitTLS,
			server: honest(mailtest.Options{LoginDelay: 700 * time.Millisecond}),
		},
		recipe{
			name: "expires-soon", story: "a certificate with five days left",
			protocol: mail.SMTP, encryption: mail.ImplicitTLS,
			server: certified(func(o *mailtest.CertOptions) { o.NotAfter = time.Now().Add(5 * day) }),
		})
}

// brokenRecipes are each broken in one way. Only one of them has its login
// refused: two would make the whole host suspicious, and hold the others.
func brokenRecipes() []recipe {
	return []recipe{
		{
			name: "wrong-password", story: "the password was changed on the server",
			protocol: mail.IMAP, encryption: mail.ImplicitTLS,
			server: honest(mailtest.Options{Refuse: mailtest.Refusing("NO [AUTHENTICATIONFAILED] Authentication failed")}),
			phase:  mail.PhaseAuth, want: mail.AuthRejected,
		}, {
			name: "expired-certificate", story: "nobody renewed the certificate",
			protocol: mail.IMAP, encryption: mail.ImplicitTLS,
			server: certified(func(o *mailtest.CertOptions) {
				o.NotBefore, o.NotAfter = time.Now().Add(-90*day), time.Now().Add(-3*day)
			}),
			phase: mail.PhaseTLS, want: mail.CertExpired,
		}, {
			name: "wrong-name", story: "the certificate is for another host",
			protocol: mail.SMTP, encryption: mail.StartTLS,
			server: certified(func(o *mailtest.CertOptions) { o.Names, o.IPs = []string{"mail.elsewhere.example"}, nil }),
			phase:  mail.PhaseTLS, want: mail.CertName,
		}, {
			name: "untrusted-ca", story: "a certificate from an unknown CA",
			protocol: mail.POP3, encryption: mail.ImplicitTLS,
			server: certified(func(o *mailtest.CertOptions) { o.SelfSigned = true }),
			phase:  mail.PhaseTLS, want: mail.CertUntrusted,
		}, {
			name: "starttls-not-offered", story: "a submission server without STARTTLS",
			protocol: mail.SMTP, encryption: mail.StartTLS,
			server: honest(mailtest.Options{Encryption: mailtest.NoEncryption}),
			phase:  mail.PhaseStartTLS, want: mail.StartTLSNotOffered,
		}, {
			name: "tls-to-plaintext", story: "TLS tried on a port that speaks plain IMAP",
			protocol: mail.IMAP, encryption: mail.ImplicitTLS,
			server: honest(mailtest.Options{Encryption: mailtest.NoEncryption}),
			phase:  mail.PhaseTLS, want: mail.TLSPlaintext,
		}, {
			name: "wrong-protocol", story: "an SMTP server on the port meant for IMAP",
			protocol: mail.IMAP, encryption: mail.NoEncryption,
			server: honest(mailtest.Options{Protocol: mailtest.SMTP}),
			phase:  mail.PhaseGreeting, want: mail.ProtocolMalformed,
		}, {
			name: "silent-server", story: "a server that accepts and says nothing",
			protocol: mail.POP3, encryption: mail.NoEncryption,
			server: scripted("STALL"),
			phase:  mail.PhaseGreeting, want: mail.Timeout,
		}, {
			name: "connection-refused", story: "nothing listens on the port",
			protocol: mail.SMTP, encryption: mail.ImplicitTLS,
			phase: mail.PhaseConnect, want: mail.ConnectRefused,
		}, {
			name: "mailbox-missing", story: "the mailbox was renamed",
			protocol: mail.IMAP, encryption: mail.StartTLS,
			server: honest(mailtest.Options{}),
			change: func(c *mail.Connection) { c.Mailbox = "Tickets" },
			phase:  mail.PhaseMailbox, want: mail.MailboxMissing,
		},
	}
}
