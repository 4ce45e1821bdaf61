package web

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// platform is a site with many connections, each probed once.
func platform(t *testing.T, connections int) *stage {
	list := make([]*mail.Connection, connections)
	for i := range list {
		list[i] = outcometest.Inbox(fmt.Sprintf("inbox-%05d", i), mail.Label{Name: "team", Value: "support"})
	}
	s := newStage(t, list...)
	for _, c := range list {
		s.observe(outcometest.Good(c, outcometest.Noon))
	}
	return s
}

// requestUnread sends a request over a new connection and never reads the answer.
func requestUnread(t *testing.T, address, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	return conn
}

// liveMemory returns the bytes that the garbage collector found in use, and those of all
// stacks. What is allocated during the collection counts as used, so it waits until
// hardly anything is.
func liveMemory(t *testing.T) int64 {
	t.Helper()
	use := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	for range 1000 {
		metrics.Read(use)
		before := use[2].Value.Uint64()
		runtime.GC()
		metrics.Read(use)
		if use[2].Value.Uint64()-before < 256<<10 {
			return int64(use[0].Value.Uint64() + use[1].Value.Uint64())
		}
		time.Sleep(20 * time.Millisecond) // between two measurements
	}
	t.Fatal("answers are still being made")
	return 0
}

// smallBuffers keeps the kernel from taking megabytes of each answer, as the
// exporter does.
func smallBuffers(conn net.Conn, state http.ConnState) {
	if state == http.StateNew {
		_ = conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
}

// Many clients ask for a list, the page or the metrics of ten thousand connections, and
// never read. Memory is measured when every request is refused or waits for its client.
func TestClientsThatNeverReadTakeLittleMemory(t *testing.T) {
	s := platform(t, 10_000)
	site, handler, err := newSite(s.options)
	if err != nil {
		t.Fatal(err)
	}
	site.answers.stall = time.Hour      // the clients stay
	site.answers.wait = 2 * time.Second // a request for which there is no room is refused soon
	var answering atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answering.Add(1)
		defer answering.Add(-1)
		handler.ServeHTTP(w, r)
	}))
	server.Config.ConnState = smallBuffers
	server.Start()
	defer server.Close()
	for path, test := range map[string]struct {
		clients int
		most    int64
	}{
		"/api/v1/connections": {250, 24 << 20},
		"/sd":                 {250, 24 << 20},
		"/":                   {100, pageBudget + 16<<20}, // more than have room
		"/metrics":            {250, 24 << 20},
	} {
		before := liveMemory(t)
		conns := make([]net.Conn, test.clients)
		for i := range conns {
			conns[i] = requestUnread(t, server.Listener.Addr().String(), path)
		}
		for answering.Load() == 0 {
			time.Sleep(time.Millisecond) // until the first request is there
		}
		used := liveMemory(t) - before
		t.Logf("%s: %d KiB for %d clients, of which %d are being answered", path, used>>10, test.clients, answering.Load())
		if used > test.most {
			t.Errorf("%s: %d MiB for %d clients that do not read, want at most %d", path, used>>20, test.clients, test.most>>20)
		}
		if answering.Load() == 0 {
			t.Errorf("%s: no answer waits for its client", path)
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
		for answering.Load() > 0 {
			time.Sleep(time.Millisecond) // until the server has noticed
		}
	}
}

