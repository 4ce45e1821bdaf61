package config

// This file writes a connection as YAML.

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Stanza is one connection as it is to be written into a file.
type Stanza struct {
	Settings []Setting // name first; empty values are left out
	Comments []string  // lines above it, without #
}

// Value returns the value of a field, or nothing.
func (s Stanza) Value(field string) string {
	for _, setting := range s.Settings {
		if setting.Field == field {
			return setting.Value
		}
	}
	return ""
}

// YAML returns the stanza as an item of the list of connections, each line after
// an indent. The fields of a block stand together, where the first of them does.
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

// block are the lines of the fields of one block.
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
	// plainValue needs no quotes in YAML: a word that no reader takes for anything
	// but a text or, in our fields, a number or a duration.
	plainValue = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9._@/+-]*$`)
	// reservedValue would be a boolean or null, or an octal or other number, to some
	// readers of YAML.
	reservedValue = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null|~|0[0-9]+|0[xob].*|[0-9]+e[0-9]+|[0-9]{4}-[0-9]+-[0-9]+|\.inf|\.nan)$`)
	booleanValue  = regexp.MustCompile(`^(true|false)$`)
)

// yamlValueOf is the value of a setting, or the list of its words.
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

// yamlValue quotes a value where YAML would read another one. A text of JSON in
// double quotes is one of YAML too.
func yamlValue(v string) string {
	if booleanValue.MatchString(v) || plainValue.MatchString(v) && !reservedValue.MatchString(v) {
		return v
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // & < > are nothing special here
	_ = encoder.Encode(v)        // a text cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
