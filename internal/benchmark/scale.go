//go:build linux

package main

// This file measures a large installation, of which a core can probe a tenth in time:
// the probes, the memory, and scrapes.

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// large is the number of connections, all due in each second.
	large = 10_000
	// scrapeRounds is how often scrapes are measured. Before each, some connections are
	// probed, so many that each part of the text has changed.
	scrapeRounds  = 3
	betweenProbes = 1300
	// quietTime is how long an exporter without probes may take to come to rest, and
	// quietStep how long it must do nothing.
	quietTime = 20 * time.Second
	quietStep = 300 * time.Millisecond
)

// exposition is one text format.
type exposition struct{ name, accept string }

var expositions = []exposition{
	{"text", "text/plain;version=0.0.4"},
	{"OpenMetrics", "application/openmetrics-text;version=1.0.0"},
}

// scale measures all of it with the same processes: to warm them up takes longest.
func (b *bench) scale() error {
	l := load{connections: large, interval: time.Second, pool: inFlight}
	all, stop, err := b.clients(l, false)
	if err != nil {
		return err
	}
	defer stop()
	used, err := b.takeTurns(all, large)
	if err != nil {
		return err
	}
	b.table.ratios(fmt.Sprintf("CPU time of a probe, %d due in each second", large), used)
	for _, c := range all[1:] {
		if err := send(c.process, unix.SIGCONT); err != nil {
			return err
		}
		if err := errors.Join(b.memory(c), b.scrapes(c, l), send(c.process, unix.SIGSTOP)); err != nil {
			return err
		}
	}
	return nil
}

// memory looks at what is resident once the exporter has been scraped.
func (b *bench) memory(c *client) error {
	for range 2 {
		if _, _, err := scrape(c, expositions[0].accept); err != nil {
			return err
		}
	}
	bytes, err := resident(c.process)
	b.table.add("resident memory of 1,000 connections, of 10,000 with both histograms, MiB", c.name,
		float64(bytes)/(large/1000)/(1<<20), "")
	return err
}

// scrapes measures scrapes, of which each shows probes that the one before did not. The
// last ones show nothing new.
func (b *bench) scrapes(c *client, l load) error {
	spent := map[string][]float64{}
	body := map[string][]byte{}
	onScrape := l
	onScrape.onScrape = true // and not asked for: the scrapes are all that it does
	for i := range scrapeRounds + 2 {
		isLast := i == scrapeRounds+1
		if !isLast {
			if err := errors.Join(b.reload(c, l), b.warmUp(c, betweenProbes), b.reload(c, onScrape), b.settle(c)); err != nil {
				return err
			}
		}
		for _, e := range expositions {
			cpu, packed, err := scrape(c, e.accept)
			switch {
			case err != nil:
				return err
			case isLast:
				if cpu, _, err = scrape(c, e.accept); err != nil { // the one before kept what stays
					return err
				}
				spent[e.name+", nothing new"] = []float64{float64(cpu)}
			case i > 0: // the first one makes what others use again
				spent[e.name] = append(spent[e.name], float64(cpu))
			}
			body[e.name] = packed
		}
	}
	for _, e := range expositions {
		text, err := unpacked(body[e.name])
		if err != nil {
			return err
		}
		series := float64(bytes.Count(text, []byte("\n")) - bytes.Count(text, []byte("\n#")))
		figure := "scrape of 10,000 connections as " + e.name + " with gzip, CPU ns of a series"
		b.table.add(figure, c.name, median(spent[e.name])/series, fmt.Sprintf("%.1f series a connection, %.1f MB, %.1f MB with gzip",
			series/large, float64(len(text))/1e6, float64(len(body[e.name]))/1e6))
		b.table.add(figure+"; no probe since the last one", c.name, median(spent[e.name+", nothing new"])/series, "")
	}
	return nil
}

// reload makes an exporter take over another load.
func (b *bench) reload(c *client, l load) error {
	return errors.Join(b.writeConfig(c, l), send(c.process, unix.SIGHUP))
}

// settle waits until an exporter does nothing.
func (b *bench) settle(c *client) error {
	for end := time.Now().Add(quietTime); time.Now().Before(end); {
		before, err := cpu(c.process)
		if err == nil {
			err = b.pause(quietStep)
		}
		after, failed := cpu(c.process)
		if err := errors.Join(err, failed); err != nil || after-before < quietStep/30 {
			return err
		}
	}
	fmt.Fprintf(b.log, "%s: not at rest after %s\n", c.name, quietTime)
	return nil
}

// scrape asks for all metrics with gzip.
func scrape(c *client, accept string) (spent time.Duration, packed []byte, err error) {
	before, err := cpu(c.process)
	if err != nil {
		return 0, nil, err
	}
	header := http.Header{"Accept": {accept}, "Accept-Encoding": {"gzip"}}
	if packed, err = get("http://"+c.web+"/metrics?probe=false", header); err != nil {
		return 0, nil, err
	}
	after, err := cpu(c.process)
	return after - before, packed, err
}

func unpacked(packed []byte) ([]byte, error) {
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}
