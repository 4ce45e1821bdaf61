package config

// This file reads the routes. A route names connections, so routes are built
// after all connections are known.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailprobe/mail"
)

// routeEntry is one route while it is read: the Route, into which most fields are
// written, and the names of connections, which build resolves.
type routeEntry struct {
	mail.Route

	send, receive, bounces string
	remove                 bool
	ticketMailbox          bool // receive may feed a ticket system
	require                requirements

	set map[string]origin
}

// requirements are the results that a message must have in
// Authentication-Results; an empty one accepts any.
type requirements struct {
	spf, dkim, dmarc, arc mail.CheckResult
}

func freshRoute() *routeEntry {
	return &routeEntry{
		Route: mail.Route{Interval: 5 * time.Minute, Deadline: 10 * time.Minute, Slow: time.Minute},
		set:   map[string]origin{},
	}
}

// minRouteInterval bounds how often a route may send: 1,440 messages a day.
const minRouteInterval = time.Minute

// maxRouteFolders bounds the folders of a route: each costs one round trip in
// each look.
const maxRouteFolders = 5

var routeBlock = block[routeEntry]{
	meaning:  "A message that is sent through one connection and looked for through another. See docs/routes.md.",
	fresh:    freshRoute,
	required: []string{"name"},
	fields: []field[routeEntry]{
		{name: "name", is: text(func(e *routeEntry) *string { return &e.Name }, trimmed, atMost(200)), def: "required",
			meaning: "Unique name; the `route` label, and in the subject of each message.", example: "helpdesk-path"},
		{name: "send", is: text(func(e *routeEntry) *string { return &e.send }), def: "required",
			meaning: "Name of the smtp connection that submits the message.", example: "out-smtp"},
		{name: "from", is: text(func(e *routeEntry) *string { return &e.From }, mailAddress, notNullPath), def: "required",
			meaning: "Sender of the message.", example: "probe@example.org"},
		{name: "to", is: text(func(e *routeEntry) *string { return &e.To }, mailAddress, notNullPath), def: "required",
			meaning: "Recipient of the message.", example: "mailprobe+t@example.org"},
		{name: "receive", is: text(func(e *routeEntry) *string { return &e.receive }), def: "required",
			meaning: "Name of the imap or pop3 connection where the message arrives.", example: "probe-inbox"},
		{name: "bounces", is: text(func(e *routeEntry) *string { return &e.bounces }), def: "none",
			meaning: "Name of the imap or pop3 connection where mail to `from` arrives. With it, delivery status is asked for where the server offers it (RFC 3461), which tells a queue from a filter.", example: "sender-inbox"},
		{name: "interval", is: duration(minRouteInterval, 24*time.Hour, func(e *routeEntry) *time.Duration { return &e.Interval }), def: "`5m`",
			meaning: "Time between two messages.", example: "15m"},
		{name: "deadline", is: duration(10*time.Second, 24*time.Hour, func(e *routeEntry) *time.Duration { return &e.Deadline }), def: "`10m`",
			meaning: "A message that is not found within this time is lost.", example: "30m"},
		{name: "slow", is: duration(time.Second, 24*time.Hour, func(e *routeEntry) *time.Duration { return &e.Slow }), def: "`1m`",
			meaning: "A message that is found later than this is late.", example: "2m"},
		{name: "folders", is: folders(func(e *routeEntry) *[]string { return &e.Folders }), def: "`auto`",
			meaning: "Folders to look through, at most 5, the expected one first. `auto`: the receiving connection's mailbox and its junk folder.", example: "[INBOX, Junk, Lists]"},
		{name: "delete", is: oneOf([]keyword[bool]{{"none", false}, {"own", true}}, func(e *routeEntry) *bool { return &e.remove }), def: "`none`",
			meaning: "`own` deletes the messages of the route after they were found, and nothing else. It needs --state.file.", example: "own"},
		{name: "ticket_mailbox", is: oneOf([]keyword[bool]{{"refused", false}, {"accepted", true}}, func(e *routeEntry) *bool { return &e.ticketMailbox }), def: "`refused`",
			meaning: "`accepted` lets `receive` and `bounces` be connections with `watch`: something else fetches their mail, and may make a ticket of each message before it is deleted.", example: "accepted"},
		{name: "authserv_id", is: text(func(e *routeEntry) *string { return &e.AuthservID }, trimmed, atMost(255)), def: "none",
			meaning: "Host whose Authentication-Results are believed, as it names itself at their beginning.", example: "mx.example.org"},
		{name: "require", is: nested(requireBlock, func(e *routeEntry) *requirements { return &e.require }), def: "nothing",
			meaning: "Results that the message must have. Needs authserv_id.", example: "{dkim: pass, dmarc: pass}"},
		{name: "labels", is: labels(func(e *routeEntry) *[]mail.Label { return &e.Labels }), def: "none",
			meaning: "Labels added to each metric of the route.", example: "{team: support}"},
	},
}

