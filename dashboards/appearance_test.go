package dashboards

// This file checks how Grafana will show the boards, as far as that is possible without
// Grafana. Each test is about a fault that was seen in a picture of a board.

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailprobe/mail"
)

// panelModel is a panel as Grafana reads it.
type panelModel struct {
	Type, Title string
	GridPos     struct{ W int }
	FieldConfig struct {
		Defaults  map[string]any
		Overrides []struct {
			Matcher    struct{ ID, Options string }
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
	Options map[string]any
	Targets []struct{ Expr, LegendFormat string }
	// Transformations are those of a table.
	Transformations []struct {
		Options struct{ RenameByName map[string]string }
	}
}

// panelModels reads the panels of a board, without the headings of its rows.
func panelModels(t *testing.T, b board) []panelModel {
	t.Helper()
	content, err := os.ReadFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Panels []panelModel }
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(file.Panels, func(p panelModel) bool { return p.Type == "row" })
}

// eachPanel checks all panels of one type, or of every type where it is empty.
func eachPanel(t *testing.T, kind string, check func(t *testing.T, p panelModel)) {
	t.Helper()
	for _, b := range boards(t) {
		for _, p := range panelModels(t, b) {
			if kind == "" || p.Type == kind {
				t.Run(b.UID+"/"+p.Title, func(t *testing.T) { check(t, p) })
			}
		}
	}
}

// everyColumn is the matcher of an override of all columns, those of the user's own labels
// included.
const everyColumn = "/.*/"

// columns are the headings of a table.
func (p panelModel) columns() []string {
	return slices.Sorted(maps.Values(p.Transformations[len(p.Transformations)-1].Options.RenameByName))
}

// looks are the properties of a column: its own, and those of all columns.
func (p panelModel) looks(column string) map[string]any {
	out := map[string]any{}
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID == "byName" && o.Matcher.Options == column || o.Matcher.Options == everyColumn {
			for _, property := range o.Properties {
				out[property.ID] = property.Value
			}
		}
	}
	return out
}

// Grafana says nothing about an override or an order of a column that is not
// there.
func TestTablesNameTheirOwnColumns(t *testing.T) {
	eachPanel(t, "table", func(t *testing.T, p panelModel) {
		columns := p.columns()
		for _, o := range p.FieldConfig.Overrides {
			if o.Matcher.Options != everyColumn && !slices.Contains(columns, o.Matcher.Options) {
				t.Errorf("an override is for the column %q", o.Matcher.Options)
			}
		}
		order, _ := p.Options["sortBy"].([]any)
		for _, by := range order {
			if name := by.(map[string]any)["displayName"].(string); !slices.Contains(columns, name) {
				t.Errorf("it is sorted by %q", name)
			}
		}
	})
}

// Prometheus returns rows in no order, so a table of many connections must be sorted.
func TestTablesOfManyConnectionsAreSorted(t *testing.T) {
	eachPanel(t, "table", func(t *testing.T, p panelModel) {
		if slices.Contains(p.columns(), "Connection") && p.Options["sortBy"] == nil {
			t.Error("not sorted")
		}
	})
}

// Without its own minimum and maximum, a gauge is drawn between the least and the largest
// figure of the whole table.
func TestGaugesInTablesHaveTwoEnds(t *testing.T) {
	eachPanel(t, "table", func(t *testing.T, p panelModel) {
		for _, column := range p.columns() {
			looks := p.looks(column)
			cell, _ := looks["custom.cellOptions"].(map[string]any)
			if cell["type"] == "gauge" && (looks["min"] == nil || looks["max"] == nil) {
				t.Errorf("%s: no min or no max", column)
			}
		}
	})
}

// A table wider than its panel hides its last columns.
func TestTablesFitTheirPanels(t *testing.T) {
	const (
		screen  = 1800 // of 1920, less margins and a scroll bar
		atLeast = 150  // Grafana's width of a column that names none
	)
	eachPanel(t, "table", func(t *testing.T, p panelModel) {
		sum := 0
		for _, column := range p.columns() {
			if width, ok := p.looks(column)["custom.width"].(float64); ok {
				sum += int(width)
			} else {
				sum += atLeast
			}
		}
		if room := screen * p.GridPos.W / 24; sum > room {
			t.Errorf("its columns want %d pixels of %d", sum, room)
		}
	})
}

// Grafana writes noValue into empty cells too, not only where there is no row.
func TestEmptyCellsDoNotSayWhatAnEmptyTableSays(t *testing.T) {
	eachPanel(t, "table", func(t *testing.T, p panelModel) {
		for _, column := range append(p.columns(), "a label of the user's") {
			if p.FieldConfig.Defaults["noValue"] != nil && p.looks(column)["noValue"] == nil {
				t.Errorf("an empty cell of %s says %q", column, p.FieldConfig.Defaults["noValue"])
			}
		}
	})
}

