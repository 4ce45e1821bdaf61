package cli

// This file is `mailprobe add`: the form of a connection on a terminal, with a
// test before anything is saved.

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mailprobe/config"
	"mailprobe/mail"
)

// AddOptions is the command line of `mailprobe add`.
type AddOptions struct {
	SetupOptions
	Settings []config.Setting // fields that flags have set
}

// Add asks for what the flags do not say, tries the connection, and adds it to the
// configuration if it is up. Without a terminal it cannot ask, and something missing
// is an error. It returns nil if the connection was added, or printed with -o yaml.
func Add(ctx context.Context, o AddOptions) error {
	return o.with(func(s *setup) error {
		a := &adding{setup: s, values: map[string]string{}}
		for _, setting := range o.Settings {
			if setting.Field == "password" || setting.Field == "oauth2.client_secret" {
				return fmt.Errorf("--%s: every user of this machine could read it there: use the field's _file", setting.Field)
			}
			value := setting.Value
			if strings.HasSuffix(setting.Field, "_file") && value != "" && !strings.HasPrefix(value, "$") {
				path, err := filepath.Abs(value) // it will be written into a file in another folder
				if err != nil {
					return err
				}
				value = path
			}
			a.set(setting.Field, value)
		}
		file, err := s.passwordFile()
		if err != nil {
			return err
		}
		if file != "" {
			a.set("password_file", file)
		}
		return a.run(ctx)
	})
}

// adding is one run of Add.
type adding struct {
	*setup
	fields   []string // in the order in which they were set
	values   map[string]string
	password string // typed; it goes into a file of its own
}

// question is one field of the form.
type question struct {
	field string
	text  string
	usual func(a *adding) string // the default answer; nil: none
	asked func(a *adding) bool   // whether to ask; nil: always

	ofLogin bool // a wrong answer can be the cause of a refused login
}

// protocolWords lists the protocols for a question.
func protocolWords() string {
	var words []string
	for _, p := range mail.Protocols() {
		words = append(words, string(p))
	}
	return strings.Join(words, ", ")
}

// questions are the form, in its order; read only.
var questions = []question{
	{field: "protocol", text: "Protocol (" + protocolWords() + ")", usual: func(*adding) string { return "imap" }},
	{field: "host", text: "Host"},
	{field: "encryption", text: "Encryption (ssl/tls, starttls, none)", usual: func(*adding) string { return "ssl/tls" }},
	{field: "port", text: "Port (0: the default)", usual: func(*adding) string { return "0" }},
	{field: "username", text: "User name (blank: no login)", ofLogin: true},
	{field: "shared_mailbox", text: "Shared mailbox (blank: the user's own)", ofLogin: true, asked: func(a *adding) bool { return a.values["username"] != "" }},
	{field: "name", text: "Name of the connection", usual: func(a *adding) string {
		// A name is a label: it holds the host, never the user.
		return freeName(a.values["host"]+"-"+strings.ToLower(a.values["protocol"]), a.names())
	}},
}

func (a *adding) set(field, value string) {
	if _, known := a.values[field]; !known {
		a.fields = append(a.fields, field)
	}
	a.values[field] = value
}

// settings are the fields that have a value, the name first.
func (a *adding) settings() []config.Setting {
	list := []config.Setting{{Field: "name", Value: a.values["name"]}}
	for _, q := range questions {
		list = append(list, config.Setting{Field: q.field, Value: a.values[q.field]})
	}
	for _, field := range a.fields {
		list = append(list, config.Setting{Field: field, Value: a.values[field]})
	}
	if a.values["port"] == "0" {
		list = slices.DeleteFunc(list, func(s config.Setting) bool { return s.Field == "port" })
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(s config.Setting) bool {
		drop := seen[s.Field] || s.Value == ""
		seen[s.Field] = true
		return drop
	})
}

