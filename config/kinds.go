package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"mailprobe/mail"
)

// check returns what is wrong with a text, or nothing. It never quotes the text.
type check func(text string) string

// text is a single line of text.
func text[T any](at func(*T) *string, checks ...check) kind[T] {
	k := value(at, func(r *reader, n *node, where position) (string, bool) {
		v, ok := r.scalarText(n, where)
		for _, c := range append([]check{singleLine}, checks...) {
			if what := c(v); ok && what != "" {
				r.fault(where, what)
				return "", false
			}
		}
		return v, ok
	})
	k.word = "text"
	k.schema = func() map[string]any { return types("string", "number", "null") }
	return k
}

// secret is a password. Its value enters no message.
func secret[T any](at func(*T) *mail.Secret) kind[T] {
	k := value(at, func(r *reader, n *node, where position) (mail.Secret, bool) {
		v, ok := r.scalarText(n, where)
		s := mail.NewSecret(v)
		if !ok || s.IsZero() {
			return s, ok
		}
		if err := mail.CheckSecret(s); err != nil {
			r.fault(where, err.Error())
			return s, false
		}
		if isPlain(n) && n.LineComment != "" {
			r.warnf(where, "ends before the #: what follows is a comment; a secret with # in it needs quotes")
		}
		for _, remark := range s.Remarks() {
			r.warnf(where, "%s", remark)
		}
		return s, true
	})
	k.word, k.secret = "secret", true
	k.schema = func() map[string]any { return types("string", "number", "null") }
	return k
}

// path is a file name, relative to the directory of the configuration file.
func path[T any](at func(*T) *string) kind[T] {
	k := value(at, func(r *reader, n *node, where position) (string, bool) {
		v, ok := r.scalarText(n, where)
		if !ok || v == "" {
			return v, ok
		}
		return r.resolvePath(v, where)
	})
	k.word = "file"
	k.schema = func() map[string]any { return types("string", "null") }
	return k
}

// credentialsDirectory is where systemd puts the files of LoadCredential=.
const credentialsDirectory = "${CREDENTIALS_DIRECTORY}"

func (r *reader) resolvePath(v string, where position) (string, bool) {
	if rest, found := strings.CutPrefix(v, credentialsDirectory+"/"); found {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" && !r.syntaxOnly {
			r.fault(where, "uses "+credentialsDirectory+", which is not set; systemd sets it for units with LoadCredential=")
			return "", false
		}
		v = filepath.Join(dir, rest)
	}
	switch {
	case strings.HasPrefix(v, "~/") || strings.HasPrefix(v, "$") && !strings.HasPrefix(v, "${"):
		r.fault(where, "is not a file name: no variable is replaced, and ~ is not either; write the whole path")
		return "", false
	case strings.Contains(v, "${"):
		r.fault(where, "only "+credentialsDirectory+"/ at the beginning is supported, no other variable")
		return "", false
	case singleLine(v) != "":
		r.fault(where, singleLine(v))
		return "", false
	case !filepath.IsAbs(v):
		v = filepath.Join(r.dir, v)
	}
	return filepath.Clean(v), true
}

// keyword is one word of a closed set. Words are case-insensitive; several may
// mean the same value, and the first of them is the one to show.
type keyword[W any] struct {
	text string
	is   W
}

func oneOf[T, W any](words []keyword[W], at func(*T) *W) kind[T] {
	valid := make([]string, len(words))
	for i, w := range words {
		valid[i] = w.text
	}
	k := value(at, func(r *reader, n *node, where position) (W, bool) {
		var none W
		v, ok := r.scalarText(n, where)
		if !ok {
			return none, false
		}
		for _, w := range words {
			if strings.EqualFold(w.text, v) {
				return w.is, true
			}
		}
		r.faultf(where, "%s is not %s%s", quote(v), orList(valid), DidYouMean(v, valid))
		return none, false
	})
	k.word = "`" + strings.Join(valid, "`, `") + "`"
	k.schema = func() map[string]any {
		return map[string]any{"anyOf": []any{
			map[string]any{"enum": valid},
			map[string]any{"type": []string{"string", "number"}, "pattern": caseBlind(valid)},
			types("null"),
		}}
	}
	return k
}

// same lists words that are how their value prints.
func same[W any](words ...W) []keyword[W] {
	list := make([]keyword[W], len(words))
	for i, w := range words {
		list[i] = keyword[W]{fmt.Sprint(w), w}
	}
	return list
}

// boolean is true or false; the yes and no of YAML 1.1 are not taken.
func boolean[T any](at func(*T) *bool) kind[T] {
	valid := map[string]bool{"true": true, "false": false}
	near := map[string]string{"yes": "true", "on": "true", "y": "true", "1": "true", "no": "false", "off": "false", "n": "false", "0": "false"}
	k := value(at, func(r *reader, n *node, where position) (bool, bool) {
		v, ok := r.scalarText(n, where)
		v = strings.ToLower(v)
		is, known := valid[v]
		if ok && !known {
			hint := DidYouMean(v, []string{"true", "false"})
			if near[v] != "" {
				hint = fmt.Sprintf(", did you mean %q?", near[v])
			}
			r.faultf(where, "%s is not true or false%s", quote(v), hint)
		}
		return is, ok && known
	})
	k.word = "`true`, `false`"
	k.schema = func() map[string]any { return types("boolean", "null") }
	return k
}

