package web

import (
	"errors"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/outcometest"
)

// Sixty requests at once are two reloads: the first one's, and one for all others.
func TestReloadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		fault := errors.New("a fault in the file")
		r := newReloads(func() error {
			starts = append(starts, time.Now())
			time.Sleep(300 * time.Millisecond)
			if len(starts) == 2 {
				return fault
			}
			return nil
		})
		begin := time.Now()
		var clients sync.WaitGroup
		clients.Go(func() {
			if err := r.request(); err != nil {
				t.Errorf("the first: %v", err)
			}
		})
		synctest.Wait()
		for range 59 {
			clients.Go(func() {
				if err := r.request(); !errors.Is(err, fault) {
					t.Errorf("a later one: %v, want %v", err, fault)
				}
			})
		}
		clients.Wait()
		if len(starts) != 2 || starts[1].Sub(begin) != reloadGap {
			t.Errorf("reloads began %v after %v, want two, a second apart", starts, begin)
		}
	})
}

func TestReloadThatPanicsBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := newReloads(func() error {
			if calls++; calls == 1 {
				panic("a bug")
			}
			return nil
		})
		func() {
			defer func() { _ = recover() }()
			_ = r.request()
		}()
		if err := r.request(); err != nil || calls != 2 {
			t.Errorf("%d reloads, %v", calls, err)
		}
	})
}

func TestHostIsChecked(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	s.options.ExternalURL = &url.URL{Scheme: "https", Host: "Ops.example.org:8443", Path: "/mailprobe"}
	for _, test := range []struct {
		host, path string
		want       int
	}{
		{"ops.example.org:8443", "/", http.StatusOK},
		{"OPS.example.org", "/metrics", http.StatusOK},
		{"ops.example.org.", "/sd", http.StatusOK},
		{"127.0.0.1:10925", "/metrics", http.StatusOK},
		{"[2001:db8::1]:10925", "/metrics", http.StatusOK},
		{"localhost:10925", "/", http.StatusOK},
		{"mailprobe.monitoring.svc:10925", "/metrics", http.StatusOK},
		{"mailprobe", "/", http.StatusOK},
		{"evil.example:10925", "/", http.StatusMisdirectedRequest},
		{"evil.example", "/api/v1/connections", http.StatusMisdirectedRequest},
		{"ops.example.org.evil.example", "/metrics", http.StatusMisdirectedRequest},
		{"evil.example", "/-/healthy", http.StatusOK},
	} {
		if w := s.get(test.path, "Host", test.host); w.Code != test.want {
			t.Errorf("%s of %s: %d, want %d", test.path, test.host, w.Code, test.want)
		}
	}
	s.options.ExternalURL = nil
	if w := s.get("/", "Host", "evil.example"); w.Code != http.StatusOK {
		t.Errorf("without an external URL: %d", w.Code)
	}
}
