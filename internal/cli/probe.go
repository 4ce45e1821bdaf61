package cli

// This file implements `mailprobe probe`, which probes each connection once. It obeys
// the holds of a serving mailprobe, so that probing by hand locks no account.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"mailprobe/config"
	"mailprobe/guard"
	"mailprobe/history"
	"mailprobe/internal/firstseen"
	"mailprobe/internal/human"
	"mailprobe/mail"
	"mailprobe/pool"
	"mailprobe/prober"
)

// The exit codes of `mailprobe probe`, as monitoring plugins have them.
const (
	ExitDown   = 2 // something is down
	ExitNotRun = 3 // nothing could be probed
)

// ExitError is an error with an exit code of its own; Err may be nil.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprint("exit code ", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// ProbeOptions is the command line of `mailprobe probe`.
type ProbeOptions struct {
	Load       config.Loader // the configuration; not called if Names holds only URLs
	Names      []string      // names of connections, or URLs; empty: all that are configured
	Send       string        // name of a route: one message of it is sent instead; empty: none
	URL        URLOptions    // for URLs
	StateFile  string        // of the serving mailprobe; empty: no hold is known
	Output     string        // table, json or nagios
	Transcript bool          // the redacted dialogues too

	Stdout, Stderr io.Writer
	Live           bool // a line on Stderr as each probe ends
	Color          bool // on Stdout and Stderr
	Width          int  // of the terminal on Stdout; 0: it is none, and no line is too long
	Log            *slog.Logger
}

// Probe probes once and prints the outcomes. A nil error means that all are
// up; an ExitError says which exit code to return.
func Probe(ctx context.Context, o ProbeOptions) error {
	run := o.probe
	if o.Send != "" {
		run = o.send
	}
	err := run(ctx)
	var exit *ExitError
	if o.Output == "nagios" && errors.As(err, &exit) && exit.Err != nil {
		// Nagios shows only the output, and mainly its first line.
		line := strings.NewReplacer(":\n", ": ", "\n", "; ").Replace(exit.Err.Error())
		fmt.Fprintf(o.Stdout, "MAILPROBE UNKNOWN - %s\n", unpiped(line))
	}
	return err
}

func (o *ProbeOptions) probe(ctx context.Context) error {
	format, known := formats[o.Output]
	if !known {
		return &ExitError{ExitNotRun, fmt.Errorf("-o %s: not one of table, json, nagios", o.Output)}
	}
	connections, configured, pool, err := o.connections(ctx)
	if err != nil {
		return &ExitError{ExitNotRun, err}
	}
	guard, err := o.guard()
	if err != nil {
		return err
	}
	if len(configured) > 0 { // a refused connection that is no longer configured holds no other one
		guard.SetConnections(slices.Concat(configured, connections))
	}
	outcomes, err := o.run(ctx, connections, pool, guard)
	if err = errors.Join(err, guard.Close()); err != nil {
		return &ExitError{ExitNotRun, err}
	}
	return exit(format(o, outcomes))
}

// exit returns the error that ends a command with an exit code: nil for 0, and
// ExitNotRun where err is not nil.
func exit(code int, err error) error {
	switch {
	case err != nil:
		return &ExitError{ExitNotRun, err}
	case code != 0:
		return &ExitError{Code: code}
	}
	return nil
}

// guard opens the holds of the serving mailprobe.
func (o *ProbeOptions) guard() (*guard.Guard, error) {
	g, err := guard.Open(guard.Options{StatePath: o.StateFile, Log: o.Log})
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w (run this as root or as the user of the service; --state.file= probes without its holds)", err)
	}
	if err != nil {
		return nil, &ExitError{ExitNotRun, fmt.Errorf("state file: %w", err)}
	}
	return g, nil
}

