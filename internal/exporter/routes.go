package exporter

// This file connects the parts of the routes: the engine that sends, its journal, and
// the receivers of its outcomes.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mailprobe/mail"
	"mailprobe/prober"
	"mailprobe/routes"
)

// routing holds the routes of the service.
type routing struct {
	engine  *routes.Engine
	journal *routes.Journal
	durable bool // there is a state file
}

// newRouting opens the journal beside the state file. Without a state file, the
// journal is in memory only.
func newRouting(stateFile string, p *prober.Prober, drops *maildrops, report func(mail.RouteOutcome), log *slog.Logger) (*routing, error) {
	path := ""
	if stateFile != "" {
		path = routes.JournalPath(stateFile)
	}
	journal, err := routes.OpenJournal(path)
	if err != nil {
		return nil, err
	}
	tracker := &routes.Tracker{Transport: transport{prober.NewCourier(p), drops}, Journal: journal, Log: log}
	engine := &routes.Engine{Send: tracker.Send, Report: report, Journal: journal, Log: log}
	return &routing{engine: engine, journal: journal, durable: path != ""}, nil
}

// check returns an error for routes that this process must not run: messages can be
// deleted only if the journal survives a crash.
func (r *routing) check(list []*mail.Route) error {
	var faults []error
	for _, route := range list {
		if route.Delete && !r.durable {
			faults = append(faults, fmt.Errorf("%s: route %q: delete: own needs --state.file, or a crash would leave messages behind", route.Source, route.Name))
		}
	}
	return errors.Join(faults...)
}

func (r *routing) set(list []*mail.Route) { r.engine.Set(list, (*mail.Route).Same) }

func (r *routing) run(ctx context.Context) { r.engine.Run(ctx) }
