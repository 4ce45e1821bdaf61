package cli

// This file holds what discover, add and import share: a connection is tried, and
// exactly what was tried is written.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailprobe/config"
	"mailprobe/guard"
	"mailprobe/mail"
	"mailprobe/prober"
)

// SetupOptions are the flags that discover, add and import share.
type SetupOptions struct {
	ConfigFile   string // to which the connections are added
	StateFile    string // of the serving mailprobe; empty: no hold is known
	PasswordFile string // empty: Ask asks for the password
	Output       string // table, yaml or json

	Ask            *Terminal // nil: there is none
	Stdout, Stderr io.Writer
	Color          bool
	Width          int // of the terminal on Stdout; 0: it is none, and no line is too long
	Log            *slog.Logger

	Resolver *net.Resolver                                                        // nil: Go's own
	dialWeb  func(ctx context.Context, network, address string) (net.Conn, error) // set by tests: nil connects
	Timeout  time.Duration                                                        // of each probe here, if the connection's own is longer; 0: 10 s
}

// setupTimeout bounds a probe for which a person waits at a terminal.
const setupTimeout = 10 * time.Second

// setup is one run of a command that sets connections up.
type setup struct {
	SetupOptions
	guard *guard.Guard
}

// with runs do with the holds of the serving mailprobe.
func (o SetupOptions) with(do func(*setup) error) error {
	if !slices.Contains([]string{"table", "yaml", "json"}, o.Output) {
		return &ExitError{ExitNotRun, fmt.Errorf("-o %s: not one of table, yaml, json", o.Output)}
	}
	if o.Ask != nil {
		o.Log = nil // the person sees what happens
	}
	g, err := guard.Open(guard.Options{StatePath: o.StateFile, Log: o.Log})
	if err != nil {
		return &ExitError{ExitNotRun, fmt.Errorf("state file: %w", err)}
	}
	err = do(&setup{SetupOptions: o, guard: g})
	var exit *ExitError
	if err != nil && !errors.As(err, &exit) {
		err = &ExitError{ExitNotRun, err}
	}
	return errors.Join(err, g.Close())
}

// probe probes once, with the login if the connection has one.
func (s *setup) probe(ctx context.Context, c *mail.Connection) mail.Outcome {
	brief := *c
	brief.Timeout = min(c.Timeout, cmp.Or(s.Timeout, setupTimeout))
	return (&prober.Prober{Guard: s.guard, Log: s.Log, Resolver: s.Resolver}).Probe(ctx, &brief)
}

// show prints outcomes as mailprobe probe does.
func (s *setup) show(outcomes ...mail.Outcome) error {
	o := ProbeOptions{Stdout: s.Stdout, Color: s.Color, Width: s.Width, StateFile: s.StateFile}
	_, err := o.table(outcomes)
	return err
}

// write appends connections to the configuration, and says what to do next.
func (s *setup) write(additions []config.Addition) error {
	done, err := config.Append(s.ConfigFile, additions)
	if err != nil {
		return err
	}
	names := make([]string, len(additions))
	for i, a := range additions {
		names[i] = a.Value("name")
	}
	fmt.Fprintf(s.Stdout, "%s: added %s\n", done.File, strings.Join(names, ", "))
	for _, file := range done.Secrets {
		fmt.Fprintf(s.Stdout, "%s: holds the password\n", file)
	}
	fmt.Fprintln(s.Stdout, "A running mailprobe takes it in at a reload: systemctl reload mailprobe, or kill -HUP, or POST /-/reload.")
	return nil
}

// passwordFile is how the configuration names the file of --password-file.
func (s *setup) passwordFile() (string, error) {
	if s.PasswordFile == "" {
		return "", nil
	}
	return filepath.Abs(s.PasswordFile)
}

// names returns the names that are taken.
func (s *setup) names() map[string]bool {
	taken := map[string]bool{}
	loaded, _, err := config.CheckSyntax(s.ConfigFile)
	if err != nil {
		return taken // appending says what is wrong with it
	}
	for _, c := range slices.Concat(loaded.Connections, loaded.Disabled) {
		taken[c.Name] = true
	}
	return taken
}

// freeName is a name, with a number if it is taken, and takes it.
func freeName(name string, taken map[string]bool) string {
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	taken[free] = true
	return free
}

// yes asks a question that has two answers. Without a terminal it is no.
func (s *setup) yes(ctx context.Context, question string, usual bool) (bool, error) {
	if s.Ask == nil {
		return false, nil
	}
	hint := " [y/N] "
	if usual {
		hint = " [Y/n] "
	}
	answer, err := s.Ask.Line(ctx, question+hint)
	if answer == "" {
		return usual, err
	}
	return strings.HasPrefix(strings.ToLower(answer), "y"), err
}
