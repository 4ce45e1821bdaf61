package history

import (
	"testing"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

func BenchmarkObserve(b *testing.B) {
	h := &History{}
	c := outcometest.Inbox("inbox")
	h.SetConnections([]*mail.Connection{c})
	o := outcometest.Good(c, outcometest.Noon)
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(o)
	}
}