func (a *adding) run(ctx context.Context) error {
	if err := a.askMissing(ctx); err != nil {
		return err
	}
	if a.Output == "yaml" {
		_, err := fmt.Fprint(a.Stdout, config.Stanza{Settings: a.settings()}.YAML("  "))
		return err
	}
	for {
		tried, err := a.try(ctx)
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case err == nil && tried.outcome.Up():
			return a.write([]config.Addition{{Stanza: config.Stanza{Settings: a.settings()}, Password: a.password}})
		case a.Ask == nil && err != nil:
			return err
		case a.Ask == nil:
			if tried.neighbour != "" {
				fmt.Fprintln(a.Stderr, tried.neighbour)
			}
			return a.nothing()
		}
		if err != nil {
			fmt.Fprintln(a.Stderr, err)
		}
		again, err := a.correct(ctx, tried)
		if err != nil {
			return err
		}
		if !again {
			return a.nothing()
		}
	}
}

func (a *adding) nothing() error {
	fmt.Fprintln(a.Stderr, "nothing was added")
	return &ExitError{Code: ExitDown}
}

// correct changes the connection after a failed try: it takes the neighbour that
// answers, or asks again. It reports whether to try once more.
func (a *adding) correct(ctx context.Context, tried attempt) (bool, error) {
	if tried.neighbour != "" {
		taken, err := a.yes(ctx, tried.neighbour+": take that?", true)
		if err != nil || taken {
			a.set("encryption", tried.encryption.Word())
			a.set("port", strconv.Itoa(tried.port))
			return taken, err
		}
	}
	again, err := a.yes(ctx, "Correct it and try again?", true)
	if err != nil || !again {
		return false, err
	}
	return true, a.askAgain(ctx, tried.outcome.Failure)
}

// askMissing asks for the fields that no flag has set.
func (a *adding) askMissing(ctx context.Context) error {
	for _, q := range questions {
		if _, set := a.values[q.field]; set || q.asked != nil && !q.asked(a) {
			continue
		}
		usual := ""
		if q.usual != nil {
			usual = q.usual(a)
		}
		if a.Ask == nil {
			a.set(q.field, usual)
			continue
		}
		if err := a.askField(ctx, q, usual); err != nil {
			return err
		}
	}
	if a.needsPassword() && a.password == "" {
		return a.askPassword(ctx, "Password: ")
	}
	return nil
}

// askAgain asks again the questions whose answers may have caused the failure; nil:
// all questions. The last answers are the defaults.
func (a *adding) askAgain(ctx context.Context, failure *mail.Failure) error {
	for _, q := range questions {
		if failure != nil && afterTLS[failure.Phase] && !q.ofLogin {
			continue
		}
		if q.asked != nil && !q.asked(a) {
			a.set(q.field, "")
			continue
		}
		if err := a.askField(ctx, q, a.values[q.field]); err != nil {
			return err
		}
	}
	if !a.needsPassword() {
		a.password = ""
		return nil
	}
	return a.askPassword(ctx, "Password (blank: as before): ")
}

// afterTLS are the phases in which the server is known to be the right one.
// Read only.
var afterTLS = map[mail.Phase]bool{mail.PhaseAuth: true, mail.PhaseMailbox: true}

// maxAsked is how often a question is asked in a row if its answer makes no sense.
const maxAsked = 3

// askField asks one question until its answer makes sense.
func (a *adding) askField(ctx context.Context, q question, usual string) error {
	prompt := q.text + ": "
	if usual != "" {
		prompt = fmt.Sprintf("%s [%s]: ", q.text, printable(usual))
	}
	for range maxAsked {
		answer, err := a.Ask.Line(ctx, prompt)
		if err != nil {
			return err
		}
		switch answer {
		case "":
			answer = usual
		case "-": // blank, in place of the default
			answer = ""
		}
		a.set(q.field, answer)
		fault := a.faultOf(q.field)
		if fault == "" {
			break
		}
		fmt.Fprintf(a.Stderr, "%s: %s\n", q.field, fault)
	}
	return nil
}

