package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailprobe/history"
	"mailprobe/internal/outcometest"
	"mailprobe/mail"
	"mailprobe/metrics"
	"mailprobe/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a site with the history and the metrics that it shows.
type stage struct {
	t       *testing.T
	history *history.History
	metrics *metrics.Collector
	options Options
}

// newStage makes a site at noon that knows the connections. A probe on demand succeeds.
func newStage(t *testing.T, connections ...*mail.Connection) *stage {
	s := &stage{t: t, history: &history.History{}, metrics: metrics.NewCollector(metrics.Options{})}
	s.history.SetConnections(connections)
	s.metrics.SetConnections(connections)
	s.options = Options{History: s.history, Metrics: s.metrics, Now: func() time.Time { return outcometest.Noon },
		Pending: pool.Overrun,
		Probe: func(_ context.Context, name string) (mail.Outcome, error) {
			m, ok := s.history.Get(name)
			if !ok {
				return mail.Outcome{}, ErrUnknownConnection
			}
			o := outcometest.Good(m.Connection, outcometest.Noon)
			s.observe(o)
			return o, nil
		}}
	return s
}

func (s *stage) observe(o mail.Outcome) {
	s.history.Observe(o)
	s.metrics.Observe(o)
}

func (s *stage) handler() http.Handler {
	h, err := New(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// get sends a GET request, with pairs of header names and values.
func (s *stage) get(target string, header ...string) *httptest.ResponseRecorder {
	return s.do(http.MethodGet, target, header...)
}

func (s *stage) do(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, r)
	return w
}

// fleet returns the connections of a mail platform and fifty outcomes of each, for
// pictures.
func fleet() (connections []*mail.Connection, outcomes []mail.Outcome) {
	add := func(name, host string, p mail.Protocol, e mail.Encryption, last func(*mail.Connection, time.Time) mail.Outcome, down int) {
		c := outcometest.Inbox(name, mail.Label{Name: "team", Value: "support"})
		c.Host, c.Protocol, c.Encryption = host, p, e
		connections = append(connections, c)
		seed := len(name)
		for i := range 50 {
			end := outcometest.Noon.Add(time.Duration(i-50)*time.Minute + time.Duration(seed)*time.Second)
			o := outcometest.Good(c, end)
			stretch := 0.7 + 0.06*float64((i*seed*7)%11)
			for j := range o.Phases {
				o.Phases[j].Duration = time.Duration(float64(o.Phases[j].Duration) * stretch * (0.6 + 0.1*float64((seed+j)%9)))
			}
			o.Start = end.Add(-time.Duration(float64(83*time.Millisecond) * stretch))
			o.TLS.NotAfter = outcometest.Noon.AddDate(0, 0, 9+seed*seed%80)
			if last != nil && i >= 50-down {
				o = last(c, end)
			}
			outcomes = append(outcomes, o)
		}
	}
	ends := func(phase mail.Phase, reason mail.Reason, text string) func(*mail.Connection, time.Time) mail.Outcome {
		return func(c *mail.Connection, end time.Time) mail.Outcome {
			return outcometest.Failed(c, end, phase, reason, text)
		}
	}
	held := func(c *mail.Connection, end time.Time) mail.Outcome {
		o := outcometest.Refused(c, end)
		o.Auth = mail.AuthFacts{Held: true, NextAttempt: outcometest.Noon.Add(25 * time.Minute)}
		return o
	}
	add("support-inbox", "mail.example.org", mail.IMAP, mail.ImplicitTLS, nil, 0)
	add("support-outbound", "smtp.example.org", mail.SMTP, mail.StartTLS, nil, 0)
	add("billing-inbox", "mail.example.org", mail.IMAP, mail.ImplicitTLS, held, 12)
	add("legacy-pop", "pop.example.net", mail.POP3, mail.ImplicitTLS,
		ends(mail.PhaseConnect, mail.ConnectRefused, "connect: dial tcp 198.51.100.7:995: connect: connection refused"), 3)
	add("partner-relay", "relay.partner.example", mail.SMTP, mail.StartTLS,
		ends(mail.PhaseTLS, mail.CertExpired, "tls: x509: certificate has expired: current time 2026-11-23T11:57:00Z is after 2026-11-22T23:59:59Z"), 41)
	for i, name := range []string{"sales", "press", "jobs", "security-contact", "info", "abuse", "newsletter-bounces"} {
		add(name, fmt.Sprintf("mx%d.example.org", i%3+1), mail.IMAP, mail.ImplicitTLS, nil, 0)
	}
	stuck := outcometest.Watched("tickets", mail.Label{Name: "team", Value: "helpdesk"})
	for i := range 50 {
		outcomes = append(outcomes, outcometest.Stuck(stuck, outcometest.Noon.Add(time.Duration(i-50)*time.Minute)))
	}
	return append(connections, stuck, outcometest.Inbox("fresh-one")), outcomes
}

// sendMessages observes messages of three routes: one arrives, one is filed as spam, one
// is lost.
func (s *stage) sendMessages() {
	route := func(name string) *mail.Route {
		return &mail.Route{Name: name, Send: &mail.Connection{Name: "support-outbound"}, Receive: &mail.Connection{Name: "support-inbox"},
			Interval: 5 * time.Minute, Deadline: 10 * time.Minute, Labels: []mail.Label{{Name: "team", Value: "support"}}}
	}
	works, spam, lost := route("helpdesk"), route("newsletter"), route("partner")
	s.history.SetRoutes([]*mail.Route{works, spam, lost, route("not-yet")})
	s.history.ObserveRoute(testRouteOutcomes(works, outcometest.Noon)[0])
	filed := testRouteOutcomes(spam, outcometest.Noon)[0]
	filed.Folder, filed.FolderAs = mail.FolderJunk, "Junk"
	filed.Failure = &mail.RouteFailure{Leg: mail.LegTransfer, Reason: mail.FiledAsSpam, Text: "found in Junk"}
	s.history.ObserveRoute(filed)
	for _, o := range testRouteOutcomes(lost, outcometest.Noon) {
		s.history.ObserveRoute(o)
	}
}
