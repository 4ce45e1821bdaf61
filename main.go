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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/term"

	"mailprobe/config"
	"mailprobe/internal/cli"
	"mailprobe/internal/exporter"
	"mailprobe/internal/logline"
	"mailprobe/internal/shard"
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
	kingpin.EnableFileExpansion = false // a word that begins with @ is no file of arguments
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
	shard         string
	share         string // I/N, as shard is understood here; empty: all
	stateFile     string
	stateGiven    bool // even as empty
	telemetryPath string
	externalURL   *url.URL
	retry         bool
	pprofAddress  string
	web           *web.FlagConfig
	once          cli.ProbeOptions
	find          cli.DiscoverOptions
	from          cli.ImportOptions
	form          cli.AddOptions
	formLabels    map[string]string
}

// run is the program. It returns the exit code: 0 for success, 1 for an error, 2 for
// an invalid command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	completeVersion()
	p := &program{stdout: stdout, stderr: stderr}
	logs := &promslog.Config{Writer: stderr}
	app := kingpin.New("mailprobe", "Tells Prometheus whether mail connections work, and why not.")
	app.HelpFlag.Short('h')
	app.Version(versionText(args))
	help := &helpWriter{to: stdout, stderr: stderr}
	app.UsageWriter(help).ErrorWriter(stderr).Terminate(help.exit) // --help and --version are read or piped
	p.addFlags(app)
	promslogflag.AddFlags(app, logs)
	commands := p.commands(app, args)
	command, err := parseArgs(app, args)
	if err != nil {
		fmt.Fprintf(stderr, "mailprobe: %v (see mailprobe --help)\n", err)
		if probing[command] {
			return cli.ExitNotRun // 2 is their word for a connection that is down
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
		do = p.checkConfig // with any command: the flag promises to check and exit
	}
	return p.end(do(ctx), logs, lines)
}

// end reports what went wrong as the last line, in the format of the log, and
// returns the exit code.
func (p *program) end(err error, logs *promslog.Config, lines *logline.Writer) int {
	code, err := exitCode(err), reported(err)
	texts := []string{}
	if err != nil {
		texts = append(texts, err.Error())
	}
	if p.lacksConfiguration(err) {
		texts = append(texts, "set --config.file to the configuration; mailprobe discover ADDRESS can write one, mailprobe demo needs none")
	}
	asJSON := logs.Format != nil && logs.Format.String() == "json"
	if asJSON && len(texts) > 0 {
		p.log.Error("mailprobe failed", "err", strings.Join(texts, "\n"))
	}
	lines.Close(logPatience)
	if !asJSON {
		for _, text := range texts {
			fmt.Fprintf(p.stderr, "mailprobe: %s\n", text)
		}
	}
	return code
}

// findConfig chooses the configuration if no flag names one.
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

// lacksConfiguration reports whether err means that there is no configuration yet.
func (p *program) lacksConfiguration(err error) bool {
	var faults config.Faults
	if !errors.As(err, &faults) {
		return false
	}
	if !slices.ContainsFunc(faults, func(f config.Finding) bool { return f.File == p.configFile && f.Line == 0 }) {
		return false // they are about something else, such as a URL
	}
	_, err = os.Stat(p.configFile)
	return errors.Is(err, fs.ErrNotExist)
}

// droppedLines returns the log line that reports n dropped lines.
func droppedLines(logs *promslog.Config, n uint64) []byte {
	var line bytes.Buffer
	promslog.New(&promslog.Config{Level: logs.Level, Format: logs.Format, Style: logs.Style, Writer: &line}).
		Warn("log lines were dropped because the log was not read", "count", n)
	return line.Bytes()
}

// exitCode is 1 for an error, unless it has a code of its own.
func exitCode(err error) int {
	var exit *cli.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.Code
	case err != nil:
		return 1
	}
	return 0
}

// reported returns the error to print; nil: it was printed already.
func reported(err error) error {
	var exit *cli.ExitError
	if errors.As(err, &exit) {
		return exit.Err
	}
	return err
}

// checkConfig is --config.check.
func (p *program) checkConfig(context.Context) error {
	load := config.NewSource(p.configFile).Load
	if p.syntaxOnly {
		load = func() (*config.Config, []config.Finding, error) { return config.CheckSyntax(p.configFile) }
	} else if err := exporter.CheckWebConfig(p.web); err != nil {
		return err
	}
	load, err := p.sharded(load)
	if err != nil {
		return err
	}
	return cli.Check(cli.CheckOptions{Path: p.configFile, Load: load, Share: p.share, Stdout: p.stdout, Width: widthOf(p.stdout)})
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
	load, err := p.sharded(source.Load)
	if err != nil {
		return err
	}
	return p.run(ctx, load, watch)
}

// sharded loads only the connections and routes of this process's share.
func (p *program) sharded(load config.Loader) (config.Loader, error) {
	hostname, _ := os.Hostname() // without one, ordinal is refused
	share, err := shard.Parse(p.shard, hostname)
	if err != nil || share.Count == 0 {
		return load, err
	}
	p.share = share.String()
	return func() (*config.Config, []config.Finding, error) {
		loaded, findings, err := load()
		if err != nil {
			return loaded, findings, err
		}
		own := *loaded
		own.Connections = share.Of(loaded.Connections)
		own.Routes = shard.Routes(loaded.Routes, own.Connections)
		p.log.Info("a share of the connections is probed", "shard", share.String(), "connections", len(own.Connections), "of", len(loaded.Connections))
		return &own, findings, nil
	}, nil
}

// run is the service.
func (p *program) run(ctx context.Context, load config.Loader, watch exporter.Watch) error {
	if p.externalURL != nil && p.externalURL.String() == "" {
		p.externalURL = nil
	}
	service, err := exporter.New(exporter.Options{Load: load, Web: p.web, TelemetryPath: p.telemetryPath,
		ExternalURL: p.externalURL, Retry: p.retry, PprofAddress: p.pprofAddress, StateFile: p.stateFile, Shard: p.share, Watch: watch, Log: p.log})
	if err != nil {
		return err
	}
	return service.Run(ctx)
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

// healthcheck is for containers without a shell. Without a flag of its own it asks
// where the process of the container listens.
func (p *program) healthcheck(ctx context.Context) error {
	address := (*p.web.WebListenAddresses)[0]
	if address == defaultAddress {
		address = cli.ContainerAddress(defaultAddress)
	}
	return cli.Healthcheck(ctx, address)
}

// schema prints the JSON Schema.
func (p *program) schema(context.Context) error {
	_, err := p.stdout.Write(config.Schema())
	return err
}