var requireBlock = block[requirements]{
	meaning: "Results of Authentication-Results that a message must have (RFC 8601).",
	fresh:   func() *requirements { return new(requirements) },
	fields: []field[requirements]{
		{name: "spf", is: oneOf(results, func(q *requirements) *mail.CheckResult { return &q.spf }), def: "any", meaning: "Result of SPF.", example: "pass"},
		{name: "dkim", is: oneOf(results, func(q *requirements) *mail.CheckResult { return &q.dkim }), def: "any", meaning: "Best result of the DKIM signatures.", example: "pass"},
		{name: "dmarc", is: oneOf(results, func(q *requirements) *mail.CheckResult { return &q.dmarc }), def: "any", meaning: "Result of DMARC.", example: "pass"},
		{name: "arc", is: oneOf(results, func(q *requirements) *mail.CheckResult { return &q.arc }), def: "any", meaning: "Result of the ARC chain.", example: "pass"},
	},
}

// results are the words that `require` accepts.
var results = same(slices.DeleteFunc(mail.CheckResults(), func(r mail.CheckResult) bool { return r == mail.ResultUnknown })...)

// folders is `auto` or a list of folder names.
func folders[T any](at func(*T) *[]string) kind[T] {
	k := value(at, func(r *reader, n *node, where position) ([]string, bool) {
		if !isSequence(n) {
			v, ok := r.scalarText(n, where)
			if ok && v != "auto" {
				r.faultf(where, "%s is neither auto nor a list such as [INBOX, Junk]", quote(v))
			}
			return nil, ok
		}
		var list []string
		for _, item := range n.Content {
			v, ok := r.scalarText(resolve(item), where.on(item.Line))
			switch {
			case !ok:
			case v == "" || singleLine(v) != "" || len(v) > 1024:
				r.fault(where.on(item.Line), "an item of the list is no folder name")
			case slices.Contains(list, v):
				r.faultf(where.on(item.Line), "%s is listed twice", quote(v))
			}
			list = append(list, v)
		}
		if len(list) == 0 || len(list) > maxRouteFolders {
			r.faultf(where, "must list 1 to %d folders", maxRouteFolders)
		}
		return list, true
	})
	k.word = "`auto` or a list"
	k.schema = func() map[string]any {
		return map[string]any{"anyOf": []any{
			map[string]any{"enum": []any{"auto", nil}},
			map[string]any{"type": "array", "minItems": 1, "maxItems": maxRouteFolders, "items": map[string]any{"type": "string", "minLength": 1}},
		}}
	}
	return k
}

func routesSchema() map[string]any {
	return map[string]any{"type": []string{"array", "null"}, "items": map[string]any{"$ref": "#/$defs/route"}}
}

// routes reads the list of one file, after the connections of all files are read.
func (b *builder) routes(f *file) {
	list := f.routes
	switch {
	case list == nil:
		return
	case !isSequence(list):
		b.fault(position{line: list.Line, field: "routes"}, "must be a list: start each route with \"- \"")
		return
	}
	b.enter(f.path)
	for i, item := range list.Content {
		if r := b.route(item, i); r != nil {
			b.routeList = append(b.routeList, r)
		}
	}
}

// route reads, validates and completes one entry.
func (b *builder) route(item *node, index int) *mail.Route {
	at := position{line: item.Line, where: fmt.Sprintf("routes[%d]", index)}
	n := resolve(item)
	if !isMapping(n) {
		b.fault(at, "must be a mapping of fields")
		return nil
	}
	if name := nameOf(n); name != "" {
		at.where = "route " + quote(name)
	}
	e := freshRoute()
	b.set = e.set
	routeBlock.read(b.reader, n, at, e)
	e.Source = fmt.Sprintf("%s:%d", b.file, item.Line)
	e.Delete = e.remove
	e.Require = e.require.list()
	for _, wanted := range []struct{ field, value string }{
		{"name", e.Name}, {"send", e.send}, {"from", e.From}, {"to", e.To}, {"receive", e.receive},
	} {
		if where := e.at(wanted.field, at); wanted.value == "" && !b.blames(where) {
			b.fault(where, "is missing")
		}
	}
	b.claimRoute(e, at)
	e.Send = b.connectionOf(e, "send", e.send, at, smtpOnly)
	e.Receive = b.connectionOf(e, "receive", e.receive, at, readers)
	e.Bounces = b.connectionOf(e, "bounces", e.bounces, at, readers)
	e.validate(b.reader, at)
	b.refuseTickets(e, at)
	for _, l := range e.Labels {
		// Labels that no connection may have are reported already.
		if what := mail.ReservedRouteLabel(l.Name); what != "" && mail.ReservedLabel(l.Name) == "" {
			b.fault(e.at("labels", at).sub(l.Name), what)
		}
	}
	return &e.Route
}

