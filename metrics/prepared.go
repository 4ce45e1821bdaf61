package metrics

// This file keeps the finished gauges and counters of a connection between two probes:
// most of the memory that metrics take. A sample is a few bytes without a pointer, which
// the garbage collector need not follow.

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"

	"mailprobe/mail"
)

// preparedMetrics holds the finished gauges and counters of one connection. What it
// points to is immutable: scrapes read a copy of it while the next one is being prepared.
// The zero value has none.
type preparedMetrics struct {
	samples []byte     // sorted by the name of their families, see appendSample
	extras  *labelList // that samples refer to

	definition  *mail.Connection
	fingerprint [sha256.Size]byte // of the last certificate
}

// preparedSample is a decoded sample. A sample in preparedMetrics refers to its labels by
// a number.
type preparedSample struct {
	value   float64
	created uint32
	family  familyID
	extra   uint16 // one of the numbers below, or firstExtra + index in preparedMetrics.extras
}

// The numbers of label sets. Those of two metrics differ from connection to connection.
// Like the connection's own labels (gathered.own), they are made at each scrape, from
// the definition and the fingerprint: kept as texts, they would be a tenth of all memory.
// Until then, the two empty sets below stand for them; read only.
const (
	noExtra = iota
	extraOfConfig
	extraOfFingerprint
	firstExtra
)

var ofConfig, ofFingerprint = &labelSet{}, &labelSet{}

// appendSample encodes a sample: the family; the number of its labels times two, plus one
// if the value is a small integer, as most are; for counters, the time of creation; the
// value.
func appendSample(b []byte, s *sample, extra uint16) []byte {
	small := uint32(max(0, min(s.value, 1<<20)))
	isSmall := math.Float64bits(float64(small)) == math.Float64bits(s.value)
	head := uint64(extra) << 1
	if isSmall {
		head |= 1
	}
	b = binary.AppendUvarint(append(b, byte(s.family)), head)
	if families[s.family].kind == counter {
		b = binary.LittleEndian.AppendUint32(b, s.created)
	}
	if isSmall {
		return binary.AppendUvarint(b, uint64(small))
	}
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(s.value))
}

// next decodes the sample at a position and returns the position behind it.
func (p *preparedMetrics) next(at int) (s preparedSample, behind int) {
	s.family = familyID(p.samples[at])
	head, at := p.number(at + 1)
	s.extra = uint16(head >> 1)
	if families[s.family].kind == counter {
		s.created = binary.LittleEndian.Uint32(p.samples[at:])
		at += 4
	}
	if head&1 == 0 {
		s.value = math.Float64frombits(binary.LittleEndian.Uint64(p.samples[at:]))
		return s, at + 8
	}
	small, at := p.number(at)
	s.value = float64(small)
	return s, at
}

// number decodes a number of any length, mostly of one byte.
func (p *preparedMetrics) number(at int) (n uint64, behind int) {
	if b := p.samples[at]; b < 0x80 {
		return uint64(b), at + 1
	}
	n, length := binary.Uvarint(p.samples[at:])
	return n, at + length
}

// isAt reports whether there is a sample of a family at a position.
func (p *preparedMetrics) isAt(at int, family familyID) bool {
	return at < len(p.samples) && familyID(p.samples[at]) == family
}

// all yields the samples that were passed to prepare, sorted.
func (p *preparedMetrics) all(yield func(sample) bool) {
	for at := 0; at < len(p.samples); {
		var s preparedSample
		s, at = p.next(at)
		if !yield(sample{family: s.family, created: s.created, value: s.value, extra: p.extra(&s)}) {
			return
		}
	}
}

// extra returns the further labels of a sample; nil: none.
func (p *preparedMetrics) extra(s *preparedSample) *labelSet {
	switch s.extra {
	case noExtra:
		return nil
	case extraOfConfig:
		return ofConfig
	case extraOfFingerprint:
		return ofFingerprint
	}
	return (*p.extras)[s.extra-firstExtra]
}

// labels is like extra, but returns real labels instead of ofConfig and ofFingerprint.
func (p *preparedMetrics) labels(s *preparedSample) *labelSet {
	switch s.extra {
	case extraOfConfig:
		return configLabels(p.definition)
	case extraOfFingerprint:
		return fingerprintLabels(hex.EncodeToString(p.fingerprint[:]))
	}
	return p.extra(s)
}

// maxSamples is the number of samples for which there is room on the stack. An ordinary
// connection has fewer; more are allowed.
const maxSamples = 48

// prepare keeps a sorted copy of samples. Samples of one family stay in order. before
// is what was prepared before, whose list of labels is mostly the same; it may be nil.
func prepare(c *mail.Connection, samples []sample, before *preparedMetrics, pool *labelPool) preparedMetrics {
	p := preparedMetrics{definition: c}
	if before != nil {
		p.fingerprint, p.extras = before.fingerprint, before.extras
	}
	var extraRoom [maxSamples]*labelSet
	var orderRoom [maxSamples]uint16
	var room [12 * maxSamples]byte
	extras, encoded := extraRoom[:0], room[:0]
	for _, i := range byFamily(samples, orderRoom[:0]) {
		s, extra := &samples[i], uint16(noExtra)
		switch s.extra {
		case nil:
		case ofConfig:
			extra = extraOfConfig
		case ofFingerprint:
			extra = extraOfFingerprint
		default:
			extra = uint16(firstExtra + len(extras))
			extras = append(extras, s.extra)
		}
		encoded = appendSample(encoded, s, extra)
	}
	p.samples = slices.Clone(encoded)
	if p.extras == nil || !slices.Equal(*p.extras, extras) {
		p.extras = pool.list(extras)
	}
	return p
}

// byFamily returns the indices of samples, sorted by the name of the family, in room if
// there is enough.
func byFamily(samples []sample, room []uint16) []uint16 {
	var places [familyCount + 1]uint16 // by rank: where the next sample of a family goes
	for i := range samples {
		places[familyRank[samples[i].family]+1]++
	}
	for rank := range familyCount {
		places[rank+1] += places[rank]
	}
	order := slices.Grow(room, len(samples))[:len(samples)]
	for i := range samples {
		place := &places[familyRank[samples[i].family]]
		order[*place] = uint16(i)
		*place++
	}
	return order
}

// valueOf returns the value of the first sample of a family; 0: there is no sample.
func (p *preparedMetrics) valueOf(family familyID) float64 {
	if p == nil {
		return 0
	}
	for s := range p.all {
		if s.family == family {
			return s.value
		}
	}
	return 0
}
