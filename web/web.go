// Package web serves people and Prometheus over HTTP: the status page, the metrics,
// single probes, service discovery and a JSON API. No request can name a host to probe,
// a file or a secret: requests choose among configured names.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"mailprobe/history"
	"mailprobe/mail"
	"mailprobe/metrics"
)

// The fixed texts of refusals. A request is never quoted.
const (
	unknownConnection = "unknown connection"
	tooManyScrapes    = "too many scrapes at once"
	stopping          = "mailprobe is stopping"
	retryOff          = "not enabled, see --web.enable-retry"
)

// Errors of Options.Probe.
var (
	ErrUnknownConnection = errors.New(unknownConnection)
	ErrStopping          = errors.New(stopping)
)

// TooSoonError is an error of Options.Release. Its text is for the client.
type TooSoonError struct{ Err error }

func (e TooSoonError) Error() string { return e.Err.Error() }
func (e TooSoonError) Unwrap() error { return e.Err }

// Options says what to serve. History, Metrics, Probe and Pending must be
// set.
type Options struct {
	History *history.History   // whose connections are the configured ones
	Metrics *metrics.Collector // what the telemetry path shows
	// Probe probes a connection now. Its errors are ErrUnknownConnection and
	// ErrStopping; after any other the last result is shown again.
	Probe func(ctx context.Context, name string) (mail.Outcome, error)
	// Pending returns what is shown of a connection whose first probe has not ended.
	Pending func(*mail.Connection) mail.Outcome
	// MaxWaiting is how many requests wait for probes at once; 0: 4096. Beyond it
	// the last results are shown.
	MaxWaiting int

	TelemetryPath string      // "/metrics" if empty
	ExternalURL   *url.URL    // how Prometheus reaches this; nil: by the request's Host
	Ready         func() bool // whether a configuration is loaded; nil: yes
	Shard         string      // this process's part of the connections, such as 0/3; empty: all

	// Retry lets POST requests end the hold of an account.
	Retry  bool
	Reload func() error // several requests may call it at once
	// Release ends the hold of an account; nil: there is no retry. A TooSoonError
	// says that the same request may succeed later.
	Release func(*mail.Connection) error
	// ReloadFault returns when the last reload was, and why it failed; nil: it did
	// not. The func may be nil.
	ReloadFault func() (at time.Time, fault error)

	Log *slog.Logger     // nil: no log
	Now func() time.Time // nil: time.Now
}

// site is what the handlers share.
type site struct {
	Options
	telemetry   http.Handler
	waiting     *waiters
	expositions places
	answers     *answers
	lists       lists
	streams     places // of lists that are sent item by item
	reloads     *reloads
}

// New returns the handler of the whole site. It fails if the telemetry path is not a
// plain path or is taken by another page, or if the external URL is not a plain URL.
func New(o Options) (http.Handler, error) {
	_, handler, err := newSite(o)
	return handler, err
}

func newSite(o Options) (*site, http.Handler, error) {
	if o.TelemetryPath == "" {
		o.TelemetryPath = "/metrics"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ready == nil {
		o.Ready = func() bool { return true }
	}
	if err := checkExternalURL(o.ExternalURL); err != nil {
		return nil, nil, err
	}
	s := &site{Options: o, telemetry: metrics.Handler(o.Metrics, o.Log), waiting: newWaiters(o.MaxWaiting),
		expositions: make(places, maxExpositions), streams: make(places, maxStreams), answers: newAnswers(), reloads: newReloads(o.Reload)}
	routes := s.routes()
	if err := checkTelemetryPath(o.TelemetryPath, routes); err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.HandleFunc(pattern, handler)
	}
	mux.HandleFunc("GET "+o.TelemetryPath, s.serveMetrics)
	return s, s.protected(s.hostChecked(s.withNotFound(mux))), nil
}

// routes maps the paths to their handlers. Only POST requests change anything.
func (s *site) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /{$}":                       s.serveOverview,
		"GET /connections/{name}":        s.serveDetail,
		"GET /connections/{$}":           s.serveDetail, // names that no path can hold: ?name=..
		"GET /probe":                     s.serveProbe,
		"GET /sd":                        s.serveDiscovery,
		"GET /routes":                    s.serveRoutes,
		"GET /api/v1/routes":             s.serveRoutesJSON,
		"GET /api/v1/connections":        s.serveConnections,
		"GET /api/v1/connections/{name}": s.serveConnection,
		"GET /-/healthy":                 s.serveHealthy,
		"GET /-/ready":                   s.serveReady,
		"POST /-/reload":                 s.sameSite(s.serveReload),
		"POST /-/retry":                  s.sameSite(s.retryEnabled(s.serveRetry)),
	}
}

