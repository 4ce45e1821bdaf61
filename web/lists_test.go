package web

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestListIsSharedWhileItIsRead counts how often a list is written, and what all
// its texts take, for clients that come and stay in various ways.
func TestListIsSharedWhileItIsRead(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	for _, test := range []struct {
		story        string
		clients      int
		every, stays time.Duration // one comes, and how long it stays
		variants     int           // of the list
		wantWrites   int           // at most
		wantBytes    int           // at most
	}{
		{"one after another", 10, time.Second, 0, 1, 10, size},
		{"250 at once that never read", 250, 0, 10 * time.Second, 1, 1, size},
		{"250 in a minute that never read", 250, 240 * time.Millisecond, 10 * time.Second, 1, 12, 3 * size},
		{"250 in a minute that read for a minute", 250, 240 * time.Millisecond, time.Minute, 1, 13, listBudget},
		{"each asks for another list", 250, 240 * time.Millisecond, 10 * time.Second, 250, 50, listBudget},
	} {
		t.Run(test.story, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var l lists
				writes, most := 0, 0
				line := strings.Repeat("x", listChunk)
				write := func(out *bufio.Writer) bool {
					writes++
					for range size / listChunk {
						if _, err := out.WriteString(line); err != nil {
							return false
						}
					}
					return true
				}
				var clients sync.WaitGroup
				for i := range test.clients {
					text := l.get(listKey{"connections", strings.Repeat("v", i%test.variants)}, write)
					l.mu.Lock()
					most = max(most, l.used)
					l.mu.Unlock()
					if text != nil {
						clients.Go(func() {
							time.Sleep(test.stays)
							l.release(text)
						})
					}
					if test.stays == 0 {
						clients.Wait()
					}
					time.Sleep(test.every)
				}
				clients.Wait()
				if writes > test.wantWrites || writes == 0 || most > test.wantBytes || most == 0 {
					t.Errorf("written %d times, %d bytes; want at most %d and %d", writes, most, test.wantWrites, test.wantBytes)
				}
				if l.used != 0 || len(l.newest) != 0 {
					t.Errorf("%d bytes and %d texts are left", l.used, len(l.newest))
				}
			})
		})
	}
}

// TestListThatIsTooLongIsSentItemByItem to a few clients at once.
func TestListThatIsTooLongIsSentItemByItem(t *testing.T) {
	t.Parallel()
	s, _, err := newSite(platform(t, 1).options)
	if err != nil {
		t.Fatal(err)
	}
	writes, enough := 0, listBudget/listChunk+1
	line := strings.Repeat("x", listChunk)
	write := func(out *bufio.Writer) bool {
		writes++
		for range enough {
			if _, err := out.WriteString(line); err != nil {
				return false
			}
		}
		return true
	}
	for i, want := range []int{2, 3} { // the second one does not try to share it
		answer := httptest.NewRecorder()
		s.sendList(answer, httptest.NewRequest(http.MethodGet, "/", nil), listKey{"connections", ""}, write)
		if got := answer.Body.Len(); answer.Code != http.StatusOK || got != enough*listChunk || writes != want {
			t.Errorf("client %d: %d, %d bytes, written %d times; want %d bytes and %d times", i, answer.Code, got, writes, enough*listChunk, want)
		}
	}
	if s.lists.used != 0 || len(s.lists.newest) != 0 {
		t.Errorf("%d bytes and %d texts are left", s.lists.used, len(s.lists.newest))
	}
	for range maxStreams {
		s.streams <- struct{}{}
	}
	hurried, cancel := context.WithCancel(t.Context())
	cancel()
	answer := httptest.NewRecorder()
	s.sendList(answer, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(hurried), listKey{"connections", ""}, write)
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
		t.Errorf("one client more: %d %v", answer.Code, answer.Header())
	}
}
