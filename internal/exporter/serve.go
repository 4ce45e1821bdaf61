package exporter

// This file holds the HTTP server: how long and how many. What it serves is
// web's.

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"sync"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
)

const (
	// stopTime is what open HTTP requests get to end. Probes say goodbye in the
	// same time, so that a SIGTERM is obeyed within 5 s.
	stopTime = 3 * time.Second

	headerTime = 10 * time.Second // for the header of a request
	answerTime = 20 * time.Second // for reading an answer; scrapes that wait for probes have more
	idleTime   = 2 * time.Minute  // between requests
	maxHeader  = 16 << 10         // bytes, the URL included

	// maxVisitors is how many HTTP connections are open at once. They come out
	// of the descriptors that prober.DescriptorLimit leaves to everything else.
	maxVisitors = 256
)

// serve begins to listen, and gives the way to stop. What goes wrong later is
// sent to served, which must have room for one error of each server.
func (e *Exporter) serve(served chan<- error) (stop func()) {
	if e.options.Web == nil {
		return func() {}
	}
	visitors := &visitors{most: maxVisitors}
	site := &http.Server{Handler: e.handler, ConnState: visitors.note, ReadHeaderTimeout: headerTime,
		WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		// Strangers cause most of these lines, and could fill a disk with them.
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)}
	go func() {
		if err := toolkit.ListenAndServe(site, e.options.Web, e.log); !errors.Is(err, http.ErrServerClosed) {
			served <- fmt.Errorf("listen: %w", err)
		}
	}()
	stopProfiles := e.serveProfiles(served)
	return func() {
		stopProfiles()
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if site.Shutdown(ctx) != nil {
			_ = site.Close()
		}
	}
}

// serveProfiles serves net/http/pprof where it was asked for: on a listener of
// its own, since a profile reveals more of the program than visitors should see.
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
			served <- fmt.Errorf("listen for profiles: %w", err)
		}
	}()
	return func() { _ = server.Close() }
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

// visitors bounds the open HTTP connections. Beyond the bound the one that has
// waited longest without a whole request is closed: a crowd that sends half
// headers pushes itself out, and a scrape comes through.
type visitors struct {
	most int

	mu      sync.Mutex
	open    map[net.Conn]*list.Element // in waiting; nil while a request is served
	waiting list.List                  // of net.Conn, the longest waiting first
}

// note is the server's ConnState hook.
func (v *visitors) note(conn net.Conn, state http.ConnState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open == nil {
		v.open = map[net.Conn]*list.Element{}
	}
	if place := v.open[conn]; place != nil {
		v.waiting.Remove(place)
	}
	switch state {
	case http.StateActive:
		v.open[conn] = nil
	case http.StateNew, http.StateIdle:
		v.open[conn] = v.waiting.PushBack(conn)
	default: // closed or hijacked
		delete(v.open, conn)
	}
	if first := v.waiting.Front(); len(v.open) > v.most && first != nil {
		visitor := v.waiting.Remove(first).(net.Conn)
		delete(v.open, visitor)
		hangUp(visitor)
	}
}

// hangUp closes without the goodbye of TLS, which would wait for the peer.
func hangUp(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	_ = conn.Close()
}
