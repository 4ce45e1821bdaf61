package routes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/systest"
	"mailprobe/mail"
)

// sendings notes when messages were sent.
type sendings struct {
	mu    sync.Mutex
	times map[string][]time.Time
	all   []time.Time
}

func (s *sendings) note(route string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times[route] = append(s.times[route], time.Now())
	s.all = append(s.all, time.Now())
}

// count returns how many messages of a route were sent.
func (s *sendings) count(route string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times[route])
}

// most returns the largest number of times within any window.
func most(times []time.Time, window time.Duration) (n int) {
	for i, begin := 0, 0; i < len(times); i++ {
		for times[i].Sub(times[begin]) >= window {
			begin++
		}
		n = max(n, i-begin+1)
	}
	return n
}

func sameRoute(a, b *mail.Route) bool { return a == b }

// fakeSender answers each message after a while.
func fakeSender(j *Journal, s *sendings, takes time.Duration) func(context.Context, *mail.Route) (mail.RouteOutcome, bool) {
	return func(ctx context.Context, r *mail.Route) (mail.RouteOutcome, bool) {
		token := ""
		_ = j.begin(r.Name, func(seq uint64) string { token = fmt.Sprint(r.Name, seq, time.Now()); return token }, time.Now(), nil, nil)
		s.note(r.Name)
		if !sleep(ctx, takes) {
			return mail.RouteOutcome{}, false
		}
		_ = j.end(r.Name, token, time.Now(), true, 0)
		return mail.RouteOutcome{Route: r}, true
	}
}

// TestEngineSendsNoStorm lives through days with two reloads an hour, each of
// which changes every route, and a restart a day.
func TestEngineSendsNoStorm(t *testing.T) {
	t.Run("3 routes for 30 days", func(t *testing.T) { liveWith(t, 3, 30) })
	t.Run("40 routes for a day", func(t *testing.T) { liveWith(t, 40, 1) })
}

func liveWith(t *testing.T, routes, days int) {
	synctest.Test(t, func(t *testing.T) {
		s := &sendings{times: map[string][]time.Time{}}
		journal, err := OpenJournal("")
		if err != nil {
			t.Fatal(err)
		}
		routesOf := func() (list []*mail.Route) {
			for i := range routes {
				list = append(list, testRoute(func(r *mail.Route) { r.Name, r.Interval = fmt.Sprint("r", i), time.Minute }))
			}
			return list
		}
		for range days {
			ctx, cancel := context.WithCancel(t.Context())
			e := &Engine{Send: fakeSender(journal, s, 20*time.Second), Report: func(mail.RouteOutcome) {}, Journal: journal}
			e.Set(routesOf(), sameRoute)
			done := make(chan struct{})
			go func() { e.Run(ctx); close(done) }()
			for range 48 {
				time.Sleep(30 * time.Minute)
				e.Set(routesOf(), sameRoute)
			}
			cancel()
			<-done
		}
		if got := most(s.all, time.Minute); got > maxPerMinute {
			t.Errorf("%d messages in a minute, want at most %d", got, maxPerMinute)
		}
		for route, times := range s.times {
			if got := most(times, 24*time.Hour); got > maxPerDay {
				t.Errorf("%s: %d messages in a day, want at most %d", route, got, maxPerDay)
			}
			if len(times) < days*24*60/2 {
				t.Errorf("%s: %d messages", route, len(times))
			}
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap < time.Minute {
					t.Fatalf("%s: %v between two messages", route, gap)
				}
			}
		}
	})
}

func TestEngineStopsAfterThreeWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sendings{times: map[string][]time.Time{}}
		journal, _ := OpenJournal("")
		ctx, cancel := context.WithCancel(t.Context())
		e := &Engine{Send: fakeSender(journal, s, 5*time.Hour), Report: func(mail.RouteOutcome) {}, Journal: journal}
		e.Set([]*mail.Route{testRoute()}, sameRoute)
		done := make(chan struct{})
		go func() { e.Run(ctx); close(done) }()
		time.Sleep(4 * time.Hour)
		if got := s.count("helpdesk-path"); got != maxInFlight {
			t.Errorf("%d messages, want %d", got, maxInFlight)
		}
		time.Sleep(time.Hour + 7*time.Minute)
		if got := s.count("helpdesk-path"); got != maxInFlight+1 {
			t.Errorf("%d messages after one was resolved, want %d", got, maxInFlight+1)
		}
		cancel()
		<-done
	})
}

func TestEngineRestartedAllTheTimeSendsNoMore(t *testing.T) {
	for _, path := range []string{"", "file"} {
		t.Run("journal "+path, func(t *testing.T) {
			if path != "" {
				path = filepath.Join(t.TempDir(), path)
			}
			synctest.Test(t, func(t *testing.T) {
				s := &sendings{times: map[string][]time.Time{}}
				for range 100 {
					journal, err := OpenJournal(path)
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					e := &Engine{Send: fakeSender(journal, s, time.Second), Report: func(mail.RouteOutcome) {}, Journal: journal}
					e.Set([]*mail.Route{testRoute()}, sameRoute)
					done := make(chan struct{})
					go func() { e.Run(ctx); close(done) }()
					time.Sleep(30 * time.Second)
					cancel()
					<-done
				}
				want := 0 // without a file nothing is known of the last message
				if path != "" {
					want = 10 // 50 minutes, one each 5
				}
				if got := s.count("helpdesk-path"); got != want {
					t.Errorf("%d messages in 50 minutes of restarts, want %d", got, want)
				}
			})
		})
	}
}

// A route whose messages cannot be recorded sends none. It must not look as if the last one
// had been today's.
func TestARouteThatCannotBeRecordedIsDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes")
	journal, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	lock := path + ".lock"
	replace := func(with func() error) {
		if err := errors.Join(os.RemoveAll(lock), with()); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := &sendings{times: map[string][]time.Time{}}
		outcomes := make(chan mail.RouteOutcome, 10)
		ctx, cancel := context.WithCancel(t.Context())
		e := &Engine{Send: fakeSender(journal, s, time.Second), Report: func(o mail.RouteOutcome) { outcomes <- o }, Journal: journal}
		e.Set([]*mail.Route{testRoute()}, sameRoute)
		done := make(chan struct{})
		go func() { e.Run(ctx); close(done) }()
		if o := <-outcomes; !o.Up() {
			t.Errorf("%+v before anything was broken", o.Failure)
		}
		replace(func() error { return os.Mkdir(lock, 0o700) }) // the file cannot be opened
		o := <-outcomes
		if o.Up() || o.Lost() || o.Failure.Reason != mail.LocalResources || o.Failure.Leg != mail.LegSubmit || o.Failure.Advice() == "" || o.Seq != 0 {
			t.Errorf("%+v, %+v; want a message that was not sent for want of resources here", o, o.Failure)
		}
		if got := s.count("helpdesk-path"); got != 1 {
			t.Errorf("%d messages, want only the first", got)
		}
		replace(func() error { return nil })
		if o := <-outcomes; !o.Up() {
			t.Errorf("%+v after it was mended", o.Failure)
		}
		cancel()
		<-done
	})
}

func TestJournalRefusesWhatIsNone(t *testing.T) {
	for name, content := range map[string]string{
		"nonsense":         "x",
		"another version":  `{"version":2,"key":"` + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" + `"}`,
		"without its key":  `{"version":1}`,
		"a key cut in two": `{"version":1,"key":"MDEy"}`,
	} {
		path := filepath.Join(t.TempDir(), "routes")
		writeFile(t, path, content)
		if _, err := OpenJournal(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	fifo := filepath.Join(t.TempDir(), "routes")
	systest.MakeFIFO(t, fifo)
	if _, err := OpenJournal(fifo); err == nil {
		t.Error("a FIFO: no error")
	}
}
