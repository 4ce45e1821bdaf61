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
)

const (
	// scrapeMargin is what a scrape's time must leave for the way of the answer.
	scrapeMargin = 250 * time.Millisecond
	// answerTime is what a client gets to read an answer that had to wait for probes.
	answerTime = time.Minute
)

// timeoutHeader is how Prometheus says how long it will wait, in seconds.
const timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// serveMetrics shows the last results. Connections with probe_on_scrape are
// probed first; ?probe=false leaves them alone, for a Prometheus that probes
// through /probe and wants only the rest from here.
func (s *site) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("probe") != "false" {
		s.probeScraped(w, r)
	}
	if !s.expositions.take(r.Context()) {
		refuse(w, http.StatusServiceUnavailable, tooManyScrapes)
		return
	}
	defer s.expositions.giveBack()
	s.telemetry.ServeHTTP(s.answers.steady(w), r)
}

// probeScraped probes all connections that are probed on scrapes, and waits
// until they have ended or the scrape's time is up. What is late is reported
// nevertheless, and shown by the next scrape.
func (s *site) probeScraped(w http.ResponseWriter, r *http.Request) {
	var longest time.Duration
	var wanted []*mail.Connection
	for c := range s.History.Connections() {
		if c.ProbeOnScrape {
			wanted = append(wanted, c)
			longest = max(longest, c.Timeout)
		}
	}
	if len(wanted) == 0 || !s.waiting.enter(s.TelemetryPath) {
		return // the last results are shown
	}
	defer s.waiting.leave(s.TelemetryPath)
	ctx, cancel := scrapeTime(r).wait(w, r, longest)
	defer cancel()
	var probes sync.WaitGroup
	for _, c := range wanted {
		probes.Go(func() { _, _ = s.Probe(ctx, c.Name) }) // reported to metrics and history
	}
	probes.Wait()
}

// serveProbe probes one connection now. Callers that ask at the same time share
// one probe. Where no new outcome can be had in the scraper's time, or none is
// due yet, the last one is shown again, with its age.
func (s *site) serveProbe(w http.ResponseWriter, r *http.Request) {
	name, ok := connectionName(r.URL.Query())
	m, known := s.History.GetSummary(name)
	if !ok || !known {
		refuse(w, http.StatusNotFound, unknownConnection)
		return
	}
	o, err := s.probeWithin(w, r, m.Connection)
	switch {
	case err == nil:
		s.writeOutcome(w, r, &o)
	case errors.Is(err, ErrUnknownConnection):
		refuse(w, http.StatusNotFound, unknownConnection) // a reload came between
	case errors.Is(err, ErrStopping):
		refuse(w, http.StatusServiceUnavailable, stopping)
	default:
		s.writeLast(w, r, name)
	}
}

// errTooManyWait: no more requests may wait for probes. The last result is shown.
var errTooManyWait = errors.New("too many requests wait for probes")

// probeWithin probes a connection and waits as long as the scraper does.
func (s *site) probeWithin(w http.ResponseWriter, r *http.Request, c *mail.Connection) (mail.Outcome, error) {
	if !s.waiting.enter(c.Name) {
		return mail.Outcome{}, errTooManyWait
	}
	defer s.waiting.leave(c.Name)
	ctx, cancel := scrapeTime(r).wait(w, r, c.Timeout)
	defer cancel()
	return s.Probe(ctx, c.Name)
}

// writeLast shows the last outcome once more. Its age is in the header Age, in
// seconds, and in the metrics, as mailprobe_last_probe_timestamp_seconds.
func (s *site) writeLast(w http.ResponseWriter, r *http.Request, name string) {
	m, known := s.History.Get(name)
	if !known {
		refuse(w, http.StatusNotFound, unknownConnection)
		return
	}
	o := m.Last
	if o == nil {
		pending := s.Pending(m.Connection)
		o = &pending
	}
	w.Header().Set("Age", strconv.FormatInt(int64(max(0, s.Now().Sub(o.End))/time.Second), 10))
	s.writeOutcome(w, r, o)
}

// writeOutcome shows one outcome: to Prometheus, or to a person with ?debug=true.
func (s *site) writeOutcome(w http.ResponseWriter, r *http.Request, o *mail.Outcome) {
	if r.URL.Query().Get("debug") == "true" {
		writeDebug(w, o)
		return
	}
	metrics.Handler(s.Metrics.One(*o), s.Log).ServeHTTP(w, r)
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

// waitTime is how long a scraper waits for the answer; 0: it did not say.
type waitTime time.Duration

// scrapeTime reads the scraper's header. A nonsensical one counts as none.
func scrapeTime(r *http.Request) waitTime {
	seconds, err := strconv.ParseFloat(r.Header.Get(timeoutHeader), 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 || seconds > 24*3600 {
		return 0
	}
	return waitTime(seconds * float64(time.Second))
}

// patience is how long probes are waited for. It leaves the answer time for its
// way; of a tiny time, half. longest is the longest timeout of the connections
// concerned.
func (t waitTime) patience(longest time.Duration) time.Duration {
	if t == 0 {
		return 2*longest + answerTime // also for a free place
	}
	whole := time.Duration(t)
	return max(whole-scrapeMargin, whole/2)
}

// wait bounds how long probes are waited for, and lets the answer be written so
// late.
func (t waitTime) wait(w http.ResponseWriter, r *http.Request, longest time.Duration) (context.Context, context.CancelFunc) {
	patience := t.patience(longest)
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
