package terminal

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Column is a column of a table.
type Column struct {
	// Title stands in the first line.
	Title string
	// Least is how narrow the column may become on a narrow screen, where long cells are cut. 0: it is never cut.
	Least int
	// Spare says how dispensable the column is on a narrow screen: of those that are, the highest goes first. 1: only where
	// cutting cells does not help. 0: never.
	Spare int
	// Most is the width of the column in a part of the table that was written before.
	Most int
}

// Cell is a text in a style. It is cleaned when it is written.
type Cell struct {
	Text  string
	Style Style
}

// Table is written as kubectl writes tables. Where it is shown on a screen that is too narrow, dispensable columns are
// left out, and then long cells are cut, so that a row stays in one line.
type Table struct {
	Columns []Column
	Rows    [][]Cell
	// NoHeaders leaves out the first line.
	NoHeaders bool
}

// The space between columns, where there is enough and where there is not.
const wideGap, narrowGap = 3, 2

// layout is how wide each column is, in the order of the columns that are shown.
type layout struct {
	shown  []int
	widths []int
	gap    int
}

// Write writes the table. What is written after it with the same columns stands below it, as far as its cells are as wide.
func (t *Table) Write(out io.Writer, s Screen) error {
	l := t.fit(s.Width)
	var b strings.Builder
	if !t.NoHeaders {
		titles := make([]Cell, len(t.Columns))
		for i, c := range t.Columns {
			titles[i] = Cell{Text: c.Title}
		}
		l.row(&b, s, titles)
	}
	for _, cells := range t.Rows {
		l.row(&b, s, cells)
	}
	for i, column := range l.shown {
		t.Columns[column].Most = l.widths[i]
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

func (l *layout) row(b *strings.Builder, s Screen, cells []Cell) {
	for i, column := range l.shown {
		text := Cut(Clean(cells[column].Text), l.widths[i])
		b.WriteString(s.Paint(cells[column].Style, text))
		if i < len(l.shown)-1 {
			b.WriteString(strings.Repeat(" ", l.widths[i]-Width(text)+l.gap))
		}
	}
	b.WriteByte('\n')
}

// fit finds a layout for so many columns; 0: as many as it takes.
func (t *Table) fit(columns int) layout {
	shown := make([]int, len(t.Columns))
	for i := range t.Columns {
		shown[i] = i
	}
	for {
		l := t.natural(shown)
		if columns <= 0 || l.total() <= columns {
			return l
		}
		if at := t.mostSpare(shown, 2); at >= 0 {
			shown = slices.Delete(shown, at, at+1)
			continue
		}
		l.gap = narrowGap
		for l.total() > columns {
			if !t.shrink(&l) {
				break
			}
		}
		at := t.mostSpare(shown, 1)
		if l.total() <= columns || at < 0 {
			return l
		}
		shown = slices.Delete(shown, at, at+1)
	}
}

// natural is the layout in which nothing is cut.
func (t *Table) natural(shown []int) layout {
	l := layout{shown: shown, widths: make([]int, len(shown)), gap: wideGap}
	for i, column := range shown {
		l.widths[i] = max(Width(t.Columns[column].Title), t.Columns[column].Most)
		for _, cells := range t.Rows {
			l.widths[i] = max(l.widths[i], Width(Clean(cells[column].Text)))
		}
	}
	return l
}

func (l *layout) total() int {
	n := l.gap * (len(l.widths) - 1)
	for _, w := range l.widths {
		n += w
	}
	return n
}

// mostSpare is the place of the most dispensable column, -1 where none is so dispensable.
func (t *Table) mostSpare(shown []int, spare int) int {
	at := -1
	for i, column := range shown {
		if s := t.Columns[column].Spare; s >= spare {
			at, spare = i, s+1
		}
	}
	return at
}

// shrink takes one from the widest column that may be cut.
func (t *Table) shrink(l *layout) bool {
	at := -1
	for i, column := range l.shown {
		if least := t.Columns[column].Least; least > 0 && l.widths[i] > least && (at < 0 || l.widths[i] > l.widths[at]) {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	l.widths[at]--
	return true
}