// A figure without a value has the colour of the lowest step, which may be red.
func TestFiguresWithoutAValueHaveNoColour(t *testing.T) {
	eachPanel(t, "stat", func(t *testing.T, p panelModel) {
		words := p.FieldConfig.Defaults["noValue"]
		if words == nil {
			return
		}
		list, _ := p.FieldConfig.Defaults["mappings"].([]any)
		for _, m := range list {
			options, _ := m.(map[string]any)["options"].(map[string]any)
			result, _ := options["result"].(map[string]any)
			if options["match"] == "null+nan" && result["text"] == words && result["color"] == "text" {
				return
			}
		}
		t.Errorf("%q has the colour of a threshold", words)
	})
}

// The first colour of Grafana's palette is green.
func TestFailuresAreNotGreen(t *testing.T) {
	eachPanel(t, "timeseries", func(t *testing.T, p panelModel) {
		colour, _ := p.FieldConfig.Defaults["color"].(map[string]any)
		if p.Title == "Failures by reason" && colour["fixedColor"] != "red" {
			t.Errorf("coloured by %v", colour)
		}
		for _, target := range p.Targets {
			if name := target.LegendFormat; strings.HasSuffix(name, "refused") || strings.HasSuffix(name, "left out") {
				if !p.coloured(name) {
					t.Errorf("%q has no colour of its own", name)
				}
			}
		}
	})
}

// coloured reports whether an override gives a line its colour.
func (p panelModel) coloured(name string) bool {
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID == "byRegexp" && regexp.MustCompile(strings.Trim(o.Matcher.Options, "/")).MatchString(name) {
			return o.Properties[0].ID == "color"
		}
	}
	return false
}

// The cells of a heatmap are counts; only its axis is in seconds.
func TestHeatmapCellsAreNoSeconds(t *testing.T) {
	eachPanel(t, "heatmap", func(t *testing.T, p panelModel) {
		cells, _ := p.Options["cellValues"].(map[string]any)
		axis, _ := p.Options["yAxis"].(map[string]any)
		if cells["unit"] != "cps" || axis["unit"] != "s" {
			t.Errorf("cells in %v, axis in %v", cells["unit"], axis["unit"])
		}
	})
}

// The time left of an expired certificate is negative.
func TestTimeLeftMayBeNegative(t *testing.T) {
	eachPanel(t, "timeseries", func(t *testing.T, p panelModel) {
		for _, target := range p.Targets {
			if strings.HasSuffix(target.Expr, "- time()") && p.FieldConfig.Defaults["min"] != nil {
				t.Errorf("the axis begins at %v", p.FieldConfig.Defaults["min"])
			}
		}
	})
}