// faultOf returns what is wrong with the answer to one field; empty: nothing.
func (a *adding) faultOf(field string) string {
	_, _, err := config.NewConnection("add", a.settings(), nil)
	var faults config.Faults
	if errors.As(err, &faults) {
		for _, f := range faults {
			if f.Field == field {
				return f.Text
			}
		}
	}
	return ""
}

// needsPassword reports whether a password is to be asked for.
func (a *adding) needsPassword() bool {
	auth := mail.AuthMethod(strings.ToLower(a.values["auth"]))
	withoutPassword := []mail.AuthMethod{mail.AuthNone, mail.AuthExternal, mail.AuthXOAuth2, mail.AuthOAuthBearer}
	return a.values["username"] != "" && a.values["password_file"] == "" && !slices.Contains(withoutPassword, auth) && a.Output != "yaml"
}

func (a *adding) askPassword(ctx context.Context, prompt string) error {
	if a.Ask == nil {
		return errors.New("a user name needs --password-file")
	}
	typed, err := a.Ask.Secret(ctx, prompt)
	if err == nil && typed != "" {
		a.password = typed
	}
	return err
}

// attempt is the result of trying the connection once.
type attempt struct {
	outcome mail.Outcome

	neighbour  string // says that another port or encryption of the host answers; empty: none does
	encryption mail.Encryption
	port       int
}

// try probes the connection, and its neighbours if the probe did not reach the login.
func (a *adding) try(ctx context.Context) (attempt, error) {
	settings := a.settings()
	if a.password != "" {
		settings = append(settings, config.Setting{Field: "password", Value: a.password})
	}
	c, warnings, err := config.NewConnection("add", settings, nil)
	if err != nil {
		return attempt{}, err
	}
	for _, w := range warnings {
		fmt.Fprintln(a.Stderr, "warning:", w)
	}
	if a.Ask != nil {
		fmt.Fprintf(a.Stderr, "trying %s\n", c.Address())
	}
	tried := attempt{outcome: a.probe(ctx, c)}
	if err := a.show(tried.outcome); err != nil {
		return tried, err
	}
	if f := tried.outcome.Failure; f != nil && beforeLogin[f.Phase] && ctx.Err() == nil {
		a.findNeighbour(ctx, c, &tried)
	}
	return tried, nil
}

// beforeLogin are the phases whose failure may mean a wrong port or encryption.
// Read only.
var beforeLogin = map[mail.Phase]bool{mail.PhaseConnect: true, mail.PhaseTLS: true, mail.PhaseGreeting: true, mail.PhaseHello: true, mail.PhaseStartTLS: true}

// findNeighbour probes the same host with the other encryptions, at their default
// ports and at the configured one, without the login.
func (a *adding) findNeighbour(ctx context.Context, c *mail.Connection, tried *attempt) {
	for _, encryption := range []mail.Encryption{mail.ImplicitTLS, mail.StartTLS} {
		for _, port := range slices.Compact([]int{mail.DefaultPort(c.Protocol, encryption), c.EffectivePort()}) {
			if encryption == c.Encryption && port == c.EffectivePort() {
				continue
			}
			neighbour, _, err := config.NewConnection("neighbour", given([]config.Setting{{Field: "name", Value: "neighbour"},
				{Field: "protocol", Value: string(c.Protocol)}, {Field: "host", Value: c.Host}, {Field: "port", Value: strconv.Itoa(port)},
				{Field: "encryption", Value: encryption.Word()}, {Field: "tls_config.ca_file", Value: a.values["tls_config.ca_file"]},
				{Field: "tls_config.server_name", Value: a.values["tls_config.server_name"]}}), nil)
			if err != nil {
				continue
			}
			if o := a.probe(ctx, neighbour); o.Up() {
				tried.neighbour = fmt.Sprintf("port %d of %s answers with encryption %s", port, c.Host, encryption.Word())
				tried.encryption, tried.port = encryption, port
				return
			}
		}
	}
}
