package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
	"mailprobe/pool"
)

func TestProbeShowsOneConnection(t *testing.T) {
	s := newStage(t, outcometest.Inbox("gmx in/box"), outcometest.Inbox("other"))
	for _, parameter := range []string{"connection", "target"} {
		w := s.get("/probe?" + parameter + "=" + url.QueryEscape("gmx in/box"))
		body := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(body, `mailprobe_up{connection="gmx in/box",protocol="imap"} 1`) {
			t.Errorf("%s: %d %s", parameter, w.Code, body)
		}
		if strings.Contains(body, "other") || strings.Contains(body, "go_goroutines") {
			t.Errorf("%s: shows more than the connection:\n%s", parameter, body)
		}
	}
}

// The answer to an unknown name does not repeat it.
func TestProbeRefusesUnknownNames(t *testing.T) {
	s := newStage(t, outcometest.Inbox("known"))
	s.options.Probe = func(context.Context, string) (mail.Outcome, error) {
		t.Error("an unknown name was probed")
		return mail.Outcome{}, nil
	}
	for name, query := range map[string]string{
		"none": "", "host and port": "?connection=evil:25", "script": "?connection=%3Cscript%3Ealert(1)%3C/script%3E",
		"line breaks": "?target=x%0d%0aX-Evil:%201", "huge": "?connection=" + strings.Repeat("A", 100_000),
		"invalid UTF-8": "?connection=%ff%fe", "two": "?connection=known&target=evil", "empty": "?connection=",
	} {
		w := s.get("/probe" + query)
		if w.Code != http.StatusNotFound || w.Body.String() != unknownConnection+"\n" {
			t.Errorf("%s: %d %.200q", name, w.Code, w.Body)
		}
	}
}

func TestProbeDebugShowsTheDialogueAndParses(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	s.options.Probe = func(context.Context, string) (mail.Outcome, error) {
		o := outcometest.Refused(outcometest.Inbox("inbox"), outcometest.Noon)
		o.Transcript = append(o.Transcript, outcometest.Dialogue("S HELP TYPE # HELP mailprobe_up evil", "S <script>alert(1)</script>")...)
		return o, nil
	}
	w := s.get("/probe?connection=inbox&debug=true")
	body := w.Body.String()
	for _, want := range []string{"# down: phase auth, reason auth_rejected", "# advice: The user name or the password in the configuration is wrong", "<redacted>",
		"mailprobe_up{connection=\"inbox\",protocol=\"imap\"} 0"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
	if kind := w.Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
		t.Errorf("content type %q", kind)
	}
	if strings.Contains(body, outcometest.Secret) || strings.Contains(body, "support@") {
		t.Error("the page shows login or password")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(w.Body); err != nil {
		t.Errorf("it does not parse: %v", err)
	}
}

func TestScrapeTime(t *testing.T) {
	const timeout = 30 * time.Second
	usual := 2*timeout + answerTime
	for _, test := range []struct {
		name, header string
		want         time.Duration
	}{
		{"no header", "", usual},
		{"ten seconds leave a quarter of one for the way", "10", 9750 * time.Millisecond},
		{"longer than the connection's timeout", "60", 59750 * time.Millisecond},
		{"a tiny one is halved, never negative", "0.4", 200 * time.Millisecond},
		{"nothing", "0", usual},
		{"negative", "-5", usual},
		{"not a number", "NaN", usual},
		{"endless", "Inf", usual},
		{"words", "soon", usual},
		{"absurd", "1e300", usual},
	} {
		r := httptest.NewRequest(http.MethodGet, "/probe", nil)
		r.Header.Set(timeoutHeader, test.header)
		if got := scrapeTime(r).patience(timeout); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// pooled puts a real pool behind the site, whose probes take a second.
func pooled(s *stage, probes *atomic.Int32) {
	pool := pool.New(pool.Options{
		Probe: func(ctx context.Context, c *mail.Connection) mail.Outcome {
			probes.Add(1)
			select {
			case <-time.After(time.Second):
				return outcometest.Good(c, time.Now())
			case <-ctx.Done():
				return outcometest.Failed(c, time.Now(), mail.PhaseConnect, mail.ConnectTimeout, "")
			}
		},
		Report: s.observe,
	})
	pool.Set(slices.Collect(s.history.Connections()))
	s.options.Probe = pool.ProbeNow
}

func onScrape(n int) []*mail.Connection {
	list := make([]*mail.Connection, n)
	for i := range list {
		list[i] = outcometest.Inbox(fmt.Sprint("inbox-", i))
		list[i].Host = fmt.Sprint("mx", i)
		list[i].ProbeOnScrape = true
	}
	return list
}

func TestMetricsProbesOnScrapeAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timed := outcometest.Inbox("timed")
		s := newStage(t, append(onScrape(20), timed)...)
		var probes atomic.Int32
		pooled(s, &probes)
		start := time.Now()
		w := s.get("/metrics")
		if took := time.Since(start); took != time.Second {
			t.Errorf("twenty probes of 1 s took %v, want 1 s", took)
		}
		if n := strings.Count(w.Body.String(), "mailprobe_up{"); n != 20 || probes.Load() != 20 {
			t.Errorf("%d probes, %d results shown; want 20 of both", probes.Load(), n)
		}
		s.get("/metrics?probe=false")
		if probes.Load() != 20 {
			t.Error("?probe=false probed")
		}
	})
}

func TestSimultaneousScrapesShareOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, onScrape(5)...)
		var probes atomic.Int32
		pooled(s, &probes)
		h := s.handler()
		var scrapers sync.WaitGroup
		for i := range 30 {
			scrapers.Go(func() {
				target := "/metrics"
				if i%2 == 0 {
					target = "/probe?connection=inbox-1"
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
				if !strings.Contains(w.Body.String(), `mailprobe_up{connection="inbox-1",protocol="imap"} 1`) {
					t.Errorf("%s: %d %s", target, w.Code, w.Body)
				}
			})
		}
		scrapers.Wait()
		if probes.Load() != 5 {
			t.Errorf("30 scrapes made %d probes, want 5", probes.Load())
		}
	})
}

func TestScraperThatLeavesCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, onScrape(1)...)
		var probes atomic.Int32
		pooled(s, &probes)
		h := s.handler()
		leaves, leave := context.WithCancel(t.Context())
		var scrapers sync.WaitGroup
		scrapers.Go(func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/probe?connection=inbox-0", nil).WithContext(leaves))
		})
		synctest.Wait()
		leave()
		scrapers.Wait()
		time.Sleep(2 * time.Second)
		if body := s.get("/metrics?probe=false").Body.String(); !strings.Contains(body, "mailprobe_up{connection=\"inbox-0\",protocol=\"imap\"} 1") {
			t.Errorf("the probe was not reported:\n%s", body)
		}
	})
}

// stalled puts a pool behind the site whose probes take their whole timeout.
func stalled(s *stage, list []*mail.Connection) {
	pool := pool.New(pool.Options{Report: s.observe, MaxInFlightPerHost: 1,
		Probe: func(_ context.Context, c *mail.Connection) mail.Outcome {
			start := time.Now()
			time.Sleep(c.Timeout)
			o := outcometest.Failed(c, time.Now(), mail.PhaseGreeting, mail.Timeout, "")
			o.Start = start
			return o
		}})
	pool.Set(list)
	s.options.Probe = pool.ProbeNow
	s.options.Now = time.Now
}

// A scraper with less time than the probe does not make the probe fail: it gets an
// overrun before the first result, and later the last result with its age.
func TestScrapeEndsWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := onScrape(1)
		s := newStage(t, list...)
		stalled(s, list)
		for _, test := range []struct {
			reason mail.Reason
			age    string
		}{{mail.LocalOverrun, ""}, {mail.Timeout, "39"}} {
			start := time.Now()
			w := s.get("/probe?connection=inbox-0", timeoutHeader, "5")
			if took := time.Since(start); took != 5*time.Second-scrapeMargin {
				t.Errorf("it took %v, want all the time but %v", took, scrapeMargin)
			}
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `reason="`+string(test.reason)+`"} 1`) || w.Header().Get("Age") != test.age {
				t.Errorf("%d, age %q, want %s of age %s:\n%s", w.Code, w.Header().Get("Age"), test.reason, test.age, w.Body)
			}
			time.Sleep(time.Minute)
		}
	})
}

// Two hundred requests for one connection whose server is silent take no place
// that another connection, the metrics or the health check needs.
func TestWaitingTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := onScrape(2)
		s := newStage(t, list...)
		stalled(s, list[:1])
		silent := s.options.Probe
		s.options.Probe = func(ctx context.Context, name string) (mail.Outcome, error) {
			if name == "inbox-1" {
				return outcometest.Good(list[1], time.Now()), nil
			}
			return silent(ctx, name)
		}
		s.options.MaxWaiting = 40
		h := s.handler()
		ask := func(target string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			return w
		}
		var scrapers sync.WaitGroup
		for range 200 {
			scrapers.Go(func() {
				if w := ask("/probe?connection=inbox-0"); w.Code != http.StatusOK {
					t.Errorf("a request for the silent one got %d", w.Code)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		for _, target := range []string{"/probe?connection=inbox-1", "/metrics?probe=false", "/-/healthy"} {
			if w := ask(target); w.Code != http.StatusOK || time.Since(start) != 0 {
				t.Errorf("%s: %d after %v", target, w.Code, time.Since(start))
			}
		}
		scrapers.Wait()
	})
}

func TestMetricsAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := make(places, 1)
		if !p.take(t.Context()) {
			t.Fatal("the only place was refused")
		}
		start := time.Now()
		if p.take(t.Context()) || time.Since(start) != expositionWait {
			t.Errorf("the second one waited %v, want %v and no place", time.Since(start), expositionWait)
		}
		p.giveBack()
		if !p.take(t.Context()) {
			t.Error("a place given back was refused")
		}
	})
}

func TestProbeWithoutANewOutcome(t *testing.T) {
	for err, want := range map[error]int{
		fmt.Errorf("%w: %w", pool.ErrUnfinished, context.DeadlineExceeded): http.StatusOK,
		pool.ErrFull:         http.StatusOK,
		pool.ErrTooSoon:      http.StatusOK,
		ErrUnknownConnection: http.StatusNotFound,
		ErrStopping:          http.StatusServiceUnavailable,
	} {
		c := outcometest.Inbox("inbox")
		s := newStage(t, c)
		s.observe(outcometest.Good(c, outcometest.Noon.Add(-42*time.Second)))
		s.options.Probe = func(context.Context, string) (mail.Outcome, error) { return mail.Outcome{}, err }
		w := s.get("/probe?connection=inbox")
		if w.Code != want {
			t.Errorf("%v: %d, want %d", err, w.Code, want)
		}
		if want == http.StatusOK && (w.Header().Get("Age") != "42" || !strings.Contains(w.Body.String(), `mailprobe_up{connection="inbox",protocol="imap"} 1`)) {
			t.Errorf("%v: age %q, want 42 and the last result:\n%s", err, w.Header().Get("Age"), w.Body)
		}
	}
}
