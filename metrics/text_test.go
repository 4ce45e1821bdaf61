package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"mailprobe/mail"
)

// sameText compares our text in both formats with what the library writes for the same
// messages.
func sameText(t *testing.T, m *Collector) {
	t.Helper()
	for name, openMetrics := range map[string]bool{"text": false, "OpenMetrics": true} {
		var want, got bytes.Buffer
		for g := m.gather(); g.next(); {
			write := func(f *dto.MetricFamily) (int, error) { return expfmt.MetricFamilyToText(&want, f) }
			if openMetrics {
				write = func(f *dto.MetricFamily) (int, error) {
					return expfmt.MetricFamilyToOpenMetrics(&want, f, expfmt.WithCreatedLines())
				}
			}
			if _, err := write(g.message()); err != nil {
				t.Fatal(err)
			}
		}
		if openMetrics {
			_, _ = expfmt.FinalizeOpenMetrics(&want)
		}
		w := &textWriter{out: &got, openMetrics: openMetrics}
		if err := writeFamilies(w, m.gather(), nil, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		wantLines, gotLines := strings.Split(want.String(), "\n"), strings.Split(got.String(), "\n")
		for i, line := range wantLines {
			if i >= len(gotLines) || gotLines[i] != line {
				t.Fatalf("%s: line %d is\n%s\nwant\n%s", name, i+1, append(gotLines, "(nothing)")[min(i, len(gotLines))], line)
			}
		}
		if len(gotLines) > len(wantLines) {
			t.Errorf("%s: %d lines too many, first %q", name, len(gotLines)-len(wantLines), gotLines[len(wantLines)])
		}
	}
}

func TestTextIsTheLibrarys(t *testing.T) {
	for _, kind := range []mail.Histograms{mail.HistogramsBoth, mail.HistogramsNative, mail.HistogramsClassic, mail.HistogramsNone} {
		t.Run(string(kind), func(t *testing.T) {
			sameText(t, everything(t, kind))
			sameText(t, collectorOf(kind))
			sameText(t, fleet(50, 30, kind))
		})
	}
}

// The names of the labels sort before, between and behind those of the metrics; the
// values need every kind of escape.
func TestTextOfOddLabelsIsTheLibrarys(t *testing.T) {
	values := []string{"", "plain", `quo"ted`, `back\slash`, "new\nline", `\n`, "\xff\xfe", "日本", `all "of\ it` + "\n", `a",connection="b`}
	names := []string{"a_first", "dc", "q", "z_last"}
	random := rand.New(rand.NewPCG(8, 9))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	var list []*mail.Connection
	for i := range 60 {
		c := inbox(fmt.Sprint(pick(values), i), mail.Label{Name: pick(names), Value: pick(values)}, mail.Label{Name: pick(names), Value: pick(values)})
		c.Host = pick(values)
		list = append(list, c)
	}
	m := collectorOf(mail.HistogramsBoth, list...)
	for i, c := range list {
		o := refused(c)
		if i%3 > 0 {
			o = good(c)
		}
		facts := *o.TLS
		facts.Cipher, facts.FingerprintSHA256 = pick(values), pick(values)
		o.TLS, o.Goodbye = &facts, mail.Reset
		o.End = o.Start.Add(time.Duration(random.Int64N(math.MaxInt64 >> random.Int64N(40))))
		o.Mailbox.Messages = random.Uint64() >> random.IntN(64)
		m.Observe(o)
	}
	sameText(t, m)
}

// After a client has closed its connection, nothing more is made for it.
func TestTextStopsAtTheFirstError(t *testing.T) {
	m := fleet(2000, 1, mail.HistogramsBoth)
	broken := &brokenWriter{}
	err := writeFamilies(&textWriter{out: broken}, m.gather(), nil, func(string) bool { return true })
	if !errors.Is(err, io.ErrClosedPipe) || broken.writes != 1 {
		t.Errorf("%v after %d writes, want %v after the first", err, broken.writes, io.ErrClosedPipe)
	}
}

type brokenWriter struct{ writes int }

func (b *brokenWriter) Write([]byte) (int, error) {
	b.writes++
	return 0, io.ErrClosedPipe
}

func TestScrapeOfChosenNames(t *testing.T) {
	h := Handler(everything(t, mail.HistogramsBoth), nil)
	request, _ := http.NewRequest(http.MethodGet, "/metrics?name[]=mailprobe_up&name[]=mailprobe_build_info", nil)
	response := serve(h, request)
	for _, line := range strings.Split(strings.TrimSpace(response.Body.String()), "\n") {
		if !strings.Contains(line, "mailprobe_up") && !strings.Contains(line, "mailprobe_build_info") {
			t.Errorf("unwanted: %s", line)
		}
	}
	if n := strings.Count(response.Body.String(), "\nmailprobe_up{"); n != 2 {
		t.Errorf("mailprobe_up has %d series, want 2", n)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for accept, want := range map[string]bool{"": false, "gzip": true, "GZIP": true, "zstd, gzip;q=0.5": true, "gzip;q=0": false,
		"gzip; q=0.000": false, "br": false, "gzip2": false} {
		header := http.Header{}
		header.Set("Accept-Encoding", accept)
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: %t, want %t", accept, got, want)
		}
	}
}
