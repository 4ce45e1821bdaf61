package web

// This file serves scrapes: the last results of all connections, or the result of one
// that is probed now.

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
	// scrapeMargin is the part of a scrape's timeout that is kept for sending the
	// answer.
	scrapeMargin = 250 * time.Millisecond
	// answerTime is the time a client has to read an answer that had to wait for
	// probes.
	answerTime = time.Minute
)

// timeoutHeader is the header in which Prometheus sends its timeout, in seconds.
const timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// serveMetrics serves the last results. Connections with probe_on_scrape are probed
// first. With ?probe=false they are not: a Prometheus that uses /probe for them needs
// only the other metrics from here.
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

// probeScraped probes all connections with probe_on_scrape, and waits until the probes
// have ended or the scrape's time is up. A probe that ends later is still recorded; the
// next scrape shows it.
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

// serveProbe probes one connection now. Requests that arrive at the same time share one
// probe. If there is no new outcome within the scraper's time, or none is due yet, the
// last outcome is served again, with its age.
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

// writeLast serves the last outcome again. Its age is in the header Age, in seconds;
// the metrics have the time, as mailprobe_last_probe_timestamp_seconds.
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

// writeOutcome serves one outcome as metrics, or, with ?debug=true, as text for people.
func (s *site) writeOutcome(w http.ResponseWriter, r *http.Request, o *mail.Outcome) {
	if r.URL.Query().Get("debug") == "true" {
		writeDebug(w, o)
		return
	}
	metrics.Handler(s.Metrics.One(*o), s.Log).ServeHTTP(w, r)
}

// connectionName returns the requested name, from the parameter connection or from
// target, the name that other exporters use. It returns false if there is none, or if
// there are two different names.
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

// waitTime is how long a scraper waits for the answer; 0: unknown.
type waitTime time.Duration

// scrapeTime reads the scraper's timeout from its header. An invalid header is ignored.
func scrapeTime(r *http.Request) waitTime {
	seconds, err := strconv.ParseFloat(r.Header.Get(timeoutHeader), 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 || seconds > 24*3600 {
		return 0
	}
	return waitTime(seconds * float64(time.Second))
}

// patience returns how long to wait for probes: the scraper's timeout less
// scrapeMargin, or half of it if that is longer. If the timeout is unknown, longest
// counts, the longest timeout of the connections to probe.
func (t waitTime) patience(longest time.Duration) time.Duration {
	if t == 0 {
		return 2*longest + answerTime // also for a free place
	}
	whole := time.Duration(t)
	return max(whole-scrapeMargin, whole/2)
}

// wait returns a context that limits how long to wait for probes. It also extends the
// deadline for writing the answer accordingly.
func (t waitTime) wait(w http.ResponseWriter, r *http.Request, longest time.Duration) (context.Context, context.CancelFunc) {
	patience := t.patience(longest)
	// The server's write timeout allows only for answers that are ready at once.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience + answerTime))
	return context.WithTimeout(r.Context(), patience)
}

// writeDebug writes a probe for people: first what happened, as comments, then the
// metrics. The whole is valid in the Prometheus text format.
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
