package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Finding is one remark about a configuration: a fault, which keeps it from
// being used, or a warning. It never holds the value of a secret.
type Finding struct {
	File  string // as given to Load
	Line  int    // 1 is the first; 0 where the whole file is meant
	Where string // `connection "name"`, `connections[2]`, `defaults` or empty
	Field string // dotted path below Where, or empty
	Text  string // what is wrong
}

// String is `file:line: connection "name": field: what`.
func (f Finding) String() string {
	parts := []string{f.File}
	if f.Line > 0 {
		parts[0] += ":" + strconv.Itoa(f.Line)
	}
	for _, part := range []string{f.Where, f.Field, f.Text} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Faults is the error of Load: everything that is wrong with a file, by line.
type Faults []Finding

// Error returns one line per fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// maxFindings bounds the faults, and the warnings, that are kept: no administrator reads
// more, and a hostile file must not fill the memory.
const maxFindings = 1000

// findings collects faults or warnings. Equal ones about the same line are kept
// once: a value in `defaults` is checked for each connection that inherits it.
type findings struct {
	list    []Finding
	seen    map[Finding]bool
	blamed  map[position]bool // file, line and field
	dropped int
}

func (l *findings) add(f Finding) {
	key := f
	key.Where = ""
	switch {
	case l.seen[key]:
	case len(l.list) >= 2*maxFindings, len(l.list) >= maxFindings && f.Where != "":
		l.dropped++ // the second thousand is kept for findings about the whole file
	default:
		if l.seen == nil {
			l.seen, l.blamed = make(map[Finding]bool), make(map[position]bool)
		}
		l.seen[key] = true
		l.blamed[position{file: f.File, line: f.Line, field: f.Field}] = true
		l.list = append(l.list, f)
	}
}

// sorted returns the findings by file and line. The last one says how many were
// dropped, if any.
func (l *findings) sorted() []Finding {
	slices.SortStableFunc(l.list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	if l.dropped > 0 {
		last := l.list[len(l.list)-1]
		return append(l.list, Finding{File: last.File, Text: fmt.Sprintf("and %d more", l.dropped)})
	}
	return l.list
}

// quote returns a value in quotes, cut to 60 characters. The value must not be a
// secret.
func quote(value string) string {
	if utf8.RuneCountInString(value) > 60 {
		value = string([]rune(value)[:60]) + "…"
	}
	return strconv.Quote(value)
}

// looksLikeWord reports whether an unknown key may be shown. It must not be shown
// if it may hold a secret: `password:secret`, without the space, is one key.
func looksLikeWord(key string) bool {
	for _, r := range key {
		if r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return key != "" && len(key) <= 40
}

// DidYouMean returns `, did you mean "x"?` with the nearest valid word, or nothing
// if none is near. The nearest needs the fewest letters changed; failing that, it
// begins with the word or the word begins with it, as with user and username.
func DidYouMean(word string, valid []string) string {
	word = strings.ToLower(word)
	best, distance := "", max(min(2, len(word)/2), len(word)/3)+1
	for _, candidate := range valid {
		if len(candidate)-len(word) >= distance || len(word)-len(candidate) >= distance {
			continue // the difference in length alone is too much
		}
		if d := editDistance(word, candidate); d < distance && d < len(candidate) {
			best, distance = candidate, d
		}
	}
	if best == "" {
		best = longerOrShorter(word, valid)
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + strconv.Quote(best) + "?"
}

// longerOrShorter returns the first valid word that begins with word, or that
// word begins with. A single letter is not enough.
func longerOrShorter(word string, valid []string) string {
	for _, candidate := range valid {
		if len(word) > 1 && strings.HasPrefix(candidate, word) || len(candidate) > 2 && strings.HasPrefix(word, candidate) {
			return candidate
		}
	}
	return ""
}

// editDistance counts the letters to insert, drop, change or swap with their
// neighbour to turn a into b (optimal string alignment).
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// orList joins words for a message: "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
