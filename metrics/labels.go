package metrics

// This file is the only one that makes labels. It ensures that values are valid
// UTF-8, that names are valid, and that no name occurs twice.

import (
	"slices"
	"strings"
	"sync"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"

	"mailprobe/mail"
)

// label is one label as the text formats write it: name="value", with the value
// escaped. It is written in every scrape and never parsed.
type label struct {
	text       string
	nameLength int
}

// labelMark is the position of a label in the text of a set.
type labelMark struct{ start, end, nameLength uint32 }

func (l label) name() string { return l.text[:l.nameLength] }

// value is the label's value without the escapes.
func (l label) value() string {
	return unescape.Replace(l.text[l.nameLength+len(`="`) : len(l.text)-len(`"`)])
}

// The escapes of label values in the text formats; safe for concurrent use.
var (
	escape   = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\"`, `"`)
)

// labelSet is a list of labels; immutable. nil is the empty list.
type labelSet struct {
	text  string      // of all labels, with commas between them
	marks []labelMark // sorted by name

	pairs []*dto.LabelPair // the same for protobuf; only in shared sets, else nil
}

// newLabelSet makes a set of labels whose names differ. Prometheus refuses a
// whole scrape for one value that is not UTF-8, so such bytes are replaced.
func newLabelSet(labels ...mail.Label) *labelSet {
	// Two sets of each connection are made anew at each scrape, so this code avoids
	// allocations.
	var room [8]mail.Label
	var text [512]byte
	sorted, b := append(room[:0], labels...), text[:0]
	slices.SortFunc(sorted, func(a, b mail.Label) int { return strings.Compare(a.Name, b.Name) })
	marks := make([]labelMark, len(sorted))
	for i, l := range sorted {
		if i > 0 {
			b = append(b, ',')
		}
		start := len(b)
		b = append(append(b, l.Name...), `="`...)
		b = append(append(b, escape.Replace(strings.ToValidUTF8(l.Value, "\uFFFD"))...), '"')
		marks[i] = labelMark{uint32(start), uint32(len(b)), uint32(len(l.Name))}
	}
	return &labelSet{text: string(b), marks: marks}
}

// size is the number of labels.
func (s *labelSet) size() int { return len(s.marks) }

// at returns a label.
func (s *labelSet) at(i int) label {
	m := s.marks[i]
	return label{s.text[m.start:m.end], int(m.nameLength)}
}

// messages returns the labels for protobuf. They must not be changed: those of a
// shared set are used by several connections.
func (s *labelSet) messages() []*dto.LabelPair {
	switch {
	case s == nil:
		return nil
	case s.pairs != nil:
		return s.pairs
	}
	return newPairs(s)
}

// pairInOne is a label pair together with the two strings it points to. The encoder
// visits each pair once per series, and three separate places in memory would be
// three cache misses.
type pairInOne struct {
	pair        dto.LabelPair
	name, value string
}

func newPairs(s *labelSet) []*dto.LabelPair {
	room := make([]pairInOne, s.size())
	pairs := make([]*dto.LabelPair, s.size())
	for i := range room {
		p, l := &room[i], s.at(i)
		p.name, p.value = l.name(), l.value()
		p.pair.Name, p.pair.Value = &p.name, &p.value
		pairs[i] = &p.pair
	}
	return pairs
}

// maxShared bounds a labelPool, which never drops a set.
const maxShared = 4096

// labelPool shares label sets between all connections. The sets have values of
// closed lists (phases, reasons, TLS versions and ciphers); a third of a
// connection's samples has one.
type labelPool struct {
	mu   sync.RWMutex
	sets map[[2]mail.Label]*labelSet

	lists [8]*labelList // the lists added last; nearly all connections have the same one
	next  int           // the index of the one that was added last
}

// labelList is a list of label sets that connections share; immutable.
type labelList []*labelSet

// list returns a shared list that is equal to the given one.
func (p *labelPool) list(sets []*labelSet) *labelList {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range p.lists {
		if known != nil && slices.Equal(*known, sets) {
			return known
		}
	}
	list := labelList(slices.Clone(sets))
	p.next = (p.next + 1) % len(p.lists)
	p.lists[p.next] = &list
	return &list
}

func newLabelPool() *labelPool { return &labelPool{sets: map[[2]mail.Label]*labelSet{}} }

// one returns the shared set of one label.
func (p *labelPool) one(name, value string) *labelSet {
	return p.set([2]mail.Label{{Name: name, Value: value}})
}

// two returns the shared set of two labels.
func (p *labelPool) two(name1, value1, name2, value2 string) *labelSet {
	return p.set([2]mail.Label{{Name: name1, Value: value1}, {Name: name2, Value: value2}})
}

func (p *labelPool) set(key [2]mail.Label) *labelSet {
	p.mu.RLock()
	set := p.sets[key]
	p.mu.RUnlock()
	if set != nil {
		return set
	}
	set = newLabelSet(key[0])
	if key[1] != (mail.Label{}) {
		set = newLabelSet(key[0], key[1])
	}
	set.pairs = newPairs(set)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sets) < maxShared {
		p.sets[key] = set
	}
	return set
}

// ownLabels returns the labels that every metric of a connection has. It leaves out
// a user's label whose name is reserved, invalid or used twice: config refuses such
// a label, and here it would make the whole scrape invalid.
func ownLabels(c *mail.Connection) *labelSet {
	labels := []mail.Label{
		{Name: "connection", Value: c.Name},
		{Name: "protocol", Value: string(c.Protocol)},
	}
	var used []string
	for _, l := range c.Labels {
		if mail.ReservedLabel(l.Name) != "" || slices.Contains(used, l.Name) || !model.LegacyValidation.IsValidLabelName(l.Name) {
			continue
		}
		used = append(used, l.Name)
		labels = append(labels, l)
	}
	return newLabelSet(labels...)
}
