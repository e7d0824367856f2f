package command

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/timetable"
)

const (
	// dateFormat is how days begin, clockFormat how instants are written in lists.
	dateFormat  = "Mon 2006-01-02"
	clockFormat = "Mon 2006-01-02 15:04"
	// shortFormat is for lists on narrow screens.
	shortFormat = "Mon 01-02 15:04"
	// gridIndent is where the cells of the calendar begin.
	gridIndent = len(dateFormat) + 2
	// mostDays is how many days are drawn; what is beyond stands in the list.
	mostDays = 62
)

// calendar writes each policy for people.
func (o *windowsOptions) calendar(sheets iter.Seq[*sheet]) error {
	n := 0
	for s := range sheets {
		if n++; n > 1 {
			o.Printf("\n")
		}
		o.sheet(s)
	}
	if n == 0 {
		o.Printf("There are no policies.\n")
	}
	return nil
}

func (o *windowsOptions) sheet(s *sheet) {
	o.Printf("%s  %s\n", o.Screen.Paint(terminal.Bold, terminal.Clean(s.Policy)), terminal.Clean(o.about(s)))
	for _, w := range s.Warnings {
		const label = "warning: "
		o.hang(o.Screen.Paint(terminal.Yellow, label), strings.Repeat(" ", len(label)), len(label), w)
	}
	if !s.Restricts() {
		return
	}
	if s.Whole() {
		o.state(s)
		o.grid(s)
	}
	o.list(s)
	o.tasks(s)
}

func (o *windowsOptions) about(s *sheet) string {
	if !s.Restricts() {
		return string(s.policy.Enforcement) + ": neither change windows nor freezes, so it says nothing about time"
	}
	return fmt.Sprintf("%s, times of %s", s.policy.Enforcement, s.Zone)
}

// state says how it is at the beginning.
func (o *windowsOptions) state(s *sheet) {
	text := s.From.Format(clockFormat) + "  " + s.State.Reason
	switch next := s.State.NextOpen; {
	case !next.IsZero():
		text += "; opens " + next.In(s.Zone).Format(clockFormat)
	case !s.State.NextClose.IsZero():
		text += "; closes " + s.State.NextClose.In(s.Zone).Format(clockFormat)
	}
	o.hang("", "  ", 2, terminal.Clean(text))
	o.Printf("\n")
}

// cells is how many parts of a day fit on the screen: hours, halves or quarters of them.
func (o *windowsOptions) cells() int {
	const hours, notes = 24, 15
	switch width := o.Screen.Width - gridIndent; {
	case o.Screen.Width == 0:
		return 2 * hours
	case width >= 4*hours:
		return 4 * hours
	case width >= 2*hours+notes:
		return 2 * hours
	default:
		return hours
	}
}

// grid draws the days.
func (o *windowsOptions) grid(s *sheet) {
	cells := o.cells()
	days := s.Days(cells)
	o.Printf("%s%s\n", strings.Repeat(" ", gridIndent), hourLine(cells))
	used := map[timetable.Cell]bool{}
	for i := range days[:min(len(days), mostDays)] {
		var line strings.Builder
		for _, c := range days[i].Cells {
			used[c] = true
			line.WriteString(o.Screen.Paint(cellStyle(c), string(rune(c))))
		}
		o.Printf("%s  %s\n", days[i].Date.Format(dateFormat), strings.TrimRight(line.String()+dayNote(&days[i]), " "))
	}
	if len(days) > mostDays {
		o.Printf("... and %d more days\n", len(days)-mostDays)
	}
	o.Printf("%s\n\n", legend(used))
}

// hourLine writes the hours above the cells, as many as there is room for.
func hourLine(cells int) string {
	step := 2 // hours between labels
	if cells > 48 {
		step = 1
	}
	if cells < 48 {
		step = 4
	}
	var b strings.Builder
	for hour := 0; hour < 24; hour += step {
		fmt.Fprintf(&b, "%-*s", step*cells/24, fmt.Sprintf("%02d", hour))
	}
	return strings.TrimRight(b.String(), " ")
}

func cellStyle(c timetable.Cell) terminal.Style {
	switch c {
	case timetable.Open, timetable.Partly:
		return terminal.Green
	case timetable.Frozen:
		return terminal.Red
	case timetable.Closed:
		return terminal.Faint
	default:
		return terminal.Plain
	}
}

