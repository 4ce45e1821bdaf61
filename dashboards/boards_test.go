package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// board is the part of a Grafana board that the tests look at.
type board struct {
	file       string
	UID, Title string
	Editable   *bool
	Links      []struct {
		Title, Type, URL string
		KeepTime         bool
		IncludeVars      bool
	}
	Annotations struct {
		List []struct {
			Name, Expr string
			Datasource source
		}
	}
	Templating struct{ List []variable }
	Panels     []panel
}

type source struct{ Type, UID string }

type variable struct {
	Name, Label, Type, Query, AllValue string
	Refresh                            int
	Multi, IncludeAll                  bool
	Datasource                         source
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  struct{ H, W, X, Y int }
	FieldConfig              struct {
		Defaults struct {
			Unit     string
			Mappings []any
			NoValue  string
		}
	}
	Targets []struct {
		RefID, Expr, LegendFormat, Format string
		Instant                           bool
		Datasource                        source
	}
	Transformations []struct {
		ID      string
		Options struct {
			RenameByName  map[string]string
			ExcludeByName map[string]bool
		}
	}
}

// where names a panel in a message.
func (p panel) where(b board) string { return fmt.Sprintf("%s: %d %q", b.file, p.ID, p.Title) }

// boards reads every board.
func boards(t *testing.T) []board {
	t.Helper()
	var out []board
	for _, file := range glob(t, "*.json") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b := board{file: filepath.Base(file)}
		if err := json.Unmarshal(content, &b); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, b)
	}
	return out
}

// graphs are a board's panels without the headings of its rows.
func (b board) graphs() []panel {
	return slices.DeleteFunc(slices.Clone(b.Panels), func(p panel) bool { return p.Type == "row" })
}

func (b board) variable(name string) variable {
	for _, v := range b.Templating.List {
		if v.Name == name {
			return v
		}
	}
	return variable{}
}

// series is the selector that a variable of type query asks with.
func (v variable) series() string {
	_, inner, _ := strings.Cut(v.Query, "(")
	inner = strings.TrimSuffix(inner, ")")
	if i := strings.LastIndex(inner, ","); i >= 0 && strings.HasPrefix(v.Query, "label_values") {
		inner = inner[:i]
	}
	return inner
}

func TestBoardsHaveUniqueNumbersAndFillTheGrid(t *testing.T) {
	uids := map[string]string{}
	for _, b := range boards(t) {
		if other, used := uids[b.UID]; used || b.UID+".json" != b.file {
			t.Errorf("%s: uid %q is not its file's name, or that of %s", b.file, b.UID, other)
		}
		uids[b.UID] = b.file
		ids, cells := map[int]bool{}, map[[2]int]string{}
		for _, p := range b.Panels {
			if p.ID == 0 || ids[p.ID] {
				t.Errorf("%s: the number is used twice, or 0", p.where(b))
			}
			ids[p.ID] = true
			g := p.GridPos
			if g.H < 1 || g.W < 3 && p.Type != "row" || g.X < 0 || g.X+g.W > 24 {
				t.Errorf("%s: %+v is outside the grid, or too small to read", p.where(b), g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := cells[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: lies over %q", p.where(b), other)
					}
					cells[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

// carried are the choices that every link from one board to another takes along.
var carried = []string{"datasource", "job", "instance", "mailprobe", "mailprobe_url"}

// Every link of a board leads to a board or page that exists.
func TestBoardLinksLeadSomewhere(t *testing.T) {
	uids := map[string]bool{}
	for _, b := range boards(t) {
		uids[b.UID] = true
	}
	for _, b := range boards(t) {
		content, err := os.ReadFile(b.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(content), `"/d/`)[1:] {
			link, _, _ := strings.Cut(part, `"`)
			uid, query, _ := strings.Cut(link, "?")
			if !uids[uid] {
				t.Errorf("%s: links to the board %q, which does not exist", b.file, uid)
			}
			for _, name := range carried {
				if !strings.Contains(query, "${"+name+":queryparam}") {
					t.Errorf("%s: the link to %s forgets %s", b.file, uid, name)
				}
			}
		}
		if !strings.Contains(string(content), "${mailprobe_url}/connections/") {
			t.Errorf("%s: no link to the page of a connection", b.file)
		}
		found := map[string]bool{}
		for _, l := range b.Links {
			uid, _, _ := strings.Cut(strings.TrimPrefix(l.URL, "/d/"), "?")
			found[uid] = true
			// A choice of connections is right on the board it was made on: the other
			// would show one connection as if it were all, or all as if they were one.
			if l.IncludeVars || strings.Contains(l.URL, "connection:") || uids[uid] && !l.KeepTime {
				t.Errorf("%s: the link %s takes the connection along, or not the time", b.file, l.Title)
			}
		}
		for uid := range uids {
			if !found[uid] || !found["${mailprobe_url}/"] {
				t.Errorf("%s: it must link to every board and to the status page", b.file)
			}
		}
	}
}

func TestBoardsNameOnlyWhatExists(t *testing.T) {
	v := words(t)
	for _, b := range boards(t) {
		for _, p := range b.graphs() {
			for _, target := range p.Targets {
				v.check(t, p.where(b)+" "+target.RefID, target.Expr)
				for _, label := range legendLabels(target.LegendFormat) {
					if !strings.Contains(labelsOf(v, target.Expr), " "+label+" ") {
						t.Errorf("%s: the legend shows %s, which its metrics do not have", p.where(b), label)
					}
				}
			}
		}
		for _, a := range b.Annotations.List {
			v.check(t, b.file+": annotation "+a.Name, a.Expr)
		}
		for _, variable := range b.Templating.List {
			if variable.Type == "query" {
				v.check(t, b.file+": variable "+variable.Name, variable.series())
			}
		}
	}
}

// labelsOf lists the labels of an expression's metrics, with spaces around each.
func labelsOf(v vocabulary, expr string) string {
	out := " "
	for _, r := range references(expr) {
		out += strings.Join(v.labels[r.metric], " ") + " "
	}
	if strings.Contains(expr, `label_replace(`) {
		out += "place "
	}
	return out
}

// legendLabels are the labels in a legend such as {{instance}} made.
func legendLabels(legend string) []string {
	var out []string
	for _, part := range strings.Split(legend, "{{")[1:] {
		label, _, _ := strings.Cut(part, "}}")
		out = append(out, label)
	}
	return out
}

// Each column of a table is a label or value of its queries, and no value
// column is shown under the name of its query.
func TestTableColumnsExist(t *testing.T) {
	v := words(t)
	for _, b := range boards(t) {
		for _, p := range b.graphs() {
			if p.Type != "table" {
				continue
			}
			fields := map[string]bool{"Time": true, "__name__": true, "Value": len(p.Targets) == 1}
			for _, target := range p.Targets {
				fields["Value #"+target.RefID] = len(p.Targets) > 1
				for _, label := range strings.Fields(labelsOf(v, target.Expr)) {
					fields[label] = true
				}
			}
			organized := p.Transformations[len(p.Transformations)-1].Options
			for field := range organized.RenameByName {
				if !fields[field] {
					t.Errorf("%s: the column %s does not exist", p.where(b), field)
				}
			}
			for _, target := range p.Targets {
				field := "Value #" + target.RefID
				if len(p.Targets) > 1 && organized.RenameByName[field] == "" && !organized.ExcludeByName[field] {
					t.Errorf("%s: the column %s is neither named nor left out", p.where(b), field)
				}
			}
		}
	}
}
