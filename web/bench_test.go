package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"mailprobe/history"
	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// tenThousand is a site with ten thousand connections, each probed fifty times.
func tenThousand(b *testing.B) http.Handler {
	h := &history.History{}
	list := make([]*mail.Connection, 10_000)
	for i := range list {
		list[i] = outcometest.Inbox(fmt.Sprint("inbox-", i))
	}
	h.SetConnections(list)
	for range history.MaxSamples {
		for _, c := range list {
			h.Observe(outcometest.Good(c, outcometest.Noon))
		}
	}
	handler, err := New(Options{History: h})
	if err != nil {
		b.Fatal(err)
	}
	return handler
}

// BenchmarkPages asks for pages of a site with ten thousand connections.
func BenchmarkPages(b *testing.B) {
	handler := tenThousand(b)
	for _, path := range []string{"/", "/?q=inbox-77", "/connections/inbox-77", "/api/v1/connections", "/sd"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
			}
		})
	}
}