// at returns the position of a field: where it is written, or else where the
// route begins.
func (e *routeEntry) at(field string, where position) position {
	if m, given := e.set[field]; given {
		where = where.on(m.line)
	}
	where.field = field
	return where
}

// claimRoute reports a route's name that is in use.
func (b *builder) claimRoute(e *routeEntry, at position) {
	if e.Name == "" {
		return
	}
	where := e.at("name", at)
	if other, used := b.routeNames[e.Name]; used {
		b.faultf(where, "is used twice (also in %s:%d)", other.file, other.line)
		return
	}
	b.routeNames[e.Name] = origin{file: b.file, line: where.line}
}

// connectionOf returns the connection with a name. It must speak one of protocols;
// otherwise a fault is reported and nil returned.
func (b *builder) connectionOf(e *routeEntry, field, name string, at position, protocols []mail.Protocol) *mail.Connection {
	if name == "" {
		return nil
	}
	where := e.at(field, at)
	var names []string
	for _, c := range slices.Concat(b.enabled, b.disabled) {
		names = append(names, c.Name)
		switch {
		case c.Name != name:
		case !slices.Contains(protocols, c.Protocol):
			b.faultf(where, "%s is a connection of %s: it must be %s", quote(name), c.Protocol, orList(protocolNames(protocols)))
			return nil
		case slices.Contains(b.disabled, c):
			b.faultf(where, "%s is a connection with enabled: false", quote(name))
			return nil
		default:
			return c
		}
	}
	if !b.blames(where) {
		b.faultf(where, "there is no connection %s%s", quote(name), DidYouMean(name, names))
	}
	return nil
}

// refuseTickets reports a route that ends in a watched mailbox. Where another connection than
// its own watches that, it only warns: two that look alike may be two mailboxes.
func (b *builder) refuseTickets(e *routeEntry, at position) {
	const why = "something fetches its mail, and each message would become a ticket; use another mailbox, or say ticket_mailbox: accepted"
	for _, end := range []struct {
		field string
		c     *mail.Connection
	}{{"receive", e.Receive}, {"bounces", e.Bounces}} {
		where := e.at(end.field, at)
		if end.c == nil || e.ticketMailbox || b.blames(where) {
			continue
		}
		if end.c.Watches() {
			b.faultf(where, "is a connection with watch: %s", why)
			continue
		}
		watches := func(c *mail.Connection) bool { return c.Watches() && inbox(c) == inbox(end.c) }
		if i := slices.IndexFunc(b.enabled, watches); i >= 0 {
			b.warnf(where, "looks like the mailbox that connection %s watches: %s", quote(b.enabled[i].Name), why)
		}
	}
}

// inboxName is where the mail of a connection arrives, as far as a configuration shows: two
// names of one host or of one user are two.
type inboxName struct{ host, owner, folder string }

func inbox(c *mail.Connection) inboxName {
	name := inboxName{c.Host, strings.ToLower(cmp.Or(c.SharedMailbox, c.Username)), "INBOX"}
	if c.Protocol == mail.IMAP && !strings.EqualFold(c.Mailbox, "INBOX") {
		name.folder = c.Mailbox
	}
	return name
}

// validate reports settings that contradict each other.
func (e *routeEntry) validate(r *reader, at position) {
	for _, rule := range []struct {
		field  string
		broken bool
		text   string
	}{
		{"slow", e.Slow > e.Deadline, "is longer than the deadline"},
		{"folders", e.Receive != nil && e.Receive.Protocol == mail.POP3 && len(e.Folders) > 0, "cannot be chosen with a pop3 connection, which has one folder"},
		{"require", len(e.Require) > 0 && e.AuthservID == "", "needs authserv_id: anybody on the way can write Authentication-Results"},
		{"receive", e.Receive != nil && e.Receive.Username == "", "must be a connection with a username"},
		{"bounces", e.Bounces != nil && e.Bounces.Username == "", "must be a connection with a username"},
	} {
		if where := e.at(rule.field, at); rule.broken && !r.blames(where) {
			r.fault(where, rule.text)
		}
	}
}

// list holds the requirements that were given.
func (q requirements) list() map[mail.SenderCheck]mail.CheckResult {
	list := map[mail.SenderCheck]mail.CheckResult{}
	for check, want := range map[mail.SenderCheck]mail.CheckResult{
		mail.CheckSPF: q.spf, mail.CheckDKIM: q.dkim, mail.CheckDMARC: q.dmarc, mail.CheckARC: q.arc,
	} {
		if want != "" {
			list[check] = want
		}
	}
	return list
}
