package main

// This file defines the commands other than the service: their flags and what they do.

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"mailprobe/config"
	"mailprobe/internal/cli"
)

// probing are the commands whose exit code 2 means that a connection is down.
// Read only.
var probing = map[string]bool{"probe": true, "discover": true, "add": true, "import": true}

// commands defines all commands and what runs them. args is the unfinished
// command line that a shell completes.
func (p *program) commands(app *kingpin.Application, args []string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		app.Command(defaultCommand, "Probe and serve metrics (the default).").FullCommand(): p.serve,
		p.probeCommand(app, args): p.probe,
		p.discoverCommand(app):    p.discover,
		p.addCommand(app):         p.add,
		p.importCommand(app):      p.importing,
		app.Command("demo", "Probe embedded mail servers, some broken on purpose, and serve the results.").FullCommand(): p.demo,
		app.Command("healthcheck", "Ask a running mailprobe on this host whether it is healthy.").FullCommand():          p.healthcheck,
		app.Command("schema", "Print the JSON Schema of the configuration.").FullCommand():                               p.schema,
	}
}

func (p *program) probeCommand(app *kingpin.Application, args []string) string {
	once := app.Command("probe", "Probe once, now, and print the results.")
	once.Arg("NAME", "Connections to probe; all if none is given. A URL such as imaps://user@host needs no configuration.").
		HintAction(func() []string { return connectionNames(args) }).StringsVar(&p.once.Names)
	once.Flag("send", "Send one message of this route now, on purpose, and follow it; nothing else is probed.").PlaceHolder("ROUTE").
		HintAction(func() []string { return routeNames(args) }).StringVar(&p.once.Send)
	once.Flag("output", "Output format: table, json or nagios.").Short('o').Default("table").StringVar(&p.once.Output)
	once.Flag("verbose", "Show the dialogues, with secrets removed.").Short('v').BoolVar(&p.once.Transcript)
	once.Flag("password-file", "File with the password for the user in a URL.").StringVar(&p.once.URL.PasswordFile)
	once.Flag("ca-file", "PEM file of the CA certificates to trust for a URL, in place of the system's.").StringVar(&p.once.URL.CAFile)
	once.Flag("insecure-skip-verify", "Accept any certificate for a URL. Anyone in the path can then read the password.").BoolVar(&p.once.URL.InsecureSkipVerify)
	return once.FullCommand()
}

func (p *program) discoverCommand(app *kingpin.Application) string {
	find := app.Command("discover", "Find the mail servers of an address, try its password once, and add what works to the configuration.")
	find.Arg("ADDRESS", "Mail address, such as user@example.org.").Required().StringVar(&p.find.Address)
	find.Flag("autodiscover", "Also ask the Exchange of the domain.").BoolVar(&p.find.Autodiscover)
	find.Flag("ispdb", "Also ask Thunderbird's directory, which then knows the domain.").BoolVar(&p.find.ISPDB)
	find.Flag("allow-clear", "Also look for services without encryption, and send the password there if nothing better is found. Anyone in the path can then read it.").BoolVar(&p.find.AllowClear)
	find.Flag("accept-foreign", "Use servers outside of the domain, and send the password there, without asking.").BoolVar(&p.find.AcceptForeign)
	find.Flag("write", "Add what works to the configuration without asking.").BoolVar(&p.find.Write)
	find.Flag("ca-file", "PEM file of the CA certificates to trust, in place of the system's.").StringVar(&p.find.CAFile)
	addSetupFlags(find, &p.find.SetupOptions)
	return find.FullCommand()
}

// probe runs `mailprobe probe`. It prints no warnings about the configuration; that is
// what --config.check does.
func (p *program) probe(ctx context.Context) error {
	o := p.once
	o.Load, o.StateFile, o.Log = config.NewSource(p.configFile).Load, p.probeState(), p.log
	o.Stdout, o.Stderr = p.stdout, p.stderr
	o.URL.Ask = cli.NewTerminal(os.Stdin, p.stderr)
	o.Live = o.Output == "table" && isTerminal(p.stderr)
	o.Width = widthOf(p.stdout)
	o.Color = p.colored()
	return cli.Probe(ctx, o)
}

// connectionNames is what a shell completes after `probe`.
func connectionNames(args []string) (names []string) {
	for _, c := range loadedFor(args).Connections {
		names = append(names, c.Name)
	}
	return names
}

// routeNames is what a shell completes after `probe --send`.
func routeNames(args []string) (names []string) {
	for _, r := range loadedFor(args).Routes {
		names = append(names, r.Name)
	}
	return names
}

// loadedFor is the configuration of an unfinished command line; it is empty if it
// cannot be loaded.
func loadedFor(args []string) *config.Config {
	path := foundConfig("")
	for i, arg := range args {
		if arg == "--config.file" && i+1 < len(args) {
			path = args[i+1]
		} else if value, ok := strings.CutPrefix(arg, "--config.file="); ok {
			path = value
		}
	}
	loaded, _, err := config.Load(path, nil)
	if err != nil {
		return &config.Config{}
	}
	return loaded
}

