package main

// This file is `mailprobe demo`: embedded mail servers, probed and served, to
// show mailprobe to a newcomer.

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"mailprobe/config"
	"mailprobe/internal/demo"
	"mailprobe/internal/exporter"
)

// toggled is the connection whose server a signal stops and starts again, to see
// an alert fire and resolve.
const toggled = "imap-starttls"

// demo serves what the embedded servers show, until ctx ends.
func (p *program) demo(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fleet, err := demo.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = fleet.Close() }()
	if p.stateFile == "" { // the routes delete their messages, which needs a journal
		dir, err := os.MkdirTemp("", "mailprobe-demo-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		p.stateFile = filepath.Join(dir, "state.json")
	}
	go p.obeyToggle(ctx, fleet)
	p.welcome(fleet)
	// The log of the first round would push the address off the screen.
	again := time.AfterFunc(demo.FirstRound, func() { fmt.Fprint(p.stdout, p.whatToOpen()) })
	defer again.Stop()
	return p.run(ctx, func() (*config.Config, []config.Finding, error) {
		loaded := &config.Config{Connections: fleet.Connections()}
		for _, r := range fleet.Routes() {
			loaded.Routes = append(loaded.Routes, r.Route)
		}
		return loaded, nil, nil
	}, exporter.Watch{})
}

// welcome says what to open.
func (p *program) welcome(fleet *demo.Fleet) {
	fmt.Fprintf(p.stdout, "mailprobe demo: %d connections to embedded mail servers, some broken on purpose:\n", len(fleet.Targets()))
	for _, target := range fleet.Targets() {
		fmt.Fprintf(p.stdout, "  %-28s %s\n", target.Connection.Name, target.Story)
	}
	fmt.Fprintf(p.stdout, "%d routes, each with a message a minute that is sent and looked for:\n", len(fleet.Routes()))
	for _, target := range fleet.Routes() {
		fmt.Fprintf(p.stdout, "  %-28s %s\n", target.Route.Name, target.Story)
	}
	fmt.Fprint(p.stdout, p.whatToOpen())
}

// whatToOpen names the addresses to open, and the process to signal.
func (p *program) whatToOpen() string {
	host, port, _ := net.SplitHostPort((*p.web.WebListenAddresses)[0])
	if host == "" {
		host = "localhost"
	}
	url := "http://" + net.JoinHostPort(host, port)
	text := fmt.Sprintf("Open %s/ for the status page, %s%s for the metrics; Ctrl-C ends the demo.\n", url, url, p.telemetryPath)
	if len(toggleSignals) > 0 {
		text += fmt.Sprintf("kill -USR1 %d stops the server of %s, and once more starts it again.\n", os.Getpid(), toggled)
	}
	return text
}

// obeyToggle stops and starts a server at each signal, where the system has one.
func (p *program) obeyToggle(ctx context.Context, fleet *demo.Fleet) {
	if len(toggleSignals) == 0 {
		return // Notify without signals would mean all of them
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, toggleSignals...)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			up, err := fleet.Toggle(toggled)
			p.log.Info("demo: server toggled", "connection", toggled, "up", up, "err", err)
		}
	}
}
