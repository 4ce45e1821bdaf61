package metrics

// This file is the only one that makes label pairs, so it is here that a value
// becomes valid UTF-8 and that no label name occurs twice.

import (
	"slices"
	"strings"
	"sync"

	dto "github.com/prometheus/client_model/go"

	"mailprobe/mail"
)

// pairInOne is a label pair with the two string headers it points to: encoders
// visit each pair once per series, and three places are three cache misses.
type pairInOne struct {
	pair        dto.LabelPair
	name, value string
}

// newPair makes one label pair. Prometheus refuses a whole scrape for one
// value that is not UTF-8, so such bytes are replaced.
func newPair(name, value string) *dto.LabelPair {
	p := &pairInOne{name: name, value: strings.ToValidUTF8(value, "\uFFFD")}
	p.pair.Name, p.pair.Value = &p.name, &p.value
	return &p.pair
}

// maxWords bounds a dictionary, which never forgets, in case users' labels change
// at every reload.
const maxWords = 4096

// dictionary shares the label pairs of closed sets (phases, reasons, TLS
// versions, words of the configuration) and users' labels between all
// connections: a pair costs 96 bytes, ten of them a seventh of a connection's
// state, and scrapes find shared ones in the processor's cache.
type dictionary struct {
	mu    sync.Mutex
	pairs map[mail.Label]*dto.LabelPair
}

func newDictionary() *dictionary {
	return &dictionary{pairs: map[mail.Label]*dto.LabelPair{}}
}

// pair gives the shared pair of a word.
func (d *dictionary) pair(name, value string) *dto.LabelPair {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := mail.Label{Name: name, Value: value}
	if pair := d.pairs[key]; pair != nil {
		return pair
	}
	pair := newPair(name, value)
	if len(d.pairs) < maxWords {
		d.pairs[key] = pair
	}
	return pair
}

// ownLabels are the pairs that every metric of a connection carries, sorted by
// name. A user's label whose name is reserved is left out: config refuses it,
// and here it would make the whole scrape invalid.
func ownLabels(c *mail.Connection, words *dictionary) []*dto.LabelPair {
	pairs := []*dto.LabelPair{
		newPair("connection", c.Name),
		words.pair("protocol", string(c.Protocol)),
	}
	used := ReservedLabels()
	for _, label := range c.Labels {
		if slices.Contains(used, label.Name) {
			continue
		}
		used = append(used, label.Name)
		pairs = append(pairs, words.pair(label.Name, label.Value))
	}
	slices.SortFunc(pairs, compareNames)
	return slices.Clip(pairs)
}

func compareNames(a, b *dto.LabelPair) int { return strings.Compare(*a.Name, *b.Name) }

// sameLabels reports whether two sorted lists hold the same names and values.
func sameLabels(a, b []*dto.LabelPair) bool {
	return slices.EqualFunc(a, b, func(x, y *dto.LabelPair) bool {
		return *x.Name == *y.Name && *x.Value == *y.Value
	})
}
