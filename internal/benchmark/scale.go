//go:build linux

package main

// This file measures a large installation with far more connections than a core can
// probe in time: the probes, the memory, and scrapes.

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// large is the number of connections, all due in each second.
	large = 10_000
	// scrapeRounds is how often scrapes are measured. Before each, betweenProbes probes
	// are made: enough to change each part of the text.
	scrapeRounds  = 3
	betweenProbes = 1300
	// quietTime is how long an exporter without probes may take to come to rest, and
	// quietStep how long it must do nothing.
	quietTime = 20 * time.Second
	quietStep = 300 * time.Millisecond
	// returnTime is how long Go may take to return free memory to the system.
	returnTime = 4 * time.Second
)

// exposition is one text format.
type exposition struct{ name, accept string }

var expositions = []exposition{
	{"text", "text/plain;version=0.0.4"},
	{"OpenMetrics", "application/openmetrics-text;version=1.0.0"},
}

// scale measures all of it with the same processes: to warm them up takes longest.
func (b *bench) scale() error {
	l := load{connections: large, interval: time.Second}
	all, stop, err := b.clients(l, false)
	if err != nil {
		return err
	}
	defer stop()
	if err := b.warmUpAll(all, large); err != nil {
		return err
	}
	used, err := b.takeTurns(all, b.rounds, b.saturatedTurn)
	if err != nil {
		return err
	}
	b.table.ratios(fmt.Sprintf("CPU time of a probe, %d due in each second", large), used)
	if err := b.takeProfile(all[1], "scale"); err != nil {
		return err
	}
	for _, c := range all[1:] {
		if err := send(c.process, unix.SIGCONT); err != nil {
			return err
		}
		if err := errors.Join(b.memory(c), b.scrapes(c, l), b.memoryAtRest(c), send(c.process, unix.SIGSTOP)); err != nil {
			return err
		}
	}
	return nil
}

// memory looks at what is resident once the exporter has been scraped: the scrapes that
// are measured show probes since then.
func (b *bench) memory(c *client) error {
	for _, e := range expositions {
		if _, _, err := scrape(c, e.accept); err != nil {
			return err
		}
	}
	return b.reportResident(c, "saturated")
}

// memoryAtRest looks at what is resident of an exporter that has probed and answered
// scrapes, once garbage is collected. Asking for a profile collects it; by itself, Go
// does that within two minutes. Go returns what was free at the second last collection.
func (b *bench) memoryAtRest(c *client) error {
	var raw []byte
	for range 2 {
		var err error
		if raw, err = get("http://"+c.pprof+"/debug/pprof/heap?gc=1", nil); err != nil {
			return err
		}
	}
	if b.profile != "" && c.name == b.mailprobes[0].name {
		if err := os.WriteFile(b.profile+".rest", raw, 0o600); err != nil {
			return err
		}
	}
	if err := b.pause(returnTime); err != nil {
		return err
	}
	return b.reportResident(c, "at rest")
}

func (b *bench) reportResident(c *client, when string) error {
	bytes, err := resident(c.process)
	b.table.add("resident memory of 1,000 connections, of 10,000 with both histograms, "+when+", MiB", c.name,
		float64(bytes)/(large/1000)/(1<<20), "")
	return err
}

// scrapes measures scrapes, of which each shows probes that the one before did not, and
// then scrapes that show nothing new.
func (b *bench) scrapes(c *client, l load) error {
	onScrape := l
	onScrape.onScrape = true // with probe=false in the query: the exporter does nothing but scrapes
	fresh, same := map[string][]float64{}, map[string][]float64{}
	for i := range scrapeRounds {
		if i > 0 {
			if err := b.reload(c, l); err != nil {
				return err
			}
		}
		if err := errors.Join(b.warmUp(c, betweenProbes), b.reload(c, onScrape), b.settle(c)); err != nil {
			return err
		}
		for _, e := range expositions {
			if err := b.scrape(c, e, fresh); err != nil {
				return err
			}
		}
	}
	for range 1 + scrapeRounds { // the first one fills the cache of unchanged text
		for _, e := range expositions {
			if err := b.scrape(c, e, same); err != nil {
				return err
			}
		}
	}
	for _, e := range expositions {
		figure := "scrape of 10,000 connections as " + e.name + " with gzip, CPU ns of a series"
		if err := b.reportScrape(c, e, figure, median(fresh[e.name])); err != nil {
			return err
		}
		if err := b.reportScrape(c, e, figure+"; no probe since the last one", median(same[e.name][1:])); err != nil {
			return err
		}
	}
	return nil
}

// scrape adds the processor time of a scrape to those of the format.
func (b *bench) scrape(c *client, e exposition, spent map[string][]float64) error {
	took, _, err := scrape(c, e.accept)
	spent[e.name] = append(spent[e.name], float64(took))
	return err
}

// reportScrape adds a figure to the table, with the size of such a scrape.
func (b *bench) reportScrape(c *client, e exposition, figure string, spent float64) error {
	_, packed, err := scrape(c, e.accept)
	if err != nil {
		return err
	}
	text, err := unpacked(packed)
	if err != nil {
		return err
	}
	series := float64(bytes.Count(text, []byte("\n")) - bytes.Count(text, []byte("\n#")))
	b.table.add(figure, c.name, spent/series, fmt.Sprintf("%.1f series a connection, %.1f MB, %.1f MB with gzip",
		series/large, float64(len(text))/1e6, float64(len(packed))/1e6))
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
