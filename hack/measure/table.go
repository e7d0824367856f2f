package measure

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is figures of several cases, a row for each.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// Table says figures of several cases, of which nothing is claimed. The first column names the case; keep a row within 80
// columns, with two between its cells.
func (r *Report) Table(title string, head []string, rows [][]string) {
	r.tables = append(r.tables, table{title: title, head: head, rows: rows})
}

// print shows the table with the cells below each other, the first to the left and figures to the right.
func (t *table) print(out io.Writer) {
	all := append([][]string{t.head}, t.rows...)
	widths := make([]int, len(t.head))
	for _, cells := range all {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	fmt.Fprintf(out, "\n     %s\n", t.title)
	for _, cells := range all {
		var line strings.Builder
		for i, c := range cells {
			room := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i == 0 {
				line.WriteString("     " + c + room)
			} else {
				line.WriteString("  " + room + c)
			}
		}
		fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
	}
}

// markdown is the table for a document.
func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n\n", t.title)
	fmt.Fprintf(&b, "| %s |\n| ---%s |\n", strings.Join(cells(t.head), " | "), strings.Repeat(" | --:", len(t.head)-1))
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells(row), " | "))
	}
	return b.String()
}

func cells(texts []string) []string {
	var list []string
	for _, t := range texts {
		list = append(list, cell(t))
	}
	return list
}
