package exporter

// This file runs the HTTP servers and holds their time limits. Package web has the
// handlers.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"sync"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"mailprobe/pool"
)

const (
	// stopTime is the time for open HTTP requests to end. Probes say goodbye in the
	// same time, so that the program ends within 5 s of a SIGTERM.
	stopTime = 3 * time.Second

	headerTime = 10 * time.Second // for the header of a request
	answerTime = 20 * time.Second // for reading an answer; scrapes that wait for probes have more
	idleTime   = 2 * time.Minute  // between requests
	maxHeader  = 16 << 10         // bytes, the URL included
)

// serve begins to listen and returns the function that stops it. Later errors are
// sent to served, which must have room for one error of each server. Each listener
// has a server of its own: the toolkit writes to the server that it is given.
func (e *Exporter) serve(served chan<- error) (stop func(), err error) {
	stop = func() {}
	if e.options.Web == nil {
		return stop, nil
	}
	listeners, err := listen(e.options.Web)
	if err != nil {
		return stop, err
	}
	conns := &connLimiter{limit: e.inFlight + pool.IdleConns(), waiting: pool.IdleConns()}
	slow := &unread{limit: maxUnread}
	servers := make([]*http.Server, len(listeners))
	for i, listener := range listeners {
		server := &http.Server{Handler: e.handler, ConnState: conns.note, ReadHeaderTimeout: headerTime,
			WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
			// Clients cause most of these lines, and could fill a disk with them.
			ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)}
		servers[i] = server
		go func() {
			err := toolkit.Serve(&watchedListener{listener, slow}, server, e.options.Web, e.log)
			if !errors.Is(err, http.ErrServerClosed) {
				report(served, fmt.Errorf("listen: %w", err))
			}
		}()
	}
	stopProfiles := e.serveProfiles(served)
	return func() {
		stopProfiles()
		shutDown(servers)
		closeAll(listeners) // where the toolkit refused to serve
	}, nil
}

// report sends an error, unless the channel has no room for it.
func report(served chan<- error, err error) {
	select {
	case served <- err:
	default:
	}
}

// shutDown stops all servers at the same time, and gives open requests stopTime to
// end.
func shutDown(servers []*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	var stopped sync.WaitGroup
	for _, server := range servers {
		stopped.Go(func() {
			if server.Shutdown(ctx) != nil {
				_ = server.Close()
			}
		})
	}
	stopped.Wait()
}

// serveProfiles serves net/http/pprof, if configured, on a listener of its own: a
// profile reveals more than every client should see.
func (e *Exporter) serveProfiles(served chan<- error) (stop func()) {
	address := e.options.PprofAddress
	if address == "" {
		return func() {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: headerTime}
	go func() {
		e.log.Info("serving profiles", "address", address)
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			report(served, fmt.Errorf("--web.pprof-address: %w", err))
		}
	}()
	return func() { _ = server.Close() }
}

// CheckWebConfig loads the file of --web.config.file, if there is one, with its
// certificate and key.
func CheckWebConfig(flags *toolkit.FlagConfig) error {
	if flags == nil || flags.WebConfigFile == nil {
		return nil
	}
	if err := toolkit.Validate(*flags.WebConfigFile); err != nil {
		return fmt.Errorf("--web.config.file: %w", err)
	}
	return nil
}

// checkPprofAddress requires a literal loopback address: a name could resolve to
// another host.
func checkPprofAddress(address string) error {
	if address == "" {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("--web.pprof-address: %q is not a loopback address with a port, such as 127.0.0.1:6060", address)
	}
	return nil
}
