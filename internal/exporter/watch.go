package exporter

// This file notices that the configuration file has changed. It looks at the
// content again and again: a ConfigMap's file is a link into a directory that
// is swapped, which no watch on the file sees.

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"time"
)

// Watch says which file is looked at, and how often, to reload when its content
// has changed. The zero value watches nothing.
type Watch struct {
	Path     string
	Interval time.Duration // 0: never
}

// maxWatched bounds what is read of the file, in bytes; a configuration is smaller.
const maxWatched = 16 << 20

// watch reloads at each change of the content until ctx ends. A faulty file is
// tried once: its faults are logged once, and not again before it changes.
func (e *Exporter) watch(ctx context.Context) {
	if e.options.Watch.Interval <= 0 {
		return
	}
	seen := e.seen
	ticker := time.NewTicker(e.options.Watch.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if now := fingerprintOf(e.options.Watch.Path); now != seen {
			seen = now
			_ = e.Reload() // logged there
		}
	}
}

// fingerprint stands for the content of a file; zero for one that cannot be read.
type fingerprint [sha256.Size]byte

func fingerprintOf(path string) (f fingerprint) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return f // a pipe would block
	}
	file, err := os.Open(path)
	if err != nil {
		return f
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(file, maxWatched)); err != nil {
		return fingerprint{}
	}
	return fingerprint(hash.Sum(nil))
}
