package history

// This file keeps outcomes in packed form. Equal certificate chains are shared by all
// connections. Each outcome takes the place of the one before it: ten thousand short
// texts, made anew among the garbage of probes, would keep far more memory occupied
// than they need.

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"
	"unique"

	"mailprobe/mail"
)

// packedSample is a Sample in 12 bytes.
type packedSample struct {
	seconds  uint32 // of the end, since the Unix epoch
	duration uint32 // microseconds; a longer one than 71 minutes is that
	millis   uint16 // of the end
	phase    uint8  // 1 + index in the table of phases; 0: none
	reason   uint8  // likewise
}

// at is the end in Unix milliseconds.
func (b packedSample) at() int64 { return int64(b.seconds)*1000 + int64(b.millis) }

type packedFailure struct {
	packedSample // the last one
	text         string
	first        int64 // Unix milliseconds
	count        uint32
}

// packedOutcome is an outcome in packed form. It does not refer to its connection, so
// that an old definition can be freed. The zero value is no outcome.
type packedOutcome struct {
	data  []byte                // see coder; overwritten by the next outcome
	chain unique.Handle[string] // encoded like data; the zero handle: none
	sum   uint64                // hash of the chain, to recognise an equal one
}

func packSample(o *mail.Outcome) packedSample {
	b := packedSample{seconds: uint32(o.End.Unix()), millis: uint16(o.End.Nanosecond() / 1e6), duration: micros(o.Duration())}
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
	sample := Sample{At: time.UnixMilli(b.at()), Duration: time.Duration(b.duration) * time.Microsecond}
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

// writers are coders whose buffers are reused.
var writers = sync.Pool{New: func() any { return &coder{} }}

// pack makes p the packed form of o. If one of the outcomes before it has an equal
// chain, both share it; p may be one of them.
func (p *packedOutcome) pack(o *mail.Outcome, before ...*packedOutcome) {
	c := writers.Get().(*coder)
	defer writers.Put(c)
	c.written = c.written[:0]
	c.outcome(o, true)
	if n := len(c.written); n > cap(p.data) || n < cap(p.data)/2 {
		p.data = nil // too little room, or far too much
	}
	p.data = append(p.data[:0], c.written...)
	p.chain, p.sum = chainOf(o, before)
}

// chainOf returns the packed chain of o and its sum. The zero handle: there is none.
func chainOf(o *mail.Outcome, before []*packedOutcome) (chain unique.Handle[string], sum uint64) {
	if o.TLS == nil || len(o.TLS.Chain) == 0 {
		return chain, 0
	}
	sum = sumOf(o.TLS.Chain)
	for _, b := range before {
		if b != nil && b.sum == sum && b.chain != chain {
			return b.chain, sum
		}
	}
	return packChain(o.TLS.Chain), sum
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

// unpack returns the outcome of a connection; with everything, also its dialogue and
// chain. The result is nil if p is. It does not refer to p.
func (p *packedOutcome) unpack(connection *mail.Connection, everything bool) *mail.Outcome {
	if p == nil {
		return nil
	}
	o := &mail.Outcome{}
	c := &coder{unread: string(p.data), reading: true}
	c.outcome(o, everything)
	o.Connection = connection
	if everything && o.TLS != nil && p.chain != (unique.Handle[string]{}) {
		o.TLS.Chain = unpackChain(p.chain)
	}
	return o
}

// packChain makes equal chains one string, for as long as any outcome has it.
func packChain(chain []mail.CertificateFacts) unique.Handle[string] {
	c := &coder{}
	list(c, &chain, c.certificate)
	return unique.Make(string(c.written))
}

func unpackChain(packed unique.Handle[string]) (chain []mail.CertificateFacts) {
	c := &coder{unread: packed.Value(), reading: true}
	list(c, &chain, c.certificate)
	return chain
}
