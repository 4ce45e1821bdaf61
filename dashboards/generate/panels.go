package main

// This file holds the kinds of panel on the boards, each with the options that all its
// panels share.

import (
	"maps"
	"strings"
)

// option changes one thing about a panel.
type option func(*panel)

// width sets the columns of a panel; without it, see widths.
func width(columns int) option { return func(p *panel) { p.GridPos.W = columns } }

// with sets a default of the panel's fields, such as decimals or min.
func with(key string, value any) option {
	return func(p *panel) { p.FieldConfig.Defaults[key] = value }
}

// mapped shows words in place of values.
func mapped(words ...valueWord) option { return with("mappings", mappings(words)) }

// steps sets colours of values: base below the first step, then pairs of a value and the
// colour from that value on.
func steps(base string, colours ...any) option {
	return with("thresholds", thresholds(base, colours...))
}

func thresholds(base string, colours ...any) object {
	list := []object{{"color": base, "value": nil}}
	for i := 0; i+1 < len(colours); i += 2 {
		list = append(list, object{"value": colours[i], "color": colours[i+1]})
	}
	return object{"mode": "absolute", "steps": list}
}

// absent is the text where there is no value. Its mapping sets a neutral colour; without
// one, it would have that of the lowest step.
func absent(text string) option {
	return func(p *panel) {
		list, _ := p.FieldConfig.Defaults["mappings"].([]object)
		p.FieldConfig.Defaults["noValue"] = text
		p.FieldConfig.Defaults["mappings"] = append(list, object{"type": "special",
			"options": object{"match": "null+nan", "result": object{"text": text, "color": "text", "index": len(list)}}})
	}
}

// belowZero lets a graph show negative values, such as the time left of an expired
// certificate. If there are none, its axis begins at zero.
func belowZero(p *panel) {
	delete(p.FieldConfig.Defaults, "min")
	custom, _ := p.FieldConfig.Defaults["custom"].(object)
	custom["axisSoftMin"] = 0
}

// plain is one colour for figures that are neither good nor bad.
func plain() option { return with("color", object{"mode": "fixed", "fixedColor": "blue"}) }

// shades draws all lines in shades of one colour, for values of which each is bad.
func shades(colour string) option {
	return with("color", object{"mode": "shades", "fixedColor": colour})
}

// coloured sets the colour of the lines whose name has this ending.
func coloured(ending, colour string) option {
	return func(p *panel) {
		p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
			Matcher:    object{"id": "byRegexp", "options": "/" + ending + "$/"},
			Properties: []object{{"id": "color", "value": object{"mode": "fixed", "fixedColor": colour}}},
		})
	}
}

// valueWord is the text and the colour that stand for a value.
type valueWord struct{ value, text, colour string }

var (
	stateWords    = []valueWord{{"0", "Down", "red"}, {"1", "Up", "green"}}
	yesWords      = []valueWord{{"0", "No", "red"}, {"1", "Yes", "green"}}
	heldWords     = []valueWord{{"0", "Free", "green"}, {"1", "Withheld", "orange"}}
	verifiedWords = []valueWord{{"0", "Not verified", "red"}, {"1", "Verified", "green"}}
)

func mappings(words []valueWord) []object {
	options := object{}
	for i, w := range words {
		options[w.value] = object{"text": w.text, "color": w.colour, "index": i}
	}
	return []object{{"type": "value", "options": options}}
}

func newPanel(kind, title, description, unit string, queries []query, options []option) panel {
	p := panel{Type: kind, Title: title, Description: description, Datasource: source, Targets: targets(queries...),
		FieldConfig: fieldConfig{Defaults: object{"unit": unit}, Overrides: []override{}}}
	for _, set := range options {
		set(&p)
	}
	return p
}

// stat is one figure, as it is now.
func stat(title, description, unit, expr string, options ...option) panel {
	p := newPanel("stat", title, description, unit, []query{{expr: expr, instant: true}}, options)
	p.Options = object{
		"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": "auto",
		"orientation":   "auto",
		"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}
	return p
}

// word is a stat that shows labels in place of the value, in the format of the legend.
func word(title, description, expr, legend string, options ...option) panel {
	p := stat(title, description, "none", expr, options...)
	p.Targets[0].LegendFormat = legend
	p.Options["textMode"] = "name"
	return p
}

// graph is lines over time.
func graph(title, description, unit string, queries []query, options ...option) panel {
	p := newPanel("timeseries", title, description, unit, queries, append([]option{
		with("min", 0),
		with("custom", object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "auto", "spanNulls": false}),
	}, options...))
	p.Options = object{
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}
	return p
}

