// mailprobe is a Prometheus exporter that tells whether mail connections work,
// and why not.
//
// This file reads the flags and wires the packages together.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
	"golang.org/x/term"

	"mailprobe/config"
	"mailprobe/internal/cli"
	"mailprobe/internal/exporter"
	"mailprobe/internal/logline"
)

// defaultAddress is where to listen; the port is not registered anywhere.
const defaultAddress = ":10925"

// Where a configuration is looked for when none is named: in the working
// directory, then where the packages and the docs put it. The service keeps its
// state in serviceState.
const (
	defaultConfig = "mailprobe.yml"
	serviceConfig = "/etc/mailprobe/config.yml"
	serviceState  = "/var/lib/mailprobe/state.json"
)

// logPatience is how long the end waits for a log that is not read.
const logPatience = time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// program is what the flags say.
type program struct {
	stdout, stderr io.Writer
	log            *slog.Logger

	root          string // in front of the service's paths; empty but in tests
	configFile    string
	check         bool
	syntaxOnly    bool
	autoReload    bool
	reloadEvery   time.Duration
	stateFile     string
	stateGiven    bool // even as empty
	telemetryPath string
	externalURL   *url.URL
	retry         bool
	pprofAddress  string
	web           *web.FlagConfig
	once          cli.ProbeOptions
}

// run is the program; it returns the exit code: 0 well, 1 not, 2 for a command
// line that makes no sense.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	completeVersion()
	p := &program{stdout: stdout, stderr: stderr}
	logs := &promslog.Config{Writer: stderr}
	app := kingpin.New("mailprobe", "Tells Prometheus whether mail connections work, and why not.")
	app.HelpFlag.Short('h')
	app.Version(version.Print("mailprobe"))
	app.Flag("config.file", "Configuration: a file, a directory of *.yml and *.yaml files, or a pattern. Default: "+defaultConfig+", else "+serviceConfig+".").StringVar(&p.configFile)
	app.UsageWriter(stdout).ErrorWriter(stderr) // --help and --version are read or piped
	app.Flag("config.check", "Check the configuration, print what would be probed, and exit.").BoolVar(&p.check)
	app.Flag("syntax-only", "With --config.check: leave secret, certificate and key files alone, for machines that do not have them.").BoolVar(&p.syntaxOnly)
	app.Flag("config.enable-auto-reload", "Reload the configuration when one of its files has changed.").BoolVar(&p.autoReload)
	app.Flag("config.auto-reload-interval", "How often to check whether a file has changed.").Default("30s").DurationVar(&p.reloadEvery)
	app.Flag("state.file", "File that keeps account holds across restarts; empty: they are not kept. With probe and the configuration of the service, its file is found.").IsSetByUser(&p.stateGiven).StringVar(&p.stateFile)
	app.Flag("web.telemetry-path", "Path under which metrics are served.").Default("/metrics").StringVar(&p.telemetryPath)
	app.Flag("web.external-url", "URL under which Prometheus reaches mailprobe, for /sd behind a proxy; empty: from the request's Host header.").URLVar(&p.externalURL)
	app.Flag("web.enable-retry", "Allow POST requests to /-/retry to end the hold of a refused login.").BoolVar(&p.retry)
	app.Flag("web.pprof-address", "Loopback address and port on which to serve profiles (pprof); empty: they are not served.").StringVar(&p.pprofAddress)
	p.web = kingpinflag.AddFlags(app, defaultAddress)
	app.GetFlag("web.listen-address").Help("Address to listen on; repeatable. :10925 is every address of this host, 127.0.0.1:10925 or [::1]:10925 only loopback, unix:/run/mailprobe/http.sock a socket in the file system.")
	promslogflag.AddFlags(app, logs)

	once := app.Command("probe", "Probe once, now, and print the results.")
	once.Arg("NAME", "Connections to probe; all if none is given. A URL such as imaps://user@host needs no configuration.").
		HintAction(func() []string { return connectionNames(args) }).StringsVar(&p.once.Names)
	once.Flag("output", "Output format: table, json or nagios.").Short('o').Default("table").StringVar(&p.once.Output)
	once.Flag("verbose", "Show the dialogues, with secrets removed.").Short('v').BoolVar(&p.once.Transcript)
	once.Flag("password-file", "File with the password for the user in a URL.").StringVar(&p.once.URL.PasswordFile)
	once.Flag("ca-file", "PEM file of the CA certificates to trust for a URL, in place of the system's.").StringVar(&p.once.URL.CAFile)
	once.Flag("insecure-skip-verify", "Accept any certificate for a URL. Anyone in the path can then read the password.").BoolVar(&p.once.URL.InsecureSkipVerify)

	commands := map[string]func(context.Context) error{
		app.Command("serve", "Probe and serve metrics (the default).").Default().FullCommand(): p.serve,
		once.FullCommand(): p.probe,
		app.Command("demo", "Probe embedded mail servers, some broken on purpose, and serve the results.").FullCommand(): p.demo,
		app.Command("healthcheck", "Ask a running mailprobe on this host whether it is healthy.").FullCommand():          p.healthcheck,
		app.Command("schema", "Print the JSON Schema of the configuration.").FullCommand():                               p.schema,
	}
	command, err := app.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "mailprobe: %v (see mailprobe --help)\n", err)
		if given, _ := app.ParseContext(args); given != nil && given.SelectedCommand == once {
			return cli.ExitNotRun // 2 is its word for a connection that is down
		}
		return 2
	}
	if p.syntaxOnly && !p.check {
		fmt.Fprintln(stderr, "mailprobe: --syntax-only needs --config.check")
		return 2
	}
	p.findConfig()
	lines := logline.New(stderr, func(n uint64) []byte { return droppedLines(logs, n) })
	logs.Writer = lines
	p.log = promslog.New(logs)
	do := commands[command]
	if p.check {
		do = p.checkConfig // whatever the command: it promises to check and exit
	}
	err = do(ctx)
	lines.Close(logPatience)
	code := exitCode(err, stderr)
	if p.lacksConfiguration(err) {
		fmt.Fprintln(stderr, "mailprobe: set --config.file to the configuration; mailprobe demo needs none")
	}
	return code
}

