// Package demo runs a small fleet of mail servers on loopback, some of them
// broken on purpose, and the connections to probe them: the quickest way to see
// everything mailprobe shows.
package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"mailprobe/mail"
)

// Target is one connection of the demo and what a probe of it should find.
type Target struct {
	Connection *mail.Connection
	Story      string      // what is behind it, in a few words
	Phase      mail.Phase  // where its probe fails; empty: nowhere
	Want       mail.Reason // why; empty: it is up
}

// Fleet is the running demo. Its methods may be called by several goroutines at
// once.
type Fleet struct {
	targets []Target
	routes  []RouteTarget
	closers []func() error // of the servers between which the routes go

	mu      sync.Mutex
	servers map[string]*server // by the connection's name
	closed  bool
}

// server is one server that can be stopped and started again on its port.
type server struct {
	start   func(address string) (running, error)
	address string
	running running // nil while stopped
}

// Start runs the fleet until Close or until ctx ends, whichever is first.
func Start(ctx context.Context) (*Fleet, error) {
	env, err := newEnvironment(ctx)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	f := &Fleet{servers: map[string]*server{}}
	for _, r := range append(goodRecipes(), brokenRecipes()...) {
		if err := f.add(env, r); err != nil {
			return nil, errors.Join(fmt.Errorf("demo: %s: %w", r.name, err), f.Close())
		}
	}
	if err := f.startRoutes(env); err != nil {
		return nil, errors.Join(fmt.Errorf("demo: routes: %w", err), f.Close())
	}
	context.AfterFunc(ctx, func() { _ = f.Close() })
	return f, nil
}

// add starts a recipe's server and lists its target.
func (f *Fleet) add(env *environment, r recipe) error {
	s := &server{}
	connection := env.connection(r)
	if r.server == nil {
		connection.Port = closedPort
	} else {
		s.start = r.server(env, r)
		if err := s.up(); err != nil {
			return err
		}
		connection.Port = s.running.port
		f.servers[r.name] = s
	}
	if r.change != nil {
		r.change(connection)
	}
	f.targets = append(f.targets, Target{Connection: connection, Story: r.story, Phase: r.phase, Want: r.want})
	return nil
}

// Targets lists every connection with what it should show.
func (f *Fleet) Targets() []Target { return slices.Clone(f.targets) }

// Routes lists every route with what its messages should meet.
func (f *Fleet) Routes() []RouteTarget { return slices.Clone(f.routes) }

// Connections lists the connections, ready to be probed.
func (f *Fleet) Connections() []*mail.Connection {
	var connections []*mail.Connection
	for _, target := range f.targets {
		connections = append(connections, target.Connection)
	}
	return connections
}

// Stop ends the server behind a connection; the connection is then refused.
// Stopping it again does nothing.
func (f *Fleet) Stop(name string) error {
	return f.with(name, (*server).down)
}

// Restart starts the server behind a connection again, on the same port. It
// does nothing while the server runs.
func (f *Fleet) Restart(name string) error {
	return f.with(name, (*server).up)
}

// Toggle stops a server that runs and starts one that does not. It reports
// whether the server runs now.
func (f *Fleet) Toggle(name string) (up bool, err error) {
	err = f.with(name, func(s *server) error {
		if s.running.close != nil {
			return s.down()
		}
		up = true
		return s.up()
	})
	return up && err == nil, err
}

// with calls do for the server behind a connection.
func (f *Fleet) with(name string, do func(*server) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.servers[name]
	if s == nil || f.closed {
		return fmt.Errorf("demo: no server behind %q", name)
	}
	return do(s)
}

// Close ends all servers and waits for them. A second call does nothing.
func (f *Fleet) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var faults []error
	for _, s := range f.servers {
		faults = append(faults, s.down())
	}
	for _, stop := range f.closers {
		faults = append(faults, stop())
	}
	f.closers = nil
	return errors.Join(faults...)
}

func (s *server) up() error {
	if s.running.close != nil {
		return nil
	}
	running, err := s.start(s.address)
	if err != nil {
		return err
	}
	s.running, s.address = running, running.address
	return nil
}

func (s *server) down() error {
	if s.running.close == nil {
		return nil
	}
	err := s.running.close()
	s.running = running{}
	return err
}
