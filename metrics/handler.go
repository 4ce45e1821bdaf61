package metrics

// This file serves metrics over HTTP.

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves what gatherer gives, as text, OpenMetrics or protobuf,
// whichever the client prefers, with gzip where it accepts it. The caller
// bounds how many requests there are at once. A part that cannot be gathered is left out
// and logged; logger nil: not logged.
func Handler(gatherer prometheus.Gatherer, logger *slog.Logger) http.Handler {
	opts := promhttp.HandlerOpts{
		ErrorHandling:     promhttp.ContinueOnError,
		EnableOpenMetrics: true,
		// Named one by one: the default grows with what the program links.
		OfferedCompressions: []promhttp.Compression{promhttp.Identity, promhttp.Gzip},
	}
	if logger != nil {
		opts.ErrorLog = errorLog{logger}
	}
	return promhttp.HandlerFor(gatherer, opts)
}

// errorLog is the logger that promhttp needs.
type errorLog struct{ logger *slog.Logger }

// Println implements promhttp.Logger.
func (l errorLog) Println(v ...any) {
	l.logger.Warn("metrics incomplete", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}