// findConfig settles which configuration is meant where none is named.
func (p *program) findConfig() {
	if p.configFile == "" {
		p.configFile = foundConfig(p.root)
	}
}

// foundConfig is the configuration that is there, or the one that should be.
func foundConfig(root string) string {
	if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(root + serviceConfig); err == nil {
			return root + serviceConfig
		}
	}
	return defaultConfig
}

// probeState is the state file for a probe by hand: with the configuration of the
// service it is the service's, so that its holds are obeyed.
func (p *program) probeState() string {
	if p.stateGiven || p.configFile != p.root+serviceConfig {
		return p.stateFile
	}
	if _, err := os.Stat(p.root + serviceState); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return p.root + serviceState // whatever else is wrong with it, opening it says so
}

// lacksConfiguration reports whether err is that of the very first start.
func (p *program) lacksConfiguration(err error) bool {
	var faults config.Faults
	if !errors.As(err, &faults) {
		return false
	}
	_, err = os.Stat(p.configFile)
	return errors.Is(err, fs.ErrNotExist)
}

// droppedLines is the line that stands for lines that were not read in time.
func droppedLines(logs *promslog.Config, n uint64) []byte {
	var line bytes.Buffer
	promslog.New(&promslog.Config{Level: logs.Level, Format: logs.Format, Style: logs.Style, Writer: &line}).
		Warn("log lines were dropped because the log was not read", "count", n)
	return line.Bytes()
}

// exitCode prints what went wrong, and returns the exit code for it.
func exitCode(err error, stderr io.Writer) int {
	code := 0
	if err != nil {
		code = 1
	}
	var exit *cli.ExitError
	if errors.As(err, &exit) {
		code, err = exit.Code, exit.Err
	}
	if err != nil {
		fmt.Fprintf(stderr, "mailprobe: %v\n", err)
	}
	return code
}

// checkConfig is --config.check.
func (p *program) checkConfig(context.Context) error {
	load := config.NewSource(p.configFile).Load
	if p.syntaxOnly {
		load = func() (*config.Config, []config.Finding, error) { return config.CheckSyntax(p.configFile) }
	}
	return cli.Check(cli.CheckOptions{Path: p.configFile, Load: load, Stdout: p.stdout, Width: widthOf(p.stdout)})
}

// serve is the default command.
func (p *program) serve(ctx context.Context) error {
	p.log.Info("starting mailprobe", "version", version.Info(), "build", version.BuildContext())
	source, watch := config.NewSource(p.configFile), exporter.Watch{}
	if p.autoReload {
		if p.reloadEvery <= 0 {
			return errors.New("--config.auto-reload-interval: must be greater than 0s")
		}
		watch = exporter.Watch{Changed: source.Changed, Interval: p.reloadEvery}
	}
	return p.run(ctx, source.Load, watch)
}

// run is the service.
func (p *program) run(ctx context.Context, load config.Loader, watch exporter.Watch) error {
	service, err := exporter.New(exporter.Options{Load: load, Web: p.web, TelemetryPath: p.telemetryPath,
		ExternalURL: p.externalURL, Retry: p.retry, PprofAddress: p.pprofAddress, StateFile: p.stateFile, Watch: watch, Log: p.log})
	if err != nil {
		return err
	}
	return service.Run(ctx)
}

// probe is for terminals, scripts and Nagios. Warnings about the configuration
// are --config.check's.
func (p *program) probe(ctx context.Context) error {
	o := p.once
	o.Load, o.StateFile, o.Log = config.NewSource(p.configFile).Load, p.probeState(), p.log
	o.Stdout, o.Stderr = p.stdout, p.stderr
	o.URL.Ask = cli.NewTerminal(os.Stdin, p.stderr)
	o.Live = o.Output == "table" && isTerminal(p.stderr)
	o.Width = widthOf(p.stdout)
	o.Color = isTerminal(p.stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return cli.Probe(ctx, o)
}

// connectionNames is what a shell completes after `probe`: the names in the
// configuration of an unfinished command line, none if it cannot be loaded.
func connectionNames(args []string) (names []string) {
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
		return nil
	}
	for _, c := range loaded.Connections {
		names = append(names, c.Name)
	}
	return names
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// widthOf is the width of a terminal; 0: w is not one.
func widthOf(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// healthcheck is for containers without a shell.
func (p *program) healthcheck(ctx context.Context) error {
	return cli.Healthcheck(ctx, (*p.web.WebListenAddresses)[0])
}

// schema prints the JSON Schema.
func (p *program) schema(context.Context) error {
	_, err := p.stdout.Write(config.Schema())
	return err
}
