package cli

// This file implements --config.check: it shows what is wrong with a configuration, or
// what each probe will do.

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/common/model"

	"mailprobe/config"
	"mailprobe/mail"
)

// CheckOptions is the command line of --config.check.
type CheckOptions struct {
	Path   string        // as given, for messages
	Load   config.Loader // the configuration
	Share  string        // which part of it Load returns, as --shard says; empty: all
	Stdout io.Writer
	Width  int // of the terminal on Stdout; 0: it is none, and no line is too long
}

// Check loads a configuration and prints what would be probed and how, then the
// warnings. Its error lists every fault.
func Check(o CheckOptions) error {
	loaded, warnings, err := o.Load()
	if err != nil {
		return fmt.Errorf("%s is not usable:\n%w", o.Path, err)
	}
	t := table{header: []string{"CONNECTION", "PROTOCOL", "ADDRESS", "ENCRYPTION", "LOGIN", "SECRET", "INTERVAL", "TIMEOUT"}, width: o.Width}
	for _, c := range loaded.Connections {
		t.rows = append(t.rows, tableRow{cells: []string{printable(c.Name), string(c.Protocol), printable(c.Address()), c.Encryption.Word(),
			login(c), secret(c), interval(c), model.Duration(c.Timeout).String()}, below: []string{steps(c)}})
	}
	if err := t.write(o.Stdout); err != nil {
		return err
	}
	for _, c := range loaded.Disabled {
		fmt.Fprintf(o.Stdout, "%s: enabled is false: it is not probed\n", printable(c.Name))
	}
	for _, r := range loaded.Routes {
		fmt.Fprintf(o.Stdout, "route %s: %s\n", printable(r.Name), routeSteps(r))
	}
	for _, warning := range warnings {
		fmt.Fprintln(o.Stdout, "warning:", warning)
	}
	count := plural(len(loaded.Connections), "connection")
	if len(loaded.Routes) > 0 {
		count += " and " + plural(len(loaded.Routes), "route")
	}
	switch {
	case o.Share != "":
		count += " in share " + o.Share
	case len(loaded.Connections) == 0:
		fmt.Fprintln(o.Stdout, noConnection)
	}
	_, err = fmt.Fprintf(o.Stdout, "%s: %s, %s\n", o.Path, count, plural(len(warnings), "warning"))
	return err
}

// noConnection is printed for an empty list of connections.
const noConnection = "no connection is configured: add one below `connections:` (docs/configuration.md has an example of each kind), " +
	"or try a server at once with: mailprobe probe imaps://USER@HOST"

// plural counts things whose name takes an s.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// steps describes what a probe does once it is connected.
func steps(c *mail.Connection) string {
	list := []string{"no login"}
	if c.LogsIn() {
		list = []string{loginStep(c)}
	}
	if step := mailboxStep(c); step != "" {
		list = append(list, step)
	}
	if step := watchStep(c); step != "" {
		list = append(list, step)
	}
	return printable(strings.Join(list, ", ")) + ", goodbye"
}

// routeSteps describes what a route does with each message.
func routeSteps(r *mail.Route) string {
	end := "left there"
	if r.Delete {
		end = "deleted"
	}
	text := fmt.Sprintf("every %s a message from %s to %s is sent through %s, looked for through %s for at most %s, and %s",
		model.Duration(r.Interval), r.From, r.To, r.Send.Name, r.Receive.Name, model.Duration(r.Deadline), end)
	if r.Bounces != nil {
		text += "; notifications are read through " + r.Bounces.Name
	}
	return printable(text)
}

// loginStep describes the login, with the name as the server will see it.
func loginStep(c *mail.Connection) string {
	text := "login as " + cmp.Or(c.LoginName(), "whom the certificate names")
	switch c.SharedMailboxAccess {
	case mail.SharedAuthzID:
		text += " for the mailbox of " + c.SharedMailbox
	case mail.SharedTokenUser:
		text += " with the token of " + c.Username
	}
	return text
}

// mailboxStep describes the step after the login; empty: there is none.
func mailboxStep(c *mail.Connection) string {
	sender := c.Sender
	if c.SharedMailbox != "" && c.SharedMailboxAccess == mail.SharedSender {
		sender = c.SharedMailbox
	}
	switch {
	case !c.CheckMailbox:
	case c.Protocol == mail.SMTP && sender == "":
	case c.Protocol == mail.SMTP && c.Recipient != "":
		return fmt.Sprintf("sender %s and recipient %s tried and reset", sender, c.Recipient)
	case c.Protocol == mail.SMTP:
		return fmt.Sprintf("sender %s tried and reset", sender)
	case !c.LogsIn():
	case c.SharedMailbox != "" && c.SharedMailboxAccess == mail.SharedFolder && strings.EqualFold(c.Mailbox, "INBOX"):
		return "folder of " + c.SharedMailbox + " opened read-only"
	case c.Protocol == mail.IMAP:
		return "mailbox " + c.Mailbox + " opened read-only"
	default:
		return "messages counted"
	}
	return ""
}

// watchStep describes the look at waiting messages; empty: there is none.
func watchStep(c *mail.Connection) string {
	if !c.Watches() {
		return ""
	}
	what := "unread messages"
	if c.Watch == mail.WatchAll {
		what = "messages"
	}
	text := what + " watched"
	if c.WatchMaxAge > 0 {
		text += ", none may wait longer than " + model.Duration(c.WatchMaxAge).String()
	}
	if c.WatchExpectEvery > 0 {
		text += ", one expected every " + model.Duration(c.WatchExpectEvery).String()
	}
	return text
}

// login says how a connection logs in, without saying as whom.
func login(c *mail.Connection) string {
	if !c.LogsIn() {
		return "no"
	}
	if c.SharedMailbox != "" {
		return fmt.Sprintf("%s, %s", c.Auth, c.SharedMailboxAccess)
	}
	return string(c.Auth)
}

// secret says where the secret comes from.
func secret(c *mail.Connection) string {
	switch {
	case c.Token != nil:
		return "token"
	case c.Password.IsZero():
		return "none"
	}
	return cmp.Or(c.Password.Path(), "inline")
}

// interval says when a connection is probed.
func interval(c *mail.Connection) string {
	if c.ProbeOnScrape {
		return "on scrape"
	}
	return model.Duration(c.Interval).String() // as it is written in the file
}
