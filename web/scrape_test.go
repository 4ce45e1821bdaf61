package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// Nothing of an unknown name comes back.
func TestProbeRefusesUnknownNames(t *testing.T) {
	s := newStage(t, outcometest.Inbox("known"))
	s.options.Probe = func(context.Context, string, time.Duration) (mail.Outcome, error) {
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
	s.options.Probe = func(context.Context, string, time.Duration) (mail.Outcome, error) {
		o := outcometest.Refused(outcometest.Inbox("inbox"), outcometest.Noon)
		o.Transcript = append(o.Transcript, outcometest.Dialogue("S HELP TYPE # HELP mailprobe_up evil", "S <script>alert(1)</script>")...)
		return o, nil
	}
	w := s.get("/probe?connection=inbox&debug=true")
	body := w.Body.String()
	for _, want := range []string{"# down: phase auth, reason auth_rejected", "# advice: Correct username or password", "<redacted>",
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

func TestScrapeBudget(t *testing.T) {
	c := outcometest.Inbox("inbox") // 30 s
	for _, row := range []struct {
		name, header string
		want         time.Duration
	}{
		{"no header leaves the connection's timeout", "", 30 * time.Second},
		{"ten seconds leave half a second for the way", "10", 9500 * time.Millisecond},
		{"a longer one than the connection's", "60", 30 * time.Second},
		{"fractions", "1.25", 750 * time.Millisecond},
		{"a tiny one is halved, never negative", "0.4", 200 * time.Millisecond},
		{"nothing", "0", 30 * time.Second},
		{"negative", "-5", 30 * time.Second},
		{"not a number", "NaN", 30 * time.Second},
		{"endless", "Inf", 30 * time.Second},
		{"words", "soon", 30 * time.Second},
		{"absurd", "1e300", 30 * time.Second},
	} {
		r := httptest.NewRequest(http.MethodGet, "/probe", nil)
		r.Header.Set(timeoutHeader, row.header)
		if got := scrapeBudget(r).limit(c); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
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
	pool.Set(s.history.Connections())
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
		scrapers.Go(func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			if !strings.Contains(w.Body.String(), "mailprobe_up{connection=\"inbox-0\",protocol=\"imap\"} 1") {
				t.Errorf("the scraper that stayed got %s", w.Body)
			}
		})
		synctest.Wait()
		leave()
		scrapers.Wait()
		if probes.Load() != 1 {
			t.Errorf("%d probes, want 1", probes.Load())
		}
	})
}

func TestScrapeEndsWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := onScrape(1)
		s := newStage(t, list...)
		s.options.Probe = pool.New(pool.Options{}).ProbeNow // replaced below
		pool := pool.New(pool.Options{Report: s.observe,
			Probe: func(ctx context.Context, c *mail.Connection) mail.Outcome { // a server that stalls
				<-ctx.Done()
				time.Sleep(80 * time.Millisecond) // the parting
				return outcometest.Failed(c, time.Now(), mail.PhaseGreeting, mail.Timeout, "")
			}})
		pool.Set(list)
		s.options.Probe = pool.ProbeNow
		start := time.Now()
		w := s.get("/probe?connection=inbox-0", timeoutHeader, "5")
		if took := time.Since(start); took > 5*time.Second || took < 4500*time.Millisecond {
			t.Errorf("it took %v, want between 4.5 s and 5 s", took)
		}
		if !strings.Contains(w.Body.String(), `mailprobe_failure_info{connection="inbox-0",phase="greeting",protocol="imap",reason="timeout"} 1`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestAtMostFortyScrapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, outcometest.Inbox("inbox"))
		release := make(chan struct{})
		s.options.Probe = func(context.Context, string, time.Duration) (mail.Outcome, error) {
			<-release
			return outcometest.Good(outcometest.Inbox("inbox"), outcometest.Noon), nil
		}
		h := s.handler()
		ask := func(target string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			return w
		}
		var scrapers sync.WaitGroup
		for range maxScrapes {
			scrapers.Go(func() {
				if w := ask("/probe?connection=inbox"); w.Code != http.StatusOK {
					t.Errorf("one of the forty got %d", w.Code)
				}
			})
		}
		synctest.Wait()
		for _, target := range []string{"/probe?connection=inbox", "/metrics"} {
			if w := ask(target); w.Code != http.StatusServiceUnavailable || w.Body.String() != tooManyScrapes+"\n" {
				t.Errorf("%s as the 41st: %d %q", target, w.Code, w.Body)
			}
		}
		if w := ask("/"); w.Code != http.StatusOK {
			t.Errorf("the status page got %d meanwhile", w.Code)
		}
		close(release)
		scrapers.Wait()
	})
}

func TestProbeWithoutAFreeSlot(t *testing.T) {
	for err, want := range map[error]int{
		fmt.Errorf("%w: %w", pool.ErrFull, context.DeadlineExceeded): http.StatusServiceUnavailable,
		context.DeadlineExceeded:                                     http.StatusServiceUnavailable,
		pool.ErrUnknownConnection:                                    http.StatusNotFound,
		pool.ErrStopped:                                              http.StatusServiceUnavailable,
	} {
		s := newStage(t, outcometest.Inbox("inbox"))
		s.options.Probe = func(context.Context, string, time.Duration) (mail.Outcome, error) { return mail.Outcome{}, err }
		if w := s.get("/probe?connection=inbox"); w.Code != want {
			t.Errorf("%v: %d, want %d", err, w.Code, want)
		}
	}
}
