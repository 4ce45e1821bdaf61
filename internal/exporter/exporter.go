// Package exporter is mailprobe as a service: it loads a configuration, keeps
// the pool probing, serves the results, reloads and stops. It wires the
// packages together and has no state of its own but who is up.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"mailprobe/config"
	"mailprobe/guard"
	"mailprobe/history"
	"mailprobe/internal/firstseen"
	"mailprobe/mail"
	"mailprobe/metrics"
	"mailprobe/pool"
	"mailprobe/prober"
	"mailprobe/web"
)

// Options says what to serve. Load and Log must be set.
type Options struct {
	Load config.Loader // called at the start and at each reload, by one goroutine at a time
	// Web says where to listen; nil: nowhere, for tests that use Handler.
	Web           *toolkit.FlagConfig
	TelemetryPath string   // "/metrics" if empty
	ExternalURL   *url.URL // how Prometheus reaches this; nil: by the name it asks for
	Retry         bool     // POST requests may end holds
	PprofAddress  string   // where profiles are served, on loopback only; empty: nowhere
	StateFile     string   // where account holds survive a restart; empty: nowhere
	Watch         Watch    // reloads by itself; zero: never
	Log           *slog.Logger
}

// Exporter is the running service.
type Exporter struct {
	options   Options
	first     *config.Config // whose pool and metrics count until the end
	log       *slog.Logger
	guard     *guard.Guard
	pool      *pool.Pool
	collector *metrics.Collector
	history   *history.History
	changes   *changes
	handler   http.Handler
	routing   *routing
	sightings *firstseen.Memory // of POP3 messages
	states    *stateKeeper
	inFlight  int // probes at once

	reloading  sync.Mutex // signals and requests may come at once
	lastReload atomic.Pointer[reloadResult]
}

