package metrics

import (
	"bytes"
	"compress/gzip"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"mailprobe/internal/canary"
	"mailprobe/mail"
)

// scrapeText returns the text of the connections' metrics and of those of the exporter's
// metrics that are the same in each scrape.
func scrapeText(t *testing.T, h http.Handler, accept, encoding string) string {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	query := request.URL.Query()
	for _, name := range append(connectionFamilies(), "mailprobe_build_info", "go_info") {
		query.Add("name[]", name)
	}
	request.URL.RawQuery = query.Encode()
	response := httptest.NewRecorder()
	h.ServeHTTP(response, request)
	if encoding != "gzip" {
		return response.Body.String()
	}
	unpacked, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked.Multistream(false) // browsers read the first member only
	raw, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Len() > 0 {
		t.Errorf("%d bytes behind the first member", response.Body.Len())
	}
	return string(raw)
}

// With and without gzip the text is the same, whatever changed since the last scrape.
func TestPackedScrapeIsThePlainOne(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	m := fleet(3*blockSize+7, 3, mail.HistogramsBoth)
	h := Handler(m, nil)
	compare := func(when string) {
		t.Helper()
		for _, accept := range []string{acceptText, acceptOpenMetrics} {
			plain := scrapeText(t, h, accept, "identity")
			packed := scrapeText(t, h, accept, "gzip")
			if plain != packed {
				t.Fatalf("%s, %s: %d bytes are not the %d plain ones", when, accept, len(packed), len(plain))
			}
		}
	}
	compare("at first")
	compare("unchanged")
	compare("unchanged again")
	var kept []*mail.Connection
	for _, s := range m.connections.All() {
		switch random.IntN(8) {
		case 0:
			m.Observe(good(s.current.definition))
		case 1:
			m.Observe(refused(s.current.definition))
		}
		if random.IntN(8) > 0 {
			kept = append(kept, s.current.definition)
		}
	}
	compare("some probed")
	m.SetConnections(kept)
	compare("some removed")
	m.SetConnections(kept[:5])
	compare("most removed")
	m.SetConnections(nil)
	compare("all removed")
	m.SetConnections(kept)
	compare("some back")
}

// An unchanged chunk is not made anew, and a chunk that changed is not kept.
func TestPackedScrapeKeepsUnchangedChunks(t *testing.T) {
	m := fleet(2*blockSize, 1, mail.HistogramsNone)
	h := Handler(m, nil).(*scrapeHandler)
	held := func() (n int) {
		for _, block := range h.text.known {
			for _, c := range block {
				if c.data != nil {
					n++
				}
			}
		}
		return n
	}
	scrapeText(t, h, acceptText, "gzip")
	if n := held(); n != 0 {
		t.Errorf("%d chunks are kept after the first scrape, want none", n)
	}
	scrapeText(t, h, acceptText, "gzip")
	all := held()
	if all == 0 || all%2 != 0 {
		t.Fatalf("%d chunks are kept after the second scrape, want those of two blocks", all)
	}
	first := h.text.known[0][familyRank[up]].data
	changed := m.connections.All()[blockSize].current.definition
	o := good(changed)
	o.End = o.End.Add(time.Hour)
	m.Observe(o)
	scrapeText(t, h, acceptText, "gzip")
	if again := h.text.known[0][familyRank[up]].data; &again[0] != &first[0] {
		t.Error("an unchanged chunk was made anew")
	}
	if n := held(); n >= all || n <= all/2 {
		t.Errorf("%d chunks are kept after one connection of the second block was probed, of %d", n, all)
	}
}

// What a failed scrape has written must not be in the next one.
func TestPackedScrapeAfterAFailedOne(t *testing.T) {
	m := fleet(3, 1, mail.HistogramsNone)
	var p packer
	size := func(own ...*dto.MetricFamily) (n int, err error) {
		chunks, err := p.scrape(m, own, func(string) bool { return true }, false)
		for _, c := range chunks {
			n += c.size
		}
		return n, err
	}
	want, err := size()
	if err != nil {
		t.Fatal(err)
	}
	long := &dto.MetricFamily{Name: proto.String("a"), Help: proto.String(strings.Repeat("x", 2*textBuffer)),
		Type: gauge.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(1)}}}}
	if _, err := size(long, &dto.MetricFamily{}); err == nil {
		t.Fatal("a family without a name is no error")
	}
	if got, err := size(); got != want || err != nil {
		t.Errorf("%d bytes, %v; want %d", got, err, want)
	}
}

func TestJoinedCRCIsThatOfTheJoinedText(t *testing.T) {
	for range 200 {
		a, b := []byte(canary.New()[:rand.IntN(20)]), bytes.Repeat([]byte(canary.New()), rand.IntN(3000))
		want := crc32.ChecksumIEEE(append(bytes.Clone(a), b...))
		if got := joinedCRC(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), len(b)); got != want {
			t.Fatalf("%d and %d bytes: %08x, want %08x", len(a), len(b), got, want)
		}
	}
}
