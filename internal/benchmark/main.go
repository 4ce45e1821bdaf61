//go:build linux

// Benchmark measures mailprobe as a whole process, from outside:
//
//	go run ./internal/benchmark
//	go run ./internal/benchmark -blackbox /path/to/blackbox_exporter
//
// It takes less than three minutes on two cores, longer with several builds, and
// prints the table that docs/measurements.md quotes. The server, every client and
// this program are processes of their own; the clients share one core, the others use
// the second one. The unit of processor time is the hand-written dialogue (bare.go).
// Dialogue and exporters run by turns in short rounds, so that a busy machine disturbs
// all of them alike. The benchmark needs Linux, which answers on all of 127.0.0.0/8:
// each target has its own address and certificate. The targets of a client share some
// ports, because the guard treats all of loopback as one server for each port.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Names of the roles that this program plays in processes of its own.
const (
	serverRole = "server"
	bareRole   = "bare"
)

// settings are what the flags say.
type settings struct {
	mailprobes []build // the first one is this source tree's, unless named
	blackbox   string  // path of its binary; empty: it is left out
	rounds     int
	round      time.Duration // length of each
	only       string        // parts to measure, with commas; empty: all
	stateFile  bool          // the exporters keep their holds in a file
	profile    string        // where profiles of the first mailprobe go; empty: nowhere
}

// build is one binary of mailprobe, with the name that it has in the table.
type build struct{ name, path string }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		stop()
		os.Exit(1)
	}
}

// run plays the role that the first argument names, or measures.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case serverRole:
			return runServer(args[1:], stdin, stdout)
		case bareRole:
			return runBare(args[1:], stdin, stdout)
		}
	}
	var s settings
	flags := flag.NewFlagSet("benchmark", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("mailprobe", "`NAME=PATH` of a binary to measure, more than once to compare; default: built from the source", s.addBuild)
	flags.StringVar(&s.blackbox, "blackbox", "", "`path` of a blackbox_exporter to compare with")
	flags.IntVar(&s.rounds, "rounds", 9, "rounds of measuring")
	flags.DurationVar(&s.round, "round", time.Second, "`length` of a round")
	flags.StringVar(&s.only, "only", "", "`parts` to measure, with commas: "+strings.Join(partNames(), ", "))
	flags.BoolVar(&s.stateFile, "state", false, "let mailprobe keep its holds in a state file")
	flags.StringVar(&s.profile, "profile", "", "`file` for profiles of the first mailprobe: its processor time (.saturated and .scale are added) and its memory at rest (.rest)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return s.measure(ctx, stdout, stderr)
}

func (s *settings) addBuild(value string) error {
	name, path, ok := strings.Cut(value, "=")
	if !ok {
		name, path = filepath.Base(value), value
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	s.mailprobes = append(s.mailprobes, build{name, path})
	return nil
}

// part is one thing to measure, in a process of its own.
type part struct {
	name    string
	measure func(*bench) error
	source  bool // it needs the source tree
}

// parts are measured in this order.
var parts = []part{
	{"saturated", (*bench).saturated, false},
	{"steady", (*bench).steady, false},
	{"waiting", (*bench).waiting, false},
	{"scale", (*bench).scale, false},
	{"schedule", (*bench).schedule, true},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// bench is one run of the benchmark.
type bench struct {
	settings
	ctx    context.Context
	dir    string // for configurations; removed at the end
	server *server
	table  table
	log    io.Writer
}

// measure measures the parts, and prints the table.
func (s *settings) measure(ctx context.Context, stdout, stderr io.Writer) (err error) {
	wanted, err := s.wanted()
	if err != nil {
		return err
	}
	if err := s.checkTree(ctx, wanted); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mailprobe-benchmark-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{settings: *s, ctx: ctx, dir: dir, log: stderr}
	if err := b.build(); err != nil {
		return err
	}
	if b.server, err = startServer(dir, 1+len(b.mailprobes)+1); err != nil {
		return err
	}
	defer b.server.stop()
	begin := time.Now()
	for _, p := range wanted {
		fmt.Fprintf(stderr, "%6s %s\n", time.Since(begin).Round(time.Second), p.name)
		if err := p.measure(b); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), b.table.print(stdout))
		}
	}
	return b.table.print(stdout)
}

// wanted are the parts to measure.
func (s *settings) wanted() ([]part, error) {
	names := strings.FieldsFunc(s.only, func(r rune) bool { return r == ',' })
	for _, name := range names {
		if !slices.Contains(partNames(), name) {
			return nil, fmt.Errorf("-only: there is no part %q", name)
		}
	}
	if len(names) == 0 {
		return parts, nil
	}
	return slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return !slices.Contains(names, p.name) }), nil
}

// checkTree returns an error where the source tree is needed and this is another folder.
func (s *settings) checkTree(ctx context.Context, wanted []part) error {
	if len(s.mailprobes) > 0 && !slices.ContainsFunc(wanted, func(p part) bool { return p.source }) {
		return nil
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
	if err == nil && strings.TrimSpace(string(module)) == "mailprobe" {
		return nil
	}
	return errors.New("this folder is not in mailprobe's source tree: change to it, or name binaries (-mailprobe) and parts other than schedule (-only)")
}

// build builds mailprobe, unless binaries are named.
func (b *bench) build() error {
	if len(b.mailprobes) > 0 {
		return nil
	}
	path := filepath.Join(b.dir, "mailprobe")
	command := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-o", path, "mailprobe")
	command.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build mailprobe: %w: %s", err, out)
	}
	b.mailprobes = []build{{"mailprobe", path}}
	return nil
}

// pause waits; it returns an error if the run is interrupted.
func (b *bench) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.ctx.Done():
		return errors.New("interrupted")
	}
}
