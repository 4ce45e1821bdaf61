package metrics

// This file writes the two text formats straight from samples: Prometheus text
// 0.0.4 and OpenMetrics 1.0. The library's encoders need protobuf messages and
// check every label again in each scrape. A test compares this file's output with
// theirs, byte by byte.

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// textBuffer is the number of bytes that are collected before they are written.
const textBuffer = 64 << 10

// textWriter is the familyEncoder of the text formats. The first error of out is
// kept; nothing is written after it.
type textWriter struct {
	out         io.Writer
	openMetrics bool
	buffer      []byte
	err         error
}

// family writes the current family of g.
func (w *textWriter) family(g *gathered) error {
	w.header(g.current())
	w.series(g)
	return w.err
}

// series writes the series of the current family of g.
func (w *textWriter) series(g *gathered) {
	f := g.current()
	if f.kind == histogram {
		w.histograms(g)
		return
	}
	for i := range g.prepared {
		for _, s := range g.take(i) {
			extra := g.extra(i, &s)
			w.name(f.name, "", g.own(i), extra)
			w.value(s.value)
			if f.kind == counter && w.openMetrics {
				w.name(strings.TrimSuffix(f.name, "_total"), "_created", g.own(i), extra)
				w.value(float64(s.created))
			}
		}
		w.spill()
	}
}

// messageIf writes a family of the library's if it is wanted.
func (w *textWriter) messageIf(family *dto.MetricFamily, wanted func(name string) bool) error {
	if !wanted(family.GetName()) {
		return nil
	}
	return w.message(family)
}

// message writes a family that the library gathered.
func (w *textWriter) message(family *dto.MetricFamily) error {
	var err error
	if w.openMetrics {
		_, err = expfmt.MetricFamilyToOpenMetrics(w, family, expfmt.WithCreatedLines())
	} else {
		_, err = expfmt.MetricFamilyToText(w, family)
	}
	return err
}

// finish writes the rest of the buffer, and the end mark of OpenMetrics.
func (w *textWriter) finish() error {
	if w.openMetrics {
		w.buffer = append(w.buffer, "# EOF\n"...)
	}
	w.flush()
	return w.err
}

// header writes the help and the type of a family.
func (w *textWriter) header(f *family) {
	name, help := f.name, helpText
	if w.openMetrics {
		name, help = strings.TrimSuffix(name, "_total"), escape
	}
	w.buffer = append(w.buffer, "# HELP "+name+" "+help.Replace(f.help)+"\n# TYPE "+name+" "+strings.ToLower(f.kind.String())+"\n"...)
}

// helpText escapes a help text for the older format, in which quotes stay as they
// are.
var helpText = strings.NewReplacer(`\`, `\\`, "\n", `\n`)

func (w *textWriter) histograms(g *gathered) {
	var h durations
	bounds := w.boundTexts(g.bounds())
	f := g.current()
	for i := range g.states {
		if !g.histogram(i, &h) {
			continue
		}
		own := g.own(i)
		if g.kind.Classic() {
			var below uint64
			for j, text := range bounds {
				below += uint64(h.classic[j])
				w.bucket(f.name, own, text, below)
			}
		}
		w.bucket(f.name, own, `le="+Inf"`, uint64(h.count))
		w.name(f.name, "_sum", own, nil)
		w.value(h.seconds())
		w.name(f.name, "_count", own, nil)
		w.integer(uint64(h.count))
		if w.openMetrics {
			w.name(f.name, "_created", own, nil)
			w.value(float64(g.created(i)))
		}
		w.spill()
	}
}

// boundTexts returns the values of the label le of the classic buckets.
func (w *textWriter) boundTexts(bounds []float64) []string {
	texts := make([]string, len(bounds))
	for i, bound := range bounds {
		texts[i] = `le="` + string(w.appendFloat(nil, bound)) + `"`
	}
	return texts
}

// bucket writes one line of a histogram. Its label comes last, as in the
// library's output.
func (w *textWriter) bucket(name string, own *labelSet, le string, count uint64) {
	b := append(w.buffer, name...)
	b = append(b, "_bucket{"...)
	b = append(b, own.text...)
	b = append(b, ',')
	b = append(b, le...)
	w.buffer = append(b, "} "...)
	w.integer(count)
}

// name writes the name of a series with its labels, sorted by name.
func (w *textWriter) name(name, suffix string, own, extra *labelSet) {
	b := append(w.buffer, name...)
	b = append(b, suffix...)
	b = append(b, '{')
	if extra == nil {
		b = append(b, own.text...)
	} else {
		b = appendMerged(b, own, extra)
	}
	w.buffer = append(b, "} "...)
}

// appendMerged appends two sorted lists of labels as one sorted list.
func appendMerged(b []byte, own, extra *labelSet) []byte {
	i := 0
	for j := range extra.size() {
		next := extra.at(j)
		for ; i < own.size() && own.at(i).name() < next.name(); i++ {
			b = append(append(b, own.at(i).text...), ',')
		}
		b = append(append(b, next.text...), ',')
	}
	if i == own.size() {
		return b[:len(b)-1]
	}
	return append(b, own.text[own.marks[i].start:]...)
}

func (w *textWriter) value(value float64) {
	w.buffer = append(w.appendFloat(w.buffer, value), '\n')
}

func (w *textWriter) integer(value uint64) {
	if w.openMetrics {
		w.buffer = append(strconv.AppendUint(w.buffer, value, 10), '\n')
		return
	}
	w.value(float64(value))
}

// appendFloat appends the shortest form of a number; OpenMetrics needs a point or
// an exponent in it.
func (w *textWriter) appendFloat(b []byte, value float64) []byte {
	start := len(b)
	switch {
	case value == 0:
		b = append(b, '0')
	case value > 0 && value < 1e6 && value == math.Trunc(value):
		b = strconv.AppendUint(b, uint64(value), 10)
	case math.IsInf(value, +1):
		return append(b, "+Inf"...)
	default:
		b = strconv.AppendFloat(b, value, 'g', -1, 64)
	}
	if w.openMetrics && !bytes.ContainsAny(b[start:], "e.") {
		b = append(b, ".0"...)
	}
	return b
}

// Write appends the output of an encoder of the library. It implements io.Writer.
func (w *textWriter) Write(text []byte) (int, error) {
	w.buffer = append(w.buffer, text...)
	w.spill()
	return len(text), w.err
}

// spill writes the buffer out if it is full.
func (w *textWriter) spill() {
	if len(w.buffer) >= textBuffer {
		w.flush()
	}
}

func (w *textWriter) flush() {
	if w.err == nil && len(w.buffer) > 0 {
		_, w.err = w.out.Write(w.buffer)
	}
	w.buffer = w.buffer[:0]
}
