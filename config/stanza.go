package config

// This file writes a connection as YAML.

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Stanza is one connection to be written into a file.
type Stanza struct {
	Settings []Setting // name first; empty values are left out
	Comments []string  // lines above it, without #
}

// Value returns the value of a field; empty: it is not set.
func (s Stanza) Value(field string) string {
	for _, setting := range s.Settings {
		if setting.Field == field {
			return setting.Value
		}
	}
	return ""
}

// YAML returns the stanza as an item of the list of connections, with indent
// before each line. Fields of the same block are written together, in the place of
// the first one.
func (s Stanza) YAML(indent string) string {
	var b strings.Builder
	for _, comment := range s.Comments {
		b.WriteString(indent + "# " + comment + "\n")
	}
	lead, written := indent+"- ", map[string]bool{}
	for _, setting := range s.Settings {
		outer, _, nested := strings.Cut(setting.Field, ".")
		switch {
		case setting.Value == "" || nested && written[outer]:
			continue
		case nested:
			written[outer] = true
			b.WriteString(lead + outer + ":\n" + s.block(outer, indent+"    "))
		default:
			b.WriteString(lead + setting.Field + ": " + yamlValueOf(setting) + "\n")
		}
		lead = indent + "  "
	}
	return b.String()
}

// block returns the lines of one block's fields.
func (s Stanza) block(outer, indent string) string {
	var b strings.Builder
	for _, setting := range s.Settings {
		if field, inside := strings.CutPrefix(setting.Field, outer+"."); inside && setting.Value != "" {
			b.WriteString(indent + field + ": " + yamlValueOf(setting) + "\n")
		}
	}
	return b.String()
}

var (
	// plainValue matches values that need no quotes in YAML: every reader takes them
	// for text or, in our fields, for a number or duration.
	plainValue = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9._@/+-]*$`)
	// reservedValue matches words that some YAML readers take for a boolean, null, a
	// date or another number.
	reservedValue = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null|~|0[0-9]+|0[xob].*|[0-9]+e[0-9]+|[0-9]{4}-[0-9]+-[0-9]+|\.inf|\.nan)$`)
	booleanValue  = regexp.MustCompile(`^(true|false)$`)
)

// yamlValueOf returns the value of a setting in YAML: one value, or a list.
func yamlValueOf(s Setting) string {
	if !isList(s.Field) {
		return yamlValue(s.Value)
	}
	words := strings.Fields(s.Value)
	for i := range words {
		words[i] = yamlValue(words[i])
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// yamlValue returns a value in YAML, in quotes if YAML would read it as something
// else. A JSON string is also a YAML string.
func yamlValue(v string) string {
	if booleanValue.MatchString(v) || plainValue.MatchString(v) && !reservedValue.MatchString(v) {
		return v
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // & < > need no escape here
	_ = encoder.Encode(v)        // a string cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
