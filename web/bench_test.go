package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"mailprobe/mail"
)

// tenThousand is a site in which everything was probed fifty times.
func tenThousand(b *testing.B) http.Handler {
	h := NewHistory()
	list := make([]*mail.Connection, 10_000)
	for i := range list {
		list[i] = inbox(fmt.Sprint("inbox-", i))
	}
	h.SetConnections(list)
	for range maxBeats {
		for _, c := range list {
			h.Observe(good(c, noon))
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

func BenchmarkObserve(b *testing.B) {
	h := NewHistory()
	c := inbox("inbox")
	h.SetConnections([]*mail.Connection{c})
	o := good(c, noon)
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(o)
	}
}
