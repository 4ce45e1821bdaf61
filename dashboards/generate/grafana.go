package main

// This file holds the part of Grafana's classic dashboard model that the boards use, and
// places panels in the grid. It knows no metric.

import "strings"

// gridWidth is the number of columns of a Grafana board.
const gridWidth = 24

type dashboard struct {
	UID           string      `json:"uid"`
	Title         string      `json:"title"`
	Description   string      `json:"description"`
	Tags          []string    `json:"tags"`
	Editable      bool        `json:"editable"`
	GraphTooltip  int         `json:"graphTooltip"` // 1: one crosshair for all panels
	SchemaVersion int         `json:"schemaVersion"`
	Version       int         `json:"version"`
	Refresh       string      `json:"refresh"`
	Timezone      string      `json:"timezone"`
	Time          timeRange   `json:"time"`
	Links         []link      `json:"links"`
	Annotations   annotations `json:"annotations"`
	Templating    templating  `json:"templating"`
	Panels        []panel     `json:"panels"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"` // dashboards or link
	Tags        []string `json:"tags"`
	URL         string   `json:"url"`
	Icon        string   `json:"icon"`
	KeepTime    bool     `json:"keepTime"`
	IncludeVars bool     `json:"includeVars"`
	TargetBlank bool     `json:"targetBlank"`
	AsDropdown  bool     `json:"asDropdown"`
}

type annotations struct {
	List []annotation `json:"list"`
}

type annotation struct {
	Name        string        `json:"name"`
	Datasource  datasourceRef `json:"datasource"`
	Enable      bool          `json:"enable"`
	Expr        string        `json:"expr"`
	Step        string        `json:"step"`
	IconColor   string        `json:"iconColor"`
	TitleFormat string        `json:"titleFormat"`
	TextFormat  string        `json:"textFormat"`
}

type templating struct {
	List []variable `json:"list"`
}

type variable struct {
	Name       string         `json:"name"`
	Label      string         `json:"label"`
	Type       string         `json:"type"`
	Datasource *datasourceRef `json:"datasource,omitempty"`
	Query      string         `json:"query"`
	Regex      string         `json:"regex,omitempty"` // leaves values out
	Definition string         `json:"definition,omitempty"`
	Refresh    int            `json:"refresh,omitempty"` // 2: when the time range changes
	Sort       int            `json:"sort,omitempty"`
	Multi      bool           `json:"multi"`
	IncludeAll bool           `json:"includeAll"`
	AllValue   string         `json:"allValue,omitempty"`
	Current    *current       `json:"current,omitempty"`
	Hide       int            `json:"hide"`
}

type current struct {
	Selected bool `json:"selected"`
	Text     any  `json:"text"`
	Value    any  `json:"value"`
}

type datasourceRef struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// source is the data source that the variable of the board names.
var source = datasourceRef{Type: "prometheus", UID: "${datasource}"}

type panel struct {
	ID              int              `json:"id"`
	Type            string           `json:"type"`
	Title           string           `json:"title"`
	Description     string           `json:"description"`
	Datasource      datasourceRef    `json:"datasource"`
	GridPos         gridPos          `json:"gridPos"`
	FieldConfig     fieldConfig      `json:"fieldConfig"`
	Options         object           `json:"options,omitempty"`
	Targets         []target         `json:"targets"`
	Transformations []transformation `json:"transformations,omitempty"`
	Collapsed       *bool            `json:"collapsed,omitempty"` // rows only
	Panels          *[]panel         `json:"panels,omitempty"`    // rows only: those of a collapsed one
}

// object is a part of the model that is written as it is.
type object map[string]any

type gridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

type fieldConfig struct {
	Defaults  object     `json:"defaults"`
	Overrides []override `json:"overrides"`
}

type override struct {
	Matcher    object   `json:"matcher"`
	Properties []object `json:"properties"`
}

type target struct {
	RefID        string        `json:"refId"`
	Datasource   datasourceRef `json:"datasource"`
	Expr         string        `json:"expr"`
	LegendFormat string        `json:"legendFormat,omitempty"`
	Format       string        `json:"format"`
	Instant      bool          `json:"instant"`
	Range        bool          `json:"range"`
	EditorMode   string        `json:"editorMode"`
}

type transformation struct {
	ID      string `json:"id"`
	Options object `json:"options"`
}

// section is a row of a board: a heading and lines of panels of equal height.
type section struct {
	title string
	lines []line
}

type line struct {
	height int
	panels []panel // GridPos.W is set, or 0 for an equal share of what is left
}

// layout assigns every panel its place and its number.
func layout(sections []section) []panel {
	var out []panel
	y, id := 0, 1
	place := func(p panel, pos gridPos) {
		p.ID, p.GridPos = id, pos
		out = append(out, p)
		id++
	}
	for _, s := range sections {
		open := false
		place(panel{Type: "row", Title: s.title, Datasource: source, Collapsed: &open, Panels: &[]panel{},
			FieldConfig: fieldConfig{Defaults: object{}, Overrides: []override{}}, Targets: []target{}},
			gridPos{H: 1, W: gridWidth, Y: y})
		y++
		for _, l := range s.lines {
			x := 0
			for i, width := range widths(l.panels) {
				place(l.panels[i], gridPos{H: l.height, W: width, X: x, Y: y})
				x += width
			}
			y += l.height
		}
	}
	return out
}

// widths returns the widths of the panels of a line. Those without a width share what the
// others leave; the last one of them has the remainder.
func widths(panels []panel) []int {
	left, open := gridWidth, 0
	for _, p := range panels {
		left -= p.GridPos.W
		if p.GridPos.W == 0 {
			open++
		}
	}
	out := make([]int, len(panels))
	for i, p := range panels {
		out[i] = p.GridPos.W
		if out[i] == 0 {
			out[i] = left / open
			left -= out[i]
			open--
		}
	}
	return out
}

// selectors are the short forms in which the boards write label matchers. All of them
// select by job and instance, so that a board can show one exporter of many; @connection
// and @one select by connection and by the mailprobe that probes it, too. @one is for a
// board with exactly one connection: Grafana escapes a value for a regular expression
// only where several can be selected, and a name such as "shop (EU)" needs escapes.
// @exporter is for the metrics about mailprobe itself and its routes, which have no label
// mailprobe. @alerts also finds alerts without these labels: those about all connections
// or all exporters.
var selectors = strings.NewReplacer(
	"{@connection", `{job=~"$job", instance=~"$instance", mailprobe=~"$mailprobe", connection=~"$connection"`,
	"{@one", `{job=~"$job", instance=~"$instance", mailprobe=~"$mailprobe", connection="$connection"`,
	"{@exporter", `{job=~"$job", instance=~"$instance"`,
	"{@alerts", `{job=~"$job|", instance=~"$instance|", mailprobe=~"$mailprobe|", alertname=~"Mailprobe.+"`,
)

// query is one target before it has a place in a panel.
type query struct {
	expr    string
	legend  string
	instant bool
	format  string // time_series where empty
}

// targets numbers queries A, B, C and fills in their selectors.
func targets(queries ...query) []target {
	out := make([]target, len(queries))
	for i, q := range queries {
		format := q.format
		if format == "" {
			format = "time_series"
		}
		out[i] = target{RefID: string(rune('A' + i)), Datasource: source, Expr: selectors.Replace(q.expr),
			LegendFormat: q.legend, Format: format, Instant: q.instant, Range: !q.instant, EditorMode: "code"}
	}
	return out
}