// New loads the first configuration. A broken one is an error: there is nothing
// to fall back to.
func New(o Options) (*Exporter, error) {
	if err := checkPprofAddress(o.PprofAddress); err != nil {
		return nil, err
	}
	first, err := load(o)
	if err != nil {
		return nil, err
	}
	guard, err := guard.New(guard.Options{StatePath: o.StateFile, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	e := &Exporter{options: o, first: first, log: o.Log, guard: guard, history: &history.History{}, changes: newChanges(o.Log)}
	e.states = newStateKeeper(o.StateFile, e.history, o.Log)
	limit, lowered := pool.DescriptorLimit(first.Pool.MaxInFlight)
	if lowered {
		o.Log.Warn("max_in_flight is lowered to what the file descriptor limit allows",
			"configured", first.Pool.MaxInFlight, "limit", limit)
	}
	e.collector = e.newCollector()
	if e.sightings, err = openSightings(o, guard); err != nil {
		return nil, errors.Join(err, guard.Close())
	}
	p := &prober.Prober{Sightings: e.sightings, Guard: guard, LastUp: e.history.LastUp, Log: o.Log}
	drops := &maildrops{}
	if e.routing, err = newRouting(o.StateFile, p, drops, e.reportRoute, o.Log); err == nil {
		err = e.routing.check(first.Routes)
	}
	if err != nil {
		return nil, errors.Join(err, guard.Close())
	}
	e.pool = pool.New(pool.Options{
		MaxInFlight:        limit,
		MaxInFlightPerHost: first.Pool.MaxInFlightPerHost,
		LimitDemand:        true,
		Probe:              drops.probe(p.Probe),
		Report:             e.report,
		StartDelay:         e.collector.ObserveStartDelay,
		Log:                o.Log,
	})
	e.inFlight = limit
	e.apply(first)
	if e.handler, err = e.newHandler(); err != nil {
		return nil, errors.Join(err, guard.Close())
	}
	return e, nil
}

// newCollector wires the metrics. What they ask is made later, and never changes.
func (e *Exporter) newCollector() *metrics.Collector {
	o := metrics.Options{
		Histograms:  e.first.Metrics.Histograms,
		Pool:        func() mail.PoolStats { return e.pool.Stats() },
		LastSuccess: e.history.LastUp,
		RouteCounts: func(route string) mail.RouteCounts { return e.routing.journal.Counts(route) },
	}
	if e.options.StateFile != "" {
		o.HoldsUnkept = e.guard.Unkept
	}
	return metrics.NewCollector(o)
}

// newHandler wires the site.
func (e *Exporter) newHandler() (http.Handler, error) {
	o := e.options
	return web.New(web.Options{
		History: e.history, Metrics: e.collector, Probe: e.probeNow, Pending: pool.Overrun, MaxWaiting: e.inFlight,
		TelemetryPath: o.TelemetryPath, ExternalURL: o.ExternalURL,
		Retry: o.Retry, Reload: e.Reload, ReloadFault: e.reloadFault, Release: e.release, Log: o.Log,
	})
}

// probeNow is the pool's ProbeNow with the errors that web knows.
func (e *Exporter) probeNow(ctx context.Context, name string) (mail.Outcome, error) {
	o, err := e.pool.ProbeNow(ctx, name)
	switch {
	case errors.Is(err, pool.ErrUnknownConnection):
		err = web.ErrUnknownConnection
	case errors.Is(err, pool.ErrStopped):
		err = web.ErrStopping
	}
	return o, err
}

// release is the guard's Release with the error that web knows.
func (e *Exporter) release(c *mail.Connection) error {
	err := e.guard.Release(c)
	if errors.Is(err, guard.ErrReleasedLately) {
		err = web.TooSoonError{Err: err}
	}
	return err
}

// load asks for the configuration and logs its warnings.
func load(o Options) (*config.Config, error) {
	loaded, warnings, err := o.Load()
	for _, warning := range warnings {
		o.Log.Warn("configuration", "warning", warning.String())
	}
	return loaded, err
}

// apply makes a good configuration the current one.
func (e *Exporter) apply(loaded *config.Config) {
	e.history.SetConnections(loaded.Connections) // first: the metrics ask it for what it knows from before a restart
	e.history.SetRoutes(loaded.Routes)
	e.collector.SetConnections(loaded.Connections)
	e.collector.SetRoutes(loaded.Routes)
	e.changes.keep(loaded.Connections)
	e.guard.SetConnections(loaded.Connections)
	e.pool.Set(loaded.Connections)
	e.routing.set(loaded.Routes)
	e.warnForgetful(loaded.Connections)
	e.collector.ConfigReloaded(true, time.Now())
	if loaded.Pool != e.first.Pool || loaded.Metrics != e.first.Metrics {
		e.log.Warn("pool or metrics changed; this takes effect at the next start")
	}
	e.log.Info("configuration loaded", "connections", len(loaded.Connections))
}

// reloadResult is how a reload went, for the status page.
type reloadResult struct {
	fault error
	at    time.Time
}

// reloadFault returns when the last reload was, and why it failed; nil: it did not,
// or there was none.
func (e *Exporter) reloadFault() (at time.Time, fault error) {
	if last := e.lastReload.Load(); last != nil {
		return last.at, last.fault
	}
	return time.Time{}, nil
}

// Reload replaces the configuration. A broken one changes nothing but the two
// reload metrics; its faults are the error. Several callers wait for each other.
func (e *Exporter) Reload() error {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	loaded, err := load(e.options)
	if err == nil {
		err = e.routing.check(loaded.Routes)
	}
	e.lastReload.Store(&reloadResult{err, time.Now()})
	if err != nil {
		e.collector.ConfigReloaded(false, time.Now())
		e.log.Error("reload failed, the old configuration stays in effect", "err", err)
		return err
	}
	e.apply(loaded)
	e.states.wake()
	return nil
}

// report takes an outcome from the pool.
func (e *Exporter) report(o mail.Outcome) {
	e.collector.Observe(o)
	if e.history.Observe(o) {
		e.states.wake()
	}
	e.changes.note(o)
}

// reportRoute takes what became of one message of a route.
func (e *Exporter) reportRoute(o mail.RouteOutcome) {
	e.collector.ObserveRoute(o)
	e.history.ObserveRoute(o)
	e.changes.noteRoute(o)
}

// Run probes and serves until ctx ends; SIGHUP reloads meanwhile. It returns
// when every probe has said goodbye.
func (e *Exporter) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	pooled := make(chan error, 1)
	go func() { pooled <- e.pool.Run(ctx) }()
	var background sync.WaitGroup
	for _, run := range []func(context.Context){e.routing.run, e.states.run, e.sightings.Run, e.watch, paceCollections} {
		background.Go(func() { run(ctx) })
	}
	served := make(chan error, 2)
	stop, err := e.serve(served)
	if err == nil {
		err = e.wait(ctx, hangups, served)
	}
	cancel()
	stop()
	err = errors.Join(err, <-pooled)
	e.finish(&background)
	return errors.Join(err, e.guard.Close())
}

// filesTime is what the files get to be written at the end.
const filesTime = time.Second

// finish waits for what runs beside the probes and writes the last outcomes down. A
// disk that hangs does not keep the program from ending.
func (e *Exporter) finish(background *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		background.Wait()
		e.states.write()
		e.sightings.Save()
	}()
	select {
	case <-done:
	case <-time.After(filesTime):
		e.log.Warn("the disk does not answer: the last changes are not kept")
	}
}

// wait reloads at each hangup until the end comes.
func (e *Exporter) wait(ctx context.Context, hangups <-chan os.Signal, served <-chan error) error {
	for {
		select {
		case <-hangups:
			_ = e.Reload() // logged there; the old configuration stays in effect
		case err := <-served:
			return err
		case <-ctx.Done():
			e.log.Info("stopping")
			return nil
		}
	}
}

// Handler is everything that is served.
func (e *Exporter) Handler() http.Handler { return e.handler }
