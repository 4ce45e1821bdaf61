package cli

// This file writes tables for terminals: lines with columns where there is room
// for them, and else a block of text for each row.

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// gap is how many blanks are between two columns.
const gap = 2

// table is what a command prints of a list of connections.
type table struct {
	header []string
	rows   []tableRow
	width  int                      // of the terminal; 0: no line is too long
	state  int                      // the column that is painted, and that leads a block; 0: none
	paint  func(cell string) string // colours the state; nil: nothing does
}

// tableRow is one connection. A cell without a value is "-".
type tableRow struct {
	cells []string
	below []string // sentences below the row, wrapped to the terminal
	lines []string // lines below those, as they are
}

// write prints the table.
func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.header))
	for i, cell := range t.header {
		widths[i] = utf8.RuneCountInString(cell)
	}
	for _, row := range t.rows {
		for i, cell := range row.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	total := gap * (len(widths) - 1)
	for _, width := range widths {
		total += width
	}
	var page strings.Builder
	inColumns := t.width == 0 || total <= t.width
	if inColumns {
		t.columns(&page, t.header, widths)
	}
	for _, row := range t.rows {
		if inColumns {
			t.columns(&page, row.cells, widths)
		} else {
			t.block(&page, row.cells)
		}
		for _, text := range row.below {
			t.indented(&page, text)
		}
		for _, line := range row.lines {
			page.WriteString("    " + line + "\n")
		}
	}
	_, err := io.WriteString(w, page.String())
	return err
}

// columns prints a row as a line.
func (t *table) columns(page *strings.Builder, cells []string, widths []int) {
	for i, cell := range cells {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap)
		if i == len(cells)-1 {
			pad = ""
		}
		page.WriteString(t.painted(i, cell) + pad)
	}
	page.WriteString("\n")
}

// block prints a row as a title and a sentence.
func (t *table) block(page *strings.Builder, cells []string) {
	title, rest := cells[0], []string{cells[1] + " " + cells[2]}
	if t.state > 0 {
		title = t.painted(t.state, cells[t.state]) + " " + title
	}
	for i, cell := range cells[3:] {
		if i+3 != t.state && cell != "-" {
			rest = append(rest, cell)
		}
	}
	fmt.Fprintln(page, title)
	t.indented(page, strings.Join(rest, ", "))
}

func (t *table) painted(column int, cell string) string {
	if t.state == 0 || column != t.state || t.paint == nil {
		return cell
	}
	return t.paint(cell)
}

// indented prints a text below a row, as wide as the terminal is.
func (t *table) indented(page *strings.Builder, text string) {
	const indent = "    "
	column := 0
	for _, word := range strings.Fields(text) {
		width := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			page.WriteString(indent)
			column = len(indent)
		case t.width > 0 && column+1+width > t.width:
			page.WriteString("\n" + indent)
			column = len(indent)
		default:
			page.WriteString(" ")
			column++
		}
		page.WriteString(word)
		column += width
	}
	page.WriteString("\n")
}
