package metrics

// This file writes the text formats in gzip. It goes through the connections in blocks,
// and writes all families of a block at once, so that the data of a connection stays in
// the processor's cache. The text of one family of one block is compressed separately,
// as a chunk. If the text is the same in the next scrape, as with most metrics, the
// chunk is reused. A gzip stream may consist of such chunks (RFC 1951 section 3.2.4, RFC
// 1952); it is a single member, because browsers read only the first.

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"hash/maphash"
	"io"
	"sync"

	dto "github.com/prometheus/client_model/go"
)

// blockSize is the number of connections in a chunk. Large chunks compress better, small
// ones are more often unchanged.
const blockSize = 128

// packer makes scrapes of one text format. Its zero value is ready to use.
type packer struct {
	mu    sync.Mutex // held while a scrape is made, not while it is sent
	known [][]chunk  // by block and by the rank of the family, as of the last scrape
	seed  maphash.Seed
	*deflater
}

// deflater compresses chunks. It takes 1.5 MB, so it is returned to the pool after each
// scrape, from where the garbage collector frees it if scrapes are rare.
type deflater struct {
	text     bytes.Buffer // of the chunk that is being made
	deflated bytes.Buffer // likewise
	writer   *flate.Writer
}

var deflaters = sync.Pool{New: func() any {
	d := &deflater{}
	d.writer, _ = flate.NewWriter(&d.deflated, flate.BestSpeed) // the level is a valid one
	return d
}}

// chunk is a part of a scrape. It is immutable.
type chunk struct {
	sum  uint64 // hash of the text, to recognise an equal one
	size int    // of the text
	crc  uint32 // of the text
	data []byte // compressed, padded to a whole byte; nil: this text was seen only once
}

// scrape returns the chunks of a whole scrape. own are the families that are not about
// connections, sorted by name.
func (p *packer) scrape(c *Collector, own []*dto.MetricFamily, wanted func(name string) bool, openMetrics bool) ([]chunk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seed == (maphash.Seed{}) {
		p.seed = maphash.MakeSeed()
	}
	p.deflater = deflaters.Get().(*deflater)
	defer func() {
		deflaters.Put(p.deflater)
		p.deflater = nil
	}()
	p.text.Reset() // a scrape that failed may have left text
	w := &textWriter{out: &p.text, openMetrics: openMetrics}
	found := p.series(c, w, wanted)
	var chunks []chunk
	for rank, id := range familyOrder {
		if len(found[rank]) == 0 {
			continue
		}
		f := &families[id]
		for ; len(own) > 0 && own[0].GetName() < f.name; own = own[1:] {
			if err := w.messageIf(own[0], wanted); err != nil {
				return nil, err
			}
		}
		w.header(f)
		chunks = append(append(chunks, p.loose(w)), found[rank]...)
	}
	for _, family := range own {
		if err := w.messageIf(family, wanted); err != nil {
			return nil, err
		}
	}
	err := w.finish()
	return append(chunks, p.loose(w)), err
}

// series returns the chunks of each family, by its rank and in the order of the blocks.
func (p *packer) series(c *Collector, w *textWriter, wanted func(name string) bool) [][]chunk {
	found := make([][]chunk, len(familyOrder))
	states := c.connections.All()
	blocks := (len(states) + blockSize - 1) / blockSize
	p.known = p.known[:min(blocks, len(p.known))]
	for b := range blocks {
		if b == len(p.known) {
			p.known = append(p.known, make([]chunk, len(familyOrder)))
		}
		for g := c.gatherOf(states[b*blockSize : min(len(states), (b+1)*blockSize)]); g.next(); {
			if !wanted(g.current().name) {
				g.skip()
				continue
			}
			w.series(g)
			w.flush()
			rank := familyRank[g.family]
			found[rank] = append(found[rank], p.chunk(&p.known[b][rank]))
			p.text.Reset()
		}
	}
	return found
}

// chunk returns the chunk of the current text. known is the chunk of the last scrape. A
// chunk is kept once two scrapes had the same text: text that always changes would only
// take memory.
func (p *packer) chunk(known *chunk) chunk {
	text := p.text.Bytes()
	sum := maphash.Bytes(p.seed, text)
	same := known.sum == sum && known.size == len(text)
	if same && known.data != nil {
		return *known
	}
	fresh := p.deflate(text)
	fresh.sum = sum
	if same {
		*known = fresh
	} else {
		*known = chunk{sum: sum, size: len(text)}
	}
	return fresh
}

// loose returns what w wrote between the families of connections.
func (p *packer) loose(w *textWriter) chunk {
	w.flush()
	fresh := p.deflate(p.text.Bytes())
	p.text.Reset()
	return fresh
}

// deflate makes a chunk, which refers to no other one.
func (d *deflater) deflate(text []byte) chunk {
	d.deflated.Reset()
	d.writer.Reset(&d.deflated)
	_, _ = d.writer.Write(text) // a buffer takes everything
	_ = d.writer.Flush()
	return chunk{size: len(text), crc: crc32.ChecksumIEEE(text), data: bytes.Clone(d.deflated.Bytes())}
}

// gzipHeader means: deflate, no name, no time, fastest, unknown system (RFC 1952 section
// 2.3). lastBlock is an empty block that is marked as the last one.
var (
	gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255}
	lastBlock  = []byte{0x03, 0x00}
)

// writeGzip writes chunks as one member of gzip.
func writeGzip(out io.Writer, chunks []chunk) error {
	if _, err := out.Write(gzipHeader); err != nil {
		return err
	}
	var crc, size uint32
	for _, c := range chunks {
		if _, err := out.Write(c.data); err != nil {
			return err
		}
		crc = joinedCRC(crc, c.crc, c.size)
		size += uint32(c.size)
	}
	end := binary.LittleEndian.AppendUint32(bytes.Clone(lastBlock), crc)
	_, err := out.Write(binary.LittleEndian.AppendUint32(end, size))
	return err
}

// joinedCRC returns the CRC-32 of a text whose two parts have the CRCs a and b; the
// second part has size bytes. A CRC is the remainder of a polynomial, the lowest power in the
// highest bit, so that a has to be multiplied by x^(8*size), as zlib does.
func joinedCRC(a, b uint32, size int) uint32 {
	power := uint32(1) << 23 // x^8
	for ; size > 0; size >>= 1 {
		if size&1 != 0 {
			a = multiplyCRC(power, a)
		}
		power = multiplyCRC(power, power)
	}
	return a ^ b
}

// multiplyCRC multiplies two remainders.
func multiplyCRC(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		carry := -(b & 1)
		b = b>>1 ^ carry&crc32.IEEE
	}
	return product
}
