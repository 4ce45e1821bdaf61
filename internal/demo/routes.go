package demo

// This file is the routes of the demo: a server that takes messages, one where
// they are read, and three fates that a message may have between them.

import (
	"bytes"
	"fmt"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

const (
	routeInterval = time.Minute
	routeDeadline = 20 * time.Second
	reader        = "reader@" + domain // whose mailbox all routes lead to
)

// RouteTarget is one route of the demo and what its messages should meet.
type RouteTarget struct {
	Route *mail.Route
	Story string
	Want  mail.Reason // empty: it is delivered
}

// fate is what the demo's server does with the messages of one route.
type fate struct {
	name, story string
	folder      string // where they are filed; empty: nowhere
	header      string // that the server adds
	want        mail.Reason
}

// fates are the routes; read only.
var fates = []fate{
	{name: "delivered", story: "a route that works", folder: "INBOX",
		header: "Authentication-Results: mx." + domain + "; spf=pass smtp.mailfrom=" + sender + "; dkim=pass header.d=" + domain + "; dmarc=pass header.from=" + domain + "\r\n"},
	{name: "taken-for-spam", story: "a route whose messages are filed as junk", folder: "Junk", want: mail.FiledAsSpam,
		header: "X-Spam-Flag: YES\r\n"},
	{name: "lost", story: "a route whose messages are accepted and never seen again", want: mail.NotDelivered},
}

// startRoutes starts the two servers and lists the routes between them.
func (f *Fleet) startRoutes(env *environment) error {
	users := map[string]string{reader: env.password}
	in, err := mailtest.Start(mailtest.Options{Protocol: mailtest.IMAP, Encryption: mailtest.ImplicitTLS, Certificate: env.good, Users: users,
		Messages: messages, Mailboxes: []string{"Junk"}, UIDPlus: true})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, in.Close)
	out, err := mailtest.Start(mailtest.Options{Protocol: mailtest.SMTP, Encryption: mailtest.StartTLS, Certificate: env.good, Users: users,
		Deliver: func(_ string, to []string, message []byte) error { return deliver(in, to[0], message) }})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, out.Close)
	send := f.end(env, recipe{name: "route-outbox", story: "where the messages of the routes are sent", protocol: mail.SMTP, encryption: mail.StartTLS}, out.Port)
	receive := f.end(env, recipe{name: "route-inbox", story: "where the messages of the routes arrive", protocol: mail.IMAP, encryption: mail.ImplicitTLS}, in.Port)
	for _, fate := range fates {
		f.routes = append(f.routes, RouteTarget{Story: fate.story, Want: fate.want, Route: &mail.Route{Name: fate.name, Send: send, Receive: receive,
			From: sender, To: fate.name + "@" + domain, Interval: routeInterval, Deadline: routeDeadline, Slow: routeDeadline / 2, Delete: true,
			AuthservID: "mx." + domain, Source: "demo"}})
	}
	return nil
}

// end lists one of the two connections between which the routes go.
func (f *Fleet) end(env *environment, r recipe, port int) *mail.Connection {
	c := env.connection(r)
	c.Port, c.Username = port, reader
	f.targets = append(f.targets, Target{Connection: c, Story: r.story})
	return c
}

// deliver files a message by its recipient, as a server would: with the fields
// that it adds at the top.
func deliver(in *mailtest.Server, to string, message []byte) error {
	for _, fate := range fates {
		if fate.folder == "" || to != fate.name+"@"+domain {
			continue
		}
		received := fmt.Sprintf("Received: from out.%s by mx.%s with ESMTPS; %s\r\n", domain, domain, time.Now().Format(time.RFC1123Z))
		return in.Append(reader, fate.folder, bytes.Join([][]byte{[]byte(received), []byte(fate.header), message}, nil))
	}
	return nil
}