func dayNote(d *timetable.Day) string {
	var notes []string
	for _, c := range d.Changes {
		notes = append(notes, c.Before+"->"+c.After)
	}
	if len(notes) == 0 {
		return ""
	}
	return "  " + strings.Join(notes, " ")
}

// legend explains what was drawn, and nothing else.
func legend(used map[timetable.Cell]bool) string {
	var parts []string
	for _, entry := range []struct {
		cell timetable.Cell
		text string
	}{
		{timetable.Open, "# open"}, {timetable.Partly, "+ open for a part of it"}, {timetable.Closed, ". closed"},
		{timetable.Frozen, "x frozen"}, {timetable.Skipped, "blank: clocks skip it"},
	} {
		if used[entry.cell] {
			parts = append(parts, entry.text)
		}
	}
	return strings.Join(parts, "   ")
}

// list writes every span, with what it meets.
func (o *windowsOptions) list(s *sheet) {
	if len(s.Spans) == 0 {
		o.Printf("No window opens and no freeze begins until %s.\n", s.Until.Format(clockFormat))
		return
	}
	format := o.listFormat()
	width := len(format)
	o.Printf("%-*s  %-*s  %-7s  %s\n", width, "FROM", width, "TO", "LASTS", "WHAT")
	for i := range s.Spans {
		span := &s.Spans[i]
		what, style := terminal.Clean(span.Name), terminal.Plain
		if span.Kind == timetable.Freeze {
			what, style = "FREEZE "+what, terminal.Red
		}
		from, to, lasts := edge(span.From, format, "long before"), edge(span.To, format, "does not end"), lasting(span)
		o.Printf("%-*s  %-*s  %-7s  %s\n", width, from, width, to, lasts, o.Screen.Paint(style, what))
		for _, note := range spanNotes(s, span) {
			o.Printf("%s%s\n", strings.Repeat(" ", 2*width+15), terminal.Clean(note)) //nolint:mnd // below WHAT, and indented
		}
	}
}

// listFormat is how instants are written in the list.
func (o *windowsOptions) listFormat() string {
	const narrow = 72
	if o.Screen.Width > 0 && o.Screen.Width < narrow {
		return shortFormat
	}
	return clockFormat
}

func edge(t time.Time, format, otherwise string) string {
	if t.IsZero() {
		return otherwise
	}
	return t.Format(format)
}

// lasting is how long a span lasts by a stopwatch: an hour less or more where clocks change.
func lasting(s *timetable.Span) string {
	if s.From.IsZero() || s.To.IsZero() {
		return ""
	}
	d := s.To.Sub(s.From)
	const day = 24 * time.Hour
	var parts []string
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if n := d / unit.length; n > 0 && len(parts) < 2 {
			parts = append(parts, fmt.Sprintf("%d%s", n, unit.name))
			d %= unit.length
		} else if len(parts) > 0 {
			break
		}
	}
	if len(parts) == 0 {
		return d.String()
	}
	return strings.Join(parts, "")
}

// spanNotes say what is peculiar about a span.
func spanNotes(s *sheet, span *timetable.Span) []string {
	var notes []string
	if span.Reason != "" {
		notes = append(notes, span.Reason)
	}
	if len(span.Tasks) > 0 {
		notes = append(notes, "for "+strings.Join(span.Tasks, ", "))
	}
	if len(span.FrozenBy) > 0 {
		notes = append(notes, "frozen by "+strings.Join(span.FrozenBy, ", "))
	}
	if len(span.Overlaps) > 0 {
		notes = append(notes, "overlaps "+strings.Join(span.Overlaps, ", "))
	}
	for _, c := range s.Changes {
		if span.From.Before(c.At) && c.At.Before(span.To) {
			notes = append(notes, "clocks change "+c.Before+" -> "+c.After)
		}
	}
	return notes
}

// tasks writes those with windows of their own.
func (o *windowsOptions) tasks(s *sheet) {
	if len(s.Tasks) == 0 {
		return
	}
	o.Printf("\n%-24s  %-20s  %s\n", "TASK", "PASSES NEXT", "ALSO NEEDS")
	for _, t := range s.Tasks {
		o.Printf("%-24s  %-20s  %s\n", terminal.Clean(t.Name), passesNext(s, t.NextOpen), terminal.Clean(strings.Join(t.Windows, ", ")))
	}
}

func passesNext(s *sheet, at time.Time) string {
	switch {
	case at.IsZero():
		return "never"
	case !at.After(s.From):
		return "now"
	default:
		return at.Format(clockFormat)
	}
}