// discover is for a terminal, or for scripts with --password-file.
func (p *program) discover(ctx context.Context) error {
	o := p.find
	o.SetupOptions = p.setupOptions(o.SetupOptions)
	return cli.Discover(ctx, o)
}

// notAFlag are fields that no flag sets: secrets, which other users could read on
// a command line, and labels, which have a flag of their own. Read only.
var notAFlag = map[string]bool{"password": true, "password_file": true, "labels": true, "oauth2.client_secret": true}

func (p *program) addCommand(app *kingpin.Application) string {
	add := app.Command("add", "Ask for a connection, try it, and add it to the configuration.")
	for _, f := range config.Fields() {
		if !notAFlag[f.Name] {
			add.Flag(strings.ReplaceAll(f.Name, "_", "-"), f.Meaning).SetValue(&fieldFlag{field: f, settings: &p.form.Settings})
		}
	}
	p.formLabels = map[string]string{}
	add.Flag("label", "A label, NAME=VALUE; repeatable.").StringMapVar(&p.formLabels)
	addSetupFlags(add, &p.form.SetupOptions)
	return add.FullCommand()
}

// fieldFlag is the flag of a field; it adds to the settings of a form.
type fieldFlag struct {
	field    config.Field
	settings *[]config.Setting
}

// Set adds the value, or another word of a list.
func (f *fieldFlag) Set(value string) error {
	for i, s := range *f.settings {
		if s.Field == f.field.Name {
			(*f.settings)[i].Value += " " + value
			return nil
		}
	}
	*f.settings = append(*f.settings, config.Setting{Field: f.field.Name, Value: value})
	return nil
}

func (f *fieldFlag) String() string { return "" }

// IsCumulative reports whether the flag may be repeated.
func (f *fieldFlag) IsCumulative() bool { return f.field.List }

// add is the form of a connection.
func (p *program) add(ctx context.Context) error {
	o := p.form
	for _, name := range slices.Sorted(maps.Keys(p.formLabels)) {
		o.Settings = append(o.Settings, config.Setting{Field: "labels." + name, Value: p.formLabels[name]})
	}
	o.SetupOptions = p.setupOptions(o.SetupOptions)
	return cli.Add(ctx, o)
}

func (p *program) importCommand(app *kingpin.Application) string {
	from := app.Command("import", "Take over the mail servers that another program's configuration names.")
	from.Arg("FILE", "Its configuration.").Required().StringVar(&p.from.Path)
	from.Flag("format", "blackbox, uptime-kuma, fetchmail, getmail, mbsync, msmtp or thunderbird; by default guessed from the name of the file.").StringVar(&p.from.Format)
	from.Flag("targets", "Prometheus' configuration with the targets, for blackbox.").StringVar(&p.from.Targets)
	from.Flag("write", "Add them to the configuration without asking.").BoolVar(&p.from.Write)
	from.Flag("output", "Output format: table, or yaml, which only prints what would be added.").Short('o').Default("table").StringVar(&p.from.Output)
	return from.FullCommand()
}

// importing is the command import, whose name is a word of Go.
func (p *program) importing(ctx context.Context) error {
	o := p.from
	o.SetupOptions = p.setupOptions(o.SetupOptions)
	return cli.Import(ctx, o)
}

// addSetupFlags adds the flags of the commands that set connections up.
func addSetupFlags(command *kingpin.CmdClause, o *cli.SetupOptions) {
	command.Flag("password-file", "File with the password; without it, it is asked for.").StringVar(&o.PasswordFile)
	command.Flag("output", "Output format: table, json, or yaml, which only prints what would be added.").Short('o').Default("table").StringVar(&o.Output)
}

// setupOptions completes what the flags say.
func (p *program) setupOptions(o cli.SetupOptions) cli.SetupOptions {
	o.ConfigFile, o.StateFile, o.Log = p.configFile, p.probeState(), p.log
	o.Stdout, o.Stderr, o.Ask = p.stdout, p.stderr, cli.NewTerminal(os.Stdin, p.stderr)
	o.Width, o.Color = widthOf(p.stdout), p.colored()
	return o
}

// colored reports whether the standard output takes colours.
func (p *program) colored() bool {
	return isTerminal(p.stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// probeState returns the state file for a probe by hand. With the configuration of the
// service it is the service's file, so that its holds are obeyed.
func (p *program) probeState() string {
	if p.stateGiven || p.configFile != p.root+serviceConfig {
		return p.stateFile
	}
	if _, err := os.Stat(p.root + serviceState); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return p.root + serviceState // if it cannot be opened, that is reported later
}
