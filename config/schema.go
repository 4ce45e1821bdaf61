package config

// This file turns the field tables into a JSON Schema (draft 2020-12) for
// editors. The schema describes single fields; rules between fields are checked
// by Load only.

import (
	"encoding/json"
	"strings"
	"unicode"
)

// Schema returns the JSON Schema of the configuration. A file that the schema
// accepts may still be refused by Load: values from `defaults` and rules between
// fields are not in the schema.
func Schema() []byte {
	s := fileBlock.blockDoc().schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "mailprobe configuration"
	connection := connectionBlock.blockDoc()
	defaults := connection.schema()
	delete(defaults, "required")
	delete(defaults["properties"].(map[string]any), "name")
	s["$defs"] = map[string]any{"connection": connection.schema(), "defaults": defaults, "route": routeBlock.blockDoc().schema()}
	// Maps are encoded in the order of their keys, so equal tables produce equal
	// bytes. Encoding plain values cannot fail.
	text, _ := json.MarshalIndent(s, "", "  ")
	return append(text, '\n')
}

// schema describes a block as an object.
func (o *blockDoc) schema() map[string]any {
	properties := map[string]any{}
	for _, doc := range o.fields {
		s := doc.schema()
		s["description"] = doc.describe()
		properties[doc.name] = s
	}
	s := map[string]any{"type": "object", "description": o.meaning, "properties": properties, "additionalProperties": false}
	if o.required != nil {
		s["required"] = o.required
	}
	if o.extra != "" {
		s["patternProperties"] = map[string]any{"^" + o.extra: true}
	}
	return s
}

// describe returns the meaning of a field with its protocols and default.
func (d fieldDoc) describe() string {
	text := d.meaning
	if d.only != nil {
		text += " Only for " + orList(protocolNames(d.only)) + "."
	}
	if d.def != "required" {
		text += " Default: " + d.def + "."
	}
	return text
}

func defaultsSchema() map[string]any {
	return map[string]any{"anyOf": []any{map[string]any{"$ref": "#/$defs/defaults"}, types("null")}}
}

func connectionsSchema() map[string]any {
	return map[string]any{"type": []string{"array", "null"}, "items": map[string]any{"$ref": "#/$defs/connection"}}
}

func types(names ...string) map[string]any {
	if len(names) == 1 {
		return map[string]any{"type": names[0]}
	}
	return map[string]any{"type": names}
}

// nullable returns a schema that also accepts a blank value.
func nullable(s map[string]any) map[string]any {
	s["type"] = []string{"object", "null"}
	return s
}

// caseBlind returns a pattern that matches the words in upper and lower case.
// Regular expressions in JSON Schema have no flag for that.
func caseBlind(words []string) string {
	var b strings.Builder
	for i, word := range words {
		if i > 0 {
			b.WriteByte('|')
		}
		for _, r := range word {
			switch {
			case unicode.IsLetter(r):
				b.WriteString("[" + string(unicode.ToLower(r)) + string(unicode.ToUpper(r)) + "]")
			case r == '.':
				b.WriteString(`\.`)
			default:
				b.WriteRune(r)
			}
		}
	}
	return "^(" + b.String() + ")$"
}