func TestPhasesStandInTheOrderOfAConversation(t *testing.T) {
	var want, got []string
	for _, phase := range mail.Phases() {
		want = append(want, fmt.Sprintf(`phase="%s"`, phase))
	}
	eachPanel(t, "timeseries", func(t *testing.T, p panelModel) {
		for _, target := range p.Targets {
			if p.Title == "Phases" {
				_, phase, _ := strings.Cut(target.Expr, "phase=")
				got = append(got, "phase="+strings.TrimSuffix(phase, "}"))
			}
		}
	})
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Grafana escapes the value of a variable for a regular expression only where
// several can be chosen, and a name may be "shop (EU)".
func TestOneConnectionIsNoRegularExpression(t *testing.T) {
	for _, b := range boards(t) {
		want := `="$connection"`
		if b.variable("connection").Multi {
			want = `=~"$connection`
		}
		exprs := []string{b.Annotations.List[0].Expr}
		for _, p := range b.graphs() {
			for _, target := range p.Targets {
				exprs = append(exprs, target.Expr)
			}
		}
		for _, expr := range exprs {
			if strings.Count(expr, `"$connection`) != strings.Count(expr, want) {
				t.Errorf("%s: connection is not asked for by %s: %s", b.file, want, expr)
			}
		}
	}
}

// Two mailprobes may probe connections of the same name: a user who selects one of
// them must not see the figures of the other.
func TestQueriesTellMailprobesApart(t *testing.T) {
	for _, b := range boards(t) {
		onTargets(b, func(p panel, refID, expr string) {
			for _, r := range references(expr) {
				if r.matchers["connection"] != "" && !strings.HasPrefix(r.matchers["mailprobe"], `=~"$mailprobe`) {
					t.Errorf("%s %s: %s is asked for at all mailprobes", p.where(b), refID, r.metric)
				}
			}
			for _, m := range labelList.FindAllStringSubmatch(expr, -1) {
				if strings.Contains(m[1], "connection") && strings.Contains(m[1], "instance") && !strings.Contains(m[1], "mailprobe") {
					t.Errorf("%s %s: %s joins two mailprobes", p.where(b), refID, m[0])
				}
			}
		})
	}
}

// Protocol, host and own label narrow the list of connections; "All" has to be
// that list, because the panels ask for nothing else.
func TestFiltersNarrowTheListOfConnections(t *testing.T) {
	for _, b := range boards(t) {
		connection := b.variable("connection")
		if !connection.Multi {
			continue
		}
		for _, matcher := range []string{`protocol=~"$protocol"`, `host=~"$host"`, `$label=~"$value"`, `mailprobe=~"$mailprobe"`} {
			if !strings.Contains(connection.Query, matcher) {
				t.Errorf("%s: %s does not choose by %s", b.file, connection.Query, matcher)
			}
		}
		if connection.AllValue != "" {
			t.Errorf("%s: All is %q, whatever was chosen", b.file, connection.AllValue)
		}
		// A Prometheus that knows no own label must still list connections.
		if v := b.variable("value"); v.AllValue != ".*" {
			t.Errorf("%s: All own labels are %q", b.file, v.AllValue)
		}
	}
}

// The remaining time of a certificate has no colour, because its meaning depends on the
// lifetime: some certificates are valid for six days only. The state of a certificate has
// a colour.
func TestCertificatesAreColouredByTheirLifetime(t *testing.T) {
	states := 0
	eachPanel(t, "", func(t *testing.T, p panelModel) {
		for i, target := range p.Targets {
			left := strings.Contains(target.Expr, "not_after_timestamp_seconds") && strings.Contains(target.Expr, "- time()")
			if !left || strings.Contains(target.Expr, "not_before") {
				continue
			}
			looks := p.FieldConfig.Defaults
			if p.Type == "table" {
				looks = p.looks(p.Transformations[len(p.Transformations)-1].Options.RenameByName[fmt.Sprintf("Value #%c", 'A'+i)])
			}
			if thresholds, _ := looks["thresholds"].(map[string]any); thresholds != nil && len(thresholds["steps"].([]any)) > 1 {
				t.Errorf("the time left has colours: %v", thresholds)
			}
		}
		for _, target := range p.Targets {
			if strings.Contains(target.Expr, "/ 3, 21 * 86400") && strings.Contains(target.Expr, "/ 10, 7 * 86400") {
				states++
			}
		}
	})
	if states != 3 {
		t.Errorf("%d panels have a certificate's state, want two of the overview and one of the connection", states)
	}
}

// panelOptions are the options of each panel type and the legal values of those
// that are words, in Grafana 11 and 12; nil: anything.
var panelOptions = map[string]map[string][]string{
	"stat": {"colorMode": {"none", "value", "background", "background_solid"}, "graphMode": {"none", "area"},
		"justifyMode": {"auto", "center"}, "textMode": {"auto", "value", "value_and_name", "name", "none"},
		"orientation": {"auto", "horizontal", "vertical"}, "reduceOptions": nil},
	"table":      {"showHeader": nil, "cellHeight": {"sm", "md", "lg"}, "footer": nil, "sortBy": nil},
	"timeseries": {"legend": nil, "tooltip": nil},
	"state-timeline": {"mergeValues": nil, "showValue": {"auto", "always", "never"}, "alignValue": {"left", "center", "right"},
		"rowHeight": nil, "legend": nil, "tooltip": nil},
	"bargauge": {"displayMode": {"basic", "lcd", "gradient"}, "orientation": {"auto", "horizontal", "vertical"},
		"showUnfilled": nil, "valueMode": {"color", "text", "hidden"}, "reduceOptions": nil},
	"heatmap": {"calculate": nil, "cellGap": nil, "cellValues": nil, "filterValues": nil, "color": nil, "yAxis": nil,
		"tooltip": nil, "legend": nil, "rowsFrame": nil},
}

// fieldOptions are the same of fields, by their id in an override.
var fieldOptions = map[string][]string{
	"unit": append(slices.Clone(units), "dateTimeFromNow"), "decimals": nil, "min": nil, "max": nil, "noValue": nil,
	"mappings": nil, "thresholds": nil, "links": nil, "color": nil,
	"custom.align": {"auto", "left", "center", "right"}, "custom.filterable": nil, "custom.width": nil, "custom.cellOptions": nil,
	"custom.drawStyle": {"line", "bars", "points"}, "custom.lineWidth": nil, "custom.fillOpacity": nil,
	"custom.showPoints": {"auto", "always", "never"}, "custom.spanNulls": nil, "custom.axisSoftMin": nil, "custom.stacking": nil,
}

// Grafana ignores an unknown option, and a wrong value.
func TestOptionsExistInGrafana(t *testing.T) {
	legal := func(t *testing.T, known map[string][]string, id string, value any) {
		t.Helper()
		values, ok := known[id]
		if word, isWord := value.(string); !ok || values != nil && !(isWord && slices.Contains(values, word)) {
			t.Errorf("%s: %v is no option, or no value of it", id, value)
		}
	}
	eachPanel(t, "", func(t *testing.T, p panelModel) {
		for id, value := range p.Options {
			legal(t, panelOptions[p.Type], id, value)
		}
		for id, value := range p.FieldConfig.Defaults {
			if custom, ok := value.(map[string]any); ok && id == "custom" {
				for id, value := range custom {
					legal(t, fieldOptions, "custom."+id, value)
				}
				continue
			}
			legal(t, fieldOptions, id, value)
		}
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				legal(t, fieldOptions, property.ID, property.Value)
			}
		}
	})
}
