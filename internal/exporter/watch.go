package exporter

// This file reloads by itself when the configuration has changed.

import (
	"context"
	"time"
)

// Watch says how a change of the configuration is noticed, and how often it is
// looked for. The zero value watches nothing.
type Watch struct {
	Changed  func() bool   // whether a reload would read something else than the last one
	Interval time.Duration // 0: never
}

// watch reloads at each change until ctx ends. A faulty configuration is tried
// once: its faults are logged once, and not again before it changes.
func (e *Exporter) watch(ctx context.Context) {
	if e.options.Watch.Interval <= 0 {
		return
	}
	ticker := time.NewTicker(e.options.Watch.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if e.options.Watch.Changed() {
			_ = e.Reload() // logged there
		}
	}
}
