package web

// This file serves scrapes: all connections, or one probed now.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"

	"mailprobe/mail"
	"mailprobe/metrics"
	"mailprobe/pool"
)

const (
	// maxScrapes is how many scrapes are served at once; more get a 503.
	maxScrapes = 40
	// scrapeMargin is what a scrape's time must leave for the way of the answer.
	scrapeMargin = 500 * time.Millisecond
	// answerTime is what a client gets to read an answer that had to wait for probes.
	answerTime = time.Minute
)

// timeoutHeader is how Prometheus says how long it will wait, in seconds.
const timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// limited serves at most maxScrapes requests at once, of all scrape handlers
// together.
func (s *site) limited(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.scrapes <- struct{}{}:
			defer func() { <-s.scrapes }()
			next(w, r)
		default:
			refuse(w, http.StatusServiceUnavailable, tooManyScrapes)
		}
	}
}

// serveMetrics shows the last results. Connections with probe_on_scrape are
// probed first; ?probe=false leaves them alone, for a Prometheus that probes
// through /probe and wants only the rest from here.
func (s *site) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("probe") != "false" {
		s.probeScraped(w, r)
	}
	s.telemetry.ServeHTTP(w, r)
}

// probeScraped probes all connections that are probed on scrapes, and waits
// until they have ended or the scrape's time is up. What is late is reported
// nevertheless, and shown by the next scrape.
func (s *site) probeScraped(w http.ResponseWriter, r *http.Request) {
	var probes sync.WaitGroup
	budget := scrapeBudget(r)
	var longest time.Duration
	var wanted []*mail.Connection
	for _, c := range s.History.Connections() {
		if c.ProbeOnScrape {
			wanted = append(wanted, c)
			longest = max(longest, c.Timeout)
		}
	}
	if len(wanted) == 0 {
		return
	}
	ctx, cancel := budget.wait(w, r, longest)
	defer cancel()
	for _, c := range wanted {
		probes.Go(func() { _, _ = s.Probe(ctx, c.Name, budget.limit(c)) }) // reported to metrics and history
	}
	probes.Wait()
}

// serveProbe probes one connection now. Callers that ask at the same time share
// one probe.
func (s *site) serveProbe(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	name, ok := connectionName(query)
	m, known := s.History.Get(name)
	if !ok || !known {
		refuse(w, http.StatusNotFound, unknownConnection)
		return
	}
	budget := scrapeBudget(r)
	ctx, cancel := budget.wait(w, r, m.Connection.Timeout)
	defer cancel()
	o, err := s.Probe(ctx, name, budget.limit(m.Connection))
	switch {
	case errors.Is(err, pool.ErrUnknownConnection):
		refuse(w, http.StatusNotFound, unknownConnection) // a reload came between
	case errors.Is(err, pool.ErrFull):
		refuse(w, http.StatusServiceUnavailable, pool.ErrFull.Error())
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, notNow)
	case query.Get("debug") == "true":
		writeDebug(w, &o)
	default:
		metrics.Handler(metrics.One(o), s.Log).ServeHTTP(w, r)
	}
}

// connectionName is the name asked for: connection, or target, which other
// exporters call it. false: none, or two different ones.
func connectionName(query url.Values) (string, bool) {
	names := append(query["connection"], query["target"]...)
	if len(names) == 0 {
		return "", false
	}
	for _, name := range names {
		if name != names[0] {
			return "", false
		}
	}
	return names[0], true
}

// budget is the time a scrape has; 0: it did not say.
type budget struct{ whole, probing time.Duration }

// scrapeBudget reads the scraper's header. A tiny timeout leaves half of it for
// the probe; a nonsensical one counts as none.
func scrapeBudget(r *http.Request) budget {
	seconds, err := strconv.ParseFloat(r.Header.Get(timeoutHeader), 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 || seconds > 24*3600 {
		return budget{}
	}
	whole := time.Duration(seconds * float64(time.Second))
	return budget{whole: whole, probing: max(whole-scrapeMargin, whole/2)}
}

// limit is the time of a probe of c: never above the connection's own timeout.
func (b budget) limit(c *mail.Connection) time.Duration {
	if b.probing > 0 && b.probing < c.Timeout {
		return b.probing
	}
	return c.Timeout
}

// wait bounds how long probes are waited for, which is a little longer than the
// probes get, and lets the answer be written so late. longest is the longest
// timeout of the connections concerned.
func (b budget) wait(w http.ResponseWriter, r *http.Request, longest time.Duration) (context.Context, context.CancelFunc) {
	patience := 2*longest + answerTime // without a header: also for a free slot
	if b.whole > 0 {
		patience = b.probing + (b.whole-b.probing)/2
	}
	// The server's own write timeout is for answers that are ready at once.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience + answerTime))
	return context.WithTimeout(r.Context(), patience)
}

// writeDebug shows a probe to a person: what happened, as comments, then the
// metrics. It parses as the text format.
func writeDebug(w http.ResponseWriter, o *mail.Outcome) {
	var page bytes.Buffer
	c := o.Connection
	fmt.Fprintf(&page, "# connection: %q %s %s %s\n", c.Name, c.Protocol, c.Encryption, c.Address())
	if f := o.Failure; f != nil {
		fmt.Fprintf(&page, "# down: phase %s, reason %s\n# meaning: %s\n# advice: %s\n# text: %q\n",
			f.Phase, f.Reason, f.Reason.Meaning(), f.Advice(), f.Text)
	} else {
		fmt.Fprintf(&page, "# up\n")
	}
	for _, p := range o.Phases {
		fmt.Fprintf(&page, "# phase: %-8s %s\n", p.Phase, p.Duration.Round(time.Microsecond))
	}
	for _, line := range o.Transcript {
		fmt.Fprintf(&page, "# %9.3fs %c %s\n", line.At.Seconds(), line.From, line.Text)
	}
	families, _ := metrics.One(*o).Gather() // it never fails
	for _, family := range families {
		_, _ = expfmt.MetricFamilyToText(&page, family) // nor does a buffer
	}
	w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	_, _ = page.WriteTo(w)
}