// A client that does not read is dropped. Another one that reads slowly, at the same time,
// gets the whole answer. The test is in a bubble, because on a busy machine even a client
// that reads may pause longer than the stall time.
func TestClientThatStopsReadingIsDropped(t *testing.T) {
	t.Parallel()
	s := platform(t, 4000)
	synctest.Test(t, func(t *testing.T) {
		_, handler, err := newSite(s.options)
		if err != nil {
			t.Fatal(err)
		}
		start, dropped := time.Now(), make(chan time.Time, 1)
		listener := make(pipes)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(w, r)
			if r.URL.Path != "/sd" {
				dropped <- time.Now()
			}
		})}
		go func() { _ = server.Serve(listener) }()
		defer func() { _ = server.Close() }()
		defer listener.ask(t, "/api/v1/connections").Close()

		// It reads all the time, and takes longer than the stall time in all.
		slow := listener.ask(t, "/sd")
		defer slow.Close()
		reader := bufio.NewReader(slow)
		for range 25 {
			time.Sleep(stallTime / 20)
			if _, err := reader.Discard(16 << 10); err != nil {
				t.Fatalf("a slow client was cut off: %v", err)
			}
		}
		if rest, err := io.ReadAll(reader); len(rest) == 0 || err != nil {
			t.Errorf("the answer to a slow client ends early: %v", err)
		}
		if took := (<-dropped).Sub(start); took != stallTime {
			t.Errorf("a client that does not read was dropped after %v, want %v", took, stallTime)
		}
	})
}

// pipes is a listener in memory. It accepts the server's ends of pipes.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, open := <-p; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// ask sends a request over a new pipe, which holds as many unread bytes as a small socket
// buffer.
func (p pipes) ask(t *testing.T, path string) net.Conn {
	t.Helper()
	ours, theirs := mailtest.Pipe(16 << 10)
	p <- theirs
	if _, err := fmt.Fprintf(ours, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	return ours
}

func TestListInPages(t *testing.T) {
	s := platform(t, 7)
	var names []string
	path, pages := "/api/v1/connections?limit=3", 0
	for path != "" && pages < 10 {
		var list struct {
			Connections []struct{ Name string }
			Next        string
		}
		if err := json.NewDecoder(s.get(path).Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Connections {
			names = append(names, c.Name)
		}
		path = ""
		if list.Next != "" {
			path = "/api/v1/connections?limit=3&after=" + list.Next
		}
		pages++
	}
	want := "inbox-00000 inbox-00001 inbox-00002 inbox-00003 inbox-00004 inbox-00005 inbox-00006"
	if got := strings.Join(names, " "); got != want || pages != 3 {
		t.Errorf("%d pages with %s, want 3 with %s", pages, got, want)
	}
	for query, want := range map[string]string{
		"?after=inbox-00005x":         `{"connections":[{"name":"inbox-00006"`,
		"?after=zzz":                  `{"connections":[]}` + "\n",
		"?limit=7":                    `{"connections":[{"name":"inbox-00000"`,
		"?limit=1&after=inbox-00006":  `{"connections":[]}` + "\n",
		"?limit=999999999999999999":   `{"connections":[{"name":"inbox-00000"`,
		"?limit=1&after=inbox-00005":  `{"connections":[{"name":"inbox-00006"`,
		"?limit=0":                    badLimit,
		"?limit=-1":                   badLimit,
		"?limit=":                     badLimit,
		"?limit=99999999999999999999": badLimit,
	} {
		body := s.get("/api/v1/connections" + query).Body.String()
		if !strings.HasPrefix(body, want) || strings.Contains(body, `"next"`) {
			t.Errorf("%s: %.120s, want %s", query, body, want)
		}
	}
}

// While the budget is used up, a page is refused, and other requests are answered.
func TestPagesHaveABudget(t *testing.T) {
	s := platform(t, 1)
	site, handler, err := newSite(s.options)
	if err != nil {
		t.Fatal(err)
	}
	site.answers.wait = 10 * time.Millisecond
	if err := site.answers.bytes.Acquire(t.Context(), pageBudget); err != nil {
		t.Fatal(err)
	}
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if w := ask("/"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("with all room taken the page is answered %d", w.Code)
	}
	for _, path := range []string{"/metrics", "/-/healthy", "/api/v1/connections", "/sd"} {
		if w := ask(path); w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	site.answers.bytes.Release(pageBudget)
	if w := ask("/"); w.Code != http.StatusOK {
		t.Errorf("with room again the page is answered %d", w.Code)
	}
	if !site.answers.bytes.TryAcquire(pageBudget) {
		t.Error("a page that was read still has its room")
	}
}