// stacked stacks the lines of a graph. The style is line, or bars where each point is a
// count.
func stacked(style string) option {
	return with("custom", object{"drawStyle": style, "lineWidth": 1, "fillOpacity": 60, "showPoints": "auto",
		"spanNulls": false, "stacking": object{"mode": "normal", "group": "A"}})
}

// timeline has one bar for each series, coloured by its state.
func timeline(title, description string, words []valueWord, queries []query, options ...option) panel {
	p := newPanel("state-timeline", title, description, "none", queries, append([]option{
		mapped(words...),
		with("custom", object{"lineWidth": 0, "fillOpacity": 80}),
		with("color", object{"mode": "thresholds"}),
	}, options...))
	p.Options = object{
		"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.9,
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": false},
		"tooltip": object{"mode": "single", "sort": "none"},
	}
	return p
}

// bars ranks the series of one query by their value now.
func bars(title, description, unit, expr, legend string, options ...option) panel {
	p := newPanel("bargauge", title, description, unit, []query{{expr: expr, legend: legend, instant: true}},
		append([]option{with("min", 0)}, options...))
	p.Options = object{
		"displayMode": "basic", "orientation": "horizontal", "showUnfilled": true, "valueMode": "color",
		"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}
	return p
}

// heatmap shows a histogram over time. The query may give a native histogram or
// the buckets of a classic one.
func heatmap(title, description, expr string, options ...option) panel {
	p := newPanel("heatmap", title, description, "s", []query{{expr: expr, legend: "{{le}}", format: "heatmap"}}, options)
	p.Options = object{
		"calculate": false, "cellGap": 1, "filterValues": object{"le": 1e-9},
		"color": object{"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
		"yAxis": object{"unit": "s", "axisPlacement": "left"}, "cellValues": object{"unit": "cps"},
		"tooltip": object{"mode": "single", "yHistogram": true},
		"legend":  object{"show": true}, "rowsFrame": object{"layout": "auto"},
	}
	return p
}

// column is one field of a table: the query or label it comes from, its
// heading, and how its cells look.
type column struct {
	field      string // "Value #A", or a label
	title      string // empty: not shown
	properties object
}

// wide is the width of a column, which is 150 at least where it has none.
func wide(pixels int) object { return object{"custom.width": pixels} }

// figure is the looks of a column of numbers.
func figure(unit string, pixels int) object { return object{"unit": unit, "custom.width": pixels} }

// wrapped is the looks of a column of sentences.
func wrapped(pixels int) object {
	return object{"custom.width": pixels, "custom.cellOptions": object{"type": "auto", "wrapText": true}}
}

// sorted orders a table by its columns' headings; a minus before one turns it.
func sorted(titles ...string) option {
	return func(p *panel) {
		list := []object{}
		for _, title := range titles {
			name, down := strings.CutPrefix(title, "-")
			list = append(list, object{"displayName": name, "desc": down})
		}
		p.Options = object{"sortBy": list}
	}
}

// table shows one row for each set of labels that the queries share.
func table(title, description string, queries []query, columns []column, options ...option) panel {
	for i := range queries {
		queries[i].instant, queries[i].format = true, "table"
	}
	p := newPanel("table", title, description, "none", queries, options)
	p.FieldConfig.Defaults["custom"] = object{"align": "auto", "filterable": true}
	if p.Options == nil {
		p.Options = object{}
	}
	maps.Copy(p.Options, object{"showHeader": true, "cellHeight": "sm", "footer": object{"show": false}})

	if p.FieldConfig.Defaults["noValue"] != nil {
		// Grafana would write the words for an empty table into each empty cell, also
		// of the columns that are the user's own labels.
		p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
			Matcher: object{"id": "byRegexp", "options": "/.*/"}, Properties: []object{{"id": "noValue", "value": "–"}}})
	}
	exclude, rename, index := object{"Time": true}, object{}, object{}
	for i, c := range columns {
		index[c.field] = i
		if c.title == "" {
			exclude[c.field] = true
			continue
		}
		rename[c.field] = c.title
		if len(c.properties) > 0 {
			p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
				Matcher:    object{"id": "byName", "options": c.title},
				Properties: properties(c.properties),
			})
		}
	}
	p.Transformations = []transformation{
		{ID: "merge", Options: object{}},
		{ID: "organize", Options: object{"excludeByName": exclude, "renameByName": rename, "indexByName": index}},
	}
	return p
}

// propertyOrder makes the order of properties, and so the file, stable.
var propertyOrder = []string{"unit", "decimals", "min", "max", "noValue", "mappings", "thresholds", "custom.cellOptions", "custom.align", "custom.width", "links"}

func properties(set object) []object {
	var list []object
	for _, id := range propertyOrder {
		if value, ok := set[id]; ok {
			list = append(list, object{"id": id, "value": value})
		}
	}
	return list
}