// checkTelemetryPath returns an error for a path that would make the mux panic, or that
// the mux would read as a pattern.
func checkTelemetryPath(path string, taken map[string]http.HandlerFunc) error {
	plain := strings.HasPrefix(path, "/") && len(path) > 1 && !strings.HasSuffix(path, "/") &&
		!strings.ContainsAny(path, "{}?#% \t\r\n") && !strings.Contains(path, "//") && !strings.Contains(path, "/.")
	if !plain {
		return fmt.Errorf("--web.telemetry-path: %q is not a plain path like /metrics", path)
	}
	for pattern := range taken {
		_, used, _ := strings.Cut(pattern, " ")
		if path == used || strings.HasPrefix(path, "/connections/") || strings.HasPrefix(path, "/api/v1/connections/") {
			return fmt.Errorf("--web.telemetry-path: %q is taken by another page", path)
		}
	}
	return nil
}

// checkExternalURL requires a URL that a target can be made of.
func checkExternalURL(u *url.URL) error {
	if u == nil {
		return nil
	}
	if u.Scheme != "http" && u.Scheme != "https" || !isHostPort(u.Host) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--web.external-url: %q is not a plain URL like https://example.org/mailprobe", u.Redacted())
	}
	return nil
}

// protected sets the security headers of every answer, and answers a panic without its
// details. The toolkit's web.config.file can add headers.
func (s *site) protected(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// not no-referrer: then browsers would not send the origin of our own forms
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.ContentLength != 0 {
			h.Set("Connection", "close") // no body is read, not even to its end
		}
		defer func() {
			switch value := recover(); value {
			case nil:
			case http.ErrAbortHandler:
				panic(value) //nolint:forbidigo // as net/http wants it
			default:
				// The value may contain a secret, so only its type and the stack are
				// logged.
				s.Log.Error("request panicked", "type", fmt.Sprintf("%T", value), "stack", string(debug.Stack()))
				refuse(w, http.StatusInternalServerError, "internal error")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// refuse answers with a fixed text.
func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }

// withNotFound answers unknown paths with our own page. Whether a path is unknown, or
// only the method is not allowed, is read from the mux's answer.
func (s *site) withNotFound(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern == "" {
			answer := &statusOnly{header: http.Header{}}
			handler.ServeHTTP(answer, r)
			if answer.status == http.StatusNotFound {
				s.serveNowhere(w, r)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

// statusOnly is a response that keeps its status and drops its body.
type statusOnly struct {
	header http.Header
	status int
}

func (a *statusOnly) Header() http.Header         { return a.header }
func (a *statusOnly) WriteHeader(status int)      { a.status = status }
func (a *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

// serveNowhere answers requests for unknown paths. If a proxy serves mailprobe below a
// path, the link back is known only from the external URL.
func (s *site) serveNowhere(w http.ResponseWriter, r *http.Request) {
	root := "/"
	if s.ExternalURL != nil {
		root = strings.TrimSuffix(s.ExternalURL.Path, "/") + "/"
	}
	s.notFound(w, r, root, "There is no such page.")
}

func (s *site) serveHealthy(w http.ResponseWriter, _ *http.Request) {
	plain(w, "healthy\n")
}

func (s *site) serveReady(w http.ResponseWriter, _ *http.Request) {
	if !s.Ready() {
		refuse(w, http.StatusServiceUnavailable, "no configuration is loaded yet")
		return
	}
	plain(w, "ready\n")
}

// plain answers with text that browsers display as text.
func plain(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // the client may have left
}

// sameSite refuses requests that another site's page sends through the administrator's
// browser (CSRF).
func (s *site) sameSite(next http.HandlerFunc) http.HandlerFunc {
	return http.NewCrossOriginProtection().Handler(next).ServeHTTP
}

// retryEnabled refuses requests unless --web.enable-retry is set: a client that ends
// holds again and again could lock an account. Reloads need no such guard, because
// holds survive them.
func (s *site) retryEnabled(next http.HandlerFunc) http.HandlerFunc {
	if !s.Retry {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusForbidden, retryOff) }
	}
	return next
}

// serveRetry ends the hold of an account, so that the next probe tries to log in. A
// browser is sent back to the connection's page.
func (s *site) serveRetry(w http.ResponseWriter, r *http.Request) {
	name, ok := connectionName(r.URL.Query())
	m, known := s.History.Get(name)
	switch {
	case !ok || !known:
		refuse(w, http.StatusNotFound, unknownConnection)
		return
	case s.Release == nil:
		refuse(w, http.StatusConflict, "logins are never withheld here")
		return
	}
	switch err := s.Release(m.Connection); {
	case errors.As(err, new(TooSoonError)):
		refuse(w, http.StatusTooManyRequests, err.Error())
	case err != nil:
		refuse(w, http.StatusConflict, err.Error())
	case r.URL.Query().Has("from_page"):
		// Relative to /-/retry, so that it is correct behind any proxy.
		http.Redirect(w, r, "../"+detailPath(name), http.StatusSeeOther)
	default:
		plain(w, "the next probe will try to log in\n")
	}
}
