// Package exporter is mailprobe as a service: it loads a configuration, runs the
// pool, serves the results, reloads and stops. It connects the other packages; its
// only state of its own is the last logged status of each connection.
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
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"mailprobe/config"
	"mailprobe/guard"
	"mailprobe/history"
	"mailprobe/internal/firstseen"
	"mailprobe/internal/kerneltime"
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
	Shard         string   // which part of the connections Load returns, for people; empty: all
	Watch         Watch    // reloads by itself; zero: never
	Log           *slog.Logger
}

// Exporter is the running service.
type Exporter struct {
	options   Options
	first     *config.Config // only its pool and metrics settings, which apply until the end
	log       *slog.Logger
	guard     *guard.Guard
	pool      *pool.Pool
	collector *metrics.Collector
	history   *history.History
	changes   *changes
	handler   http.Handler
	routing   *routing
	sightings *firstseen.Store // of POP3 messages
	states    *stateKeeper
	inFlight  int // probes at once

	reloading  sync.Mutex // signals and requests may come at once
	lastReload atomic.Pointer[reloadResult]
}

// New loads the first configuration. A faulty one is an error, because there is no
// older one to keep.
func New(o Options) (*Exporter, error) {
	if err := errors.Join(checkPprofAddress(o.PprofAddress), CheckWebConfig(o.Web)); err != nil {
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
	e := &Exporter{options: o, first: &config.Config{Pool: first.Pool, Metrics: first.Metrics}, log: o.Log, guard: guard, history: &history.History{}, changes: newChanges(o.Log)}
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
		Busy:               newProcessor().isBusy,
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

// newCollector makes the metrics. The fields that its functions read are set later,
// before the first scrape, and then never changed.
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

// newHandler makes the HTTP handler.
func (e *Exporter) newHandler() (http.Handler, error) {
	o := e.options
	return web.New(web.Options{
		History: e.history, Metrics: e.collector, Probe: e.probeNow, Pending: pool.Overrun, MaxWaiting: e.inFlight,
		TelemetryPath: o.TelemetryPath, ExternalURL: o.ExternalURL, Shard: o.Shard,
		Retry: o.Retry, Reload: e.Reload, ReloadFault: e.reloadFault, Release: e.release, Log: o.Log,
	})
}

// probeNow calls the pool's ProbeNow and translates its errors for web.
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

// release calls the guard's Release and translates its error for web.
func (e *Exporter) release(c *mail.Connection) error {
	err := e.guard.Release(c)
	if errors.Is(err, guard.ErrReleasedLately) {
		err = web.TooSoonError{Err: err}
	}
	return err
}

// load loads the configuration and logs its warnings.
func load(o Options) (*config.Config, error) {
	loaded, warnings, err := o.Load()
	for _, warning := range warnings {
		o.Log.Warn("configuration", "warning", warning.String())
	}
	return loaded, err
}

// apply makes a good configuration the current one.
func (e *Exporter) apply(loaded *config.Config) {
	e.history.SetConnections(loaded.Connections) // first, because the metrics read the last success from it
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
	e.log.Info("configuration loaded", "connections", len(loaded.Connections), "routes", len(loaded.Routes))
}

// reloadResult is the result of a reload, for the status page.
type reloadResult struct {
	fault error
	at    time.Time
}

// reloadFault returns the time of the last reload, and why it failed; nil: it did
// not fail, or there was none.
func (e *Exporter) reloadFault() (at time.Time, fault error) {
	if last := e.lastReload.Load(); last != nil {
		return last.at, last.fault
	}
	return time.Time{}, nil
}

// Reload replaces the configuration. A faulty one changes only the two metrics about
// reloads, and is returned as the error. Concurrent calls run one after the other.
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
	giveBack(len(loaded.Connections))
	return nil
}

// many is the number of connections from which on it is worth the time of a garbage
// collection to give back at once what reading them took.
const many = 1000

// giveBack returns memory to the system after a load of some connections, which leaves
// as much garbage as it keeps.
func giveBack(connections int) {
	if connections >= many {
		debug.FreeOSMemory()
	}
}

// report takes an outcome from the pool.
func (e *Exporter) report(o mail.Outcome) {
	e.collector.Observe(o)
	if e.history.Observe(o) {
		e.states.wake()
	}
	e.changes.note(o)
}

// reportRoute takes the outcome of one message of a route.
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

	defer kerneltime.Keep()() // probes come one at a time, and each would switch the stamps on and off

	// Reading a file of ten thousand connections takes more memory than probing them.
	debug.FreeOSMemory()
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

// filesTime bounds the writing of the files at the end.
const filesTime = time.Second

// finish waits for the background work and saves the last outcomes. A disk that hangs
// does not keep the program from ending.
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

// wait reloads at each SIGHUP until ctx ends or a server fails.
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

// Handler returns the handler of all HTTP endpoints.
func (e *Exporter) Handler() http.Handler { return e.handler }