// connections finds what is to be probed, in the order asked for, and what is
// configured; the latter is empty if only URLs are probed.
func (o *ProbeOptions) connections(ctx context.Context) (chosen, configured []*mail.Connection, pool config.Pool, err error) {
	if len(o.Names) == 0 || slices.ContainsFunc(o.Names, func(name string) bool { return !isURL(name) }) {
		loaded, _, err := o.Load()
		if err != nil {
			return nil, nil, pool, fmt.Errorf("the configuration is not usable:\n%w%s", err, urlAdvice(o.Names...))
		}
		configured, pool = loaded.Connections, loaded.Pool
	}
	if len(o.Names) == 0 {
		if len(configured) == 0 {
			return nil, nil, pool, errors.New(noConnection)
		}
		return configured, configured, pool, nil
	}
	var faults []error
	for i, name := range o.Names {
		if slices.Contains(o.Names[:i], name) {
			continue
		}
		c, err := o.find(ctx, name, configured)
		switch {
		case err != nil:
			faults = append(faults, err)
		case slices.ContainsFunc(chosen, func(other *mail.Connection) bool { return other.Name == c.Name }):
			faults = append(faults, fmt.Errorf("%s is given twice: probe one user at a time", c.Name))
		default:
			chosen = append(chosen, c)
		}
	}
	return chosen, configured, pool, errors.Join(faults...)
}

// find returns the connection of a URL, or the configured one of a name.
func (o *ProbeOptions) find(ctx context.Context, name string, configured []*mail.Connection) (*mail.Connection, error) {
	if isURL(name) {
		return adHoc(ctx, name, o.URL)
	}
	var names []string
	for _, c := range configured {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return nil, fmt.Errorf("%q is not configured%s (%s)%s", name, config.DidYouMean(name, names), someOf(names), urlAdvice(name))
}

// urlAdvice says how to probe a server that is not configured, if one of the words
// looks like a server and not like the name of a connection.
func urlAdvice(words ...string) string {
	if slices.ContainsFunc(words, func(word string) bool { return !isURL(word) && strings.ContainsAny(word, ".:") }) {
		return "\nto probe a server that is not configured, give a URL, such as imaps://USER@HOST"
	}
	return ""
}

// someOf returns a short list of the configured names.
func someOf(names []string) string {
	const shown = 10
	switch {
	case len(names) == 0:
		return noConnection
	case len(names) > shown:
		return fmt.Sprintf("configured are %s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return "configured are " + strings.Join(names, ", ")
}

// sightings returns what the serving mailprobe has stored of watched POP3 mailboxes;
// nil: nothing. A probe by hand does not change it.
func (o *ProbeOptions) sightings(g *guard.Guard) prober.Sightings {
	if o.StateFile == "" {
		return nil
	}
	memory, err := firstseen.Open(firstseen.Path(o.StateFile), g.KeyedHash, o.Log)
	if err != nil {
		return nil // only the ages are missing then
	}
	return memory
}

// run probes all at once, within the pool's bounds.
func (o *ProbeOptions) run(ctx context.Context, connections []*mail.Connection, bounds config.Pool, guard *guard.Guard) ([]mail.Outcome, error) {
	limit, _ := pool.DescriptorLimit(bounds.MaxInFlight)
	var printing sync.Mutex
	p := &prober.Prober{Guard: guard, LastUp: o.lastUp(), Log: o.Log, Sightings: o.sightings(guard)}
	pool := pool.New(pool.Options{
		MaxInFlight: limit, MaxInFlightPerHost: bounds.MaxInFlightPerHost, Probe: p.Probe, Log: o.Log,
		Report: func(outcome mail.Outcome) {
			if o.Live {
				printing.Lock()
				defer printing.Unlock()
				o.line(&outcome)
			}
		},
	})
	pool.Set(connections)
	outcomes := make([]mail.Outcome, len(connections))
	faults := make([]error, len(connections))
	var probes sync.WaitGroup
	for i, c := range connections {
		probes.Go(func() { outcomes[i], faults[i] = pool.ProbeNow(ctx, c.Name) })
	}
	probes.Wait()
	pool.Set(nil)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := pool.Run(ended); err != nil { // waits for those that say goodbye
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	return outcomes, errors.Join(faults...)
}

// lastUp returns what the serving mailprobe keeps of when each connection last
// worked; nil without its state file.
func (o *ProbeOptions) lastUp() func(*mail.Connection) time.Time {
	if o.StateFile == "" {
		return nil
	}
	states, err := history.ReadStates(history.StatesPath(o.StateFile))
	if err != nil && o.Log != nil {
		o.Log.Warn("last successes not known: their file cannot be read", "err", err)
	}
	return states.LastUp
}

// line reports one probe as it ends.
func (o *ProbeOptions) line(outcome *mail.Outcome) {
	fmt.Fprintf(o.Stderr, "%s %s %s\n", o.paint(stateWord(outcome)), printable(outcome.Connection.Name), human.Duration(outcome.Duration()))
}