// decimal matches a whole number without a leading zero: some YAML readers take
// 010 for 8, others for 10.
var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// number is a whole number from low to high.
func number[T any](low, high int, at func(*T) *int) kind[T] {
	k := value(at, func(r *reader, n *node, where position) (int, bool) {
		v, ok := r.scalarText(n, where)
		if !ok {
			return 0, false
		}
		if v == "" && low == 0 {
			return 0, true
		}
		i, err := strconv.Atoi(v)
		switch {
		case len(v) > 1 && v[0] == '0' && decimal.MatchString(strings.TrimLeft(v, "0")):
			r.faultf(where, "%s has a leading zero: write %s", quote(v), strings.TrimLeft(v, "0"))
		case err != nil && !decimal.MatchString(strings.TrimPrefix(v, "-")):
			r.faultf(where, "%s is not a whole number", quote(v))
		case err != nil || i < low || i > high:
			r.faultf(where, "%s is not between %d and %d", quote(v), low, high)
		default:
			return i, true
		}
		return 0, false
	})
	k.word = fmt.Sprintf("number, %d to %d", low, high)
	k.schema = func() map[string]any {
		s := types("integer", "string", "null")
		s["minimum"], s["maximum"] = low, high
		s["pattern"] = `^(0|[1-9][0-9]*)$`
		if low == 0 {
			s["pattern"] = `^(0|[1-9][0-9]*)?$`
		}
		return s
	}
	return k
}

// fractional matches durations that Prometheus does not accept and people write.
var fractional = regexp.MustCompile(`^[0-9]+\.[0-9]+(ms|s|m|h)$`)

// duration is written as in Prometheus: 90s, 1m30s, 2h; or as 1.5s.
func duration[T any](low, high time.Duration, at func(*T) *time.Duration) kind[T] {
	show := func(d time.Duration) string { return model.Duration(d).String() }
	k := value(at, func(r *reader, n *node, where position) (time.Duration, bool) {
		v, ok := r.scalarText(n, where)
		if !ok {
			return 0, false
		}
		d, err := model.ParseDuration(v)
		if fractional.MatchString(v) {
			var exact time.Duration
			exact, err = time.ParseDuration(v)
			d = model.Duration(exact)
		}
		switch {
		case err != nil && decimal.MatchString(v):
			r.faultf(where, "%s has no unit, did you mean \"%ss\"?", quote(v), v)
		case err != nil:
			r.faultf(where, "%s is not a duration such as 30s or 5m", quote(v))
		case time.Duration(d) < low || time.Duration(d) > high:
			r.faultf(where, "%s is not between %s and %s", quote(v), show(low), show(high))
		default:
			return time.Duration(d), true
		}
		return 0, false
	})
	k.word = fmt.Sprintf("duration, %s to %s", show(low), show(high))
	k.schema = func() map[string]any {
		s := types("string", "null")
		s["pattern"] = `^(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?$|` + fractional.String()
		s["minLength"] = 2
		return s
	}
	return k
}

// listWord is the type that the reference shows for a list of words.
const listWord = "list"

// words is a list of words without spaces.
func words[T any](at func(*T) *[]string) kind[T] {
	k := value(at, func(r *reader, n *node, where position) ([]string, bool) {
		if !isSequence(n) {
			r.fault(where, "must be a list, such as [one, two]")
			return nil, false
		}
		var list []string
		for _, item := range n.Content {
			v, ok := r.scalarText(resolve(item), where.on(item.Line))
			if ok && (v == "" || strings.ContainsFunc(v, unicode.IsSpace) || singleLine(v) != "") {
				r.fault(where.on(item.Line), "an item of the list is empty or contains a space")
			}
			list = append(list, v)
		}
		return list, true
	})
	k.word = listWord
	k.schema = func() map[string]any {
		s := types("array", "null")
		s["items"] = map[string]any{"type": "string", "pattern": `^\S+$`}
		return s
	}
	return k
}

// raw keeps a node, to be read later. Its schema is given separately.
func raw[T any](word string, schema func() map[string]any, at func(*T) **node) kind[T] {
	k := value(at, func(_ *reader, n *node, _ position) (*node, bool) { return n, true })
	k.word, k.schema = word, schema
	return k
}

// scalarText returns the text of a single value. Its faults never show the value.
func (r *reader) scalarText(n *node, where position) (string, bool) {
	if isNull(n) {
		return "", true
	}
	v, ok := scalar(n)
	if !ok {
		r.fault(where, "must be a single value: no list, no mapping, no tag (a value that begins with ! needs quotes)")
	}
	return v, ok
}

// singleLine refuses control characters: no command of a mail protocol can carry
// them.
func singleLine(v string) string {
	switch {
	case !utf8.ValidString(v):
		return "is not valid UTF-8"
	case strings.ContainsFunc(v, unicode.IsControl):
		return "contains a line break, NUL or another control character"
	}
	return ""
}

// trimmed refuses a space at the beginning or end, which copying easily adds.
func trimmed(v string) string {
	if v != strings.TrimSpace(v) {
		return "starts or ends with a space"
	}
	return ""
}

// atMost refuses texts of more than limit bytes.
func atMost(limit int) check {
	return func(v string) string {
		if len(v) > limit {
			return fmt.Sprintf("is longer than %d bytes", limit)
		}
		return ""
	}
}
