package metrics

// This file serves metrics over HTTP.

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Handler serves the metrics of gatherer as text, OpenMetrics or protobuf, as the
// client prefers, with gzip if the client accepts it. A metric that cannot be
// gathered is left out and logged; logger nil: it is not logged. The number of
// concurrent requests is not limited here.
func Handler(gatherer prometheus.Gatherer, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if collector, ok := gatherer.(*Collector); ok {
		return &scrapeHandler{collector: collector, log: logger}
	}
	return promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		ErrorHandling:     promhttp.ContinueOnError,
		ErrorLog:          errorLog{logger},
		EnableOpenMetrics: true,
		// A closed list: the default also offers every compression that happens to
		// be linked in.
		OfferedCompressions: []promhttp.Compression{promhttp.Identity, promhttp.Gzip},
	})
}

// errorLog is the logger that promhttp needs.
type errorLog struct{ logger *slog.Logger }

// Println implements promhttp.Logger.
func (l errorLog) Println(v ...any) {
	l.logger.Warn("metrics incomplete", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}

// scrapeHandler serves a Collector as promhttp would, with less memory. While a slow
// client reads a scrape of ten thousand connections, the scrape holds 2 MB with gzip.
// Without gzip it holds the labels of each connection and a buffer, with protobuf one
// family too.
type scrapeHandler struct {
	collector *Collector
	log       *slog.Logger

	text, openMetrics packer
}

// ServeHTTP implements http.Handler. If the query has name[], only the families of
// these names are served.
func (h *scrapeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	own, err := h.collector.exporter.Gather()
	if err != nil {
		h.log.Warn("metrics incomplete", "err", err)
	}
	format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	w.Header().Set("Content-Type", string(format))
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	names := r.URL.Query()["name[]"]
	wanted := func(name string) bool { return len(names) == 0 || slices.Contains(names, name) }
	if acceptsGzip(r.Header) {
		w.Header().Set("Content-Encoding", "gzip")
		err = h.packed(w, format, own, wanted)
	} else {
		err = writeFamilies(newFamilyEncoder(w, format), h.collector.gather(), own, wanted)
	}
	if err != nil {
		h.log.Debug("scrape broken off", "err", err)
	}
}

// packed writes a scrape in gzip.
func (h *scrapeHandler) packed(w io.Writer, format expfmt.Format, own []*dto.MetricFamily, wanted func(name string) bool) error {
	p := &h.text
	switch format.FormatType() {
	case expfmt.TypeTextPlain:
	case expfmt.TypeOpenMetrics:
		p = &h.openMetrics
	default:
		packed := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(packed)
		packed.Reset(w)
		return errors.Join(writeFamilies(newFamilyEncoder(packed, format), h.collector.gather(), own, wanted), packed.Close())
	}
	chunks, err := p.scrape(h.collector, own, wanted, p == &h.openMetrics)
	if err != nil {
		return err
	}
	return writeGzip(w, chunks)
}

// gzipWriters are reused: each takes 800 KiB. The fastest level takes a third of
// the default level's time and produces twice its bytes, still only a tenth of the
// text.
var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // a valid level is no error
	return w
}}

// acceptsGzip reports whether the client reads gzip (RFC 9110 section 12.5.3).
func acceptsGzip(header http.Header) bool {
	for offer := range strings.SplitSeq(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(offer, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		_, weight, _ := strings.Cut(parameters, "=")
		q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		return err != nil || q > 0
	}
	return false
}

// familyEncoder writes metrics in one format.
type familyEncoder interface {
	family(g *gathered) error               // the current family of g
	message(family *dto.MetricFamily) error // one of the exporter's own
	finish() error
}

func newFamilyEncoder(w io.Writer, format expfmt.Format) familyEncoder {
	switch format.FormatType() {
	case expfmt.TypeTextPlain:
		return &textWriter{out: w}
	case expfmt.TypeOpenMetrics:
		return &textWriter{out: w, openMetrics: true}
	}
	return messageEncoder{expfmt.NewEncoder(w, format)}
}

// messageEncoder is the library's encoder, for protobuf.
type messageEncoder struct{ encoder expfmt.Encoder }

func (e messageEncoder) family(g *gathered) error               { return e.encoder.Encode(g.message()) }
func (e messageEncoder) message(family *dto.MetricFamily) error { return e.encoder.Encode(family) }
func (e messageEncoder) finish() error                          { return nil }

// writeFamilies writes the families of g and own, which are sorted by name, in
// the order of their names. It stops at the first error.
func writeFamilies(e familyEncoder, g *gathered, own []*dto.MetricFamily, wanted func(name string) bool) error {
	more := g.next()
	for more || len(own) > 0 {
		var err error
		if !more || len(own) > 0 && own[0].GetName() < g.current().name {
			if wanted(own[0].GetName()) {
				err = e.message(own[0])
			}
			own = own[1:]
		} else {
			if wanted(g.current().name) {
				err = e.family(g)
			} else {
				g.skip()
			}
			more = g.next()
		}
		if err != nil {
			return err
		}
	}
	return e.finish()
}
