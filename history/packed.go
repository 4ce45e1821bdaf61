package history

// This file packs an outcome: a word takes one byte, a time no more bytes than it
// needs, a dialogue is one string, and equal certificate chains are shared by all
// connections.

import (
	"encoding/json"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"time"
	"unique"

	"mailprobe/mail"
)

// packedSample is a Sample in 16 bytes.
type packedSample struct {
	at       int64  // Unix milliseconds
	duration uint32 // microseconds; a longer one than 71 minutes is that
	phase    uint8  // 1 + index in the table of phases; 0: none
	reason   uint8  // likewise
}

type packedFailure struct {
	packedSample // the last one
	text         string
	first        int64 // Unix milliseconds
	count        uint32
}

// packedOutcome is an outcome whose dialogue and chain are packed, and that
// holds on to no connection: an old definition would live as long.
type packedOutcome struct {
	outcome mail.Outcome
	text    string // of all lines, one after the other
	lines   []packedLine
	phases  []packedPhase
	chain   unique.Handle[string] // JSON of the chain; the zero handle: none
	sum     uint64                // of the chain, to know it again
}

// packedPhase is a PhaseTime in 8 bytes.
type packedPhase struct {
	duration uint32 // microseconds
	phase    uint8  // index in the table of phases
}

// packedLine is a line of the dialogue in 8 bytes.
type packedLine struct {
	at     uint32 // microseconds
	length uint16
	from   mail.Side
}

// The tables behind the one-byte words; read only.
var (
	phaseTable  = mail.Phases()
	reasonTable = mail.Reasons()
)

func packSample(o *mail.Outcome) packedSample {
	b := packedSample{at: o.End.UnixMilli(), duration: micros(o.Duration())}
	if o.Failure != nil {
		b.phase = uint8(slices.Index(phaseTable, o.Failure.Phase) + 1)
		b.reason = uint8(slices.Index(reasonTable, o.Failure.Reason) + 1)
		if b.reason == 0 { // a word that is not in the table must not look like success
			b.reason = uint8(slices.Index(reasonTable, mail.LocalBug) + 1)
		}
	}
	return b
}

func (b packedSample) up() bool { return b.reason == 0 }

func (b packedSample) unpack() Sample {
	sample := Sample{At: time.UnixMilli(b.at), Duration: time.Duration(b.duration) * time.Microsecond}
	if b.phase > 0 {
		sample.Phase = phaseTable[b.phase-1]
	}
	if b.reason > 0 {
		sample.Reason = reasonTable[b.reason-1]
	}
	return sample
}

func unpackSamples(packed []packedSample) []Sample {
	samples := make([]Sample, len(packed))
	for i, b := range packed {
		samples[i] = b.unpack()
	}
	return samples
}

// micros is a duration in microseconds that fits 32 bits.
func micros(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
}

// packOutcome packs o, and takes from the outcomes before it what is the same.
func packOutcome(o *mail.Outcome, before ...*packedOutcome) *packedOutcome {
	p := &packedOutcome{outcome: *o}
	p.outcome.Connection, p.outcome.Transcript, p.outcome.Phases = nil, nil, nil
	p.text, p.lines = packLines(o.Transcript)
	p.phases = packPhases(o.Phases)
	if o.TLS == nil {
		return p
	}
	facts := *o.TLS
	p.sum = sumOf(facts.Chain)
	for _, b := range before {
		if b == nil || b.outcome.TLS == nil {
			continue
		}
		if b.outcome.TLS.FingerprintSHA256 == facts.FingerprintSHA256 {
			facts.FingerprintSHA256 = b.outcome.TLS.FingerprintSHA256
		}
		if b.sum == p.sum {
			p.chain = b.chain
		}
	}
	if len(facts.Chain) > 0 && p.chain == (unique.Handle[string]{}) {
		p.chain = packChain(facts.Chain)
	}
	facts.Chain = nil
	p.outcome.TLS = &facts
	return p
}

// chainSeed makes sums of chains that no server can foresee.
var chainSeed = maphash.MakeSeed()

// sumOf is a hash over all that packChain packs: the same chain is presented probe
// after probe, and packing it is dear.
func sumOf(chain []mail.CertificateFacts) uint64 {
	var h maphash.Hash
	h.SetSeed(chainSeed)
	number := func(n int64) { maphash.WriteComparable(&h, n) }
	text := func(s string) {
		number(int64(len(s)))
		_, _ = h.WriteString(s)
	}
	number(int64(len(chain)))
	for i := range chain {
		cert := &chain[i]
		text(cert.Subject)
		text(cert.Issuer)
		number(cert.NotBefore.Unix())
		number(cert.NotAfter.Unix())
		number(int64(cert.Key))
		number(int64(cert.KeyBits))
		number(int64(len(cert.DNSNames)))
		for _, name := range cert.DNSNames {
			text(name)
		}
	}
	return h.Sum64()
}

// unpack returns the outcome of connection c; with everything, also its dialogue and
// chain. The result is nil if p is.
func (p *packedOutcome) unpack(c *mail.Connection, everything bool) *mail.Outcome {
	if p == nil {
		return nil
	}
	o := p.outcome
	o.Connection, o.Phases = c, unpackPhases(p.phases)
	if !everything {
		return &o
	}
	o.Transcript = unpackLines(p.text, p.lines)
	if o.TLS != nil && p.chain != (unique.Handle[string]{}) {
		facts := *o.TLS
		facts.Chain = unpackChain(p.chain)
		o.TLS = &facts
	}
	return &o
}

// packPhases leaves out a phase that is not in the table.
func packPhases(phases []mail.PhaseTime) []packedPhase {
	packed := make([]packedPhase, 0, len(phases))
	for _, t := range phases {
		if i := slices.Index(phaseTable, t.Phase); i >= 0 {
			packed = append(packed, packedPhase{micros(t.Duration), uint8(i)})
		}
	}
	return packed
}

func unpackPhases(packed []packedPhase) []mail.PhaseTime {
	if len(packed) == 0 {
		return nil
	}
	phases := make([]mail.PhaseTime, len(packed))
	for i, t := range packed {
		phases[i] = mail.PhaseTime{Phase: phaseTable[t.phase], Duration: time.Duration(t.duration) * time.Microsecond}
	}
	return phases
}

func packLines(lines []mail.Line) (string, []packedLine) {
	if len(lines) == 0 {
		return "", nil
	}
	var text strings.Builder
	size := 0
	for _, line := range lines {
		size += len(line.Text)
	}
	text.Grow(size)
	packed := make([]packedLine, len(lines))
	for i, line := range lines {
		length := min(len(line.Text), math.MaxUint16)
		text.WriteString(line.Text[:length])
		packed[i] = packedLine{at: micros(line.At), length: uint16(length), from: line.From}
	}
	return text.String(), packed
}

func unpackLines(text string, packed []packedLine) []mail.Line {
	lines := make([]mail.Line, len(packed))
	for i, p := range packed {
		lines[i] = mail.Line{At: time.Duration(p.at) * time.Microsecond, From: p.from, Text: text[:p.length]}
		text = text[p.length:]
	}
	return lines
}

// packChain makes equal chains one string, for as long as any outcome has it.
func packChain(chain []mail.CertificateFacts) unique.Handle[string] {
	packed, err := json.Marshal(chain)
	if err != nil {
		return unique.Handle[string]{} // a date beyond the year 9999
	}
	return unique.Make(string(packed))
}

func unpackChain(packed unique.Handle[string]) []mail.CertificateFacts {
	var chain []mail.CertificateFacts
	_ = json.Unmarshal([]byte(packed.Value()), &chain) // packChain wrote it
	return chain
}
