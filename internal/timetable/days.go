package timetable

import (
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Change is one of the clocks: to or from summer time, mostly.
type Change struct {
	// At is the instant. Before and After are what the clocks show there, without and with it.
	At            time.Time
	Before, After string
}

// changes finds when the clocks of a zone change.
func changes(from, until time.Time, zone *time.Location) []Change {
	var found []Change
	for at := from; at.Before(until); {
		_, next := at.In(zone).ZoneBounds()
		if next.IsZero() || !next.Before(until) {
			break
		}
		_, before := next.Add(-time.Second).In(zone).Zone()
		_, after := next.In(zone).Zone()
		if before != after {
			was := next.In(time.FixedZone("", before))
			found = append(found, Change{At: next.In(zone), Before: was.Format("15:04"), After: next.In(zone).Format("15:04")})
		}
		at = next
	}
	return found
}

// Cell is a part of a day on the wall clock.
type Cell byte

const (
	// Closed says that nothing passes.
	Closed Cell = '.'
	// Open says that a window is open throughout.
	Open Cell = '#'
	// Partly says that one is open for a part of the cell.
	Partly Cell = '+'
	// Frozen says that a freeze is active.
	Frozen Cell = 'x'
	// Skipped says that the clocks never show this time.
	Skipped Cell = ' '
)

// Day is one day on the wall clock.
type Day struct {
	Date  time.Time
	Cells []Cell
	// Changes of the clocks on that day.
	Changes []Change
}

// minutesPerDay on a wall clock, whatever the clocks do.
const minutesPerDay = 24 * 60

// Days draws the days from that of From on, each in so many cells.
func (t *Timetable) Days(cells int) []Day {
	var days []Day
	year, month, date := t.From.Date()
	for n := 0; ; n++ {
		start := time.Date(year, month, date+n, 12, 0, 0, 0, t.Zone)
		y, m, d := start.Date()
		if !time.Date(y, m, d, 0, 0, 0, 0, t.Zone).Before(t.Until) {
			return days
		}
		day := Day{Date: start}
		for _, c := range t.Changes {
			if cy, cm, cd := c.At.Date(); cy == y && cm == m && cd == d {
				day.Changes = append(day.Changes, c)
			}
		}
		for i := range cells {
			day.Cells = append(day.Cells, t.cell(y, m, d, i*minutesPerDay/cells, (i+1)*minutesPerDay/cells))
		}
		days = append(days, day)
	}
}

// cell looks at every minute of a part of a day, twice where the clocks show it twice.
func (t *Timetable) cell(year int, month time.Month, date, from, to int) Cell {
	open, closed, frozen := 0, 0, 0
	for minute := from; minute < to; minute++ {
		for _, at := range t.showing(year, month, date, minute) {
			switch state, _ := t.whole.State(at); state {
			case v1alpha1.WindowOpen:
				open++
			case v1alpha1.WindowFrozen:
				frozen++
			case v1alpha1.WindowClosed:
				closed++
			default:
				closed++
			}
		}
	}
	switch {
	case open+closed+frozen == 0:
		return Skipped
	case open > 0 && closed+frozen > 0:
		return Partly
	case open > 0:
		return Open
	case frozen > 0:
		return Frozen
	default:
		return Closed
	}
}

// showing are the instants at which the clocks show a time: mostly one, none where it is skipped, two where it comes twice.
func (t *Timetable) showing(year int, month time.Month, date, minute int) []time.Time {
	at := time.Date(year, month, date, 0, minute, 0, 0, t.Zone)
	if at.Hour()*60+at.Minute() != minute {
		return nil
	}
	instants := []time.Time{at}
	for _, c := range t.Changes {
		shift := shiftAt(c.At)
		for _, other := range []time.Time{at.Add(shift), at.Add(-shift)} {
			if shift != 0 && other.Day() == at.Day() && other.Hour() == at.Hour() && other.Minute() == at.Minute() {
				instants = append(instants, other)
			}
		}
	}
	return instants
}

// shiftAt is how far the clocks are moved at an instant.
func shiftAt(at time.Time) time.Duration {
	_, before := at.Add(-time.Second).Zone()
	_, after := at.Zone()
	return time.Duration(after-before) * time.Second
}
