// Package exporter is mailprobe as a service: it loads a configuration, keeps
// the pool probing, serves what was learnt, reloads and stops. It wires rooms
// together and holds nothing of its own but who is up.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"mailprobe/config"
	"mailprobe/metrics"
	"mailprobe/prober"
)

// stopTime is what open HTTP requests get to end. Probes say goodbye in the same
// time, so that a SIGTERM is obeyed within 5 s.
const stopTime = 3 * time.Second

// Loader gives the configuration, at the start and at each reload, with what is
// unwise in it. It is called by one goroutine at a time.
type Loader func() (*config.Config, []config.Finding, error)

// Options says what to serve. Load and Log must be set.
type Options struct {
	Load Loader
	// Web says where to listen; nil: nowhere, for tests that use Handler.
	Web           *web.FlagConfig
	TelemetryPath string // "/metrics" if empty
	StateFile     string // where account holds survive a restart; empty: nowhere
	Log           *slog.Logger
}

// Exporter is the running service.
type Exporter struct {
	options   Options
	log       *slog.Logger
	guard     *prober.Guard
	pool      *prober.Pool
	collector *metrics.Collector
	changes   *changes
}

// New loads the first configuration. A broken one is an error: there is nothing
// to fall back to.
func New(o Options) (*Exporter, error) {
	if o.TelemetryPath == "" {
		o.TelemetryPath = "/metrics"
	}
	first, err := load(o)
	if err != nil {
		return nil, err
	}
	guard, err := prober.NewGuard(prober.GuardOptions{StatePath: o.StateFile, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	e := &Exporter{options: o, log: o.Log, guard: guard, changes: newChanges(o.Log)}
	limit, lowered := prober.DescriptorLimit(first.Pool.MaxInFlight)
	if lowered {
		o.Log.Warn("max_in_flight is lowered to what the descriptor limit allows",
			"configured", first.Pool.MaxInFlight, "limit", limit)
	}
	e.collector = metrics.NewCollector(metrics.Options{
		Histograms: metrics.Histograms(first.Metrics.Histograms),
		Pool:       e.poolStats,
	})
	p := &prober.Prober{Guard: guard, Log: o.Log}
	e.pool = prober.NewPool(prober.PoolOptions{
		MaxInFlight:        limit,
		MaxInFlightPerHost: first.Pool.MaxInFlightPerHost,
		Probe:              p.Probe,
		Report:             e.report,
		StartDelay:         e.collector.ObserveStartDelay,
		Log:                o.Log,
	})
	e.apply(first)
	return e, nil
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
	e.collector.SetConnections(loaded.Connections)
	e.changes.keep(loaded.Connections)
	e.pool.Set(loaded.Connections)
	e.collector.ConfigReloaded(true, time.Now())
	e.log.Info("configuration loaded", "connections", len(loaded.Connections))
}

// Reload replaces the configuration. A broken one changes nothing but the two
// reload metrics; its faults are the error.
func (e *Exporter) Reload() error {
	loaded, err := load(e.options)
	if err != nil {
		e.collector.ConfigReloaded(false, time.Now())
		e.log.Error("the configuration stays as it was", "err", err)
		return err
	}
	e.apply(loaded)
	return nil
}

// report takes an outcome from the pool.
func (e *Exporter) report(o prober.Outcome) {
	e.collector.Observe(o)
	e.changes.note(o)
}

// poolStats translates between two rooms that do not know each other.
func (e *Exporter) poolStats() metrics.PoolStats {
	s := e.pool.Stats()
	return metrics.PoolStats{InFlight: s.InFlight, Limit: s.Limit, Skipped: s.Skipped}
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
	served := make(chan error, 1)
	stop := e.serve(served)
	err := e.wait(ctx, hangups, served)
	cancel()
	stop()
	return errors.Join(err, <-pooled, e.guard.Close())
}

// wait reloads at each hangup until the end comes.
func (e *Exporter) wait(ctx context.Context, hangups <-chan os.Signal, served <-chan error) error {
	for {
		select {
		case <-hangups:
			_ = e.Reload() // logged there; the old configuration goes on
		case err := <-served:
			return err
		case <-ctx.Done():
			e.log.Info("stopping")
			return nil
		}
	}
}

// serve begins to listen, and gives the way to stop.
func (e *Exporter) serve(served chan<- error) (stop func()) {
	if e.options.Web == nil {
		return func() {}
	}
	server := &http.Server{Handler: e.Handler(), ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute}
	go func() {
		if err := web.ListenAndServe(server, e.options.Web, e.log); !errors.Is(err, http.ErrServerClosed) {
			served <- fmt.Errorf("listen: %w", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}
}

// Handler is everything that is served.
func (e *Exporter) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+e.options.TelemetryPath, metrics.Handler(e.collector, e.log))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "healthy")
	})
	return mux
}
